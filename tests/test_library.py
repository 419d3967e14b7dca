"""`lameduck.prove` from Python: the documented example runs, options mean what the command line's do."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.proving.brisk import zoo

import lameduck
from lameduck import library
from lameduck.core.instants import SECOND
from lameduck.core.path import Kind
from lameduck.core.plan import DisruptionPlan, Plan, TrafficPlan
from lameduck.local.spec import LocalSpec

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "library.md").read_text("utf-8")

MANIFEST = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: shop}
spec:
  replicas: 2
  selector: {matchLabels: {app: shop}}
  template:
    metadata: {labels: {app: shop}}
    spec:
      terminationGracePeriodSeconds: 7
      containers:
        - name: web
          image: shop
          ports: [{containerPort: 8080}]
          env: [{name: PORT, value: "8080"}]
          readinessProbe: {httpGet: {path: /20, port: 8080}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: shop}
spec:
  selector: {app: shop}
  ports: [{port: 80, targetPort: 8080}]
"""


@pytest.mark.rollout
def test_the_documented_pytest_example_passes(tmp_path: Path) -> None:
    example = PAGE.split("```python\n")[1].split("```")[0]
    (tmp_path / "test_rollout.py").write_text(example)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    environment = {"PATH": "/usr/bin:/bin", "XDG_STATE_HOME": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment, check=False)
    busy = re.search(
        r": 0 of [\d,]+ requests were lost, but that proves nothing yet", done.stdout
    )  # a machine too busy
    assert busy or "1 passed" in done.stdout, done.stdout + done.stderr


@pytest.mark.rollout
def test_a_manifest_is_proven_within_an_event_loop_with_a_command_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "shop.yaml").write_text(MANIFEST)
    seen: list[str] = []

    async def scene() -> lameduck.Proof:
        return await lameduck.prove_async(
            tmp_path / "shop.yaml",
            command=zoo("drains"),
            rollouts=0,
            qps=110,
            path="/20",
            duration=1,
            run_dir=tmp_path / "run",
            watch=lambda progress: seen.append(progress.phase),
        )

    proof = asyncio.run(scene())
    assert (proof.verdict, proof.failed) == (lameduck.Verdict.INCONCLUSIVE, 0)
    assert proof.requests > 200
    assert {"starting", "baseline"} <= set(seen)
    assert (tmp_path / "run" / "run.db").is_file()
    assert proof.run["folder"] == str(tmp_path / "run")


def test_importing_it_imports_nothing_else() -> None:
    code = (
        "import sys, lameduck; before = set(sys.modules); assert not {m for m in before if m.startswith('lameduck.')};"
        "assert 'prove' in dir(lameduck); lameduck.prove; assert 'lameduck.library' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    with pytest.raises(AttributeError, match="no attribute 'disprove'"):
        _ = lameduck.disprove  # type: ignore[attr-defined]


def test_the_package_is_typed_and_says_the_same_in_three_places() -> None:
    package = ROOT / "src" / "lameduck"
    assert (package / "py.typed").exists()
    stub = (package / "__init__.pyi").read_text("utf-8")
    assert sorted(library.__all__) == sorted(lameduck._OFFERED)
    assert all(f"import {name} as {name}\n" in stub for name in lameduck._OFFERED)
    assert all(hasattr(lameduck, name) for name in lameduck.__all__)


def test_the_page_names_every_option() -> None:
    assert [name for name in library.Options.__annotations__ if f"`{name}`" not in PAGE] == []


def said(**options: Any) -> LocalSpec:
    spec = LocalSpec(command=("x",), grace=9 * SECOND, env={"A": "1"})
    return library._over(spec, options, Plan(TrafficPlan(), DisruptionPlan()))


def test_options_are_laid_over_the_workload() -> None:
    spec = said(grace=2.5, pre_stop_exec=["sleep", "1"], via="slow-lb:120", env={"B": "2"}, replicas=7, max_surge="50%")
    assert (spec.grace, spec.pre_stop_exec, spec.replicas) == (2_500_000_000, ("sleep", "1"), 7)
    assert (spec.via.kind, spec.via.deregistration, spec.max_surge) == (Kind.SLOW_LB, 120 * SECOND, "50%")
    assert spec.env == {"A": "1", "B": "2"}
    assert said().grace == 9 * SECOND


def test_traffic_options_are_the_plans() -> None:
    plan = library._traffic(
        {"qps": 7, "lanes": ["new"], "method": "POST", "body": b"x", "headers": {"A": "b"}, "expect_status": [200, 404]}
    )
    (shape,) = plan.requests
    assert (plan.rate, [lane.value for lane, _ in plan.lanes], shape.method) == (7, ["new"], "POST")
    assert (shape.headers, shape.expect_status) == ((("A", "b"),), (range(200, 201), range(404, 405)))


@pytest.mark.parametrize(
    ("target", "options", "says"),
    [
        (["no-such-command"], {}, "no such command"),
        ("python app.py", {}, "a command is a list of words, as in"),
        ("nothing.yaml", {}, "there is no file or folder"),
        (["true"], {"replicas": 0}, "0 replicas"),
        (["true"], {"qps": 0}, "qps is a number above 0"),
        (["true"], {"lanes": "new"}, "lanes is a list"),
        (["true"], {"lanes": []}, "lanes is a list"),
        (["true"], {"via": "dns"}, "via is service, ingress"),
        (["true"], {"disrupt": "reboot"}, "disrupt is rollout"),
        (["true"], {"rollouts": -1}, "rollouts is 0"),
        (["true"], {"command": ["x"]}, "command goes with a manifest"),
        (["true"], {"stop_signal": "SOFTLY"}, "stop_signal is a signal such as SIGQUIT"),
        (["true"], {"replica": 3}, "no option 'replica'"),
        (["true"], {"pre_stop_sleep": 99}, "does not fit into a grace period"),
    ],
)
def test_what_cannot_be_asked_is_refused_in_a_sentence(target: Any, options: dict[str, Any], says: str) -> None:
    with pytest.raises(lameduck.UsageError, match=says):
        lameduck.prove(target, **options)  # type: ignore[arg-type]
