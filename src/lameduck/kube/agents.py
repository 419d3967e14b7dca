"""Load from inside the cluster: agents as an Indexed Job, led through the API server's pod proxy.

Law: an agent's record counts only whole (its size and hash are what the agent said) and only on a clock that is known;
what is missing is said, and makes the verdict INCONCLUSIVE. The Job is in the ledger before it is made, and goes at the
end; an agent that hears nothing of its driver stops by itself, and the Job's own deadline and time to live do the rest.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import secrets as tokens
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lameduck.core.clocks import Asked, Clock, fit
from lameduck.core.errors import EnvironmentFault, LameduckError
from lameduck.core.instants import SECOND, human
from lameduck.kube import wire
from lameduck.kube.api import Api, ApiError, Json, Unreachable, path
from lameduck.kube.restoring import Ledger, job_debt

USER = 10001
READY_WITHIN = 90.0
"""Seconds until every agent must answer."""
QUESTIONS = 12
"""About the clock, at the beginning and again at the end."""
LOST_AFTER = 10 * SECOND
"""An agent that has not answered for so long (ns) is lost."""
TRIES = 6
HOPELESS = frozenset({
    "ErrImageNeverPull", "ImagePullBackOff", "ErrImagePull", "InvalidImageName", "CreateContainerConfigError",
    "CrashLoopBackOff", "RunContainerError", "CreateContainerError",
})  # fmt: skip
BUILD = (
    "build it with scripts/agent-image (it makes lameduck-agent:dev), give it to the cluster's nodes or registry, and "
    "say --agent-image lameduck-agent:dev (or set agent-image in lameduck.toml)"
)


@dataclass(frozen=True, slots=True)
class AgentsWish:
    """How many agents, of which image, for how long at most (ns)."""

    count: int
    image: str
    lifetime: int
    pull: str = "IfNotPresent"


def manifest(wish: AgentsWish, name: str, namespace: str, token: str) -> Json:
    """The Indexed Job."""
    labels = {"app.kubernetes.io/name": "lameduck-agent", "lameduck.dev/run": name}
    container = {
        "name": "agent",
        "image": wish.image,
        "imagePullPolicy": wish.pull,
        "ports": [{"name": "agent", "containerPort": wire.PORT}],
        "env": [
            {"name": "LAMEDUCK_AGENT_TOKEN", "value": token},
            {"name": "LAMEDUCK_AGENT_DIR", "value": "/data"},
            {"name": "NODE_NAME", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
        ],
        "resources": {"requests": {"cpu": "250m", "memory": "128Mi"}, "limits": {"memory": "1Gi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
    }
    spread = {
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": labels},
    }
    pod = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 5,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "topologySpreadConstraints": [spread],
        "containers": [container],
        "volumes": [{"name": "data", "emptyDir": {"sizeLimit": "2Gi"}}],
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {
            "completionMode": "Indexed",
            "completions": wish.count,
            "parallelism": wish.count,
            # One agent's end must not end the others, as a Job's own limit would; versions below 1.29 retry it instead.
            "backoffLimitPerIndex": 0,
            "maxFailedIndexes": wish.count,
            "backoffLimit": 100,
            "activeDeadlineSeconds": max(60, wish.lifetime // SECOND),
            "ttlSecondsAfterFinished": 30,
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }


@dataclass(slots=True)
class Agent:
    """One agent as its driver knows it."""

    pod: str
    node: str
    index: int
    asked: list[Asked] = field(default_factory=list)
    heard: int = 0
    sent: int = 0
    failed: int = 0
    lost: str = ""
    """Why its record will not come, "" while it may."""
    file: Path | None = None

    @property
    def clock(self) -> Clock:
        """Its clock on ours."""
        return fit(self.asked)


class Agents:
    """The agents of one run, from `start` to `stop`. Files land in ``folder``."""

    def __init__(
        self,
        api: Api,
        namespace: str,
        wish: AgentsWish,
        folder: Path,
        clock: Callable[[], int],
        ledger: Ledger | None = None,
    ) -> None:
        self._api, self._namespace, self._wish, self._folder, self._clock = api, namespace, wish, folder, clock
        self._ledger = ledger or Ledger()
        self._token = tokens.token_hex(16)
        self.name = f"lameduck-agents-{os.urandom(3).hex()}"
        self.all: list[Agent] = []
        self.left: list[str] = []

    @property
    def alive(self) -> list[Agent]:
        """Those that are not lost."""
        return [each for each in self.all if not each.lost]

    async def start(self) -> None:
        """Make the Job and wait until every agent answers. Raises `EnvironmentFault`."""
        self._ledger.owe(job_debt(self._api, self._namespace, self.name))
        body = manifest(self._wish, self.name, self._namespace, self._token)
        await self._api.call("POST", path("jobs", self._namespace), body)
        try:
            async with asyncio.timeout(READY_WITHIN):
                pods = await self._running()
                self.all = [
                    Agent(each["metadata"]["name"], each["spec"].get("nodeName", ""), _index(each)) for each in pods
                ]
                await asyncio.gather(*map(self._first_word, self.all))
        except TimeoutError:
            why = await self._why_not()
            raise EnvironmentFault(f"the agents did not answer within {READY_WITHIN:.0f} s: {why}") from None

    async def order(self, agent: Agent, method: str, what: str, body: Any = None, patience: float = 5.0) -> Json:
        """One request to an agent. Raises `ApiError` and `Unreachable`."""
        url = f"{path('pods', self._namespace, f'{agent.pod}:{wire.PORT}', 'proxy')}{what}"
        answer = await self._api.call(method, url, body, headers={wire.TOKEN: self._token}, patience=patience)
        agent.heard = self._clock()
        return answer

    async def ask_the_time(self, agent: Agent) -> None:
        """Several questions about the clock. Raises as `order` does."""
        for _ in range(QUESTIONS):
            sent = self._clock()
            answer = await self.order(agent, "GET", "/clock")
            agent.asked.append(Asked(sent, self._clock(), int(answer["now"])))

    async def look(self, agent: Agent) -> None:
        """A sign of life, each way; an agent that gives none for too long is lost."""
        sent = self._clock()
        try:
            state = await self.order(agent, "GET", "/state")
        except LameduckError as error:
            gone = isinstance(error, ApiError) and error.status == 404
            if gone or self._clock() - agent.heard > LOST_AFTER:
                agent.lost = f"the pod {agent.pod} is gone" if gone else f"{agent.pod} does not answer: {error}"
            return
        agent.asked.append(Asked(sent, self._clock(), int(state["now"])))
        agent.sent, agent.failed = int(state["sent"]), int(state["failed"])
        if state.get("error"):
            agent.lost = f"{agent.pod}: {state['error']}"

    async def fetch(self, agent: Agent) -> None:
        """Its run file, whole, into ``agent.file``; `agent.lost` says why not."""
        try:
            result = await self._whole(agent)
            await self.ask_the_time(agent)
            target = self._folder / f"agent-{agent.index}.db"
            await self._download(agent, target, int(result["size"]), str(result["sha256"]))
            agent.file = target
        except (LameduckError, OSError) as error:
            agent.lost = agent.lost or f"the record of {agent.pod} did not come: {error}"

    async def stop(self) -> None:
        """Let the agents go, and the Job. Safe to call twice."""
        for agent in self.all:
            try:
                await self.order(agent, "POST", "/quit", {}, patience=2.0)
            except LameduckError:
                continue  # deleting the Job ends it all the same
        if self._ledger.debts:
            self.left = await self._ledger.settle(self._api)

    # how

    async def _running(self) -> list[Json]:
        while True:
            pods = await self._pods()
            for each in pods:
                hopeless = _hopeless(each)
                if hopeless:
                    raise EnvironmentFault(f"an agent cannot start: {hopeless}. {self._hint(hopeless)}".rstrip())
            up = [each for each in pods if each.get("status", {}).get("phase") == "Running"]
            if len(up) == self._wish.count:
                return sorted(up, key=_index)
            await asyncio.sleep(0.25)

    def _hint(self, why: str) -> str:
        return BUILD if "mage" in why else ""

    async def _pods(self) -> list[Json]:
        listed = await self._api.get("pods", self._namespace, labelSelector=f"lameduck.dev/run={self.name}")
        return list(listed.get("items", []))

    async def _first_word(self, agent: Agent) -> None:
        while True:
            try:
                await self.ask_the_time(agent)
            except ApiError as error:
                if error.status in {401, 403}:
                    raise
                await asyncio.sleep(0.25)
            except Unreachable:
                await asyncio.sleep(0.25)
            else:
                return

    async def _why_not(self) -> str:
        pods = await self._pods()
        for each in pods:
            for state in each.get("status", {}).get("conditions") or ():
                if state.get("type") == "PodScheduled" and state.get("status") == "False":
                    return str(state.get("message"))
        phases = ", ".join(f"{each['metadata']['name']} {each['status'].get('phase')}" for each in pods)
        return phases or "the Job has made no pod"

    async def _whole(self, agent: Agent) -> Json:
        """Wait for its result: what is in flight may end. Waiting is a sign of life."""
        while True:
            try:
                return await self.order(agent, "GET", "/result")
            except ApiError as error:
                if error.status != 409:
                    raise
            await self.look(agent)
            if agent.lost:
                raise EnvironmentFault(agent.lost)
            await asyncio.sleep(0.2)

    async def _download(self, agent: Agent, target: Path, size: int, sha256: str) -> None:
        """In as many pieces as it takes. Raises `EnvironmentFault` where it does not come whole."""
        url = f"{path('pods', self._namespace, f'{agent.pod}:{wire.PORT}', 'proxy')}/run.db"
        target.unlink(missing_ok=True)
        target.touch(mode=0o600)
        for attempt in range(TRIES):
            have = target.stat().st_size
            if have >= size:
                break
            if attempt:
                await asyncio.sleep(min(2.0, 0.2 * 2**attempt))
            headers = {wire.TOKEN: self._token, **({"Range": f"bytes={have}-"} if have else {})}
            try:
                with target.open("ab") as file:
                    async with self._api.pieces(url, headers) as pieces:
                        async for piece in pieces:
                            file.write(piece)
            except (ApiError, Unreachable):
                if attempt == TRIES - 1:
                    raise
        with target.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != sha256:
                raise EnvironmentFault(f"its {target.stat().st_size:,} of {size:,} bytes are not what was sent")


def _index(pod: Json) -> int:
    return int(pod["metadata"].get("annotations", {}).get("batch.kubernetes.io/job-completion-index", 0))


def _hopeless(pod: Json) -> str:
    """Why a pod will not come up, "" while it may."""
    status: Mapping[str, Any] = pod.get("status", {})
    for each in status.get("containerStatuses") or ():
        waiting = each.get("state", {}).get("waiting") or {}
        if waiting.get("reason") in HOPELESS:
            return f"{waiting['reason']}: {waiting.get('message', '')}".rstrip(": ")
        ended = each.get("state", {}).get("terminated")
        if ended:
            return f"it ended with {ended.get('exitCode')} ({ended.get('reason', '')})"
    return ""


def clocks_in_words(agents: list[Agent]) -> str:
    """What is known of their clocks."""
    worst = max((each.clock.error for each in agents if each.asked), default=0)
    return f"clocks known to {human(worst)}"
