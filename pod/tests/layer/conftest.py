from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
spec = importlib.util.spec_from_file_location("layer_wire", HERE / "wire.py")
assert spec is not None
assert spec.loader is not None
wire = importlib.util.module_from_spec(spec)
sys.modules["layer_wire"] = wire
spec.loader.exec_module(wire)


@pytest.fixture(scope="session")
def servers() -> None:
    """The pinned servers, in a venv of their own."""
    made = subprocess.run([wire.ROOT / "scripts/servers"], capture_output=True, text=True, check=False, timeout=100)
    if made.returncode:
        pytest.skip(f"no servers to test with: scripts/servers says {made.stderr.strip()[-300:]}")


@pytest.fixture
def start(servers: None, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Starts a server: command words, environment. `held`: its /slow lasts until `server.release()`."""
    started: list[Any] = []

    def go(
        command: list[str], below: list[str] | None = None, *, serving: bool = True, held: bool = False, **env: str
    ) -> Any:
        if held:
            path = tmp_path / f"held-{len(started)}"
            path.touch()
            env["HELD"] = str(path)
        server = wire.Server(command, wire.free_port(), env, below, serving=serving)
        started.append(server)
        return server

    yield go
    for server in started:
        server.end()
