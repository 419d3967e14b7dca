"""A client that asked the DNS once: it goes on dialling the pods that it was told of, whatever became of them."""

from __future__ import annotations

import random
from collections.abc import Sequence

from lameduck.cluster import Route
from lameduck.local.node import Backend


class ResolvedOnce:
    """A `lameduck.cluster.Dialer` over the pods that a name stood for when it was made."""

    def __init__(self, backends: Sequence[Backend], seed: int) -> None:
        self._backends = tuple(backends)
        self._choice = random.Random(seed)

    def __repr__(self) -> str:
        return f"<ResolvedOnce {', '.join(each.name for each in self._backends)}>"

    def dial(self) -> Route:
        """The route of the next connection."""
        if not self._backends:
            return Route(None, ("", 0))
        backend = self._backends[int(self._choice.random() * len(self._backends))]
        return Route(backend.pool.take(), backend.address, backend.name)
