import argparse
from pathlib import Path

import pytest

from lameduck.cli.settings import layered
from lameduck.core.errors import UsageError


@pytest.fixture
def parser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> argparse.ArgumentParser:
    monkeypatch.chdir(tmp_path)
    made = argparse.ArgumentParser()
    made.add_argument("words", nargs="*")
    made.add_argument("--qps", type=float, default=100.0)
    made.add_argument("--ready-path")
    made.add_argument("--header", action="append", default=[])
    made.add_argument("--quiet", action="store_true")
    return made


def parsed(parser: argparse.ArgumentParser, *words: str) -> argparse.Namespace:
    return parser.parse_args(layered(parser, "completion", words))


def test_precedence_is_default_file_environment_flag(
    parser: argparse.ArgumentParser, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert parsed(parser).qps == 100
    Path("lameduck.toml").write_text("qps = 200\n")
    assert parsed(parser).qps == 200
    monkeypatch.setenv("LAMEDUCK_QPS", "300")
    assert parsed(parser).qps == 300
    assert parsed(parser, "--qps", "400").qps == 400


def test_names_values_and_switches_are_those_of_the_options(parser: argparse.ArgumentParser) -> None:
    Path("lameduck.toml").write_text('ready-path = "/ready"\nheader = ["a: 1", "b: 2"]\nquiet = true\n')
    found = parsed(parser, "--", "sh", "-c", "x")
    assert (found.ready_path, found.header, found.quiet) == ("/ready", ["a: 1", "b: 2"], True)
    assert found.words == ["sh", "-c", "x"]


def test_a_commands_own_table_wins_over_the_top_and_serves_it_alone(parser: argparse.ArgumentParser) -> None:
    Path("lameduck.toml").write_text("qps = 1\n[completion]\nqps = 2\n[prove]\nqps = 3\n")
    assert parsed(parser).qps == 2


def test_pyproject_is_read_where_there_is_no_file_of_our_own(parser: argparse.ArgumentParser) -> None:
    Path("pyproject.toml").write_text("[tool.lameduck]\nqps = 5\n[tool.other]\nqps = 9\n")
    assert parsed(parser).qps == 5
    Path("lameduck.toml").write_text("qps = 6\n")
    assert parsed(parser).qps == 6


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("qsp = 5", "did you mean 'qps'"),
        ("[completion]\nquite = true", "did you mean 'quiet'"),
        ("quiet = 3", "'quiet' is true or false"),
        ("qps = {a = 1}", "a value, not a table"),
        ("qps = ", "cannot be read"),
    ],
)
def test_a_setting_that_cannot_be_meant_is_an_error_that_names_the_file(
    parser: argparse.ArgumentParser, text: str, says: str
) -> None:
    Path("lameduck.toml").write_text(text)
    with pytest.raises(UsageError, match=r"lameduck\.toml") as error:
        parsed(parser)
    assert says in str(error.value)


def test_what_another_command_has_is_no_error_here(parser: argparse.ArgumentParser) -> None:
    Path("lameduck.toml").write_text("rollouts = 3\nqps = 7\n")
    assert parsed(parser).qps == 7


def test_a_switch_in_the_environment_can_be_off(
    parser: argparse.ArgumentParser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAMEDUCK_QUIET", "0")
    assert parsed(parser).quiet is False
    monkeypatch.setenv("LAMEDUCK_QUIET", "1")
    assert parsed(parser).quiet is True
