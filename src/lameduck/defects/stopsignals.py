"""The stop signal against the server that gets it: unsuited, or inherited from an image of another server.

Law: only known servers and known signals are judged. A chain whose signal is swallowed on the way has another defect;
what the signal would have done is then not said.
"""

from __future__ import annotations

from dataclasses import dataclass

from lameduck.core.finding import Edit, FileSpan, Fix, Safety
from lameduck.defects.lintkit import advice, fix_of
from lameduck.manifests.chain import Trouble
from lameduck.manifests.programs import SERVERS, Server, base
from lameduck.manifests.project import Program


@dataclass(frozen=True, slots=True)
class Unsuited:
    """A known server and the signal that does not drain it."""

    server: Server
    signal: str
    source: str
    """Where the signal comes from, as a clause of a sentence."""
    foreign: bool
    """Whether it is inherited from a base image with another server: then LD506 is about it."""


def unsuited(program: Program) -> Unsuited | None:
    """The server and the signal, where the signal is known not to drain it."""
    launch, chain = program.launch, program.chain
    server, signal = chain.server, chain.server_signal
    if server is None or signal is None or not server.graceful or signal in server.graceful or chain.supervisor:
        return None
    if signal in {"KILL", "STOP"}:
        return None  # LD504 is about these
    if signal not in server.cuts and signal not in {"WINCH", "USR1", "HUP"} | set(server.cuts):
        return None
    if any(one.trouble not in {Trouble.SHELL_FORM} or not one.replaced for one in chain.problems):
        return None
    if launch.stop_from is None and not launch.stop_in_manifest and not launch.base.known:
        return None
    foreign = launch.stop_inherited and launch.stop_from is None and launch.base.server not in {"", server.name}
    return Unsuited(server, signal, _source(program), foreign)


def _source(program: Program) -> str:
    launch = program.launch
    if launch.stop_in_manifest:
        return " (stopSignal of the container)"
    if launch.stop_from is not None:
        return " (STOPSIGNAL)"
    return f" (inherited from {launch.base.name})" if launch.stop_inherited else " (the default)"


def inherited(program: Program) -> tuple[str, str, str, str] | None:
    """A program, its inherited signal, the base image, and the signal it wants; None when they suit."""
    launch, chain = program.launch, program.chain
    signal = chain.server_signal
    if not launch.stop_inherited or launch.stop_from is not None or launch.stop_in_manifest or not launch.base.server:
        return None
    if not chain.seen or not chain.server_argv or chain.supervisor or signal in {None, "TERM"}:
        return None
    if chain.problems and any(one.trouble is not Trouble.SHELL_FORM for one in chain.problems):
        return None
    server = chain.server
    if server is not None and (server.name == launch.base.server or signal in server.graceful):
        return None
    if server is None and launch.argv is not None and launch.instruction is None and launch.container is None:
        return None
    wanted = server.graceful[0] if server is not None and server.graceful else "TERM"
    name = server.name if server is not None else base(chain.server_argv[0])
    if name.startswith("$") or (name not in SERVERS and launch.base.server in {"httpd", "nginx"} and "fpm" in name):
        return None
    return name, str(signal), launch.base.name, wanted


def signal_place(program: Program) -> FileSpan:
    """Where the stop signal is decided: its own line, the FROM line it is inherited by, or the server's line."""
    launch = program.launch
    if launch.stop_in_manifest and launch.container is not None:
        return launch.container.lifecycle["stopSignal"].entry_span
    if launch.stop_from is not None:
        return launch.stop_from.span
    if launch.stop_inherited and launch.stage is not None:
        return launch.stage.root.start.span
    if launch.stage is not None and launch.instruction is None:
        return launch.stage.root.start.span
    if program.chain.server_at is not None:
        text, start, end = program.chain.server_at
        return text.span(start, end)
    return launch.text.span(launch.start, launch.end)


def signal_fix(program: Program, wanted: str) -> Fix | None:
    """STOPSIGNAL in the Dockerfile: changed where it is, else a line before the start command."""
    launch = program.launch
    if launch.stop_in_manifest and launch.container is not None:
        node = launch.container.lifecycle["stopSignal"]
        return fix_of(
            f"stopSignal SIG{wanted}", Safety.UNSAFE, (node.text, [Edit(node.start, node.end, f"SIG{wanted}")])
        )
    line = launch.stop_from
    if line is not None:
        edit = Edit(line.value_start, line.end, f"SIG{wanted}")
        return fix_of(f"STOPSIGNAL SIG{wanted}", Safety.UNSAFE, (line.text, [edit]))
    if launch.dockerfile is None or launch.stage is None:
        return advice("the signal in the image", f"STOPSIGNAL SIG{wanted}\n")
    text = launch.dockerfile.text
    stage = launch.stage
    anchor = launch.instruction if launch.instruction in stage.instructions else None
    if anchor is not None:
        at = text.line_start(anchor.start)
        return fix_of(
            f"STOPSIGNAL SIG{wanted}", Safety.UNSAFE, (text, [Edit(at, at, f"STOPSIGNAL SIG{wanted}{text.eol}")])
        )
    last = stage.instructions[-1] if stage.instructions else stage.start
    end = text.line_end(max(last.end, *(body.end for body in last.heredocs), 0) if last.heredocs else last.end)
    return fix_of(
        f"STOPSIGNAL SIG{wanted}", Safety.UNSAFE, (text, [Edit(end, end, f"{text.eol}STOPSIGNAL SIG{wanted}")])
    )
