"""`lameduck lint`, `fix` and `explain` as their users run them: exit codes, formats, suppression, baseline."""

from __future__ import annotations

import json
import shutil
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from lameduck.cli import main

CASES = Path(__file__).parents[1] / "data" / "cases"
FAULTY = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
        - name: web
          image: registry.example/web:1
          ports: [{containerPort: 8080}]
          readinessProbe: {httpGet: {path: /, port: 8080}}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
"""
NAMED = "        - name: web\n"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "web.yaml").write_text(FAULTY)
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = main(words)
    out, err = capsys.readouterr()
    return code, out, err


def test_a_finding_exits_with_1_and_shows_the_line_the_caret_and_the_fix(place, capsys) -> None:
    code, out, _ = run(capsys, "lint")
    assert code == 1
    assert "web.yaml:11:11: error LD101 no-drain-delay" in out
    assert " 11 |         - name: web\n     |           ^^^^^^^^^\n" in out
    assert "[lameduck fix]" in out


def test_a_clean_input_exits_with_0_and_says_so(place, capsys) -> None:
    run(capsys, "fix", "--write")
    code, out, _ = run(capsys, "lint")
    assert (code, out.startswith("nothing found")) == (0, True)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--fail-on", "never"], 0),
        (["--exit-zero"], 0),
        (["--select", "LD2"], 0),
        (["--ignore", "LD101"], 0),
        (["--confidence", "certain"], 0),
        (["--select", "LD77"], 2),
        (["--kubernetes-version", "latest"], 2),
        (["--format", "yaml"], 2),
        (["--format", "json", "--format", "sarif"], 2),
        (["nowhere.yaml"], 2),
        (["--output-file", "no/such/folder/x"], 4),
    ],
)
def test_exit_codes(place, capsys, words, code) -> None:
    assert run(capsys, "lint", *words)[0] == code


def test_a_raw_chart_is_said_and_is_no_finding(capsys) -> None:
    code, out, _ = run(capsys, "lint", str(CASES / "raw_helm_chart"))
    assert code == 0
    assert "helm template . | lameduck lint -" in out


def test_json_is_the_one_schema(place, capsys) -> None:
    _, out, _ = run(capsys, "lint", "--json", "-")
    (one,) = json.loads(out)["findings"]
    assert (one["code"], one["file"], one["line"], one["column"]) == ("LD101", "web.yaml", 11, 11)
    assert one["symptom"] is None and one["fix"]["safety"] == "safe"
    assert one["fix"]["patches"][0]["edits"]


def test_sarif_has_real_regions_fixes_and_results_even_when_clean(place, capsys) -> None:
    _, out, _ = run(capsys, "lint", "--format", "sarif")
    (result,) = json.loads(out)["runs"][0]["results"]
    region = result["locations"][0]["physicalLocation"]["region"]
    assert (region["startLine"], region["startColumn"], region["endColumn"]) == (11, 11, 20)
    assert result["fixes"][0]["artifactChanges"][0]["replacements"]
    _, out, _ = run(capsys, "lint", "--format", "sarif", "--ignore", "LD101")
    assert json.loads(out)["runs"][0]["results"] == []


def test_junit_names_every_file(place, capsys) -> None:
    _, out, _ = run(capsys, "lint", "--format", "junit")
    suite = ET.fromstring(out).find("testsuite")
    assert suite is not None and suite.get("failures") == "1"
    assert [case.get("name") for case in suite.findall("testcase")] == ["web.yaml"]


def test_github_annotations_and_markdown_name_code_and_line(place, capsys) -> None:
    _, out, _ = run(capsys, "lint", "--format", "github")
    assert out.startswith("::error file=web.yaml,line=11,endLine=11,col=11,title=LD101 no-drain-delay::")
    _, out, _ = run(capsys, "lint", "--format", "markdown")
    assert "| ❌ | LD101 | `web.yaml:11` |" in out


def test_several_formats_in_one_run(place, capsys) -> None:
    code, out, _ = run(capsys, "lint", "--format", "concise", "--format", "sarif=out.sarif", "--json", "out.json")
    assert code == 1
    assert out.startswith("web.yaml:11:11: error LD101")
    assert json.loads((place / "out.json").read_text())["findings"]
    assert json.loads((place / "out.sarif").read_text())["version"] == "2.1.0"


@pytest.mark.parametrize(
    "text",
    [
        FAULTY.replace(NAMED, "        - name: web  # lameduck: ignore[LD101] it drains by itself\n"),
        FAULTY.replace(NAMED, "        # lameduck: ignore[LD101] it drains by itself\n" + NAMED),
        FAULTY.replace(NAMED, "        # lameduck: ignore[no-drain-delay]\n" + NAMED),
        FAULTY.replace(
            "metadata: {name: web}\nspec:\n  rep",
            "metadata: {name: web, annotations: {lameduck.dev/ignore: LD101}}\nspec:\n  rep",
        ),
        FAULTY.replace("labels: {app: web}}\n", "labels: {app: web}, annotations: {lameduck.dev/ignore.web: LD101}}\n"),
    ],
)
def test_a_suppression_holds_for_its_place(place, capsys, text) -> None:
    assert text != FAULTY
    (place / "web.yaml").write_text(text)
    code, out, _ = run(capsys, "lint")
    assert (code, "1 suppressed" in out) == (0, True)


def test_a_suppression_that_nothing_needs_is_reported_and_fix_removes_it(place, capsys) -> None:
    (place / "web.yaml").write_text(FAULTY.replace(NAMED, "        # lameduck: ignore[LD301] why\n" + NAMED))
    _, out, _ = run(capsys, "lint", "--format", "concise")
    assert "web.yaml:11:9: warning LD002" in out
    run(capsys, "fix", "--write", "--select", "LD002,LD301")
    assert (place / "web.yaml").read_text() == FAULTY


def test_per_file_ignores_come_from_the_configuration(place, capsys) -> None:
    (place / "lameduck.toml").write_text('[lint.per-file-ignores]\n"web.yaml" = ["LD1"]\n')
    assert run(capsys, "lint")[0] == 0
    (place / "lameduck.toml").write_text("[lint]\nper-file-ignore = 1\n")
    code, _, err = run(capsys, "lint")
    assert (code, "per-file-ignores" in err) == (2, True)


def test_a_baseline_keeps_old_findings_out_even_when_lines_move(place, capsys) -> None:
    run(capsys, "lint", "--write-baseline", "base.json")
    (place / "web.yaml").write_text("# moved\n" + FAULTY)
    assert run(capsys, "lint", "--baseline", "base.json")[0] == 0
    (place / "web.yaml").write_text(FAULTY.replace("          readinessProbe: {httpGet: {path: /, port: 8080}}\n", ""))
    _, out, _ = run(capsys, "lint", "--baseline", "base.json", "--format", "concise")
    assert "LD301" in out and "LD101" not in out
    assert run(capsys, "lint", "--baseline", "web.yaml")[0] == 2


def test_fix_shows_a_diff_that_patch_can_apply_and_writes_nothing(place, capsys) -> None:
    code, out, _ = run(capsys, "fix")
    assert code == 1
    assert (place / "web.yaml").read_text() == FAULTY
    assert "+          lifecycle:\n+            preStop:\n+              sleep:\n+                seconds: 5\n" in out


def test_fix_writes_once_and_then_has_nothing_to_do(place, capsys) -> None:
    assert run(capsys, "fix", "--write")[0] == 0
    once = (place / "web.yaml").read_bytes()
    code, out, err = run(capsys, "fix")
    assert (code, out, "nothing to mend" in err) == (0, "", True)
    assert (place / "web.yaml").read_bytes() == once


def test_fix_never_touches_a_chart(tmp_path, capsys) -> None:
    chart = shutil.copytree(CASES / "raw_helm_chart", tmp_path / "chart")
    before = {file: file.read_bytes() for file in chart.rglob("*") if file.is_file()}
    run(capsys, "fix", "--write", "--unsafe", str(chart))
    assert {file: file.read_bytes() for file in before} == before


def test_the_chain_is_explained_link_by_link(capsys) -> None:
    _, out, _ = run(capsys, "lint", "--explain-chain", str(CASES / "tini_before_script_without_exec"))
    assert "tini --: forwards (init)" in out
    assert "start.sh: dies at once" in out


def test_explain_finds_a_page_by_code_and_name_and_lists_them_all(capsys) -> None:
    _, by_code, _ = run(capsys, "explain", "ld404")
    _, by_name, _ = run(capsys, "explain", "interrupted-wait")
    assert by_code == by_name and by_code.startswith("PID 1 does not wait for the server to finish (LD404")
    _, listed, _ = run(capsys, "explain")
    assert "LD404  interrupted-wait" in listed
    code, _, err = run(capsys, "explain", "interupted-wait")
    assert (code, "did you mean interrupted-wait?" in err) == (2, True)


def test_a_rendered_chart_names_the_template_of_its_finding(place, capsys) -> None:
    (place / "web.yaml").write_text("---\n# Source: shop/templates/web.yaml\n" + FAULTY)
    _, out, _ = run(capsys, "lint")
    assert "rendered from shop/templates/web.yaml" in out
