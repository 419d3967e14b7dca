"""The demo's acts: they are what their manifests say, lint sees what a proof sees, and the last one is played."""

from __future__ import annotations

import itertools
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.manifests.workbench import found_in
from tests.proving.brisk import clean

from lameduck.cli.demo import unexpected
from lameduck.core.finding import Confidence
from lameduck.core.instants import SECOND
from lameduck.core.plan import DisruptionPlan, Plan
from lameduck.core.proof import Verdict
from lameduck.demo.acts import ACTS, PORT, READY_PATH, Act, changes, environment, files, missing, traffic
from lameduck.local.cluster import LocalCluster
from lameduck.local.spec import LocalSpec
from lameduck.proving import prove


def pod_spec(act: Act) -> dict[str, Any]:
    deployment = yaml.safe_load(files(act)["deployment.yaml"].read_text())
    spec: dict[str, Any] = deployment["spec"]["template"]["spec"]
    assert deployment["spec"]["replicas"] == act.replicas
    return spec


@pytest.mark.parametrize("act", ACTS, ids=lambda act: f"act {act.number}")
def test_what_is_played_is_what_the_manifest_says(act) -> None:
    spec = pod_spec(act)
    (container,) = spec["containers"]
    sleep = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
    said = {one["name"]: one["value"] for one in container["env"] if "value" in one}
    assert spec["terminationGracePeriodSeconds"] == act.grace_seconds
    assert sleep == act.pre_stop_sleep_seconds
    assert said == dict(act.variables)
    assert container["ports"][0]["containerPort"] == PORT
    assert container["readinessProbe"]["httpGet"]["path"] == READY_PATH


@pytest.mark.parametrize("act", ACTS, ids=lambda act: f"act {act.number}")
def test_the_image_starts_what_is_played(act) -> None:
    dockerfile = files(act)["Dockerfile"].read_text()
    (command,) = re.findall(r'^CMD \["(.*)"\]$', dockerfile, re.MULTILINE)
    words = command.split('", "')
    assert [Path(word).name for word in act.command[1:]] == [Path(word).name for word in words[1:]]
    copied = [word for line in re.findall(r"^COPY (.*) \.$", dockerfile, re.MULTILINE) for word in line.split()]
    assert set(copied) == {name for name in files(act) if name.endswith((".sh", ".py"))}


def test_an_act_keeps_only_what_differs() -> None:
    for before, act in itertools.pairwise(ACTS):
        earlier = files(before)
        for file in act.folder.iterdir():
            assert file.name not in earlier or file.read_text() != earlier[file.name].read_text(), file
        assert changes(act)


def codes_in(texts: dict[str, str]) -> set[str]:
    return {finding.defect.code for finding in found_in(texts, confidence=Confidence.LIKELY)}


def texts_of(act: Act) -> dict[str, str]:
    """The act's files, with the Service of the first."""
    return {name: file.read_text() for name, file in files(act).items()}


@pytest.mark.parametrize(
    ("number", "codes"), [(1, {"LD101"}), (2, {"LD101", "LD401"}), (3, {"LD101"}), (4, set()), (5, set())]
)
def test_lint_has_said_so_before(number, codes) -> None:
    assert codes_in(texts_of(ACTS[number - 1])) == codes


def test_a_layer_that_the_manifest_does_not_mention_is_not_taken_for_granted() -> None:
    texts = texts_of(ACTS[4])
    texts["deployment.yaml"] = texts["deployment.yaml"].replace("LAMEDUCK_MOST", "SOMETHING")
    assert codes_in(texts) == {"LD101"}


@pytest.mark.rollout
def test_the_last_act_loses_nothing_without_a_hook() -> None:
    if absent := missing():
        pytest.skip(f"the demo needs {', '.join(absent)}")
    act = ACTS[4]
    spec = LocalSpec(
        command=act.command,
        replicas=act.replicas,
        port=PORT,
        ready_path=READY_PATH,
        grace=act.grace_seconds * SECOND,
        pre_stop_sleep=None,
        env=environment(act),
    )
    plan = Plan(replace(traffic(), rate=200.0, duration=SECOND), DisruptionPlan(times=1), baseline=2 * SECOND)
    proof = prove(lambda observe, folder: LocalCluster(replace(spec, run_dir=folder), observe), plan)
    assert clean(proof), proof.sentence
    assert proof.verdict is Verdict.INCONCLUSIVE or unexpected(act, proof) == ""
