"""The stop signal held back from an event loop that listens to the wake-up descriptor."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator

import pytest

from lameduck_pod.hold import Hold

NUMBER = signal.SIGUSR2


@pytest.fixture
def loop() -> Iterator[socket.socket]:
    """What a loop would read of the signals of this process."""
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    ours.settimeout(20)
    before = signal.signal(NUMBER, lambda *_: None)
    signal.set_wakeup_fd(theirs.fileno())
    yield ours
    signal.set_wakeup_fd(-1)
    signal.signal(NUMBER, before)
    ours.close()


def test_a_loop_is_woken_by_a_byte_that_it_skips_and_told_later(loop: socket.socket) -> None:
    """uvloop sleeps outside Python until something comes on its descriptor: a silent server had heard no signal."""
    heard: list[bool] = []
    hold = Hold(lambda: heard.append(True), NUMBER)
    hold.check()
    os.kill(os.getpid(), NUMBER)
    assert loop.recv(8) == b"\0"
    assert heard == [True]
    hold.pass_on()
    assert loop.recv(8) == bytes([NUMBER])
