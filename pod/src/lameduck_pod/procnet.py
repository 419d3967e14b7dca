"""The same, worse, from /proc/net: for kernels and runtimes without sock_diag.

`/proc/net/tcp{,6}` has rows without times, so a busy and an idle kept-alive connection look alike between two segments;
`PassiveOpens` counts every connection that was accepted in this network namespace, also those too short for a row, but
without a source.
"""

from __future__ import annotations

import sys

from lameduck_pod.connections import CLOSE, TIME_WAIT, Connection
from lameduck_pod.sockdiag import plain_address

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


class ProcNet:
    """Raises OSError where /proc/net/tcp cannot be read."""

    def __init__(self) -> None:
        self.all()

    def close(self) -> None:
        """Nothing to give back."""

    def all(self, port: int = 0) -> list[Connection]:
        """Connections and listeners of both families; `port`: only with this local port."""
        rows: list[Connection] = []
        for name in ("tcp", "tcp6"):
            try:
                with open(f"/proc/net/{name}", encoding="ascii") as f:
                    rows += [row for row in parse(f) if port in (0, row.port)]
            except FileNotFoundError:
                if name == "tcp":  # without IPv6 there is no tcp6
                    raise
        return rows


def parse(lines: Iterator[str]) -> Iterator[Connection]:
    """Rows of /proc/net/tcp or tcp6, but those that have ended."""
    next(lines, None)
    for line in lines:
        _, local, remote, state, queues, _, _, _, _, inode, *_ = line.split()
        if int(state, 16) in (TIME_WAIT, CLOSE):
            continue
        here, port = _endpoint(local)
        peer, peer_port = _endpoint(remote)
        wqueue, _, rqueue = queues.partition(":")
        # An inode is 0 until the connection is accepted, so it cannot be the identity.
        yield Connection(
            int(state, 16),
            port,
            here,
            peer_port,
            peer,
            f"{local} {remote}".encode(),
            int(rqueue, 16),
            int(wqueue, 16),
            int(inode),
        )


def _endpoint(text: str) -> tuple[bytes, int]:
    address, _, port = text.partition(":")
    words = (int(address[i : i + 8], 16).to_bytes(4, sys.byteorder) for i in range(0, len(address), 8))
    return plain_address(len(address) == 8, b"".join(words)), int(port, 16)


class PassiveOpens:
    """Counts accepted connections. Raises OSError where /proc/net/snmp cannot be read."""

    def __init__(self) -> None:
        self.before = self._read()

    def close(self) -> None:
        """Nothing to give back."""

    def take(self) -> int:
        """How many since the last call."""
        now = self._read()
        fresh, self.before = now - self.before, now
        return fresh

    def _read(self) -> int:
        with open("/proc/net/snmp", encoding="ascii") as f:
            names, values = [line.split() for line in f if line.startswith("Tcp:")]
        return int(values[names.index("PassiveOpens")])


def gateways() -> frozenset[bytes]:
    """The default gateway: with a bridge CNI, the address that the kubelet's probes come from."""
    found = set()
    try:
        with open("/proc/net/route", encoding="ascii") as f:
            for row in [line.split() for line in f][1:]:
                if row[1] == "00000000" and row[2] != "00000000":
                    found.add(int(row[2], 16).to_bytes(4, sys.byteorder))
        with open("/proc/net/ipv6_route", encoding="ascii") as f:
            for row in map(str.split, f):
                if row[0] == "0" * 32 and row[1] == "00" and row[4] != "0" * 32:
                    found.add(bytes.fromhex(row[4]))
    except OSError:
        pass
    return frozenset(found)
