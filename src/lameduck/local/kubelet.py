"""One pod's kubelet: `core.pod` decides, a holder does, and every milestone is observed.

Law: an event is stepped with the instant at which the holder saw it, so that a busy event loop shifts no milestone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
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
from lameduck.local.mounting import Mount
from lameduck.local.pool import SocketPool
from lameduck.local.timer import Timer
from lameduck.manifests.programs import running

WATCH_CLOSELY = 10 * MILLISECOND
WATCH_LOOSELY = 50 * MILLISECOND
_COMMAND = "command"
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


@dataclass(frozen=True, slots=True)
class Inside:
    """What one container of a pod is started with: everything resolved, nothing left to look up."""

    command: tuple[str, ...]
    environment: Mapping[str, str]
    output: Path
    folder: str = ""
    mounts: tuple[Mount, ...] = ()

    def as_message(self) -> dict[str, object]:
        """As a holder is told."""
        return {
            "command": self.command,
            "environment": dict(self.environment),
            "output": str(self.output),
            "folder": self.folder,
            "mounts": self.mounts,
        }


class KubeletPod:
    """A pod with its holder, so many `sockets` at hand, and its timer. `inside` has its containers by name."""

    def __init__(
        self,
        *,
        pod: life.Pod,
        holder: Holder,
        address: str,
        inside: Mapping[str, Inside],
        control: Control,
        observe: Observer,
        clock: Callable[[], int],
        sockets: int,
    ) -> None:
        self.pod = pod
        self.ip = address
        self.inside = inside
        self.pool = SocketPool(lambda count: holder.tell("sockets", count=count), holder.wait, sockets)
        self.listeners: list[tuple[int, str, bool]] = []
        """(port, text, whether a connection to the pod's address arrives there)"""
        self._holder = holder
        self._command_over: Callable[[bool, str], None] | None = None
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
        server, port = self.pod.server, self._control.port(self)
        waiting = next(
            (one for one in self.pod.containers if not one.ready and one.phase is not life.Phase.EXITED), None
        )
        if waiting is not None and waiting is not server:
            probe = waiting.startup or waiting.readiness
            return f"container {waiting.name}: {_why(waiting.phase, probe.message if probe else '')}"
        if server is None or not server.started:
            return "it has not started"
        probe = server.startup or server.readiness
        if port and self.reaches(port) and probe is not None:
            return probe.message or "its probe has not answered"
        shut = [text for number, text, reached in self.listeners if not reached and port in {0, number}]
        if shut:
            return f"it listens on {', '.join(shut)} only, which nobody outside the pod can reach: bind 0.0.0.0"
        if not port:
            return "it listens on no port"
        others = " and ".join(str(number) for number, _, reached in self.listeners if reached)
        return f"nobody listens on port {port}{', but on ' if others else ''}{others}{self._control.port_hint}"

    def tail(self) -> str:
        """The last lines of its output: the serving container's, or of the one that keeps it from being ready."""
        waiting = [one.name for one in self.pod.containers if not one.ready and one.phase is not life.Phase.EXITED]
        name = waiting[0] if waiting else self.pod.spec.serving
        try:
            lines = self.inside[name].output.read_text(errors="replace").splitlines()
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
            case life.Run(name):
                tell("watch", every=WATCH_CLOSELY)
                tell("run", container=name, **self.inside[name].as_message())
            case life.Ask(spec, which, name) if spec.command:
                self._exec(name, which, spec.command, spec.timeout)
            case life.Ask(spec, which, name):
                self._ask(
                    name, which, spec.path, spec.port, timeout=spec.timeout, headers=spec.headers, scheme=spec.scheme
                )
            case life.RunHook(hook, which, name) if hook.kind is life.HookKind.EXEC:
                self._exec(name, which, hook.command)
            case life.RunHook(hook, which, name):
                self._ask(
                    name, which, hook.path, hook.port, agent="kube-lifecycle/1.34", any_status=True, scheme=hook.scheme
                )
            case life.Signal(number, name):
                tell("watch", every=WATCH_CLOSELY)
                tell("signal", container=name, signal=number, serving=name == self.pod.spec.serving)
            case life.Kill(name):
                tell("kill", container=name)
            case life.Silence():
                tell("silence", port=self._control.port(self))
            case life.Publish() | life.Withdraw():
                self._control.endpoint(self, effect)
            case life.ConditionReady(ready):
                if ready and self.pod.deleted is None:
                    self._watch_no_more()
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

    def _exec(self, container: str, which: str, command: tuple[str, ...], timeout: int = 0) -> None:
        message = {**self.inside[container].as_message(), "command": command, "mounts": ()}
        self._holder.tell("exec", container=container, which=which, timeout=timeout, **message)

    def run_command(self, command: tuple[str, ...], over: Callable[[bool, str], None]) -> None:
        """Run a command of the user's in the serving container; `over` gets whether it ended well, and why not."""
        self._command_over = over
        self._exec(self.pod.spec.serving, _COMMAND, command)

    @property
    def crashes(self) -> int:
        """How often the serving container ended though it was to go on."""
        return len(self.pod.server.ends) if self.pod.server else 0

    def crash(self) -> None:
        """The serving container's first process dies."""
        self._holder.tell("kill", container=self.pod.spec.serving)

    def _ask(self, container: str, which: str, path: str, port: int = 0, **how: Any) -> None:
        port = port or self._control.port(self)
        if port:
            question = {"name": f"{container}/{which}", "address": self.ip, "port": port, "path": path, **how}
            self._holder.tell("ask", question=question)
        else:
            self._answered({"container": container, "which": which, "ok": False, "message": "nobody listens"}, None)

    def _answered(self, message: Message, at: int | None) -> None:
        container, ok, why = message["container"], message["ok"], message["message"]
        if message["which"] == _COMMAND:
            if self._command_over is not None:
                self._command_over(ok, why)
            return
        which = life.Which(message["which"])
        if which in {life.Which.PRE_STOP, life.Which.POST_START}:
            missing, cut = message.get("missing", False), message.get("cut", False)
            self.feed(life.HookEnded(ok, why, missing, which, container, cut), at)
        else:
            self.feed(life.Probed(ok, why, which, container), at)

    def _hear(self, message: Message) -> None:
        at = message["at"]
        name = message.get("container", "")
        serving = name == self.pod.spec.serving
        match message["saw"]:
            case "started":
                if serving:
                    self._note(at, {"pid": message["pid"]})
                self.feed(life.Started(name), at)
            case "failed":
                self._control.crashed(self, f"{self.inside[name].command[0]}: {message['message'].lower()}")
                self.feed(life.Exited(128, name), at)
            case "listeners":
                self.listeners = [(port, text, reached) for port, text, reached in message["listeners"]]
                self._control.heard(self)
                self.look(at)
            case "answer" | "exec ended":
                self._answered(message, at)
            case "signalled" if serving and not self._restarting:
                self._report(Milestone.STOP_SIGNAL, at, _identified(message["facts"]))
            case "signalled":
                self._note(at, {f"container {name}: stop_signal": _identified(message["facts"])})
            case "exited":
                self._exited(name, message, at)
            case "not silent":
                self._note(at, {"not_silent": message["message"]})
            case "lost" | "fault" as what:
                self._control.fault(self, message.get("message") or f"the process that holds it was {what}")

    @property
    def _restarting(self) -> bool:
        return self.pod.server is not None and self.pod.server.restarting

    def _exited(self, name: str, message: Message, at: int) -> None:
        serving = name == self.pod.spec.serving
        if serving:
            self.listeners = []
            self._note(at, message["facts"])
        one = next(each for each in self.pod.containers if each.name == name)
        over = one.spec.role is life.Role.INIT and message["code"] == 0
        if self.pod.deleted is None and not over and not one.stopping:
            self._control.crashed(
                self, f"{f'container {name}' if name else 'it'} ended with exit code {message['code']}"
            )
        self.feed(life.Exited(message["code"], name), at)

    def _note(self, at: int, facts: Mapping[str, Any]) -> None:
        if facts:
            self._observe(Observation(at, Fact.POD_FACT, self.name, source="local", detail=facts))

    def _read_journal(self, until: int) -> None:
        """What `lameduck-pod` in the pod says of its end. Its clock is ours."""
        for entry in (each for inside in self.inside.values() for each in journal.entries(_end_of(inside.output))):
            if self.pod.deleted is not None and self.pod.deleted <= entry.monotonic <= until:
                seen = journal.observation(entry, self.name, entry.monotonic)
                if seen is not None:
                    self._observe(seen)

    def look(self, at: int) -> None:
        """Compare what listens with what the pod is known to do."""
        port = self._control.port(self)
        if port and self.pod.phase is life.Phase.RUNNING:
            self.feed(life.Listening(self.reaches(port)), at)
            self._watch_no_more()

    def _watch_no_more(self) -> None:
        """A pod that is ready and listens changes nothing until its end; without a probe it may be ready before."""
        if self.pod.ready and self.pod.listening and self.pod.deleted is None:
            self._holder.tell("watch", every=0)


def _why(phase: life.Phase, probe: str) -> str:
    match phase:
        case life.Phase.PENDING:
            return "it waits for those before it"
        case life.Phase.BACKOFF:
            return "it ended and waits to be started again"
    return probe or "it has not answered a probe yet"


def _end_of(output: Path) -> list[str]:
    try:
        with output.open("rb") as log:
            log.seek(max(0, log.seek(0, SEEK_END) - END_OF_LOG))
            data = log.read()
    except OSError:
        return []
    return data.decode(errors="replace").splitlines() if journal.BEGINNING.encode() in data else []


def _identified(facts: dict[str, Any]) -> dict[str, Any]:
    """What was seen of the first process, with the known program that it is in the place of its command line, which may
    hold what is nobody's business."""
    server, launcher = running(tuple(facts.get("argv", ())))
    return {key: value for key, value in facts.items() if key != "argv"} | {"server": server, "launcher": launcher}
