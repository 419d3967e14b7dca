"""Every kind of disruption, each under its own name: a proof of rollouts says nothing of a drain (case C83)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.e2e.rig import NAMESPACE, Cluster, Shape, prove, sleep

pytestmark = [pytest.mark.timeout(300), pytest.mark.full]
GOOD = Shape(("sees-off",), hook=sleep(5), spread=True)


@pytest.fixture(scope="module")
def good(cluster: Cluster) -> Iterator[str]:
    cluster.deploy("good", GOOD)
    yield "good"
    cluster.remove("good")


@pytest.mark.parametrize("kind", ["scale", "delete", "evict", "drain"])
def test_a_pod_that_may_leave_in_peace_loses_nothing(
    kind: str, good: str, cluster: Cluster, tmp_path: Path, keep: Callable[..., None]
) -> None:
    if kind == "drain" and len(cluster.nodes()) < 2:
        pytest.skip("a drain needs two nodes: K8S_NODES=2")
    # A second scale-down would take the pod that the first one's end brought: no kept-alive connection leads to it yet.
    times = 1 if kind == "scale" else 2
    flags = ("--disrupt", kind, "--rollouts", str(times), "--qps", "300", "--path", "/50")
    outcome = prove(f"deployment/{good}", tmp_path, *flags)
    keep(f"disrupt-{kind}", f"drains, preStop sleep 5: {kind}", outcome)
    assert (outcome.verdict, outcome.proof["failed"]) == ("PROVEN", 0), outcome.fallen
    assert outcome.proof["disruption"] == kind
    assert f"{times} {kind}{'s' * (times > 1)}" in outcome.proof["sentence"]
    assert cluster.kubectl("get", f"deployment/{good}", "-o", "jsonpath={.spec.replicas}") == "3"
    assert "true" not in cluster.kubectl("get", "nodes", "-o", "jsonpath={.items[*].spec.unschedulable}")


def test_a_forced_deletion_takes_the_object_at_once_and_is_told_under_its_own_name(
    good: str, tmp_path: Path, keep: Callable[..., None]
) -> None:
    """On 1.34 the kubelet still stops the containers with the pod's own grace and hook: the endpoint is gone before."""
    outcome = prove(
        f"deployment/{good}", tmp_path, "--disrupt", "kill", "--rollouts", "2", "--qps", "300", "--path", "/50"
    )
    keep("disrupt-kill", "drains, preStop sleep 5: kill (the object deleted with grace 0)", outcome)
    assert "2 kills" in outcome.proof["sentence"]
    assert outcome.verdict in {"PROVEN", "FAILED"}, outcome.fallen
    assert ("LD999", "LD999") not in outcome.causes


def test_a_node_that_gives_less_notice_than_the_pod_needs_is_another_scenario(
    cluster: Cluster, tmp_path: Path, keep: Callable[..., None]
) -> None:
    """Case C83: proven for rollouts; a node's own deadline (here 2 s) cuts the grace, and the verdict is another."""
    cluster.deploy("notice", Shape(("sees-off",), hook=sleep(5), grace=30))
    flags = ("--rollouts", "1", "--qps", "100", "--path", "/4000")
    try:
        rolled = prove("deployment/notice", tmp_path / "rollout", *flags)
        pods = cluster.kubectl("get", "pods", "-l", "app=notice", "-o", "jsonpath={.items[0].metadata.name}")
        line = f"kubectl -n {NAMESPACE} delete pod {pods} --grace-period=2 --wait=false"
        outcome = prove("deployment/notice", tmp_path / "notice", "--disrupt-command", line, *flags)
    finally:
        cluster.remove("notice")
    keep("disrupt-notice-0", "drains, preStop sleep 5, requests of 4 s: rollout", rolled)
    keep("disrupt-notice", "the same on a node that gives 2 s", outcome)
    assert rolled.verdict == "PROVEN", rolled.fallen
    assert outcome.verdict == "FAILED", outcome.fallen
    assert "rollout" not in outcome.proof["sentence"]
    assert outcome.causes == {("LD102", "LD904")}


@pytest.mark.parametrize(
    ("name", "shape", "verdict"),
    [
        ("ds", Shape(kind="DaemonSet"), "FAILED"),
        ("dsd", Shape(kind="DaemonSet", hook=sleep(5), strategy={
            "type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}), "PROVEN"),
    ],
)  # fmt: skip
def test_a_daemon_set(
    name: str, shape: Shape, verdict: str, cluster: Cluster, tmp_path: Path, keep: Callable[..., None]
) -> None:
    cluster.deploy(name, shape)
    try:
        outcome = prove(f"daemonset/{name}", tmp_path, "--rollouts", "1", "--qps", "200", "--path", "/50")
    finally:
        cluster.remove(name, "daemonset")
    keep(name, f"DaemonSet, {'preStop sleep 5, maxSurge 1' if verdict == 'PROVEN' else 'drains'}", outcome)
    assert outcome.verdict == verdict, outcome.fallen
    assert ("LD999", "LD999") not in outcome.causes
