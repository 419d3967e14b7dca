"""What was changed is written down first, put back afterwards, and by another process after a crash."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lameduck.cli import main
from lameduck.core.plan import Disruption
from lameduck.kube.api import ApiError, Json, Unreachable
from lameduck.kube.disrupting import Disruptor
from lameduck.kube.restoring import Debt, Ledger, cordon_debt, job_debt, left_behind, replicas_debt
from lameduck.kube.workload import ANNOTATION, Target


class Api:
    """Writes down what it is asked, in the order of things; ``fails`` by URL."""

    def __init__(self, ledger: Path) -> None:
        self.ledger = ledger
        self.asked: list[tuple[str, str, Any, bool]] = []
        self.fails: dict[str, Exception] = {}
        self.annotations: dict[str, str] = {}
        self.context = type("Context", (), {"name": "kind-test", "kubeconfig": "/k"})()

    async def call(self, method: str, url: str, body: Any = None, **_: Any) -> Json:
        self.asked.append((method, url, body, self.ledger.exists()))
        if url in self.fails:
            raise self.fails[url]
        return {}

    async def patch(self, resource: str, _namespace: str, name: str, body: Json, *_: str) -> Json:
        self.asked.append(("PATCH", f"{resource}/{name}", body, self.ledger.exists()))
        for key, value in body.get("spec", {}).get("template", {}).get("metadata", {}).get("annotations", {}).items():
            self.annotations = {} if value is None else {key: value}
        return {}

    async def get(self, *_: str, **__: str) -> Json:
        return {"spec": {"template": {"metadata": {"annotations": dict(self.annotations)}}}}


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "ledger.json")


def pod(name: str, node: str = "node-1") -> Json:
    return {"metadata": {"name": name}, "spec": {"nodeName": node}}


def do(kind: Disruption, ledger: Ledger, *pods: Json, replicas: int = 3) -> tuple[Api, list[str]]:
    api = Api(ledger.file)
    disruptor = Disruptor(api, Target("deployments", "shop", "prod"), ledger)  # type: ignore[arg-type]
    return api, asyncio.run(disruptor.do(kind, pods, replicas))


def test_the_replicas_are_on_the_disk_before_they_are_changed(ledger: Ledger) -> None:
    api, going = do(Disruption.SCALE, ledger, pod("a"))
    assert going == []
    (asked,) = api.asked
    assert asked == ("PATCH", "/apis/apps/v1/namespaces/prod/deployments/shop/scale", {"spec": {"replicas": 2}}, True)
    asyncio.run(ledger.settle(api))  # type: ignore[arg-type]
    assert api.asked[-1][2] == {"spec": {"replicas": 3}}
    assert not ledger.file.exists()


def test_a_single_replica_is_scaled_up_first_and_never_to_none(ledger: Ledger) -> None:
    api, _ = do(Disruption.SCALE, ledger, pod("a"), replicas=1)
    assert api.asked[0][2] == {"spec": {"replicas": 2}}


def test_the_node_is_on_the_disk_before_it_is_cordoned_and_only_its_pods_are_evicted(ledger: Ledger) -> None:
    api, going = do(Disruption.DRAIN, ledger, pod("a"), pod("b", "node-2"), pod("c"))
    assert going == ["a", "c"]
    cordon, *evictions = api.asked
    assert cordon == ("PATCH", "nodes/node-1", {"spec": {"unschedulable": True}}, True)
    assert [url.rsplit("/", 2)[-2:] for _, url, _, _ in evictions] == [["a", "eviction"], ["c", "eviction"]]


def test_each_other_disruption_is_one_call_about_the_oldest_pod(ledger: Ledger) -> None:
    for kind, method in ((Disruption.DELETE, "DELETE"), (Disruption.KILL, "DELETE"), (Disruption.EVICT, "POST")):
        api, going = do(kind, ledger, pod("old"), pod("young"))
        (asked,) = api.asked
        assert (asked[0], going) == (method, ["old"])
    assert not ledger.debts


def test_restarts_alternate_between_two_templates(ledger: Ledger) -> None:
    api = Api(ledger.file)
    disruptor = Disruptor(api, Target("deployments", "shop", "prod"), ledger)  # type: ignore[arg-type]
    values = []
    for _ in range(4):
        asyncio.run(disruptor.do(Disruption.ROLLOUT, [pod("a")], 3))
        values.append(api.annotations.get(ANNOTATION))
    assert values == ["on", None, "on", None]


def test_an_eviction_that_the_budget_refuses_is_asked_again(ledger: Ledger) -> None:
    api = Api(ledger.file)
    times = iter([ApiError(429, "TooManyRequests", "budget"), None])

    async def call(method: str, url: str, body: Any = None, **_: Any) -> Json:
        error = next(times)
        if error is not None:
            raise error
        return {}

    api.call = call  # type: ignore[method-assign]
    disruptor = Disruptor(api, Target("deployments", "shop", "prod"), ledger)  # type: ignore[arg-type]
    assert asyncio.run(disruptor.do(Disruption.DRAIN, [pod("a")], 3)) == ["a"]


def test_what_is_gone_needs_nothing_and_what_cannot_be_put_back_is_a_command(ledger: Ledger) -> None:
    api = Api(ledger.file)
    one = replicas_debt(api, "deployments", "prod", "shop", 3)  # type: ignore[arg-type]
    two, three = cordon_debt(api, "node-1"), job_debt(api, "prod", "lameduck-agents-1")  # type: ignore[arg-type]
    for debt in (one, two, three):
        ledger.owe(debt)
    api.fails = {one.url: Unreachable("no answer"), three.url: ApiError(404, "NotFound", "gone")}
    left = asyncio.run(ledger.settle(api))  # type: ignore[arg-type]
    assert left == ["kubectl --context kind-test -n prod scale deployment/shop --replicas=3"]
    assert [url for _, url, _, _ in api.asked] == [three.url, two.url, one.url]
    assert [each["url"] for each in json.loads(ledger.file.read_text())["debts"]] == [one.url]


def test_another_process_finds_what_a_killed_one_left_and_leaves_a_living_ones_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    script = (
        "from lameduck.kube.restoring import Debt, Ledger; import os, signal\n"
        "Ledger().owe(Debt('/k', 'kind-test', 'prod', '/url', {}, 'kubectl uncordon node-1'))\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    killed = subprocess.run([sys.executable, "-c", script], check=False)
    assert killed.returncode == -9
    Ledger().owe(Debt("/k", "kind-test", "prod", "/mine", {}, "mine"))
    ((found, _),) = list(left_behind())
    assert [debt.command for debt in found.debts] == ["kubectl uncordon node-1"]


def test_restore_prints_what_it_could_not_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    box = tmp_path / "lameduck" / "restore"
    box.mkdir(parents=True)
    debt = Debt(str(tmp_path / "gone"), "kind-test", "prod", "/url", {}, "kubectl uncordon node-1")
    kept = {name: getattr(debt, name) for name in Debt.__slots__}
    (box / "1.json").write_text(json.dumps({"pid": 2**22 + 1, "debts": [kept]}))
    assert main(["restore", "--dry-run"]) == 0
    assert capsys.readouterr().out == "kubectl uncordon node-1\n"
    assert main(["restore"]) == 4
    assert "not put back; please run: kubectl uncordon node-1" in capsys.readouterr().err
