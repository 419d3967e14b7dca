"""What becomes of the stop signal at one point where a script runs its server: the troubles, as facts.

Law: a trouble is stated only where the script and the tables decide it; a handler that cannot be seen through is never
blamed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from lameduck.core.finding import Confidence
from lameduck.manifests.chain import Problem, Trouble
from lameduck.manifests.endings import Ending, Way
from lameduck.manifests.programs import base, server_of
from lameduck.manifests.shell import Script
from lameduck.manifests.traps import Trap, together

STOPPING = ("TERM", "INT", "QUIT", "WINCH", "HUP", "USR1", "USR2")


@dataclass(frozen=True, slots=True)
class Setting:
    """The script, the shell that reads it, the init before it, and the signal that comes."""

    script: Script
    shell: str
    init: str
    signal: str
    in_code: bool
    heir: bool = False
    """Whether the init tells what its command leaves to stop, and waits for it."""

    def problem(self, trouble: Trouble, ending: Ending, place: tuple[int, int], trap: Trap | None = None) -> Problem:
        """A trouble of an ending, at a place of the script."""
        sure = Confidence.CERTAIN if ending.known and not ending.branch else Confidence.LIKELY
        return Problem(
            trouble,
            self.script.text,
            *place,
            argv=ending.argv,
            shell=self.shell,
            init=self.init,
            signal=self.signal,
            confidence=sure,
            ending=ending,
            trap=trap,
            script=self.script,
            in_code=self.in_code,
        )


def dies_of(signal: str, shell: str) -> bool:
    """Whether a shell that is not PID 1, has no trap and waits for a child in the foreground ends of a signal. Measured
    for TERM, USR1, QUIT, INT and WINCH: QUIT ends dash alone, INT is kept until the child ends, WINCH is nothing."""
    return signal not in {"INT", "WINCH", "QUIT"} or (signal == "QUIT" and shell == "dash")


def mended(problem: Problem, setting: Setting) -> bool:
    """Whether a PID 1 that is its command's heir makes a trouble none: the shell ends, and the server that it leaves is
    told and waited for. Measured with each script of ``tests/manifests/test_pid1_table.py``."""
    ending, trap = problem.ending, problem.trap
    if not setting.heir or ending is None:
        return False
    match problem.trouble:
        case Trouble.SWALLOWED | Trouble.INIT_SHELL | Trouble.PIPE | Trouble.TAIL | Trouble.WRAPPER:
            taken = any(setting.signal in one.taken(setting.shell) for one in ending.traps)
            return dies_of(setting.signal, setting.shell) and not taken
        case Trouble.INTERRUPTED:
            return True
        case Trouble.OTHER_SIGNAL:  # a trap of this signal that sends another; else the shell knows no trap for it
            return setting.signal not in (trap.taken(setting.shell) if trap else ()) and dies_of(
                setting.signal, setting.shell
            )
        case Trouble.NOT_FORWARDED:
            return _ends(ending, trap, setting)
    return False


def _ends(ending: Ending, trap: Trap | None, setting: Setting) -> bool:
    """Whether a shell that waits, and whose trap does not reach the server, ends all the same; also where that is
    unknown, since then nobody is blamed."""
    if trap is None or setting.signal not in trap.taken(setting.shell):
        return ending.child or dies_of(setting.signal, setting.shell)
    handler = trap.handler
    if handler.exits or handler.opaque:
        return True
    if handler.forwards and not (handler.prefixed and setting.shell == "dash"):
        return True  # what it does reach ends, and with it the wait
    return not (handler.waits or _waits_again(ending))


def _swallowed(setting: Setting) -> Trouble:
    return Trouble.INIT_SHELL if setting.init and dies_of(setting.signal, setting.shell) else Trouble.SWALLOWED


def troubles(ending: Ending, setting: Setting, sent: str | None) -> tuple[list[Problem], str | None]:
    """The troubles of one point where a server runs, and the signal that reaches it (None when that is unknown)."""
    here, shell = (ending.start, ending.end), setting.shell
    trap = next((one for one in reversed(ending.traps) if setting.signal in one.taken(shell)), None)
    if trap is not None and trap.ignores:
        return [setting.problem(Trouble.IGNORED, ending, (trap.start, trap.end), trap)], sent
    if ending.way is Way.WAIT:
        return _waiting(ending, trap, setting, sent)
    match ending.way:
        case Way.FOREGROUND:
            problem = setting.problem(Trouble.TRAP_FOREGROUND if trap else _swallowed(setting), ending, here, trap)
            leaves = trap is None and shell == "bash" and any("EXIT" in one.signals for one in ending.traps)
            note = f"bash runs its EXIT trap on SIG{setting.signal} and ends at once" if leaves else ""
            found = [replace(problem, note=note)]
        case Way.PIPE:
            found = [setting.problem(Trouble.PIPE, ending, here)]
        case Way.LOOP:
            note = "a loop in the shell starts the server again and again"
            found = [replace(setting.problem(Trouble.WRAPPER, ending, here), note=note)]
        case Way.TAIL:
            found = [setting.problem(Trouble.TAIL, ending, here)]
        case _:
            found = []
    return found, sent


def _waiting(ending: Ending, trap: Trap | None, setting: Setting, sent: str | None) -> tuple[list[Problem], str | None]:
    """A server in the background, and a script that waits for it."""
    leaving = next((one for one in reversed(ending.traps) if "EXIT" in one.signals), None)
    if trap is None:
        # bash runs its EXIT trap on a signal, dash and busybox ash do not (measured)
        if leaving is None or setting.shell in {"dash", "ash"}:
            return [_deaf(ending, leaving, setting)], sent
        trap, handler = leaving, replace(leaving.handler, exits=True)
    else:
        handler = together(trap.handler, leaving.handler) if leaving is not None else trap.handler
    place = (trap.start, trap.end)
    if handler.forwards != "same":
        sent = None if handler.opaque else handler.forwards or sent
    if handler.group:
        return [setting.problem(Trouble.STORM, ending, place, trap)], sent
    if handler.prefixed and setting.shell == "dash":
        note = "names a signal SIG... in its kill, which dash refuses"
        return [replace(setting.problem(Trouble.NOT_FORWARDED, ending, place, trap), note=note)], sent
    if not handler.forwards:
        blamed = handler.kills or not handler.opaque
        return [setting.problem(Trouble.NOT_FORWARDED, ending, place, trap)] if blamed else [], sent
    if _cuts(ending, handler.forwards):
        note = f"it sends {handler.forwards}, on which {base(ending.argv[0])} stops at once"
        return [replace(setting.problem(Trouble.OTHER_SIGNAL, ending, place, trap), note=note)], sent
    if ending.child:
        note = "reaches a shell in the background, which dies of it, not its child"
        return [
            replace(setting.problem(Trouble.NOT_FORWARDED, ending, (ending.start, ending.end), trap), note=note)
        ], sent
    if handler.waits or handler.opaque or _waits_again(ending):
        return [], sent
    ends = next((one for one in ending.waits if one.errexit and not one.guarded), None)
    last = ends or (ending.waits[-1] if ending.waits else None)
    spot = (last.start, last.end) if last and not handler.exits else place
    return [setting.problem(Trouble.INTERRUPTED, ending, spot, trap)], sent


def _deaf(ending: Ending, leaving: Trap | None, setting: Setting) -> Problem:
    """A shell that waits and has no trap for the signal that comes."""
    signal = setting.signal
    refused = next((one for one in ending.traps if signal in one.signals), None)
    if refused is not None:
        note = f"is refused by dash, which knows {signal} and not SIG{signal}"
        place = (refused.start, refused.end)
        return replace(setting.problem(Trouble.NOT_FORWARDED, ending, place, refused), note=note)
    others = [one for one in ending.traps if set(one.signals) & set(STOPPING) and _stops(one)]
    if others:
        return setting.problem(Trouble.OTHER_SIGNAL, ending, (others[0].start, others[0].end), others[0])
    problem = setting.problem(_swallowed(setting), ending, (ending.start, ending.end))
    note = f"{setting.shell} runs its EXIT trap only when it ends, not on SIG{signal}" if leaving else ""
    return replace(problem, note=note)


def _stops(trap: Trap) -> bool:
    """Whether a handler stops the server: by a signal, or by a program of its own, such as ``nginx -s quit``."""
    return bool(trap.handler.forwards) or (trap.handler.opaque and trap.handler.waits)


def _cuts(ending: Ending, signal: str) -> bool:
    server = server_of(ending.argv)
    return server is not None and signal in server.cuts


def _waits_again(ending: Ending) -> bool:
    """Whether a wait comes after the one that the signal ends; under errexit an unguarded one ends the script."""
    first, *rest = ending.waits or (None,)
    if first is None or (first.errexit and not first.guarded):
        return False
    return first.looped or bool(rest)
