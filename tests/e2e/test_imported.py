"""Another tool's load against a real cluster: its records are laid on the rollouts that lameduck makes and watches."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.e2e.rig import Cluster, Shape, prove, sleep
from tests.e2e.rows import NO_DELAY

pytestmark = [pytest.mark.timeout(300), pytest.mark.full]
CALLER = Path(__file__).parents[1] / "proving" / "servers" / "caller.py"
"""Writes as JMeter does, at so many requests a second."""


@pytest.mark.parametrize(("name", "hook"), [("clean", sleep(5)), ("lossy", None)])
def test_what_another_tool_met_is_judged_by_what_became_of_the_pods(
    name: str, hook: dict[str, object] | None, cluster: Cluster, tmp_path: Path, keep: Callable[..., None]
) -> None:
    cluster.deploy("imported", Shape(("sees-off",), hook=hook))
    load = f"{sys.executable} {CALLER} {{host}} {{port}} {{out}} 150"
    try:
        flags = ("--import", "jmeter", "--load-command", load, "--qps", "100", "--rollouts", "1")
        outcome = prove("deployment/imported", tmp_path, *flags)
    finally:
        cluster.remove("imported")
    keep(f"imported-{name}", f"drains, {'preStop sleep 5' if hook else 'no preStop'}; load by another tool", outcome)
    if hook:
        assert (outcome.verdict, outcome.proof["failed"]) == ("PROVEN", 0), outcome.fallen
    else:
        assert outcome.verdict == "FAILED"
        assert NO_DELAY in outcome.causes
