"""A proxy that is stopped together with the server (LD701, proxy-not-ordered).

What it finds
    A known proxy image as an ordinary container beside a serving one.

Why it loses requests
    As an ordinary container it gets the stop signal at the same time, and the server's last requests lose their
    way.

Fix and its safety
    Unsafe: a native sidecar (restartPolicy Always in initContainers, 1.29 and newer).

When not to care
    Injected meshes do not show in the manifest.

Evidence
    KEP-753.

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
            metadata: {labels: {app: web}}
            spec:
              containers:
                - {name: proxy, image: 'gcr.io/cloud-sql-connectors/cloud-sql-proxy:2.13.0', args: ['x']}
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

from collections.abc import Iterator

from lameduck.core.finding import Defect, Finding, Severity
from lameduck.defects.lintkit import container_place, finding, served, supports, who
from lameduck.manifests import images
from lameduck.manifests.hooks import HookKind, hook_of
from lameduck.manifests.programs import words
from lameduck.manifests.project import Project
from lameduck.manifests.workloads import Container

DEFECT = Defect(
    "LD701",
    "proxy-not-ordered",
    "A proxy that is stopped together with the server",
    "As an ordinary container it gets the stop signal at the same time, and the server's last requests lose their way.",
    Severity.WARNING,
)


_PROXIES = words(
    "cloud-sql-proxy cloudsql-proxy gce-proxy alloydb-auth-proxy proxyv2 linkerd-proxy envoy pgbouncer kuma-dp "
    "consul-dataplane"
)
_WAITS = ("max-sigterm-delay", "min-sigterm-delay", "term_timeout", "term-timeout", "drain-time-s", "quitquitquit")


def lint(project: Project) -> Iterator[Finding]:
    """Known proxies as ordinary containers beside a serving one."""
    seen: set[int] = set()
    for one in served(project):
        for proxy in one.workload.containers:
            if proxy.node.raw is one.container.node.raw or id(proxy.node.raw) in seen or not _is_proxy(proxy):
                continue
            words = " ".join([*(proxy.command or ()), *(proxy.args or ())])
            hook = hook_of(proxy)
            own = hook_of(one.container).seconds or 0
            waits = hook.kind is not HookKind.NONE and (hook.delay is None or hook.delay > own)
            if waits or any(word in words for word in _WAITS):
                continue
            seen.add(id(proxy.node.raw))
            remedy = (
                "a native sidecar would outlive it"
                if supports(project, 1, 29)
                else "a longer preStop would let it outlive it"
            )
            message = (
                f"{who(one.workload, proxy)}: the proxy gets the stop signal together with {one.container.name}, "
                f"whose last requests then have no way out; {remedy}"
            )
            yield finding(DEFECT, message, container_place(proxy), one.confidence)


def _is_proxy(container: Container) -> bool:
    return images.reference(container.image or "").name in _PROXIES
