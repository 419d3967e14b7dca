"""lifecycle.stopSignal where its gate is known to be on (KEP-4960): what the API and the kernel then make of it."""

from __future__ import annotations

import pytest
from tests.manifests.workbench import project_of

from lameduck.defects.linting import lint
from lameduck.manifests.project import Settings

DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web}}
spec:
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web}}}}
    spec:
      {pod}
      containers:
        - {{name: web, image: "registry.example/web:1", lifecycle: {{stopSignal: {signal}}}}}
"""


@pytest.mark.parametrize(
    ("gate", "pod", "signal", "said"),
    [
        (False, "os: {name: linux}", "SIGQUIT", ["info", "works only where the feature gate"]),
        (True, "os: {name: linux}", "SIGQUIT", []),
        (True, "os: {name: linux}", "SIGKILL", ["error", "reaches no handler"]),
        (True, "dnsPolicy: Default", "SIGQUIT", ["error", "the API refuses a stopSignal in a pod without os.name"]),
    ],
)
def test_the_gate_decides_what_is_said(gate: bool, pod: str, signal: str, said: list[str]) -> None:
    project = project_of({"d.yaml": DEPLOYMENT.format(pod=pod, signal=signal)}, Settings(stop_signal_gate=gate))
    found = [one for one in lint(project).findings if one.defect.code == "LD108"]
    assert len(found) == bool(said)
    for one in found:
        assert str(one.severity or one.defect.severity) == said[0] and said[1] in one.message
