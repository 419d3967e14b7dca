"""A user's own code, in the oldest Python, under strict mypy."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from layer_wire import BIN, ROOT

USER = """
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment, WSGIApplication
import lameduck_pod.asgi
import lameduck_pod.wsgi

Message = MutableMapping[str, Any]

def old(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [])
    return []

Receive = Callable[[], Awaitable[Message]]

async def new(scope: Message, receive: Receive, send: Callable[[Message], Awaitable[None]]) -> None:
    await send({"type": "http.response.start", "status": 200})

application: WSGIApplication = lameduck_pod.wsgi.LameDuck(old, least=5, readiness="keep")
app = lameduck_pod.asgi.LameDuck(new, grace=30, on_drained=lambda: print("bye"))
with app.layer.working():
    pass
lameduck_pod.asgi.LameDuck(new, least="5")
"""


def test_a_users_code_type_checks_and_a_mistake_in_it_is_found(tmp_path: Path) -> None:
    code = tmp_path / "user.py"
    code.write_text(USER)
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--python-version", "3.11", "--config-file", os.devnull, code],
        env={**os.environ, "MYPYPATH": str(ROOT / "pod/src")},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    problems = [line for line in checked.stdout.splitlines() if "error:" in line]
    assert len(problems) == 1, checked.stdout
    assert 'incompatible type "str"; expected "float | None"' in problems[0]


def test_so_it_does_under_pyright(tmp_path: Path, servers: None) -> None:
    (tmp_path / "user.py").write_text(USER)
    paths = {"extraPaths": [str(ROOT / "pod/src")], "typeCheckingMode": "strict", "pythonVersion": "3.11"}
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(paths))
    checked = subprocess.run(
        [BIN / "basedpyright", "--outputjson", "user.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    (problem,) = json.loads(checked.stdout)["generalDiagnostics"]
    assert (problem["rule"], problem["range"]["start"]["line"] + 1) == ("reportArgumentType", len(USER.splitlines()))


def vermin(where: Path) -> str:
    """What it says of the oldest Python; annotations are not evaluated here (`from __future__`), and may be newer."""
    words = [Path(sys.executable).with_name("vermin"), "-t=3.9-", "--no-tips", where]
    return subprocess.run(words, capture_output=True, text=True, check=False, timeout=100).stdout


def test_nothing_needs_more_than_python_3_9(tmp_path: Path) -> None:
    assert "Minimum required versions: 3.9" in vermin(ROOT / "pod/src")
    (tmp_path / "newer.py").write_text("def f(x):\n    match x:\n        case 1:\n            pass\n")
    assert "Minimum required versions: 3.10" in vermin(tmp_path)
