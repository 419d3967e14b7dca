"""What clients and processes really meet in a pod of this machine: the kernel's own sockets, signals and ends."""

import asyncio
import errno
import socket
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from tests.proving.brisk import BRISK, script, zoo

from lameduck.cluster import Route
from lameduck.core.instants import SECOND
from lameduck.core.timeline import Milestone, Observation, PodHistory, fold
from lameduck.local.cluster import LocalCluster
from lameduck.local.spec import LocalSpec

pytestmark = pytest.mark.rollout

Play = Callable[[LocalCluster], Awaitable[None]]


def played(folder: Path, play: Play, *command: str, **workload: object) -> dict[str, PodHistory]:
    """A cluster of one replica, played with, stopped; every pod's history."""
    seen: list[Observation] = []
    spec = LocalSpec(**{"command": command, "replicas": 1, "run_dir": folder, "timings": BRISK, **workload})  # type: ignore[arg-type]

    async def whole() -> None:
        cluster = LocalCluster(spec, seen.append)
        try:
            await cluster.start()
            await play(cluster)
        finally:
            await cluster.stop()

    asyncio.run(whole())
    return fold(seen)


async def roll(cluster: LocalCluster) -> None:
    assert await cluster.disrupt(1)


def old(pods: dict[str, PodHistory]) -> PodHistory:
    (pod,) = [pod for pod in pods.values() if pod.terminated]
    return pod


def seconds(pod: PodHistory, first: Milestone, then: Milestone) -> float:
    return (pod.marks[then].at - pod.marks[first].at) / SECOND


async def connect(route: Route, patience: float = 1.0) -> socket.socket:
    assert route.socket is not None
    loop = asyncio.get_running_loop()
    await asyncio.wait_for(loop.sock_connect(route.socket, route.address), patience)
    return route.socket


def test_a_dead_pod_first_refuses_and_then_swallows_by_the_kernels_own_hand(tmp_path: Path) -> None:
    async def play(cluster: LocalCluster) -> None:
        dialer = cluster.dialer()
        routes = [dialer.dial() for _ in range(2)]
        held = await connect(dialer.dial())
        rolling = asyncio.ensure_future(cluster.disrupt(1))
        loop = asyncio.get_running_loop()
        assert await asyncio.wait_for(loop.sock_recv(held, 1), 10) == b""  # the kernel ended it with the process
        with pytest.raises(ConnectionRefusedError):
            await connect(routes[0])
        await asyncio.sleep(0.3)
        with pytest.raises(TimeoutError):
            await connect(routes[1], patience=0.5)
        assert await rolling

    played(tmp_path, play, *zoo("exits"))


def test_a_signal_without_a_handler_does_nothing_to_process_1_and_grace_ends_in_sigkill(tmp_path: Path) -> None:
    pod = old(played(tmp_path, roll, *zoo("ignores"), grace=3 * SECOND))
    detail = pod.marks[Milestone.STOP_SIGNAL].detail
    assert (detail["caught"], detail["ignored"], detail["is_shell"]) == (False, False, False)
    assert pod.exit_code == 137
    assert seconds(pod, Milestone.STOP_SIGNAL, Milestone.KILLED) == pytest.approx(3, abs=0.3)


def test_a_shell_is_recognised_and_its_child_is_not_told(tmp_path: Path) -> None:
    pod = old(played(tmp_path, roll, *script("swallow", "drains"), grace=2 * SECOND))
    detail = pod.marks[Milestone.STOP_SIGNAL].detail
    assert (detail["pid1"], detail["is_shell"], detail["caught"]) == ("bash", True, False)
    assert pod.exit_code == 137


def test_a_sleeping_hook_delays_the_signal_and_spends_the_grace(tmp_path: Path) -> None:
    pod = old(played(tmp_path, roll, *zoo("ignores"), grace=4 * SECOND, pre_stop_sleep=2))
    assert seconds(pod, Milestone.DELETION_REQUESTED, Milestone.STOP_SIGNAL) == pytest.approx(2, abs=0.3)
    assert seconds(pod, Milestone.DELETION_REQUESTED, Milestone.KILLED) == pytest.approx(4, abs=0.4)


