"""The ingress sends to the Service's address, not to pods (LD603, ingress-bypasses-endpoints).

What it finds
    nginx.ingress.kubernetes.io/service-upstream or Traefik's nativelb.

Why it loses requests
    Kept-alive connections stick to a dying pod and a retry has nowhere else to go.

Fix and its safety
    Unsafe: remove the annotation.

When not to care
    A mesh needs it.

Example
    ingress.yaml:
        apiVersion: networking.k8s.io/v1
        kind: Ingress
        metadata:
          name: web
          annotations:
            kubernetes.io/ingress.class: nginx
            nginx.ingress.kubernetes.io/service-upstream: "true"
        spec: {}

Mended by lameduck fix
    --- a/ingress.yaml
    +++ b/ingress.yaml
    @@ -4,5 +4,4 @@
       name: web
       annotations:
         kubernetes.io/ingress.class: nginx
    -    nginx.ingress.kubernetes.io/service-upstream: "true"
     spec: {}
"""

from __future__ import annotations

from collections.abc import Iterator

from lameduck.core.finding import Confidence, Defect, Finding, Fix, Safety, Severity
from lameduck.defects.lintkit import finding, fix_of, tried
from lameduck.manifests.project import Project
from lameduck.manifests.splice import remove
from lameduck.manifests.yamlnode import Node

DEFECT = Defect(
    "LD603",
    "ingress-bypasses-endpoints",
    "The ingress sends to the Service's address, not to pods",
    "Kept-alive connections stick to a dying pod and a retry has nowhere else to go.",
    Severity.WARNING,
)


_ANNOTATIONS = (
    "nginx.ingress.kubernetes.io/service-upstream",
    "traefik.ingress.kubernetes.io/service.nativelb",
)


def lint(project: Project) -> Iterator[Finding]:
    """Ingresses and Services that make the ingress send to a Service's address."""
    meshed = project.settings.path in {"istio", "linkerd"}
    for thing in (*project.cluster.ingresses, *(one.object for one in project.cluster.services)):
        annotations = thing.node.at("metadata", "annotations")
        for key in _ANNOTATIONS:
            node = annotations[key]
            if (node.string or "").lower() != "true":
                continue
            message = (
                f"{thing.title}: the ingress knows one address only, so kept-alive "
                "connections stick to a dying pod and a retry has nowhere to go"
            )
            severity = Severity.INFO if meshed else None
            fix = tried(lambda annotations=annotations, key=key: _fix(annotations, key))  # type: ignore[misc]
            yield finding(DEFECT, message, node.entry_span, Confidence.LIKELY, severity=severity, fix=fix)


def _fix(annotations: Node, key: str) -> Fix | None:
    return fix_of("let the ingress send to pods", Safety.UNSAFE, (annotations.text, remove(annotations, key)))
