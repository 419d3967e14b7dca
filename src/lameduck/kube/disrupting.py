"""What is done to a workload: one disruption of each kind, as the fewest calls to the API.

Law: what has to be put back is in the ledger before it is changed. A restart alternates the annotation
``lameduck.dev/restart`` on and off, so that an even number of them ends on the pod template it began with.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence

from lameduck.core.errors import EnvironmentFault
from lameduck.core.plan import Disruption
from lameduck.kube.api import MERGE, STRATEGIC, Api, ApiError, Json, path
from lameduck.kube.connect import Context
from lameduck.kube.restoring import Ledger, cordon_debt, replicas_debt
from lameduck.kube.workload import ANNOTATION, Target


def other_number(replicas: int) -> int:
    """The replicas in between, when it is scaled and scaled back: one fewer, or two where there is but one."""
    return replicas - 1 if replicas > 1 else 2


def _kubeconfig(context: Context) -> dict[str, str]:
    return {"KUBECONFIG": context.kubeconfig} if context.kubeconfig else {}


class Disruptor:
    """Does it, and says which pods are to go: their names."""

    def __init__(self, api: Api, target: Target, ledger: Ledger) -> None:
        self.api, self.target, self.ledger = api, target, ledger

    async def do(self, kind: Disruption, pods: Sequence[Json], replicas: int) -> list[str]:
        """One disruption of the workload whose ready pods are given, oldest first. Returns the pods that must go."""
        oldest = pods[0]["metadata"]["name"] if pods else ""
        match kind:
            case Disruption.ROLLOUT:
                await self._restart()
                return [each["metadata"]["name"] for each in pods]
            case Disruption.SCALE:
                await self._scale_down(replicas)
                return []
            case Disruption.DELETE:
                await self.api.call("DELETE", path("pods", self.target.namespace, oldest))
            case Disruption.KILL:
                url = path("pods", self.target.namespace, oldest)
                await self.api.call("DELETE", url, params={"gracePeriodSeconds": "0"})
            case Disruption.EVICT:
                await self._evict(oldest)
            case Disruption.DRAIN:
                return await self._drain(pods)
            case Disruption.NONE | Disruption.COMMAND | Disruption.CRASH | Disruption.RELOAD:
                return []
        return [oldest]

    async def command(self, line: str, number: int) -> None:
        """Run the user's own way to roll out, with a shell. Raises `EnvironmentFault` where it fails."""
        process = await asyncio.create_subprocess_shell(
            line,
            env={**os.environ, "LAMEDUCK_DISRUPTION": str(number), **_kubeconfig(self.api.context)},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            _, complaint = await process.communicate()
        except asyncio.CancelledError:
            process.terminate()
            await process.wait()
            raise
        if process.returncode:
            last = complaint.decode(errors="replace").strip().splitlines()[-1:] or ["it said nothing"]
            raise EnvironmentFault(f"--disrupt-command ended with {process.returncode}: {last[0]}")

    async def scale(self, replicas: int) -> None:
        """Set the number of replicas."""
        url = path(self.target.resource, self.target.namespace, self.target.name, "scale")
        await self.api.call("PATCH", url, {"spec": {"replicas": replicas}}, content_type=MERGE)

    async def _restart(self) -> None:
        target = self.target
        now = await self.api.get(target.resource, target.namespace, target.name)
        notes = now["spec"]["template"]["metadata"].get("annotations") or {}
        value = None if ANNOTATION in notes else "on"
        body = {"spec": {"template": {"metadata": {"annotations": {ANNOTATION: value}}}}}
        await self.api.patch(target.resource, target.namespace, target.name, body, STRATEGIC)

    async def _scale_down(self, replicas: int) -> None:
        self.ledger.owe(
            replicas_debt(self.api, self.target.resource, self.target.namespace, self.target.name, replicas)
        )
        await self.scale(other_number(replicas))

    async def _evict(self, pod: str) -> None:
        body = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": pod, "namespace": self.target.namespace},
        }
        await self.api.call("POST", path("pods", self.target.namespace, pod, "eviction"), body)

    async def _drain(self, pods: Sequence[Json]) -> list[str]:
        node = pods[0]["spec"]["nodeName"]
        going = [each["metadata"]["name"] for each in pods if each["spec"].get("nodeName") == node]
        self.ledger.owe(cordon_debt(self.api, node))
        await self.api.patch("nodes", "", node, {"spec": {"unschedulable": True}})
        for pod in going:
            await self._evict_patiently(pod)
        return going

    async def _evict_patiently(self, pod: str, within: float = 120.0) -> None:
        """As kubectl drain does: a budget that says "not now" (429) is asked again."""
        deadline = time.monotonic() + within
        while True:
            try:
                await self._evict(pod)
            except ApiError as error:
                if error.status != 429:
                    raise
                if time.monotonic() > deadline:
                    raise EnvironmentFault(f"the PodDisruptionBudget let {pod} not go for {within:.0f} s") from None
                await asyncio.sleep(1.0)
            else:
                return
