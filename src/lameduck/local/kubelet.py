"""One pod's kubelet: `core.pod` decides, a holder does, and every milestone is observed.

Law: an event is stepped with the instant at which the holder saw it, so that a busy event loop shifts no milestone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from io import SEEK_END
from pathlib import Path
from typing import Any, Protocol

from lameduck.cluster import Observer, PodView
from lameduck.core import journal
from lameduck.core import pod as life
from lameduck.core.instants import MILLISECOND
from lameduck.core.timeline import Event as Fact
from lameduck.core.timeline import Milestone, Observation
from lameduck.local.channel import Message
from lameduck.local.link import Holder
from lameduck.local.pool import SocketPool
from lameduck.local.timer import Timer

WATCH_CLOSELY = 10 * MILLISECOND
WATCH_LOOSELY = 50 * MILLISECOND
TAIL = 20
"""So many last lines of its output does a pod that never became ready get."""
END_OF_LOG = 1 << 20
"""In so many last bytes of its output is a pod's journal looked for, since it is the end of a pod that it tells of."""


class Control(Protocol):
    """What a kubelet tells the rest of the control plane."""

    def endpoint(self, pod: KubeletPod, endpoint: life.Publish | life.Withdraw) -> None:
        """The pod's entry in the EndpointSlice changed."""

    def condition(self, pod: KubeletPod, ready: bool) -> None:
        """The pod's condition Ready changed."""

    def running(self, pod: KubeletPod) -> None:
        """Its first process runs."""

    def gone(self, pod: KubeletPod) -> None:
        """Its object is gone."""

    def heard(self, pod: KubeletPod) -> None:
        """Its listeners changed."""

    def crashed(self, pod: KubeletPod, why: str) -> None:
        """It ended, or could not start, though nobody had asked it to end."""

    def fault(self, pod: KubeletPod, why: str) -> None:
        """Its holder failed: our own fault."""

    def port(self, pod: KubeletPod) -> int:
        """The port its container serves on; 0 while that is not known."""

    @property
    def port_hint(self) -> str:
        """What to do if nobody listens there, "" if there is nothing to say."""


