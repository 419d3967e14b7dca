"""The lame-duck layer of one process, which `asgi`, `wsgi` and the adapters share: counts, decides, holds the signal.

Law: as long as nothing is being stopped it costs two counter steps a request and no thread that stays; what it
cannot do on the server at hand it says once on standard error, and serves on.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import time
from collections.abc import Callable, Iterator

from lameduck_pod import farewell, gate
from lameduck_pod.draining import EVERY, Reader
from lameduck_pod.gate import CLOSED, READY, State
from lameduck_pod.hold import Hold, real, start_thread
from lameduck_pod.journal import Journal, pod_name
from lameduck_pod.servers import untold
from lameduck_pod.settings import FAIL, Settings
from lameduck_pod.spans import SECOND, human

TICK = SECOND // 50
OWN_STOP = 2 * SECOND
"""What is registered with `atexit` gets so long in a server without a stop of its own; ns."""
FAREWELL = SECOND
"""Connections that are never idle hold the server's own stop up no longer; ns."""
SETTLING = (0.05, 0.2, 0.75, 4)
"""Seconds after which the hold is looked at again, one after the other, once it serves."""
PROBES = ("kube-probe/", "GoogleHC/", "ELB-HealthChecker/", "Prometheus/")

Hook = Callable[[], object]


