"""Each scenario under its own name (case C83), and what a manifest's own words cost: the right defect for each."""

from dataclasses import replace
from pathlib import Path

import pytest
from tests.proving.brisk import BRISK, causes, clean, fallen, proved, zoo

from lameduck.core.exchange import Lane
from lameduck.core.instants import SECOND
from lameduck.core.plan import Disruption, RequestShape
from lameduck.core.podspec import ContainerSpec
from lameduck.core.probes import ProbeSpec
from lameduck.core.proof import Verdict
from lameduck.local.podplan import Process

pytestmark = [pytest.mark.rollout, pytest.mark.timeout(90)]
SLOW_START = replace(BRISK, start=(1_500, 1_500, 1_500))
NEW = {"lanes": ((Lane.NEW, 1.0),)}


@pytest.mark.parametrize("kind", [Disruption.EVICT])
def test_c83_a_verdict_names_its_scenario_and_holds_for_that_alone(tmp_path: Path, kind: Disruption) -> None:
    proof = proved(tmp_path, *zoo("lame"), disruption=kind)
    assert clean(proof) and proof.terminations == 1
    assert f"1 {kind.value}, new and kept-alive connections" in proof.sentence
    assert "rollout" not in proof.sentence


def test_c83_a_kill_gives_no_grace_to_a_server_that_is_proven_for_rollouts(tmp_path: Path) -> None:
    """A server that needs 3 s for its requests has 2 s: the least that a kubelet leaves."""
    slow = {**NEW, "requests": (RequestShape(path="/3000"),), "rate": 60.0, "timeout": 5 * SECOND}
    proof = proved(tmp_path, *zoo("drains"), disruption=Disruption.KILL, traffic=slow)
    assert proof.verdict is Verdict.FAILED
    assert "1 kill" in proof.sentence
    assert ("LD102", "LD904") in causes(proof)


def test_c83_a_node_that_gives_less_notice_than_the_pod_needs_is_another_scenario(tmp_path: Path) -> None:
    slow = {**NEW, "requests": (RequestShape(path="/3000"),), "rate": 60.0, "timeout": 5 * SECOND}
    leaves = {"disruption": Disruption.DELETE, "notice": 2 * SECOND, "pre_stop_sleep": 1}
    proof = proved(tmp_path, *zoo("drains"), **leaves, traffic=slow)
    assert proof.verdict is Verdict.FAILED
    assert "1 delete" in proof.sentence
    assert any("goes away in 2.00 s" in note for note in proof.notes)
    assert ("LD102", "LD904") in causes(proof)


def test_a_crash_is_no_fault_of_a_rollout_and_no_pre_stop_is_suggested(tmp_path: Path) -> None:
    proof = proved(tmp_path, *zoo("lame"), disruption=Disruption.CRASH)
    assert (proof.verdict, proof.rollouts_completed, proof.suggested_pre_stop) == (Verdict.FAILED, 1, None)
    assert causes(proof) <= {("LD902", "LD902"), ("LD917", "LD917")}
    assert causes(proof) & {("LD902", "LD902"), ("LD917", "LD917")}


def test_a_reload_that_ends_nothing_is_proven_over_its_own_time(tmp_path: Path) -> None:
    reload = {"disruption": Disruption.RELOAD, "disrupt_command": ("/bin/sh", "-c", "sleep 0.5")}
    proof = proved(tmp_path, *zoo("lame"), **reload)
    assert (proof.failed, proof.rollouts_completed) == (0, 1)
    assert "no pod was to end" in proof.sentence and proof.exposed_requests > 300


@pytest.mark.parametrize(
    ("workload", "cause"),
    [
        ({"recreate": True, "replicas": 1, "timings": SLOW_START}, ("LD201", "LD901")),
        ({"kind": "DaemonSet", "recreate": True, "replicas": 1, "timings": SLOW_START}, ("LD207", "LD901")),
        ({"kind": "StatefulSet", "replicas": 1, "timings": SLOW_START}, ("LD208", "LD901")),
    ],
)
def test_a_gap_has_the_name_of_the_kind_that_leaves_it(
    tmp_path: Path, workload: dict[str, object], cause: tuple[str, str]
) -> None:
    proof = proved(tmp_path, *zoo("drains"), traffic=NEW, **workload)
    assert proof.verdict is Verdict.FAILED
    assert cause in causes(proof)


def _without_probe(behaviour: str, **more: object) -> dict[str, object]:
    process = Process(zoo(behaviour), (("PORT", "8080"),))
    return {
        "containers": (ContainerSpec("web"),),
        "processes": {"web": process},
        "serving": "web",
        "port": 8080,
        **more,
    }


def test_a_manifest_without_a_readiness_probe_gets_none_and_serves_before_it_listens(tmp_path: Path) -> None:
    proof = proved(tmp_path, traffic=NEW, replicas=1, pre_stop_sleep=4, **_without_probe("listens-late"))
    assert proof.verdict is Verdict.FAILED
    assert causes(proof) == {("LD301", "LD910")}


def test_unready_addresses_are_blamed_for_what_they_publish_and_a_pre_stop_is_no_cure(tmp_path: Path) -> None:
    ready = ContainerSpec("web", readiness=ProbeSpec())
    asked = {**_without_probe("drains"), "containers": (ready,), "publish_not_ready": True, "pre_stop_sleep": 2}
    proof = proved(tmp_path, traffic=NEW, **asked)
    assert proof.verdict is Verdict.FAILED
    assert ("LD601", "LD901") in causes(proof)
    assert not {code for code, _ in causes(proof)} & {"LD101", "LD109"}


def test_c75_a_client_that_resolved_once_keeps_a_dead_endpoint_and_no_grace_helps(tmp_path: Path) -> None:
    traffic = {**NEW, "connect_timeout": SECOND // 2, "rate": 60.0, "duration": 9 * SECOND}
    proof = proved(tmp_path, *zoo("drains"), headless=True, resolve="once", replicas=1, traffic=traffic)
    assert proof.verdict is Verdict.FAILED
    assert ("LD607", "LD914") in causes(proof)
    assert proof.suggested_pre_stop is None
    (finding,) = [each for each in proof.findings if each.defect.code == "LD607"]
    assert finding.fix is None


def test_clients_that_ask_the_dns_each_time_are_told_at_once(tmp_path: Path) -> None:
    proof = proved(tmp_path, *zoo("lame"), headless=True)
    assert proof.failed == 0
    assert (proof.lag.maximum or 0) < SECOND // 5 or fallen(proof)
