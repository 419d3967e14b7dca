"""`lameduck inject`: the safe set comes in, everything else stays, and twice is once."""

from __future__ import annotations

import json

import pytest
import yaml

from lameduck.defects.injecting import Sidecar, inject
from lameduck.defects.linting import lint
from lameduck.manifests.project import Project
from lameduck.manifests.text import Text

LIST = """\
apiVersion: v1
items:
- apiVersion: apps/v1
  kind: Deployment
  metadata:
    name: web   # keep me
  spec:
    replicas: 3
    selector:
      matchLabels:
        app: web
    strategy:
      rollingUpdate:
        maxSurge: 25%
        maxUnavailable: 25%
      type: RollingUpdate
    template:
      metadata:
        labels:
          app: web
      spec:
        containers:
        - image: registry.example/web:1
          name: web
          ports:
          - containerPort: 8080
        terminationGracePeriodSeconds: 10
kind: List
"""


def injected(content: str, sidecar: Sidecar | None = None) -> str:
    text = Text("-", content)
    return inject(Project([text], lambda _: None), text, sidecar).text


def pod(content: str) -> dict:
    return next(yaml.safe_load_all(content))["items"][0]["spec"]["template"]["spec"]


def test_a_list_from_kubectl_gets_the_whole_set() -> None:
    after = injected(LIST)
    first, second = yaml.safe_load_all(after)
    deployment = first["items"][0]["spec"]
    assert deployment["strategy"]["rollingUpdate"] == {"maxSurge": "25%", "maxUnavailable": 0}
    spec = deployment["template"]["spec"]
    assert spec["containers"][0]["lifecycle"] == {"preStop": {"sleep": {"seconds": 5}}}
    assert spec["terminationGracePeriodSeconds"] == 30, "5 + 20 for a server nobody knows + 5"
    assert second["kind"] == "PodDisruptionBudget"
    assert second["spec"] == {"maxUnavailable": 1, "selector": {"matchLabels": {"app": "web"}}}


def test_every_line_that_is_not_of_the_set_stays_as_it_was() -> None:
    kept = set(LIST.splitlines()) - set(injected(LIST).splitlines())
    assert kept == {"        maxUnavailable: 25%", "        terminationGracePeriodSeconds: 10"}


@pytest.mark.parametrize("sidecar", [None, Sidecar("registry.example/lameduck-pod:1", "token")])
def test_injecting_twice_changes_nothing(sidecar: Sidecar | None) -> None:
    once = injected(LIST, sidecar)
    assert once != LIST
    assert injected(once, sidecar) == once


def test_the_sidecar_is_native_and_only_the_kubelet_knows_its_token() -> None:
    spec = pod(injected(LIST, Sidecar("registry.example/lameduck-pod:1", "secret")))
    (drain,) = spec["initContainers"]
    assert drain["restartPolicy"] == "Always"
    hook = spec["containers"][0]["lifecycle"]["preStop"]["httpGet"]
    assert hook["httpHeaders"] == [{"name": "Lameduck-Token", "value": "secret"}]
    assert drain["args"][drain["args"].index("--listen") + 1] == str(hook["port"])
    assert drain["args"][drain["args"].index("--grace") + 1] == str(spec["terminationGracePeriodSeconds"])


def test_json_stays_json() -> None:
    text = Text("web.json", json.dumps(yaml.safe_load(LIST)))
    result = inject(Project([text], lambda _: None), text).text
    first = json.loads(result.partition("\n---\n")[0])
    assert first["items"][0]["spec"]["template"]["spec"]["containers"][0]["lifecycle"]


def test_jobs_are_left_alone() -> None:
    job = (
        "apiVersion: batch/v1\nkind: Job\nmetadata: {name: j}\nspec:\n  template:\n"
        "    spec: {containers: [{name: j, image: x}]}\n"
    )
    assert injected(job) == job


def test_what_was_injected_lints_clean() -> None:
    service = (
        "---\napiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {selector: {app: web}, ports: [{port: 80}]}\n"
    )
    text = Text("-", injected(LIST).rstrip("\n") + "\n" + service)
    codes = {one.defect.code for one in lint(Project([text], lambda _: None)).findings}
    assert codes == {"LD301"}, "a readiness probe is never invented"
