"""What of a manifest is followed, refused, or listed as ignored."""

import base64
import re
from pathlib import Path

import pytest
from tests.local.manifest.shapes import CONTAINER, config, deployment, read, service

from lameduck.core.budget import Budget
from lameduck.core.errors import UsageError
from lameduck.core.instants import SECOND
from lameduck.core.plan import Disruption
from lameduck.core.podspec import ContainerSpec, Hook, HookKind, Role
from lameduck.core.probes import ProbeSpec
from lameduck.local.podplan import Field, environment

WEB = deployment() + service()


def only(spec: object) -> ContainerSpec:
    (container,) = spec.containers  # type: ignore[attr-defined]
    return container  # type: ignore[no-any-return]


def test_absent_fields_get_the_apis_defaults(tmp_path: Path) -> None:
    spec = read(tmp_path, WEB)
    assert (spec.replicas, spec.grace, spec.port, spec.serving) == (1, 30 * SECOND, 8080, "web")
    assert (spec.max_surge, spec.max_unavailable, spec.progress_deadline) == ("25%", "25%", 600 * SECOND)
    assert only(spec) == ContainerSpec("web"), "no readiness probe: none is made up"
    assert spec.process("web").command == ("server", "--port", "8080")
    assert not spec.ignored and not spec.recreate and not spec.headless


def test_probes_and_hooks_are_read_with_their_defaults(tmp_path: Path) -> None:
    more = """\
          readinessProbe: {httpGet: {path: ready, port: http, httpHeaders: [{name: Host, value: x}]}}
          livenessProbe: {exec: {command: [alive]}, periodSeconds: 5, failureThreshold: 2}
          startupProbe: {tcpSocket: {port: 9000}, timeoutSeconds: 3, initialDelaySeconds: 4}
          lifecycle:
            postStart: {exec: {command: [warm]}}
            preStop: {httpGet: {path: /stop, port: 9000}}
"""
    one = only(read(tmp_path, deployment(containers=CONTAINER + more) + service()))
    assert one.readiness == ProbeSpec("/ready", 0, (), (("Host", "x"),), 10 * SECOND)
    assert one.liveness == ProbeSpec(command=("alive",), period=5 * SECOND, failure_threshold=2)
    assert one.startup == ProbeSpec(port=9000, period=10 * SECOND, timeout=3 * SECOND, initial_delay=4 * SECOND)
    assert one.post_start == Hook(HookKind.EXEC, command=("warm",))
    assert one.pre_stop == Hook(HookKind.HTTP, path="/stop", port=9000)


def test_a_sleep_hook_and_the_update_strategy(tmp_path: Path) -> None:
    spec = """\
replicas: 4
minReadySeconds: 7
progressDeadlineSeconds: 90
strategy: {rollingUpdate: {maxSurge: 2, maxUnavailable: 10%}}
"""
    sleep = "          lifecycle: {preStop: {sleep: {seconds: 5}}}\n"
    pod = "terminationGracePeriodSeconds: 45\nshareProcessNamespace: true"
    found = read(tmp_path, deployment(spec=spec, pod=pod, containers=CONTAINER + sleep) + service())
    assert only(found).pre_stop == Hook(HookKind.SLEEP, seconds=5)
    assert (found.replicas, found.min_ready_seconds, found.grace) == (4, 7, 45 * SECOND)
    assert (found.max_surge, found.max_unavailable, found.progress_deadline) == (2, "10%", 90 * SECOND)
    assert found.share_processes


