"""What can be done to a workload besides rolling it: each kind over real processes, with what it leaves behind."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from tests.local.harness import BRISK, Watched, play, running, server

from lameduck.core.budget import Budget
from lameduck.core.instants import SECOND, human
from lameduck.core.plan import Disruption
from lameduck.core.timeline import Event, Milestone

pytestmark = [pytest.mark.rollout, pytest.mark.timeout(60)]
M = Milestone


def disrupted(folder: Path, what: Disruption, *, times: int = 1, **spec: object) -> Watched:
    """A cluster after so many disruptions, each of which ended well."""
    found: list[Watched] = []

    async def scene() -> None:
        async with running(folder, *server("drains"), disruption=what, **spec) as watched:
            found.append(watched)
            for number in range(1, times + 1):
                assert await watched.cluster.disrupt(number)
            assert len(watched.cluster.ready_pods()) == spec.get("replicas", 1)

    play(scene)
    return found[0]


def kinds(watched: Watched) -> list[object]:
    return [seen.what for seen in watched.seen if seen.subject == "1" and isinstance(seen.what, Event)]


def test_a_scale_goes_down_and_up_again(tmp_path: Path) -> None:
    watched = disrupted(tmp_path, Disruption.SCALE, replicas=2)
    assert len(watched.old()) == 1 and len(watched.pods()) == 3
    assert kinds(watched) == [Event.DISRUPTION_REQUESTED, Event.DISRUPTION_COMPLETED]


def test_a_deleted_pod_is_replaced_and_the_oldest_goes_first(tmp_path: Path) -> None:
    watched = disrupted(tmp_path, Disruption.DELETE, replicas=2, times=2)
    assert [pod.name for pod in watched.old()] == list(watched.pods())[:2]
    assert all(pod.exit_code == 0 for pod in watched.old())


@pytest.mark.parametrize("let_age", [True, False])
def test_a_young_pods_stop_signal_is_late_and_no_proof_begins_with_one(tmp_path: Path, let_age: bool) -> None:
    timings = replace(BRISK, relist=True, status=(10, 20, 30))
    (old,) = disrupted(tmp_path, Disruption.DELETE, let_age=let_age, timings=timings).old()
    late = (old.at(M.STOP_SIGNAL) or 0) - (old.at(M.DELETION_REQUESTED) or 0)
    assert (late < SECOND * 9 // 10) == let_age, f"the stop signal came {human(late)} after the deletion"


def test_a_killed_pod_has_no_grace_and_its_endpoint_goes_at_once(tmp_path: Path) -> None:
    (old,) = disrupted(tmp_path, Disruption.KILL, replicas=2, pre_stop_sleep=5).old()
    assert old.marks[M.DELETION_REQUESTED].detail == {"grace_ns": 0}
    assert M.PRESTOP_STARTED not in old.marks
    assert old.marks[M.ENDPOINT_NOT_READY].detail == {"serving": False, "terminating": True}


def test_a_crashed_pod_is_started_again_in_its_place(tmp_path: Path) -> None:
    watched = disrupted(tmp_path, Disruption.CRASH, replicas=2, times=2)
    assert not watched.old() and len(watched.pods()) == 2
    assert [len(pod.facts["crashes"]) for pod in watched.pods().values()] == [1, 1]


def test_a_reload_runs_in_every_pod_and_says_why_it_did_not_work(tmp_path: Path) -> None:
    async def scene() -> None:
        command = ("/bin/sh", "-c", "echo reloaded")
        reload = {"disruption": Disruption.RELOAD, "disrupt_command": command, "replicas": 2}
        async with running(tmp_path, *server("drains"), **reload) as watched:
            assert await watched.cluster.disrupt(1)
            logs = [file.read_text() for file in tmp_path.glob("*.log")]
            assert len(logs) == 2 and all("reloaded" in text for text in logs)
        wrong = {**reload, "disrupt_command": ("/bin/sh", "-c", "exit 3")}
        async with running(tmp_path / "b", *server("drains"), **wrong) as watched:
            assert not await watched.cluster.disrupt(1)
            (failed,) = [seen for seen in watched.seen if seen.what is Event.DISRUPTION_FAILED]
            assert "ended with 3" in failed.detail["why"]

    play(scene)


def test_an_eviction_asks_the_budget(tmp_path: Path) -> None:
    watched = disrupted(tmp_path, Disruption.EVICT, replicas=2, budget=Budget("keep", min_available=1))
    assert len(watched.old()) == 1


def test_a_budget_that_allows_nothing_lets_no_pod_go(tmp_path: Path) -> None:
    async def scene() -> None:
        strict = {"disruption": Disruption.EVICT, "budget": Budget("all", min_available=1), "deadline": 2 * SECOND}
        async with running(tmp_path, *server("drains"), **strict) as watched:
            assert not await watched.cluster.disrupt(1)
            (failed,) = [seen for seen in watched.seen if seen.what is Event.DISRUPTION_FAILED]
            assert failed.detail["why"] == "the PodDisruptionBudget all let no pod go within 2.00 s"
            assert not watched.old()

    play(scene)


def test_a_stateful_set_is_rolled_from_its_highest_ordinal_under_the_same_names(tmp_path: Path) -> None:
    watched = disrupted(tmp_path, Disruption.ROLLOUT, kind="StatefulSet", name="db", replicas=2)
    assert [pod.name for pod in watched.old()] == ["db-0.1", "db-1.1"]
    first, second = (watched.pods()[name] for name in ("db-1.1", "db-0.1"))
    assert (first.at(M.GONE) or 0) < (second.at(M.DELETION_REQUESTED) or 0)
    assert set(watched.pods()) == {"db-0.1", "db-1.1", "db-0.2", "db-1.2"}
    assert "db-1 " in (tmp_path / "db-1.2.log").read_text()


@pytest.mark.parametrize("spec", [{"recreate": True}, {"kind": "DaemonSet", "recreate": True, "max_surge": 0}])
def test_recreate_and_a_daemon_set_leave_a_gap(tmp_path: Path, spec: dict[str, object]) -> None:
    watched = disrupted(tmp_path, Disruption.ROLLOUT, **spec)
    (old,) = watched.old()
    (new,) = [pod for pod in watched.pods().values() if not pod.terminated]
    assert (new.at(M.CREATED) or 0) >= (old.at(M.GONE) or 0)


def test_unready_addresses_are_published_before_a_pod_is_ready(tmp_path: Path) -> None:
    async def scene() -> None:
        soon = {"publish_not_ready": True, "start_deadline": 5 * SECOND}
        async with running(tmp_path, *server("drains"), **soon, timings=BRISK) as watched:
            assert await watched.cluster.disrupt(1)
            (old,) = watched.old()
            not_ready, exited = old.at(M.ENDPOINT_NOT_READY) or 0, old.at(M.EXITED) or 0
            assert not_ready > exited, "it stays an endpoint until it has ended"

    play(scene)


def test_a_client_that_resolved_a_headless_name_once_goes_on_dialling_the_dead(tmp_path: Path) -> None:
    async def scene() -> None:
        async with running(tmp_path, *server("drains"), headless=True, resolve="once") as watched:
            dialer = watched.cluster.dialer()
            before = dialer.dial()
            assert await watched.cluster.disrupt(1)
            await asyncio.sleep(0.1)
            after = dialer.dial()
            assert after.pod == before.pod == watched.old()[0].name
        async with running(tmp_path / "b", *server("drains"), headless=True) as watched:
            assert await watched.cluster.disrupt(1)
            assert watched.cluster.dialer().dial().pod != watched.old()[0].name

    play(scene)
