"""Laws of the parsers and of splicing, on made-up input: nothing crashes, nothing hangs, untouched lines stay."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from lameduck.core.finding import Confidence
from lameduck.defects.fixing import Mender, Wanted, changes_too_much
from lameduck.defects.linting import Choice, lint
from lameduck.manifests.dockerfile import Dockerfile
from lameduck.manifests.flow import follow
from lameduck.manifests.ini import sections
from lameduck.manifests.project import Project, Settings
from lameduck.manifests.shell import parse
from lameduck.manifests.splice import Refused, put, remove
from lameduck.manifests.text import Text, apply_edits
from lameduck.manifests.yamlnode import Node, documents

CASES = Path(__file__).parents[1] / "data" / "cases"
SEEDS = [file.read_text() for file in sorted(CASES.rglob("*")) if file.is_file() and file.name != "fixed.diff"]


def broken(seed: int) -> str:
    """A real file with random damage: cut, doubled, swapped, and strange characters."""
    chance = random.Random(seed)
    text = chance.choice(SEEDS)
    for _ in range(chance.randint(1, 6)):
        at, to = sorted((chance.randint(0, len(text)), chance.randint(0, len(text))))
        piece = text[at:to]
        text = chance.choice(
            [
                text[:at] + text[to:],
                text[:to] + piece + text[to:],
                text[:at] + chance.choice("{}[]'\"\\$`|&;<>#\t\r\n\0é\u2028😀*&!%") + text[at:],
                text[:at] + piece.upper() + text[to:],
                text[:at] + piece.replace("\n", "\r\n") + text[to:],
            ]
        )
    return text


@pytest.mark.parametrize("name", ["d.yaml", "Dockerfile", "start.sh"])
@pytest.mark.parametrize("block", range(10))
def test_no_damage_makes_lint_crash_and_every_finding_lies_in_its_file(name: str, block: int) -> None:
    for seed in range(block * 30, block * 30 + 30):
        text = Text(name, broken(seed))
        project = Project([text], lambda _, text=text: text)
        for one in lint(project, Choice(confidence=Confidence.POSSIBLE)).findings:
            place = one.locations[0]
            assert 1 <= place.line <= len(text.starts)
            assert one.as_dict()


@given(st.text(max_size=300))
@settings(max_examples=150, deadline=None)
def test_any_text_is_read_by_every_parser(content: str) -> None:
    text = Text("x", content)
    documents(text)
    Dockerfile(text)
    follow(parse(text))
    sections(text)


def test_deep_nesting_ends_in_a_finding_not_in_a_crash() -> None:
    text = Text("d.yaml", "kind: x\napiVersion: v1\na: " + "[" * 5000)
    assert [one.defect.code for one in lint(Project([text], lambda _: None)).findings] == ["LD001"]
    follow(parse(Text("s.sh", "if true; then " * 3000)))
    follow(parse(Text("s.sh", "(" * 5000)))


def test_aliases_that_hold_themselves_end() -> None:
    for content in ("a: &x\n  b: *x\nkind: Deployment\napiVersion: apps/v1\n", "&x [*x]\n"):
        text = Text("d.yaml", content)
        lint(Project([text], lambda _: None))
        for one in documents(text):
            assert isinstance(one, Node) is False or one.data is not ...


def style(chance: random.Random) -> str:
    """A Deployment and its Service as some person might write them."""
    step = chance.choice([2, 2, 4])
    eol = chance.choice(["\n", "\n", "\r\n"])
    quote = chance.choice(["", '"', "'"])
    flat = chance.random() < 0.4  # list items at their key's column
    pad = " " * step
    item = "" if flat else pad
    comment = chance.choice(["", "  # keep me", "   # déjà vu 😀"])
    extra = chance.choice(["", f"{pad * 3}# a note{{}}", f"{pad * 3}nodeSelector: {{a: b}}{comment}"])
    ports = chance.choice(
        [
            ["ports: [{containerPort: 8080}]"],
            ["ports:", f"{item}- containerPort: 8080", f"{item}  name: http"],
            ["ports:", f"{item}- name:   http", f"{item}  containerPort: 8080{comment}"],
        ]
    )
    probe = chance.choice(
        [
            ["readinessProbe: {httpGet: {path: /, port: 8080}}"],
            ["readinessProbe:", f"{pad}httpGet:", f"{pad * 2}path: /", f"{pad * 2}port: 8080"],
            [
                "readinessProbe:",
                f"{pad}exec:",
                f"{pad * 2}command:",
                f"{pad * 2}{item}- cat",
                f"{pad * 2}{item}- /ready",
            ],
        ]
    )
    env = chance.choice(
        [[], ["env:", f"{item}- name: A", f"{item}  value: |", f"{item}    one", f"{item}    two"], ["args: [a,  b ]"]]
    )
    body = [ports, probe, env]
    chance.shuffle(body)
    rest = [line for part in body for line in part]
    head = ["apiVersion: apps/v1", "kind: Deployment", "metadata:", f"{pad}name: {quote}web{quote}{comment}", "spec:"]
    head += [f"{pad}replicas: 3{comment}", f"{pad}selector:", f"{pad * 2}matchLabels: {{app: web}}", f"{pad}template:"]
    head += [f"{pad * 2}metadata:", f"{pad * 3}labels:", f"{pad * 4}app: {quote}web{quote}", f"{pad * 2}spec:"]
    lines = [*head, f"{pad * 3}containers:"]
    lines.append(f"{pad * 3}{item}- name: web{comment}")
    lines.append(f"{pad * 3}{item}  image: {quote}registry.example/web:1{quote}")
    lines += [f"{pad * 3}{item}  {line}" for line in rest]
    if extra:
        lines.append(extra)
    lines += ["---", "apiVersion: v1", "kind: Service", "metadata: {name: web}"]
    lines.append("spec: {selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}")
    text = eol.join(lines)
    if chance.random() < 0.8:
        text += eol
    return ("\ufeff" if chance.random() < 0.15 else "") + text


@pytest.mark.parametrize("block", range(10))
def test_a_fix_keeps_every_other_byte_in_every_style(block: int) -> None:
    for seed in range(block * 25, block * 25 + 25):
        text = Text("web.yaml", style(random.Random(seed)))
        mended = Mender([text], lambda _: None, Settings(), Wanted()).run()
        after = mended.texts["web.yaml"].content
        assert [one.defect.code for one in mended.applied] == ["LD101"], (seed, text.content, mended.refused)
        assert is_subsequence(text.content.rstrip("\r\n"), after), seed
        assert changes_too_much(text, mended.texts["web.yaml"]) == ""
        spec = next(iter(yaml.safe_load_all(after.removeprefix("\ufeff"))))["spec"]["template"]["spec"]
        assert spec["containers"][0]["lifecycle"] == {"preStop": {"sleep": {"seconds": 5}}}
        assert ("\r\n" in text.content) is ("\r\n" in after) and after.count("\n") >= text.content.count("\n")
        if "\r\n" in text.content:
            assert after.count("\n") == after.count("\r\n"), "no line ending of another kind comes in"


def is_subsequence(short: str, long: str) -> bool:
    """Whether lines of the first stand in the second, in order, and all of them."""
    rest = iter(long.split("\n"))
    return all(any(line.rstrip("\r") == other.rstrip("\r") for other in rest) for line in short.split("\n"))


KEYS = st.sampled_from(["a", "b", "lifecycle", "x-y"])
LEAVES = st.one_of(st.integers(0, 99), st.sampled_from(["one", "a b", "true", "", "{x}", "#no", "it's"]))


def nested(kids: st.SearchStrategy) -> st.SearchStrategy:
    return st.one_of(st.dictionaries(KEYS, kids, max_size=4), st.lists(kids, max_size=3))


TREES = st.recursive(LEAVES, nested, max_leaves=8)
MAPPINGS = st.dictionaries(KEYS, TREES, min_size=1, max_size=4)


@given(MAPPINGS, st.lists(KEYS, min_size=1, max_size=3), LEAVES, st.booleans())
@settings(max_examples=300, deadline=None)
def test_the_model_of_the_patched_text_is_the_patched_model(
    tree: dict, path: list[str], value: object, flow: bool
) -> None:
    content = yaml.safe_dump(tree, default_flow_style=flow, sort_keys=False)
    text = Text("x.yaml", content)
    (node,) = documents(text)
    assert isinstance(node, Node)
    try:
        edits = put(node, tuple(path), value)  # type: ignore[arg-type]
    except Refused:
        return
    want = tree
    for key in path[:-1]:
        if not isinstance(want.get(key), dict):
            want[key] = {}
        want = want[key]
    want[path[-1]] = value
    assert yaml.safe_load(apply_edits(content, edits)) == tree


@given(MAPPINGS, KEYS, st.booleans())
@settings(max_examples=200, deadline=None)
def test_removing_an_entry_removes_it_alone(tree: dict, key: str, flow: bool) -> None:
    content = yaml.safe_dump({"top": tree, "end": 1}, default_flow_style=flow, sort_keys=False)
    (node,) = documents(Text("x.yaml", content))
    assert isinstance(node, Node)
    try:
        edits = remove(node["top"], key)
    except Refused:
        return
    tree.pop(key, None)
    assert (yaml.safe_load(apply_edits(content, edits)) or {}) == {"top": tree, "end": 1}


def test_positions_are_characters_also_behind_wide_ones() -> None:
    text = Text("x.yaml", "é: 😀\nkey:   value\n")
    (node,) = documents(text)
    assert isinstance(node, Node)
    assert (node["key"].span.line, node["key"].span.column) == (2, 8)


def test_wide_characters_in_a_script_do_not_end_the_process() -> None:
    for content in ("`\u0100*|\u0100)[\x00<\n", '}~😀=|{\U0010ffff#-]#]\x00[?\u2028\n))<<aé<<<\u2028*\x000 0")]'):
        follow(parse(Text("start.sh", content)))
    (ending,) = follow(parse(Text("start.sh", "#!/bin/sh\necho 'déjà'\ngunicorn --name 'naïve 😀' app:app\n"))).endings
    assert ending.argv == ("gunicorn", "--name", "naïve 😀", "app:app")
