"""A shell in the manifest's own command: the fix of what it swallowed is an `exec` in that very line."""

from types import SimpleNamespace
from typing import Any

from tests.local.manifest.shapes import deployment, service

from lameduck.core.finding import Confidence, Finding, ProofSpan
from lameduck.defects import defect, module
from lameduck.local.manifest.chosen import Wish
from lameduck.local.manifest.mending import Patching
from lameduck.manifests.text import Text

CONTAINER = """\
        - name: web
          image: registry.example/web:1
          command: ["sh", "-c", "web --port 8080"]
          ports: [{containerPort: 8080, name: http}]
"""


def test_exec_is_written_into_the_command_together_with_the_measured_window() -> None:
    fix = module("LD401").proof_fix({"pre_stop_seconds": 3, "grace_seconds": 30, "shell": "sh"})
    found = Finding(defect("LD401"), "lost", Confidence.CERTAIN, (ProofSpan(("p",), "", 0, 1),), fix=fix)
    text = Text("web.yaml", deployment(containers=CONTAINER) + service())
    proof: Any = SimpleNamespace(findings=[found])
    mended = Patching([text], {"web.yaml": text}.get, Wish()).mended(proof)
    assert mended.changed["web.yaml"].content == text.content.replace('"web --port', '"exec web --port').replace(
        "          ports: [{containerPort: 8080, name: http}]\n",
        "          ports: [{containerPort: 8080, name: http}]\n"
        "          lifecycle:\n            preStop:\n              sleep:\n                seconds: 3\n",
    )
    assert mended.left == ()
