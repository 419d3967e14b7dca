"""What the API's objects say of a pod's life: from changes of Pods, EndpointSlices and Events to observations.

Law: only what an object says is told, once, at the instant at which it arrived here. The API's own times have a
precision of one second and are no marks. ``deletionTimestamp`` is a deadline; that it is there at all is the mark. The
stop signal is never seen: it is known from the hook's known length, and its precision says how well.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from lameduck.core.container import MINIMUM_GRACE
from lameduck.core.instants import MILLISECOND, SECOND
from lameduck.core.timeline import Event, Milestone, Observation
from lameduck.kube.api import Json
from lameduck.kube.watching import Change, Seen
from lameduck.kube.workload import PodShape

SIGNAL_PRECISION = 60 * MILLISECOND
"""Measured on 1.34: the stop signal comes −22 to +57 ms from the watch event of the deletion."""
EXIT_PRECISION = 250 * MILLISECOND
"""From a container's exit to the pod's status on the watch: 95 to 250 ms, 130 ms on an idle node."""

NOT_THERE = ("executable file not found", "no such file or directory", "exit status 127", "exit code 127")
"""How container runtimes and shells say that what a hook names is not in the image (runc, crun, POSIX shells)."""

MOST_KILL_DELAY = 5 * SECOND
"""From the end of the grace period to a killed container's end on the watch: 2 s of the kubelet's least, and some."""


@dataclass(slots=True)
class _Pod:
    name: str
    """What its observations are of: the pod's name, with a number where an earlier pod had the same one."""
    uid: str
    node: str = ""
    ready: bool = False
    deleted_at: int | None = None
    grace: int = 0
    """What its deletion gave it (ns), which may be less than its template says; 0 if unknown."""
    kill_due: int = 0
    """From when on it may be killed, 0 if unknown."""
    hook_failed: bool = False
    told: set[Milestone] = field(default_factory=set)


