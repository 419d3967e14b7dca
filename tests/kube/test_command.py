"""`lameduck prove TYPE/NAME` as a user types it, on a cluster in miniature: plan, question, way in, errors."""

from __future__ import annotations

import asyncio
import json
import signal
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from tests.kube.minicluster import MiniCluster

from lameduck.cli import main


class Door:
    """The cluster in miniature, running in a thread, and a kubeconfig for it."""

    def __init__(self, box: Path, certificate: Path, key: Path) -> None:
        self.box, self.certificate, self.key = box, certificate, key
        self.cluster = MiniCluster()
        self.up, self.over = threading.Event(), threading.Event()
        self.thread = threading.Thread(target=asyncio.run, args=(self._live(),))

    async def _live(self) -> None:
        async with self.cluster:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(self.certificate, self.key)
            secure = await asyncio.start_server(self.cluster._answer, "127.0.0.1", 0, ssl=context)
            self.secure = f"https://localhost:{secure.sockets[0].getsockname()[1]}"
            self.up.set()
            await asyncio.to_thread(self.over.wait)
            secure.close()

    def config(self, context: str = "kind-mini") -> str:
        file = self.box / "kubeconfig"
        file.write_text(
            yaml.safe_dump(
                {
                    "current-context": context,
                    "contexts": [{"name": context, "context": {"cluster": "c", "user": "u", "namespace": "ns"}}],
                    "clusters": [{"name": "c", "cluster": {"server": self.cluster.api}}],
                    "users": [{"name": "u", "user": {"token": "t"}}],
                }
            )
        )
        return str(file)


@pytest.fixture
def door(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Door]:
    """The cluster, up."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    name = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    try:
        subprocess.run([*made, *name, "-out", str(certificate), "-keyout", str(key)], check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("openssl makes the test's certificate, and is not installed")
    opened = Door(tmp_path, certificate, key)
    opened.thread.start()
    assert opened.up.wait(10)
    yield opened
    opened.over.set()
    opened.thread.join()


def test_a_dry_run_prints_the_whole_plan_and_touches_nothing(door: Door, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["prove", "deploy", "shop", "--kubeconfig", door.config(), "--dry-run", "--disrupt", "evict", "--qps", "50"]
    assert main(asked) == 0
    told = capsys.readouterr().out
    for words in (
        "deployment/shop in ns: 3 replicas",
        "evict a pod of it 3 times",
        "50 requests per second",
        "kind: Role",
    ):
        assert words in told
    assert not door.cluster.tasks
    (chosen,) = [yaml.safe_load(told[told.index("apiVersion: rbac") :])]
    assert {"apiGroups": [""], "resources": ["pods/eviction"], "verbs": ["create"]} in chosen["rules"]


def test_a_context_that_is_not_a_developers_own_is_touched_only_after_a_yes(
    door: Door, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = door.config("production")
    asked = ["prove", "deploy/shop", "--kubeconfig", config, "--rollouts", "1"]
    assert main(asked) == 2
    told = capsys.readouterr().err
    assert "this would restart deployment/shop once in ns, context production" in told
    assert "--yes" in told
    assert not door.cluster.tasks
    (door.box / "lameduck.toml").write_text('trust-context = ["production"]\n')
    assert main([*asked, "--load-from", "https://localhost:1", "--quiet"]) == 4
    assert "cannot reach" in capsys.readouterr().err


def test_through_https_with_an_authority_of_its_own_nothing_is_lost(
    door: Door, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--load-from", door.secure, "--cacert", str(door.certificate), "--service", "shop"]
    asked = ["prove", "deploy/shop", "--kubeconfig", door.config(), *where, "--rollouts", "1", "--qps", "100"]
    code = main([*asked, "--quiet", "--run-dir", str(door.box / "run"), "-o", "json"])
    proof = json.loads(capsys.readouterr().out)
    assert (proof["failed"], proof["rollouts"]["completed"], proof["terminations"]) == (0, 1, 3)
    assert code == (0 if proof["verdict"] == "PROVEN" else 3)


def begun(door: Door, *words: str) -> subprocess.Popen[str]:
    """A proof that scales down and up, as a process of its own, once it has scaled down: it waits for the way back."""
    door.cluster.start_takes = 60.0
    asked = ["prove", "deploy/shop", "--kubeconfig", door.config(), "--disrupt", "scale", "--load-from", door.secure]
    asked += ["--cacert", str(door.certificate), "--qps", "100", "--quiet", "--run-dir", str(door.box / "run"), *words]
    process = subprocess.Popen([sys.executable, "-m", "lameduck", *asked], text=True, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 60
    while not door.cluster.scaled:
        assert time.monotonic() < deadline
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    return process


def test_ctrl_c_ends_in_a_verdict_with_the_replicas_as_they_were(door: Door) -> None:
    process = begun(door)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130, told
    assert door.cluster.scaled[-1] == 3
    assert not list((door.box / "state" / "lameduck" / "restore").glob("*.json"))
    assert (door.box / "run" / "run.db").exists()


def test_after_kill_9_restore_puts_the_replicas_back(door: Door, capsys: pytest.CaptureFixture[str]) -> None:
    process = begun(door)
    process.kill()
    process.communicate(timeout=60)
    assert door.cluster.scaled[-1] == 2
    assert main(["restore"]) == 0
    assert f"put back (of process {process.pid}): kubectl --context kind-mini" in capsys.readouterr().out
    assert door.cluster.scaled[-1] == 3
    assert main(["restore"]) == 0
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["deploy/shp"], 2, "no deployment 'shp' in namespace ns; there: shop"),
        (["shop"], 2, "name the workload as TYPE/NAME"),
        (["deploy/shop", "--load-from", "cluster"], 4, "scripts/agent-image"),
        (["deploy/shop", "--load-from", "somewhere"], 2, "--load-from is cluster, here or a URL"),
        (["deploy/shop", "--cacert", "x"], 2, "needs --load-from https://"),
        (["deploy/shop", "--wait-rollouts", "2"], 2, "goes with --disrupt none"),
        (["deploy/shop", "--disrupt", "explode"], 2, "--disrupt is one of"),
        (["deploy/shop", "--disrupt", "command"], 2, "--disrupt-command"),
        (["deploy/shop", "--context", "nowhere"], 2, "contexts there: kind-mini"),
        (["-l", "app=shop", "deploy/shop"], 2, "not both"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(
    door: Door, capsys: pytest.CaptureFixture[str], words: list[str], code: int, told: str
) -> None:
    assert main(["prove", *words, "--kubeconfig", door.config(), "--yes", "--quiet"]) == code
    said = capsys.readouterr().err
    assert told in said
    assert "Traceback" not in said
