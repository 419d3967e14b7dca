"""`lameduck report` and `lameduck runs`, as they are called."""

import json
from pathlib import Path

import pytest
from tests.report.stories import failing, keep, proven

from lameduck.cli import main


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    runs = tmp_path / "lameduck" / "runs"
    keep(proven(3_000, rollouts=1), runs / "20260101-a", verdict="PROVEN", sentence="nothing was lost")
    keep(failing(3_000, rollouts=1), runs / "20260102-b", verdict="FAILED", sentence="some were lost")
    return runs


def test_runs_are_listed_with_their_verdicts(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs"]) == 0
    out = capsys.readouterr().out
    assert out.index("20260101-a") < out.index("20260102-b")
    assert "PROVEN" in out
    assert "some were lost" in out


def test_runs_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs", "--json", "-", "-n", "1"]) == 0
    listed = json.loads(capsys.readouterr().out)["runs"]
    assert [(each["name"], each["verdict"], each["workload"]) for each in listed] == [
        ("20260102-b", "FAILED", "prediction")
    ]


def test_a_broken_run_is_listed_and_said_to_be_broken(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "broken").mkdir()
    (home / "broken" / "run.db").write_bytes(b"no database at all" * 100)
    assert main(["runs"]) == 0
    assert "cannot be read" in capsys.readouterr().out


def test_no_run_yet_says_how_to_make_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "empty"))
    assert main(["runs"]) == 0
    assert "lameduck prove" in capsys.readouterr().out
    assert main(["report"]) == 2
    assert "no run is kept" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["last", "20260102-b", "20260102"])
def test_a_run_is_found_by_its_name_or_as_the_last(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", name]) == 0
    out = capsys.readouterr().out
    assert "FAILED" in out
    assert "The rollout timeline" in out


def test_a_name_that_means_two_runs_or_none_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "2026"]) == 2
    assert "could be any of" in capsys.readouterr().err
    assert main(["report", "nothing"]) == 2
    assert "lameduck runs" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("file", "begins"),
    [
        ("a.json", b"{"),
        ("a.md", b"## "),
        ("a.xml", b"<?xml"),
        ("a.csv", b"seq,"),
        ("a.parquet", b"PAR1"),
        ("a.prom", b"# TYPE"),
        ("a.txt", b"\n"),
    ],
)
def test_the_file_name_says_the_format(file: str, begins: bytes, tmp_path: Path) -> None:
    assert main(["report", "last", "-o", str(tmp_path / file)]) == 0
    assert (tmp_path / file).read_bytes().startswith(begins)


def test_a_name_that_says_no_format_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "-o", str(tmp_path / "a.docx")]) == 2
    assert "--format" in capsys.readouterr().err


def test_a_place_that_cannot_be_written_is_an_environment_fault(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", "--format", "json", "-o", str(tmp_path / "no" / "such" / "folder.json")]) == 4
    assert "cannot write" in capsys.readouterr().err
