"""gRPC servers as real processes: health says NOT_SERVING, every RPC is served, then the server and its Watches end."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from layer_wire import APPS, BIN, ENDED, ROOT, free_port

from layer_wire import Server  # isort: skip


class GrpcServer(Server):
    def _until_serving(self) -> None:
        with self.said:
            assert self.said.wait_for(lambda: "serving" in self.lines, 60), self.lines


@pytest.mark.parametrize("kind", ["sync", "aio"])
def test_health_turns_and_no_rpc_is_lost(kind: str, servers: None, tmp_path: Path) -> None:
    held = tmp_path / "held"  # until everything else has been asked
    held.touch()
    quick = {"LAMEDUCK_LEAST": "0.8", "LAMEDUCK_QUIET": "0.2", "LAMEDUCK_MOST": "40", "GRPC_AGE_MS": "layer"}
    server = GrpcServer(["python", "grpc_app.py", kind, "{port}"], free_port(), {**quick, "HELD": str(held)})
    try:
        words = [BIN / "python", "grpc_client.py", str(server.port), str(server.pid)]
        run = subprocess.run(
            words,
            cwd=APPS,
            env={**os.environ, "HELD": str(held)},
            capture_output=True,
            text=True,
            check=True,
            timeout=90,
        )
        assert json.loads(run.stdout) == {
            "before": "OK",
            "health": ["0801", "0802"],
            "watched": [["0801", "0802"]] * 9,
            "warm": ["OK"] * 5,
            "new": "OK",
            "slow": "OK",
            "ended": ["OK"] * 9,
        }
        assert server.event("drained")["in_flight"] == 0
        assert server.wait() in ENDED
    finally:
        server.end()


def test_connections_end_before_the_layer_does(servers: None) -> None:
    asked = "from lameduck_pod import grpc; print([grpc.options(grpc.lame_duck(**how)) for how in ({}, {'grace': 20})])"
    path = {"PYTHONPATH": str(ROOT / "pod/src")}
    words = [BIN / "python", "-c", asked]
    run = subprocess.run(words, env=path, capture_output=True, text=True, check=True, timeout=30)
    assert run.stdout == "[[('grpc.max_connection_age_ms', 10000)], [('grpc.max_connection_age_ms', 4500)]]\n"
