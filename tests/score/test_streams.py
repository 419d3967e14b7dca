"""HTTP/2 and gRPC servers of known behaviour, then real ones: what is asked of their streams says what they are."""

from __future__ import annotations

import asyncio
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lameduck.core.errors import EnvironmentFault
from lameduck.core.shutdown import NO_LAST_STREAM, Observed, Protocol, Question
from lameduck.defects.scorewords import Mark
from lameduck.defects.scoring import card
from lameduck.score import questions, streams
from lameduck.score.asking import ask_all, ask_in_time
from lameduck.score.questions import Notes
from lameduck.score.request import Request
from lameduck.score.server import Subject

ROOT = Path(__file__).parents[2]
SERVERS = str(Path(__file__).with_name("h2_servers.py"))
APPS = ROOT / "bench/scorecard/apps"
FAST, SLOW = Request("/fast"), Request("/slow")


def subject(*words: str, protocol: Protocol = Protocol.HTTP_2, fast: Request = FAST, slow: Request = SLOW) -> Subject:
    return Subject(words, fast, slow, signal.SIGTERM, 60, protocol)


def known(behaviour: str, protocol: Protocol = Protocol.HTTP_2) -> Subject:
    return subject(sys.executable, SERVERS, behaviour, "{port}", protocol=protocol)


def asked(of: Subject, *asks: object) -> Notes:
    async def all_of_them() -> Notes:
        notes = Notes()
        await asyncio.gather(*(ask_in_time(of, ask, notes) for ask in asks))
        return notes

    return asyncio.run(all_of_them())


def observed(of: Subject) -> Observed:
    return asyncio.run(ask_all(of, 0, lambda _: None))


def test_a_lame_duck_that_says_goaway_in_two_steps_gets_an_a() -> None:
    seen = observed(known("two steps", Protocol.GRPC))
    assert seen.idle is not None
    assert [x.last_stream for x in seen.idle.goaways] == [NO_LAST_STREAM, 1]
    assert seen.health is not None
    assert seen.health[0].status == "NOT_SERVING"
    judged = card(seen)
    assert (judged.grade, judged.safe_set) == ("A", ())
    assert {line.mark for line in judged.lines} <= {Mark.GOOD, Mark.UNKNOWN}
    assert judged.as_dict()["health"][0]["status"] == "NOT_SERVING"


def test_one_that_dies_cuts_its_streams() -> None:
    notes = asked(known("none"), questions.in_flight, streams.late, questions.idle_left)
    assert set(notes.runs[Question.IN_FLIGHT][0]) <= {"E", "R"}
    assert notes.idle is not None
    assert not notes.idle.goaways
    assert notes.idle.how in {"fin", "reset"}


def test_one_step_drops_streams_that_may_be_sent_again() -> None:
    notes = asked(known("one step"), questions.idle_left, questions.in_flight)
    assert notes.idle is not None
    assert [x.last_stream for x in notes.idle.goaways] == [1]
    assert notes.runs[Question.IN_FLIGHT] == ["+"]


def test_refused_streams_are_told_from_lost_ones() -> None:
    notes = asked(known("refuses"), streams.late, streams.late_shared, questions.new)
    for question in (Question.LATE, Question.LATE_BUSY, Question.NEW):  # it may hear of the signal some time later
        assert re.fullmatch(r"\+{0,3}S{2,5}", notes.runs[question][0])


def test_in_tls_by_alpn(tmp_path: Path) -> None:
    pem = tmp_path / "both.pem"
    words = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    words += ["-keyout", pem, "-out", tmp_path / "c.pem"]
    if not shutil.which("openssl"):
        pytest.skip("no openssl here to make a certificate")
    subprocess.run([*words, "-days", "1", "-subj", "/CN=localhost"], check=True, capture_output=True)
    pem.write_text(pem.read_text() + (tmp_path / "c.pem").read_text())
    of = subject(sys.executable, SERVERS, "two steps", "{port}", str(pem))
    of = Subject(of.command, FAST, SLOW, signal.SIGTERM, 60, Protocol.HTTP_2, tls=True)
    notes = asked(of, questions.queue, streams.shared)
    assert notes.runs == {Question.QUEUE: ["+++++"], Question.IDLE_BUSY: ["+++++"]}


