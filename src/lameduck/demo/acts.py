"""The story of the prediction service, act by act, as data: what changed, what runs, what a proof must find.

Law: an act's folder holds only the files in which it differs from the act before, so that what `changes` prints is what
was really changed, and nothing is kept twice. The numbers here and in the manifests are the same (a test compares
them); the traffic is one for all acts. Whoever plays an act proves it; nothing here claims a result.
"""

from __future__ import annotations

import difflib
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from shutil import which
from typing import Final

from lameduck.core.instants import SECOND
from lameduck.core.plan import BodyExpectation, RequestShape, TrafficPlan
from lameduck.core.proof import Verdict

HERE: Final = Path(__file__).parent
PORT: Final = 8080
READY_PATH: Final = "/v2/health/ready"
INFER_PATH: Final = "/v2/models/digits/infer"
RATE: Final = 500.0
"""Requests per second, as in the story; a tenth of them are batches."""
PACKAGES: Final = ("gunicorn", "lameduck-pod", "numpy", "onnxruntime")
"""The extra ``demo`` and, for the last act, the pod's own package."""
BATCH_ROWS: Final = 128
"""At the service's pace of 128 rows a second: one second."""

A_SEVEN: Final = bytes.fromhex(
    "00000a1005000000"
    "00010a0e0c000000"
    "000000090b000000"
    "0000020b0d030000"
    "00000b1010100700"
    "0000031004050100"
    "0000070d00000000"
    "00000d0600000000"
)
"""Eight rows of eight pixels, from 0 (white) to 16 (black)."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What the proof of an act must say: its verdict, and symptoms and defects that must be among its findings."""

    verdict: Verdict
    symptoms: frozenset[str] = frozenset()
    defects: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Act:
    """One act. Times are whole seconds, as in a manifest."""

    number: int
    title: str
    change: str
    """What was changed since the act before, in a sentence."""
    outcome: str
    """What to expect, and why, in a sentence or two."""
    command: tuple[str, ...]
    expected: Expected
    replicas: int = 3
    grace_seconds: int = 30
    pre_stop_sleep_seconds: int = 0
    rollouts: int = 1
    variables: tuple[tuple[str, str], ...] = ()
    """What the manifest says beside `POD_NAME`, as environment variables."""

    @property
    def folder(self) -> Path:
        """Where the files are in which this act differs."""
        return HERE / f"act{self.number}"


def _script(act: int) -> tuple[str, ...]:
    return ("bash", str(HERE / f"act{act}" / "start.sh"))


ACTS: Final = (
    Act(
        number=1,
        title="a server that does not drain",
        change="The prediction service as it first went live: told to stop, it stops at once.",
        outcome="What is in flight is cut. What still arrives is refused, then swallowed, until the Service notices.",
        command=(sys.executable, "-m", "lameduck.demo.service", "--graceful-timeout", "0"),
        expected=Expected(Verdict.FAILED, frozenset({"LD901", "LD902"}), frozenset({"LD101"})),
    ),
    Act(
        number=2,
        title="a server that drains, behind a start script",
        change="The server finishes what is in flight. A bash script starts it, and a pod gets 6 s to end.",
        outcome="bash is PID 1 and passes no signal on: the server never hears of it, serves on, and is killed with "
        "requests in hand when the 6 s are over.",
        command=_script(2),
        grace_seconds=6,
        expected=Expected(Verdict.FAILED, frozenset({"LD903"}), frozenset({"LD401"})),
    ),
    Act(
        number=3,
        title="the script passes the signal on",
        change="The script forwards SIGTERM and waits until the server has ended; a pod has 30 s again.",
        outcome="What is in flight survives. But the server, now told at once, closes its listener while the Service "
        "still sends it new connections, and more is lost than before: half of a fix is worse than none.",
        command=_script(3),
        expected=Expected(Verdict.FAILED, frozenset({"LD901"}), frozenset({"LD101"})),
    ),
    Act(
        number=4,
        title="traffic leaves first",
        change="A preStop hook holds the stop signal back for 10 s.",
        outcome="When the server is told to stop, nobody connects to it any more, and what is in flight it finishes.",
        command=_script(3),
        pre_stop_sleep_seconds=10,
        rollouts=2,
        expected=Expected(Verdict.PROVEN),
    ),
    Act(
        number=5,
        title="a lame duck inside, and no hook",
        change="The hook is gone. Instead the application is wrapped in lameduck-pod's lame-duck layer, in one line.",
        outcome="Told to stop, the server serves on, asks with every answer to be sent no more on that connection, "
        "and stops when nobody speaks to it any more: nothing is lost, and a pod ends as soon as it may.",
        command=_script(5),
        variables=(("LAMEDUCK_MOST", "10"),),
        rollouts=2,
        expected=Expected(Verdict.PROVEN),
    ),
)


def environment(act: Act) -> dict[str, str]:
    """What a pod's environment needs beside what it inherits: the scripts start this very Python."""
    return {"PYTHON": sys.executable, **dict(act.variables)}


def missing() -> tuple[str, ...]:
    """What the demo needs and this machine lacks: names of packages and commands."""
    packages = [name for name in PACKAGES if find_spec(name.replace("-", "_")) is None]
    return (*packages, *(["bash"] if which("bash") is None else []))


def traffic() -> TrafficPlan:
    """The load of every act: nine single predictions and one batch of ten requests, checked answer by answer."""
    single = _infer(1, 0.9, BodyExpectation(pointer="/outputs/0/data/0", equals="7"))
    batch = _infer(BATCH_ROWS, 0.1, BodyExpectation(contains=f'"shape":[{BATCH_ROWS},10]'))
    return TrafficPlan(rate=RATE, requests=(single, batch), timeout=10 * SECOND)


def _infer(rows: int, weight: float, expect: BodyExpectation) -> RequestShape:
    tensor = {"name": "pixels", "shape": [rows, len(A_SEVEN)], "datatype": "FP32", "data": list(A_SEVEN) * rows}
    body = json.dumps({"inputs": [tensor]}, separators=(",", ":")).encode()
    headers = (("Content-Type", "application/json"),)
    return RequestShape("POST", INFER_PATH, headers, body=body, weight=weight, expect_body=expect)


def files(act: Act) -> Mapping[str, Path]:
    """Every file of an act by its name: its own, and those of earlier acts that it left as they were."""
    folders = [earlier.folder for earlier in ACTS[: act.number]]
    return {file.name: file for folder in folders for file in sorted(folder.iterdir())}


def changes(act: Act) -> str:
    """What changed since the act before, as a unified diff; "" for the first act."""
    if act.number == 1:
        return ""
    before, after = files(ACTS[act.number - 2]), files(act)
    return "".join(_diff(name, before.get(name), after[name]) for name in sorted(after))


def _diff(name: str, before: Path | None, after: Path) -> str:
    if before == after:
        return ""
    old = before.read_text().splitlines(keepends=True) if before else []
    new = after.read_text().splitlines(keepends=True)
    return "".join(difflib.unified_diff(old, new, f"a/{name}" if before else "/dev/null", f"b/{name}", n=2))
