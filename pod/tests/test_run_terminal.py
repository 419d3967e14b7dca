"""`run` with a terminal: the foreground is the command's, and a shell's job control works through us."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import shlex
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

LAMEDUCK_POD = [sys.executable, "-m", "lameduck_pod"]


class Screen:
    """A program on a terminal of its own."""

    def __init__(self, argv: list[str]) -> None:
        self.master, slave = pty.openpty()
        self.process = subprocess.Popen(
            argv,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509  (no threads here)
            env={**os.environ, "PS1": "prompt> ", "TERM": "dumb"},
        )
        os.close(slave)
        self.text = ""

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    def see(self, text: str) -> None:
        """Waits for a text, and forgets everything up to it."""
        end = time.monotonic() + 40
        while text not in self.text:
            assert time.monotonic() < end, f"{text!r} never came:\n{self.text}"
            if select.select([self.master], [], [], 0.2)[0]:
                try:
                    self.text += os.read(self.master, 4096).decode(errors="replace")
                except OSError:
                    assert text in self.text, f"closed before {text!r}:\n{self.text}"
        self.text = self.text.partition(text)[2]

    def end(self) -> None:
        for stat in Path("/proc").glob("[0-9]*/stat"):  # its session: groups in it have ends of their own
            with contextlib.suppress(OSError):
                session = int(stat.read_text().rpartition(")")[2].split()[3])
                if session == self.process.pid:
                    os.kill(int(stat.parent.name), signal.SIGKILL)
        self.process.wait()
        os.close(self.master)


@pytest.fixture
def screens():
    shown = []

    def show(argv: list[str]) -> Screen:
        shown.append(Screen(argv))
        return shown[-1]

    yield show
    for screen in shown:
        screen.end()


@pytest.mark.parametrize("pid1", [True, False])
def test_ctrl_c_and_a_resize_reach_the_command_once(screens, witness, own_network, pid1) -> None:
    below = own_network if pid1 else []
    screen = screens([*below, *LAMEDUCK_POD, "run", "--", *witness("0")])
    screen.see("ready")
    screen.type("\x03")
    screen.see("heard SIGINT")
    fcntl.ioctl(screen.master, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 90, 0, 0))
    screen.see("heard SIGWINCH")
    screen.type("\x1c")
    screen.see("heard SIGQUIT")
    assert "heard SIGINT" not in screen.text


def test_a_shells_job_control_works_through_us(screens) -> None:
    screen = screens(["bash", "--norc", "--noediting", "-i"])
    screen.see("prompt> ")
    screen.type(
        shlex.join([*LAMEDUCK_POD, "run", "--journal", "none", "--", "sh", "-c", "echo up; cat; exit 6"]) + "\n"
    )
    screen.see("up\r\n")
    screen.type("one\n")
    screen.see("one\r\none\r\n")
    screen.type("\x1a")
    screen.see("Stopped")
    screen.see("prompt> ")
    screen.type("echo the shell has the terminal\n")
    screen.see("\r\nthe shell has the terminal")
    screen.type("fg\n")
    screen.see("run")
    screen.type("two\n")
    screen.see("two\r\ntwo\r\n")
    screen.type("\x04")
    screen.see("prompt> ")
    screen.type("echo code $?\n")
    screen.see("code 6")


def test_in_the_background_the_terminal_is_left_alone(screens) -> None:
    screen = screens(["bash", "--norc", "--noediting", "-i"])
    screen.see("prompt> ")
    screen.type(shlex.join([*LAMEDUCK_POD, "run", "--journal", "none", "--", "sh", "-c", "echo up; sleep 60"]) + " &\n")
    screen.see("up\r\n")
    screen.type("echo still here\n")
    screen.see("\r\nstill here")
    screen.type("kill %1; wait %1; echo code $?\n")
    screen.see("code 143")
