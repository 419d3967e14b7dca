"""What the API's changes, the knocks and the kernel's word say of a pod's end."""

from __future__ import annotations

import asyncio
import socket
import time
from typing import Any

from lameduck.core.exchange import Exchange, Failure, Kind, Lane, Stage
from lameduck.core.instants import MILLISECOND, SECOND
from lameduck.core.join import NO_ENDPOINT
from lameduck.core.recording import Recording
from lameduck.core.timeline import Milestone, Observation
from lameduck.kube.conntrack import Conntrack
from lameduck.kube.listeners import Listeners
from lameduck.kube.sight import EXIT_PRECISION, SIGNAL_PRECISION, Sight
from lameduck.kube.watching import Change, Seen
from lameduck.kube.workload import PodShape


def pod(*, grace: int | None = None, ended: int | None = None) -> dict[str, Any]:
    meta: dict[str, Any] = {"name": "web-1", "uid": "u", "namespace": "n"}
    if grace is not None:
        meta |= {"deletionTimestamp": "2026-01-01T00:00:00Z", "deletionGracePeriodSeconds": grace}
    state: dict[str, Any] = {"running": {}} if ended is None else {"terminated": {"exitCode": ended, "reason": "Error"}}
    status = {"podIP": "10.0.0.1", "containerStatuses": [{"name": "app", "state": state}]}
    ready = {"type": "Ready", "status": "False" if ended is not None else "True"}
    return {"metadata": meta, "spec": {"nodeName": "a"}, "status": status | {"conditions": [ready]}}


def marks(code: int, seen_after: int, grace: int = 5) -> dict[object, Observation]:
    """The observations of a pod that ends with a code, seen so long (ns) after its deletion."""
    sight = Sight(PodShape(container="app", has_readiness=True))
    told = [
        Seen("pods", Change.LISTED, pod(), 0),
        Seen("pods", Change.MODIFIED, pod(grace=grace), 10 * SECOND),
        Seen("pods", Change.MODIFIED, pod(grace=grace, ended=code), 10 * SECOND + seen_after),
    ]
    return {each.what: each for one in told for each in sight.take(one)}


def test_a_kill_that_is_seen_late_may_have_been_when_the_grace_period_ended() -> None:
    found = marks(137, 5 * SECOND + 700 * MILLISECOND)
    assert found[Milestone.EXITED].precision == found[Milestone.KILLED].precision == 700 * MILLISECOND


def test_a_kill_that_is_seen_soon_keeps_the_usual_precision() -> None:
    assert marks(137, 5 * SECOND + 100 * MILLISECOND)[Milestone.EXITED].precision == EXIT_PRECISION


def test_an_end_of_its_own_is_not_dated_by_the_grace_period() -> None:
    found = marks(0, 5 * SECOND + 700 * MILLISECOND)
    assert found[Milestone.EXITED].precision == EXIT_PRECISION
    assert Milestone.KILLED not in found


def test_a_deletion_that_gives_less_than_the_hook_takes_sends_the_stop_signal_sooner() -> None:
    """And SIGKILL at least 2 s later: what the server did in between is its reaction to the stop signal."""
    sight = Sight(PodShape(container="app", pre_stop="sleep 5 s", delay=5 * SECOND, has_readiness=True))
    ended = Seen("pods", Change.MODIFIED, pod(grace=2, ended=137), 14 * SECOND + 400 * MILLISECOND)
    found = list(sight.take(Seen("pods", Change.LISTED, pod(), 0)))
    found += sight.take(Seen("pods", Change.MODIFIED, pod(grace=2), 10 * SECOND))
    found += sight.hooks_due(12 * SECOND - 1)
    assert Milestone.STOP_SIGNAL not in {each.what for each in found}
    found += [*sight.hooks_due(12 * SECOND), *sight.take(ended)]
    told = {each.what: each for each in found}
    assert told[Milestone.STOP_SIGNAL].at == told[Milestone.PRESTOP_FINISHED].at == 12 * SECOND
    assert told[Milestone.PRESTOP_FINISHED].detail == {"ok": False}
    assert told[Milestone.KILLED].at - told[Milestone.KILLED].precision == 14 * SECOND - SIGNAL_PRECISION


def knocked(listened_at: int | None) -> list[Observation]:
    """What is told of a port that nobody listens on any more at the first knock."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    told: list[Observation] = []

    async def knock() -> None:
        listeners = Listeners(port, told.append, time.monotonic_ns)
        listeners.closing("web-1", "127.0.0.1", listened_at)
        async with asyncio.timeout(20):
            while not (told or all(task.done() for task in listeners._tasks.values())):
                await asyncio.sleep(0.01)
        await listeners.close()

    asyncio.run(knock())
    return told


def test_a_first_knock_that_is_refused_dates_the_end_of_a_listener_that_was_there() -> None:
    before = time.monotonic_ns() - 60 * MILLISECOND
    (closed,) = knocked(before)
    assert closed.what is Milestone.LISTENER_CLOSED
    assert closed.at - closed.precision == before


def test_a_port_that_was_never_known_to_listen_has_not_closed() -> None:
    assert knocked(None) == []


class Told(Conntrack):
    """As if the kernel had told of every connection that it went there."""

    def __init__(self, where: str) -> None:
        super().__init__("10.96.0.1", 80, time.monotonic_ns)
        self.where = where

    def pod_of(self, local_port: int, begun: int) -> str:  # noqa: ARG002
        return self.where


def attributed(where: str, kind: Kind) -> Exchange:
    recording = Recording()
    failure = Failure(Stage.CONNECT, kind)
    recording.add(Exchange(0, Lane.NEW, 5, 5, None, None, None, 9, local_port=40_000, failure=failure))
    Told(where).attribute(recording, {"10.0.0.1": "web-1"})
    return recording.exchange(0)


def test_an_attempt_is_laid_to_the_pod_that_the_kernel_names() -> None:
    assert attributed("10.0.0.1", Kind.TIMEOUT).routed_to == "web-1"


def test_what_was_led_to_no_pod_met_no_endpoint() -> None:
    for where, kind in (("", Kind.REFUSED), ("10.96.0.1", Kind.UNREACHABLE), ("10.96.0.1", Kind.TIMEOUT)):
        failure = attributed(where, kind).failure
        assert failure is not None
        assert failure.detail == NO_ENDPOINT, (where, kind)


def test_a_time_out_that_the_kernel_never_tracked_is_not_called_a_missing_endpoint() -> None:
    failure = attributed("", Kind.TIMEOUT).failure
    assert failure is not None
    assert failure.detail == ""