@pytest.mark.parametrize(
    ("kind", "spec", "expected"),
    [
        ("Deployment", "strategy: {type: Recreate}", {"recreate": True}),
        ("DaemonSet", "", {"recreate": True, "replicas": 1, "max_surge": 0, "max_unavailable": 1}),
        (
            "DaemonSet",
            "updateStrategy: {rollingUpdate: {maxSurge: 1, maxUnavailable: 0}}",
            {"recreate": False, "max_surge": 1, "max_unavailable": 0},
        ),
        ("StatefulSet", "replicas: 2\nserviceName: web", {"replicas": 2, "parallel": False, "partition": 0}),
        (
            "StatefulSet",
            "podManagementPolicy: Parallel\nupdateStrategy: {rollingUpdate: {partition: 1}}",
            {"parallel": True, "partition": 1},
        ),
    ],
)
def test_each_kind_is_updated_in_its_own_way(tmp_path: Path, kind: str, spec: str, expected: dict[str, object]) -> None:
    found = read(tmp_path, deployment(kind=kind, spec=spec) + service())
    assert found.kind == kind
    assert {name: getattr(found, name) for name in expected} == expected


def test_containers_keep_their_order_and_their_part(tmp_path: Path) -> None:
    pod = """\
initContainers:
  - {name: migrate, image: m, command: [migrate]}
  - {name: proxy, image: p, command: [proxy], restartPolicy: Always}
"""
    other = "        - {name: metrics, image: x, command: [metrics], ports: [{containerPort: 9100}]}\n"
    spec = read(tmp_path, deployment(pod=pod, containers=CONTAINER + other) + service())
    roles = [(one.name, one.role) for one in spec.containers]
    assert roles == [
        ("migrate", Role.INIT),
        ("proxy", Role.SIDECAR),
        ("web", Role.MAIN),
        ("metrics", Role.MAIN),
    ]
    assert spec.serving == "web"
    left = read(tmp_path, deployment(pod=pod, containers=CONTAINER + other) + service(), without=("proxy", "metrics"))
    assert [one.name for one in left.containers] == ["migrate", "web"]
    assert left.ignored == ("left out: container proxy", "left out: container metrics")


def test_a_service_may_lead_to_a_sidecar(tmp_path: Path) -> None:
    pod = (
        "initContainers:\n  - {name: proxy, image: p, command: [proxy], restartPolicy: Always, "
        "ports: [{containerPort: 15000, name: in}]}"
    )
    spec = read(tmp_path, deployment(pod=pod) + service(port="targetPort: in"))
    assert (spec.serving, spec.port) == ("proxy", 15000)


def test_variables_come_from_maps_secrets_fields_and_one_another(tmp_path: Path) -> None:
    more = """\
          envFrom: [{configMapRef: {name: all}, prefix: ALL_}, {secretRef: {name: absent, optional: true}}]
          env:
            - {name: HOST, value: shop}
            - {name: URL, value: "http://$(HOST):$(PORT)/$$(HOST)"}
            - {name: PASSWORD, valueFrom: {secretKeyRef: {name: login, key: password}}}
            - {name: NODE, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}
            - {name: LABEL, valueFrom: {fieldRef: {fieldPath: "metadata.labels['app']"}}}
            - {name: CPUS, valueFrom: {resourceFieldRef: {resource: limits.cpu}}}
            - {name: MISSING, valueFrom: {configMapKeyRef: {name: all, key: none, optional: true}}}
"""
    login = config("login", "Secret", password=base64.b64encode(b"geheim").decode())
    spec = read(tmp_path, deployment(containers=CONTAINER + more) + service() + config("all", MODE="fast") + login)
    given = spec.process("web").environment
    assert ("NODE", Field("spec.nodeName")) in given and "MISSING" not in dict(given)
    found = environment(given, {"spec.nodeName": "local", "metadata.labels['app']": spec.labels["app"]})
    assert found == {
        "ALL_MODE": "fast",
        "HOST": "shop",
        "URL": "http://shop:$(PORT)/$(HOST)",
        "PASSWORD": "geheim",
        "NODE": "local",
        "LABEL": "web",
    }
    assert "web: CPUS (resourceFieldRef) is not set" in spec.ignored