class Sight:
    """Turns changes into observations.

    ``shape`` is what the pod template says of its own end, ``pid1`` what is known of process 1 (a detail of the stop
    signal).
    """

    def __init__(self, shape: PodShape, pid1: Mapping[str, object] | None = None) -> None:
        self.shape, self.pid1 = shape, pid1 or {}
        self._pods: dict[str, _Pod] = {}
        self._lives: Counter[str] = Counter()
        self._serving: dict[str, tuple[bool, bool, bool]] = {}
        self._slices: dict[str, set[str]] = {}

    def take(self, seen: Seen) -> Iterator[Observation]:
        """The observations that one change gives rise to."""
        match seen.resource:
            case "pods":
                yield from self._pod(seen)
            case "endpointslices":
                yield from self._slice(seen)
            case "events":
                yield from self._event(seen)

    def subject(self, name: str) -> str:
        """What the observations of the pod that has this name now are of: a StatefulSet's pods keep their names."""
        pod = self._pods.get(name)
        return name if pod is None else pod.name

    # pods

    def _pod(self, seen: Seen) -> Iterator[Observation]:
        meta, status, spec = seen.object["metadata"], seen.object.get("status", {}), seen.object.get("spec", {})
        pod = self._pods.get(meta["name"])
        if pod is None or pod.uid != meta["uid"]:
            yield from self._new(seen, meta)
            pod = self._pods[meta["name"]]
        yield from self._facts(pod, seen, spec, status)
        yield from self._start(pod, seen, status)
        if meta.get("deletionTimestamp"):
            yield from self._deletion(pod, seen, meta)
        yield from self._end(pod, seen, status)
        if seen.change is Change.DELETED:
            yield from self._deletion(pod, seen, meta)
            yield from self._once(pod, Milestone.GONE, seen)

    def _new(self, seen: Seen, meta: Json) -> Iterator[Observation]:
        name = meta["name"]
        self._lives[name] += 1
        number = self._lives[name]
        pod = self._pods[name] = _Pod(name if number == 1 else f"{name} ({number})", meta["uid"])
        yield self._mark(pod, Milestone.CREATED, seen)
        if number > 1:
            yield self._fact(pod, seen, {"name": name})

    def _facts(self, pod: _Pod, seen: Seen, spec: Json, status: Json) -> Iterator[Observation]:
        node, ip = spec.get("nodeName", ""), status.get("podIP", "")
        if ip and node and not pod.node:
            pod.node = node
            yield self._fact(pod, seen, {"ip": ip, "node": node})
        restarts = sum(each.get("restartCount", 0) for each in status.get("containerStatuses", ()))
        if restarts and pod.deleted_at is None:
            yield self._fact(pod, seen, {"restarts": restarts})

    def _start(self, pod: _Pod, seen: Seen, status: Json) -> Iterator[Observation]:
        main = _container(status, self.shape.container)
        if "running" in main.get("state", {}):
            yield from self._once(pod, Milestone.STARTED, seen)
        ready = _condition(status, "Ready")
        if ready and not pod.ready:
            if self.shape.has_readiness or seen.change is Change.LISTED:
                # A probe has been answered, or it has served before we came: it listens, and has for some time.
                yield from self._once(pod, Milestone.LISTENING, seen)
            yield from self._once(pod, Milestone.READY, seen)
        pod.ready = ready

    def _deletion(self, pod: _Pod, seen: Seen, meta: Json) -> Iterator[Observation]:
        if pod.deleted_at is not None:
            return
        pod.deleted_at = seen.at
        grace = meta.get("deletionGracePeriodSeconds")
        if grace:
            pod.grace = int(grace) * SECOND
            pod.kill_due = seen.at + pod.grace
        yield from self._once(pod, Milestone.DELETION_REQUESTED, seen, {"grace": grace})
        shape = self.shape
        if not shape.pre_stop:
            yield from self._signal(
                pod, seen.at, seen.precision + SIGNAL_PRECISION, "without a preStop, at the deletion"
            )
            return
        yield from self._at(
            pod, Milestone.PRESTOP_STARTED, seen.at, seen.precision + SIGNAL_PRECISION, {"kind": shape.pre_stop}
        )

    def hooks_due(self, now: int) -> Iterator[Observation]:
        """The hooks whose known length is over: their end and the stop signal that follows. Ask often.

        The kubelet waits for no hook beyond the grace period, which a deletion may have cut short.
        """
        if not self.shape.delay:
            return
        for pod in self._pods.values():
            if pod.deleted_at is None or pod.hook_failed or Milestone.GONE in pod.told:
                continue
            cut = 0 < pod.grace < self.shape.delay
            at = pod.deleted_at + (pod.grace if cut else self.shape.delay)
            if now >= at:
                how = f"at the end of its grace of {pod.grace // SECOND} s" if cut else "after the deletion"
                yield from self._at(pod, Milestone.PRESTOP_FINISHED, at, SIGNAL_PRECISION, {"ok": not cut})
                yield from self._signal(pod, at, SIGNAL_PRECISION, f"{self.shape.pre_stop} {how}")

    def _end(self, pod: _Pod, seen: Seen, status: Json) -> Iterator[Observation]:
        ended = _container(status, self.shape.container).get("state", {}).get("terminated")
        if not ended or pod.deleted_at is None or Milestone.EXITED in pod.told:
            return
        code = ended.get("exitCode")
        if Milestone.STOP_SIGNAL not in pod.told:  # a hook of unknown length: somewhere between the two
            precision = seen.at - pod.deleted_at
            yield from self._signal(
                pod, seen.at, precision, "between the deletion and the exit: the hook's length is unknown"
            )
        detail = {"code": code, "reason": ended.get("reason", "")}
        killed = code == 137 and ended.get("reason") != "OOMKilled"
        precision = seen.precision + EXIT_PRECISION
        if killed and 0 < seen.at - pod.kill_due < MOST_KILL_DELAY:
            precision = max(precision, seen.at - pod.kill_due)  # not before its grace was over
        yield from self._at(pod, Milestone.EXITED, seen.at, precision, detail)
        if killed:
            yield from self._at(pod, Milestone.KILLED, seen.at, precision, {})

    # endpoints

    def _slice(self, seen: Seen) -> Iterator[Observation]:
        """Endpoints of all slices of a Service: one that leaves its slice is not ready either."""
        name = seen.object["metadata"]["name"]
        before = self._slices.get(name, set())
        now: set[str] = set()
        if seen.change is not Change.DELETED:
            for each in seen.object.get("endpoints") or ():
                target = each.get("targetRef") or {}
                pod = self._subject_of(str(target.get("name", "")), str(target.get("uid", "")))
                if not pod:
                    continue
                now.add(pod)
                conditions = each.get("conditions") or {}
                # An absent ready means true (discovery/v1); serving then follows ready.
                ready = conditions.get("ready") is not False
                state = (ready, conditions.get("serving", ready) is not False, conditions.get("terminating") is True)
                yield from self._endpoint(pod, state, seen)
        self._slices[name] = now
        elsewhere: set[str] = set().union(*self._slices.values())
        for pod in before - elsewhere:
            yield from self._endpoint(pod, (False, False, True), seen)
            self._serving.pop(pod, None)

    def _subject_of(self, name: str, uid: str) -> str:
        """Whom an endpoint is of; "" for a pod of an earlier life that still stands there under the same name."""
        pod = self._pods.get(name)
        if pod is None or not uid or pod.uid == uid:
            return name if pod is None else pod.name
        return ""

    def _endpoint(self, pod: str, state: tuple[bool, bool, bool], seen: Seen) -> Iterator[Observation]:
        was = self._serving.get(pod)
        self._serving[pod] = state
        ready, serving, terminating = state
        detail = {"serving": serving, "terminating": terminating}
        if ready and (was is None or not was[0]):
            yield Observation(seen.at, Milestone.ENDPOINT_READY, pod, seen.precision, "watch", detail)
        elif was is not None and was[0] and not ready:
            yield Observation(seen.at, Milestone.ENDPOINT_NOT_READY, pod, seen.precision, "watch", detail)

    # events

    def _event(self, seen: Seen) -> Iterator[Observation]:
        involved = seen.object.get("involvedObject") or {}
        pod = self._pods.get(str(involved.get("name", "")))
        if pod is None or pod.uid != involved.get("uid") or seen.change is Change.LISTED:
            return
        reason, message = seen.object.get("reason", ""), str(seen.object.get("message", ""))
        if reason == "FailedPreStopHook":
            pod.hook_failed = True
            detail = {"ok": False, "message": message, "missing_binary": any(words in message for words in NOT_THERE)}
            yield from self._at(pod, Milestone.PRESTOP_FINISHED, seen.at, seen.precision, detail)
            yield from self._signal(pod, seen.at, SECOND, "after the preStop that failed")
        elif reason in {
            "Unhealthy",
            "BackOff",
            "Failed",
            "FailedScheduling",
            "Preempting",
            "Evicted",
            "ExceededGracePeriod",
        }:
            yield self._fact(pod, seen, {f"event_{reason}": message})

    # how it is told

    def _signal(self, pod: _Pod, at: int, precision: int, how: str) -> Iterator[Observation]:
        if pod.kill_due and Milestone.STOP_SIGNAL not in pod.told:
            pod.kill_due = max(pod.kill_due, at - precision + MINIMUM_GRACE)
        yield from self._at(pod, Milestone.STOP_SIGNAL, at, precision, {"signal": "SIGTERM", "how": how, **self.pid1})

    def _once(
        self, pod: _Pod, what: Milestone, seen: Seen, detail: dict[str, Any] | None = None
    ) -> Iterator[Observation]:
        if what not in pod.told:
            yield self._mark(pod, what, seen, detail)

    def _mark(self, pod: _Pod, what: Milestone, seen: Seen, detail: dict[str, Any] | None = None) -> Observation:
        pod.told.add(what)
        return Observation(seen.at, what, pod.name, seen.precision, "watch", detail or {})

    def _at(self, pod: _Pod, what: Milestone, at: int, precision: int, detail: dict[str, Any]) -> Iterator[Observation]:
        if what not in pod.told:
            pod.told.add(what)
            yield Observation(at, what, pod.name, precision, "watch", detail)

    def _fact(self, pod: _Pod, seen: Seen, detail: dict[str, Any]) -> Observation:
        return Observation(seen.at, Event.POD_FACT, pod.name, seen.precision, "watch", detail)


def _container(status: Json, name: str) -> Json:
    for each in status.get("containerStatuses") or ():
        if not name or each.get("name") == name:
            return dict(each)
    return {}


def _condition(status: Json, kind: str) -> bool:
    return any(each.get("type") == kind and each.get("status") == "True" for each in status.get("conditions") or ())


def is_ready(pod: Json) -> bool:
    """Whether a pod's condition Ready is true and it is not being deleted."""
    return _condition(pod.get("status", {}), "Ready") and not pod["metadata"].get("deletionTimestamp")
