"""Which shell reads a text, and whether it makes room for the last command of it.

Law: the verdicts are those measured in PID namespaces (`tests/manifests/test_pid1_table.py`): a script file's shell
always stays; of a ``-c`` text it depends on the shell.
"""

from __future__ import annotations

from lameduck.manifests.flow import Flow
from lameduck.manifests.shell import Kind, Statement


def last_command(statements: tuple[Statement, ...]) -> Statement | None:
    """The simple command that the code ends with, through && lists; None when it ends otherwise."""
    if not statements:
        return None
    last = statements[-1]
    while last.kind is Kind.AND and last.body:
        last = last.body[-1]
    return last if last.kind is Kind.COMMAND and not last.background else None


def replaces(shell: str, last: Statement, flow: Flow) -> bool | None:
    """Whether ``shell -c`` replaces itself by its last simple command; None when the shell is unknown."""
    if flow.traps or flow.jobs:
        return False
    if shell == "ash":
        return True
    if shell == "bash":
        return not last.redirected
    if shell == "dash":
        return False
    return None


def real_shell(name: str, bin_sh: str | None) -> str:
    """The shell behind a name: ``sh`` is what the base image says; "" when unknown."""
    if name == "sh":
        return bin_sh or ""
    if name == "busybox":
        return "ash"
    return name