def test_volumes_of_maps_and_secrets_are_files_and_empty_ones_the_pods_own(tmp_path: Path) -> None:
    pod = """\
volumes:
  - {name: conf, configMap: {name: conf, items: [{key: app, path: sub/app.ini}], defaultMode: 0400}}
  - {name: both, projected: {sources: [{configMap: {name: conf}}, {secret: {name: key}}]}}
  - {name: work, emptyDir: {}}
  - {name: data, persistentVolumeClaim: {claimName: data}}
"""
    more = """\
          volumeMounts:
            - {name: conf, mountPath: /etc/web}
            - {name: both, mountPath: /both/, subPath: token}
            - {name: work, mountPath: /work}
            - {name: data, mountPath: /data, readOnly: true}
"""
    data = tmp_path / "data"
    data.mkdir()
    key = config("key", "Secret", token=base64.b64encode(b"t").decode())
    text = deployment(pod=pod, containers=CONTAINER + more) + service() + config("conf", app="x=1") + key
    spec = read(tmp_path, text, volumes={"data": str(data)})
    mounts = {mount.target: mount for mount in spec.process("web").mounts}
    file = Path(mounts["/etc/web"].source) / "sub/app.ini"
    assert (file.read_text(), file.stat().st_mode & 0o777) == ("x=1", 0o400)
    assert mounts["/etc/web"].read_only and mounts["/data"] == (str(data), "/data", True)
    assert Path(mounts["/both"].source).read_text() == "t"
    assert spec.process("web").scratch == {"/work": "work"}


def test_a_dockerfile_gives_command_folder_variables_stop_signal_and_files(tmp_path: Path) -> None:
    (tmp_path / "start.sh").write_text("#!/bin/sh\n")
    dockerfile = f"{tmp_path}/Dockerfile"
    lines = """\
FROM golang AS build
FROM python:3.12
ENV MODE=fast LEVEL=2
WORKDIR /app
COPY start.sh ./
COPY --from=build /out/tool /usr/bin/tool
STOPSIGNAL SIGQUIT
ENTRYPOINT ["/app/start.sh"]
CMD ["--quick"]
"""
    bare = "        - {name: web, image: mine, ports: [{containerPort: 8080, name: http}]}\n"
    text = deployment(containers=bare) + service()
    spec = read(tmp_path, text, files={dockerfile: lines}, dockerfiles={"": dockerfile})
    process = spec.process("web")
    assert process.command == ("/app/start.sh", "--quick")
    assert process.folder == "/app"
    assert dict(process.environment) == {"MODE": "fast", "LEVEL": "2"}
    assert process.mounts == ((str(tmp_path / "start.sh"), "/app/start.sh", False),)
    assert only(spec).stop_signal == 3
    assert any("/usr/bin/tool is not here" in line for line in spec.ignored)
    given = read(tmp_path, text, files={dockerfile: lines}, dockerfiles={"": dockerfile}, command=("mine", "-x"))
    assert given.process("web").command == ("mine", "-x") and only(given).stop_signal == 3


def test_a_known_images_stop_signal_counts_without_a_dockerfile(tmp_path: Path) -> None:
    nginx = CONTAINER.replace("registry.example/web:1", "nginx:1.27")
    assert only(read(tmp_path, deployment(containers=nginx) + service())).stop_signal == 3


def test_a_budget_a_headless_service_and_unready_addresses(tmp_path: Path) -> None:
    budget = """\
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: keep}
spec: {maxUnavailable: 25%, selector: {matchLabels: {app: web}}}
"""
    spec = read(tmp_path, deployment() + service(spec="clusterIP: None\npublishNotReadyAddresses: true") + budget)
    assert spec.headless and spec.publish_not_ready
    assert spec.budget == Budget("keep", None, "25%")


