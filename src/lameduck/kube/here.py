"""Load from this machine: to the Service's own address where that is routable, or to a URL in front of the cluster.

Law: what is dialled is resolved once, before the first request, and connections take turns. Never through ``kubectl
port-forward``: that goes to one pod, chosen once, past the Service, and proves nothing about a rollout. Which pod a
connection met is filled in afterwards: by the kernel where it routed the connection, else by who answered.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import cycle

from lameduck.cluster import Route
from lameduck.core.errors import EnvironmentFault, UsageError
from lameduck.core.recording import Recording
from lameduck.kube.conntrack import Conntrack
from lameduck.kube.preflight import Checked

Address = tuple[socket.AddressFamily, tuple[str, int]]


@dataclass(frozen=True, slots=True)
class Way:
    """Where the load goes: ``host`` "" for the Service's own address."""

    host: str = ""
    port: int = 0
    secure: bool = False
    via: str = "service"
    """What stands before the Service, as `lameduck.core.path` names it."""

    @property
    def authority(self) -> str:
        """The Host header of a URL, "" for the Service's own address."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if not host or self.port == (443 if self.secure else 80) else f"{host}:{self.port}"

    async def dialer(self, checked: Checked, clock: Callable[[], int]) -> AnswerDialer:
        """The dialer, once something answers there. Raises `UsageError` and `EnvironmentFault`."""
        if not self.host:
            return await _to_service(checked, clock)
        addresses = await _resolve(self.host, self.port)
        await reachable(addresses[0])
        return HopDialer(addresses, f"{'https' if self.secure else 'http'}://{self.authority}")


class AnswerDialer:
    """Dials fixed addresses in turn. `routes_known`: the kernel tells which pod each attempt went to."""

    def __init__(self, addresses: Sequence[Address], url: str, conntrack: Conntrack | None = None) -> None:
        self._turn, self._conntrack = cycle(addresses), conntrack
        self._names: Mapping[str, str] = {}
        self.url = url
        self.routes_known = conntrack is not None

    def dial(self) -> Route:
        """A fresh socket; OSError when this machine has none."""
        family, address = next(self._turn)
        return Route(socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC), address)

    def name_by(self, names: Mapping[str, str]) -> None:
        """Each pod's name by its IP, as it becomes known."""
        self._names = names

    def attribute(self, recording: Recording) -> None:
        """See `lameduck.cluster.Attributing`."""
        if self._conntrack is not None:
            self._conntrack.attribute(recording, self._names)

    def close(self) -> None:
        """Listen to the kernel no more. Safe to call twice."""
        if self._conntrack is not None:
            self._conntrack.close()


class HopDialer(AnswerDialer):
    """Dials an ingress or a balancer, whose connections to the pods are its own affair."""

    def kept_open(self, pod: str) -> None:  # noqa: ARG002
        """See `lameduck.cluster.Holding`: it does not say."""
        return


async def _to_service(checked: Checked, clock: Callable[[], int]) -> AnswerDialer:
    name, ip = checked.service["metadata"]["name"], str(checked.service["spec"].get("clusterIP") or "None")
    port = int(checked.port["port"])
    if ip == "None":
        raise UsageError(f"the Service {name} is headless: its clients choose among its pods; --load-from URL")
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    address: Address = (family, (ip, port))
    try:
        await reachable(address, aside=True)
    except EnvironmentFault:
        raise EnvironmentFault(
            f"the Service's address {ip}:{port} cannot be reached from this machine: send from inside the cluster "
            "(--load-from cluster), or through an ingress (--load-from URL); kubectl port-forward would pin one pod"
        ) from None
    conntrack: Conntrack | None = Conntrack(ip, port, clock) if family == socket.AF_INET else None
    if conntrack is not None and not conntrack.start():
        conntrack = None
    host = f"[{ip}]" if ":" in ip else ip
    return AnswerDialer([address], f"http://{host}:{port}", conntrack)


async def _resolve(host: str, port: int) -> list[Address]:
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not a host name"
        raise EnvironmentFault(f"cannot resolve {host}: {reason}") from None
    return list(dict.fromkeys((family, (str(at[0]), int(at[1]))) for family, _, _, _, at in found))


ASIDE = cycle(range(2_000, 10_000))
"""Ports that no load is sent from (Linux takes 32768 to 60999). Who asks a Service before the data plane has its rule
leaves an entry in the connection table, which leads the same port's later users past every pod for two minutes."""


async def reachable(address: Address, patience: float = 5.0, *, aside: bool = False) -> None:
    """Raises `EnvironmentFault` where nothing accepts a connection from here within ``patience`` seconds.

    ``aside``: from a port that the load will not use; for a Service's own address.
    """
    family, (host, port) = address
    with socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC) as made:
        try:
            if aside:
                made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                with suppress(OSError):  # a server's port
                    made.bind(("", next(ASIDE)))
            async with asyncio.timeout(patience):
                await asyncio.get_running_loop().sock_connect(made, (host, port))
        except (OSError, TimeoutError) as error:
            why = f"no answer within {patience:.0f} s" if isinstance(error, TimeoutError) else error.strerror or error
            raise EnvironmentFault(f"cannot reach {host}:{port} from here: {why}") from None


Lives = Mapping[str, Sequence[tuple[int, str]]]
"""Of each pod name that more than one pod had: from which instant on (ns) it meant which of them, in order."""


def served_by_lives(recording: Recording, lives: Lives) -> None:
    """Where several pods had the same name one after the other (StatefulSets), write down which one answered."""
    if not lives:
        return
    texts = recording.names.texts
    known = {number: lives[text] for number, text in enumerate(texts) if text in lives}
    for seq, number in enumerate(recording.served_by):
        if number in known:
            at = recording.connected[seq]
            name = [subject for since, subject in known[number] if since <= at] or [known[number][0][1]]
            recording.served_by[seq] = recording.names.index(name[-1])
