"""One TCP connection or listener as the kernel describes it, whoever was asked."""

from __future__ import annotations

TYPE_CHECKING = False

ESTABLISHED, SYN_SENT, SYN_RECV, FIN_WAIT1, FIN_WAIT2, TIME_WAIT, CLOSE, CLOSE_WAIT, LAST_ACK, LISTEN, CLOSING = range(
    1, 12
)
OPEN = frozenset((ESTABLISHED, CLOSE_WAIT))
"""The application can still answer on it."""


class Connection:
    """A row. Times are milliseconds before the look, and mean something only when `timed`; addresses are 4 or 16 bytes.

    `here` is known of listeners only. `identity` tells two connections with the same ports apart. On a listener,
    `rqueue` counts the connections that nobody has accepted yet. A plain class with slots, since a look at 1,000
    connections makes 1,000 of them.
    """

    __slots__ = (
        "bytes_in",
        "data_in",
        "data_out",
        "here",
        "identity",
        "inode",
        "peer",
        "peer_port",
        "port",
        "received_ago",
        "rqueue",
        "sent_ago",
        "state",
        "timed",
        "wqueue",
    )

    def __init__(  # by position: 1,000 of these per look
        self,
        state: int,
        port: int,
        here: bytes,
        peer_port: int,
        peer: bytes,
        identity: bytes,
        rqueue: int = 0,
        wqueue: int = 0,
        inode: int = 0,
        *,
        timed: bool = False,
        sent_ago: int = 0,
        received_ago: int = 0,
        bytes_in: int = 0,
        data_in: int = 0,
        data_out: int = 0,
    ) -> None:
        self.state = state
        self.port = port
        self.here = here
        self.peer_port = peer_port
        self.peer = peer
        self.identity = identity
        self.rqueue = rqueue
        self.wqueue = wqueue
        self.inode = inode
        self.timed = timed
        self.sent_ago = sent_ago
        self.received_ago = received_ago
        self.bytes_in = bytes_in
        self.data_in = data_in
        self.data_out = data_out

    @property
    def client(self) -> str:
        """``10.1.2.3:4711`` or ``[fd00::1]:4711``."""
        address = text(self.peer)
        return f"[{address}]:{self.peer_port}" if ":" in address else f"{address}:{self.peer_port}"


def text(address: bytes) -> str:
    """An address as people write it."""
    from socket import AF_INET, AF_INET6, inet_ntop  # the pure parts import this module

    return inet_ntop(AF_INET if len(address) == 4 else AF_INET6, address)


def address(written: str) -> bytes:
    """4 or 16 bytes of an address. Raises ValueError with a sentence for people."""
    from socket import AF_INET, AF_INET6, inet_pton

    try:
        return inet_pton(AF_INET6 if ":" in written else AF_INET, written)
    except OSError:
        raise ValueError(f"{written!r} is not an IP address") from None


def network(written: str) -> tuple[bytes, int]:
    """Address and number of leading bits of ``10.1.2.3`` or ``10.0.0.0/8``. Raises ValueError with a sentence for
    people."""
    base, slash, bits = written.partition("/")
    raw = address(base)
    if slash and (not bits.isdigit() or int(bits) > 8 * len(raw)):
        raise ValueError(f"{written!r} is not a network; say 10.0.0.0/8 or fd00::/8")
    return raw, int(bits) if slash else 8 * len(raw)


def within(raw: bytes, net: tuple[bytes, int]) -> bool:
    """Whether an address lies in a network."""
    base, bits = net
    if len(raw) != len(base):
        return False
    shift = 8 * len(raw) - bits
    return int.from_bytes(raw, "big") >> shift == int.from_bytes(base, "big") >> shift
