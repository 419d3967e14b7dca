"""`lameduck simulate`: a prediction, called one, of what was measured on a real cluster."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from tests.fidelity.compare import truth

from lameduck.cli import main

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "prediction-schema.json").read_text("utf-8"))


ALONE = ("--replicas", "1", "--max-surge", "0", "--max-unavailable", "1")


def predicted(tmp_path: Path, *words: str) -> dict[str, Any]:
    file = tmp_path / "prediction.json"
    assert main(["simulate", *words, "--json", str(file)]) == 0
    data: dict[str, Any] = json.loads(file.read_text("utf-8"))
    jsonschema.validate(data, SCHEMA)
    return data


def ways(data: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {way["via"]: way for way in data["ways"]}


def test_it_is_called_a_prediction_and_takes_no_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    predicted(tmp_path)  # imports
    began = time.process_time()
    data = predicted(tmp_path)
    assert time.process_time() - began < 1.0
    assert data["prediction"] is True
    assert "PREDICTION   not a proof" in capsys.readouterr().out


def test_the_smallest_pre_stop_of_each_way_is_the_measured_one(tmp_path: Path) -> None:
    """Measured: 2 s behind kube-proxy, 3 s behind Traefik; case C73: as long as the deregistration, and its grace."""
    found = ways(predicted(tmp_path))
    assert {via: way["minimal_pre_stop_seconds"] for via, way in found.items()} == {
        "service": 2, "ingress": 3, "slow-lb:120": 121,
    }  # fmt: skip
    assert [way["suggested_pre_stop_seconds"] for way in found.values()] == [3, 4, 121]
    assert "too small for it: 131 s would leave 10 s" in found["slow-lb:120"]["arithmetic"]


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("c/new", ("--stops", "0.05")),
        ("d1/new", ("--pre-stop-sleep", "1", "--stops", "0.05")),
        ("d2/new", ("--pre-stop-sleep", "2")),
        ("kc/new", ("--stops", "0.05")),
        ("kb/new", ("--stops", "0.01")),
        ("kd3/new", ("--pre-stop-sleep", "3")),
        ("i8/new", (*ALONE, "--pre-stop-sleep", "5", "--starts", "8")),
    ],
)  # fmt: skip
def test_what_it_predicts_is_within_a_factor_of_three_of_what_was_measured(
    tmp_path: Path, row: str, words: tuple[str, ...]
) -> None:
    via = "ingress" if row.startswith("k") else "service"
    (way,) = predicted(tmp_path, *words, "--via", via, "--qps", "500")["ways"]
    really = sum(truth()[row].kinds.values())
    lost = way["lost_new_connections_per_rollout"]["mean"]
    assert really / 3 <= lost <= really * 3 if really else lost == 0


@pytest.mark.parametrize("hook", [("--pre-stop-sleep", "5"), ("--pre-stop-takes", "5"), ("--pre-stop-sleep", "1"), ()])
def test_the_smallest_pre_stop_does_not_depend_on_the_one_that_is_there(tmp_path: Path, hook: tuple[str, ...]) -> None:
    (way,) = predicted(tmp_path, *hook, "--via", "service")["ways"]
    assert way["minimal_pre_stop_seconds"] == 2


def test_a_signal_that_is_never_heard_delays_like_a_pre_stop_and_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = predicted(tmp_path, "--deaf", "--grace", "5", "--via", "service")
    assert data["killed"] == data["terminations"] > 0
    assert data["ways"][0]["lost_new_connections_per_rollout"]["max"] == 0
    assert "never hears the stop" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--via", "nodeport"), "--via is service, ingress or slow-lb:SECONDS"),
        (("--pre-stop-sleep", "40"), "does not fit into a grace period"),
        (("--replicas", "0"), "0 replicas leave nothing to prove"),
        (("--starts", "-1"), "--starts is 0 to 3600 seconds"),
        (("--starts", "700"), "would never be ready"),
        (("--rollouts", "0"), "--rollouts is 1 to 1000"),
        (("--qps", "0"), "--qps is a number above 0"),
        (("--grace", "-3"), "--grace is 0 or more"),
    ],
)
def test_what_cannot_be_predicted_is_refused_in_a_line(
    words: tuple[str, ...], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["simulate", *words]) == 2
    assert says in capsys.readouterr().err
