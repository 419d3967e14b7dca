"""`lameduck inject`: the safe set comes in, everything else stays, and twice is once."""

from __future__ import annotations

import json

import pytest
import yaml

from lameduck.defects.injecting import inject
from lameduck.defects.linting import lint
from lameduck.defects.snippets import Sidecar
from lameduck.manifests.project import Project, Settings
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


DRAIN = Sidecar("registry.example/lameduck-pod:1", "secret")
INIT = {
    "a block list": "        initContainers:\n          - name: migrate   # first\n            image: x\n",
    "a list no deeper than its key": "        initContainers:\n        - image: x\n          name: migrate\n",
    "a flow list": "        initContainers: [{name: migrate, image: x}]\n",
    "a flow list over lines": "        initContainers: [\n          {name: migrate, image: x},\n        ]\n",
    "an empty list": "        initContainers: []\n",
    "nothing behind the key": "        initContainers:\n",
}


@pytest.mark.parametrize("eol", ["\n", "\r\n"], ids=["lf", "crlf"])
@pytest.mark.parametrize("written", INIT.values(), ids=INIT)
def test_the_sidecar_comes_behind_the_init_containers_that_are_there(written: str, eol: str) -> None:
    before = LIST.replace("        containers:\n", written + "        containers:\n").replace("\n", eol)
    after = injected(before, DRAIN)
    found = pod(after)["initContainers"]
    had = pod(before)["initContainers"] or []
    assert found[:-1] == had and found[-1]["name"] == "lameduck-drain"
    assert ("# first" in before) == ("# first" in after) and ("\r" in before) == ("\r" in after)
    assert after.count("\n") == after.count(eol) and injected(after, DRAIN) == after


def test_json_gets_the_sidecar_too() -> None:
    data = yaml.safe_load(LIST)
    data["items"][0]["spec"]["template"]["spec"]["initContainers"] = [{"name": "migrate", "image": "x"}]
    text = Text("web.json", json.dumps(data, indent=1))
    result = inject(Project([text], lambda _: None), text, DRAIN).text
    first = json.loads(result.partition("\n---\n")[0])
    names = [one["name"] for one in first["items"][0]["spec"]["template"]["spec"]["initContainers"]]
    assert names == ["migrate", "lameduck-drain"]


def test_one_sidecar_serves_all_containers_of_a_pod() -> None:
    two = "        - image: y\n          name: proxy\n          ports:\n          - containerPort: 8443\n"
    spec = pod(injected(LIST.replace("        terminationGrace", two + "        terminationGrace"), DRAIN))
    (drain,) = spec["initContainers"]
    assert [word for word in drain["args"] if word in {"8080", "8443"}] == ["8080", "8443"]
    hooks = [one["lifecycle"]["preStop"]["httpGet"]["port"] for one in spec["containers"]]
    assert hooks == [9190, 9190]


def test_the_sidecar_may_run_where_pods_are_restricted() -> None:
    (drain,) = pod(injected(LIST, DRAIN))["initContainers"]
    assert drain["securityContext"] == {
        "runAsNonRoot": True,
        "readOnlyRootFilesystem": True,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }


@pytest.mark.parametrize("there", ["*shared", "&shared [{name: migrate, image: x}]"])
def test_a_list_that_other_places_share_is_left_alone_and_said(there: str) -> None:
    first = "x: &shared [{name: migrate, image: x}]\n" if there == "*shared" else ""
    last = "" if there == "*shared" else "y: *shared\n"
    before = (
        first + LIST.replace("        containers:\n", f"        initContainers: {there}\n        containers:\n") + last
    )
    text = Text("-", before)
    result = inject(Project([text], lambda _: None), text, DRAIN)
    assert result.text.startswith(before) and "alias" in result.refused[0]


def test_a_sidecar_whose_token_is_unknown_is_not_asked() -> None:
    once = injected(LIST, DRAIN)
    hookless = yaml.safe_dump_all(
        [{**document, "items": [without_hook(one) for one in document["items"]]} if "items" in document else document
         for document in yaml.safe_load_all(once)]
    )  # fmt: skip
    text = Text("-", hookless)
    result = inject(Project([text], lambda _: None), text, DRAIN)
    assert result.text == hookless and "lameduck-drain already" in result.refused[0]


def without_hook(workload: dict) -> dict:
    for container in workload["spec"]["template"]["spec"]["containers"]:
        container.pop("lifecycle")
    return workload


def test_a_cluster_without_native_sidecars_gets_none_and_is_told() -> None:
    text = Text("-", LIST)
    result = inject(Project([text], lambda _: None, Settings(kubernetes=(1, 28))), text, DRAIN)
    assert result.text.startswith(LIST) and "1.29" in result.refused[0]
