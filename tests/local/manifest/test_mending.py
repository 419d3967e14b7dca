"""A proof's fixes as patches of the files that were proven: exact, whole, and nothing else touched."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.local.manifest.shapes import CONTAINER, deployment, service

from lameduck.core.finding import Confidence, Finding, Fix, ProofSpan, Safety
from lameduck.defects import defect, module
from lameduck.defects.snippets import drain_window, rolling_update
from lameduck.local.manifest.chosen import Wish
from lameduck.local.manifest.mending import Patching
from lameduck.manifests.text import Text

FACTS = {"pre_stop_seconds": 3, "grace_seconds": 30}
WINDOW = drain_window(FACTS, Safety.SAFE)


def found(code: str, fix: Fix | None) -> Finding:
    return Finding(defect(code), "lost", Confidence.CERTAIN, (ProofSpan(("p",), "", 0, 1),), fix=fix)


def mended(*findings: Finding, files: dict[str, str], **wish: Any) -> tuple[dict[str, str], Any]:
    texts = {path: Text(path, content) for path, content in files.items()}
    manifests = [text for path, text in texts.items() if path.endswith(".yaml")]
    patching = Patching(manifests, texts.get, Wish(**wish), [t for p, t in texts.items() if p.endswith("Dockerfile")])
    proof: Any = SimpleNamespace(findings=list(findings))
    result = patching.mended(proof)
    return {path: text.content for path, text in result.changed.items()}, result


def test_a_drain_window_is_written_into_the_serving_container(tmp_path: Path) -> None:
    text = deployment() + service()
    changed, result = mended(found("LD101", WINDOW), files={"web.yaml": text})
    want = text.replace(
        "          ports: [{containerPort: 8080, name: http}]\n",
        "          ports: [{containerPort: 8080, name: http}]\n"
        "          lifecycle:\n            preStop:\n              sleep:\n                seconds: 3\n",
    )
    assert changed == {"web.yaml": want}
    assert result.applied == ("sleep.seconds 3",) and result.left == ()


@pytest.mark.parametrize(
    ("hook", "line"),
    [
        ("          lifecycle: {preStop: {sleep: {seconds: 1}}}\n", "lifecycle: {preStop: {sleep: {seconds: 3}}}"),
        (
            "          lifecycle:\n            preStop:\n              exec:\n                command: [slip, \"2\"]\n",
            "            preStop:\n              sleep:\n                seconds: 3\n",
        ),
        ("          lifecycle: {preStop: {exec: {command: [slip]}}}\n", "lifecycle: {preStop: {sleep: {seconds: 3}}}"),
    ],
)  # fmt: skip
def test_another_hook_makes_way_for_it(hook: str, line: str) -> None:
    changed, _ = mended(found("LD104", WINDOW), files={"web.yaml": deployment(containers=CONTAINER + hook) + service()})
    assert line in changed["web.yaml"] and "slip" not in changed["web.yaml"]


def test_a_longer_delay_or_grace_than_is_asked_for_stays() -> None:
    hook = "          lifecycle: {preStop: {sleep: {seconds: 9}}}\n"
    pod = "terminationGracePeriodSeconds: 60"
    changed, result = mended(
        found("LD109", WINDOW), files={"web.yaml": deployment(pod=pod, containers=CONTAINER + hook) + service()}
    )
    assert changed == {} and result.texts is None


def test_a_grace_period_is_raised_where_it_stands_and_a_strategy_is_made() -> None:
    pod = "terminationGracePeriodSeconds: 10"
    fixes = (found("LD101", WINDOW), found("LD202", rolling_update(Safety.SAFE)))
    changed, result = mended(*fixes, files={"web.yaml": deployment(pod=pod) + service()})
    assert "terminationGracePeriodSeconds: 30\n" in changed["web.yaml"]
    assert "    rollingUpdate:\n      maxSurge: 1\n      maxUnavailable: 0\n" in changed["web.yaml"]
    assert len(result.applied) == 4


def test_recreate_becomes_a_rolling_update() -> None:
    changed, _ = mended(
        found("LD201", rolling_update(Safety.UNSAFE)),
        files={"web.yaml": deployment(spec="strategy:\n  type: Recreate") + service()},
    )
    assert "type: RollingUpdate\n" in changed["web.yaml"] and "maxUnavailable: 0" in changed["web.yaml"]


def test_the_patch_of_a_finding_is_a_diff_of_the_file_with_its_edit() -> None:
    text = deployment() + service()
    texts = [Text("web.yaml", text)]
    patching = Patching(texts, {"web.yaml": texts[0]}.get, Wish())
    from dataclasses import dataclass, field

    @dataclass(frozen=True)
    class Held:
        findings: list[Finding] = field(default_factory=list)

    (finding,) = patching.patched(Held([found("LD101", WINDOW)])).findings  # type: ignore[arg-type]
    assert finding.fix is not None
    (patch,) = finding.fix.patches
    assert patch.file == "web.yaml" and patch.snippet.startswith("--- a/web.yaml\n+++ b/web.yaml\n")
    (edit,) = patch.edits
    assert "seconds: 3" in text[: edit.start] + edit.text + text[edit.end :]


def test_a_start_script_is_mended_where_it_is_together_with_the_window(tmp_path: Path) -> None:
    fix = module("LD401").proof_fix({**FACTS, "shell": "sh"})
    bare = "        - {name: web, image: mine, ports: [{containerPort: 8080, name: http}]}\n"
    files = {
        "web.yaml": deployment(containers=bare) + service(),
        "mine/Dockerfile": 'FROM python:3.12\nCOPY start.sh /start.sh\nENTRYPOINT ["/start.sh"]\n',
        "mine/start.sh": "#!/bin/sh\nset -e\npython3 -m service\n",
    }
    changed, result = mended(found("LD401", fix), files=files, dockerfiles={"": "mine/Dockerfile"})
    assert changed["mine/start.sh"] == "#!/bin/sh\nset -e\nexec python3 -m service\n"
    assert "seconds: 3" in changed["web.yaml"]
    assert result.left == ()


def test_what_no_patch_can_hold_is_said_to_be_left() -> None:
    _, result = mended(found("LD803", None), found("LD401", module("LD401").proof_fix(FACTS)), files={
        "web.yaml": deployment() + service()})  # fmt: skip
    assert result.left[0] == "LD803 has no fix that a patch could hold"
    assert "the start script of LD401" in result.left[1]
    assert result.applied == ("sleep.seconds 3",), "the other half is applied, and what is left is said"
