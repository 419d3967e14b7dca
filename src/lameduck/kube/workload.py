"""The workload that is to be proven, as its objects describe it: pure readings, nothing is asked of a cluster here."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from lameduck.core.errors import UsageError
from lameduck.core.instants import SECOND
from lameduck.kube.api import Json

ANNOTATION = "lameduck.dev/restart"
"""Of the pod template: on and off in turn, so that an even number of restarts ends on the template it began with."""

KINDS = {
    **dict.fromkeys(("deployment", "deployments", "deploy", "deployment.apps"), "deployments"),
    **dict.fromkeys(("statefulset", "statefulsets", "sts", "statefulset.apps"), "statefulsets"),
    **dict.fromkeys(("daemonset", "daemonsets", "ds", "daemonset.apps"), "daemonsets"),
}
"""What people call a kind, and its resource."""


@dataclass(frozen=True, slots=True)
class Target:
    """TYPE/NAME in a namespace."""

    resource: str
    name: str
    namespace: str

    @property
    def kind(self) -> str:
        """The kind in the singular: ``deployment``."""
        return self.resource.removesuffix("s")

    def __str__(self) -> str:
        return f"{self.kind}/{self.name}"


def parse_target(text: str, namespace: str) -> Target:
    """TYPE/NAME as kubectl takes it. Raises `UsageError`."""
    kind, slash, name = text.partition("/")
    if not slash or not name:
        raise UsageError(f"name the workload as TYPE/NAME, such as deployment/{text or 'shop'}")
    return Target(resource_of(kind), name, namespace)


def resource_of(kind: str) -> str:
    """The resource of what people call a kind. Raises `UsageError` for one without rollouts."""
    if kind.lower() not in KINDS:
        raise UsageError(f"'{kind}' is no kind with a rollout: deployment, statefulset or daemonset")
    return KINDS[kind.lower()]


@dataclass(frozen=True, slots=True)
class PodShape:
    """What a pod template says of a pod's beginning and end. Times in nanoseconds."""

    container: str = ""
    """The container that serves: the one with the target port."""
    grace: int = 30 * SECOND
    pre_stop: str = ""
    """The preStop hook in words, "" for none."""
    delay: int = 0
    """How long the hook holds back the stop signal, where its text says so."""
    has_readiness: bool = False
    port: int = 0
    """The container's port that the Service leads to, 0 if unknown."""


def pod_shape(template: Json, target_port: int | str = 0) -> PodShape:
    """Read a pod template (``spec.template``). The serving container is that of the Service's target port."""
    spec = template.get("spec", {})
    container, port = _serving(spec.get("containers", []), target_port)
    hook = (container.get("lifecycle") or {}).get("preStop") or {}
    words, delay = _hook(hook)
    grace = int(spec.get("terminationGracePeriodSeconds", 30)) * SECOND
    return PodShape(
        container.get("name", ""), grace, words, min(delay, grace) if delay else 0, "readinessProbe" in container, port
    )


def _serving(containers: list[Json], target: int | str) -> tuple[Json, int]:
    for container in containers:
        for port in container.get("ports") or ():
            if target in (port.get("name"), port.get("containerPort")):
                return container, int(port["containerPort"])
    first = containers[0] if containers else {}
    return first, target if isinstance(target, int) else 0


_SLEEP = re.compile(r"\s*(?:exec\s+)?(?:/bin/|/usr/bin/)?sleep\s+(\d+(?:\.\d+)?)s?\s*\Z")
_QUICK = re.compile(r"\s*(?:(?:/bin/|/usr/bin/)?(?:echo|printf|true|:|touch|rm|date)(?:\s[^|&(){}`$]*)?)?\Z")
"""Commands that take no time and stop nobody; text that a shell would have to expand is not looked through."""


def _slept(code: str) -> int:
    """How long a sequence of quick commands and sleeps takes (ns); 0 where it holds anything else."""
    total = 0
    for part in re.split(r";|&&|\n", code):
        match = _SLEEP.match(part)
        if match is None and not _QUICK.match(part):
            return 0
        total += int(float(match[1]) * SECOND) if match else 0
    return total


def _hook(hook: Json) -> tuple[str, int]:
    if "sleep" in hook:
        seconds = int(hook["sleep"].get("seconds", 0))
        return f"sleep {seconds} s", seconds * SECOND
    if "exec" in hook:
        command = [str(word) for word in hook["exec"].get("command") or ()]
        text = command[2] if len(command) == 3 and command[1] == "-c" else " ".join(command)
        return f"exec {' '.join(command)}", _slept(text)
    if "httpGet" in hook:
        return f"httpGet :{hook['httpGet'].get('port')}{hook['httpGet'].get('path', '/')}", 0
    return "", 0


def replicas(workload: Json, resource: str) -> int:
    """How many pods it wants."""
    if resource == "daemonsets":
        return int(workload.get("status", {}).get("desiredNumberScheduled", 0))
    return int(workload.get("spec", {}).get("replicas", 1))


