"""What the rules about start scripts share: their problems, and the fix: exec where it can stand, else the wait loop.

Law: passing the signal on without a drain window loses more, so such a fix is a set: the script's edit together with
the preStop of the container that runs it. Without a manifest in the input the edit is shown, and applied only with
``--unsafe``.
"""

from __future__ import annotations

from collections.abc import Iterator

from lameduck.core.finding import Defect, Edit, Finding, Fix, Safety, Severity
from lameduck.defects.lintkit import advice, finding, fix_of, starting, window_edits
from lameduck.defects.snippets import SEVERAL, TRAP, WAIT_LOOP
from lameduck.manifests.chain import Problem, Trouble
from lameduck.manifests.endings import Ending, Way
from lameduck.manifests.hooks import HookKind, hook_of
from lameduck.manifests.programs import base, server_of
from lameduck.manifests.project import Program, Project
from lameduck.manifests.shell import Kind, Statement
from lameduck.manifests.splice import Refused
from lameduck.manifests.text import Text

ALONE = "unsafe alone: without a preStop delay, a signal that arrives at once loses more"
_TALK = frozenset(["echo", "printf", ":", "true", "exit"])


def severity_of(program: Program, project: Project) -> Severity | None:
    """A warning for a workload that serves nobody: its work is cut, but no request."""
    workload = program.workload
    if workload is None or project.services(workload) or any(one.ports for one in workload.containers):
        return None
    return Severity.WARNING


def troubled(project: Project, trouble: Trouble) -> Iterator[tuple[Program, Problem]]:
    """Every problem of one kind on the way of the stop signal to a server."""
    return ((each, one) for each in starting(project) for one in each.chain.problems if one.trouble is trouble)


def of_problem(
    defect: Defect, message: str, project: Project, program: Program, problem: Problem, fix: Fix | None = None
) -> Finding:
    """What lint says of such a problem, at its place."""
    place = problem.text.span(problem.start, problem.end)
    return finding(defect, message, place, problem.confidence, severity=severity_of(program, project), fix=fix)


def with_window(
    project: Project, program: Program, title: str, text: Text, edits: list[Edit], safety: Safety
) -> Fix | None:
    """The edits of a script or Dockerfile as one set with the drain window they need."""
    if not edits:
        return None
    workload, container = program.workload, program.container
    if workload is None or container is None:
        return fix_of(f"{title} ({ALONE})", Safety.UNSAFE, (text, edits))
    if container not in project.serving(workload) or (hook_of(container).delays and _has_hook(program)):
        return fix_of(title, safety, (text, edits))
    try:
        window = window_edits(project, workload, container)
    except Refused:
        return fix_of(f"{title} ({ALONE})", Safety.UNSAFE, (text, edits))
    return fix_of(
        f"{title}, and wait in preStop before the stop signal", safety, (text, edits), (container.node.text, window)
    )


def _has_hook(program: Program) -> bool:
    return program.container is not None and hook_of(program.container).kind is not HookKind.NONE


def exec_edits(problem: Problem) -> tuple[list[Edit], Safety]:
    """exec before the server, with talk behind it removed; no edits where exec cannot stand."""
    ending = problem.ending
    if ending is None or ending.statement is None or ending.way is not Way.FOREGROUND or ending.subshell:
        return [], Safety.UNSAFE
    statement, content = ending.statement, problem.text.content
    if statement.kind is not Kind.COMMAND or not statement.words or any("EXIT" in one.signals for one in ending.traps):
        return [], Safety.UNSAFE
    at = ending.word_start
    found = content.startswith(statement.words[0], at) or content[at : at + 1] in {'"', "'", "$", "\\"}
    if not found or statement.words[0] in {"eval", "("}:
        return [], Safety.UNSAFE
    edits = [Edit(ending.word_start, ending.word_start, "exec ")]
    if not ending.after:
        return edits, Safety.SAFE
    if all(one.kind is Kind.COMMAND and base((one.words or (":",))[0]) in _TALK for one in ending.after):
        return [*edits, *_removed(problem.text, ending.after)], Safety.UNSAFE
    return [], Safety.UNSAFE


def _removed(text: Text, statements: tuple[Statement, ...]) -> list[Edit]:
    edits = []
    for one in statements:
        start, end = text.line_start(one.start), text.line_end(one.end)
        alone = not text.content[start : one.start].strip() and not text.content[one.end : end].strip(" ;\t")
        if not alone:
            return []
        newline = text.content.find("\n", end)
        edits.append(Edit(start, len(text.content) if newline < 0 else newline + 1, ""))
    return edits


def loop_edits(problem: Problem) -> list[Edit]:
    """The wait loop in the place of a foreground server; no edits where the command is not a line of its own."""
    ending = problem.ending
    if ending is None or ending.statement is None or ending.way is not Way.FOREGROUND or problem.in_code:
        return []
    if any(one.words[:1] == ("exec",) for one in ending.after):
        return []  # it would start again after the stop
    text = problem.text
    start, end = text.line_start(ending.start), text.line_end(ending.end)
    if text.content[start : ending.start].strip() or text.content[ending.end : end].strip(" \t"):
        return []
    indent, eol = text.content[start : ending.start], text.eol
    command = text.content[ending.start : ending.end]
    before = [f"{indent}{trap_line(problem)}"]
    after = [f"{indent}{line}" for line in wait_lines("pid")]
    lines = [*before, f"{indent}{command} &", f"{indent}pid=$!", *after]
    return [Edit(start, end, eol.join(lines))]


