"""The preStop command cannot do what was meant (LD105, prestop-command-broken).

What it finds
    ["sh", "-c", "sleep", "15"] (sleep without operand), ["sleep 15"] (one word as program name), sleep under exec,
    httpGet to a port that no container has.

Why it loses requests
    It fails or returns at once, so there is no delay: only a FailedPreStopHook event tells.

Fix and its safety
    Safe: the native sleep with the number that was meant.

When not to care
    A real $0 argument after sh -c.

Evidence
    kubelet executePreStopHook; sh(1): the word after the command string is $0.

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
                - name: web
                  image: registry.example/web:1
                  ports: [{containerPort: 8080, name: http}]
                  readinessProbe: {httpGet: {path: /r, port: 8080}}
                  lifecycle: {preStop: {exec: {command: "sleep 10"}}}
        ---
        apiVersion: v1
        kind: Service
        metadata: {name: web}
        spec: {selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}

Mended by lameduck fix
    --- a/web.yaml
    +++ b/web.yaml
    @@ -13,7 +13,8 @@
               image: registry.example/web:1
               ports: [{containerPort: 8080, name: http}]
               readinessProbe: {httpGet: {path: /r, port: 8080}}
    -          lifecycle: {preStop: {exec: {command: "sleep 10"}}}
    +          lifecycle: {preStop: {sleep: {seconds: 10}}}
    +      terminationGracePeriodSeconds: 35
     ---
     apiVersion: v1
     kind: Service
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from lameduck.core.finding import Confidence, Defect, Finding, Fix, Safety, Severity
from lameduck.defects.lintkit import delay_wanted, finding, fix_of, replace_hook, running, tried, who
from lameduck.defects.snippets import drain_window
from lameduck.manifests.hooks import HookKind, hook_of
from lameduck.manifests.project import Project

DEFECT = Defect(
    "LD105",
    "prestop-command-broken",
    "The preStop command cannot do what was meant",
    "It fails or returns at once, so there is no delay: only a FailedPreStopHook event tells.",
    Severity.ERROR,
)


def proof_fix(facts: Mapping[str, Any]) -> Fix | None:
    """The native sleep with the seconds that are needed; facts: ``pre_stop_seconds``, ``grace_seconds`` (int, s)."""
    return drain_window(facts, Safety.SAFE)


def lint(project: Project) -> Iterator[Finding]:
    """Hooks that fail or return at once, whatever the image has."""
    for workload, container in running(project):
        hook = hook_of(container)
        if hook.broken:
            seconds = hook.meant or delay_wanted(project)
            fix = tried(
                lambda workload=workload, container=container, seconds=seconds: fix_of(  # type: ignore[misc]
                    f"the native sleep of {seconds:g} s",
                    Safety.SAFE,
                    (container.node.text, replace_hook(project, workload, container, seconds)),
                )
            )
            message = f"{who(workload, container)}: preStop gives no delay: {hook.broken}"
            yield finding(DEFECT, message, container.pre_stop.entry_span, Confidence.CERTAIN, fix=fix)
        elif hook.kind is HookKind.HTTP:
            port = hook.node["port"].string or ""
            names = {name for name, _ in container.ports}
            if port and not port.isdigit() and port not in names and "$" not in port:
                message = (
                    f"{who(workload, container)}: preStop calls port {port!r}, and the container has none of that name"
                )
                yield finding(DEFECT, message, hook.node["port"].entry_span, Confidence.CERTAIN)
