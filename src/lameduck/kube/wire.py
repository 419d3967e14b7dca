"""What driver and agent say to each other, as both sides must know it.

The driver speaks to an agent through the API server's pod proxy, so that nothing has to reach the pod directly. Every
request carries the run's token and is a sign of life; an agent that has heard none for `SILENCE` stops by itself.

  GET  /clock    {"now"}                       the agent's CLOCK_MONOTONIC, ns
  POST /start    a plan, see `pack`            the load begins at ``started`` on the agent's clock
  GET  /state    {"now", "sent", "failed", "phase", "error"}
  POST /knock    {"pod", "ip", "port", "open", "listened_at"}   find out when a port opens or closes
  POST /forget   {"pod"}
  POST /stop     no request becomes due any more
  GET  /result   {"size", "sha256"}            once the run file is whole, else 409
  GET  /run.db   the run file; Range: bytes=N-
  POST /quit
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from lameduck.core.plan import DisruptionPlan, Plan, TrafficPlan

PORT = 8099
TOKEN = "Lameduck-Token"  # noqa: S105 - a header's name
BEAT = 1.0
"""Seconds between two looks at an agent."""
SILENCE = 15.0
"""Seconds without a word after which an agent stops."""


def pack(plan: TrafficPlan, as_json: Mapping[str, Any], secrets: Mapping[str, str]) -> dict[str, Any]:
    """A traffic plan as JSON, with what a run file never holds: headers' values, bodies, secrets."""
    shapes = [
        {"headers": [list(pair) for pair in shape.headers], "body": b64encode(shape.body).decode()}
        for shape in plan.requests
    ]
    return {"plan": dict(as_json), "shapes": shapes, "secrets": dict(secrets)}


def unpack(plan: Plan, packed: Mapping[str, Any]) -> TrafficPlan:
    """The traffic plan that was packed, of a plan that was read from its JSON."""
    shapes = tuple(
        replace(shape, headers=tuple((name, value) for name, value in more["headers"]), body=b64decode(more["body"]))
        for shape, more in zip(plan.traffic.requests, packed["shapes"], strict=True)
    )
    return replace(plan.traffic, requests=shapes)


def bare(traffic: TrafficPlan) -> Plan:
    """A plan that only sends."""
    return Plan(traffic, DisruptionPlan(times=0))
