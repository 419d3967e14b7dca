"""Preflight as a table: what is refused and why, what is only pointed out, and the least rights that it takes."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from lameduck.core.errors import EnvironmentFault, LameduckError, UsageError
from lameduck.core.instants import SECOND
from lameduck.core.plan import Disruption
from lameduck.kube.api import ApiError, Json
from lameduck.kube.preflight import Checked, check, rights_for, role
from lameduck.kube.workload import Target, matches, rolled_out, stuck

TARGET = Target("deployments", "shop", "prod")


def container(**more: Any) -> Json:
    probe = {"httpGet": {"path": "/", "port": 8080}}
    return {"name": "app", "ports": [{"containerPort": 8080, "name": "http"}], "readinessProbe": probe, **more}


class World:
    """A namespace with one workload behind one Service, all well; tests change what they are about."""

    def __init__(self) -> None:
        self.template: Json = {"metadata": {"labels": {"app": "shop"}}, "spec": {"containers": [container()]}}
        self.workload: Json = {
            "metadata": {"name": "shop", "namespace": "prod"},
            "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "shop"}}, "template": self.template},
            "status": {},
        }
        port = {"port": 80, "targetPort": "http"}
        self.service: Json = {
            "metadata": {"name": "shop"},
            "spec": {"selector": {"app": "shop"}, "clusterIP": "10.0.0.7", "ports": [port]},
        }
        self.services = [self.service]
        self.pods = [self.pod(f"shop-{number}") for number in range(2)]
        self.pdbs: list[Json] = []
        self.hpas: list[Json] = []
        self.denied: set[str] = set()
        self.context = type("Context", (), {"name": "staging"})()

    @staticmethod
    def pod(name: str, ready: str = "True") -> Json:
        return {"metadata": {"name": name}, "status": {"conditions": [{"type": "Ready", "status": ready}]}}

    async def get(self, resource: str, _namespace: str = "", name: str = "", **_: str) -> Json:
        if name:
            if name != self.workload["metadata"]["name"]:
                raise ApiError(404, "NotFound", f"{name} not found")
            return copy.deepcopy(self.workload)
        items = {
            "services": self.services,
            "pods": self.pods,
            "poddisruptionbudgets": self.pdbs,
            "horizontalpodautoscalers": self.hpas,
            "deployments": [self.workload],
        }
        return {"items": items[resource]}

    async def call(self, _method: str, url: str, body: Any = None, **_: Any) -> Json:
        if url == "/version":
            return {"gitVersion": "v1.34.4"}
        asked = body["spec"]["resourceAttributes"]
        words = f"{asked['verb']} {asked['resource']}" + (f"/{asked['subresource']}" if "subresource" in asked else "")
        return {"status": {"allowed": words not in self.denied}}

    def check(self, disruption: Disruption = Disruption.ROLLOUT, times: int = 2, **more: Any) -> Checked:
        target = more.pop("target", TARGET)
        return asyncio.run(check(self, target, disruption, times, **more))  # type: ignore[arg-type]


Change = Callable[[World], object]


def paused(world: World) -> None:
    world.workload["spec"]["paused"] = True


def on_delete(world: World) -> None:
    world.workload["spec"]["strategy"] = {"type": "OnDelete"}


def partitioned(world: World) -> None:
    world.workload["spec"]["updateStrategy"] = {"rollingUpdate": {"partition": 2}}


def nothing_runs(world: World) -> None:
    world.workload["spec"]["replicas"] = 0


def not_ready(world: World) -> None:
    world.pods[1] = world.pod("shop-1", ready="False")


def one_going(world: World) -> None:
    world.pods.append({**world.pod("shop-9"), "metadata": {"name": "shop-9", "deletionTimestamp": "now"}})


def no_service(world: World) -> None:
    world.service["spec"]["selector"] = {"app": "search"}


def two_services(world: World) -> None:
    world.services.append({**world.service, "metadata": {"name": "shop-admin"}})


def two_ports(world: World) -> None:
    world.service["spec"]["ports"].append({"port": 9000, "name": "admin"})


def no_budget(world: World) -> None:
    selector = {"matchExpressions": [{"key": "app", "operator": "In", "values": ["shop"]}]}
    world.pdbs.append(
        {"metadata": {"name": "shop"}, "spec": {"selector": selector}, "status": {"disruptionsAllowed": 0}}
    )


def scaled_by_an_hpa(world: World) -> None:
    reference = {"kind": "Deployment", "name": "shop"}
    world.hpas.append({"metadata": {"name": "shop"}, "spec": {"scaleTargetRef": reference}})


def may_not_patch(world: World) -> None:
    world.denied.add("patch deployments")


REFUSED: list[tuple[Change, Disruption, type[LameduckError], str]] = [
    (paused, Disruption.ROLLOUT, UsageError, "is paused: kubectl rollout resume deployment/shop -n prod"),
    (on_delete, Disruption.ROLLOUT, UsageError, "OnDelete: a rollout replaces no pod"),
    (partitioned, Disruption.NONE, UsageError, "partition 2"),
    (nothing_runs, Disruption.ROLLOUT, UsageError, "has no replicas"),
    (not_ready, Disruption.ROLLOUT, EnvironmentFault, "1 of 2 pods ready"),
    (one_going, Disruption.ROLLOUT, EnvironmentFault, "1 terminating"),
    (no_service, Disruption.ROLLOUT, UsageError, "no Service selects its pods"),
    (two_services, Disruption.ROLLOUT, UsageError, "several Services select its pods: shop, shop-admin"),
    (two_ports, Disruption.ROLLOUT, UsageError, "several ports: 80, admin 9000"),
    (no_budget, Disruption.EVICT, EnvironmentFault, "allows no eviction"),
    (no_budget, Disruption.DRAIN, EnvironmentFault, "allows no eviction"),
    (scaled_by_an_hpa, Disruption.SCALE, UsageError, "owns the replicas"),
    (may_not_patch, Disruption.ROLLOUT, EnvironmentFault, "may not patch deployments in namespace prod"),
    (lambda _: None, Disruption.CRASH, UsageError, "on this machine"),
]


@pytest.mark.parametrize(("change", "disruption", "error", "words"), REFUSED)
def test_what_makes_a_proof_impossible_is_refused_with_what_to_do(
    change: Change, disruption: Disruption, error: type[LameduckError], words: str
) -> None:
    world = World()
    change(world)
    with pytest.raises(error, match=words):
        world.check(disruption)


def test_a_workload_that_is_well_is_described_as_it_was_found() -> None:
    world = World()
    world.template["spec"]["terminationGracePeriodSeconds"] = 45
    world.template["spec"]["containers"] = [
        {"name": "proxy"},
        container(
            lifecycle={"preStop": {"exec": {"command": ["sh", "-c", "sleep 7"]}}},
            env=[{"name": "PASSWORD", "value": "secret"}],
        ),
    ]
    found = world.check()
    shape = found.shape
    assert (shape.container, shape.port, shape.grace, shape.delay) == ("app", 8080, 45 * SECOND, 7 * SECOND)
    assert (found.replicas, found.version, found.selector) == (2, "v1.34.4", "app=shop")
    kept = yaml.safe_load(found.details["manifest"])
    assert kept["kind"] == "Deployment"
    assert "env" not in kept["spec"]["template"]["spec"]["containers"][1]


NOTED: list[tuple[Change, Disruption, int, str]] = [
    (no_budget, Disruption.ROLLOUT, 2, "PodDisruptionBudget shop allows 0 evictions now; rollouts do not ask it"),
    (scaled_by_an_hpa, Disruption.ROLLOUT, 2, "HorizontalPodAutoscaler shop may change the replicas"),
    (paused, Disruption.DELETE, 2, "is paused: its pods are replaced, its rollouts are not"),
    (lambda w: w.service["spec"].update(sessionAffinity="ClientIP"), Disruption.ROLLOUT, 2, "all go to one pod"),
    (lambda w: w.service["spec"].update(publishNotReadyAddresses=True), Disruption.ROLLOUT, 2, "ready or not"),
    (lambda w: w.service["spec"].update(internalTrafficPolicy="Local"), Disruption.ROLLOUT, 2, "sender's own node"),
    (
        lambda w: w.template["spec"]["containers"][0].pop("readinessProbe"),
        Disruption.ROLLOUT,
        2,
        "app has no readiness probe",
    ),
    (lambda _: None, Disruption.ROLLOUT, 5, "5 restarts are 5 revisions, and deployment/shop keeps 10"),
    (lambda w: w.workload["spec"].update(revisionHistoryLimit=4), Disruption.ROLLOUT, 2, "keeps 4"),
    (lambda _: None, Disruption.ROLLOUT, 3, "ends with the annotation lameduck.dev/restart"),
    (lambda w: w.denied.add("get pods/log"), Disruption.ROLLOUT, 2, "not allowed, so not done: get pods/log"),
]


@pytest.mark.parametrize(("change", "disruption", "times", "words"), NOTED)
def test_what_a_reader_must_know_is_a_note(change: Change, disruption: Disruption, times: int, words: str) -> None:
    world = World()
    change(world)
    assert any(words in note for note in world.check(disruption, times).notes)


def test_an_even_number_of_restarts_of_a_workload_with_room_says_nothing() -> None:
    assert World().check(times=2).notes == ()


def test_an_odd_number_ends_clean_where_an_earlier_run_left_the_annotation() -> None:
    world = World()
    world.template["metadata"]["annotations"] = {"lameduck.dev/restart": "on"}
    (note,) = world.check(times=3).notes
    assert "the first restart removes it" in note


def test_a_name_that_is_not_there_is_answered_with_those_that_are() -> None:
    with pytest.raises(UsageError, match="no deployment 'shp' in namespace prod; there: shop"):
        World().check(target=Target("deployments", "shp", "prod"))


def test_the_role_in_the_refusal_is_the_one_that_is_missing_and_no_more() -> None:
    rights = rights_for(TARGET, Disruption.EVICT)
    rules = yaml.safe_load(role(TARGET, rights))["rules"]
    granted = {(verb, each["resources"][0]) for each in rules for verb in each["verbs"]}
    assert ("create", "pods/eviction") in granted
    assert not {right for right in granted if right[0] in {"patch", "delete"}}
    assert ("create", "jobs") not in granted
    inside = yaml.safe_load(role(TARGET, rights_for(TARGET, Disruption.EVICT, agents=True)))["rules"]
    assert {"create", "get", "delete"} == next(set(each["verbs"]) for each in inside if each["resources"] == ["jobs"])


def test_draining_needs_a_cluster_role_for_nodes() -> None:
    documents = list(yaml.safe_load_all(role(TARGET, rights_for(TARGET, Disruption.DRAIN))))
    assert [each["kind"] for each in documents] == ["Role", "ClusterRole"]
    assert documents[1]["rules"] == [{"apiGroups": [""], "resources": ["nodes"], "verbs": ["get", "patch"]}]


@pytest.mark.parametrize(
    ("selector", "chosen"),
    [
        (None, False),
        ({}, True),
        ({"matchLabels": {"app": "shop"}}, True),
        ({"matchLabels": {"app": "shop", "tier": "web"}}, False),
        ({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["shop"]}]}, False),
        ({"matchExpressions": [{"key": "app", "operator": "Exists"}]}, True),
        ({"matchExpressions": [{"key": "app", "operator": "DoesNotExist"}]}, False),
    ],
)
def test_label_selectors_choose_as_the_api_does(selector: Json | None, chosen: bool) -> None:
    assert matches(selector, {"app": "shop"}) is chosen


def status(**more: int) -> Json:
    base = {"observedGeneration": 2, "replicas": 3, "updatedReplicas": 3, "availableReplicas": 3}
    return {"metadata": {"generation": 2}, "spec": {"replicas": 3}, "status": {**base, **more}}


@pytest.mark.parametrize(
    ("workload", "resource", "over"),
    [
        (status(), "deployments", True),
        (status(observedGeneration=1), "deployments", False),
        (status(updatedReplicas=2), "deployments", False),
        (status(replicas=4), "deployments", False),
        (status(availableReplicas=2), "deployments", False),
        (status(readyReplicas=3), "statefulsets", True),
        ({**status(readyReplicas=3), "status": {"observedGeneration": 2, "readyReplicas": 3, "updateRevision": "b",
                                                "currentRevision": "a"}}, "statefulsets", False),
        (status(desiredNumberScheduled=2, updatedNumberScheduled=2, numberAvailable=2), "daemonsets", True),
        (status(desiredNumberScheduled=2, updatedNumberScheduled=1, numberAvailable=2), "daemonsets", False),
    ],
)  # fmt: skip
def test_a_rollout_is_over_when_its_controller_says_so(workload: Json, resource: str, over: bool) -> None:
    assert rolled_out(workload, resource) is over


def test_a_rollout_that_its_controller_gave_up_is_told_in_its_words() -> None:
    condition = {"type": "Progressing", "reason": "ProgressDeadlineExceeded", "message": "timed out progressing"}
    assert stuck({"status": {"conditions": [condition]}}) == "timed out progressing"
    assert not stuck(status())
