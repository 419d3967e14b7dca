"""preStop and drain do not fit into the grace period (LD102, grace-budget-too-small).

What it finds
    preStop seconds + the server's own drain limit (its flag or its known default) above
    terminationGracePeriodSeconds (30 when absent).

Why it loses requests
    The grace period starts before the preStop hook. What the hook eats is missing for the drain; at its end the
    kubelet kills, requests in flight with it.

Fix and its safety
    Safe: the grace period becomes the sum and 5 s of slack.

When not to care
    Scripts whose length cannot be seen are not judged. Spot nodes and node shutdown give less, whatever is written.

Evidence
    kubelet killContainer: the hook's time is subtracted, what is left is raised to at least 2 s
    (minimumGracePeriodInSeconds).

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
                  lifecycle: {preStop: {exec: {command: [sleep, "30"]}}}
        ---
        apiVersion: v1
        kind: Service
        metadata: {name: web}
        spec: {selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}

Mended by lameduck fix
    --- a/web.yaml
    +++ b/web.yaml
    @@ -14,6 +14,7 @@
               ports: [{containerPort: 8080, name: http}]
               readinessProbe: {httpGet: {path: /r, port: 8080}}
               lifecycle: {preStop: {exec: {command: [sleep, "30"]}}}
    +      terminationGracePeriodSeconds: 55
     ---
     apiVersion: v1
     kind: Service
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from lameduck.core.finding import Confidence, Defect, Edit, Finding, Fix, Safety, Severity
from lameduck.defects.lintkit import drain_of, finding, fix_of, grace_needed, running, tried, who, written_drain
from lameduck.defects.snippets import grace_only
from lameduck.manifests.hooks import Hook, hook_of
from lameduck.manifests.project import Project
from lameduck.manifests.splice import put
from lameduck.manifests.workloads import Container, Workload

DEFECT = Defect(
    "LD102",
    "grace-budget-too-small",
    "preStop and drain do not fit into the grace period",
    "The grace period starts before the preStop hook. What the hook eats is missing for the drain; at its end "
    "the kubelet kills, requests in flight with it.",
    Severity.ERROR,
)


def proof_fix(facts: Mapping[str, Any]) -> Fix | None:
    """The grace period that fits; facts: ``grace_seconds`` (int, s)."""
    return grace_only(facts)


LITTLE = 5
"""Fewer seconds than this for the drain of an unknown server is worth a remark."""


def lint(project: Project) -> Iterator[Finding]:
    """Hooks that leave less of the grace period than the drain needs."""
    for workload, container in running(project):
        hook, grace = hook_of(container), workload.grace
        if grace is None or grace <= 1 or hook.broken:
            continue
        if not hook.seconds:
            if hook.seconds is not None and (one := _without_hook(project, workload, container, grace)) is not None:
                yield one
            continue
        verdict = _verdict(project, container, hook, grace)
        if verdict is None:
            continue
        message, confidence, severity = verdict
        unwritten = " (the default)" if not workload.pod["terminationGracePeriodSeconds"] else ""
        text = f"{who(workload, container)}: {message.format(grace=f'{grace} s of grace{unwritten}')}"
        yield finding(
            DEFECT,
            text,
            container.pre_stop.key_span,
            confidence,
            severity=severity,
            fix=_fix(project, workload, container, hook.seconds),
        )


def _without_hook(project: Project, workload: Workload, container: Container, grace: int) -> Finding | None:
    """A drain that somebody wrote down, longer than the grace period by itself; a default is LD101's matter."""
    drain, program = written_drain(project, container), project.program_of(container)
    if drain.seconds is None or drain.seconds <= grace or program is None or program.chain.server_at is None:
        return None
    text, start, end = program.chain.server_at
    unwritten = " (the default)" if not workload.pod["terminationGracePeriodSeconds"] else ""
    short = f"{drain.source} > {grace} s of grace{unwritten}"
    message = f"{who(workload, container)}: {short}: SIGKILL cuts the rest of the drain"
    return finding(DEFECT, message, text.span(start, end), Confidence.LIKELY, fix=_fix(project, workload, container, 0))


def _verdict(
    project: Project, container: Container, hook: Hook, grace: int
) -> tuple[str, Confidence, Severity | None] | None:
    """What is wrong with the sum, how sure that is, and how bad; None when it fits."""
    seconds = hook.seconds or 0
    left = grace - seconds
    if left <= 0:
        sign = ">" if seconds > grace else ">="
        return (
            (
                f"preStop takes {seconds:g} s {sign} {{grace}}: the hook "
                "uses it up, the server gets about 2 s, then SIGKILL"
            ),
            Confidence.CERTAIN,
            None,
        )
    drain, source = drain_of(project, container)
    if drain is not None and seconds + drain > grace:
        return (
            f"preStop {seconds:g} s + {source} = {seconds + drain:g} s > {{grace}}: SIGKILL cuts the rest of the drain",
            Confidence.LIKELY,
            None,
        )
    if left < LITTLE:
        return (
            f"preStop takes {seconds:g} s of {{grace}}: only {left:g} s are left for requests in flight",
            Confidence.LIKELY,
            Severity.INFO,
        )
    return None


def _fix(project: Project, workload: Workload, container: Container, pre_stop: float) -> Fix | None:
    needed = grace_needed(project, container, pre_stop)

    def make() -> Fix | None:
        edits: list[Edit] = put(workload.pod, ("terminationGracePeriodSeconds",), needed)
        return fix_of(f"a grace period of {needed} s", Safety.SAFE, (workload.pod.text, edits))

    return tried(make)
