"""kube-proxy's own word on how long it takes: ``kubeproxy_network_programming_duration_seconds``, where it can be read.

Law: it is only set beside the measured lag, never used for it. It starts at the API's last-change-trigger-time, which
an endpoint that is taken out because its pod terminates does not carry: it tells of pods that come, not of those that
go. Its start has one-second precision, so that it may be up to a second too long.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import httpx2

from lameduck.kube.api import Api

NAME = "kubeproxy_network_programming_duration_seconds"
LOCAL = "http://127.0.0.1:10249/metrics"
"""kube-proxy's default metricsBindAddress."""
_SAMPLE = re.compile(rf"^{NAME}_(count|sum)(?:\{{[^}}]*\}})? (\S+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Programmed:
    """How many changes were programmed since kube-proxy started, and how long they took together (s)."""

    count: float
    total: float

    def since(self, before: Programmed) -> Programmed:
        """What came after an earlier reading; all of it where kube-proxy has started anew."""
        if self.count < before.count:
            return self
        return Programmed(self.count - before.count, self.total - before.total)


def parse(text: str) -> Programmed | None:
    """The metric out of a page of metrics, None where it is not there."""
    found = {name: float(value) for name, value in _SAMPLE.findall(text)}
    return Programmed(found["count"], found["sum"]) if {"count", "sum"} <= set(found) else None


async def read(api: Api, node: str) -> Programmed | None:
    """From this machine, where it is a node, else through the API server; None where neither may read it."""
    try:
        async with httpx2.AsyncClient(timeout=0.5, trust_env=False) as client:
            answer = await client.get(LOCAL)
            if answer.is_success and (known := parse(answer.text)):
                return known
    except httpx2.HTTPError:
        pass
    try:
        return parse(await api.text(f"/api/v1/nodes/{node}:10249/proxy/metrics"))
    except Exception:  # not allowed, not bound there: it is only a comparison
        return None


def in_words(during: Programmed) -> str:
    """A note for the report."""
    if not during.count:
        return ""
    mean = 1_000 * during.total / during.count
    return (
        f"kube-proxy's own {NAME}: {during.count:.0f} changes, {mean:.0f} ms on average. It measures pods that come, "
        "not the removal of one that goes, and may be up to 1 s too long: the lag above is the one that matters"
    )