def test_two_seconds_are_left_after_a_hook_that_uses_up_the_grace(tmp_path: Path) -> None:
    hook = ("sleep", "30")
    pod = old(played(tmp_path, roll, *zoo("ignores"), grace=2 * SECOND, pre_stop_exec=hook))
    assert seconds(pod, Milestone.DELETION_REQUESTED, Milestone.STOP_SIGNAL) == pytest.approx(2, abs=0.3)
    assert seconds(pod, Milestone.STOP_SIGNAL, Milestone.KILLED) == pytest.approx(2, abs=0.3)


def test_an_exec_hook_runs_in_the_pod_and_a_failing_one_delays_nothing(tmp_path: Path) -> None:
    hook = ("sh", "-c", "echo $POD_NAME > hook; exit 7")
    pod = old(played(tmp_path, roll, "sh", "-c", f"cd {tmp_path}; exec {' '.join(zoo('exits'))}", pre_stop_exec=hook))
    ended = pod.marks[Milestone.PRESTOP_FINISHED].detail
    assert ended["ok"] is False
    assert "7" in ended["message"]
    assert seconds(pod, Milestone.DELETION_REQUESTED, Milestone.STOP_SIGNAL) < 0.4


def test_every_connection_goes_where_the_table_says_and_the_outside_address_leads_there_too(tmp_path: Path) -> None:
    async def play(cluster: LocalCluster) -> None:
        names = {pod.name for pod in cluster.pods()}
        assert {cluster.dialer().dial().pod for _ in range(60)} == names
        facts = cluster._facts()
        host, _, port = facts.address.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"GET /0 HTTP/1.1\r\nHost: a\r\n\r\n")
        assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"
        writer.close()

    played(tmp_path, play, *zoo("exits"), replicas=3)


def test_a_pod_can_listen_where_every_other_pod_does_and_reach_nothing_outside(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as outside:
        port = outside.getsockname()[1]
        code = (
            f"import socket; s = socket.socket(); s.settimeout(1); print('errno', s.connect_ex(('127.0.0.1', {port})))"
        )
        probe = f'{sys.executable} -c "{code}"; exec {" ".join(zoo("exits"))}'

        async def play(cluster: LocalCluster) -> None:
            assert len(cluster.pods()) == 2

        played(tmp_path, play, "sh", "-c", probe, replicas=2, port=8080)
    texts = [file.read_text() for file in tmp_path.glob("*.log")]
    assert len(texts) == 2
    assert all(f"errno {errno.ECONNREFUSED}" in text for text in texts)


def test_without_namespaces_process_1_is_emulated_and_stops_the_same_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAMEDUCK_SANDBOX", "off")
    swallowed = old(played(tmp_path / "a", roll, *script("swallow", "drains"), grace=2 * SECOND))
    assert (swallowed.exit_code, swallowed.marks[Milestone.STOP_SIGNAL].detail["is_shell"]) == (137, True)
    drained = old(played(tmp_path / "b", roll, *zoo("drains")))
    assert drained.exit_code == 0
    forwarded = old(played(tmp_path / "c", roll, *script("forward", "drains")))
    assert seconds(forwarded, Milestone.STOP_SIGNAL, Milestone.EXITED) < 1.5


def test_a_rollout_without_progress_fails_within_its_deadline_and_says_why(tmp_path: Path) -> None:
    seen: list[Observation] = []
    flag = tmp_path / "second"
    once = f"test -e {flag} && exec sleep 60; touch {flag}; exec {' '.join(zoo('exits'))}"

    async def whole() -> bool:
        spec = LocalSpec(("sh", "-c", once), replicas=1, run_dir=tmp_path, timings=BRISK, progress_deadline=2 * SECOND)
        cluster = LocalCluster(spec, seen.append)
        try:
            await cluster.start()
            begun = time.monotonic()
            done = await cluster.disrupt(1)
            assert time.monotonic() - begun < 6
            return done
        finally:
            await cluster.stop()

    assert asyncio.run(whole()) is False
    failed = [each for each in seen if each.what.value == "disruption_failed"]
    assert "connection refused" in failed[0].detail["why"]
