"""Servers of known behaviour, asked on raw sockets: the card says what they are."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from pathlib import Path

import pytest

from lameduck.cli import main
from lameduck.core.errors import EnvironmentFault
from lameduck.core.shutdown import Observed, Question
from lameduck.defects.scoring import card
from lameduck.score.asking import ask_all
from lameduck.score.server import Server, Subject

SERVERS = str(Path(__file__).with_name("servers.py"))
FAST = b"GET /fast HTTP/1.1\r\nHost: test\r\n\r\n"
SLOW = FAST.replace(b"fast", b"slow")


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


@pytest.mark.parametrize(("lives_on", "left_behind"), [("0.4", 0), ("20", 1)])
def test_who_outlives_the_server_is_left_behind_but_not_a_helper_that_ends_by_itself(lives_on, left_behind) -> None:
    async def one() -> int:
        subject = Subject((sys.executable, SERVERS, f"leaves {lives_on}", "{port}"), FAST, b"", signal.SIGTERM)
        async with Server(subject) as server:
            server.tell()
            return (await server.end(5)).orphans

    assert asyncio.run(one()) == left_behind


def test_what_does_not_start_says_so() -> None:
    subject = Subject((sys.executable, "-c", "raise SystemExit('no model')"), FAST, b"", signal.SIGTERM)
    with pytest.raises(EnvironmentFault, match=r"ended with 1 before it served port .*no model"):
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
