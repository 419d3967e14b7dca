"""A pod of several containers against the kubelet's order: of their start, of their stop, and of what is left of grace.

The numbers of the native sidecar are those that were measured on a real 1.34 (facts/truth, section 4)."""

from __future__ import annotations

import pytest
from tests.core.test_pod import Node, sleep

from lameduck.core.instants import MILLISECOND, SECOND
from lameduck.core.pod import (
    Ask,
    Deleted,
    Effect,
    Exited,
    Hook,
    HookEnded,
    HookKind,
    Kill,
    Phase,
    Probed,
    Publish,
    Report,
    Run,
    RunHook,
    Signal,
    Silence,
    Started,
    Which,
    stage,
)
from lameduck.core.podspec import ContainerSpec, PodSpec, Role
from lameduck.core.probes import ProbeSpec
from lameduck.core.timeline import Event as Fact
from lameduck.core.timeline import Milestone

MS = MILLISECOND
M = Milestone
HTTP = Hook(HookKind.HTTP, path="/drain", port=9000)
DRAINS = {"app": 100 * MS, "side": 50 * MS, "other": 50 * MS, "init": 0}


class Several(Node):
    """A `Node` whose containers each end so long after their own stop signal (absent: they ignore it)."""

    def __init__(
        self, *containers: ContainerSpec, grace: int = 30, drains: dict[str, int] = DRAINS, **more: int
    ) -> None:
        self.drains, self.hook_takes = drains, more
        super().__init__(PodSpec(containers, grace * SECOND, serving="app"))

    def _react(self, effect: Effect) -> None:
        match effect:
            case Run("init"):
                self.coming += [(self.now, Started("init")), (self.now + 300 * MS, Exited(0, "init"))]
            case Run(name):
                self.coming.append((self.now, Started(name)))
            case Ask(_, which, name):
                self.coming.append((self.now + MS, Probed(self.healthy, "", which, name)))
            case Signal(_, name) if name in self.drains:
                self.coming.append((self.now + self.drains[name], Exited(0, name)))
            case Kill(name):
                self.coming.append((self.now, Exited(137, name)))
            case RunHook(_, which, name) if name in self.hook_takes:
                self.coming.append((self.now + self.hook_takes[name], HookEnded(True, "", False, which, name)))

    def of(self, what: type[Effect], container: str) -> list[int]:
        return [
            at for at, effect in self.log if isinstance(effect, what) and getattr(effect, "container", "") == container
        ]

    def deleted(self) -> int:
        self.until(20 * SECOND)
        assert stage(self.pod) == "ready"
        start = self.now
        self.feed(Deleted())
        self.until(start + 200 * SECOND)
        assert self.pod.phase is Phase.GONE
        return start


APP = ContainerSpec("app", readiness=ProbeSpec())
SIDE = ContainerSpec("side", Role.SIDECAR)
INIT = ContainerSpec("init", Role.INIT)


def test_init_containers_run_one_after_the_other_and_a_sidecar_only_has_to_start() -> None:
    node = Several(INIT, SIDE, APP)
    node.until(10 * SECOND)
    init, side, app = (node.of(Run, name)[0] for name in ("init", "side", "app"))
    assert init == 520 * MS
    assert side == init + 300 * MS + 80 * MS
    assert app == side + 80 * MS
    assert node.pod.ready and node.at(M.STARTED) == [app], "the pod's milestones are the serving container's"


def test_a_sidecar_with_a_startup_probe_keeps_the_main_ones_back_until_it_passes() -> None:
    side = ContainerSpec("side", Role.SIDECAR, startup=ProbeSpec(failure_threshold=30))
    node = Several(side, APP)
    node.healthy = False
    node.until(8 * SECOND)
    assert not node.of(Run, "app")
    node.healthy = True
    node.until(12 * SECOND)
    assert node.of(Run, "app") and node.pod.ready


def test_an_init_container_that_fails_is_run_again_and_nothing_after_it() -> None:
    node = Several(APP)
    node = Several(INIT, APP)
    node.until(520 * MS)
    node.coming.clear()
    node.feed(Exited(1, "init"))
    node.until(900 * MS)
    assert node.of(Run, "init") == [520 * MS] and not node.of(Run, "app")
    node.until(20 * SECOND)
    assert len(node.of(Run, "init")) == 2 and node.pod.ready


