"""What a pod may reach outside of its own network (`--reach HOST:PORT`), and the process that carries it there.

Laws: the application keeps its configuration. A name stays that name (the pod's `/etc/hosts` says a private address),
an address that address, localhost localhost; behind each the relay listens in the pod's network and connects outside.
What differs: the relay has accepted before it knows whether the other side will, so that *refused* looks like *closed*.
"""

from __future__ import annotations

import ipaddress
import os
import signal
import socket
import threading
from collections.abc import Sequence
from typing import NamedTuple

from lameduck.local import channel, sandbox

_PRIVATE = "198.19.0."
"""Addresses that stand for names inside a pod; from RFC 2544's range, like the pods' own."""
_LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})


class Reach(NamedTuple):
    """One way out: `inside` is the address that the relay listens on in the pod; `alias` whether `lo` must get it."""

    host: str
    port: int
    inside: str
    alias: bool
    named: bool
    """Whether the pod's `/etc/hosts` must say it."""


def plan(wanted: Sequence[tuple[str, int]]) -> tuple[Reach, ...]:
    """Where each HOST:PORT is found inside a pod. Raises `ValueError` for an IPv6 address."""
    names: dict[str, str] = {}
    return tuple(_reach(host, port, names) for host, port in dict.fromkeys(wanted))


def _reach(host: str, port: int, names: dict[str, str]) -> Reach:
    if host in _LOCAL:
        return Reach(host, port, "127.0.0.1", alias=False, named=False)
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        inside = names.setdefault(host, f"{_PRIVATE}{len(names) + 1}")
        return Reach(host, port, inside, alias=True, named=True)
    if address.version != 4:
        raise ValueError(f"a pod's network is IPv4 only: name {host} by its host name")
    return Reach(host, port, host, alias=not address.is_loopback, named=False)


def hosts(reach: Sequence[Reach], present: str) -> str:
    """The text of the pods' `/etc/hosts`: this machine's, with the names that are relayed first."""
    lines = dict.fromkeys(f"{each.inside}\t{each.host}" for each in reach if each.named)
    return "".join(f"{line}\n" for line in lines) + present


def fork(ways: Sequence[Reach], output: str, leave: Sequence[socket.socket]) -> socket.socket:
    """Leave a relay behind in the network that this process is about to leave; where to send it its sockets.

    It closes the sockets `leave`, which are not its business, writes what fails to `output`, and ends with its parent.
    """
    mine, its = channel.pair()
    if os.fork() == 0:
        mine.close()
        for each in leave:
            each.close()
        sandbox.die_with_parent(signal.SIGKILL)
        sandbox.rename("pod relay")
        os.dup2(os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644), 2)
        _serve_all(its, ways)
        os._exit(0)
    its.close()
    return mine


def open_ways(ways: Sequence[Reach], outside: socket.socket, first_alias: int) -> None:
    """In the pod's network: listen for what may leave it, and hand that to the relay."""
    addresses = dict.fromkeys(each.inside for each in ways if each.alias)
    for number, address in enumerate(addresses, first_alias):
        sandbox.add_address(number, address)
    listening = [socket.create_server((each.inside, each.port), backlog=128) for each in ways]
    with outside:
        channel.send(outside, {"saw": "up"}, [each.fileno() for each in listening])
    for each in listening:
        each.close()


def _serve_all(control: socket.socket, ways: Sequence[Reach]) -> None:
    _, descriptors = channel.receive(control)
    serving = [
        threading.Thread(target=_serve, args=(socket.socket(fileno=descriptor), each))
        for descriptor, each in zip(descriptors, ways, strict=False)
    ]
    for thread in serving:
        thread.start()
    for thread in serving:
        thread.join()


def _serve(listener: socket.socket, reach: Reach) -> None:
    while True:
        inner, _ = listener.accept()
        threading.Thread(target=_carry, args=(inner, reach), daemon=True).start()


def _carry(inner: socket.socket, reach: Reach) -> None:
    with inner:
        try:
            outer = socket.create_connection((reach.host, reach.port), timeout=30)
        except OSError as error:
            os.write(2, f"lameduck: --reach {reach.host}:{reach.port}: {error.strerror or error}\n".encode())
            return
        with outer:
            outer.settimeout(None)
            back = threading.Thread(target=_copy, args=(outer, inner), daemon=True)
            back.start()
            _copy(inner, outer)
            back.join()


def _copy(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(1 << 16):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        for each in (source, target):
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue
