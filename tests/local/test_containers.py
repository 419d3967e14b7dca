"""Several containers in one pod, as real processes: one network, their order, their ends, their files."""

import asyncio
import os
import sys
from pathlib import Path

import pytest
from tests.local.harness import LATE, ask, output, play, running, server

from lameduck.core.instants import MILLISECOND, SECOND
from lameduck.core.podspec import ContainerSpec, Hook, HookKind, Role
from lameduck.core.probes import ProbeSpec
from lameduck.core.timeline import Milestone
from lameduck.local.mounting import Mount
from lameduck.local.podplan import Field, Process

pytestmark = [pytest.mark.rollout, pytest.mark.timeout(60)]
both = pytest.mark.parametrize("mode", ["sandbox", "emulated"])
M = Milestone
WEB = ContainerSpec("web", readiness=ProbeSpec(period=SECOND // 5))
ENV = (("PORT", "8080"), ("POD_NAME", Field("metadata.name")))
SERVER = Process(server("drains"), ENV)


def beside(*words: str) -> Process:
    return Process((sys.executable, str(Path(__file__).parent / "servers" / "beside.py"), *words))


def pod(*containers: ContainerSpec, **processes: Process) -> dict[str, object]:
    named = {"web": SERVER, **processes}
    return {
        "containers": containers,
        "processes": {one.name: named[one.name] for one in containers},
        "serving": "web",
        "command": (),
        "port": 8080,
    }


def said(folder: Path, name: str, container: str, word: str) -> float:
    """When a container of a pod said something (ms)."""
    lines = (folder / f"{name}.{container}.log").read_text().splitlines()
    return next(float(line.split()[0]) for line in lines if word in line)


@both
def test_init_containers_and_sidecars_start_in_order_and_the_sidecar_ends_last(tmp_path: Path, mode: str) -> None:
    spec = pod(
        ContainerSpec("setup", Role.INIT),
        ContainerSpec("side", Role.SIDECAR),
        WEB,
        setup=beside("once"),
        side=beside("waits"),
    )

    async def scene() -> None:
        async with running(tmp_path, mode=mode, **spec) as watched:
            assert await watched.cluster.disrupt(1)
            (old,) = watched.old()
            start, exited = old.at(M.STARTED), old.at(M.EXITED)
            assert start is not None and exited is not None and old.exit_code == 0
            beside_it = next(seen.at for seen in watched.seen if "container side: started" in seen.detail)
            assert said(tmp_path, old.name, "setup", "up") < beside_it / MILLISECOND < start / MILLISECOND
            stopped = said(tmp_path, old.name, "side", "stop signal")
            assert exited / MILLISECOND <= stopped
            assert old.facts["container side: exited"] == {"code": 0}

    play(scene)


def test_a_pre_stop_is_answered_by_the_sidecar_over_the_pods_network(tmp_path: Path) -> None:
    web = ContainerSpec("web", readiness=WEB.readiness, pre_stop=Hook(HookKind.HTTP, path="/drain", port=9000))
    spec = pod(ContainerSpec("side", Role.SIDECAR), web, side=beside("hook", "9000", "1"))

    async def scene() -> None:
        async with running(tmp_path, **spec) as watched:
            assert await watched.cluster.disrupt(1)
            (old,) = watched.old()
            deletion, signal, exited = (old.at(m) or 0 for m in (M.DELETION_REQUESTED, M.STOP_SIGNAL, M.EXITED))
            assert 1_000 <= (signal - deletion) / MILLISECOND < 1_000 + LATE
            assert said(tmp_path, old.name, "side", "asked") < signal / MILLISECOND
            assert said(tmp_path, old.name, "side", "stop signal") >= exited / MILLISECOND
            assert old.marks[M.PRESTOP_FINISHED].detail["ok"]

    play(scene)


def test_an_init_container_that_fails_is_run_again_until_it_succeeds(tmp_path: Path) -> None:
    spec = pod(ContainerSpec("setup", Role.INIT), WEB, setup=beside("fails", "1", str(tmp_path / "tries")))

    async def scene() -> None:
        async with running(tmp_path, **spec) as watched:
            assert (tmp_path / "tries").read_text() == "2"
            assert b"200 OK" in await ask(watched)

    with pytest.raises(Exception, match="setup ended with exit code 1 before it was ready"):
        play(scene)


@pytest.mark.parametrize("share", [False, True])
def test_containers_see_each_others_processes_only_where_they_share_them(tmp_path: Path, share: bool) -> None:
    spec = pod(WEB, ContainerSpec("look"), look=beside("looks"))

    async def scene() -> None:
        async with running(tmp_path, share_processes=share, **spec) as watched:
            assert b"200 OK" in await ask(watched)
            while "I am" not in output(tmp_path, f"{next(iter(watched.pods()))}.look"):
                await asyncio.sleep(0.01)
            assert await watched.cluster.disrupt(1)
            (old,) = watched.old()
            text = (tmp_path / f"{old.name}.look.log").read_text()
            assert ("process 1 is pause" in text) is share
            assert ("I am 1\n" in text) is not share
            assert old.exit_code == 0

    play(scene)


@pytest.mark.parametrize(("share", "code"), [(False, 137), (True, 143)])
def test_without_a_handler_only_process_1_survives_the_stop_signal(tmp_path: Path, share: bool, code: int) -> None:
    """A server that is not process 1, since pods share their processes, ends by a signal that it does not catch."""
    spec = pod(WEB, ContainerSpec("look"), web=Process(server("ignores"), ENV), look=beside("waits"))

    async def scene() -> None:
        async with running(tmp_path, share_processes=share, grace=SECOND, **spec) as watched:
            assert await watched.cluster.disrupt(1)
            (old,) = watched.old()
            assert old.exit_code == code

    play(scene)


@both
def test_of_several_containers_the_end_of_one_leaves_the_others_alone(tmp_path: Path, mode: str) -> None:
    spec = pod(WEB, ContainerSpec("other"), other=beside("waits"))

    async def scene() -> None:
        async with running(tmp_path, mode=mode, **spec) as watched:
            (old,) = watched.pods().values()
            watched.cluster.ready_pods()[0].crash()
            await watched.until(M.EXITED, old.name)
            while not watched.cluster.ready_pods():
                await asyncio.sleep(0.02)
            assert (tmp_path / f"{old.name}.other.log").read_text().count("up waits") == 1
            assert watched.pods()[old.name].facts["crashes"]

    play(scene)


def test_volumes_are_at_their_places_and_this_machine_is_not_changed(tmp_path: Path) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "app.ini").write_text("mode = fast\n")
    shell = (
        "cat /etc/lameduck-test/app.ini /lameduck-test/deep/app.ini; ls -d /usr/bin; "
        "touch /lameduck-work/mine && echo mine; "
        "touch /etc/lameduck-test/new 2>&1; exec " + " ".join(server("drains"))
    )
    mounts = (
        Mount(str(tmp_path / "conf"), "/etc/lameduck-test", True),
        Mount(str(tmp_path / "conf"), "/lameduck-test/deep"),
    )
    web = Process(("/bin/sh", "-c", shell), ENV, "/lameduck-test", mounts, {"/lameduck-work": "work", "/srv": "srv"})
    spec = pod(WEB, web=web)

    async def scene() -> None:
        async with running(tmp_path, **spec) as watched:
            text = output(tmp_path, next(iter(watched.pods())))
            assert text.count("mode = fast") == 2
            assert "/usr/bin" in text and "mine" in text
            assert "Read-only file system" in text
            assert await watched.cluster.disrupt(1)

    play(scene)
    assert not Path("/lameduck-test").exists() and not Path("/etc/lameduck-test").exists()
    assert not Path("/lameduck-work").exists()


def test_exec_probes_and_hooks_run_in_their_container(tmp_path: Path) -> None:
    ready = ProbeSpec(command=("/bin/sh", "-c", "test -e /lameduck-work/ready"), period=SECOND // 5)
    stops = Hook(HookKind.EXEC, command=("/bin/sh", "-c", "pwd; echo $$; sleep 0.3"))
    warm = Hook(HookKind.EXEC, command=("/bin/sh", "-c", "touch /lameduck-work/ready"))
    web = ContainerSpec("web", readiness=ready, pre_stop=stops, post_start=warm)
    spec = pod(web, web=Process(server("drains"), ENV, "/usr", scratch={"/lameduck-work": "work"}))

    async def scene() -> None:
        async with running(tmp_path, **spec) as watched:
            assert b"200 OK" in await ask(watched)
            assert await watched.cluster.disrupt(1)
            (old,) = watched.old()
            assert "/usr\n" in output(tmp_path, old.name)
            finished, began = old.at(M.PRESTOP_FINISHED) or 0, old.at(M.PRESTOP_STARTED) or 0
            assert finished - began > 300 * MILLISECOND
            assert old.marks[M.PRESTOP_FINISHED].detail["ok"]

    play(scene)


def test_an_exec_probe_that_hangs_is_ended_at_its_timeout(tmp_path: Path) -> None:
    alive = ProbeSpec(
        command=("/bin/sh", "-c", "sleep 60"), period=SECOND // 2, timeout=SECOND // 2, failure_threshold=1
    )
    web = ContainerSpec("web", liveness=alive)

    async def scene() -> None:
        async with running(tmp_path, **pod(web)) as watched:
            for _ in range(200):
                facts = next(iter(watched.pods().values())).facts
                if "restarted" in facts:
                    break
                await asyncio.sleep(0.05)
            assert facts["restarted"] == "its liveness probe failed: it did not end in time"

    play(scene)


@both
def test_nothing_of_several_containers_is_left(tmp_path: Path, mode: str) -> None:
    spec = pod(ContainerSpec("side", Role.SIDECAR), WEB, side=beside("waits", str(tmp_path)))

    async def scene() -> None:
        async with running(tmp_path, mode=mode, **spec):
            assert _naming(tmp_path)

    play(scene)
    assert not _naming(tmp_path)


def _naming(marker: Path) -> list[str]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                if str(marker).encode() in (entry / "cmdline").read_bytes():
                    found.append(entry.name)
            except OSError:
                continue
    return found
