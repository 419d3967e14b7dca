"""``kubectl lameduck``: the plugin's entry point, and what completes its words in a shell.

Law: the same commands with the same meaning; where kubectl's users would leave a word out, it is ``prove``: ``kubectl
lameduck deployment/shop -n prod``. Completion answers as kubectl asks plugins (one word a line, then a directive), and
asks the cluster for names only when a name is being typed.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lameduck.kube.connect import Context

NO_FILES = 4
"""cobra's ShellCompDirectiveNoFileComp."""
WITH_FILES = 0
NO_SPACE = 2
COMMON = ("deployment", "statefulset", "daemonset")


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command of lameduck's as kubectl's plugin; returns the exit code."""
    from lameduck.cli import COMMANDS
    from lameduck.cli import main as lameduck

    words = list(sys.argv[1:] if argv is None else argv)
    first = next((word for word in words if not word.startswith("-")), "")
    helping = not words or words[0] in {"-h", "--help", "help", "-V", "--version"}
    known = bool(words) and words[0] in COMMANDS
    if not helping and not known and (words[0].startswith("-") or _names_a_workload(first)):
        words = ["prove", *words]
    return lameduck(words)


def _names_a_workload(word: str) -> bool:
    from lameduck.kube.workload import KINDS

    return word.partition("/")[0].lower() in KINDS


def complete(argv: Sequence[str] | None = None) -> int:
    """Print what may stand in the last word's place."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        found, directive = suggestions(words)
    except Exception:  # a shell that is asked for words must not be told of errors
        found, directive = [], NO_FILES
    for each in found:
        print(each)
    print(f":{directive}")
    return 0


def suggestions(words: Sequence[str]) -> tuple[list[str], int]:
    """What may stand in the last word's place, and cobra's directive."""
    from lameduck.cli import COMMANDS, command_parser

    *before, last = words or [""]
    name = next((word for word in before if word in COMMANDS), "")
    if not name:
        kinds = [f"{kind}/" for kind in COMMON]
        found = _beginning(last, [*COMMANDS, *kinds])
        if before or found == [last] or _names_a_workload(last):
            name = "prove"  # it was left out
        else:
            return found, NO_SPACE if found and all(each.endswith("/") for each in found) else NO_FILES
    parser = command_parser(name)
    action = _wants_value(parser, before)
    if action is not None:
        return _values(action, last, before)
    if last.startswith("-"):
        return _beginning(last, sorted(parser._option_string_actions)), NO_FILES
    if name != "prove":
        return [], WITH_FILES
    kind, slash, _ = last.partition("/")
    if not slash:
        return _beginning(last, [f"{each}/" for each in COMMON]), NO_SPACE
    return _beginning(last, [f"{kind}/{each}" for each in _workloads(kind, before)]), NO_FILES


def _wants_value(parser: argparse.ArgumentParser, before: Sequence[str]) -> argparse.Action | None:
    """The option whose value is being typed."""
    action = parser._option_string_actions.get(before[-1]) if before else None
    return action if action is not None and action.nargs != 0 else None


def _values(action: argparse.Action, last: str, before: Sequence[str]) -> tuple[list[str], int]:
    if action.choices:
        return _beginning(last, [str(each) for each in action.choices]), NO_FILES
    match action.dest:
        case "namespace":
            return _beginning(last, _listed("namespaces", "", before)), NO_FILES
        case "context":
            return _beginning(last, _contexts(before)), NO_FILES
        case "service":
            return _beginning(last, _listed("services", _namespace(before), before)), NO_FILES
        case "disrupt":
            return _beginning(last, ["rollout", "scale", "delete", "evict", "drain", "kill", "none"]), NO_FILES
        case "load_from":
            return _beginning(last, ["cluster", "here", "https://"]), NO_FILES
    return [], WITH_FILES


def _beginning(last: str, words: Iterable[str]) -> list[str]:
    return [word for word in words if word.startswith(last)]


def _option(before: Sequence[str], *names: str) -> str:
    """The value that an option has been given so far."""
    for at, word in enumerate(before):
        if word in names and at + 1 < len(before):
            return before[at + 1]
        option, equals, value = word.partition("=")
        if equals and option in names:
            return value
    return ""


def _namespace(before: Sequence[str]) -> str:
    return _context(before).namespace


def _context(before: Sequence[str]) -> Context:
    from lameduck.kube.connect import find_context

    return find_context(
        _option(before, "--kubeconfig"), _option(before, "--context"), _option(before, "-n", "--namespace")
    )


def _contexts(before: Sequence[str]) -> list[str]:
    from lameduck.kube.connect import contexts

    return contexts(_option(before, "--kubeconfig"))


def _workloads(kind: str, before: Sequence[str]) -> list[str]:
    from lameduck.kube.workload import resource_of

    return _listed(resource_of(kind), _namespace(before), before)


def _listed(resource: str, namespace: str, before: Sequence[str]) -> list[str]:
    """The names of a resource, asked of the cluster."""
    import asyncio

    from lameduck.kube.api import Api

    async def ask() -> list[str]:
        api = Api(_context(before))
        try:
            async with asyncio.timeout(3):
                listed = await api.get(resource, namespace)
        finally:
            await api.close()
        return [str(each["metadata"]["name"]) for each in listed.get("items", [])]

    return asyncio.run(ask())
