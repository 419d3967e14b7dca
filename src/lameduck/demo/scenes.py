"""The two stories as they are played on a real cluster, as data: manifests, traffic, what a proof must find.

Law: a scene is one whole workload under a name of its own (a connection table may lead to the dead pods of an earlier
one for two minutes). What changed since the scene before is the difference of what was really applied.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import yaml

from lameduck.core.instants import SECOND
from lameduck.core.plan import RequestShape, TrafficPlan
from lameduck.core.proof import Verdict
from lameduck.demo import acts
from lameduck.demo.acts import Expected

LIGHT4J: Final = Path(__file__).parent / "light4j"
PREDICTION_IMAGE: Final = "lameduck-prediction:dev"
STORIES: Final = ("light4j", "prediction")

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Scene:
    """One act on a cluster."""

    number: int
    title: str
    change: str
    outcome: str
    deployment: Json
    traffic: TrafficPlan
    expected: Expected
    rollouts: int
    before: str = ""
    """What the scene before applied, as text."""
    script: str = ""
    """The start script in the image, "" for none."""

    @property
    def text(self) -> str:
        """What is applied, and the start script, as text."""
        return yaml.safe_dump(self.deployment, sort_keys=False) + (
            f"--- start script\n{self.script}" if self.script else ""
        )

    @property
    def diff(self) -> str:
        """What changed since the scene before."""
        if not self.before:
            return ""
        old, new = (text.splitlines(keepends=True) for text in (self.before, self.text))
        return "".join(difflib.unified_diff(old, new, "before", "now", n=2))

    @property
    def image(self) -> str:
        """What its container runs."""
        return str(container(self.deployment)["image"])


def container(deployment: Mapping[str, Any]) -> Json:
    """The one container of a workload's pods."""
    found: Json = deployment["spec"]["template"]["spec"]["containers"][0]
    return found


def scenes(story: str, images: str = "") -> tuple[Scene, ...]:
    """A story's scenes; ``images`` is put in front of each image's name (a registry's path, with its slash)."""
    told = light4j() if story == "light4j" else prediction()
    for scene in told:
        container(scene.deployment)["image"] = images + scene.image
    texts = ["", *(scene.text for scene in told[:-1])]
    return tuple(replace(scene, before=before) for scene, before in zip(told, texts, strict=True))