def strategy(workload: Json, resource: str) -> str:
    """``RollingUpdate``, ``Recreate`` or ``OnDelete``."""
    spec = workload.get("spec", {})
    block = spec.get("strategy") if resource == "deployments" else spec.get("updateStrategy")
    return str((block or {}).get("type", "RollingUpdate"))


def selector_text(selector: Json) -> str:
    """A label selector as the API takes it in a query."""
    parts = [f"{key}={value}" for key, value in sorted((selector.get("matchLabels") or {}).items())]
    for each in selector.get("matchExpressions") or ():
        key, values = each["key"], ",".join(each.get("values") or ())
        operators = {"In": f"{key} in ({values})", "NotIn": f"{key} notin ({values})"}
        parts.append(operators.get(each["operator"]) or (key if each["operator"] == "Exists" else f"!{key}"))
    return ",".join(parts)


def matches(selector: Json | None, labels: Mapping[str, str]) -> bool:
    """Whether a LabelSelector chooses something with these labels: none chooses nothing, an empty one everything."""
    if selector is None:
        return False
    wanted = selector.get("matchLabels") or {}
    return all(labels.get(key) == value for key, value in wanted.items()) and all(
        _met(each, labels) for each in selector.get("matchExpressions") or ()
    )


def _met(expression: Json, labels: Mapping[str, str]) -> bool:
    key, values = expression["key"], expression.get("values") or ()
    match expression["operator"]:
        case "In":
            return labels.get(key) in values
        case "NotIn":
            return labels.get(key) not in values
        case "Exists":
            return key in labels
        case _:
            return key not in labels


def rolled_out(workload: Json, resource: str) -> bool:
    """Whether its controller says that the rollout is over (what ``kubectl rollout status`` waits for)."""
    meta, spec, status = workload["metadata"], workload.get("spec", {}), workload.get("status", {})
    if status.get("observedGeneration", 0) < meta.get("generation", 0):
        return False
    if resource == "daemonsets":
        wanted = status.get("desiredNumberScheduled", 0)
        return bool(status.get("updatedNumberScheduled", 0) >= wanted and status.get("numberAvailable", 0) >= wanted)
    wanted, updated = spec.get("replicas", 1), status.get("updatedReplicas", 0)
    if resource == "statefulsets":
        same = status.get("updateRevision") == status.get("currentRevision")
        return bool(same and status.get("readyReplicas", 0) >= wanted)
    return bool(
        updated >= wanted and status.get("replicas", 0) <= updated and status.get("availableReplicas", 0) >= updated
    )


def stuck(workload: Json) -> str:
    """Why its controller has given up on a rollout (progressDeadlineSeconds), "" if it has not."""
    for each in workload.get("status", {}).get("conditions") or ():
        if each.get("type") == "Progressing" and each.get("reason") == "ProgressDeadlineExceeded":
            return str(each.get("message") or "progressDeadlineSeconds exceeded")
    return ""


def selects(service: Json, labels: Mapping[str, str]) -> bool:
    """Whether a Service selects pods with these labels."""
    wanted = service.get("spec", {}).get("selector") or {}
    return bool(wanted) and all(labels.get(key) == value for key, value in wanted.items())


def choose_service(
    services: Iterable[Json], labels: Mapping[str, str], name: str = "", port: str = ""
) -> tuple[Json, Json]:
    """The Service, and its port, that lead to pods with these labels. Raises `UsageError` where that is not one."""
    fitting = [each for each in services if selects(each, labels) and (not name or each["metadata"]["name"] == name)]
    if not fitting:
        named = f"the Service '{name}' does not select" if name else "no Service selects"
        raise UsageError(
            f"{named} its pods ({selector_text({'matchLabels': labels})}): nothing could be routed to them"
        )
    usable = [each for each in fitting if each["spec"].get("clusterIP") not in {None, "", "None"}] or fitting
    if len(usable) > 1 and not name:
        names = ", ".join(each["metadata"]["name"] for each in usable)
        raise UsageError(f"several Services select its pods: {names}; choose one with --service")
    service = usable[0]
    return service, _port(service, port)


def _port(service: Json, wanted: str) -> Json:
    ports: list[dict[str, Any]] = service["spec"].get("ports") or []
    fitting = [p for p in ports if p.get("protocol", "TCP") == "TCP" and wanted in {"", p.get("name"), str(p["port"])}]
    if not fitting:
        raise UsageError(f"the Service {service['metadata']['name']} has no TCP port {wanted}".rstrip())
    if len(fitting) > 1:
        named = [p for p in fitting if p.get("name") in {"http", "web"}]
        if len(named) != 1:
            choice = ", ".join(f"{p.get('name', '')} {p['port']}".strip() for p in fitting)
            raise UsageError(
                f"the Service {service['metadata']['name']} has several ports: {choice}; choose with --port"
            )
        return named[0]
    return fitting[0]
