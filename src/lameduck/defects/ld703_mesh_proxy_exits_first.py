"""The mesh proxy leaves before the server has drained (LD703, mesh-proxy-exits-first).

What it finds
    Istio terminationDrainDuration below the preStop, Linkerd wait seconds below it, Cloud SQL proxy without a
    maximum delay.

Why it loses requests
    Its own drain time is shorter than the server's: the last answers have no way out.

Fix and its safety
    Unsafe: a longer drain of the proxy.

When not to care
    Native sidecar mode.

Example
    web.yaml:
        apiVersion: apps/v1
        kind: Deployment
        metadata: {name: web}
        spec:
          replicas: 3
          strategy: {type: RollingUpdate, rollingUpdate: {maxSurge: 1, maxUnavailable: 0}}
          selector: {matchLabels: {app: web}}
          template:
            metadata: {labels: {app: web}, annotations: {config.alpha.linkerd.io/proxy-wait-before-exit-seconds: '2'}}
            spec:
              containers:
                - name: web
                  image: registry.example/web:1
                  ports: [{containerPort: 8080, name: http}]
                  readinessProbe: {httpGet: {path: /r, port: 8080}}
                  lifecycle: {preStop: {sleep: {seconds: 5}}}
        ---
        apiVersion: v1
        kind: Service
        metadata: {name: web}
        spec: {selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from lameduck.core.finding import Confidence, Defect, FileSpan, Finding, Severity
from lameduck.defects.lintkit import finding, served, who
from lameduck.manifests.durations import duration
from lameduck.manifests.hooks import hook_of
from lameduck.manifests.project import Project
from lameduck.manifests.yamlnode import Node

DEFECT = Defect(
    "LD703",
    "mesh-proxy-exits-first",
    "The mesh proxy leaves before the server has drained",
    "Its own drain time is shorter than the server's: the last answers have no way out.",
    Severity.WARNING,
)


_ISTIO = "proxy.istio.io/config"
_LINKERD = "config.alpha.linkerd.io/proxy-wait-before-exit-seconds"


def lint(project: Project) -> Iterator[Finding]:
    """Mesh annotations whose drain is shorter than the server's preStop."""
    for one in served(project):
        annotations = one.workload.template.at("metadata", "annotations")
        own = hook_of(one.container).delay or 0
        for what, seconds, place in _drains(annotations):
            if seconds < own:
                message = (
                    f"{who(one.workload)}: {what} {seconds:g} s is shorter than the "
                    f"preStop of {one.container.name} ({own:g} s): the proxy leaves first"
                )
                yield finding(DEFECT, message, place, Confidence.LIKELY)


def _drains(annotations: Node) -> Iterator[tuple[str, float, FileSpan]]:
    istio, linkerd = annotations[_ISTIO], annotations[_LINKERD]
    config = istio.string or ""
    match = re.search(r"terminationDrainDuration[\"']?:\s*[\"']?(\d+\w?)", config)
    if match and "EXIT_ON_ZERO_ACTIVE_CONNECTIONS" not in config:
        yield "Istio's terminationDrainDuration", duration(match[1]) or 0, istio.entry_span
    if linkerd.string is not None and (seconds := duration(linkerd.string)) is not None:
        yield "Linkerd's proxy-wait-before-exit-seconds", seconds, linkerd.entry_span