class Layer:
    """One process's layer. Thread-safe; make it in the main thread where that is possible."""

    def __init__(self, settings: Settings, on_lame_duck: Hook | None = None, on_drained: Hook | None = None) -> None:
        self.settings = settings
        self.on_lame_duck, self.on_drained = on_lame_duck, on_drained
        self.state = State()
        self.speaks = bool(settings.status_path) or settings.readiness == FAIL
        """Whether there is a path that it `answers` itself."""
        self.lame = False
        """Whether answers ask to be the last on their connection."""
        self.in_flight = 0
        self.served = 0
        self.last = 0
        self.multiplexed = False
        """Whether a client has spoken HTTP/2: there the server's own stop is better (GOAWAY) than the bare end."""
        self.watchers: dict[int, Callable[[], object]] = {}
        """Long-lived connections; each is told once, spread over `least`."""
        self.journal = Journal("layer", settings.journal)
        self.hold = Hold(self._stop_signal)
        self._counting = real("_thread", "allocate_lock")()
        self._deciding = real("_thread", "allocate_lock")()
        self._next_look = 0
        self._stops: list[int] = []
        self._watch_number = 0
        self._said: set[str] = set()
        self._untold: str | None = None
        self._pid = os.getpid()
        self._reader = Reader(pod_name(), settings.token)
        self.hold.open_door()
        self.hold.check()

    def enter(self) -> None:
        """A request has come."""
        with self._counting:
            self.in_flight += 1
        self._look_if_due()

    def last_answer(self) -> bool:
        """Whether the answer that starts now is its connection's last; looks anew where others hold the signal."""
        if not self.lame and self._untold:
            self._look_if_due()
        return self.lame

    def _look_if_due(self) -> None:
        now = time.monotonic_ns()
        if now >= self._next_look:
            self._next_look = now + EVERY
            self._look(now)

    def leave(self, counts: bool = True) -> None:
        """It has been answered. `counts`: it was a client's and not a probe's."""
        with self._counting:
            self.in_flight -= 1
            self.served += 1
        if self.lame:
            now = time.monotonic_ns()
            if counts:
                self.last = now
            self._look(now)

    @contextlib.contextmanager
    def working(self) -> Iterator[None]:
        """Holds the stop back as a request does: for background work that must finish."""
        self.enter()
        try:
            yield
        finally:
            self.leave()

    def counts(self, path: str, agent: str) -> bool:
        """Whether a request is a client's: neither a probe nor one of the ignored paths."""
        return path not in self.settings.ignore and not agent.startswith(PROBES)

    def not_ready(self, path: str) -> bool:
        """Whether the layer itself answers 503 to a request for this path."""
        return self.lame and self.settings.readiness == FAIL and path == self.settings.readiness_path

    def answers(self, path: str) -> bool:
        """Whether the layer itself answers a request for this path: its status, or not ready."""
        mine = self.settings.status_path
        return (bool(mine) and (path == mine or path.startswith(mine + "/"))) or self.not_ready(path)

    def watch(self, tell: Callable[[], object]) -> int:
        """`tell` will be called when the lame duck begins, from another thread; a number for `unwatch`."""
        with self._counting:
            self._watch_number += 1
            number = self._watch_number
            self.watchers[number] = tell
        if self.lame:
            start_thread(self._tell_watchers)
        return number

    def unwatch(self, number: int) -> None:
        """The connection has ended."""
        with self._counting:
            self.watchers.pop(number, None)

    def serving(self) -> None:
        """The server runs: take its handler over, where it is in the main thread."""
        self.hold.check()
        if self._untold is None:
            self._untold = untold()
            start_thread(self._settle)
        if self.obstacle:
            self.say(
                "not-held",
                f"the stop signal cannot be held back here, since {self.obstacle}: answers still say "
                "`Connection: close` while `lameduck-pod run --delay` or `drain` waits; use one of them",
            )

    def say(self, event: str, message: str, **facts: object) -> None:
        """One line in the pod's log; the same one only once."""
        if message not in self._said:
            self._said.add(message)
            self.journal.write(event, message, **facts)

    def _settle(self) -> None:
        """Servers start in steps, and take handlers and wake-up descriptors anew in each (uvloop in every run)."""
        sleep = real("time", "sleep")
        for wait in SETTLING:
            sleep(wait)
            self.hold.knock()

    @property
    def obstacle(self) -> str:
        """Why the stop signal cannot be held back in this process, for people; "" where it can."""
        return self._untold or self.hold.obstacle

    @property
    def held(self) -> bool:
        """Whether the stop signal will be held back in this process."""
        return self.hold.held and not self._untold

    def _look(self, now: int) -> None:
        if self._pid != os.getpid():
            self._after_fork()
        self.serving()
        if not self._deciding.acquire(False):  # another thread is at it
            return
        try:
            before = self.state
            drains = self._reader.look(self.in_flight)
            if drains and before.until is None and self._reader.until:
                self.state = gate.step(self.state, gate.Heard(self._reader.until), now, self.settings.rules)
            elif not drains and before.until is not None:
                self.state = gate.step(self.state, gate.Released(), now, self.settings.rules)
            self.state = gate.step(self.state, gate.Look(self.in_flight, self.last), now, self.settings.rules)
            self._effects(before)
        finally:
            self._deciding.release()

    def _after_fork(self) -> None:
        """A new worker: nothing of the parent's requests and connections is ours."""
        self._pid = os.getpid()
        self._reader = Reader(pod_name(), self.settings.token)
        self.state, self.lame, self._stops = State(), False, []
        self.in_flight, self.served = 1, 0
        self._said.clear()
        self._untold = None

    def _effects(self, before: State) -> None:
        now_lame = self.state.phase != READY or bool(self._stops)  # told, and not yet decided
        if now_lame == self.lame and before.phase == self.state.phase:
            return
        self.lame = now_lame
        if before.phase == READY and now_lame:
            self.journal.write("lame-duck", self._sentence(), in_flight=self.in_flight, held=self.held)
            start_thread(self._begin)
        elif self.state.phase == CLOSED:
            waited = human(time.monotonic_ns() - (self.state.stop_at or 0))
            text = f"the server's own stop runs {waited} after the stop signal: {self.state.why}"
            self.journal.write("drained", text, in_flight=self.in_flight, served=self.served)
        elif self.state.phase == READY:
            self.journal.write("released", "no stop signal came: serving as before")

    def _sentence(self) -> str:
        why = "the stop signal came" if self.state.stop_at is not None else "this pod drains"
        return f"{why}: serving on and asking clients to leave; {self.in_flight} requests in hand"

    def _begin(self) -> None:
        self._call(self.on_lame_duck, "on_lame_duck")
        self._tell_watchers()

    def _tell_watchers(self) -> None:
        sleep = real("time", "sleep")
        with self._counting:
            waiting = list(self.watchers)
        window = self.settings.rules.least / SECOND / max(1, len(waiting))
        for number in waiting:
            with self._counting:
                tell = self.watchers.pop(number, None)
            if tell is not None:
                tell()
                sleep(window)

    def _call(self, hook: Hook | None, name: str) -> None:
        try:
            if hook is not None:
                hook()
        except Exception as e:  # a hook must not keep the server from stopping
            self.journal.write("hook-failed", f"{name} raised {type(e).__name__}: {e}")

    def _stop_signal(self) -> None:
        """In the main thread, inside the signal handler: takes no lock, since the code it interrupts may hold it."""
        self._stops.append(time.monotonic_ns())
        self.lame = True
        if len(self._stops) == 1:
            start_thread(self._wait)

    def _wait(self) -> None:
        sleep = real("time", "sleep")
        handled = 0
        while self.state.phase != CLOSED:
            with self._deciding:
                before = self.state
                while handled < len(self._stops):
                    self.state = gate.step(self.state, gate.Stop(), self._stops[handled], self.settings.rules)
                    handled += 1
                self._effects(before)
            self._next_look = 0
            self._look(time.monotonic_ns())
            if self.state.phase != CLOSED:
                sleep(TICK / SECOND)
        if self.state.calm and not self.multiplexed and self.hold.instead is None:
            self._end_idle()
        self._call(self.on_drained, "on_drained")
        if self.hold.default:
            self._leave()
        self.hold.pass_on()

    def _end_idle(self) -> None:
        def busy() -> bool:
            return self.in_flight > 0 or time.monotonic_ns() < self.last + farewell.STILL * SECOND // 1000

        sleep = real("time", "sleep")
        until = min(time.monotonic_ns() + FAREWELL, gate.end(self.state, self.settings.rules))
        while farewell.say(busy) and time.monotonic_ns() < until:
            sleep(TICK / SECOND)

    def _leave(self) -> None:
        """End the process of a server without a stop of its own: what `atexit` knows runs, and it serves on until then.

        To unwind its main thread instead would leave connections open for a while that nobody answers any more.
        """
        start_thread(self._leave_at_last)
        atexit._run_exitfuncs()
        os._exit(0)

    def _leave_at_last(self) -> None:
        real("time", "sleep")(OWN_STOP / SECOND)
        os._exit(0)
