"""No delay between leaving the endpoints and the stop signal (LD101, no-drain-delay).

What it finds
    A container that serves traffic (a Service selects its pod) without a preStop hook that waits.

Why it loses requests
    Endpoint removal and the stop signal run in parallel: until every node has heard, new connections go to a
    process that has stopped listening.

Fix and its safety
    Safe: a native preStop sleep (exec sleep below Kubernetes 1.30 where the image has one), with the grace period
    raised in the same edit so that the drain still fits. On 1.29 with a scratch or distroless image: shown, the
    drain sidecar of lameduck inject --sidecar.

When not to care
    A server that keeps accepting for a while after the stop signal by itself (Traefik's requestAcceptGraceTimeout;
    lameduck-pod's layer inside, which is seen here by a LAMEDUCK_LEAST, QUIET, MOST or GRACE variable), or a pod that
    serves nobody.

Evidence
    Pod lifecycle, Kubernetes documentation; kubernetes/kubernetes issues 43576 and 86280. Native sleep: KEP-3960,
    beta and on in 1.30, stable in 1.34.

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

Mended by lameduck fix
    --- a/web.yaml
    +++ b/web.yaml
    @@ -13,3 +13,7 @@
               image: registry.example/web:1
               ports: [{containerPort: 8080, name: http}]
               readinessProbe: {httpGet: {path: /r, port: 8080}}
    +          lifecycle:
    +            preStop:
    +              sleep:
    +                seconds: 5
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from lameduck.core.finding import Defect, Finding, Fix, Safety, Severity
from lameduck.defects.fields import misplaced
from lameduck.defects.lintkit import (
    Served,
    delay_wanted,
    finding,
    fix_of,
    grace_needed,
    hook_place,
    served,
    tried,
    who,
    window_edits,
    without_sleep,
)
from lameduck.defects.rollouts import least_replicas
from lameduck.defects.snippets import drain_window
from lameduck.manifests.hooks import HookKind, hook_of
from lameduck.manifests.project import Program, Project
from lameduck.manifests.workloads import Container

DEFECT = Defect(
    "LD101",
    "no-drain-delay",
    "No delay between leaving the endpoints and the stop signal",
    "Endpoint removal and the stop signal run in parallel: until every node has heard, new connections go to a "
    "process that has stopped listening.",
    Severity.ERROR,
)

LAYER_VARIABLES = ("LAMEDUCK_LEAST", "LAMEDUCK_QUIET", "LAMEDUCK_MOST", "LAMEDUCK_GRACE")
"""Whoever sets one has the lame-duck layer inside; its defaults alone cannot be seen from here."""


def proof_fix(facts: Mapping[str, Any]) -> Fix | None:
    """preStop sleep and the grace that fits; facts: ``pre_stop_seconds``, ``grace_seconds`` (int, s)."""
    return drain_window(facts, Safety.SAFE)


def lint(project: Project) -> Iterator[Finding]:
    """Serving containers whose preStop hook is absent or does not wait."""
    for one in served(project):
        hook = hook_of(one.container)
        if hook.kind is not HookKind.NONE and (hook.delays or hook.broken or hook.stops):
            continue  # it waits, or another rule says what is wrong with it
        if (not one.container.lifecycle["preStop"] and project.is_patched(one.workload, "lifecycle")) or _waits_itself(
            project, one
        ):
            continue
        if _nobody_else(project, one) or _misplaced(one):
            continue
        seconds = delay_wanted(project)
        message = (
            f"{one.by} sends traffic to {who(one.workload, one.container)}, and nothing delays the stop signal: "
            f"connections are still routed to it after it has stopped listening"
        )
        fix = tried(
            lambda one=one, seconds=seconds: fix_of(  # type: ignore[misc]
                (
                    f"wait {seconds} s in preStop (grace period at least "
                    f"{grace_needed(project, one.container, seconds)} s)"
                ),
                Safety.SAFE,
                (one.container.node.text, window_edits(project, one.workload, one.container)),
            )
        )
        fix = fix or without_sleep(project, one.workload, one.container)
        severity = None if one.workload.kind != "DaemonSet" else Severity.WARNING
        yield finding(DEFECT, message, hook_place(hook, one.container), one.confidence, severity=severity, fix=fix)


def _nobody_else(project: Project, one: Served) -> bool:
    """Whether no other pod could take over while this one waits: then the gap has another cause (LD201, LD208)."""
    workload = one.workload
    if workload.kind == "Deployment":
        return workload.spec["strategy"]["type"].string == "Recreate"
    return workload.kind == "StatefulSet" and least_replicas(project, workload) == 1


def _misplaced(one: Served) -> bool:
    """Whether a delay is written where the API drops it: LD003 is about that."""
    return any(each.key.lower() in {"lifecycle", "prestop"} for each in misplaced(one.workload))


def _waits_itself(project: Project, one: Served) -> bool:
    """Whether the server is known to keep accepting after the stop signal by itself."""
    if any(variable["name"].string in LAYER_VARIABLES for variable in one.container.node["env"].items()):
        return True
    program = project.program_of(one.container)
    words = [*(one.container.command or ()), *(one.container.args or ())]
    if program is not None:
        words += [*(program.launch.argv or ()), *(link.label for link in program.chain.links)]
    line = " ".join(words).lower()
    if "lameduck-pod" in line:
        return any(word in line for word in ("--delay", "--until-quiet")) or _by_variable(program, one.container)
    mounts = program.launch.mounts.values() if program is not None else ()
    if any(re.search(r"^\s*lameduck\s+[1-9]", each.content, re.MULTILINE) for each in mounts):
        return True  # CoreDNS's health plugin, in a Corefile
    return "requestacceptgracetimeout" in line


def _by_variable(program: Program | None, container: Container) -> bool:
    """Whether `lameduck-pod run` may be told to wait by its environment: the manifest's or the image's."""
    told = str(container.node["env"].data)
    stage = program.launch.stage if program else None
    while stage is not None:
        told += "".join(one.value for one in stage.instructions if one.name == "ENV")
        stage = stage.parent
    known = ("LAMEDUCK_DELAY", "LAMEDUCK_UNTIL_QUIET")
    return bool(container.node["envFrom"]) or any(name in told for name in known)
