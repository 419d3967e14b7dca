"""Rolling-update arithmetic against what the Deployment and ReplicaSet controllers do."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lameduck.core.instants import SECOND
from lameduck.core.rolling import (
    Completed,
    Create,
    Delete,
    Deleted,
    Deployment,
    Effect,
    Event,
    Expect,
    Gone,
    Member,
    ReadyChanged,
    Roll,
    Running,
    Scale,
    Strategy,
    Stuck,
    Tick,
    deletion_rank,
    due,
    fenceposts,
    pod_name,
    step,
)


class Cluster:
    """A Deployment and, in place of kubelets, whoever calls `ready` and `gone`."""

    def __init__(
        self, replicas: int, surge: int | str = "25%", unavailable: int | str = "25%", **strategy: int | bool
    ) -> None:
        self.state = Deployment("app", replicas, Strategy(surge, unavailable, **strategy))
        self.now = 0
        self.effects: list[Effect] = []
        self.feed(Roll())

    def feed(self, event: Event) -> list[Effect]:
        self.state, effects = step(self.state, event, self.now)
        self.effects += effects
        return list(effects)

    def pods(self, revision: int | None = None) -> list[str]:
        return [m.name for m in self.state.members if revision in {None, m.revision}]

    def ready(self, *pods: str) -> list[Effect]:
        return [effect for pod in pods for effect in self.feed(ReadyChanged(pod, ready=True))]

    def gone(self, *pods: str) -> list[Effect]:
        return [effect for pod in pods for effect in self.feed(Gone(pod))]

    def settle(self) -> None:
        """Every pod becomes ready and every deleted one goes, until nothing is left to do."""
        while self.state.rolling:
            waiting = [m.name for m in self.state.members if m.ready_since is None]
            self.now += SECOND
            self.ready(*waiting[:1])
            self.gone(*self.state.leaving)
            self.now = max(self.now, due(self.state) or 0) if not waiting else self.now
            self.feed(Tick())

    def shape(self) -> tuple[tuple[int, int], ...]:
        return self.state.desired


def up(replicas: int, surge: int | str = "25%", unavailable: int | str = "25%", **strategy: int | bool) -> Cluster:
    """A Deployment whose first revision is complete, ten seconds ago."""
    cluster = Cluster(replicas, surge, unavailable, **strategy)
    cluster.settle()
    cluster.now += 10 * SECOND
    cluster.effects.clear()
    return cluster


@pytest.mark.parametrize(
    ("replicas", "surge", "unavailable", "expected"),
    [
        (1, "25%", "25%", (1, 0)),
        (2, "25%", "25%", (1, 0)),
        (3, "25%", "25%", (1, 0)),
        (4, "25%", "25%", (1, 1)),
        (5, "25%", "25%", (2, 1)),
        (7, "25%", "25%", (2, 1)),
        (8, "25%", "25%", (2, 2)),
        (10, "25%", "25%", (3, 2)),
        (3, 0, "25%", (0, 1)),  # both come to zero: one may be missing, whatever was written
        (1, 0, 0, (0, 1)),
        (1, "0%", "0%", (0, 1)),
        (3, 0, 2, (0, 2)),
        (3, 5, 0, (5, 0)),
        (3, 0, 9, (0, 3)),  # more than all cannot be missing
        (3, "100%", "100%", (3, 3)),
        (3, "150%", 0, (5, 0)),
        (3, "1%", "99%", (1, 2)),
        (3, "34%", "33%", (2, 0)),
        (3, "33%", "34%", (1, 1)),
        (100, "1%", "1%", (1, 1)),
        (0, "25%", "25%", (0, 0)),
        (3, "1", "0", (1, 0)),
    ],
)
def test_surge_rounds_up_unavailable_down_and_both_zero_lets_one_be_missing(
    replicas: int, surge: int | str, unavailable: int | str, expected: tuple[int, int]
) -> None:
    assert fenceposts(replicas, surge, unavailable) == expected


@pytest.mark.parametrize("amount", ["", "%", "-1", -1, "25 %", "a quarter", "1.5", "٣%"])
def test_an_amount_that_is_no_number_of_pods_and_no_percentage_is_refused(amount: int | str) -> None:
    with pytest.raises(ValueError, match="neither a number of pods nor a percentage"):
        fenceposts(3, amount, 0)


@pytest.mark.parametrize("replicas", [1, 3, 8])
def test_the_first_revision_starts_all_its_pods_at_once(replicas: int) -> None:
    cluster = Cluster(replicas)
    assert len(cluster.effects) == replicas and all(isinstance(e, Create) for e in cluster.effects)
    done = cluster.ready(*cluster.pods())
    assert done == [Completed(1)]


@pytest.mark.parametrize(
    ("replicas", "surge", "unavailable", "at_once"),
    [
        # replicas, what may be too many and missing → (created, deleted) before any new pod is ready
        (3, 1, 0, (1, 0)),
        (3, 0, 1, (1, 1)),
        (3, 1, 1, (2, 1)),
        (3, "100%", 0, (3, 0)),
        (3, 0, "100%", (3, 3)),
        (1, 0, 0, (1, 1)),
        (4, "25%", "25%", (2, 1)),
        (10, "25%", "25%", (5, 2)),
        (2, 5, 0, (2, 0)),  # never more new ones than replicas
    ],
)
def test_a_rollout_begins_with_exactly_what_surge_and_unavailable_allow(
    replicas: int, surge: int | str, unavailable: int | str, at_once: tuple[int, int]
) -> None:
    cluster = up(replicas, surge, unavailable)
    effects = cluster.feed(Roll())
    created = sum(isinstance(e, Create) for e in effects)
    deleted = sum(isinstance(e, Delete) for e in effects)
    assert (created, deleted) == at_once


def test_with_surge_one_and_unavailable_zero_each_new_pod_that_is_ready_lets_one_old_one_go() -> None:
    cluster = up(3, 1, 0)
    cluster.feed(Roll())
    for turn in range(3):
        new = cluster.pods(2)
        assert len(new) == turn + 1 and len(cluster.pods(1)) == 3 - turn
        effects = cluster.ready(new[-1])
        assert [type(e) for e in effects] == ([Delete, Create] if turn < 2 else [Delete])
    assert cluster.state.rolling, "a rollout is not over while an old pod is terminating"
    assert cluster.gone(*cluster.state.leaving)[-1] == Completed(2)


def test_a_terminating_pod_makes_room_at_once_and_is_waited_for_only_at_the_end() -> None:
    cluster = up(1, 1, 0)
    cluster.feed(Roll())
    (old,), (new,) = cluster.pods(1), cluster.pods(2)
    assert cluster.ready(new) == [Delete(old)]
    assert cluster.state.leaving == (old,)
    assert cluster.gone(old) == [Completed(2)]


def test_unhealthy_old_pods_go_first_even_if_no_healthy_one_may() -> None:
    cluster = up(4, 1, 1)
    sick = cluster.pods(1)[:2]
    for pod in sick:
        cluster.feed(ReadyChanged(pod, ready=False))
    effects = cluster.feed(Roll())
    # 4 + surge 1: one new one; at least 3 must be available, 2 are: only unhealthy ones may go, and one new is missing
    assert [e for e in effects if isinstance(e, Delete)] == [Delete(pod) for pod in sorted(sick)[:1]]


def test_all_unhealthy_old_pods_go_at_once_if_the_available_ones_suffice() -> None:
    cluster = up(4, 2, 2)
    sick = cluster.pods(1)[:2]
    for pod in sick:
        cluster.feed(ReadyChanged(pod, ready=False))
    effects = cluster.feed(Roll())
    deleted = {e.pod for e in effects if isinstance(e, Delete)}
    assert deleted == set(sick)


def test_a_new_pod_that_never_becomes_ready_keeps_every_old_one_alive() -> None:
    cluster = up(3, 1, 0, progress_deadline=60 * SECOND)
    effects = cluster.feed(Roll())
    assert [type(e) for e in effects] == [Create]
    assert due(cluster.state) == cluster.now + 60 * SECOND
    cluster.now += 60 * SECOND - 1
    assert cluster.feed(Tick()) == []
    cluster.now += 1
    assert cluster.feed(Tick()) == [Stuck(2)]
    assert len(cluster.pods(1)) == 3
    assert cluster.feed(Tick()) == [], "said once"


def test_every_bit_of_progress_starts_the_deadline_anew() -> None:
    cluster = up(2, 1, 0, progress_deadline=60 * SECOND)
    cluster.feed(Roll())
    cluster.now += 50 * SECOND
    cluster.ready(cluster.pods(2)[0])
    cluster.now += 59 * SECOND
    assert cluster.feed(Tick()) == []
    cluster.now += 1 * SECOND
    assert cluster.feed(Tick()) == [Stuck(2)]


def test_a_pod_that_flaps_is_no_progress() -> None:
    cluster = up(2, 1, 0, progress_deadline=60 * SECOND)
    cluster.feed(Roll())
    new = cluster.pods(2)[0]
    cluster.ready(new)
    for _ in range(5):
        cluster.now += 10 * SECOND
        cluster.feed(ReadyChanged(cluster.pods(2)[0], ready=False))
        cluster.ready(cluster.pods(2)[0])
    cluster.now += 10 * SECOND
    assert cluster.feed(Tick()) == [Stuck(2)]


def test_min_ready_delays_the_old_pods_going_until_the_new_one_is_available() -> None:
    cluster = up(2, 1, 0, min_ready=5 * SECOND)
    cluster.feed(Roll())
    new = cluster.pods(2)[0]
    assert cluster.ready(new) == []
    assert due(cluster.state) == cluster.now + 5 * SECOND
    cluster.now += 5 * SECOND - 1
    assert cluster.feed(Tick()) == []
    cluster.now += 1
    effects = cluster.feed(Tick())
    assert [type(e) for e in effects] == [Delete, Create]


def test_losing_readiness_starts_the_minimum_ready_time_anew() -> None:
    cluster = up(1, 1, 0, min_ready=5 * SECOND)
    cluster.feed(Roll())
    new = cluster.pods(2)[0]
    cluster.ready(new)
    cluster.now += 4 * SECOND
    cluster.feed(ReadyChanged(new, ready=False))
    cluster.ready(new)
    cluster.now += 4 * SECOND
    assert cluster.feed(Tick()) == []
    cluster.now += 1 * SECOND
    assert [type(e) for e in cluster.feed(Tick())] == [Delete]


def test_being_told_again_that_a_pod_is_ready_changes_nothing() -> None:
    cluster = up(1, 1, 0, min_ready=5 * SECOND)
    cluster.feed(Roll())
    new = cluster.pods(2)[0]
    cluster.ready(new)
    cluster.now += 4 * SECOND
    cluster.ready(new)
    cluster.now += 1 * SECOND
    assert [type(e) for e in cluster.feed(Tick())] == [Delete]


def test_a_second_rollout_midway_gives_up_the_half_made_revision_first() -> None:
    cluster = up(3, 1, 0)
    cluster.feed(Roll())
    halfway = cluster.pods(2)
    effects = cluster.feed(Roll())
    # 3 old + 1 of revision 2 fill replicas + surge: the unready pod of revision 2 goes, and makes room for revision 3
    assert effects[0] == Delete(halfway[0]) and isinstance(effects[1], Create) and effects[1].revision == 3
    assert cluster.shape() == ((1, 3), (2, 0), (3, 1))
    cluster.settle()
    assert cluster.shape()[-1] == (3, 3) and sum(n for _, n in cluster.shape()) == 3
    assert cluster.effects[-1] == Completed(3) and Completed(2) not in cluster.effects


def test_of_two_old_revisions_the_older_one_shrinks_first() -> None:
    cluster = up(3, 1, 0)
    cluster.feed(Roll())
    cluster.ready(cluster.pods(2)[0])  # revisions: 1 has two, 2 has one ready and one more on its way
    cluster.ready(cluster.pods(2)[1])
    cluster.feed(Roll())
    third = cluster.pods(3)
    effects = cluster.ready(*third[:1])
    deleted = [e.pod for e in effects if isinstance(e, Delete)]
    assert all(name.startswith("app-1-") for name in deleted) and deleted


@pytest.mark.parametrize("how", [Deleted, Gone])
def test_a_pod_that_somebody_deletes_is_replaced_at_once_by_one_of_the_same_revision(how: type[Deleted | Gone]) -> None:
    cluster = up(3)
    effects = cluster.feed(how(cluster.pods(1)[0]))
    assert [e.revision for e in effects if isinstance(e, Create)] == [1] and len(effects) == 1


def test_a_replica_set_gives_up_what_does_not_run_then_what_is_not_ready_then_the_youngest_by_powers_of_two() -> None:
    now = 1_000 * SECOND
    old = Member("old", 1, 0, running=True, ready_since=0)
    fresh = Member("fresh", 1, 0, running=True, ready_since=now - 3 * SECOND)
    sick = Member("sick", 1, now - 2 * SECOND, running=True)
    pending = Member("pending", 1, 0)
    order = sorted([old, fresh, sick, pending], key=lambda m: deletion_rank(m, now))
    assert [m.name for m in order] == ["pending", "sick", "fresh", "old"]
    alike = replace(fresh, name="a-twin", ready_since=now - 4 * SECOND)  # the same power of two: the name decides
    assert [m.name for m in sorted([fresh, alike], key=lambda m: deletion_rank(m, now))] == ["a-twin", "fresh"]


def test_an_unready_pod_that_runs_outlives_one_that_does_not() -> None:
    cluster = up(2, 0, 2)
    cluster.feed(Roll())
    first, second = cluster.pods(2)
    cluster.feed(Running(second))
    cluster.state = replace(cluster.state, replicas=1)
    assert Delete(first) in cluster.feed(Tick())


def test_names_are_the_same_for_the_same_seed_and_never_repeat() -> None:
    names = [pod_name("app", 1, 7, serial) for serial in range(5_000)]
    assert names == [pod_name("app", 1, 7, serial) for serial in range(5_000)]
    assert len(set(names)) == len(names)
    assert names != [pod_name("app", 1, 8, serial) for serial in range(5_000)]


amounts = st.one_of(st.integers(0, 12), st.integers(0, 100).map(lambda n: f"{n}%"))


@given(st.integers(1, 12), amounts, amounts, st.data())
def test_whatever_happens_in_whatever_order_the_fenceposts_hold_and_the_rollout_ends(
    replicas: int, surge: int | str, unavailable: int | str, data: st.DataObject
) -> None:
    cluster = up(replicas, surge, unavailable)
    most, least = (replicas + fenceposts(replicas, surge, unavailable)[0]), 0
    least = replicas - fenceposts(replicas, surge, unavailable)[1]
    cluster.feed(Roll())
    rolls = 1
    while cluster.state.rolling:
        ready = sum(m.ready_since is not None for m in cluster.state.members)
        assert len(cluster.state.members) <= most, "more pods than replicas and surge"
        assert ready >= least, "fewer available pods than replicas less unavailable"
        waiting = [m.name for m in cluster.state.members if m.ready_since is None]
        moves: list[Event] = [ReadyChanged(pod, ready=True) for pod in waiting]
        moves += [Gone(pod) for pod in cluster.state.leaving]
        if rolls < 3:
            moves.append(Roll())
        move = data.draw(st.sampled_from(moves))
        rolls += isinstance(move, Roll)
        cluster.now += 1
        cluster.feed(move)
    assert [m.revision for m in cluster.state.members] == [cluster.state.revision] * replicas
    assert cluster.effects[-1] == Completed(cluster.state.revision)
    made = [e.pod for e in cluster.effects if isinstance(e, Create)]
    assert len(set(made)) == len(made)


@given(st.integers(1, 8), amounts, amounts, st.sets(st.integers(0, 7)))
def test_sick_old_pods_never_stop_a_rollout_and_never_cost_a_healthy_one_too_many(
    replicas: int, surge: int | str, unavailable: int | str, sick: set[int]
) -> None:
    cluster = up(replicas, surge, unavailable)
    pods = cluster.pods(1)
    ill = {pods[i] for i in sick if i < replicas}
    for pod in ill:
        cluster.feed(ReadyChanged(pod, ready=False))
    floor = min(replicas - len(ill), replicas - fenceposts(replicas, surge, unavailable)[1])
    cluster.feed(Roll())
    while cluster.state.rolling:
        assert sum(m.ready_since is not None for m in cluster.state.members) >= floor
        fresh = [m.name for m in cluster.state.members if m.ready_since is None and m.revision == 2]
        assert fresh or cluster.state.leaving, "nothing left to wait for, and not complete"
        cluster.now += 1
        cluster.ready(*fresh[:1])
        cluster.gone(*cluster.state.leaving)
    assert len(cluster.pods(2)) == replicas


def test_recreate_lets_every_old_pod_go_before_a_new_one_comes() -> None:
    cluster = up(2, recreate=True)
    old = cluster.pods()
    assert cluster.feed(Roll()) == [Delete(old[0]), Delete(old[1])]
    assert not cluster.gone(old[0])
    created = cluster.gone(old[1])
    assert [type(effect) for effect in created] == [Create, Create]
    assert cluster.ready(*cluster.pods())[-1] == Completed(2)


def test_a_daemon_set_replaces_its_pod_of_a_node_when_that_is_gone_or_with_surge_before() -> None:
    one = up(1, 0, 1, recreate=True, one_per_node=True)
    (old,) = one.pods()
    assert one.feed(Roll()) == [Delete(old)]
    assert [type(effect) for effect in one.gone(old)] == [Create]
    surging = up(1, 1, 0, one_per_node=True)
    (old,) = surging.pods()
    (created,) = surging.feed(Roll())
    assert isinstance(created, Create)
    assert surging.ready(created.pod) == [Delete(old)]


def test_a_daemon_sets_deleted_pod_comes_back_only_when_it_is_gone() -> None:
    one = up(1, 0, 1, recreate=True, one_per_node=True)
    (old,) = one.pods()
    assert one.feed(Deleted(old)) == [] == one.feed(Expect())
    assert [type(effect) for effect in one.gone(old)] == [Create]
    assert one.ready(*one.pods()) == [Completed(1)]


def test_a_scale_down_is_over_when_the_pod_is_gone_and_a_scale_up_when_it_is_available() -> None:
    cluster = up(3)
    (deleted,) = cluster.feed(Scale(2))
    assert isinstance(deleted, Delete)
    assert cluster.gone(deleted.pod) == [Completed(1)]
    (created,) = cluster.feed(Scale(3))
    assert isinstance(created, Create)
    assert cluster.ready(created.pod) == [Completed(1)]


def test_a_deleted_pod_is_expected_back_and_one_that_never_is_ready_is_stuck() -> None:
    cluster = up(2, progress_deadline=30 * SECOND)
    gone = cluster.pods()[0]
    cluster.feed(Deleted(gone))
    cluster.feed(Expect())
    cluster.gone(gone)
    cluster.now += 31 * SECOND
    assert cluster.feed(Tick()) == [Stuck(1)]
