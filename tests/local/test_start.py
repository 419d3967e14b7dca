"""How a workload comes up, and the one line that says why it does not."""

import asyncio
import errno
import re
import socket
from pathlib import Path

import pytest
from tests.local.harness import BRISK, Watched, ask, output, play, running, server

from lameduck.core.errors import EnvironmentFault, LameduckError, UsageError
from lameduck.core.instants import SECOND
from lameduck.core.timeline import Milestone
from lameduck.local.cluster import LocalCluster
from lameduck.local.kubelet import KubeletPod
from lameduck.local.spec import LocalSpec

pytestmark = pytest.mark.rollout


def refused(folder: Path, *command: str, mode: str = "sandbox", **spec: object) -> LameduckError:
    """The error that a start ends with."""

    async def scene() -> None:
        with pytest.raises(LameduckError) as raised:
            async with running(folder, *command, mode=mode, **spec):
                pass
        errors.append(raised.value)

    errors: list[LameduckError] = []
    play(scene)
    return errors[0]


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"command": ()}, "no command to run: give it after --"),
        ({"command": ("nosuchcommand-lameduck",)}, "no such command on the PATH: nosuchcommand-lameduck"),
        ({"command": ("./nosuch/server",)}, "no such command: ./nosuch/server"),
        ({"command": (__file__,)}, "test_start.py is not executable: chmod +x it"),
        ({"replicas": 0}, "0 replicas leave nothing to prove"),
        ({"pre_stop_sleep": 31}, "preStop sleep 31 s does not fit into a grace period of 30 s"),
        ({"pre_stop_sleep": -1}, "preStop sleep -1 s does not fit"),
        ({"pre_stop_sleep": 1, "pre_stop_exec": ("true",)}, "a container has one preStop hook"),
        ({"pre_stop_exec": ()}, "the preStop exec hook has no command"),
        ({"ready_path": "ready"}, "the readiness path 'ready' must begin with /"),
        ({"max_surge": "a quarter"}, "'a quarter' is neither a number of pods nor a percentage"),
        ({"reach": (("2001:db8::1", 80),)}, "a pod's network is IPv4 only: name 2001:db8::1 by its host name"),
        ({"env": {"PATH": "/nowhere"}, "command": ("python3",)}, "no such command on the PATH: python3"),
    ],
)
def test_what_could_never_work_is_refused_before_anything_runs(
    tmp_path: Path, spec: dict[str, object], words: str
) -> None:
    whole = {"command": server("drains"), "run_dir": tmp_path / "run", "grace": 30 * SECOND, **spec}
    cluster = LocalCluster(LocalSpec(**whole), lambda _: None)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=re.escape(words)) as raised:
        asyncio.run(cluster.start())
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "run").exists()


def test_a_sleep_as_long_as_the_grace_period_is_allowed(tmp_path: Path) -> None:
    LocalSpec(command=server("drains"), grace=5 * SECOND, pre_stop_sleep=5, run_dir=tmp_path).check()


