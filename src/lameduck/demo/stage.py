"""Puts a scene on a real cluster and takes it off again: a namespace of the run's own, nothing else is touched.

Law: a scene is proven only when its pods are ready and its Service answers steadily; whatever happens, the namespace
goes.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from lameduck.core.errors import EnvironmentFault, LameduckError
from lameduck.demo.scenes import Scene, named, service
from lameduck.kube.api import Api, ApiError, Json, path
from lameduck.kube.connect import Context
from lameduck.kube.here import reachable

NO_IMAGE = frozenset({"ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName"})
STEADY = 20
"""So many new connections in a row must be answered."""
PATIENCE = 180.0


@asynccontextmanager
async def namespace(context: Context) -> AsyncIterator[str]:
    """A namespace that is there for as long as the block runs."""
    name = f"lameduck-demo-{os.urandom(3).hex()}"
    api = Api(context)
    try:
        await api.call("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
        yield name
    finally:
        with suppress(ApiError):
            await api.call("DELETE", f"/api/v1/namespaces/{name}")
        await api.close()


@asynccontextmanager
async def on_stage(context: Context, where: str, scene: Scene) -> AsyncIterator[str]:
    """A scene's workload, ready and answering, under the name that it is given. Raises `EnvironmentFault`."""
    name, api = f"prediction-{scene.number}", Api(context)
    try:
        made = await api.call("POST", path("services", where), service(name))
        await api.call("POST", path("deployments", where), named(scene.deployment, name))
        await _ready(api, where, name, scene)
        await _answers(made["spec"]["clusterIP"])
        yield name
    finally:
        with suppress(LameduckError):
            await api.call("DELETE", path("deployments", where, name), params={"propagationPolicy": "Background"})
            await api.call("DELETE", path("services", where, name))
        await api.close()


async def _ready(api: Api, where: str, name: str, scene: Scene) -> None:
    end = time.monotonic() + PATIENCE
    wanted = scene.deployment["spec"]["replicas"]
    while True:
        status = (await api.get("deployments", where, name)).get("status", {})
        if status.get("readyReplicas", 0) == wanted:
            return
        pods = (await api.get("pods", where, labelSelector=f"app={name}")).get("items", [])
        for reason in filter(None, map(_waits_for, pods)):
            if reason in NO_IMAGE:
                raise EnvironmentFault(
                    f"the cluster has no image {scene.image} ({reason}). {how_to_build(scene.image)}"
                )
        if time.monotonic() > end:
            raise EnvironmentFault(f"{name} was not ready within {PATIENCE:.0f} s: kubectl -n {where} describe pods")
        await asyncio.sleep(0.5)


def how_to_build(image: str) -> str:
    """What makes the demo's images, in words."""
    return (
        f"In lameduck's source: scripts/demo-images builds it; then load it (kind load docker-image {image}) "
        "or push it, and say --images REGISTRY/PATH/"
    )


def _waits_for(pod: Json) -> str:
    states = (each.get("state", {}).get("waiting") for each in pod.get("status", {}).get("containerStatuses") or ())
    return next((str(state.get("reason", "")) for state in states if state), "")


async def _answers(address: str) -> None:
    """A data plane takes in a new Service late: until then it refuses, and that would be no loss of the story's."""
    end, row = time.monotonic() + 30, 0
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    while row < STEADY:
        try:
            await reachable((family, (address, 80)), 2.0, aside=True)
        except EnvironmentFault:
            row = 0
        else:
            row += 1
        if time.monotonic() > end:
            raise EnvironmentFault(
                f"cannot reach the Service at {address} from here: run the demo on a node of the cluster"
            )
        await asyncio.sleep(0.1)
