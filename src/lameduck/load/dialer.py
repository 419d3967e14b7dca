"""The dialer for a plain address: every connection goes to the same place.

Law: a name is resolved once, before the first request, so that the resolver's troubles are not the target's; of several
addresses the connections take turns.
"""

from __future__ import annotations

import socket
from itertools import cycle

from lameduck.cluster import Route
from lameduck.core.errors import EnvironmentFault

Addresses = tuple[tuple[socket.AddressFamily, tuple[str, int]], ...]
"""Where a name leads: family, and numeric host with port."""


class TcpDialer:
    """Dials fixed addresses in turn, with sockets of this network namespace."""

    def __init__(self, addresses: Addresses) -> None:
        self.addresses = addresses
        self._turn = cycle(addresses)

    @classmethod
    def resolve(cls, host: str, port: int) -> TcpDialer:
        """A dialer for a name; `EnvironmentFault` if it does not resolve. Blocks while the resolver does."""
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not a host name"
            raise EnvironmentFault(f"cannot resolve {host}: {reason}") from None
        addresses = ((family, (str(address[0]), int(address[1]))) for family, _, _, _, address in found)
        return cls(tuple(dict.fromkeys(addresses)))

    def dial(self) -> Route:
        """The next address and a fresh socket for it; OSError when this machine has none."""
        family, address = next(self._turn)
        made = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        return Route(made, address)
