"""A headless Service: its name is resolved to the pods themselves, and no node's table is in the way.

Laws: the DNS answers with the ready endpoints, all of them with ``publishNotReadyAddresses``, and never with a
terminating one for want of others (CoreDNS's kubernetes plugin reads EndpointSlices' *ready*). It follows the slice by
a watch, so an answer is as fresh as that; how long a *client* keeps one is its own affair.
"""

from __future__ import annotations

from lameduck.core.endpoints import Node
from lameduck.core.instants import MILLISECOND


def names() -> Node:
    """The table of a client that asks for the name at each new connection, before any pod is there."""
    return Node(min_sync=0, sync_cost=MILLISECOND, wake=MILLISECOND, last_resort=False)