@pytest.mark.parametrize(
    ("server", "protocol", "says"),
    [
        ("servers.py", Protocol.HTTP_2, "does not speak HTTP/2|speaks HTTP/1.1 here|its answer is|closed"),
        ("h2_servers.py", Protocol.HTTP_1, "try --http h2c"),
    ],
)
def test_the_wrong_protocol_is_said(server: str, protocol: Protocol, says: str) -> None:
    path = str(Path(__file__).with_name(server))
    of = Subject((sys.executable, path, "none", "{port}"), FAST, SLOW, signal.SIGTERM, 3, protocol)
    with pytest.raises(EnvironmentFault, match=says):
        observed(of)


PYTHON = ROOT / ".venv-servers/bin"
GRPC_FAST, GRPC_SLOW = Request("/p/fast"), Request("/p/slow")


def need(name: str) -> str:
    found = str(PYTHON / name) if (PYTHON / name).exists() else shutil.which(name)
    if found is None or (name == "python" and not (PYTHON / name).exists()):
        pytest.skip(f"{name} is not installed here (scripts/servers, or Debian's package)")
    return found


def hypercorn(_: Path) -> Subject:
    there = ("sh", "-c", 'cd "$0" && exec "$@"', str(APPS))
    return subject(*there, need("hypercorn"), "-w", "0", "-b", "127.0.0.1:{port}", "asgi:app")


def granian(_: Path) -> Subject:
    words = ("--host", "127.0.0.1", "--port", "{port}", "--http", "2", "--interface", "asgi")
    return subject(need("granian"), *words, "--working-dir", str(APPS), "asgi:app")


def grpcio(kind: str):
    def of(_: Path) -> Subject:
        words = (need("python"), str(APPS / "grpc_server.py"), kind, "stop", "{port}")
        return subject(*words, protocol=Protocol.GRPC, fast=GRPC_FAST, slow=GRPC_SLOW)

    return of


def node(_: Path) -> Subject:
    return subject(need("node"), str(APPS / "http2.js"), "{port}", "goaway")


def go(folder: Path) -> Subject:
    binary = folder / "server"
    subprocess.run([need("go"), "build", "-o", binary, APPS / "server.go"], check=True, timeout=100)
    return subject(str(binary), "{port}", "shutdown", "h2c")


def nginx(folder: Path) -> Subject:
    conf = folder / "nginx.conf"
    conf.write_text(
        f"daemon off; worker_processes 1; pid {folder}/pid; error_log stderr crit; events {{}}\n"
        f"http {{ access_log off; server {{ listen 127.0.0.1:PORT http2; location / {{ return 200 ok; }} }} }}\n"
    )
    script = 'sed "s/PORT/$1/g" "$0" > "$0.$1" && exec nginx -p "${0%/*}" -c "$0.$1"'
    need("nginx")
    return subject("sh", "-c", script, str(conf), "{port}", slow=FAST)


@pytest.mark.parametrize(
    ("make", "last_streams", "in_flight", "late"),
    [
        (hypercorn, [], "C", "rGf"),
        (granian, [NO_LAST_STREAM, 1], "C", "G"),
        (grpcio("sync"), [NO_LAST_STREAM, 1], "C", "G"),
        (grpcio("aio"), [NO_LAST_STREAM, 1], "C", "G"),
        (node, [1, 1], "C", "G"),
        (go, [1], "C", "G"),
        (nginx, None, "+C", ""),
    ],
    ids=["hypercorn", "granian", "grpcio sync", "grpcio aio", "node", "go", "nginx"],
)
def test_real_servers(make, last_streams, in_flight: str, late: str, tmp_path: Path) -> None:
    asks = [questions.in_flight, streams.late_shared, questions.idle_left]
    notes = asked(make(tmp_path), *asks)
    assert notes.runs[Question.IN_FLIGHT][0] in "+" + in_flight  # told with the answer, or after it
    assert notes.idle is not None
    if last_streams is not None:
        assert [x.last_stream for x in notes.idle.goaways] == last_streams
        assert notes.idle.how == "fin"
    assert set(notes.runs[Question.LATE_BUSY][0][3:]) <= set(
        late or "+CGf"
    )  # it may hear of the signal some time later


def test_node_s_close_leaves_its_http2_connections_open(tmp_path: Path) -> None:
    """And so does not end while a client keeps one; who is told nothing leaves nothing."""
    of = subject(need("node"), str(APPS / "http2.js"), "{port}", "close")
    notes = asked(of, streams.late)
    assert notes.runs[Question.LATE] == ["+++++"]
