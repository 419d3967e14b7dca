"""What is done to a workload on this machine: one disruption of each kind, and why it did not end, if it did not.

Laws: the oldest ready pod is the one that goes; an eviction asks the disruption budget, and asks again every 5 s while
that says no (as ``kubectl drain`` does); a disruption is over when everything is again as the workload wants it: every
replica available, every pod that went gone.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from lameduck.core import rolling
from lameduck.core.instants import MILLISECOND, SECOND, human
from lameduck.core.plan import Disruption
from lameduck.local.kubelet import KubeletPod
from lameduck.local.spec import LocalSpec

ASK_AGAIN = 5 * SECOND
LOOK = 50 * MILLISECOND


class Disturbed(Protocol):
    """A cluster as its disruptions need it."""

    async def until_done(self, event: rolling.Event) -> str:
        """Tell the workload's controller, and wait until everything is as it wants it: "", or why not."""
        ...

    def ready_pods(self) -> tuple[KubeletPod, ...]:
        """The ready pods that nobody has told to go, oldest first."""
        ...

    def delete(self, pod: KubeletPod, grace: int | None = None) -> None:
        """Somebody deletes a pod, with its own grace period or another one (ns)."""
        ...


class Disruptor:
    """Does what a spec asks for to a cluster."""

    def __init__(self, cluster: Disturbed, spec: LocalSpec) -> None:
        self._cluster = cluster
        self._spec = spec
        self._deadline = spec.strategy().progress_deadline

    async def do(self, number: int) -> str:
        """The disruption, once, and its whole end: "", or why it did not come. `number` counts from 1."""
        cluster, pods = self._cluster, self._cluster.ready_pods()
        match self._spec.disruption:
            case Disruption.ROLLOUT:
                return await cluster.until_done(rolling.Roll())
            case Disruption.SCALE:
                return await self._scale()
        if not pods:
            return "no pod is ready"
        match self._spec.disruption:
            case Disruption.DELETE:
                cluster.delete(pods[0], self._spec.notice)
            case Disruption.KILL:
                cluster.delete(pods[0], 0)
            case Disruption.EVICT:
                if why := await self._evict():
                    return why
            case Disruption.CRASH:
                return await self._crash(pods[(number - 1) % len(pods)])
            case Disruption.RELOAD:
                return await self._reload(pods)
            case other:
                return f"{other.value} is nothing that can be done on this machine"
        return await cluster.until_done(rolling.Expect())

    async def _scale(self) -> str:
        """Down by one, and up again."""
        why = await self._cluster.until_done(rolling.Scale(self._spec.replicas - 1))
        return why or await self._cluster.until_done(rolling.Scale(self._spec.replicas))

    async def _evict(self) -> str:
        budget, waited = self._spec.budget, 0
        while True:
            pods = self._cluster.ready_pods()
            if pods and (budget is None or budget.allows(len(pods), self._spec.replicas)):
                self._cluster.delete(pods[0])
                return ""
            if waited >= self._deadline or budget is None:
                name = budget.name if budget else ""
                return f"the PodDisruptionBudget {name} let no pod go within {human(self._deadline)}"
            await asyncio.sleep(min(ASK_AGAIN, self._deadline - waited) / SECOND)
            waited += ASK_AGAIN

    async def _crash(self, pod: KubeletPod) -> str:
        before = pod.crashes
        pod.crash()
        for _ in range(self._deadline // LOOK):
            await asyncio.sleep(LOOK / SECOND)
            if pod.crashes > before and pod.pod.ready:
                return ""
        return f"{pod.name} was not ready again within {human(self._deadline)}: {pod.why_not_ready()}"

    async def _reload(self, pods: tuple[KubeletPod, ...]) -> str:
        """The user's command, in one pod after the other."""
        for pod in pods:
            over: asyncio.Future[str] = asyncio.get_running_loop().create_future()

            def ended(ok: bool, why: str, over: asyncio.Future[str] = over) -> None:
                if not over.done():
                    over.set_result("" if ok else why)

            pod.run_command(self._spec.disrupt_command, ended)
            try:
                async with asyncio.timeout(self._deadline / SECOND):
                    why = await over
            except TimeoutError:
                why = f"not over within {human(self._deadline)}"
            if why:
                return f"{' '.join(self._spec.disrupt_command)} in {pod.name}: {why}"
        return ""
