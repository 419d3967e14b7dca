"""Faults while a proof runs: what was changed is put back, and no blind eye gives a clean bill."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.e2e.rig import LAMEDUCK, Cluster, Outcome, Shape, command, prove, sleep

pytestmark = [pytest.mark.timeout(300)]
OWN = os.environ.get("E2E_OWN_CLUSTER", "")
STATE = Path(os.environ.get("K8S_STATE", "/tmp/lameduck-k8s"))
own_cluster = pytest.mark.skipif(
    not OWN, reason="only the cluster of tests/cluster has an API server that may be killed"
)


@pytest.fixture
def workload(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[str]:
    name = "fault"
    cluster.deploy(name, getattr(request, "param", Shape(("sees-off",), hook=sleep(5))))
    yield name
    cluster.remove(name)


def until(true: Callable[[], bool], within: float, what: str) -> None:
    end = time.monotonic() + within
    while not true():
        assert time.monotonic() < end, f"{what}: not within {within:.0f} s"
        time.sleep(0.1)


def test_a_driver_that_is_killed_leaves_a_note_and_restore_puts_the_replicas_back(
    workload: str, cluster: Cluster, tmp_path: Path
) -> None:
    def replicas() -> str:
        return cluster.kubectl("get", f"deployment/{workload}", "-o", "jsonpath={.spec.replicas}")

    home = {**os.environ, "XDG_STATE_HOME": str(tmp_path)}
    flags = ("--disrupt", "scale", "--rollouts", "1", "--path", "/20", "--run-dir", str(tmp_path / "run"))
    with (tmp_path / "out").open("w") as out:
        driver = subprocess.Popen(command(f"deployment/{workload}", *flags), env=home, stdout=out, stderr=out)
        until(lambda: replicas() == "2" or driver.poll() is not None, 60, "the scale down")
        driver.send_signal(signal.SIGKILL)
        driver.wait()
    sys.stdout.write((tmp_path / "out").read_text())
    assert replicas() == "2"
    restored = subprocess.run([*LAMEDUCK, "restore"], env=home, capture_output=True, text=True, check=False)
    sys.stdout.write(restored.stdout + restored.stderr)
    assert restored.returncode == 0
    assert f"deployment/{workload} --replicas=3" in restored.stdout
    assert replicas() == "3"
    again = subprocess.run([*LAMEDUCK, "restore"], env=home, capture_output=True, text=True, check=False)
    assert (again.returncode, again.stdout) == (0, "")


def restart_api(down: float) -> None:
    """The API server is killed, and started again as it was."""
    file = STATE / "pid" / "kube-apiserver-1"
    pid = int(file.read_text())
    argv = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")[:-1]
    assert "kube-apiserver" in argv
    os.kill(pid, signal.SIGKILL)
    until(
        lambda: not Path(f"/proc/{pid}/cmdline").exists() or not Path(f"/proc/{pid}/cmdline").read_bytes(),
        10,
        "its end",
    )
    time.sleep(down)
    with (STATE / "log" / "kube-apiserver-1.log").open("a") as log:
        new = subprocess.Popen(argv, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)
    file.write_text(f"{new.pid}\n")


def proved_through_a_restart(cluster: Cluster, workload: str, tmp_path: Path) -> Outcome:
    """Two rollouts, with the API server gone for two seconds in the middle of the first."""
    began = cluster.kubectl("get", f"deployment/{workload}", "-o", "jsonpath={.metadata.generation}")

    def rolling() -> bool:
        now = cluster.kubectl("get", f"deployment/{workload}", "-o", "jsonpath={.metadata.generation}", check=False)
        return now not in {began, ""}

    done: list[bool] = []

    def fault() -> None:
        until(rolling, 270, "the rollout")
        time.sleep(1.5)
        restart_api(2.0)
        done.append(True)

    thread = threading.Thread(target=fault)
    thread.start()
    try:
        outcome = prove(f"deployment/{workload}", tmp_path, "--qps", "200", "--rollouts", "2", "--path", "/20")
    finally:
        thread.join()
        until(lambda: "ok" in cluster.kubectl("get", "--raw", "/readyz", check=False), 60, "the API server")
    assert done, "the API server was never killed"
    return outcome


@own_cluster
@pytest.mark.full
def test_an_api_server_that_restarts_in_the_middle_gives_no_wrong_word(
    workload: str, cluster: Cluster, tmp_path: Path, keep: Callable[..., None]
) -> None:
    outcome = proved_through_a_restart(cluster, workload, tmp_path)
    keep("fault-api-clean", "drains, preStop sleep 5; API server killed in the middle, back after 2 s", outcome)
    assert outcome.proof["failed"] == 0
    assert outcome.proof["rollouts"]["completed"] == 2
    assert outcome.verdict in {"PROVEN", "INCONCLUSIVE"}
    if outcome.verdict == "INCONCLUSIVE":
        assert any("blind" in gate or "not seen" in gate for gate in outcome.fallen), outcome.fallen


@own_cluster
@pytest.mark.full
@pytest.mark.parametrize("workload", [Shape()], indirect=True)
def test_what_is_lost_while_the_api_server_restarts_is_still_lost_and_explained(
    workload: str, cluster: Cluster, tmp_path: Path, keep: Callable[..., None]
) -> None:
    outcome = proved_through_a_restart(cluster, workload, tmp_path)
    keep("fault-api-lossy", "drains, no preStop; API server killed in the middle, back after 2 s", outcome)
    assert outcome.verdict == "FAILED"
    assert ("LD101", "LD901") in outcome.causes
    assert outcome.causes <= {
        ("LD101", "LD901"), ("LD912", "LD912"), ("LD906", "LD906"), ("LD905", "LD905"), ("LD914", "LD914"),
        ("LD999", "LD999"),
    }  # fmt: skip
