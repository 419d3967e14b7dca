"""Sentences and fixes of the rules about start commands: long enough to stand apart from the rules that use them."""

from __future__ import annotations

import json
import re

from lameduck.core.finding import Edit, Fix, Safety
from lameduck.defects.lintkit import advice, fix_of
from lameduck.defects.scriptfix import graceful_signal, server_name, with_window
from lameduck.manifests.chain import Problem
from lameduck.manifests.dockerfile import Instruction
from lameduck.manifests.endings import Way
from lameduck.manifests.imagefiles import in_context
from lameduck.manifests.launch import Launch
from lameduck.manifests.programs import base
from lameduck.manifests.project import Program, Project
from lameduck.manifests.text import Text
from lameduck.manifests.unwrap import inner, split


def swallowed(problem: Problem) -> str:
    """LD401's sentence."""
    shell, name, signal = problem.shell or "the shell", server_name(problem), problem.signal
    ending = problem.ending
    if problem.init:
        return (
            f"{problem.init} passes SIG{signal} to {shell} alone, which does not end of it while {name} runs: {name} "
            f"never hears of it and is killed at the end of the grace"
        )
    if problem.note:
        return f"{shell} is PID 1: {problem.note}, and {name} never hears of it and is killed"
    if ending is not None and ending.way is Way.WAIT:
        if ending.statement is not None and ending.statement.words[:1] == ("exec",):
            start = f"exec with & replaces a background subshell only: {shell} stays PID 1"
        else:
            start = f"{shell} is PID 1 and only waits for {name}"
        return (
            f"{start}, and without a trap it ignores SIG{signal}: {name} never hears of it "
            f"and is killed at the end of the grace"
        )
    return (
        f"{shell} is PID 1 and runs {name} as its child: it ignores SIG{signal}, and {name} never hears of it "
        f"and is killed at the end of the grace"
    )


def handler_text(problem: Problem) -> str:
    """What a handler that does not forward does instead."""
    handler = problem.trap.handler if problem.trap else None
    if problem.note:
        return problem.note
    if handler is not None and handler.kills:
        return "sends KILL"
    if handler is not None and handler.exits:
        return "only exits"
    return "does not pass it on"


def other_signal(problem: Problem, launch: Launch) -> str:
    """LD413's sentence."""
    if problem.note:
        return f"{problem.note}: requests in flight are cut"
    trapped = " and ".join(f"SIG{one}" for one in (problem.trap.signals if problem.trap else ()))
    source = f", inherited from {launch.base.name}" if launch.stop_from is None and launch.base.name else ""
    return (
        f"the runtime sends SIG{problem.signal}{source}, and this script traps {trapped} only: "
        f"the shell ignores it, and {server_name(problem)} is killed at the end of the grace"
    )


def trap_the_signal(problem: Problem) -> Fix | None:
    """Trap the signal that is sent, and forward it unchanged."""
    trap, text, signal = problem.trap, problem.text, problem.signal
    wanted = graceful_signal(problem)
    title = f"trap SIG{signal} and {'forward it unchanged' if wanted == signal else f'send {wanted}'}"
    if trap is not None and signal in trap.signals:
        title = f"send {wanted}, on which {server_name(problem)} drains"
    hint = advice(title, f'trap \'kill -{wanted} "$pid"; wait "$pid"; exit $?\' {signal}\n')
    if trap is None or problem.in_code:
        return hint
    edits = [] if signal in trap.signals else [Edit(trap.end, trap.end, f" {signal}")]
    sends = list(re.finditer(r"\bkill\s+(?:-s\s+|-)((?:SIG)?(?:TERM|INT)|15|2)\b", text.content))
    plain = list(re.finditer(r"\bkill\s+(?=[\"']?\$)", text.content))
    if len(sends) == 1:
        edits.append(Edit(sends[0].start(1), sends[0].end(1), wanted))
    elif not sends and len(plain) == 1:
        edits.append(Edit(plain[0].end(), plain[0].end(), f"-{wanted} "))
    elif sends or plain or not edits or not trap.handler.opaque:
        return hint
    else:
        title = f"trap SIG{signal} too"
    return fix_of(title, Safety.SAFE, (text, edits))


