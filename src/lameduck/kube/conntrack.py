"""Which pod each connection of this machine was routed to, told by the kernel that routed it.

kube-proxy's rules rewrite a connection's destination by connection tracking, in the network namespace where the
connection begins or passes. Where that is ours (a node, `--load-from here`), the kernel's own events (nfnetlink,
NF_NETLINK_CONNTRACK_NEW) say for each new connection which pod it goes to, also for one that is refused or swallowed.
Law: an event names a pod or nothing does; when events were lost, nothing is concluded from the lack of one.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import struct
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from lameduck.core.exchange import Kind, Stage
from lameduck.core.instants import MILLISECOND, SECOND
from lameduck.core.join import NO_ENDPOINT
from lameduck.core.recording import Recording

NETLINK_NETFILTER = 12
GROUP_NEW = 1
TUPLE_ORIG, TUPLE_REPLY = 1, 2
TUPLE_IP, TUPLE_PROTO = 1, 2
V4_SRC, V4_DST = 1, 2
PROTO_NUM, SRC_PORT, DST_PORT = 1, 2, 3
TCP = 6
SO_RCVBUFFORCE = 33
"""Beyond net.core.rmem_max, for who may listen here at all."""
BUFFER = 8 << 20
NEAR = 300 * MILLISECOND
"""An event that comes so long after (or a little before) an attempt began is of that attempt."""
REMEMBERED = 120 * SECOND
"""nf_conntrack_tcp_timeout_time_wait and _syn_sent: how long the kernel keeps a closed or unanswered connection."""
SLACK = 5 * MILLISECOND


def attributes(data: memoryview) -> Iterator[tuple[int, memoryview]]:
    """The netlink attributes of a buffer: type (without flags) and value."""
    at = 0
    while at + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, at)
        if length < 4:
            return
        yield kind & 0x3FFF, data[at + 4 : at + length]
        at += (length + 3) & ~3


def read_event(message: memoryview) -> tuple[str, int, int, str] | None:
    """(original destination, its port, source port, who answers) of one TCP connection, None for anything else."""
    parts = dict(attributes(message[20:]))
    if TUPLE_ORIG not in parts or TUPLE_REPLY not in parts:
        return None
    original, reply = dict(attributes(parts[TUPLE_ORIG])), dict(attributes(parts[TUPLE_REPLY]))
    if TUPLE_IP not in original or TUPLE_PROTO not in original or TUPLE_IP not in reply:
        return None
    address, protocol = dict(attributes(original[TUPLE_IP])), dict(attributes(original[TUPLE_PROTO]))
    answering = dict(attributes(reply[TUPLE_IP]))
    if V4_DST not in address or V4_SRC not in answering or bytes(protocol.get(PROTO_NUM, b"")) != bytes([TCP]):
        return None
    port, source = (struct.unpack(">H", protocol[each])[0] for each in (DST_PORT, SRC_PORT))
    return socket.inet_ntoa(address[V4_DST]), port, source, socket.inet_ntoa(answering[V4_SRC])


def read_events(data: bytes) -> Iterator[tuple[str, int, int, str]]:
    """Every TCP connection that one datagram tells of."""
    view, at = memoryview(data), 0
    while at + 16 <= len(view):
        length = struct.unpack_from("=I", view, at)[0]
        if length < 20:
            return
        event = read_event(view[at : at + length])
        if event is not None:
            yield event
        at += (length + 3) & ~3


class Conntrack:
    """Listens to the kernel from `start` to `close`; `attribute` then writes into a recording what was heard."""

    def __init__(self, address: str, port: int, clock: Callable[[], int]) -> None:
        self._to = (address, port)
        self._clock = clock
        self._socket: socket.socket | None = None
        self._ports: dict[int, tuple[array[int], list[str]]] = {}
        """By source port: when, and to whom."""
        self.lost = False
        self.heard = 0

    def start(self) -> bool:
        """Whether this kernel tells us (root in the namespace of a node)."""
        try:
            made = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, NETLINK_NETFILTER)
        except OSError:
            return False
        try:
            made.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER)
            made.bind((0, GROUP_NEW))
        except OSError:
            made.close()
            return False
        self._socket = made
        asyncio.get_running_loop().add_reader(made.fileno(), self._hear)
        return True

    def close(self) -> None:
        """Listen no more. Safe to call twice."""
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket.fileno())
            self._socket.close()
            self._socket = None

    def _hear(self) -> None:
        assert self._socket is not None
        now = self._clock()
        for _ in range(64):
            try:
                data = self._socket.recv(65536)
            except BlockingIOError:
                return
            except OSError as error:
                self.lost |= error.errno == errno.ENOBUFS
                return
            for address, port, source, pod in read_events(data):
                if (address, port) == self._to:
                    times, pods = self._ports.setdefault(source, (array("q"), []))
                    times.append(now)
                    pods.append(pod)
                    self.heard += 1

    def pod_of(self, local_port: int, begun: int) -> str:
        """The IP of the pod that a connection attempt from a port was routed to, "" if that was not heard.

        An attempt that the kernel tells nothing of fell on the entry of the port's last connection, which lives on for
        two minutes: it went where that one had gone, alive or not.
        """
        times, pods = self._ports.get(local_port, (array("q"), []))
        at = bisect_left(times, begun - SLACK)
        if at < len(times) and times[at] <= begun + NEAR:
            return pods[at]
        return pods[at - 1] if at and not self.lost and times[at - 1] >= begun - REMEMBERED else ""

    def attribute(self, recording: Recording, names: Mapping[str, str]) -> None:
        """Fill in ``routed_to`` of every exchange that has none. ``names`` has each pod's name by its IP.

        A refused attempt that the kernel never tracked was rejected before it was routed: no usable endpoint. So was
        one that left for the Service's own address: no rule led it to a pod (seen for milliseconds when the first
        endpoint of a Service without any comes).
        """
        by_connection: dict[int, int] = {}
        for seq in range(len(recording)):
            if recording.routed_to[seq]:
                continue
            number = recording.connection[seq]
            if recording.nth_on_connection[seq] > 1:
                recording.routed_to[seq] = by_connection.get(number, 0)
                continue
            ip = self.pod_of(recording.local_port[seq], recording.actual_start[seq])
            if ip in names:
                recording.routed_to[seq] = recording.names.index(names[ip])
                if number:
                    by_connection[number] = recording.routed_to[seq]
            elif not ip and not self.lost:
                _no_endpoint(recording, seq, frozenset({Kind.REFUSED}))
            elif ip == self._to[0]:
                _no_endpoint(recording, seq, frozenset({Kind.REFUSED, Kind.TIMEOUT, Kind.UNREACHABLE}))


def _no_endpoint(recording: Recording, seq: int, kinds: frozenset[Kind]) -> None:
    failure = recording.failures[recording.failure[seq]]
    if failure is not None and failure.stage is Stage.CONNECT and failure.kind in kinds and recording.local_port[seq]:
        recording.failure[seq] = recording.failure_index(replace(failure, detail=NO_ENDPOINT))
