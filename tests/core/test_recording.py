from dataclasses import replace

from lameduck.core.exchange import Exchange, Failure, Kind, Lane, Stage
from lameduck.core.recording import COLUMNS, Names, Recording, absorb, kept_open

FAILURE = Failure(Stage.AWAIT, Kind.CLOSED, 0, "end of stream")
WHOLE = Exchange(
    seq=0, lane=Lane.REUSE, intended_start=5, actual_start=6, connected=3, sent=7, first_byte=8, finished=9,
    connection=2, nth_on_connection=4, idle=10, local_port=40_000, peer="10.0.0.1:80", status=200, size=12,
    close_announced=True, served_by="a", routed_to="b", failure=FAILURE,
)  # fmt: skip


def test_what_is_added_comes_back_the_same() -> None:
    recording = Recording()
    recording.add(WHOLE)
    assert recording.exchange(0) == WHOLE
    assert list(recording.failed_exchanges()) == [WHOLE]


def test_a_row_costs_at_most_120_bytes() -> None:
    recording = Recording()
    assert sum(getattr(recording, name).itemsize for name, _ in COLUMNS) + recording.settled.itemsize <= 120


def test_every_column_has_a_value_for_every_row_and_its_declared_type() -> None:
    recording = Recording()
    recording.plan(1, Lane.NEW)
    assert all(
        len(getattr(recording, name)) == 1 and getattr(recording, name).typecode == code for name, code in COLUMNS
    )


def test_rows_are_settled_in_the_order_they_end() -> None:
    recording = Recording()
    first, second = recording.plan(1, Lane.NEW), recording.plan(2, Lane.REUSE)
    recording.settle(second, 10)
    recording.settle(first, 11)
    assert list(recording.settled) == [second, first]


def test_too_many_names_share_the_last_number_instead_of_wrapping_round() -> None:
    names = Names()
    numbers = [names.index(str(n)) for n in range(0x10010)]
    assert max(numbers) == 0xFFFF
    assert names.texts[numbers[-1]] == "…"


def used(number: int, connected: int, finished: int, pod: str, lane: Lane = Lane.REUSE) -> Exchange:
    times = {"intended_start": connected, "actual_start": connected, "connected": connected, "finished": finished}
    return replace(WHOLE, **times, connection=number, served_by=pod, lane=lane, failure=None)


def recorded(*exchanges: Exchange) -> Recording:
    recording = Recording()
    for each in exchanges:
        recording.add(each)
    return recording


def test_a_kept_alive_connection_is_open_from_its_making_to_its_last_use() -> None:
    rows = recorded(used(1, 10, 20, "a"), used(1, 10, 60, "a"), used(2, 40, 50, "a"), used(3, 10, 60, "b"))
    assert kept_open(rows, {"a": 30}) == {"a": 1}
    assert kept_open(rows, {"a": 45, "b": 5}) == {"a": 2, "b": 0}
    assert kept_open(rows, {"b": 61}) == {"b": 0}


def test_connections_of_their_own_are_not_kept_and_one_that_nobody_answered_on_makes_it_unknown() -> None:
    assert kept_open(recorded(used(1, 10, 60, "a", Lane.NEW)), {"a": 30}) == {"a": 0}
    assert kept_open(recorded(used(1, 10, 60, "")), {"a": 30}) is None
    assert kept_open(recorded(used(1, 10, 20, "")), {"a": 30}) == {"a": 0}


def test_a_recording_takes_in_another_with_its_texts_and_failures_and_empties_it() -> None:
    mine, theirs = recorded(used(1, 10, 60, "a")), recorded(used(1, 20, 70, "b"), replace(WHOLE, connection=0))
    before = [theirs.exchange(0), theirs.exchange(1)]
    assert absorb(mine, theirs, 7) == (1, 3)
    assert mine.exchange(1) == replace(before[0], seq=1, connection=8)
    assert mine.exchange(2) == replace(before[1], seq=2)
    assert (len(theirs), mine.failed, list(mine.settled)) == (0, 1, [0, 1, 2])
