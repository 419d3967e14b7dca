"""What process 1 of a pod is: read from frames, concluded only for shells."""

from __future__ import annotations

import asyncio

import pytest

from lameduck.kube.inspecting import output, reaction

TERM = 1 << 14


def status(*, name: str = "bash", caught: int = 0, ignored: int = 0, command: str = "bash\0/srv/start.sh\0") -> bytes:
    return f"Name:\t{name}\nPid:\t1\nSigIgn:\t{ignored:016x}\nSigCgt:\t{caught:016x}\nThreads:\t1\n{command}".encode()


def test_a_shell_without_a_handler() -> None:
    assert reaction(status(caught=0x10002)) == {"pid1": "bash", "caught": False, "ignored": False, "is_shell": True}


def test_a_shell_that_traps() -> None:
    assert reaction(status(caught=TERM))["caught"] is True


def test_a_script_that_is_named_for_itself_is_known_by_its_command_line() -> None:
    said = status(name="start.sh", command="/bin/sh\0/start.sh\0")
    assert reaction(said)["pid1"] == "sh"


@pytest.mark.parametrize("command", ["python3\0app.py\0", "/sbin/tini\0--\0app\0", "nginx: master process\0", ""])
def test_of_anything_else_nothing_is_concluded(command: str) -> None:
    assert reaction(status(name="app", command=command)) == {}


def test_an_error_text_is_nothing() -> None:
    assert reaction(b"cat: not found") == {}


def frames(*parts: tuple[int, bytes]) -> bytes:
    made = b""
    for first, payload in parts:
        length = len(payload)
        head = bytes([first, length]) if length < 126 else bytes([first, 126]) + length.to_bytes(2, "big")
        made += head + payload
    return made


def heard(data: bytes) -> bytes:
    held = bytearray(data)

    async def exactly(count: int) -> bytes:
        if len(held) < count:
            raise asyncio.IncompleteReadError(bytes(held), count)
        taken = bytes(held[:count])
        del held[:count]
        return taken

    return asyncio.run(output(exactly))


def test_standard_output_is_joined_from_its_channel_alone() -> None:
    data = frames(
        (0x82, b"\x01ab"),
        (0x82, b"\x02oh"),
        (0x89, b""),
        (0x02, b"\x01c"),
        (0x80, b"d"),
        (0x82, b"\x03{}"),
        (0x88, b""),
    )
    assert heard(data) == b"abcd"


def test_long_messages() -> None:
    assert heard(frames((0x82, b"\x01" + b"x" * 1000), (0x88, b""))) == b"x" * 1000


def test_a_masked_frame_is_no_server_s() -> None:
    with pytest.raises(ValueError, match="server"):
        heard(bytes([0x82, 0x81]) + b"....x")
