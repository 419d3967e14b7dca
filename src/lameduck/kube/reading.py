"""What a namespace of a live cluster holds, as the manifests somebody could have written for it.

Law: only objects that people or tools declare are read (what a controller owns is left out), without the status and
what the API server adds about itself. Defaults that it has filled in stay: they are in force. A kind that may not be
read is named, never silently missing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from lameduck.core.errors import EnvironmentFault
from lameduck.kube.api import Api, ApiError
from lameduck.kube.connect import Context

KINDS = {
    "deployments": ("Deployment", "apps/v1"),
    "statefulsets": ("StatefulSet", "apps/v1"),
    "daemonsets": ("DaemonSet", "apps/v1"),
    "pods": ("Pod", "v1"),
    "services": ("Service", "v1"),
    "configmaps": ("ConfigMap", "v1"),
    "persistentvolumeclaims": ("PersistentVolumeClaim", "v1"),
    "poddisruptionbudgets": ("PodDisruptionBudget", "policy/v1"),
    "horizontalpodautoscalers": ("HorizontalPodAutoscaler", "autoscaling/v2"),
    "ingresses": ("Ingress", "networking.k8s.io/v1"),
}
"""What the rules look at: resource, kind, version."""
_OURS = {"name", "namespace", "labels", "annotations"}
_NOISE = {"kubectl.kubernetes.io/last-applied-configuration", "deployment.kubernetes.io/revision"}


@dataclass(slots=True)
class Declared:
    """The objects of a namespace (of all for ""), the server's version, and the kinds that could not be read."""

    version: str = ""
    objects: list[dict[str, Any]] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)


async def declared(context: Context, everywhere: bool = False) -> Declared:
    """Read a namespace, or all of them. Raises `EnvironmentFault` for a cluster that does not answer."""
    api, found = Api(context), Declared()
    namespace = "" if everywhere else context.namespace
    try:
        found.version = str((await api.call("GET", "/version")).get("gitVersion", ""))
        for resource, (kind, version) in KINDS.items():
            try:
                items = (await api.get(resource, namespace)).get("items") or []
            except ApiError as error:
                if error.status == 401:
                    raise
                found.refused.append(f"{resource}: {error.reason or error.message}")
                continue
            found.objects += [written(one, kind, version) for one in items if not _owned(one)]
    finally:
        await api.close()
    if len(found.refused) == len(KINDS):
        raise EnvironmentFault(f"nothing in namespace {namespace or '(all)'} may be read: {found.refused[0]}")
    return found


def _owned(one: dict[str, Any]) -> bool:
    """Whether a controller made it, or the cluster put it there."""
    meta = one.get("metadata") or {}
    return bool(meta.get("ownerReferences")) or meta.get("name") in {"kube-root-ca.crt", "kubernetes"}


def written(one: dict[str, Any], kind: str, version: str) -> dict[str, Any]:
    """An object as somebody could have written it: without its status and what the API server says about it."""
    meta = {key: value for key, value in (one.get("metadata") or {}).items() if key in _OURS}
    if annotations := {key: value for key, value in (meta.pop("annotations", None) or {}).items() if key not in _NOISE}:
        meta["annotations"] = annotations
    rest = {key: value for key, value in one.items() if key not in {"apiVersion", "kind", "metadata", "status"}}
    return {"apiVersion": version, "kind": kind, "metadata": meta, **rest}
