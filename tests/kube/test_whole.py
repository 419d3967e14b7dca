"""A whole proof on a cluster in miniature: what is seen of each pod, and what blindness does to the verdict."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import yaml
from tests.kube.minicluster import MiniCluster

from lameduck.core.instants import MILLISECOND, SECOND
from lameduck.core.plan import DisruptionPlan, Plan, TrafficPlan
from lameduck.core.proof import Gate, Proof, Verdict
from lameduck.kube.cluster import KubeCluster, Wish
from lameduck.kube.connect import find_context
from lameduck.kube.restoring import Ledger
from lameduck.kube.workload import parse_target
from lameduck.proving import prove_async
from lameduck.runfile import read

Fault = Callable[[MiniCluster], Awaitable[None]]


async def nothing(cluster: MiniCluster) -> None:
    return


@pytest.fixture
def proven(tmp_path: Path) -> Callable[[Fault], Proof]:
    """Proves two restarts, the first of which goes on while a fault happens."""

    async def main(fault: Fault) -> Proof:
        async with MiniCluster() as cluster:
            file = tmp_path / "kubeconfig"
            file.write_text(yaml.safe_dump({
                "current-context": "kind-mini",
                "contexts": [{"name": "kind-mini", "context": {"cluster": "c", "user": "u", "namespace": "ns"}}],
                "clusters": [{"name": "c", "cluster": {"server": cluster.api}}],
                "users": [{"name": "u", "user": {"token": "t"}}],
            }))  # fmt: skip
            context = find_context(str(file))
            target = parse_target("deploy/shop", context.namespace)
            disruption = DisruptionPlan(times=2, deadline=20 * SECOND)
            wish = Wish(context, target, disruption, knock=False)
            traffic = TrafficPlan(rate=100, duration=SECOND)
            plan = Plan(traffic, disruption, settle=200 * MILLISECOND, baseline=SECOND, baseline_requests=50)

            async def break_it() -> None:
                while not cluster.tasks:
                    await asyncio.sleep(0.02)
                await asyncio.sleep(0.2)
                await fault(cluster)

            breaking = asyncio.create_task(break_it())
            ledger = Ledger(tmp_path / "ledger.json")
            proof = await prove_async(
                lambda observe, folder: KubeCluster(wish, observe, folder, ledger=ledger),
                plan,
                run_dir=tmp_path / "run",
            )
            await breaking
            return proof

    return lambda fault: asyncio.run(main(fault))


def gate(proof: Proof, name: str) -> Gate:
    return next(each for each in proof.gates if each.name == name)


def test_every_pod_that_goes_is_seen_from_its_deletion_to_its_end(
    proven: Callable[[Fault], Proof], tmp_path: Path
) -> None:
    proof = proven(nothing)
    assert (proof.failed, proof.rollouts_completed, proof.terminations) == (0, 2, 6)
    assert gate(proof, "every rollout observed to complete").held
    assert gate(proof, "nothing was missed").held
    assert gate(proof, "every termination was under load").held
    facts = read(tmp_path / "run").run.facts
    assert facts.details["service"] == "shop"
    assert yaml.safe_load(facts.details["manifest"])["metadata"]["name"] == "shop"


def test_a_watch_that_breaks_and_goes_on_misses_nothing(proven: Callable[[Fault], Proof]) -> None:
    async def drop(cluster: MiniCluster) -> None:
        cluster.drop()

    proof = proven(drop)
    assert (proof.rollouts_completed, proof.terminations) == (2, 6)
    assert gate(proof, "nothing was missed").held


def test_a_version_that_is_too_old_makes_a_proof_inconclusive(proven: Callable[[Fault], Proof]) -> None:
    async def forget(cluster: MiniCluster) -> None:
        cluster.forget()

    proof = proven(forget)
    assert (proof.failed, proof.rollouts_completed) == (0, 2)
    assert not gate(proof, "nothing was missed").held
    assert proof.verdict is Verdict.INCONCLUSIVE


def test_so_does_an_api_server_that_starts_anew_in_the_middle(proven: Callable[[Fault], Proof]) -> None:
    async def restart(cluster: MiniCluster) -> None:
        await cluster.restart(blind=0.5)

    proof = proven(restart)
    assert proof.rollouts_completed == 2
    fallen = gate(proof, "nothing was missed")
    assert not fallen.held
    assert "blind for" in fallen.detail
    assert proof.verdict is Verdict.INCONCLUSIVE
