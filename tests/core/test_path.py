"""The kinds of way to a pod: how they are written, and how they follow the EndpointSlice."""

from __future__ import annotations

import pytest

from lameduck.core import path
from lameduck.core.endpoints import Published, Tick, conditions
from lameduck.core.instants import MILLISECOND, SECOND
from lameduck.core.path import Kind, Via


@pytest.mark.parametrize(
    ("text", "via"),
    [
        ("service", Via()),
        ("ingress", Via(Kind.INGRESS)),
        ("slow-lb:120", Via(Kind.SLOW_LB, 120 * SECOND)),
        ("slow-lb:0.5", Via(Kind.SLOW_LB, SECOND // 2)),
    ],
)
def test_a_way_is_read_and_written_alike(text: str, via: Via) -> None:
    assert path.parse(text) == via
    assert str(via) == text


@pytest.mark.parametrize(
    "text", ["", "nodeport", "service:1", "slow-lb", "slow-lb:", "slow-lb:x", "slow-lb:0", "slow-lb:-1", "slow-lb:nan",
             "slow-lb:inf", "slow-lb:3601"],
)  # fmt: skip
def test_what_is_no_way_is_refused_in_words(text: str) -> None:
    with pytest.raises(ValueError, match=r"slow-lb|takes no|lasts"):
        path.parse(text)


@pytest.mark.parametrize(
    ("via", "min_sync", "rest"),
    [(Via(), 0, 1), (Via(), 10, 10), (Via(Kind.INGRESS), 0, 2), (Via(Kind.SLOW_LB, 120 * SECOND), 5, 1)],
)
def test_between_two_disruptions_a_way_is_left_alone_until_its_runner_is_free(
    via: Via, min_sync: int, rest: int
) -> None:
    assert path.rest(via, min_sync * SECOND) == rest * SECOND


def went(via: Via, *, only: bool = False) -> dict[int, tuple[str, ...]]:
    """The tables by ms: pod `b` is ready at 10 s (never, if only), the old one, `a`, is deleted 30 ms later."""
    table = path.table(via, SECOND, 0)
    a, b = conditions("a", ready=True, terminating=False), conditions("b", ready=True, terminating=False)
    gone = conditions("a", ready=True, terminating=True)
    events = [(0, Published(a)), *([] if only else [(10 * SECOND, Published(b))])]
    events.append((10 * SECOND + 30 * MILLISECOND, Published(gone)))
    seen: dict[int, tuple[str, ...]] = {}
    pending = list(events)
    while pending or path.due(table) is not None:
        at = path.due(table)
        if pending and (at is None or pending[0][0] <= at):
            now, event = pending.pop(0)
            table, effects = path.step(table, event, now)
        else:
            assert at is not None
            now = at
            table, effects = path.step(table, Tick(), now)
        seen.update((now // MILLISECOND, effect.pods) for effect in effects)
    return seen


def test_kube_proxy_takes_the_old_pod_out_a_second_after_the_new_ones_sync() -> None:
    assert went(Via()) == {37: ("a",), 10_037: ("a", "b"), 11_072: ("b",)}


def test_an_ingress_waits_out_its_throttle() -> None:
    assert went(Via(Kind.INGRESS)) == {27: ("a",), 10_027: ("a", "b"), 12_052: ("b",)}


def test_a_slow_load_balancer_takes_a_pod_in_at_once_and_out_after_its_deregistration() -> None:
    assert went(Via(Kind.SLOW_LB, 120 * SECOND)) == {0: ("a",), 10_000: ("a", "b"), 130_030: ("b",)}


def test_only_kube_proxy_goes_on_with_terminating_endpoints_where_none_is_ready() -> None:
    assert went(Via(), only=True)[10_067] == ("a",)
    assert went(Via(Kind.INGRESS), only=True)[10_057] == ()


@pytest.mark.parametrize(("via", "starts_a_sync"), [(Via(), True), (Via(Kind.INGRESS), False)])
def test_an_address_that_is_not_ready_starts_a_sync_of_kube_proxy_but_changes_no_ingress(
    via: Via, starts_a_sync: bool
) -> None:
    table, _ = path.step(path.table(via, SECOND, 0), Published(conditions("a", ready=True, terminating=False)), 0)
    table, _ = path.step(table, Tick(), 20 * SECOND)
    table, _ = path.step(table, Published(conditions("b", ready=False, terminating=False)), 20 * SECOND)
    assert (path.due(table) is not None) == starts_a_sync


def test_a_report_says_which_way_the_traffic_went_unless_it_is_the_usual_one() -> None:
    assert path.told(Via()) == ""
    assert "ingress" in path.told(Via(Kind.INGRESS))
    assert "for 120 s after" in path.told(Via(Kind.SLOW_LB, 120 * SECOND))


def test_the_floor_of_a_suggestion_is_higher_behind_a_throttle() -> None:
    assert [path.parse(text).floor for text in ("service", "ingress", "slow-lb:120")] == [3, 4, 3]
