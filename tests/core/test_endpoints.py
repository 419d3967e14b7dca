"""EndpointSlice conditions, the choice among endpoints, and kube-proxy's runner."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lameduck.core.endpoints import (
    Endpoint,
    InForce,
    Node,
    Published,
    Tick,
    Withdrawn,
    conditions,
    due,
    step,
    usable,
)
from lameduck.core.instants import MILLISECOND, SECOND

MS = MILLISECOND


@pytest.mark.parametrize(
    ("ready", "terminating", "publish_not_ready", "expected"),
    [
        (True, False, False, Endpoint("p", ready=True, serving=True, terminating=False)),
        (False, False, False, Endpoint("p", ready=False, serving=False, terminating=False)),
        (True, True, False, Endpoint("p", ready=False, serving=True, terminating=True)),
        (False, True, False, Endpoint("p", ready=False, serving=False, terminating=True)),
        (True, True, True, Endpoint("p", ready=True, serving=True, terminating=True)),
        (False, False, True, Endpoint("p", ready=True, serving=False, terminating=False)),
    ],
)
def test_ready_is_serving_and_not_terminating_unless_not_ready_addresses_are_published(
    ready: bool, terminating: bool, publish_not_ready: bool, expected: Endpoint
) -> None:
    assert conditions("p", ready=ready, terminating=terminating, publish_not_ready=publish_not_ready) == expected


def on(pod: str) -> Endpoint:
    return conditions(pod, ready=True, terminating=False)


def off(pod: str) -> Endpoint:
    return conditions(pod, ready=False, terminating=False)


def leaving(pod: str, serving: bool = True) -> Endpoint:
    return conditions(pod, ready=serving, terminating=True)


@pytest.mark.parametrize(
    ("endpoints", "expected"),
    [
        ((), ()),
        ((on("a"), on("b")), ("a", "b")),
        ((on("a"), leaving("b")), ("a",)),
        ((leaving("a"), leaving("b")), ("a", "b")),  # the last resort
        ((leaving("a"), leaving("b", serving=False)), ("a",)),  # 503 while stopping gives it away
        ((leaving("a", serving=False),), ()),
        ((off("a"),), ()),
        ((off("a"), leaving("b")), ("b",)),
        ((Endpoint("a", ready=False, serving=True, terminating=False),), ()),
    ],
)
def test_ready_endpoints_are_used_and_only_without_any_those_that_serve_while_terminating(
    endpoints: tuple[Endpoint, ...], expected: tuple[str, ...]
) -> None:
    assert usable(endpoints) == expected


class Proxy:
    """A node whose ticks come exactly when it wants them."""

    def __init__(self, **settings: int) -> None:
        self.node = Node(**settings)
        self.tables: list[tuple[int, tuple[str, ...]]] = []

    def until(self, now: int) -> None:
        while (at := due(self.node)) is not None and at <= now:
            self._feed(Tick(), at)

    def change(self, event: Published | Withdrawn, at: int) -> None:
        self.until(at)
        self._feed(event, at)

    def _feed(self, event: Published | Withdrawn | Tick, at: int) -> None:
        self.node, effects = step(self.node, event, at)
        self.tables += [(at, effect.pods) for effect in effects]

    def in_force(self, *changes: tuple[float, Published | Withdrawn]) -> list[tuple[float, tuple[str, ...]]]:
        for at, event in changes:
            self.change(event, round(at * MS))
        self.until(100 * SECOND)
        return [(at / MS, pods) for at, pods in self.tables]


def test_the_first_change_is_in_force_after_one_sync() -> None:
    assert Proxy().in_force((1_000, Published(on("a")))) == [(1_037, ("a",))]


def test_a_change_during_a_sync_waits_until_a_second_after_its_end() -> None:
    tables = Proxy().in_force(
        (1_000, Published(on("new"))), (1_030, Published(leaving("old"))), (1_031, Published(on("b")))
    )
    assert tables == [(1_037, ("new",)), (1_037 + 1_000 + 35, ("new", "b"))]


def test_a_change_just_before_the_next_sync_is_covered_by_it() -> None:
    """A rollout's short lag: the removal comes while the readiness before it still waits for its turn."""
    tables = Proxy().in_force((0, Published(on("a"))), (1_000, Published(on("b"))), (1_030, Published(leaving("a"))))
    assert tables == [(37, ("a",)), (37 + 1_000 + 35, ("b",))]