def wrapper_fix(problem: Problem) -> Fix | None:
    """What to write instead of a wrapper that cuts or swallows."""
    name = base(problem.argv[0]) if problem.argv else ""
    inside = inner(problem.argv) if problem.argv else ()
    if name in {"su", "runuser"}:
        user = next((word for word in problem.argv[1:] if not word.startswith("-") and "/" not in word), "USER")
        command = inside[2] if inside[:2] == ("sh", "-c") else " ".join(inside) or "SERVER"
        plain = split(command)
        inner_text = command if plain else f"sh -c 'exec {command}'"
        return advice(
            "setpriv (or gosu, or USER in the image)",
            f"exec setpriv --reuid {user} --regid {user} --init-groups {inner_text}\n",
        )
    if name in {"conda", "mamba"}:
        environment = next(
            (problem.argv[i + 1] for i, word in enumerate(problem.argv[:-1]) if word in {"-n", "--name"}), "ENVIRONMENT"
        )
        words = [f"/opt/conda/envs/{environment}/bin/{inside[0]}", *inside[1:]] if inside else ["SERVER"]
        return advice("the environment's own program, by its path", f"ENTRYPOINT {json.dumps(words)}\n")
    if name in {"apachectl", "apache2ctl"}:
        return advice(
            "apache2 itself, and its graceful signal in the Dockerfile (STOPSIGNAL SIGWINCH)",
            f". /etc/apache2/envvars; exec apache2 {' '.join(problem.argv[1:])}\n",
        )
    if not name or "loop" in problem.note:
        return advice("no loop: the kubelet restarts the container", "exec SERVER ARGUMENTS\n")
    return advice("the program itself", f"exec {' '.join(inside)}\n") if inside else None


def launcher_fix(project: Project, program: Program, problem: Problem) -> Fix | None:
    """The script's own command in the place of npm start and its like, where package.json says it."""
    launch = program.launch
    instruction, dockerfile = launch.instruction, launch.dockerfile
    words = [word for word in problem.argv[1:] if not word.startswith("-") and word not in {"run", "run-script"}]
    if instruction is None or dockerfile is None or instruction.json is None or tuple(instruction.json) != problem.argv:
        return None
    if base(problem.argv[0]) == "npx" and words:
        return None
    found = in_context("package.json", dockerfile, project.read)
    try:
        package = json.loads(found.content) if found else {}
        command = package["scripts"][words[0] if words else "start"]
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    plain = split(command) if isinstance(command, str) else None
    if not plain or base(plain[0]) not in {"node", "bun", "deno", "tsx"}:
        return None  # anything else is found through node_modules/.bin, by npm
    edit = Edit(instruction.value_start, instruction.end, json.dumps(list(plain)))
    return with_window(project, program, f"{plain[0]} itself", instruction.text, [edit], Safety.UNSAFE)


def shell_form(problem: Problem) -> str:
    """LD501's sentence."""
    shell, name = problem.shell, server_name(problem)
    if problem.replaced:
        return (
            f"{shell} -c replaces itself by {name}, so the stop signal arrives; "
            f"under another base image's shell (dash) it would not"
        )
    if problem.replaced is None:
        return (
            f"whether the stop signal reaches {name} depends on the image's shell: "
            f"dash (Debian, Ubuntu) stays in front of it, busybox ash and bash replace themselves"
        )
    return (
        f"the process that receives SIG{problem.signal} is {shell} -c, not {name}: the shell ignores it as PID 1, "
        f"and {name} is killed at the end of the grace"
    )


def json_or_exec(project: Project, program: Program, problem: Problem) -> Fix | None:
    """The JSON form where no shell is needed, else exec in front."""
    launch = program.launch
    instruction, code = launch.instruction, launch.code
    if code is None or problem.ending is None:
        return None
    if instruction is not None and launch.code_form in {"shell", "exec"} and instruction.text is problem.text:
        words = split(code.code)
        if words is not None and not _has_comment(instruction):
            return _json(project, program, problem, instruction, words)
    at = problem.ending.word_start
    text = problem.text
    if not text.content.startswith(problem.ending.argv[0], at) and text.content[at : at + 1] not in "$\"'":
        return None
    return _weigh(project, program, problem, "exec", text, [Edit(at, at, "exec ")], Safety.UNSAFE)


def _json(
    project: Project, program: Program, problem: Problem, instruction: Instruction, words: tuple[str, ...]
) -> Fix | None:
    stage = program.launch.stage
    takes_cmd = (
        instruction.name == "ENTRYPOINT"
        and program.launch.code_form == "shell"
        and stage is not None
        and stage.last("CMD") is not None
    )
    safety = Safety.UNSAFE if takes_cmd else Safety.SAFE
    edit = Edit(instruction.value_start, instruction.end, json.dumps(list(words)))
    return _weigh(project, program, problem, "the exec form", instruction.text, [edit], safety)


def _weigh(
    project: Project, program: Program, problem: Problem, title: str, text: Text, edits: list[Edit], safety: Safety
) -> Fix | None:
    if problem.replaced is not False:  # nothing about the signal changes
        return fix_of(title, safety, (text, edits))
    return with_window(project, program, title, text, edits, safety)


def _has_comment(instruction: Instruction) -> bool:
    return "#" in instruction.text.content[instruction.start : instruction.end]
