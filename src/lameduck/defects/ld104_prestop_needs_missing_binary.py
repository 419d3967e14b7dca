"""The preStop hook runs a program that the image does not have (LD104, prestop-needs-missing-binary).

What it finds
    An exec hook that calls sh or sleep in a distroless, scratch or static image, or lameduck-pod drain in one that has
    no Python.

Why it loses requests
    The hook fails with an event nobody reads (FailedPreStopHook) and the stop signal follows at once: there is no
    delay at all.

Fix and its safety
    Safe: the native sleep action of the same seconds (Kubernetes 1.30 and newer). On 1.29: shown, the drain sidecar
    of lameduck inject --sidecar, which needs no program in the image.

When not to care
    The :debug tags of distroless have busybox.

Evidence
    kubelet executePreStopHook.

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
                  image: gcr.io/distroless/nodejs22-debian12
                  ports: [{containerPort: 8080, name: http}]
                  readinessProbe: {httpGet: {path: /r, port: 8080}}
                  lifecycle: {preStop: {exec: {command: [sleep, "10"]}}}
        ---
        apiVersion: v1
        kind: Service
        metadata: {name: web}
        spec: {selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}

Mended by lameduck fix
    --- a/web.yaml
    +++ b/web.yaml
    @@ -13,7 +13,8 @@
               image: gcr.io/distroless/nodejs22-debian12
               ports: [{containerPort: 8080, name: http}]
               readinessProbe: {httpGet: {path: /r, port: 8080}}
    -          lifecycle: {preStop: {exec: {command: [sleep, "10"]}}}
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
from lameduck.defects.lintkit import (
    finding,
    fix_of,
    image_facts,
    replace_hook,
    running,
    supports,
    tried,
    who,
    without_sleep,
)
from lameduck.defects.snippets import drain_sidecar, drain_window
from lameduck.manifests.dockerfile import Stage
from lameduck.manifests.hooks import Hook, HookKind, hook_of
from lameduck.manifests.images import ImageFacts, reference
from lameduck.manifests.programs import base, words
from lameduck.manifests.project import Project
from lameduck.manifests.unwrap import plainly
from lameduck.manifests.workloads import Container, Workload

DEFECT = Defect(
    "LD104",
    "prestop-needs-missing-binary",
    "The preStop hook runs a program that the image does not have",
    "The hook fails with an event nobody reads (FailedPreStopHook) and the stop signal follows at once: there "
    "is no delay at all.",
    Severity.ERROR,
)


def proof_fix(facts: Mapping[str, Any]) -> Fix | None:
    """The native sleep needs no program in the image; facts: ``pre_stop_seconds``, ``grace_seconds`` (int, s)."""
    return drain_window(facts, Safety.SAFE)


_FROM_BUSYBOX = words("sh bash ash dash sleep env kill cat wget curl touch test [")


def lint(project: Project) -> Iterator[Finding]:
    """Exec hooks that call what the image does not have; pure sleeps as a remark."""
    for workload, container in running(project):
        hook = hook_of(container)
        if hook.kind is not HookKind.EXEC or not hook.argv or hook.broken:
            continue
        missing, certain = _missing(project, container, hook.argv)
        place = hook.node["command"].span
        if missing:
            message = (
                f"{who(workload, container)}: the hook runs {hook.argv[0]}, and {missing}: it fails "
                f"(FailedPreStopHook) and the stop signal follows at once"
            )
            yield finding(DEFECT, message, place, certain, fix=_fix(project, workload, container, hook))
        elif hook.pure_sleep and project.settings.kubernetes and project.settings.kubernetes >= (1, 30):
            message = f"{who(workload, container)}: preStop.sleep needs no program in the image"
            yield finding(DEFECT, message, place, Confidence.POSSIBLE, severity=Severity.INFO)


def _missing(project: Project, container: Container, argv: tuple[str, ...]) -> tuple[str, Confidence]:
    """Why a program is not in the image, and how sure that is; "" when it is there or unknown."""
    known, name = image_facts(project, container), base(argv[0])
    built = project.program_of(container)
    stage = built.launch.stage if built else None
    if plainly(argv)[0].endswith("lameduck-pod"):
        return _no_python(known, stage)
    if stage is not None and any(copy.target.rstrip("/").endswith(("/" + name, "/bin")) for copy in stage.copies):
        return "", Confidence.POSSIBLE
    if known.shell == "" and name in _FROM_BUSYBOX:
        return f"{known.name} has no {name}", Confidence.CERTAIN
    if name == "bash" and known.shell == "ash":
        installs = [one.value for one in stage.instructions if one.name == "RUN"] if stage else []
        if not any("bash" in line for line in installs):
            return f"{known.name} has no bash", Confidence.LIKELY
    return "", Confidence.POSSIBLE


def _no_python(known: ImageFacts, stage: Stage | None) -> tuple[str, Confidence]:
    """Why `lameduck-pod` cannot run there. One that may have been installed or copied is unknown."""
    ref = reference(known.name)
    if not known.known or known.shell not in {"", "ash"} or "python" in ref.repository or "pypy" in ref.repository:
        return "", Confidence.POSSIBLE
    while stage is not None:
        lines = " ".join(one.value for one in stage.instructions if one.name == "RUN")
        if any(copy.origin for copy in stage.copies) or any(word in lines for word in ("python", "pip", "uv ", "apk")):
            return "", Confidence.POSSIBLE
        stage = stage.parent
    return f"{known.name} has no Python", Confidence.CERTAIN if known.shell == "" else Confidence.LIKELY


def _fix(project: Project, workload: Workload, container: Container, hook: Hook) -> Fix | None:
    seconds = hook.delay or hook.meant
    if plainly(hook.argv)[0].endswith("lameduck-pod"):
        return without_sleep(project, workload, container) or _sidecar(project, workload, container)
    if not seconds:
        return without_sleep(project, workload, container)
    return without_sleep(project, workload, container) or tried(
        lambda: fix_of(
            f"the native sleep of {seconds:g} s",
            Safety.SAFE,
            (container.node.text, replace_hook(project, workload, container, seconds)),
        )
    )


def _sidecar(project: Project, workload: Workload, container: Container) -> Fix | None:
    """The same drain, in a container of its own; None where the cluster has no native sidecars."""
    if not supports(project, 1, 29):
        return None
    ports = sorted({number for _, number in container.ports if number is not None})
    return drain_sidecar(container.name, ports, workload.grace or 30)