def graceful_signal(problem: Problem) -> str:
    """What a script has to send to the server: the signal that came, or the server's graceful one in its place."""
    server = server_of(problem.argv)
    return server.graceful[0] if server and server.graceful and problem.signal in server.cuts else problem.signal


def trap_line(problem: Problem) -> str:
    """The trap of the wait loop: for the signal that comes, and sending what the server drains on."""
    return f"trap 'kill -{graceful_signal(problem)} \"$pid\" 2>/dev/null'{_comes(problem)}"


def _comes(problem: Problem) -> str:
    return " TERM INT" if problem.signal == "TERM" else f" {problem.signal}"


def forward_and_wait(problem: Problem, title: str = "forward the signal and wait until the server has ended") -> Fix:
    """The wait loop as advice, for the signal that comes; for several servers, that all of them are told."""
    if problem.ending is not None and problem.ending.company:
        snippet = SEVERAL.replace("-TERM", f"-{problem.signal}").replace(" TERM INT", _comes(problem))
        return advice("a container for each of the servers, or tell all of them and wait", snippet)
    return advice(title, WAIT_LOOP.replace(TRAP, trap_line(problem)))


def wait_lines(variable: str) -> list[str]:
    """The proven loop: it survives errexit and a second signal, and keeps the exit code in ``rc``."""
    return [
        "rc=0",
        f'wait "${variable}" || rc=$?',
        f'while kill -0 "${variable}" 2>/dev/null; do wait "${variable}" || rc=$?; done',
    ]


def exec_or_loop(project: Project, program: Program, problem: Problem) -> Fix | None:
    """The fix of a server in the foreground of a script."""
    edits, safety = exec_edits(problem)
    if edits:
        return with_window(project, program, f"exec {_name(problem)}", problem.text, edits, safety)
    edits = loop_edits(problem)
    if edits:
        return with_window(project, program, "forward the signal and wait", problem.text, edits, Safety.UNSAFE)
    return forward_and_wait(problem)


def rewait(project: Project, program: Program, problem: Problem) -> Fix | None:
    """The wait loop in the place of a single wait."""
    ending, text = problem.ending, problem.text
    if ending is None or not ending.waits or problem.in_code or (problem.trap and problem.trap.handler.exits):
        return forward_and_wait(problem, "wait until the server has ended")
    first = next((one for one in ending.waits if one.errexit and not one.guarded), ending.waits[-1])
    last = ending.waits[-1] if _only_waits(text.content[first.end : ending.waits[-1].start]) else first
    start, end = text.line_start(first.start), text.line_end(last.end)
    words = text.content[first.start : first.end].split()
    alone = not text.content[start : first.start].strip() and not text.content[last.end : end].strip()
    if words[:1] != ["wait"] or first.looped or not alone:
        return forward_and_wait(problem, "wait until the server has ended")
    indent = text.content[start : first.start]
    if ending.company and words == ["wait"]:  # for all of them, and again when the signal has ended it
        edits = [Edit(first.start, last.end, "until wait; do :; done")]
        return with_window(project, program, "wait again until all have ended", text, edits, Safety.UNSAFE)
    variable = words[1].strip("\"'").removeprefix("$").strip("{}") if len(words) == 2 else ""
    lines: list[str] = []
    if not variable.isidentifier():
        if not (len(words) == 1 or words[1].strip("\"'") == "$!") or not _follows_job(text, ending, first.start):
            return forward_and_wait(problem, "wait until the server has ended")
        variable = "pid"
        lines.append("pid=$!")
    lines += wait_lines(variable)
    if not text.content[end:].strip():
        lines.append('exit "$rc"')
    block = text.eol.join(f"{indent}{line}" for line in lines)
    return with_window(
        project, program, "wait until the server has ended", text, [Edit(start, end, block)], Safety.UNSAFE
    )


def _only_waits(between: str) -> bool:
    """Whether nothing but other waits, and traps that are taken away, stands between two waits."""
    return all(
        not line.strip() or line.split()[0] == "wait" or line.split()[:2] == ["trap", "-"]
        for line in between.splitlines()
    )


def _follows_job(text: Text, ending: Ending, at: int) -> bool:
    """Whether nothing stands between the job and its wait, so that $! is the job's."""
    return not text.content[ending.end : at].strip()


def _name(problem: Problem) -> str:
    word = problem.argv[0] if problem.argv else "the server"
    return "the command" if word.startswith("$") else base(word)


def server_name(problem: Problem) -> str:
    """The server as messages name it."""
    if not problem.argv or problem.argv[0].startswith("$"):
        return "the server"
    more = 2 if problem.argv[1:2] == ("-m",) else 1  # python -m gunicorn
    words = [base(problem.argv[0]), *problem.argv[1 : 1 + more]]
    return " ".join(words) if words[0] in {"python", "python3", "node", "java", "bundle", "npm"} else words[0]
