"""Command-line options as a table, with their environment variables and their help.

Law: flag over ``LAMEDUCK_*`` variable over default; an unknown option is an error, never a guess; what follows ``--``
(or the first word that is no option) is the command and is not looked at. Not argparse: it costs 1.6 MiB and 8 ms of
a process that lives as long as the pod, abbreviates options by itself and has no sound way to say "the rest is a
command".
"""

from __future__ import annotations

from lameduck_pod.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any


class UsageError(Exception):
    """The command line cannot be used as it stands; the text says what to write instead."""


class Option(Record):
    """One option. `read` makes its value of a text (None: a flag); `many` collects all values in a tuple."""

    name: str
    help: str
    read: Callable[[str], Any] | None = None
    metavar: str = ""
    default: Any = None
    shown: str = ""
    """The default, as the help shows it."""
    many: bool = False
    group: str = "Options"

    @property
    def key(self) -> str:
        """Its name in the values: ``stop_signal``."""
        return self.name.replace("-", "_")

    @property
    def variable(self) -> str:
        """Its environment variable: ``LAMEDUCK_STOP_SIGNAL``."""
        return "LAMEDUCK_" + self.key.upper()


class Values(Record):
    """What was said: `given` names the options that were said at all, by flag or variable."""

    values: Mapping[str, Any]
    given: frozenset[str]
    rest: tuple[str, ...]

    def __getitem__(self, key: str) -> Any:
        return self.values[key]


def parse(options: Sequence[Option], argv: Sequence[str], environ: Mapping[str, str]) -> Values:
    """The values of all options, and the words after them. Raises UsageError."""
    known = {option.name: option for option in options}
    flags: dict[str, list[tuple[str, str]]] = {}
    words = list(argv)
    while words and words[0].startswith("-") and words[0] not in ("-", "--"):
        word = words.pop(0)
        name, equals, text = word[2:].partition("=")
        option = known.get(name) if word.startswith("--") else None
        if option is None:
            raise UsageError(f"unknown option {word.partition('=')[0]}{_nearest(name, known)}")
        if option.read is None and equals:
            raise UsageError(f"--{name} takes no value")
        if option.read is not None and not equals:
            if not words:
                raise UsageError(f"--{name} needs a value: --{name} {option.metavar}")
            text = words.pop(0)
        flags.setdefault(option.key, []).append((f"--{name}", text))
    if words and words[0] == "--":
        words.pop(0)
    values: dict[str, Any] = {}
    for option in options:
        said = flags.get(option.key) or _variable(option, environ)
        values[option.key] = _value(option, said) if said else option.default
        if said:
            flags[option.key] = said
    return Values(values=values, given=frozenset(flags), rest=tuple(words))


def _variable(option: Option, environ: Mapping[str, str]) -> list[tuple[str, str]]:
    text = environ.get(option.variable, "")
    if not text or "://" in text:  # a Service named `lameduck` gives every pod LAMEDUCK_PORT=tcp://10.0.0.1:80
        return []
    texts = text.replace(",", " ").split() if option.many else [text]
    return [(option.variable, one) for one in texts]


def _value(option: Option, said: Sequence[tuple[str, str]]) -> Any:
    if option.read is None:
        where, text = said[-1]
        if text.lower() not in ("", "1", "true", "yes", "0", "false", "no"):
            raise UsageError(f"{where}: {text!r} is neither true nor false")
        return text.lower() not in ("0", "false", "no")
    try:
        read = [(where, option.read(text)) for where, text in said]
    except ValueError as e:
        raise UsageError(f"{said[-1][0]}: {e}") from None
    return tuple(value for _, value in read) if option.many else read[-1][1]


def _nearest(name: str, known: Mapping[str, Option]) -> str:
    from difflib import get_close_matches  # only after a typo

    near = get_close_matches(name, known, n=1)
    return f"; did you mean --{near[0]}?" if near else ""


def usage(head: str, options: Sequence[Option], tail: str = "", width: int = 100) -> str:
    """The help text: head, the options by group, tail."""
    from textwrap import wrap  # only for --help

    lines = [head.rstrip()]
    group = ""
    for option in options:
        if option.group != group:
            group = option.group
            lines += ["", f"{group}:"]
        left = f"  --{option.name}" + (f" {option.metavar}" if option.metavar else "")
        text = option.help + (" (may be repeated)" if option.many else "")
        text += f" [default: {option.shown}]" if option.shown else ""
        body = wrap(text, width - 28, break_on_hyphens=False)
        if len(left) > 26:
            lines.append(left)
        else:
            body[0] = left.ljust(28) + body[0]
        lines += [line if i == 0 and len(left) <= 26 else " " * 28 + line for i, line in enumerate(body)]
    return "\n".join(lines) + "\n" + (f"\n{tail.rstrip()}\n" if tail else "")


def port(text: str) -> int:
    """A TCP port. Raises ValueError with a sentence for people."""
    if not text.isdigit() or not 0 < int(text) < 65536:
        raise ValueError(f"{text!r} is not a port (1-65535)")
    return int(text)


def choice(*words: str) -> Callable[[str], str]:
    """One of these words."""

    def read(text: str) -> str:
        if text not in words:
            raise ValueError(f"{text!r} is none of {', '.join(words)}")
        return text

    return read
