from lameduck.core.exchange import Exchange, Failure, Kind, Lane, Stage
from lameduck.core.recording import COLUMNS, Names, Recording

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