@pytest.mark.parametrize(
    ("probe", "path", "scheme"),
    [
        ("{httpGet: {port: 8080, path: ready}}", "/ready", ""),
        ("{httpGet: {port: 8080, scheme: HTTPS}}", "/", "https"),
        ("{grpc: {port: 8080, service: shop}}", "shop", "grpc"),
        ("{grpc: {port: 8080}}", "", "grpc"),
        ("{tcpSocket: {port: 8080}}", "", ""),
    ],
)
def test_a_probe_asks_in_its_own_language(tmp_path: Path, probe: str, path: str, scheme: str) -> None:
    text = deployment(containers=CONTAINER + f"          readinessProbe: {probe}\n") + service()
    spec = read(tmp_path, text).containers[0].readiness
    assert spec is not None
    assert (spec.path, spec.scheme) == (path, scheme)


LINUX = "os: {name: linux}"


@pytest.mark.parametrize(
    ("pod", "signal", "number"),
    [(LINUX, "SIGQUIT", 3), (LINUX, "SIGUSR1", 10), (LINUX, "SIGRTMIN+3", 37), (LINUX, "SIGRTMAX-1", 63)],
)
def test_a_containers_own_stop_signal_is_its_stop_signal_and_said_to_need_a_gate(
    tmp_path: Path, pod: str, signal: str, number: int
) -> None:
    spec = read(
        tmp_path,
        deployment(pod=pod, containers=CONTAINER + f"          lifecycle: {{stopSignal: {signal}}}\n") + service(),
    )
    assert spec.containers[0].stop_signal == number
    assert [note for note in spec.ignored if f"web gets its stopSignal {signal}" in note and "LD108" in note]
    assert not [note for note in spec.ignored if note.startswith("ignored of")]


@pytest.mark.parametrize(
    ("pod", "signal", "why"),
    [
        ("", "SIGQUIT", "os: {name: linux}"),
        ("os: {name: windows}", "SIGTERM", "for windows"),
        (LINUX, "SIGNONE", "SIGNONE"),
        (LINUX, "quit", "a name like SIGQUIT"),
        (LINUX, "3", "a name like SIGQUIT"),
        (LINUX, "SIGRTMIN+99", "SIGRTMIN"),
    ],
)
def test_a_stop_signal_that_the_api_refuses_is_refused(tmp_path: Path, pod: str, signal: str, why: str) -> None:
    text = deployment(pod=pod, containers=CONTAINER + f"          lifecycle: {{stopSignal: {signal}}}\n") + service()
    with pytest.raises(UsageError, match=re.escape(why)):
        read(tmp_path, text)


def test_what_nobody_follows_is_listed(tmp_path: Path) -> None:
    more = """\
          resources: {limits: {memory: 1Gi}}
          securityContext: {runAsUser: 1000}
          readinessProbe: {grpc: {port: 8080}, terminationGracePeriodSeconds: 3}
          lifecycle: {preStart: {}}
"""
    pod = "affinity: {}\ndnsPolicy: Default"
    job = (
        "---\napiVersion: batch/v1\nkind: Job\nmetadata: {name: migrate}\nspec: {template: {spec: {containers: []}}}\n"
    )
    text = deployment(pod=pod, containers=CONTAINER + more) + service(spec="sessionAffinity: ClientIP") + job
    ignored = read(tmp_path, text).ignored
    assert (
        "ignored of Deployment web: affinity, dnsPolicy, web.resources, web.securityContext, "
        "web.readinessProbe.terminationGracePeriodSeconds, web.lifecycle.preStart"
    ) in ignored
    assert "ignored of Service web: sessionAffinity" in ignored
    assert "not run: Job migrate" in ignored


def test_a_list_is_walked_and_one_workload_behind_a_service_is_the_one(tmp_path: Path) -> None:
    worker = deployment(name="worker").replace("ports:", "# ports:")
    spec = read(tmp_path, worker + "---\n" + WEB)
    assert spec.name == "web" and "not run: Deployment worker" in spec.ignored
    listed = "apiVersion: v1\nkind: List\nitems:\n" + "".join(
        f"- {document.strip().replace(chr(10), chr(10) + '  ')}\n" for document in WEB.split("---\n") if document
    )
    assert read(tmp_path, listed).name == "web"


