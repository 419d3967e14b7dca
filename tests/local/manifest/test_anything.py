"""Whatever stands in a manifest: it is read, or refused in words; never a traceback, never a crash of ours."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from tests.local.manifest.shapes import read

from lameduck.core.errors import LameduckError
from lameduck.core.plan import Disruption

SHOP = Path(__file__).parents[3] / "examples" / "shop" / "shop.yaml"
JUNK = (
    None,
    "x",
    -1,
    0,
    3.5,
    True,
    [],
    {},
    ["x"],
    {"a": 1},
    [{"name": None}],
    [[1]],
    "9" * 20,
    "%",
    "/..",
    "../../etc",
)


def whole() -> list[Any]:
    """The example with everything that is followed in it."""
    documents = list(yaml.safe_load_all(SHOP.read_text()))
    spec = documents[1]["spec"]
    spec["strategy"] = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    pod = spec["template"]["spec"]
    pod["initContainers"] = [{"name": "setup", "image": "x", "command": ["true"]}]
    items = [{"key": "greeting", "path": "greeting"}]
    pod["volumes"] = [{"name": "v", "emptyDir": {}}, {"name": "w", "configMap": {"name": "shop", "items": items}}]
    pod["containers"][0] |= {
        "lifecycle": {"preStop": {"exec": {"command": ["a"]}}, "postStart": {"httpGet": {"path": "/", "port": 80}}},
        "livenessProbe": {"tcpSocket": {"port": "http"}},
        "envFrom": [{"configMapRef": {"name": "shop"}}],
        "volumeMounts": [
            {"name": "v", "mountPath": "/v"},
            {"name": "w", "mountPath": "/w", "subPath": "greeting"},
        ],
    }
    return documents


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in children:
        yield from places(inner, (*path, key))


def spoiled(documents: list[Any], rng: random.Random) -> list[Any]:
    """The documents with one thing gone, or something else in its place."""
    path = rng.choice([path for path in places(documents) if len(path) > 1])
    inner = documents
    for key in path[:-1]:
        inner = inner[key]
    if rng.random() < 0.3:
        del inner[path[-1]]
    else:
        inner[path[-1]] = rng.choice(JUNK)
    return documents


def test_anything_anywhere_is_read_or_refused_in_words(tmp_path: Path) -> None:
    rng, good, read_well = random.Random(7), whole(), 0
    for number in range(150):
        text = yaml.safe_dump_all(spoiled(copy.deepcopy(good), rng))
        try:
            spec = read(tmp_path / str(number), text, disruption=Disruption.EVICT)
            assert spec.pod().server.name == spec.serving
            spec.strategy()
            read_well += 1
        except LameduckError as error:
            assert str(error) and "\n" not in str(error)
    assert 20 < read_well < 130