def test_a_pod_is_ready_when_all_its_containers_are() -> None:
    other = ContainerSpec("other", readiness=ProbeSpec())
    node = Several(APP, other)
    node.healthy = False
    node.until(5 * SECOND)
    assert not node.pod.ready
    node.feed(Probed(True, container="app"))
    assert not node.pod.ready


def test_a_sidecars_signal_follows_the_main_containers_end() -> None:
    node = Several(SIDE, APP)
    start = node.deleted()
    assert node.of(Signal, "app") == [start + 9 * MS]
    assert node.at(M.EXITED) == [start + 109 * MS]
    assert node.of(Signal, "side") == [start + 109 * MS + 55 * MS]
    assert node.at(Silence) == [start + 164 * MS + 50 * MS + 80 * MS], "the pod is over with its last container"


@pytest.mark.parametrize(("grace", "hook", "signal"), [(30, 5, 5), (30, 20, 20), (100, 75, 75)])
def test_a_pre_stop_at_the_sidecar_is_waited_for(grace: int, hook: int, signal: int) -> None:
    app = ContainerSpec("app", readiness=ProbeSpec(), pre_stop=HTTP)
    node = Several(SIDE, app, grace=grace, app=hook * SECOND)
    start = node.deleted()
    assert node.of(Signal, "app") == [start + 9 * MS + signal * SECOND]
    assert node.of(Signal, "side")[0] > node.at(M.EXITED)[0]


def test_at_the_end_of_grace_the_sidecar_goes_first() -> None:
    """Measured: hook of 20 s, grace 10: the sidecar's signal at 10.014 s, the main one's at 10.023 s."""
    app = ContainerSpec("app", readiness=ProbeSpec(), pre_stop=HTTP)
    node = Several(SIDE, app, grace=10, app=20 * SECOND)
    start = node.deleted()
    signals = [(at - start, effect.container) for at, effect in node.log if isinstance(effect, Signal)]
    assert signals == [(10_009 * MS, "side"), (10_009 * MS, "app")]


def test_sidecars_end_in_the_reverse_order_of_their_start() -> None:
    other = ContainerSpec("other", Role.SIDECAR)
    node = Several(SIDE, other, APP)
    start = node.deleted()
    app, later, first = (node.of(Signal, name)[0] - start for name in ("app", "other", "side"))
    assert (app, later, first) == (9 * MS, 164 * MS, 164 * MS + 50 * MS + 55 * MS)


def test_every_pre_stop_starts_at_once_and_only_the_sidecars_signal_waits() -> None:
    side = ContainerSpec("side", Role.SIDECAR, pre_stop=sleep(2))
    app = ContainerSpec("app", readiness=ProbeSpec(), pre_stop=sleep(5))
    node = Several(side, app)
    start = node.deleted()
    told = [e.detail for _, e in node.log if isinstance(e, Report) and e.what is Fact.POD_FACT]
    assert {"container side: prestop_started": {"kind": "sleep", "hook": "sleep 2 s"}} in told
    assert node.of(Signal, "app") == [start + 5_009 * MS]
    assert node.of(Signal, "side") == [start + 5_109 * MS + 55 * MS]


def test_a_wait_for_its_turn_is_charged_to_the_sidecars_grace_in_whole_seconds() -> None:
    node = Several(SIDE, APP, grace=10, drains={"app": 4_500 * MS})
    start = node.deleted()
    signal, kill = node.of(Signal, "side")[0], node.of(Kill, "side")[0]
    assert signal == start + 9 * MS + 4_500 * MS + 55 * MS
    assert kill - signal == 6 * SECOND


def test_while_a_sidecar_outlives_the_server_the_endpoint_no_longer_serves() -> None:
    node = Several(SIDE, APP, drains={"app": SECOND, "side": 3 * SECOND})
    node.deleted()
    serving = [effect.endpoint.serving for _, effect in node.log if isinstance(effect, Publish)]
    assert serving == [True, True, False]


