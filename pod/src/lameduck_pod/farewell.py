"""The end of idle client connections, one by one, just before the server's own stop: what comes in time is answered.

A process that ends, and the own stop of some servers, cuts connections while a request is being read from one of them.
The kernel knows better which is idle; the client of such a one sees its end, and uses another.

Laws: only a connection that a client opened to a port this process listens on, with nothing unread, and without data
either way for `STILL`, is ended (its sending side alone, so that the server sees its client go); nothing is ended while
a request is in hand; what cannot be looked at (not Linux, not TCP) is left to the server.
"""

from __future__ import annotations

import _socket
import contextlib
import os
import struct
from typing import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

STILL = 100
"""Milliseconds. Between a server's reading of a request and the layer's counting only this tells of it, and so it is
between the end of an answer for the layer and its last byte."""
ESTABLISHED, LISTEN = 1, 10
FAMILIES = (_socket.AF_INET, _socket.AF_INET6)
# tcp_info (linux/tcp.h): state @0, unacked @24 (of a listener: connections nobody has accepted), last_data_sent @44,
# last_data_recv @52.
INFO = struct.Struct("=B23xI16xI4xI")
FOUR = struct.Struct("=i")


class Seen(NamedTuple):
    """A TCP socket as the kernel has it."""

    state: int
    waiting: int
    """Of a listener: connections that nobody has accepted yet."""
    sent_ago: int
    received_ago: int
    """Milliseconds since data went and came; where there was none, since it was opened."""
    unread: int = 0
    """Bytes."""


def idle(seen: Seen) -> bool:
    """Whether an open connection can be ended without cutting a request that has come."""
    return not seen.unread and min(seen.sent_ago, seen.received_ago) >= STILL


def say(busy: Callable[[], bool]) -> int:
    """End what is idle as long as nobody is `busy`; how many connections are left that may have a request on them."""
    left, ports = 0, set()
    for one, seen in _tcp():
        if seen.state == LISTEN:
            left += seen.waiting
            ports.add(one.getsockname()[1])
    for one, seen in _tcp():
        if seen.state != ESTABLISHED or one.getsockname()[1] not in ports:
            continue
        if busy() or not idle(seen):
            left += 1
        else:
            one.shutdown(_socket.SHUT_WR)
    return left


def _tcp() -> Iterator[tuple[_socket.socket, Seen]]:
    """This process's TCP sockets, each duplicated while it is looked at: its number may be reused at any moment."""
    try:
        numbers = [int(name) for name in os.listdir("/proc/self/fd")]
    except OSError:
        return
    for number in numbers:
        with contextlib.suppress(OSError):
            if not os.readlink(f"/proc/self/fd/{number}").startswith("socket:"):
                continue
            one = _socket.socket(fileno=os.dup(number))
            try:
                seen = _look(one) if one.family in FAMILIES and one.type == _socket.SOCK_STREAM else None
                if seen is not None:
                    yield one, seen
            finally:
                one.close()


def _look(one: _socket.socket) -> Seen | None:
    import fcntl  # not everywhere
    import termios

    try:
        seen = Seen(*INFO.unpack(one.getsockopt(_socket.IPPROTO_TCP, _socket.TCP_INFO, INFO.size)))
    except struct.error:  # a kernel that tells less
        return None
    if seen.state == LISTEN:
        return seen
    return seen._replace(unread=FOUR.unpack(fcntl.ioctl(one.fileno(), termios.FIONREAD, bytes(4)))[0])