def service(name: str) -> Json:
    """The Service in front of a scene's workload."""
    spec = {"selector": {"app": name}, "ports": [{"name": "http", "port": 80, "targetPort": 8080}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}


def named(deployment: Json, name: str) -> Json:
    """The same workload under another name."""
    copy: Json = json.loads(json.dumps(deployment))
    copy["metadata"]["name"] = name
    copy["spec"]["selector"]["matchLabels"] = copy["spec"]["template"]["metadata"]["labels"] = {"app": name}
    return copy


def prediction() -> list[Scene]:
    """The acts of `lameduck.demo.acts`, with their own manifests."""
    return [_of_act(act) for act in acts.ACTS]


def _of_act(act: acts.Act) -> Scene:
    files = acts.files(act)
    deployment: Json = yaml.safe_load(files["deployment.yaml"].read_text())
    folder = files["start.sh"].parent.name if "start.sh" in files and act.number > 1 else ""
    (command,) = re.findall(r"^CMD (\[.*\])$", files["Dockerfile"].read_text(), re.MULTILINE)
    words = [word if word != "start.sh" else f"/srv/{folder}/start.sh" for word in json.loads(command)]
    container(deployment).update(image=PREDICTION_IMAGE, command=words, imagePullPolicy="IfNotPresent")
    script = files["start.sh"].read_text() if folder else ""
    return Scene(
        act.number,
        act.title,
        act.change,
        act.outcome,
        deployment,
        acts.traffic(),
        act.expected,
        act.rollouts,
        "",
        script,
    )


SERVER: Final = ("java", "-cp", "/srv/app.jar:/srv/lib/*", "com.networknt.server.Server")


def light4j() -> list[Scene]:
    """The framework's story: 1.5.14, 1.5.15, a bash script, a trap, a preStop, and one that takes its leave."""
    return [
        _light4j(
            1,
            "light-4j 1.5.14: a server that does not drain",
            "The prediction service as it first went live, on light-4j 1.5.14.",
            "What is in flight is cut. What still arrives is refused, then swallowed, until the Service notices.",
            Expected(Verdict.FAILED, frozenset({"LD901", "LD902"}), frozenset({"LD101"})),
            version="1.5.14",
        ),
        _light4j(
            2,
            "light-4j 1.5.15: a server that drains",
            "light-4j 1.5.15 finishes what is in flight, and turns away with 503 what comes after the stop signal.",
            "Nothing in flight is cut any more. What still arrives meets a 503, and then nobody.",
            Expected(Verdict.FAILED, frozenset({"LD913"})),
        ),
        _light4j(
            3,
            "a bash script in front",
            "A bash script starts the server, and a pod gets 6 s to end.",
            "bash is PID 1 and passes no signal on: the server never hears of it, serves on, and is killed with "
            "requests in hand when the 6 s are over.",
            Expected(Verdict.FAILED, frozenset({"LD903"}), frozenset({"LD401"})),
            script="start.sh",
            grace=6,
        ),
        _light4j(
            4,
            "the script passes the signal on",
            "The script forwards SIGTERM and waits until the server has ended; a pod has 30 s again.",
            "The server drains, and is told at once: it turns away what the Service still sends, and more is lost "
            "than before.",
            Expected(Verdict.FAILED, frozenset({"LD913"})),
            script="trap.sh",
        ),
        _light4j(
            5,
            "traffic leaves first",
            "A preStop hook holds the stop signal back for 10 s.",
            "Nobody connects anew to a server that has been told to stop: nothing is lost on new connections. But "
            "clients that keep theirs alive stay on them, and are turned away with 503 when the 10 s are over.",
            Expected(Verdict.FAILED, frozenset({"LD913"})),
            script="trap.sh",
            hook={"sleep": {"seconds": 10}},
        ),
        _light4j(
            6,
            "and takes its leave",
            "While the hook waits, each answer says Connection: close, so that clients come anew, elsewhere.",
            "When the server is told to stop nobody is left, on new connections or old ones.",
            Expected(Verdict.PROVEN),
            script="trap.sh",
            hook={"exec": {"command": ["bash", "-c", "touch /tmp/leaving; sleep 10"]}},
            rollouts=2,
        ),
    ]


def _light4j(
    number: int,
    title: str,
    change: str,
    outcome: str,
    expected: Expected,
    *,
    version: str = "1.5.15",
    script: str = "",
    grace: int = 30,
    hook: Json | None = None,
    rollouts: int = 1,
) -> Scene:
    command: Sequence[str] = ("bash", f"/srv/{script}") if script else SERVER
    app: Json = {
        "name": "prediction",
        "image": f"lameduck-light4j:{version}",
        "imagePullPolicy": "IfNotPresent",
        "command": list(command),
        "env": [{"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
        "ports": [{"containerPort": 8080}],
        "readinessProbe": {"httpGet": {"path": "/health", "port": 8080}, "periodSeconds": 1},
    }
    if hook:
        app["lifecycle"] = {"preStop": hook}
    pod = {"terminationGracePeriodSeconds": grace, "automountServiceAccountToken": False, "containers": [app]}
    labels = {"app": "prediction"}
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "prediction"},
        "spec": {
            "replicas": 3,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }
    requests = (RequestShape(path="/predict", weight=0.95), RequestShape(path="/slow", weight=0.05))
    traffic = TrafficPlan(rate=acts.RATE, requests=requests, timeout=10 * SECOND)
    text = (LIGHT4J / script).read_text() if script else ""
    return Scene(number, title, change, outcome, deployment, traffic, expected, rollouts, "", text)