def test_a_container_that_ends_takes_the_readiness_of_its_pod_and_is_started_again() -> None:
    node = Several(APP, ContainerSpec("other"))
    node.until(5 * SECOND)
    node.feed(Exited(1, "other"))
    assert not node.pod.ready and node.pod.phase is Phase.RUNNING
    node.until(10 * SECOND)
    assert node.pod.ready and len(node.of(Run, "other")) == 2
    assert not node.at(M.EXITED), "the server did not end"


def test_a_main_container_that_ends_well_is_started_again_too() -> None:
    node = Several(APP)
    node.until(5 * SECOND)
    node.feed(Exited(0, "app"))
    node.until(10 * SECOND)
    assert node.pod.ready and len(node.of(Run, "app")) == 2


def test_a_container_without_a_readiness_probe_is_ready_once_it_runs() -> None:
    node = Several(ContainerSpec("app"))
    node.until(520 * MS)
    assert node.pod.ready and node.at(M.READY) == [520 * MS]


def test_a_liveness_probe_that_fails_stops_the_container_as_a_deletion_would_and_starts_it_again() -> None:
    app = ContainerSpec("app", liveness=ProbeSpec(), pre_stop=sleep(2))
    node = Several(app)
    node.until(5 * SECOND)
    node.healthy = False
    node.until(9 * SECOND)
    (why,) = [e.detail["restarted"] for _, e in node.log if isinstance(e, Report) and "restarted" in e.detail]
    assert why == "its liveness probe failed: "
    node.healthy = True
    node.until(20 * SECOND)
    assert len(node.of(Run, "app")) == 2 and len(node.of(Signal, "app")) == 1 and node.pod.ready
    assert not node.at(M.EXITED) and not node.at(M.PRESTOP_STARTED), "what ends in a restart is no termination"
    start = node.now
    node.feed(Deleted())
    node.until(start + 60 * SECOND)
    assert node.at(M.PRESTOP_STARTED) == [start + 9 * MS] and len(node.at(M.EXITED)) == 1


def test_a_startup_probe_holds_the_others_back_and_gives_up() -> None:
    app = ContainerSpec("app", readiness=ProbeSpec(), startup=ProbeSpec(failure_threshold=3))
    node = Several(app)
    node.healthy = False
    node.until(2_500 * MS)
    asked = {effect.which for _, effect in node.log if isinstance(effect, Ask)}
    assert asked == {Which.STARTUP} and not node.of(Signal, "app")
    node.until(5 * SECOND)
    assert node.of(Signal, "app")
    node.healthy = True
    node.until(20 * SECOND)
    assert node.pod.ready


def test_a_post_start_hook_holds_the_probes_back_and_its_failure_stops_the_container() -> None:
    app = ContainerSpec("app", readiness=ProbeSpec(), post_start=Hook(HookKind.EXEC, command=("warm",)))
    node = Several(app, app=2 * SECOND)
    node.until(2 * SECOND)
    assert not node.at(Ask) and not node.pod.ready
    node.until(5 * SECOND)
    assert node.pod.ready
    broken = Several(app)
    broken.until(600 * MS)
    broken.feed(HookEnded(False, "no such file", False, Which.POST_START, "app"))
    assert broken.of(Signal, "app")


def test_a_pod_deleted_while_its_init_container_runs_never_starts_the_rest() -> None:
    node = Several(INIT, SIDE, APP)
    node.until(520 * MS)
    node.coming.clear()
    node.feed(Deleted())
    node.until(60 * SECOND)
    assert node.pod.phase is Phase.GONE and not node.of(Run, "app") and node.of(Signal, "init")


def test_a_grace_period_of_the_deletions_own_counts() -> None:
    node = Several(APP, drains={})
    node.until(10 * SECOND)
    node.feed(Deleted(5 * SECOND))
    node.until(60 * SECOND)
    assert node.of(Kill, "app") == [10 * SECOND + 9 * MS + 5 * SECOND]
    assert node.detail(M.DELETION_REQUESTED) == {"grace_ns": 5 * SECOND}
