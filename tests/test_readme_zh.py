"""README.zh-TW.md is README.md in Traditional Chinese, kept in step: headings, commands, code, links, tables."""

import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ENGLISH = (ROOT / "README.md").read_text()
CHINESE = (ROOT / "README.zh-TW.md").read_text()
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def prose(text: str) -> str:
    return FENCE.sub("", text)


def headings(text: str) -> list[str]:
    return re.findall(r"^#+(?= )", prose(text), re.MULTILINE)


def code(text: str) -> Counter[str]:
    return Counter(re.findall(r"`([^`\n]+)`", prose(text)))


def links(text: str) -> list[str]:
    return re.findall(r"\]\(([^)]+)\)", prose(text))


def tables(text: str) -> list[int]:
    """The number of cells in each row of each table."""
    return [line.count("|") for line in prose(text).splitlines() if line.startswith("|")]


def numbers(text: str) -> Counter[str]:
    """Numbers that a reader would rely on: with a thousands separator, a per cent sign or three digits."""
    return Counter(re.findall(r"\d{1,3}(?:,\d{3})+|\d+(?= %)|\b\d{3}\b", prose(text)))


@pytest.mark.parametrize("what", [headings, FENCE.findall, code, links, tables, numbers])
def test_both_say_the_same_with_the_same_commands(what: object) -> None:
    assert callable(what)
    assert what(CHINESE) == what(ENGLISH)


def test_it_is_written_in_traditional_characters() -> None:
    simplified = set("证这么与请应设为动务时间过说发现实数总结开关闭连")
    traditional = set("證這麼與請應設為動務時間過說發現實數總結開關閉連")
    assert not simplified - traditional & set(CHINESE)
    assert len(traditional & set(CHINESE)) > 15