def test_a_change_at_the_very_start_of_a_sync_is_covered_and_one_right_after_it_is_not() -> None:
    node, _ = step(Node(), Published(on("a")), 0)
    node, _ = step(node, Published(on("b")), 2 * MS - 1)  # the sync starts at 2 ms
    node, _ = step(node, Tick(), 2 * MS)
    node, effects = step(node, Tick(), 37 * MS)
    assert effects == (InForce(("a", "b")),)

    node, _ = step(Node(), Published(on("a")), 0)
    node, _ = step(node, Tick(), 2 * MS)
    node, _ = step(node, Published(on("b")), 2 * MS)
    node, effects = step(node, Tick(), 37 * MS)
    assert effects == (InForce(("a",)),)
    assert due(node) == 37 * MS + SECOND


def test_there_is_no_burst_and_after_a_quiet_time_no_wait() -> None:
    pods = [Published(on(name)) for name in "abc"]
    tables = Proxy().in_force((0, pods[0]), (50, pods[1]), (5_000, pods[2]))
    assert [at for at, _ in tables] == [37, 37 + 1_000 + 35, 5_037]


def test_a_late_tick_does_not_shift_the_runners_clock() -> None:
    node, _ = step(Node(), Published(on("a")), 0)
    node, effects = step(node, Tick(), 900 * MS)
    assert effects == (InForce(("a",)),) and node.free == 37 * MS + SECOND


def test_the_first_sync_waits_for_the_runners_phase() -> None:
    assert Proxy(free=700 * MS).in_force((0, Published(on("a")))) == [(735, ("a",))]


def test_an_update_that_changes_nothing_starts_no_sync() -> None:
    node, _ = step(Node(), Published(on("a")), 0)
    node, _ = step(node, Tick(), 37 * MS)
    assert step(node, Published(on("a")), SECOND) == (node, ())
    assert step(node, Withdrawn("b"), SECOND) == (node, ())
    assert due(node) is None


def test_a_removal_leaves_an_empty_table_that_rejects() -> None:
    tables = Proxy().in_force((0, Published(on("a"))), (5_000, Withdrawn("a")))
    assert tables[-1] == (5_037, ())


def test_an_update_keeps_the_order_of_the_endpoints() -> None:
    node = Node(endpoints=(on("a"), on("b")))
    node, _ = step(node, Published(leaving("a")), 0)
    assert [e.pod for e in node.endpoints] == ["a", "b"]


@given(
    st.lists(st.tuples(st.integers(0, 3_000), st.sampled_from("abc"), st.booleans()), max_size=25), st.integers(0, 60)
)
def test_syncs_keep_their_distance_and_every_change_is_in_force_within_it(
    steps: list[tuple[int, str, bool]], cost: int
) -> None:
    proxy = Proxy(sync_cost=cost * MS)
    now, changed = 0, {}
    for wait, pod, ready in steps:
        now += wait * MS
        before = proxy.node.endpoints
        proxy.change(Published(on(pod) if ready else off(pod)), now)
        if proxy.node.endpoints != before:
            changed[now] = usable(proxy.node.endpoints)
    proxy.until(now + 10 * SECOND)
    ends = [at for at, _ in proxy.tables]
    for earlier, later in pairwise(ends):
        assert later - earlier >= SECOND + cost * MS
    lag = SECOND + 2 * cost * MS + 2 * MS
    for at in changed:
        assert any(at < end <= at + lag for end in ends)
    if changed:
        assert proxy.tables[-1][1] == usable(proxy.node.endpoints)
    assert replace(proxy.node, free=0).sync is None and due(proxy.node) is None
