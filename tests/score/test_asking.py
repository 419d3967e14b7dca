"""Servers of known behaviour, asked on raw sockets: the card says what they are."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from pathlib import Path

import pytest

from lameduck.cli import main
from lameduck.core.errors import EnvironmentFault, UsageError
from lameduck.core.shutdown import Observed, Question
from lameduck.defects.scoring import card
from lameduck.score.asking import ask_all, ask_in_time
from lameduck.score.client import Client
from lameduck.score.questions import Notes, load_balancer
from lameduck.score.request import Request
from lameduck.score.server import Server, Subject

SERVERS = str(Path(__file__).with_name("servers.py"))
FAST, SLOW = Request("/fast"), Request("/slow")


def observed(behaviour: str) -> Observed:
    subject = Subject((sys.executable, SERVERS, behaviour, "{port}"), FAST, SLOW, signal.SIGTERM)
    return asyncio.run(ask_all(subject, 0, lambda _: None))


def test_a_lame_duck_gets_an_a() -> None:
    seen = observed("lame duck")
    assert seen.lost is not None
    assert (seen.lost.new_failed, seen.lost.pooled_failed, seen.lost.announced) == (0, 0, True)
    assert card(seen).grade == "A"
    assert card(seen).safe_set == ()


def test_a_server_without_a_handler_cuts_and_is_deaf_as_pid_1() -> None:
    seen = observed("none")
    assert set(seen.letters(Question.IN_FLIGHT)) <= {"E", "R"}
    assert seen.letters(Question.NEW)[-1] == "x"
    assert card(seen).grade == "F"
    assert seen.deaf or seen.pid_1 is None


@pytest.mark.parametrize(("behaviour", "left_behind"), [("leaves", 0), ("leaves the port", 1)])
def test_who_outlives_the_server_with_its_port_is_left_behind(behaviour, left_behind) -> None:
    async def one() -> int:
        subject = Subject((sys.executable, SERVERS, behaviour, "{port}"), FAST, None, signal.SIGTERM)
        async with Server(subject) as server:
            server.tell()
            return (await server.end(5)).orphans

    assert asyncio.run(one()) == left_behind


def test_the_server_dies_with_a_script_that_does_not_wait_for_it(tmp_path: Path) -> None:
    script = tmp_path / "start.sh"
    script.write_text('trap \'kill -TERM "$pid"\' TERM\n"$@" & pid=$!\nwait "$pid"\n')

    async def one() -> str:
        words = ("bash", str(script), sys.executable, SERVERS, "drains", "{port}")
        async with Server(Subject(words, FAST, SLOW, signal.SIGTERM)) as server:
            client = Client(server.port)
            assert await client.connect() is None
            asking = asyncio.create_task(client.ask(Request("/hang"), 15))
            await asyncio.sleep(0.3)
            server.tell()
            letter = await asking
            client.close()
            return letter.value

    assert asyncio.run(one()) in {"E", "R"}


async def loaded(behaviour: str) -> Notes:
    notes = Notes()
    await ask_in_time(Subject((sys.executable, SERVERS, behaviour, "{port}"), FAST, None), load_balancer, notes)
    return notes


def test_a_small_server_is_asked_with_a_load_that_it_bears() -> None:
    lost = asyncio.run(loaded("8 seats")).lost
    assert lost is not None
    assert lost.new_sent < 30
    assert (lost.new_failed, lost.pooled_failed) == (0, 0)


def test_what_fails_before_the_signal_is_not_booked_on_the_stop() -> None:
    with pytest.raises(EnvironmentFault, match="does not keep up with 10 new connections a second"):
        asyncio.run(loaded("2 seats"))


def test_what_does_not_start_says_so() -> None:
    subject = Subject((sys.executable, "-c", "raise SystemExit('no model')"), FAST, None, signal.SIGTERM)
    with pytest.raises(EnvironmentFault, match=r"ended with 1 before it served port .*no model"):
        asyncio.run(ask_all(subject, 0, lambda _: None))


def test_a_wrong_path_is_told_with_its_status() -> None:
    subject = Subject((sys.executable, SERVERS, "drains", "{port}"), Request("/nothing"), None, signal.SIGTERM, 3)
    with pytest.raises(EnvironmentFault, match="its answer is 404; say --path"):
        asyncio.run(ask_all(subject, 0, lambda _: None))


def test_without_a_slow_path_the_command_says_what_it_did_not_ask(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    out = tmp_path / "card.json"
    words = ["score", "--path", "/fast", "--budget", "0", "--json", str(out), "--"]
    assert main([*words, sys.executable, SERVERS, "lame duck", "{port}"]) == 0
    told = json.loads(out.read_text())
    assert told["grade"] == "B"
    unknown = {line["question"] for line in told["lines"] if line["mark"] == "not asked"}
    assert "in flight" in unknown
    assert "say --slow PATH" in capsys.readouterr().out


def test_a_signal_is_said_as_everywhere(capsys: pytest.CaptureFixture) -> None:
    assert main(["score", "--signal", "softly", "--", "true"]) == 2
    assert "--signal: say a signal such as SIGQUIT, not 'softly'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("slow", "says"),
    [
        ("/fast", r"--slow /fast is answered after \d+ ms"),
        ("/nothing", "--slow /nothing fails without any stop signal"),
    ],
)
def test_what_is_not_slow_or_fails_anyway_is_refused(slow: str, says: str) -> None:
    """Else a wrong path would be called a server that cuts what is in flight, and a quick one one that does not."""
    subject = Subject((sys.executable, SERVERS, "drains", "{port}"), FAST, Request(slow), signal.SIGTERM)
    with pytest.raises(UsageError, match=says):
        asyncio.run(ask_all(subject, 0, lambda _: None))
