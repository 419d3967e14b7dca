"""Findings of lint for people: the place, the line with a caret under it, one sentence, the fix.

Law: a finding's first line can be clicked in an editor; every finding shows its source, what happens, and whether
lint can mend it. The summary is the last line. Nothing heavy is imported: colours are written by hand.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Sequence

from lameduck.core.finding import Confidence, Finding, Safety, Severity
from lameduck.defects.linting import Outcome, place_of, severity_of
from lameduck.manifests.chain import Chain, Link
from lameduck.manifests.programs import Does
from lameduck.manifests.project import Program
from lameduck.manifests.text import Text

_COLOURS = {Severity.ERROR: "31", Severity.WARNING: "33", Severity.INFO: "36"}
_WIDTH = 100
MOST_LINES = 3

Lines = Callable[[str], Text | None]
"""The text of a file by its path, for showing its lines."""


class Paint:
    """Colours, or none."""

    def __init__(self, on: bool) -> None:
        self.on = on

    def __call__(self, code: str, words: str) -> str:
        """The words in a colour."""
        return f"\x1b[{code}m{words}\x1b[0m" if self.on and words else words


def human(outcome: Outcome, lines: Lines, *, colour: bool = False, notes: Sequence[str] = ()) -> str:
    """All findings with their source lines, and a summary."""
    paint = Paint(colour)
    blocks = [_block(one, lines, paint) for one in outcome.findings]
    blocks += [paint("2", f"note: {note}") for note in notes]
    return "\n\n".join([*blocks, _summary(outcome, paint)]) + "\n"


def concise(outcome: Outcome) -> str:
    """One line for each finding."""
    found = []
    for one in outcome.findings:
        place = place_of(one)
        found.append(f"{place.file}:{place.line}:{place.column}: {severity_of(one)} {one.defect.code} {one.message}")
    return "\n".join([*found, ""]) if found else ""


def _block(one: Finding, lines: Lines, paint: Paint) -> str:
    place, severity = place_of(one), severity_of(one)
    where = f"{place.file}:{place.line}:{place.column}"
    head = f"{paint(f'1;{_COLOURS[severity]}', str(severity))} {paint('1', one.defect.code)} {one.defect.slug}"
    if one.confidence is Confidence.POSSIBLE:
        head += " (possible)"
    parts = [f"{where}: {head}", *_source(one, lines, paint), *_wrapped(one.message, "  ")]
    parts += [line for each in one.evidence for line in _wrapped(f"evidence: {each}", "  ")]
    if one.fix is not None:
        parts += _fix(one, paint)
    return "\n".join(parts)


def _source(one: Finding, lines: Lines, paint: Paint) -> Iterable[str]:
    place = place_of(one)
    text = lines(place.file)
    if text is None:
        return
    last = min(place.end_line, place.line + MOST_LINES - 1)
    width = len(str(last))
    for number in range(place.line, last + 1):
        line = text.line(number)
        yield f"  {paint('34', f'{number:>{width}} |')} {line.expandtabs(1)}"
        first = place.column - 1 if number == place.line else len(line) - len(line.lstrip())
        end = place.end_column - 1 if number == place.end_line else len(line.rstrip())
        carets = "^" * max(end - first, 1)
        yield f"  {paint('34', ' ' * width + ' |')} {' ' * first}{paint(_COLOURS[severity_of(one)], carets)}"
    if last < place.end_line:
        yield f"  {paint('34', ' ' * width + ' |')} {paint('2', f'… {place.end_line - last} more')}"


def _fix(one: Finding, paint: Paint) -> Iterable[str]:
    assert one.fix is not None
    applied = any(patch.edits for patch in one.fix.patches)
    if applied:
        how = "lameduck fix" if one.fix.safety is Safety.SAFE else "lameduck fix --unsafe"
        yield from _wrapped(f"{paint('32', 'fix')}: {one.fix.title} [{how}]", "  ")
        return
    yield from _wrapped(f"{paint('32', 'fix')}: {one.fix.title}, by hand:", "  ")
    for patch in one.fix.patches:
        yield from (f"      {line}" for line in patch.snippet.rstrip("\n").split("\n"))


def _wrapped(words: str, indent: str) -> list[str]:
    return textwrap.wrap(
        words, _WIDTH, initial_indent=indent, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


def _summary(outcome: Outcome, paint: Paint) -> str:
    counts = {severity: sum(severity_of(one) is severity for one in outcome.findings) for severity in Severity}
    words = [
        f"{count} {severity}{'' if count == 1 or severity is Severity.INFO else 's'}"
        for severity, count in counts.items()
        if count
    ]
    fixable = [one for one in outcome.findings if one.fix and any(patch.edits for patch in one.fix.patches)]
    safe = sum(one.fix is not None and one.fix.safety is Safety.SAFE for one in fixable)
    line = ", ".join(words) if words else paint("32", "nothing found")
    if fixable:
        unsafe = len(fixable) - safe
        line += f"; lameduck fix mends {safe}" + (f", with --unsafe {unsafe} more" if unsafe else "")
    if outcome.suppressed:
        line += f"; {outcome.suppressed} suppressed"
    if outcome.hidden:
        line += f"; {outcome.hidden} of low confidence not shown (--confidence possible)"
    return line


def chains(programs: Iterable[Program], *, colour: bool = False) -> str:
    """The chain from PID 1 to the server of everything that starts."""
    paint = Paint(colour)
    return "\n".join(_chain(one, paint) for one in programs)


def _chain(program: Program, paint: Paint) -> str:
    chain, launch = program.chain, program.chain.launch
    if program.workload is not None and program.container is not None:
        title = f"{program.workload.object.title}, container {program.container.name}"
    else:
        title = launch.text.path
    signal = f"SIG{launch.stop_signal}" if launch.stop_signal else "an unknown stop signal"
    lines = [paint("1", f"{title}: {signal}{_signal_source(chain)}")]
    for depth, link in enumerate(chain.links):
        note = f" ({link.note})" if link.note else ""
        lines.append(f"  {'  ' * depth}{'└ ' if depth else ''}{link.label}: {_verdict(link, paint)}{note}")
    return "\n".join(lines) + "\n"


def _signal_source(chain: Chain) -> str:
    launch = chain.launch
    if launch.stop_in_manifest:
        return " (stopSignal of the container)"
    if launch.stop_from is not None:
        return " (STOPSIGNAL)"
    return f" (inherited from {launch.base.name})" if launch.stop_inherited else ""


def _verdict(link: Link, paint: Paint) -> str:
    colours = {Does.SWALLOWS: "31", Does.DIES: "31", Does.CUTS: "31", Does.UNKNOWN: "33"}
    return paint(colours.get(link.does, "32"), str(link.does))
