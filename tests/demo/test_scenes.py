"""The stories as they are played on a real cluster: what is applied is what the acts say."""

from __future__ import annotations

import json
import re

import pytest

from lameduck.cli import main
from lameduck.demo import acts
from lameduck.demo.scenes import LIGHT4J, SERVER, container, named, scenes, service


@pytest.mark.parametrize("story", ["light4j", "prediction"])
def test_every_scene_but_the_first_shows_what_changed(story: str) -> None:
    told = scenes(story)
    assert [scene.number for scene in told] == list(range(1, len(told) + 1))
    assert told[0].diff == ""
    for scene in told[1:]:
        assert re.search(r"^[+-][^+-]", scene.diff, re.MULTILINE), scene.title


def test_the_framework_s_scenes_start_what_is_in_their_image() -> None:
    dockerfile = (LIGHT4J / "Dockerfile").read_text()
    assert f"CMD {json.dumps(list(SERVER))}" in dockerfile
    (copied,) = re.findall(r"^COPY (start.*) /srv/$", dockerfile, re.MULTILINE)
    for scene in scenes("light4j"):
        command = container(scene.deployment)["command"]
        assert command == list(SERVER) or (command[0] == "bash" and command[1].removeprefix("/srv/") in copied.split())
        assert not scene.script or " ".join(SERVER[3:]) in scene.script


def test_only_the_last_scenes_of_the_framework_have_a_pre_stop() -> None:
    assert ["lifecycle" in container(scene.deployment) for scene in scenes("light4j")] == [False] * 4 + [True] * 2


def test_the_prediction_service_is_played_with_the_acts_own_manifests() -> None:
    for scene, act in zip(scenes("prediction"), acts.ACTS, strict=True):
        assert (scene.title, scene.rollouts) == (act.title, act.rollouts)
        grace = scene.deployment["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
        assert grace == act.grace_seconds
        words = container(scene.deployment)["command"]
        assert [word.rpartition("/")[2] for word in words][1:] == [word.rpartition("/")[2] for word in act.command[1:]]


def test_a_registry_goes_in_front_of_every_image() -> None:
    assert {scene.image.partition(":")[0] for scene in scenes("light4j", "r.example/t/")} == {
        "r.example/t/lameduck-light4j"
    }


def test_a_scene_has_a_name_of_its_own_and_a_service_that_selects_it() -> None:
    made, front = named(scenes("light4j")[0].deployment, "prediction-1"), service("prediction-1")
    assert made["metadata"]["name"] == front["metadata"]["name"] == "prediction-1"
    assert made["spec"]["selector"]["matchLabels"] == front["spec"]["selector"]
    assert made["spec"]["template"]["metadata"]["labels"] == front["spec"]["selector"]


def test_the_acts_are_listed_without_any_cluster(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--cluster", "--list"]) == 0
    assert "light-4j 1.5.15" in capsys.readouterr().out