def test_a_machine_that_has_nothing_left_for_another_pod_ends_the_rollout_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen with 200 pods: the second one of a rollout is made on a timer, where an exception stops nothing."""

    async def scene() -> None:
        async with running(tmp_path, *server("drains"), replicas=2, port=8001, env={"PORT": "8001"}) as watched:
            made = 0

            def make(*arguments: object) -> KubeletPod:
                nonlocal made
                made += 1
                if made == 2:
                    raise OSError(errno.EMFILE, "Too many open files")
                return make_one(*arguments)  # type: ignore[arg-type]

            make_one = watched.cluster._maker.make
            monkeypatch.setattr(watched.cluster._maker, "make", make)
            with pytest.raises(EnvironmentFault, match="cannot be started: Too many open files"):
                async with asyncio.timeout(20):
                    await watched.cluster.disrupt(1)

    play(scene)


@pytest.mark.parametrize("mode", ["sandbox", "emulated"])
def test_a_pod_that_ends_before_it_was_ready_shows_its_last_words(tmp_path: Path, mode: str) -> None:
    error = refused(tmp_path, *server("dies"), mode=mode)
    assert isinstance(error, EnvironmentFault)
    first, *rest = str(error).splitlines()
    assert "ended with exit code 3 before it was ready" in first
    assert rest[-1] == "cannot find my configuration"


def test_at_most_twenty_last_lines_are_shown(tmp_path: Path) -> None:
    error = refused(tmp_path, "bash", "-c", "seq 100; exit 1")
    assert str(error).splitlines()[1:] == [str(n) for n in range(81, 101)]


def test_a_silent_death_is_said_to_be_silent(tmp_path: Path) -> None:
    assert str(refused(tmp_path, "false")).endswith("It printed nothing.")


def test_a_command_that_cannot_be_executed_is_said_to(tmp_path: Path) -> None:
    script = tmp_path / "server"
    script.write_text("#!/no/such/interpreter\n")
    script.chmod(0o755)
    assert "no such file or directory before it was ready" in str(refused(tmp_path, str(script)))


def test_a_server_on_127_0_0_1_is_never_ready_as_in_a_real_pod_and_the_error_says_why(tmp_path: Path) -> None:
    error = refused(tmp_path, *server("loopback"), start_deadline=2 * SECOND)
    assert "not ready within 2.00 s" in str(error)
    assert "it listens on 127.0.0.1:8080 only, which nobody outside the pod can reach: bind 0.0.0.0" in str(error)


def test_a_server_on_127_0_0_1_is_refused_on_a_named_port_too(tmp_path: Path) -> None:
    error = refused(tmp_path, *server("loopback"), port=8080, start_deadline=2 * SECOND)
    assert "it listens on 127.0.0.1:8080 only" in str(error)


def test_a_port_that_never_opens_is_said_to(tmp_path: Path) -> None:
    error = refused(tmp_path, *server("deaf"), start_deadline=2 * SECOND)
    assert "it listens on no port" in str(error)


def test_a_named_port_that_never_opens_names_those_that_did(tmp_path: Path) -> None:
    error = refused(tmp_path, *server("drains"), port=9000, env={"PORT": "8001"}, start_deadline=2 * SECOND)
    assert "nobody listens on port 9000, but on 8001" in str(error)


def test_somebody_who_listens_elsewhere_does_not_make_the_pod_a_listening_one(tmp_path: Path) -> None:
    async def scene() -> None:
        watched = Watched(tmp_path, *server("drains"), port=9000, env={"PORT": "8001"}, start_deadline=2 * SECOND)
        with pytest.raises(EnvironmentFault, match="but on 8001"):
            await watched.cluster.start()
        await watched.cluster.stop()
        assert Milestone.STARTED in {seen.what for seen in watched.seen}
        assert Milestone.LISTENING not in {seen.what for seen in watched.seen}

    play(scene)


def test_readiness_that_is_never_true_says_what_was_answered(tmp_path: Path) -> None:
    error = refused(tmp_path, *server("sick"), ready_path="/ready", start_deadline=4 * SECOND)
    assert "GET /ready on port 8080: answered 503" in str(error)


def test_several_ports_are_an_error_that_names_them(tmp_path: Path) -> None:
    error = refused(tmp_path, *server("two-ports"))
    assert isinstance(error, UsageError)
    assert str(error) == "the command listens on several ports (8081, 8082): say which one is the Service's with --port"


def test_of_several_ports_the_named_one_is_taken(tmp_path: Path) -> None:
    async def scene() -> None:
        async with running(tmp_path, *server("two-ports"), port=8001, env={"PORT": "8000"}) as watched:
            assert (await ask(watched)).startswith(b"HTTP/1.1 200")

    play(scene)


def test_a_command_that_does_not_take_the_port_it_is_given_is_told_how_where_pods_share_a_network(
    tmp_path: Path,
) -> None:
    error = refused(tmp_path, *server("other-port"), mode="host", start_deadline=2 * SECOND)
    assert "nobody listens on port" in str(error) and "let the command use $PORT or {port}" in str(error)


def test_a_port_of_the_servers_own_choice_is_found(tmp_path: Path) -> None:
    async def scene() -> None:
        async with running(tmp_path, *server("other-port")) as watched:
            assert watched.cluster.dialer().dial().address[1] == 8081
            assert (await ask(watched)).startswith(b"HTTP/1.1 200")

    play(scene)


def test_a_server_that_listens_late_is_ready_later(tmp_path: Path) -> None:
    async def scene() -> None:
        async with running(tmp_path, *server("late")) as watched:
            (pod,) = watched.pods().values()
            started, listening, ready = (
                pod.at(m) or 0 for m in (Milestone.STARTED, Milestone.LISTENING, Milestone.READY)
            )
            assert listening - started > 0.8 * SECOND
            assert ready > started + 0.8 * SECOND, "it was not ready before it listened"

    play(scene)


@pytest.mark.parametrize("mode", ["sandbox", "emulated"])
def test_the_command_is_told_its_port_its_name_and_its_address(tmp_path: Path, mode: str) -> None:
    async def scene() -> None:
        async with running(
            tmp_path, *server("drains", "{port}", "x={port}"), mode=mode, env={"COLOUR": "green"}
        ) as watched:
            (name,) = watched.pods()
            address = watched.cluster.dialer().dial().address
            assert f"{name} " in output(tmp_path) and f" {address[1]} x={address[1]}" in output(tmp_path)
            environment = Path(f"/proc/{watched.pods()[name].facts['pid']}/environ").read_bytes().split(b"\0")
            wanted = {"PORT": address[1], "POD_NAME": name, "HOSTNAME": name, "POD_IP": address[0], "COLOUR": "green"}
            assert {f"{key}={value}".encode() for key, value in wanted.items()} <= set(environment)

    play(scene)


@pytest.mark.parametrize("mode", ["sandbox", "emulated"])
def test_a_process_finds_its_signals_at_their_defaults_and_nothing_of_ours_open(tmp_path: Path, mode: str) -> None:
    look = "grep -E 'SigIgn|SigBlk' /proc/self/status; ls /proc/self/fd | sed 's/^/fd /'"

    async def scene() -> None:
        async with running(tmp_path, "bash", "-c", f"{look}; exec {' '.join(server('drains'))}", mode=mode):
            said = output(tmp_path)
            signals = [line.split() for line in said.splitlines() if line.startswith("Sig")]
            assert signals == [["SigBlk:", "0" * 16], ["SigIgn:", "0" * 16]]
            opened = {line.split()[1] for line in said.splitlines() if line.startswith("fd ")}
            assert opened == {"0", "1", "2", "3"}, "3 is ls's own"

    play(scene)


def test_each_pod_has_an_address_and_a_host_name_of_its_own(tmp_path: Path) -> None:
    async def scene() -> None:
        async with running(tmp_path, *server("drains"), replicas=3) as watched:
            dialer = watched.cluster.dialer()
            routes = {route.pod: route.address for route in (dialer.dial() for _ in range(100))}
            assert len(set(routes.values())) == 3 and {port for _, port in routes.values()} == {8080}
            served = {(await ask(watched)).split(b"X-Served-By: ")[1].split(b"\r\n")[0].decode() for _ in range(40)}
            assert served == set(routes)

    play(scene)


def test_where_pods_share_a_network_each_gets_a_free_port(tmp_path: Path) -> None:
    async def scene() -> None:
        async with running(tmp_path, *server("drains"), replicas=3, mode="host") as watched:
            dialer = watched.cluster.dialer()
            addresses = {route.address for route in (dialer.dial() for _ in range(100))}
            assert len(addresses) == 3 and {host for host, _ in addresses} == {"127.0.0.1"}

    play(scene)


def test_the_facts_say_how_the_pods_are_kept_apart(tmp_path: Path) -> None:
    async def scene() -> None:
        for mode, words in (
            ("sandbox", "own user, PID, network namespace"),
            ("host", "own user, PID namespace"),
            ("emulated", "bare processes"),
        ):
            async with running(tmp_path / mode, *server("drains"), mode=mode, pre_stop_sleep=2) as watched:
                facts = watched.cluster._facts()
                assert facts.details["isolation"] == words
                assert (facts.pre_stop, facts.pre_stop_delay) == ("sleep 2 s", 2 * SECOND)
                assert bool(facts.notes) == (mode != "sandbox")

    play(scene)


def test_a_fresh_service_is_in_force_before_the_start_is_over(tmp_path: Path) -> None:
    async def scene() -> None:
        async with running(tmp_path, *server("drains"), replicas=3, min_sync=1 * SECOND) as watched:
            dialer = watched.cluster.dialer()
            assert len({dialer.dial().pod for _ in range(100)}) == 3

    play(scene)


def test_a_rollout_that_gets_no_further_is_given_up_at_its_deadline_and_the_old_pods_serve_on(tmp_path: Path) -> None:
    async def scene() -> None:
        only_once = f"[ $LAMEDUCK_REVISION = 1 ] || exec sleep 60; exec {' '.join(server('drains'))}"
        async with running(tmp_path, "bash", "-c", only_once, progress_deadline=2 * SECOND) as watched:
            assert not await watched.cluster.disrupt(1)
            why = watched.seen[-1].detail["why"]
            assert "no progress within 2.00 s" in why and "nobody listens on port 8080" in why
            assert (await ask(watched)).startswith(b"HTTP/1.1 200")
            assert not watched.old()

    play(scene)


def test_a_port_that_is_taken_in_the_shared_network_does_not_confuse_anybody(tmp_path: Path) -> None:
    async def scene() -> None:
        with socket.create_server(("127.0.0.1", 0)):
            async with running(tmp_path, *server("drains"), mode="host") as watched:
                assert (await ask(watched)).startswith(b"HTTP/1.1 200")

    play(scene)


def test_two_clusters_at_once_do_not_meet(tmp_path: Path) -> None:
    async def scene() -> None:
        async with (
            running(tmp_path / "a", *server("drains")) as one,
            running(tmp_path / "b", *server("drains")) as two,
        ):
            assert await asyncio.gather(one.cluster.disrupt(1), two.cluster.disrupt(1)) == [True, True]

    play(scene)


def test_brisk_timings_are_only_for_tests() -> None:
    assert LocalSpec(("x",)).timings.start[1] == 520 and BRISK.start[1] == 1