TWICE = deployment().replace("  selector:", "  replicas: 1\n  replicas: 2\n  selector:")
NO_COMMAND = CONTAINER.replace('          command: [server, --port, "8080"]\n', "")
PVC = "volumes: [{name: data, persistentVolumeClaim: {claimName: d}}]"
MOUNT = CONTAINER + "          volumeMounts: [{name: data, mountPath: /data}]\n"
REFUSED = {
    "a Service that selects nothing": (deployment() + service(selector="app: wbe"), {}, "selects app=wbe, and"),
    "no Service and no port": (deployment(), {}, "say the pods' port with --port"),
    "a target port of no container": (deployment() + service(port="targetPort: grpc"), {}, "there are: http"),
    "two Deployments": (
        deployment() + service() + "---\n" + deployment(name="b") + service(name="b", selector="app: b"),
        {},
        "deployment/web, deployment/b: name one",
    ),
    "a target that is not there": (WEB, {"target": "deployment/shop"}, "no deployment/shop in the input"),
    "two Services": (WEB + service(name="other"), {}, "web, other; say which with --service"),
    "a container without a command": (deployment(containers=NO_COMMAND) + service(), {}, "itself after --"),
    "a sidecar without a command": (
        deployment(pod="initContainers: [{name: log, image: f, restartPolicy: Always}]") + service(),
        {},
        "leave it --without log",
    ),
    "a Helm template": ("{{ if .Values.web }}\n" + WEB + "{{ end }}", {}, "helm template . |"),
    "a Helm value without quotes": (WEB.replace("name: web", "name: {{ .Release.Name }}", 1), {}, "helm template . |"),
    "an error message": ("Error: chart not found\n", {}, "did the command that writes it fail?"),
    "unreadable YAML": ("kind: Deployment\n  name: [\n", {}, "web.yaml:"),
    "a key that stands twice": (TWICE + service(), {}, "web.yaml:6: 'replicas' is there already, in web.yaml:5"),
    "a volume that nobody has": (deployment(pod=PVC, containers=MOUNT) + service(), {}, "--volume data=DIR"),
    "a missing ConfigMap": (
        deployment(containers=CONTAINER + "          envFrom: [{configMapRef: {name: gone}}]\n") + service(),
        {},
        "ConfigMap gone is not in the input",
    ),
    "a folder that is not here": (
        deployment(containers=CONTAINER + "          workingDir: /srv/nowhere\n") + service(),
        {},
        "works in /srv/nowhere",
    ),
    "a paused Deployment": (deployment(spec="paused: true") + service(), {}, "web.yaml:6: deployment/web is paused"),
    "no workload at all": (service(), {}, "no Deployment, StatefulSet or DaemonSet in the input: it has Service"),
    "replicas in words": (deployment(spec="replicas: many") + service(), {}, "not many"),
    "a Dockerfile that is not there": (WEB, {"dockerfiles": {"": "none"}}, "--dockerfile none"),
    "without a container that is not there": (WEB, {"without": ("x",)}, "has no such container"),
    "a StatefulSet that is updated by hand": (
        deployment(kind="StatefulSet", spec="updateStrategy: {type: OnDelete}") + service(),
        {},
        "--disrupt delete",
    ),
}  # fmt: skip


@pytest.mark.parametrize("row", REFUSED)
def test_what_cannot_be_proven_is_refused_with_its_place_and_what_to_do(tmp_path: Path, row: str) -> None:
    text, wish, says = REFUSED[row]
    with pytest.raises(UsageError) as caught:
        read(tmp_path, text, **wish)  # type: ignore[arg-type]
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_cannot_be_rolled_can_be_deleted(tmp_path: Path) -> None:
    paused = deployment(spec="paused: true") + service()
    assert read(tmp_path, paused, disruption=Disruption.DELETE).name == "web"
