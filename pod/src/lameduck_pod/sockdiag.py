"""The kernel's own view of TCP connections in this network namespace: NETLINK_SOCK_DIAG, without any privilege.

Two sockets: one asks for dumps with `tcp_info` (when each connection last received and sent data, exact however
rarely one looks), the other listens to the multicast of destroyed connections, so that nothing is too short to be
seen. Wire: linux/inet_diag.h, linux/sock_diag.h, linux/tcp.h; offsets verified on kernel 6.18, valid since 4.6.
"""

from __future__ import annotations

import os
import socket
import struct
from socket import ntohs

from lameduck_pod.connections import CLOSE, LISTEN, TIME_WAIT, Connection

NETLINK_SOCK_DIAG, SOCK_DIAG_BY_FAMILY = 4, 20
REQUEST_DUMP, ERROR, DONE = 0x301, 2, 3
SOL_NETLINK, ADD_MEMBERSHIP = 270, 1
INFO = 2
GROUPS = (1, 3)  # SKNLGRP_INET_TCP_DESTROY, SKNLGRP_INET6_TCP_DESTROY
FAMILIES = (socket.AF_INET, socket.AF_INET6)  # a listener on :: has its IPv4 clients under AF_INET6
LIVE = 0xFFF & ~(1 << TIME_WAIT) & ~(1 << CLOSE)  # TIME_WAIT rows have no tcp_info

HEADER = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence, port id
ASK = struct.Struct("=BBBxI")  # inet_diag_req_v2: family, protocol, extensions, states; then inet_diag_sockid (48)
ATTRIBUTE = struct.Struct("=HH")
# inet_diag_msg (72): family @0, state @1, source and destination port @4, their addresses @8 and @24, cookie @44,
# rqueue @56, wqueue @60, inode @68. Ports are big-endian.
ROW = struct.Struct("=BBxxHH16s16s4x8s4xII4xI")
# tcp_info: last_data_sent @44 and last_data_recv @52 (ms ago), bytes_received @128, data_segs_in @152, _out @156.
TCP_INFO = struct.Struct("=44xI4xI72xQ16xII")


class SockDiag:
    """Raises OSError where the kernel, a seccomp profile or the runtime (gVisor) does not have it."""

    def __init__(self) -> None:
        self.dumps = _netlink()
        self.dumps.settimeout(2)
        self.serial = 0
        for family in FAMILIES:
            self.dump(family, port=1)  # to know now whether it works

    def close(self) -> None:
        """Gives the socket back."""
        self.dumps.close()

    def all(self, port: int = 0) -> list[Connection]:
        """Connections and listeners of both families; `port`: only with this local port (the kernel filters)."""
        return [row for family in FAMILIES for row in self.dump(family, port)]

    def dump(self, family: int, port: int = 0) -> list[Connection]:
        """One family's."""
        self.serial += 1
        ask = ASK.pack(family, socket.IPPROTO_TCP, 1 << (INFO - 1), LIVE) + struct.pack("!H", port) + bytes(46)
        self.dumps.send(HEADER.pack(HEADER.size + len(ask), SOCK_DIAG_BY_FAMILY, REQUEST_DUMP, self.serial, 0) + ask)
        rows: list[Connection] = []
        while True:
            answer = self.dumps.recv(1 << 18)
            at, end = 0, len(answer)
            while at + HEADER.size <= end:
                size, kind, _, serial, _ = HEADER.unpack_from(answer, at)
                if serial != self.serial:  # the rest of an answer that an error has cut short
                    pass
                elif kind == DONE:
                    return rows
                elif kind == ERROR:
                    number = -struct.unpack_from("=i", answer, at + HEADER.size)[0]
                    raise OSError(number, os.strerror(number))
                else:
                    rows.append(parse(answer, at + HEADER.size, at + size))
                at += (size + 3) & ~3


class Destroyed:
    """The connections that ended. Open it when the drain starts: its buffer would be full of history."""

    def __init__(self) -> None:
        self.events = _netlink()
        self.events.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self.events.bind((0, 0))
        for group in GROUPS:
            self.events.setsockopt(SOL_NETLINK, ADD_MEMBERSHIP, group)
        self.events.setblocking(False)

    def close(self) -> None:
        """Gives the socket back."""
        self.events.close()

    def take(self) -> tuple[list[Connection], bool]:
        """What has ended since the last call, and whether the kernel had to drop some (ENOBUFS)."""
        rows: list[Connection] = []
        lost = False
        while True:
            try:
                answer = self.events.recv(1 << 16)
            except BlockingIOError:
                return rows, lost
            except OSError:
                lost = True
                continue
            at = 0
            while at + HEADER.size <= len(answer):
                size = HEADER.unpack_from(answer, at)[0]
                rows.append(parse(answer, at + HEADER.size, at + size))
                at += (size + 3) & ~3


def parse(message: bytes, at: int, end: int) -> Connection:
    """The connection of one inet_diag_msg and its attributes, in message[at:end]."""
    family, state, sport, dport, here, peer, cookie, rqueue, wqueue, inode = ROW.unpack_from(message, at)
    four = family == socket.AF_INET
    row = Connection(
        state,
        ntohs(sport),
        plain_address(four, here) if state == LISTEN else b"",
        ntohs(dport),
        plain_address(four, peer),
        cookie,
        rqueue,
        wqueue,
        inode,
    )
    at += ROW.size
    while at + 4 <= end:
        size, kind = ATTRIBUTE.unpack_from(message, at)
        if kind == INFO and size >= 4 + TCP_INFO.size:
            row.timed = True
            row.sent_ago, row.received_ago, row.bytes_in, row.data_in, row.data_out = TCP_INFO.unpack_from(
                message, at + 4
            )
            break
        if size < 4:
            break
        at += (size + 3) & ~3
    return row


MAPPED = bytes(10) + b"\xff\xff"


def plain_address(four: bool, raw: bytes) -> bytes:
    """4 bytes for IPv4, also where it is mapped into IPv6; else 16."""
    if four:
        return raw[:4]
    return raw[12:] if raw.startswith(MAPPED) else raw


def _netlink() -> socket.socket:
    return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_SOCK_DIAG)
