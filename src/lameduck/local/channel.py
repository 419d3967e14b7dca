"""How lameduck, its zygote and its holders talk: one JSON object per packet, with file descriptors beside it.

Law: a packet is whole or it is not there (SOCK_SEQPACKET), and the end of the other side is the end of the channel.
"""

from __future__ import annotations

import array
import json
import socket
from collections.abc import Sequence
from typing import Any

MOST_DESCRIPTORS = 250
"""The kernel takes 253 in one message."""
_LARGEST = 1 << 17

Message = dict[str, Any]


def pair() -> tuple[socket.socket, socket.socket]:
    """Two connected ends."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def send(channel: socket.socket, message: Message, descriptors: Sequence[int] = ()) -> None:
    """Send one message. Raises `OSError` when the other side is gone."""
    ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
    channel.sendmsg([json.dumps(message).encode()], ancillary, socket.MSG_NOSIGNAL)


def receive(channel: socket.socket) -> tuple[Message | None, list[int]]:
    """The next message and its descriptors (close-on-exec); (None, []) at the end of the channel.

    Raises `BlockingIOError` on a non-blocking channel without a message.
    """
    space = socket.CMSG_SPACE(MOST_DESCRIPTORS * 4)
    try:
        data, ancillary, _, _ = channel.recvmsg(_LARGEST, space, socket.MSG_CMSG_CLOEXEC)
    except ConnectionError:
        return None, []
    descriptors = array.array("i")
    for level, kind, payload in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            descriptors.frombytes(payload[: len(payload) // 4 * 4])
    return (json.loads(data) if data else None), list(descriptors)
