import json
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lameduck.core.errors import EnvironmentFault, UsageError
from lameduck.core.exchange import Exchange, Failure, Kind, Lane, Stage
from lameduck.core.plan import BodyExpectation, DisruptionPlan, Plan, RequestShape, TrafficPlan
from lameduck.core.recording import Recording
from lameduck.core.timeline import Event, Milestone, Observation
from lameduck.runfile import RunWriter, new_run_dir, plan_as_json, plan_from_json, read

PLAN = Plan(
    TrafficPlan(
        requests=(
            RequestShape(
                "POST",
                "/infer",
                headers=(("Authorization", "Bearer s3cret"),),
                body=b"s3cret body",
                expect_body=BodyExpectation(contains="ok"),
            ),
        )
    ),
    DisruptionPlan(),
)
META = {
    "plan": plan_as_json(PLAN),
    "facts": {"kind": "local", "name": "app", "replicas": 3, "grace": 30, "notes": []},
    "load_started": 10,
    "load_ended": 90,
}

instants = st.integers(1, 2**62)
exchanges = st.builds(
    Exchange,
    seq=st.just(0),
    lane=st.sampled_from(Lane),
    intended_start=instants,
    actual_start=instants,
    connected=st.none() | instants,
    sent=st.none() | instants,
    first_byte=st.none() | instants,
    finished=instants,
    connection=st.integers(0, 2**32 - 1),
    nth_on_connection=st.integers(0, 100),
    local_port=st.integers(0, 65535),
    peer=st.sampled_from(["", "10.0.0.1:80", "10.0.0.2:80"]),
    status=st.integers(0, 599),
    size=st.integers(0, 2**32 - 1),
    close_announced=st.booleans(),
    served_by=st.sampled_from(["", "pod-a"]),
    routed_to=st.sampled_from(["", "pod-b"]),
    failure=st.none()
    | st.builds(Failure, st.sampled_from(Stage), st.sampled_from(Kind), st.integers(0, 200), st.text(max_size=9)),
)


@settings(max_examples=25, deadline=None)
@given(st.lists(exchanges, max_size=40))
def test_what_was_recorded_is_read_back_the_same(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Exchange]
) -> None:
    folder = tmp_path_factory.mktemp("run")
    recording = Recording()
    for row in rows:
        recording.add(row)
    seen = [
        Observation(3, Milestone.READY, "pod-a", 1, "test", {"n": 1}),
        Observation(4, Event.ROUTES_CHANGED, "", detail={"pods": ["a"]}),
    ]
    writer = RunWriter(folder / "run.db", recording, META)
    for each in seen:
        writer.observe(each)
    writer.close()
    run = read(folder).run
    assert [run.recording.exchange(n) for n in range(len(rows))] == [recording.exchange(n) for n in range(len(rows))]
    assert (list(run.observations), run.complete) == (seen, True)


def test_a_run_is_one_file_that_sqlite_reads_and_holds_no_secret(tmp_path: Path) -> None:
    recording = Recording()
    failure = Failure(Stage.CONNECT, Kind.REFUSED, 111)
    recording.add(Exchange(0, Lane.NEW, 1, 2, None, None, None, 3, failure=failure))
    recording.add(Exchange(1, Lane.NEW, 1, 2, 3, 4, 5, 6, status=200))
    RunWriter(tmp_path / "run.db", recording, META).close()
    assert [file.name for file in tmp_path.iterdir()] == ["run.db"]
    with sqlite3.connect(tmp_path / "run.db") as database:
        assert database.execute("SELECT lane, kind, errno FROM failed").fetchall() == [("new", "refused", 111)]
    assert b"s3cret" not in (tmp_path / "run.db").read_bytes()


def test_a_plan_survives_all_but_its_secrets() -> None:
    back = plan_from_json(json.loads(json.dumps(plan_as_json(PLAN))))
    assert back.disruption == PLAN.disruption
    assert back.traffic.lanes == PLAN.traffic.lanes
    assert back.traffic.requests[0].headers == (("Authorization", ""),)
    assert back.traffic.requests[0].body == b""
    assert back.traffic.requests[0].expect_body == BodyExpectation(contains="ok")


WRITE_AND_HANG = """
import sys, time
from lameduck.core.exchange import Exchange, Lane
from lameduck.core.recording import Recording
from lameduck.runfile import RunWriter
import json
recording = Recording()
writer = RunWriter(__import__("pathlib").Path(sys.argv[1]), recording, json.loads(sys.argv[2]))
for n in range(1000):
    recording.add(Exchange(n, Lane.NEW, n + 1, n + 1, n + 1, n + 1, n + 1, n + 2))
while writer._written < 1000:
    time.sleep(0.01)
print("written", flush=True)
time.sleep(60)
"""


def test_a_killed_recorder_leaves_what_it_had_and_says_that_it_is_not_whole(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WRITE_AND_HANG, str(tmp_path / "run.db"), json.dumps(META)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "written\n"
        os.kill(child.pid, signal.SIGKILL)
    run = read(tmp_path).run
    assert (len(run.recording), run.complete) == (1000, False)


@pytest.mark.parametrize("text", [b"", b"not a database, but long enough to be looked at" * 40])
def test_what_is_no_run_file_is_said_to_be_none(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "run.db").write_bytes(text)
    with pytest.raises(UsageError, match=r"run\.db"):
        read(tmp_path)


def test_a_folder_that_holds_a_run_is_not_used_twice(tmp_path: Path) -> None:
    RunWriter(new_run_dir(tmp_path) / "run.db", Recording(), META).close()
    with pytest.raises(UsageError, match="already holds a run"):
        new_run_dir(tmp_path)


def test_a_folder_that_cannot_be_made_is_an_error_for_people(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentFault, match="--run-dir"):
        new_run_dir(tmp_path / "file" / "below")


def test_a_full_disk_is_noted_and_does_not_end_the_run() -> None:
    writer = RunWriter(Path("/dev/shm") / f"lameduck-test-{os.getpid()}.db", Recording(), META)
    try:
        writer._database.execute("PRAGMA max_page_count=1")
        for n in range(2000):
            writer.observe(Observation(n, Milestone.READY, "pod-with-a-long-name" * 10))
        writer.close()
        assert "can no longer be written" in writer.error
    finally:
        writer.path.unlink(missing_ok=True)
