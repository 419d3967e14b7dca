"""The ingress does not try the next pod (LD604, ingress-retry-off).

What it finds
    nginx.ingress.kubernetes.io/proxy-next-upstream: off.

Why it loses requests
    A refused connection becomes a 502 at the client.

Fix and its safety
    Unsafe: remove the annotation.

Example
    ingress.yaml:
        apiVersion: networking.k8s.io/v1
        kind: Ingress
        metadata:
          name: web
          annotations:
            kubernetes.io/ingress.class: nginx
            nginx.ingress.kubernetes.io/proxy-next-upstream: "off"
        spec: {}

Mended by lameduck fix
    --- a/ingress.yaml
    +++ b/ingress.yaml
    @@ -4,5 +4,4 @@
       name: web
       annotations:
         kubernetes.io/ingress.class: nginx
    -    nginx.ingress.kubernetes.io/proxy-next-upstream: "off"
     spec: {}
"""

from __future__ import annotations

from collections.abc import Iterator

from lameduck.core.finding import Confidence, Defect, Finding, Safety, Severity
from lameduck.defects.lintkit import finding, fix_of, tried
from lameduck.manifests.project import Project
from lameduck.manifests.splice import remove

DEFECT = Defect(
    "LD604",
    "ingress-retry-off",
    "The ingress does not try the next pod",
    "A refused connection becomes a 502 at the client.",
    Severity.WARNING,
)


KEY = "nginx.ingress.kubernetes.io/proxy-next-upstream"


def lint(project: Project) -> Iterator[Finding]:
    """Ingresses that never try the next pod."""
    for thing in project.cluster.ingresses:
        annotations = thing.node.at("metadata", "annotations")
        if annotations[KEY].string != "off":
            continue
        fix = tried(
            lambda annotations=annotations: fix_of(  # type: ignore[misc]
                "the default, error and timeout", Safety.UNSAFE, (annotations.text, remove(annotations, KEY))
            )
        )
        message = f"{thing.title}: a refused connection to a dying pod becomes a 502 at the client"
        yield finding(DEFECT, message, annotations[KEY].entry_span, Confidence.LIKELY, fix=fix)
