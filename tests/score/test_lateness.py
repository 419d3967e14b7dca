"""A machine that stalls while it asks: what was asked too late is asked again, and never taken for an answer."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from pathlib import Path

import pytest

from lameduck.core.shutdown import Question
from lameduck.score import questions
from lameduck.score.asking import TRIES, Ask, ask_in_time
from lameduck.score.questions import Notes
from lameduck.score.request import Request
from lameduck.score.server import Late, Server, Subject

SERVERS = str(Path(__file__).with_name("servers.py"))
LAME_DUCK = Subject(
    (sys.executable, SERVERS, "lame duck", "{port}"), Request("/fast"), Request("/slow"), signal.SIGTERM
)


def asked(ask: Ask, *, after: float) -> tuple[Notes, list[Server]]:
    """Asks; the first time, this process stalls for 1.6 s, so long after the signal (s), or (< 0) after the start."""
    notes, tries = Notes(), list[Server]()

    async def stalling(server: Server, into: Notes) -> None:
        tries.append(server)
        loop, tell = asyncio.get_running_loop(), server.tell
        if len(tries) == 1 and after < 0:
            loop.call_later(-after, time.sleep, 1.6)
        elif len(tries) == 1:
            server.tell = lambda: (tell(), loop.call_later(after, time.sleep, 1.6))  # type: ignore[method-assign]
        await ask(server, into)

    asyncio.run(ask_in_time(LAME_DUCK, stalling, notes))
    return notes, tries


def test_a_connection_that_came_too_late_says_nothing_of_the_server() -> None:
    notes, tries = asked(questions.new, after=0.3)
    assert len(tries) >= 2, "the first was late: its last connection met a server that had ended long since"
    assert set(notes.runs[Question.NEW][0]) <= {"+", "C"}


def test_a_slow_request_that_was_over_before_the_signal_was_not_in_flight() -> None:
    notes, tries = asked(questions.in_flight, after=-0.1)
    assert len(tries) >= 2
    assert len(notes.runs[Question.IN_FLIGHT]) == 1


def test_a_load_that_goes_on_too_long_is_no_load_balancers() -> None:
    notes, tries = asked(questions.load_balancer, after=0.5)
    assert len(tries) >= 2
    assert notes.lost is not None
    assert (notes.lost.new_failed, notes.lost.pooled_failed) == (0, 0)


def test_what_is_late_each_time_is_not_asked_at_all() -> None:
    tries = []

    async def late(server: Server, notes: Notes) -> None:
        tries.append(server)
        server.tell()
        time.sleep(0.2)
        await server.at(0)
        server.in_time()

    with pytest.raises(Late, match=r"too busy to ask in time: \d+ ms late"):
        asyncio.run(ask_in_time(LAME_DUCK, late, Notes()))
    assert len(tries) == TRIES
