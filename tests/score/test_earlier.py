"""The scorecard's cards agree with what another probe had seen of the same servers; what differs is explained."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

SCORECARD = Path(__file__).parents[2] / "bench/scorecard"


@pytest.fixture
def earlier(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(SCORECARD))
    import earlier

    yield earlier
    sys.modules.pop("earlier")


def test_what_differs_otherwise_than_by_a_race_is_explained(earlier) -> None:
    compared, races, rest = earlier.differences()
    assert compared > 800
    assert races < compared / 20
    assert {(name, title) for name, title, _, _ in rest} <= earlier.EXPLAINED.keys()


def test_a_difference_is_noticed(earlier, monkeypatch: pytest.MonkeyPatch) -> None:
    changed = dict(earlier.EARLIER["uvicorn"], in_flight=["E"], new=["+++++"], exit="1")
    monkeypatch.setitem(earlier.EARLIER, "uvicorn", changed)
    found = {(name, title) for name, title, _, _ in earlier.differences()[2]}
    assert {("uvicorn", "in flight"), ("uvicorn", "new"), ("uvicorn", "exit")} <= found