class KubeletPod:
    """A pod with its holder, its sockets and its timer. `command` and `environment` are its container's."""

    def __init__(
        self,
        *,
        pod: life.Pod,
        holder: Holder,
        address: str,
        command: tuple[str, ...],
        environment: Mapping[str, str],
        output: Path,
        control: Control,
        observe: Observer,
        clock: Callable[[], int],
    ) -> None:
        self.pod = pod
        self.ip = address
        self.output = output
        self.pool = SocketPool(lambda count: holder.tell("sockets", count=count), holder.wait)
        self.listeners: list[tuple[int, str, bool]] = []
        """(port, text, whether a connection to the pod's address arrives there)"""
        self._holder = holder
        self._command = command
        self._environment = dict(environment)
        self._control = control
        self._observe = observe
        self._clock = clock
        self._timer = Timer(clock, lambda: self.feed(life.Tick()))
        holder.listen(self._hear, self.pool.add)

    def __repr__(self) -> str:
        return f"<KubeletPod {self.name} {life.stage(self.pod)}>"

    @property
    def name(self) -> str:
        """The pod's name."""
        return self.pod.name

    @property
    def address(self) -> tuple[str, int]:
        """Where to connect."""
        return self.ip, self._control.port(self)

    def view(self) -> PodView:
        """The pod as the live view shows it."""
        stage = life.stage(self.pod)
        return PodView(self.name, stage, self.pod.since, self.why_not_ready() if stage == "not ready" else "")

    def why_not_ready(self) -> str:
        """What keeps it from being ready, in words."""
        probe, port = self.pod.probe, self._control.port(self)
        if probe is None:
            return "it has not started"
        if port and self.reaches(port):
            return probe.message or "its probe has not answered"
        shut = [text for number, text, reached in self.listeners if not reached and port in {0, number}]
        if shut:
            return f"it listens on {', '.join(shut)} only, which nobody outside the pod can reach: bind 0.0.0.0"
        if not port:
            return "it listens on no port"
        others = " and ".join(str(number) for number, _, reached in self.listeners if reached)
        return f"nobody listens on port {port}{', but on ' if others else ''}{others}{self._control.port_hint}"

    def tail(self) -> str:
        """The last lines of its output."""
        try:
            lines = self.output.read_text(errors="replace").splitlines()
        except OSError:
            return ""
        return "\n".join(lines[-TAIL:])

    def reaches(self, port: int) -> bool:
        """Whether somebody listens on this port of the pod's address."""
        return any(reached and number == port for number, _, reached in self.listeners)

    def feed(self, event: life.Event, at: int | None = None) -> None:
        """Something happened to the pod, at an instant (now, if it is not said)."""
        now = self._clock() if at is None else at
        self.pod, effects = life.step(self.pod, event, now)
        self._timer.set(life.due(self.pod))
        for effect in effects:
            self._perform(effect, now)

    def close(self) -> None:
        """Take it down, whatever it does."""
        self._timer.cancel()
        self.pool.close()
        self._holder.close()

    def _perform(self, effect: life.Effect, now: int) -> None:
        tell = self._holder.tell
        match effect:
            case life.Report(what, detail):
                self._report(what, now, detail)
            case life.Run():
                tell("watch", every=WATCH_CLOSELY)
                tell("run", command=self._command, environment=self._environment)
            case life.Ask(spec):
                self._ask("probe", spec.path, timeout=spec.timeout)
            case life.RunHook(hook) if hook.kind is life.HookKind.EXEC:
                tell("hook", command=hook.command, environment=self._environment)
            case life.RunHook(hook):
                self._ask("hook", hook.path, hook.port, agent="kube-lifecycle/1.34", any_status=True)
            case life.Signal(number):
                tell("watch", every=WATCH_CLOSELY)
                tell("signal", signal=number)
            case life.Kill():
                tell("kill")
            case life.Silence():
                tell("silence", port=self._control.port(self))
            case life.Publish() | life.Withdraw():
                self._control.endpoint(self, effect)
            case life.ConditionReady(ready):
                if ready and self.pod.deleted is None:
                    tell("watch", every=0)
                    self.pool.fill()
                self._control.condition(self, ready)

    def _report(self, what: Milestone | Fact, at: int, detail: Mapping[str, Any]) -> None:
        precision = WATCH_CLOSELY if what in {Milestone.LISTENING, Milestone.LISTENER_CLOSED} else 0
        self._observe(Observation(at, what, self.name, precision, "local", detail))
        if what is Milestone.DELETION_REQUESTED:
            self._holder.tell("watch", every=WATCH_LOOSELY)
        elif what is Milestone.EXITED:
            self._holder.tell("watch", every=0)
            self._read_journal(at)
        elif what is Milestone.STARTED:
            self._control.running(self)
        elif what is Milestone.GONE:
            self._timer.cancel()
            self._control.gone(self)

    def _ask(self, name: str, path: str, port: int = 0, **how: Any) -> None:
        port = port or self._control.port(self)
        if port:
            question = {"name": name, "address": self.ip, "port": port, "path": path, **how}
            self._holder.tell("ask", question=question)
        else:
            self._answered(name, False, "nobody listens", self._clock())

    def _answered(self, name: str, ok: bool, message: str, at: int) -> None:
        self.feed(life.Probed(ok, message) if name == "probe" else life.HookEnded(ok, message), at)

    def _hear(self, message: Message) -> None:
        at = message["at"]
        match message["saw"]:
            case "started":
                self._note(at, {"pid": message["pid"]})
                self.feed(life.Started(), at)
            case "failed":
                self._control.crashed(self, f"{self._command[0]}: {message['message'].lower()}")
                self.feed(life.Exited(128), at)
            case "listeners":
                self.listeners = [(port, text, reached) for port, text, reached in message["listeners"]]
                self._control.heard(self)
                self.look(at)
            case "answer":
                self._answered(message["to"], message["ok"], message["message"], at)
            case "hook ended":
                self.feed(life.HookEnded(message["ok"], message["message"], message.get("missing", False)), at)
            case "signalled":
                detail = {key: value for key, value in message.items() if key not in {"saw", "at"}}
                self._report(Milestone.STOP_SIGNAL, at, detail)
            case "exited":
                self.listeners = []
                if self.pod.deleted is None:
                    self._control.crashed(self, f"it ended with exit code {message['code']}")
                self._note(at, message["facts"])
                self.feed(life.Exited(message["code"]), at)
            case "not silent":
                self._note(at, {"not_silent": message["message"]})
            case "lost" | "fault" as what:
                self._control.fault(self, message.get("message") or f"the process that holds it was {what}")

    def _note(self, at: int, facts: Mapping[str, Any]) -> None:
        if facts:
            self._observe(Observation(at, Fact.POD_FACT, self.name, source="local", detail=facts))

    def _read_journal(self, until: int) -> None:
        """What `lameduck-pod` in the pod says of its end. Its clock is ours."""
        for entry in journal.entries(self._end_of_log()):
            if self.pod.deleted is not None and self.pod.deleted <= entry.monotonic <= until:
                seen = journal.observation(entry, self.name, entry.monotonic)
                if seen is not None:
                    self._observe(seen)

    def _end_of_log(self) -> list[str]:
        try:
            with self.output.open("rb") as log:
                log.seek(max(0, log.seek(0, SEEK_END) - END_OF_LOG))
                data = log.read()
        except OSError:
            return []
        return data.decode(errors="replace").splitlines() if journal.BEGINNING.encode() in data else []

    def look(self, at: int) -> None:
        """Compare what listens with what the pod is known to do."""
        port = self._control.port(self)
        if port and self.pod.phase is life.Phase.RUNNING:
            self.feed(life.Listening(self.reaches(port)), at)
