"""Who listens in this network namespace: asked from the kernel by netlink, or read from `/proc/net/tcp`.

It also tells which connections still wait in an accept queue: the kernel has taken them, the server has not (a socket
without an inode is nobody's yet). And how many that somebody had accepted the kernel has reset: those in the queue,
reset when the listener closes, are not among them.

Law: a listener *reaches* an address if a connection to that address arrives at it: bound to it, to 0.0.0.0, or to ::
without IPV6_V6ONLY. One bound to 127.0.0.1 does not reach a pod's address, here as in a real pod.
"""

from __future__ import annotations

import os
import socket
import struct
from pathlib import Path
from typing import NamedTuple

_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_REQUEST_DUMP = 0x1 | 0x300
_DONE, _ERROR = 3, 2
_TCP_ESTABLISHED, _TCP_CLOSE_WAIT, _TCP_LISTEN = 1, 8, 10
_ATTRIBUTE_V6ONLY = 11
_ABORTS = frozenset({"TCPAbortOnData", "TCPAbortOnClose", "TCPAbortOnMemory", "TCPAbortOnTimeout", "TCPAbortOnLinger"})
"""The kernel's reasons to reset a connection that has an owner (include/uapi/linux/snmp.h): closed with unread data,
data for a closed one, and so on. It counts none of them for one that was never accepted (``inet_csk_listen_stop``)."""
_HEADER = struct.Struct("=IHHII")
_BODY = struct.Struct("=BBBBIHH16s16sIII")
"""``struct inet_diag_req_v2``, with its ports in host order (all zero here)."""
_ANSWER = 72
"""``sizeof(struct inet_diag_msg)``."""
_INODE = slice(68, 72)


class Listener(NamedTuple):
    """A listening TCP socket."""

    address: str
    port: int
    v6only: bool = False

    def reaches(self, address: str) -> bool:
        """Whether a connection to this IPv4 address and our port arrives here."""
        return self.address in {"0.0.0.0", address, f"::ffff:{address}"} or (self.address == "::" and not self.v6only)

    def __str__(self) -> str:
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"


class Listeners:
    """The listening sockets of the network namespace in which this object was made."""

    def __init__(self) -> None:
        self._netlink: socket.socket | None = None
        try:
            self._netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, _NETLINK_SOCK_DIAG)
            self._netlink.settimeout(1)
        except OSError:
            self._netlink = None

    def now(self) -> frozenset[Listener]:
        """All of them, at this moment."""
        if self._netlink is not None:
            try:
                return frozenset(map(_parse, self._dump(1 << _TCP_LISTEN)))
            except OSError:
                self._netlink.close()
                self._netlink = None
        return frozenset(_from_proc("tcp") + _from_proc("tcp6"))

    def waiting(self) -> frozenset[int]:
        """The clients' ports of the connections that nobody has accepted; nothing where the kernel does not tell."""
        if self._netlink is None:
            return frozenset()
        try:
            known = self._dump(1 << _TCP_ESTABLISHED | 1 << _TCP_CLOSE_WAIT)
        except OSError:
            return frozenset()
        return frozenset(int.from_bytes(one[6:8], "big") for one in known if one[_INODE] == bytes(4))

    def resets(self) -> int | None:
        """How many connections that had been accepted (or made) here were reset so far; None where it is not told."""
        try:
            lines = Path(f"/proc/{os.getpid()}/net/netstat").read_text().splitlines()
        except OSError:
            return None
        names, values = ([*line.split()] for line in lines if line.startswith("TcpExt:"))
        return sum(int(value) for name, value in zip(names, values, strict=True) if name in _ABORTS)

    def _dump(self, states: int) -> list[bytes]:
        """The kernel's messages about the sockets in these states, of both families."""
        return [*self._ask(socket.AF_INET, states), *self._ask(socket.AF_INET6, states)]

    def _ask(self, family: int, states: int) -> list[bytes]:
        assert self._netlink is not None
        body = _BODY.pack(family, socket.IPPROTO_TCP, 0, 0, states, 0, 0, bytes(16), bytes(16), 0, 0, 0)
        size = _HEADER.size + len(body)
        self._netlink.send(_HEADER.pack(size, _SOCK_DIAG_BY_FAMILY, _REQUEST_DUMP, 1, 0) + body)
        found: list[bytes] = []
        while True:
            data = self._netlink.recv(1 << 16)
            while data:
                length, kind, _, _, _ = _HEADER.unpack_from(data)
                if kind == _DONE:
                    return found
                if kind == _ERROR:
                    raise OSError("the kernel has no socket diagnosis")
                found.append(data[_HEADER.size : length])
                data = data[(length + 3) & ~3 :]


def _parse(message: bytes) -> Listener:
    family, port = message[0], int.from_bytes(message[4:6], "big")
    raw = message[8:12] if family == socket.AF_INET else message[8:24]
    v6only, offset = False, _ANSWER
    while offset + 4 <= len(message):
        length, kind = struct.unpack_from("=HH", message, offset)
        if kind == _ATTRIBUTE_V6ONLY:
            v6only = bool(message[offset + 4])
        offset += max(4, (length + 3) & ~3)
    return Listener(_text(raw), port, v6only)


def _text(raw: bytes) -> str:
    return socket.inet_ntop(socket.AF_INET if len(raw) == 4 else socket.AF_INET6, raw)


def _from_proc(name: str) -> list[Listener]:
    """The slow way. It cannot tell IPV6_V6ONLY, and takes such a socket for one that takes both."""
    try:
        lines = Path(f"/proc/{os.getpid()}/net/{name}").read_text().splitlines()[1:]
    except OSError:
        return []
    found = []
    for line in lines:
        _, local, _, state, *_ = line.split()
        if int(state, 16) == _TCP_LISTEN:
            words, _, port = local.partition(":")
            raw = b"".join(int(words[i : i + 8], 16).to_bytes(4, "little") for i in range(0, len(words), 8))
            found.append(Listener(_text(raw), int(port, 16)))
    return found
