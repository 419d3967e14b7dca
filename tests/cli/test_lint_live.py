"""lint --live against an API server in miniature: what is read, what is left out, what is said about the rest."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.kube.apiserver import FakeApi

from lameduck.cli import main

WEB: dict[str, Any] = {
    "metadata": {"name": "web", "namespace": "shop", "uid": "1", "managedFields": [{"manager": "x"}]},
    "spec": {
        "replicas": 3,
        "selector": {"matchLabels": {"app": "web"}},
        "template": {
            "metadata": {"labels": {"app": "web"}},
            "spec": {
                "terminationGracePeriodSeconds": 30,
                "containers": [
                    {
                        "name": "web",
                        "image": "registry.example/web:1",
                        "ports": [{"containerPort": 8080}],
                        "readinessProbe": {"httpGet": {"path": "/r", "port": 8080}},
                    }
                ],
            },
        },
    },
    "status": {"readyReplicas": 3},
}
SERVICE = {
    "metadata": {"name": "web", "namespace": "shop"},
    "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}], "clusterIP": "10.0.0.7"},
}
OWNED = {
    "metadata": {"name": "web-1", "namespace": "shop", "ownerReferences": [{"kind": "ReplicaSet", "name": "web"}]},
    "spec": WEB["spec"]["template"]["spec"],
}
APPS, CORE = "/apis/apps/v1/namespaces/shop", "/api/v1/namespaces/shop"


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeApi]:
    """A server of a thread, and a kubeconfig that leads to it."""
    loop, server = asyncio.new_event_loop(), FakeApi()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    asyncio.run_coroutine_threadsafe(server.__aenter__(), loop).result(10)
    server.pages = {
        "/version": {"gitVersion": "v1.29.4"},
        f"{APPS}/deployments": {"items": [WEB]},
        f"{CORE}/services": {"items": [SERVICE]},
        f"{CORE}/pods": {"items": [OWNED]},
    }
    (tmp_path / "config").write_text(
        f"apiVersion: v1\nkind: Config\ncurrent-context: here\n"
        f"clusters: [{{name: c, cluster: {{server: 'http://127.0.0.1:{server.port}'}}}}]\n"
        f"users: [{{name: u, user: {{}}}}]\n"
        f"contexts: [{{name: here, context: {{cluster: c, user: u, namespace: shop}}}}]\n"
    )
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)
    yield server
    loop.call_soon_threadsafe(server.stop_listening)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.close()


def test_a_namespace_is_judged_for_the_version_it_has(cluster: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lint", "--live", "--select", "LD101"]) == 1
    said = capsys.readouterr().out
    assert "deployment/web.yaml" in said
    assert "Service web sends traffic to Deployment web, container web" in said
    assert "Kubernetes v1.29.4" in said
    assert "not looked at: ingresses: Forbidden" in said
    assert "sleep:" not in said, "1.29 has no native sleep, and of this image nobody knows whether it has one"
    assert cluster.pages


def test_the_fix_of_a_live_object_is_a_patch_for_kubectl(cluster: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    cluster.pages["/version"] = {"gitVersion": "v1.34.1+k3s1"}
    assert main(["lint", "--live", "-n", "shop", "--select", "LD101"]) == 1
    said = capsys.readouterr().out
    assert "as a patch for kubectl or kustomize" in said
    patch = said[said.index("      apiVersion") :].split("\n\n")[0]
    assert [line.strip() for line in patch.splitlines()] == [
        "apiVersion: apps/v1",
        "kind: Deployment",
        "metadata:",
        "name: web",
        "namespace: shop",
        "spec:",
        "template:",
        "spec:",
        "containers:",
        "- name: web",
        "lifecycle:",
        "preStop:",
        "sleep:",
        "seconds: 5",
    ]


def test_a_version_that_is_said_wins_over_the_clusters(cluster: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    main(["lint", "--live", "--kubernetes-version", "1.33", "--select", "LD101"])
    assert "sleep:" in capsys.readouterr().out
    assert cluster.pages


def test_a_namespace_that_may_not_be_read_is_an_error_and_not_a_clean_result(
    cluster: FakeApi, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster.pages = {"/version": {"gitVersion": "v1.34.0"}}
    assert main(["lint", "--live"]) == 4
    assert "nothing in namespace shop may be read: deployments: Forbidden" in capsys.readouterr().err


def test_a_cluster_that_does_not_answer_is_the_environments_fault(
    cluster: FakeApi, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster.stop_listening()
    assert main(["lint", "--live"]) == 4
    assert "cannot reach the API server" in capsys.readouterr().err


def test_options_of_a_cluster_need_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lint", "-n", "shop"]) == 2
    assert "are for --live" in capsys.readouterr().err
