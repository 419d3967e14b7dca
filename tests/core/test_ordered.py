"""A StatefulSet against its controller's rules: by ordinal, one at a time, under names that are used again."""

from __future__ import annotations

import pytest

from lameduck.core.instants import SECOND
from lameduck.core.ordered import StatefulSet, due, ordinal, step
from lameduck.core.rolling import (
    Completed,
    Create,
    Delete,
    Deleted,
    Effect,
    Event,
    Expect,
    Gone,
    ReadyChanged,
    Roll,
    Scale,
    Strategy,
    Stuck,
    Tick,
)


class Set:
    """A StatefulSet whose pods become ready, and go, when they are told to."""

    def __init__(self, replicas: int, **more: object) -> None:
        self.state = StatefulSet("db", replicas, **more)  # type: ignore[arg-type]
        self.now = 0
        self.log: list[Effect] = []

    def feed(self, event: Event) -> tuple[Effect, ...]:
        self.now += SECOND
        self.state, effects = step(self.state, event, self.now)
        self.log += effects
        return effects

    def settle(self) -> list[Effect]:
        """Let every pod that was created become ready, and every deleted one go, until nothing more happens."""
        begun = len(self.log)
        seen = 0
        while seen < len(self.log):
            effect = self.log[seen]
            seen += 1
            if isinstance(effect, Create) and any(m.name == effect.pod for m in self.state.members):
                self.feed(ReadyChanged(effect.pod, True))
            elif isinstance(effect, Delete) and effect.pod in self.state.leaving:
                self.feed(Gone(effect.pod))
        return self.log[begun:]


def names(effects: list[Effect] | tuple[Effect, ...]) -> list[str]:
    return [f"{'+' if isinstance(e, Create) else '-'}{e.pod}" for e in effects if isinstance(e, Create | Delete)]


def up(replicas: int, **more: object) -> Set:
    made = Set(replicas, **more)
    made.feed(Roll())
    made.settle()
    assert isinstance(made.log[-1], Completed)
    made.log.clear()
    return made


def test_pods_are_created_one_after_the_other_each_when_the_one_before_is_ready() -> None:
    made = Set(3)
    assert names(made.feed(Roll())) == ["+db-0.1"]
    assert names(made.feed(ReadyChanged("db-0.1", True))) == ["+db-1.1"]
    assert names(made.feed(ReadyChanged("db-1.1", True))) == ["+db-2.1"]
    assert made.feed(ReadyChanged("db-2.1", True)) == (Completed(1),)


def test_in_parallel_they_are_created_at_once() -> None:
    assert names(Set(3, parallel=True).feed(Roll())) == ["+db-0.1", "+db-1.1", "+db-2.1"]


def test_an_update_goes_from_the_highest_ordinal_down_and_a_name_is_used_again_only_when_its_pod_is_gone() -> None:
    made = up(3)
    assert names(made.feed(Roll())) == ["-db-2.1"]
    assert names(made.feed(Tick())) == []
    assert names(made.feed(Gone("db-2.1"))) == ["+db-2.2"]
    assert names(made.feed(Tick())) == []
    assert names(made.feed(ReadyChanged("db-2.2", True))) == ["-db-1.1"]
    made.settle()
    assert names(made.log) == ["-db-2.1", "+db-2.2", "-db-1.1", "+db-1.2", "-db-0.1", "+db-0.2"]
    assert made.log[-1] == Completed(2)


def test_what_is_ready_must_stay_so_for_min_ready_seconds() -> None:
    made = Set(2, strategy=Strategy(min_ready=10 * SECOND))
    made.feed(Roll())
    assert names(made.feed(ReadyChanged("db-0.1", True))) == []
    assert due(made.state) == made.now + 10 * SECOND
    made.now += 9 * SECOND
    assert names(made.feed(Tick())) == ["+db-1.1"]


def test_ordinals_below_the_partition_stay() -> None:
    made = up(3, partition=2)
    made.feed(Roll())
    made.settle()
    assert names(made.log) == ["-db-2.1", "+db-2.2"] and made.log[-1] == Completed(2)


def test_a_scale_down_takes_the_highest_and_a_scale_up_brings_it_back() -> None:
    made = up(3)
    assert names(made.feed(Scale(2))) == ["-db-2.1"]
    assert made.feed(Gone("db-2.1")) == (Completed(1),)
    assert names(made.feed(Scale(3))) == ["+db-2.2"]
    assert made.feed(ReadyChanged("db-2.2", True)) == (Completed(1),)


def test_a_deleted_pod_comes_back_under_its_name_once_it_is_gone() -> None:
    made = up(3)
    made.feed(Deleted("db-1.1"))
    assert names(made.feed(Expect())) == []
    assert names(made.feed(Gone("db-1.1"))) == ["+db-1.2"]
    assert made.feed(ReadyChanged("db-1.2", True)) == (Completed(1),)


def test_an_update_that_gets_no_further_is_stuck() -> None:
    made = up(2, strategy=Strategy(progress_deadline=60 * SECOND))
    made.feed(Roll())
    made.feed(Gone("db-1.1"))
    assert due(made.state) == made.now + 60 * SECOND
    made.now += 60 * SECOND
    assert made.feed(Tick()) == (Stuck(2),)


@pytest.mark.parametrize(("pod", "number"), [("db-0.1", 0), ("my-db-12.3", 12), ("web-7", 7)])
def test_an_ordinal_is_read_from_the_name(pod: str, number: int) -> None:
    assert ordinal(pod) == number
