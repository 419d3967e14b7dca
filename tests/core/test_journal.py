"""What `lameduck-pod` wrote is what `lameduck` reads; everything else in a log is not."""

import json
import os

import pytest

from lameduck.core import journal
from lameduck.core.instants import MILLISECOND, SECOND
from lameduck.core.timeline import JOURNAL, Event, Milestone, Observation, fold
from lameduck_pod.journal import Journal

M = Milestone


def written(part: str, event: str, message: str = "", **facts: object) -> str:
    """A line as the pod's own code writes it."""
    read_end, write_end = os.pipe()
    Journal(part, "json", (write_end,)).write(event, message, **facts)
    os.close(write_end)
    with os.fdopen(read_end) as file:
        return file.read()


def entry(part: str, event: str, message: str = "", **facts: object) -> journal.Entry:
    found = journal.read(written(part, event, message, **facts))
    assert found is not None
    return found


def seen(part: str, event: str, message: str = "", **facts: object) -> Observation:
    told = journal.observation(entry(part, event, message, **facts), "web-1", 7)
    assert told is not None
    return told


def test_a_line_comes_back_as_it_was_written() -> None:
    found = entry("run", "forwarded", 'said "so"\n', signal="SIGTERM", waited_s=3.02)
    assert (found.part, found.event, found.message) == ("run", "forwarded", 'said "so"\n')
    assert found.facts["waited_s"] == 3.02 and found.monotonic > 0 and found.pod == os.uname().nodename


@pytest.mark.parametrize("before", ["2026-11-26T17:00:00.123456789Z ", "a server's unfinished line", ""])
def test_a_line_is_found_behind_a_time_and_behind_an_unfinished_line(before: str) -> None:
    assert journal.read(before + written("drain", "drained", reason="quiet")) is not None


LINE = written("run", "stop_signal")
OTHERS = {
    "a server's own words": "GET / 200",
    "a server's own JSON": '{"level": "info", "event": "stop_signal"}',
    "cut": LINE[:40],
    "no time": '{"lameduck": "run", "event": "stop_signal", "message": "x"}',
    "a time in words": '{"lameduck": "run", "event": "stop_signal", "monotonic_ns": "now"}',
    "an event that is no word": '{"lameduck": "run", "event": 7, "monotonic_ns": 7}',
    "far too long": LINE + "x" * journal.LONGEST,
    "nested without end": '{"lameduck": "run", "event": ' + "[" * 60_000,
}


@pytest.mark.parametrize("line", OTHERS.values(), ids=OTHERS)
def test_what_is_no_whole_line_of_the_journal_is_skipped(line: str) -> None:
    assert list(journal.entries([line, LINE])) == [journal.read(LINE)]


MEANS = {
    "run stop_signal": (M.STOP_SIGNAL, {"signal": "SIGTERM", "caught": True, "is_shell": False}),
    "run forwarded": (M.FORWARDED, {"signal": "SIGTERM", "waited_ns": 3 * SECOND, "reason": "quiet"}),
    "run killed": (M.KILLED, {"by": "lameduck-pod"}),
    "run exited": (Event.POD_FACT, {"command_code": 143}),
    "sidecar prestop_started": (M.PRESTOP_STARTED, {}),
    "sidecar drained": (M.PRESTOP_FINISHED, {"ok": True, "reason": "quiet"}),
    "drain drained": (M.PRESTOP_FINISHED, {"ok": True, "reason": "quiet"}),
}


@pytest.mark.parametrize("line", MEANS)
def test_each_milestone_becomes_an_observation(line: str) -> None:
    part, event = line.split()
    told = seen(part, event, signal="SIGTERM", waited_s=3.0, reason="quiet", code=143)
    what, detail = MEANS[line]
    assert (told.what, told.subject, told.at, told.source) == (what, "web-1", 7, JOURNAL)
    assert detail.items() <= dict(told.detail).items()


@pytest.mark.parametrize(
    "line", ["run started", "run warning", "drain watching", "sidecar refused", "drain stop_signal"]
)
def test_the_rest_is_for_people_only(line: str) -> None:
    assert journal.observation(entry(*line.split()), "web-1", 7) is None


def test_a_nodes_clock_is_learnt_from_the_line_that_came_fastest() -> None:
    lines = [json.dumps({"lameduck": "run", "event": "signal", "monotonic_ns": n * SECOND}) for n in (1, 2, 3)]
    late = (900 * MILLISECOND, 40 * MILLISECOND, 300 * MILLISECOND)
    heard = [
        ((n + 101) * SECOND + wait, one) for n, (one, wait) in enumerate(zip(journal.entries(lines), late, strict=True))
    ]
    assert journal.offset(heard) == 100 * SECOND + 40 * MILLISECOND
    assert journal.offset([]) is None


def test_the_journal_is_more_exact_than_an_estimate_and_adds_to_what_was_seen() -> None:
    guess = Observation(100, M.STOP_SIGNAL, "a", precision=60, source="watch", detail={"how": "guessed"})
    word = Observation(90, M.STOP_SIGNAL, "a", precision=5, source=JOURNAL, detail={"how": "the pod's journal"})
    mark = fold([guess, word])["a"].marks[M.STOP_SIGNAL]
    assert (mark.at, mark.precision, mark.source, mark.detail["how"]) == (90, 5, JOURNAL, "the pod's journal")
    exact = Observation(91, M.STOP_SIGNAL, "a", precision=5, source="local", detail={"pid1": "python3"})
    mark = fold([exact, word])["a"].marks[M.STOP_SIGNAL]
    assert (mark.at, mark.source, mark.detail) == (91, "local", {"pid1": "python3", "how": "the pod's journal"})


def test_of_two_runs_in_one_pod_the_first_to_be_told_counts() -> None:
    words = [Observation(at, M.FORWARDED, "a", source=JOURNAL) for at in (50, 60)]
    assert fold(words)["a"].at(M.FORWARDED) == 50
