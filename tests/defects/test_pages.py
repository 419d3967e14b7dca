"""The pages' examples are run: each is found by its rule, and the diff on the page is the one that fix makes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.manifests.workbench import project_of

from lameduck.core.finding import Confidence
from lameduck.defects import codes, module
from lameduck.defects.fixing import Mender, Wanted
from lameduck.defects.linting import Choice, lint
from lameduck.manifests.project import Settings
from lameduck.manifests.text import Text, diff

STATIC = [code for code in codes() if code < "LD900"]
WITHOUT = {"LD106", "LD109", "LD206", "LD605", "LD606", "LD801"}
"""They need a setting: a version, a path, the longest request."""


def section(page: str, title: str) -> list[str]:
    """The lines of one section, without their indentation."""
    match = re.search(rf"^{title}\n((?:    .*\n|\n)+)", page + "\n", re.MULTILINE)
    return [line[4:] for line in match[1].rstrip("\n").split("\n")] if match else []


def example(page: str) -> dict[str, str]:
    """The files of a page's example."""
    files: dict[str, list[str]] = {}
    name = ""
    for line in section(page, "Example"):
        if line and not line[0].isspace():
            name = line.removesuffix(":")
            files[name] = []
        else:
            files[name].append(line[4:])
    return {path: "\n".join(lines).rstrip("\n") + "\n" for path, lines in files.items()}


EXAMPLES = [code for code in STATIC if section(module(code).__doc__ or "", "Example")]


@pytest.mark.parametrize("code", EXAMPLES)
def test_the_example_on_a_page_is_found_by_its_rule(code: str) -> None:
    files = example(module(code).__doc__ or "")
    found = lint(project_of(files), Choice(confidence=Confidence.POSSIBLE)).findings
    assert code in {one.defect.code for one in found}


@pytest.mark.parametrize("code", EXAMPLES)
def test_the_diff_on_a_page_is_the_one_that_fix_makes(code: str) -> None:
    page = module(code).__doc__ or ""
    files = example(page)
    project = project_of(files)
    wanted = Wanted(True, Choice(select=(code,), confidence=Confidence.POSSIBLE))
    texts = {path: Text(path, content) for path, content in files.items()}
    mended = Mender(project.texts.values(), texts.get, Settings(), wanted).run()
    made = "".join(diff(path, mended.before[path], mended.texts[path].content) for path in mended.changed)
    shown = section(page, "Mended by lameduck fix")
    assert [line.rstrip() for line in made.rstrip("\n").split("\n") if made] == shown


def test_most_rules_have_an_example() -> None:
    assert len(EXAMPLES) >= 40


def test_the_list_in_docs_is_what_the_catalogue_says() -> None:
    from lameduck.cli.rules_page import page as rules_page

    said = (Path(__file__).parents[2] / "docs" / "rules.md").read_text()
    assert said == rules_page(), "python -m lameduck.cli.rules_page > docs/rules.md"
