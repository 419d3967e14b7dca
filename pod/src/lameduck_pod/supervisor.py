"""PID 1 at work: wait for one signal or deadline, `policy.step`, do what it says. No decision is made here.

Law: one place waits (`sigtimedwait`, without end when nothing is due, so an idle pod costs no wake-up), all signals are
blocked all the time, and every child that has ended is reaped before the policy hears of it.
"""

from __future__ import annotations

import os
import signal
import time

from lameduck_pod import policy, processes, signals
from lameduck_pod.spans import SECOND
from lameduck_pod.terminal import Terminal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from lameduck_pod.journal import Journal
    from lameduck_pod.readiness import Readiness
    from lameduck_pod.record import Record
    from lameduck_pod.watch import Watch

FIRST_ASK, LAST_ASK = SECOND // 20, SECOND  # how often we look whether the command listens yet: less and less


class Supervisor:
    """Runs one command to its end. `is_ready` says what makes it ready, or ''; None: its start does. `watch` is
    for the lame-duck time; None: there is none."""

    def __init__(
        self,
        plan: policy.Plan,
        argv: Sequence[str],
        *,
        mask: Collection[int],
        journal: Journal,
        readiness: Readiness,
        is_ready: Callable[[], str] | None = None,
        watch: Watch | None = None,
    ) -> None:
        self.plan, self.argv, self.mask, self.journal = plan, argv, mask, journal
        self.readiness, self.is_ready, self.watch = readiness, is_ready, watch
        self.state = policy.State()
        self.terminal = Terminal()
        self.pid = 0
        self.code: int | None = None
        self.ask_at: int | None = None
        self.ask_every = FIRST_ASK
        self.oom_kills = processes.out_of_memory_kills()

    def run(self) -> int:
        """The exit code."""
        while self._take(0):  # what came while the interpreter was starting
            pass
        if self.code is None:
            self._do(policy.Spawn())
        while self.code is None:
            looks = self.watch.due if self.watch else None
            due = [at for at in (policy.deadline(self.state), self.ask_at, looks) if at is not None]
            self._take(None if not due else max(0, min(due) - time.monotonic_ns()))
            self._look(time.monotonic_ns())
        self.terminal.take_back()
        return self.code

    def _take(self, wait: int | None) -> bool:
        """Waits for one signal, at most so long, and handles it."""
        got = signal.sigwaitinfo(signals.KEPT) if wait is None else signal.sigtimedwait(signals.KEPT, wait / SECOND)
        if got is None:
            return False
        if got.si_signo == signal.SIGCHLD:
            self._reap()
        else:
            self._feed(policy.Signalled(number=got.si_signo, sender=_sender(got.si_code, got.si_pid)))
        return True

    def _look(self, now: int) -> None:
        due = policy.deadline(self.state)
        over = due is not None and now >= due
        if self.watch and self.watch.due is not None and (over or now >= self.watch.due):
            left = self.watch.look(now)  # before the policy's deadline: it knows who was still busy when time ran out
            if left:
                self._feed(policy.Quiet(why=left.why, facts=left.facts))
        if over:
            self._feed(policy.Woke())
        if self.ask_at is not None and now >= self.ask_at:
            self._ask(now)

    def _ask(self, now: int) -> None:
        what = self.is_ready() if self.is_ready and self.state.phase == "running" else ""
        if what:
            self._feed(policy.Ready(what=what))
        self.ask_every = min(2 * self.ask_every, LAST_ASK)
        self.ask_at = None if what or self.state.phase != "running" else now + self.ask_every

    def _feed(self, event: Record) -> None:
        self.state, effects = policy.step(self.plan, self.state, event, time.monotonic_ns())
        for effect in effects:
            if self.code is None:
                self._do(effect)
        if self.watch and self.state.phase != "lame":
            self.watch.stop()

    def _do(self, effect: Record) -> None:
        if isinstance(effect, policy.Spawn):
            self._start()
        elif isinstance(effect, policy.Send):
            self._send(effect.number, effect.pid)
        elif isinstance(effect, policy.SetReady):
            problem = self.readiness.set(effect.ready)
            if problem:
                self.journal.write("warning", problem)
        elif isinstance(effect, policy.PublishDraining) and self.watch:
            self.watch.start(self.state.stopped or time.monotonic_ns(), effect.until, effect.watch)
        elif isinstance(effect, policy.Note):
            self.journal.write(effect.event, effect.message, **effect.facts)
        elif isinstance(effect, policy.KillAll):
            self._kill_all(effect.why)
        elif isinstance(effect, policy.Exit):
            self.code = effect.code

    def _start(self) -> None:
        try:
            self.pid = processes.start(self.argv, self.mask)
        except processes.NotStartedError as e:
            self._feed(policy.NotStarted(code=e.code, why=str(e)))
            return
        self.terminal.give(self.pid)
        facts = {"pid": self.pid, "command": self.argv[0], "pid1": os.getpid() == 1}
        self.journal.write("started", f"{self.argv[0]} started (pid {self.pid})", **facts)
        self._feed(policy.Started(pid=self.pid))
        if self.is_ready:
            self.ask_at = time.monotonic_ns()
        else:
            self._do(policy.SetReady(ready=True))  # nobody said what else ready means

    def _send(self, number: int, pid: int | None) -> None:
        try:
            if pid is not None:
                os.kill(pid, number)
            elif self.plan.group:
                os.killpg(self.pid, number)
            else:
                os.kill(self.pid, number)
                self._warn_of_deaf(number)
        except ProcessLookupError:
            pass  # it has ended; its SIGCHLD is on the way
        except OSError as e:
            self.journal.write("warning", f"{signals.name(number)} could not be sent: {e.strerror}")

    def _warn_of_deaf(self, number: int) -> None:
        if number == self.plan.stop_signal and processes.ignores(self.pid, number):
            message = (
                f"the command ({processes.name(self.pid)}) ignores {signals.name(number)}: if it is a script, let it "
            )
            self.journal.write("warning", message + "`exec` its server, or say --group")

    def _reap(self) -> None:
        ended, more = processes.reap(untraced=self.terminal.ours)
        code: int | None = None
        for pid, status in ended:
            if pid != self.pid:
                continue
            if os.WIFSTOPPED(status):
                self.terminal.suspend_with(pid)
            else:
                code = os.waitstatus_to_exitcode(status)
        if code is None and self.state.code is None:
            return
        why = "out of memory" if code == -signal.SIGKILL and processes.out_of_memory_kills() > self.oom_kills else ""
        children, stop = processes.children() if more else (), self.plan.stop_signal
        catching = (
            frozenset(p for p in children if processes.catches(p, stop)) if stop != signal.SIGTERM else frozenset()
        )
        self._feed(policy.Reaped(code=code, children=children, catching=catching, why=why))

    def _kill_all(self, why: str) -> None:
        below = [pid for pid in processes.descendants() if processes.state(pid) not in ("Z", "")]
        who = self._describe(below)
        message = f"SIGKILL to {len(below)} process{'es' if len(below) != 1 else ''}, {why}: {'; '.join(who)}"
        self.journal.write("killed", message, processes=who, count=len(below))
        killed: set[int] = set()
        while below:  # again, since one of them may just have started another
            for pid in below:
                self._send(signal.SIGKILL, pid)
            killed.update(below)
            below = [pid for pid in processes.descendants() if pid not in killed]

    def _describe(self, pids: list[int]) -> list[str]:
        try:
            from lameduck_pod.watch import describe  # only when it has come to this

            return describe(pids)
        except (ImportError, OSError):
            return [processes.title(pid) for pid in pids[:20]]


def _sender(code: int, pid: int) -> str:
    if code > 0:
        return "the terminal or the kernel"
    return f"pid {pid} ({processes.name(pid)})" if pid else policy.OUTSIDE
