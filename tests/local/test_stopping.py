"""How a pod stops, in a sandbox, with its own PID namespace only, and emulated: three ways, one behaviour."""

import asyncio
import os
import sys
from pathlib import Path

import pytest
from tests.local.harness import LATE, MODES, ask, output, play, running, server

from lameduck.core.instants import MILLISECOND, SECOND
from lameduck.core.timeline import Event, Milestone, Observation, PodHistory
from lameduck.local import processes

pytestmark = pytest.mark.rollout
each_mode = pytest.mark.parametrize("mode", MODES)
each_process_1 = pytest.mark.parametrize("mode", ["sandbox", "emulated"])
"""`host` differs from `sandbox` in its network only."""
M = Milestone


def rolled(folder: Path, *command: str, mode: str = "sandbox", **spec: object) -> tuple[PodHistory, list[Observation]]:
    """The old pod of one rollout, and everything that was observed."""
    seen: list[Observation] = []
    old: list[PodHistory] = []

    async def scene() -> None:
        async with running(folder, *command, mode=mode, **spec) as watched:
            assert await watched.cluster.disrupt(1)
            seen.extend(watched.seen)
            old.extend(watched.old())

    play(scene)
    (pod,) = old
    return pod, seen


def after(pod: PodHistory, earlier: Milestone, later: Milestone) -> float:
    """Milliseconds between two milestones."""
    first, second = pod.at(earlier), pod.at(later)
    assert first is not None and second is not None, f"{pod.marks}"
    return (second - first) / MILLISECOND


@each_mode
def test_a_server_that_drains_ends_itself_and_every_milestone_comes_in_order(tmp_path: Path, mode: str) -> None:
    pod, seen = rolled(tmp_path, *server("drains"), mode=mode)
    in_order = (
        M.CREATED, M.STARTED, M.READY, M.ENDPOINT_READY, M.DELETION_REQUESTED, M.STOP_SIGNAL, M.EXITED,
        M.GONE,
    )  # fmt: skip
    times = [pod.at(milestone) or 0 for milestone in in_order]
    assert times == sorted(times) and times[0] > 0
    # Listeners are looked at every 10 ms: a probe may have been quicker.
    assert after(pod, M.STARTED, M.LISTENING) > 0 and after(pod, M.LISTENING, M.DELETION_REQUESTED) > 0
    assert M.KILLED not in pod.marks and pod.exit_code == 0
    told = pod.marks[M.STOP_SIGNAL].detail
    assert (told["signal"], told["caught"], told["ignored"], told["is_shell"]) == ("SIGTERM", True, False, False)
    assert [o.what for o in seen if o.subject == "1"] == [Event.DISRUPTION_REQUESTED, Event.DISRUPTION_COMPLETED]
    assert "stop signal" in output(tmp_path, pod.name)


@each_process_1
def test_process_1_without_a_handler_ignores_its_stop_signal_and_is_killed_at_the_end_of_grace(
    tmp_path: Path, mode: str
) -> None:
    pod, _ = rolled(tmp_path, *server("ignores"), mode=mode, grace=2 * SECOND)
    assert pod.exit_code == 137 and M.KILLED in pod.marks
    assert 1_950 < after(pod, M.DELETION_REQUESTED, M.KILLED) < 2_000 + LATE
    assert pod.marks[M.STOP_SIGNAL].detail["caught"] is False


@each_process_1
def test_a_shell_that_does_not_exec_keeps_the_signal_from_its_server(tmp_path: Path, mode: str) -> None:
    script = f"{' '.join(server('drains'))}; exit $?"
    pod, _ = rolled(tmp_path, "bash", "-c", script, mode=mode, grace=2 * SECOND)
    told = pod.marks[M.STOP_SIGNAL].detail
    assert (told["pid1"], told["is_shell"], told["caught"]) == ("bash", True, False)
    assert len(told["children"]) == 1 and told["children"][0].startswith("python")
    assert pod.exit_code == 137
    assert "stop signal" not in output(tmp_path, pod.name)


@each_process_1
def test_a_shell_that_execs_hands_everything_over(tmp_path: Path, mode: str) -> None:
    pod, _ = rolled(tmp_path, "bash", "-c", f"exec {' '.join(server('drains'))}", mode=mode)
    assert pod.marks[M.STOP_SIGNAL].detail["is_shell"] is False and pod.exit_code == 0


@each_process_1
def test_a_trap_that_ends_the_shell_takes_the_server_down_undrained(tmp_path: Path, mode: str) -> None:
    script = f"trap 'exit 143' TERM; {' '.join(server('drains'))} & wait; exit 1"
    pod, _ = rolled(tmp_path, "bash", "-c", script, mode=mode)
    assert pod.exit_code == 143 and pod.marks[M.STOP_SIGNAL].detail["caught"] is True
    assert "stop signal" not in output(tmp_path, pod.name)


@each_process_1
def test_a_child_that_keeps_the_port_ends_with_process_1_and_its_connections_are_closed(
    tmp_path: Path, mode: str
) -> None:
    async def scene() -> None:
        async with running(tmp_path, *server("forks"), mode=mode) as watched:
            child = processes.children(int(next(iter(watched.pods().values())).facts["pid"]))
            assert len(child) == 1
            reader, writer = await connected(watched)
            writer.write(b"GET / HTTP/1.1\r\n\r\n")
            assert (await reader.read(4096)).startswith(b"HTTP/1.1 200")
            rollout = asyncio.create_task(watched.cluster.disrupt(1))
            async with asyncio.timeout(10):
                assert await reader.read() == b"", "closed in good order: the kernel's FIN"
            writer.close()
            await rollout
            assert not Path(f"/proc/{child[0]}").exists()

    play(scene)


async def connected(watched: object) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection through the node's table."""
    route = watched.cluster.dialer().dial()  # type: ignore[attr-defined]
    await asyncio.get_running_loop().sock_connect(route.socket, route.address)
    return await asyncio.open_connection(sock=route.socket)


@each_process_1
def test_sigkill_at_the_end_of_grace_cuts_what_is_in_flight_with_a_fin_and_no_byte(tmp_path: Path, mode: str) -> None:
    async def scene() -> None:
        async with running(tmp_path, *server("ignores"), mode=mode, grace=1 * SECOND) as watched:
            reader, writer = await connected(watched)
            writer.write(b"GET /slow/30 HTTP/1.1\r\n\r\n")
            rollout = asyncio.create_task(watched.cluster.disrupt(1))
            async with asyncio.timeout(10):
                assert await reader.read() == b""
            ended = watched.cluster._clock()
            writer.close()
            await rollout
            (pod,) = watched.old()
            assert 0 < ended - (pod.at(M.KILLED) or 0) < LATE * MILLISECOND
            assert 1_950 < after(pod, M.DELETION_REQUESTED, M.KILLED) < 2_000 + LATE, "a grace of one second is two"

    play(scene)


def test_process_1_that_raises_its_signal_again_lives_on_and_where_that_cannot_be_had_the_pod_says_so(
    tmp_path: Path,
) -> None:
    pod, _ = rolled(tmp_path, *server("raises"), grace=1 * SECOND)
    assert pod.marks[M.STOP_SIGNAL].detail["caught"] is True
    assert pod.exit_code == 137 and pod.facts["handler_gone"] is True and "raised_again" not in pod.facts
    bare, _ = rolled(tmp_path, *server("raises"), mode="emulated")
    assert bare.exit_code == 143 and bare.facts["raised_again"] is True and "handler_gone" not in bare.facts


@each_process_1
def test_an_exec_hook_runs_inside_the_pod_and_the_stop_signal_waits_for_it(tmp_path: Path, mode: str) -> None:
    hook = ("bash", "-c", "echo hook of $POD_NAME on $(hostname) as $$; sleep 0.5")
    pod, _ = rolled(tmp_path, *server("drains"), mode=mode, pre_stop_exec=hook)
    done = pod.marks[M.PRESTOP_FINISHED].detail
    assert (done["ok"], done["kind"], done["message"]) == (True, "exec", "")
    assert 450 < after(pod, M.PRESTOP_STARTED, M.STOP_SIGNAL) < 500 + LATE
    said = output(tmp_path, pod.name)
    assert f"hook of {pod.name} on " in said
    if mode != "emulated":
        assert f" on {pod.name} as " in said and int(said.split(" as ")[1].split()[0]) < 50, "the pod's own numbers"


@pytest.mark.parametrize(
    ("mode", "hook", "message"),
    [
        ("sandbox", ("nosuchcommand-lameduck",), "nosuchcommand-lameduck: no such file or directory"),
        ("emulated", ("nosuchcommand-lameduck",), "nosuchcommand-lameduck: no such file or directory"),
        ("sandbox", ("sh", "-c", "nosuchcommand-lameduck 5"), "ended with 127"),
        ("sandbox", ("false",), "ended with 1"),
        ("sandbox", ("bash", "-c", "kill -9 $$"), "ended with 137"),
    ],
)
def test_a_hook_that_fails_is_said_to_and_the_stop_signal_comes_at_once(
    tmp_path: Path, mode: str, hook: tuple[str, ...], message: str
) -> None:
    pod, _ = rolled(tmp_path, *server("drains"), mode=mode, pre_stop_exec=hook)
    done = pod.marks[M.PRESTOP_FINISHED].detail
    assert (done["ok"], done["message"]) == (False, message)
    assert done.get("missing_binary", False) == ("nosuchcommand-lameduck" in hook[-1])
    assert after(pod, M.DELETION_REQUESTED, M.STOP_SIGNAL) < LATE, "long before the end of grace"


def test_a_hook_that_outlives_the_grace_period_leaves_two_seconds_and_is_not_ended_before_the_pod_is(
    tmp_path: Path,
) -> None:
    hook = ("bash", "-c", "sleep 30 & trap 'echo told' TERM; wait")
    pod, _ = rolled(tmp_path, *server("ignores"), grace=1 * SECOND, pre_stop_exec=hook)
    assert 950 < after(pod, M.PRESTOP_STARTED, M.STOP_SIGNAL) < 1_000 + LATE
    assert 2_950 < after(pod, M.PRESTOP_STARTED, M.KILLED) < 3_000 + LATE
    done = pod.marks[M.PRESTOP_FINISHED].detail
    assert (done["ok"], done["message"]) == (False, "the container ended before it")
    assert "told" not in output(tmp_path, pod.name)


def test_a_native_sleep_delays_the_stop_signal_by_its_seconds(tmp_path: Path) -> None:
    pod, _ = rolled(tmp_path, *server("drains"), pre_stop_sleep=1)
    assert 950 < after(pod, M.PRESTOP_STARTED, M.STOP_SIGNAL) < 1_000 + LATE
    assert after(pod, M.ENDPOINT_NOT_READY, M.STOP_SIGNAL) > 0, "its endpoint goes at once"


@pytest.mark.parametrize("path", ["/slow/0.7", "/ready"])
def test_an_http_hook_is_over_with_its_answer_and_any_answer_will_do(tmp_path: Path, path: str) -> None:
    pod, _ = rolled(tmp_path, *server("sick"), pre_stop_http=(path, 0))
    assert pod.marks[M.PRESTOP_FINISHED].detail["ok"] is True
    expected = 700 if "slow" in path else 0
    assert expected - 50 < after(pod, M.PRESTOP_STARTED, M.STOP_SIGNAL) < expected + LATE


def test_an_http_hook_to_a_closed_port_has_failed(tmp_path: Path) -> None:
    pod, _ = rolled(tmp_path, *server("drains"), pre_stop_http=("/", 9))
    assert pod.marks[M.PRESTOP_FINISHED].detail["message"] == "GET / on port 9: connection refused"


def test_a_listener_closed_while_the_process_lives_on_is_seen_and_one_that_ends_with_it_is_not(tmp_path: Path) -> None:
    async def scene() -> None:
        async with running(tmp_path, *server("drains")) as watched:
            reader, writer = await connected(watched)
            writer.write(b"GET /held HTTP/1.1\r\n\r\n")  # is answered after one more byte
            while "held" not in output(tmp_path):
                await asyncio.sleep(0.01)
            rollout = asyncio.create_task(watched.cluster.disrupt(1))
            closed = await watched.until(M.LISTENER_CLOSED)
            await asyncio.sleep(0.1)
            assert M.EXITED not in watched.pods()[closed.subject].marks
            writer.write(b".")
            assert (await reader.read(4096)).startswith(b"HTTP/1.1 200")
            writer.close()
            await rollout
            (pod,) = watched.old()
            assert after(pod, M.STOP_SIGNAL, M.LISTENER_CLOSED) > 0
            assert after(pod, M.LISTENER_CLOSED, M.EXITED) > 100

    play(scene)
    pod, _ = rolled(tmp_path / "exits", *server("exits"))
    assert M.LISTENER_CLOSED not in pod.marks


@pytest.mark.parametrize(("behaviour", "accepted"), [("queues", False), ("unread", True)])
def test_the_kernel_tells_a_reset_in_the_accept_queue_from_one_of_an_accepted_connection(
    tmp_path: Path, behaviour: str, accepted: bool
) -> None:
    async def scene() -> None:
        async with running(tmp_path, *server(behaviour)) as watched:
            reader, writer = await connected(watched)
            writer.write(b"GET / HTTP/1.1\r\n\r\n")
            rollout = asyncio.create_task(watched.cluster.disrupt(1))
            with pytest.raises(ConnectionResetError):
                await reader.read()
            writer.close()
            await rollout
            (pod,) = watched.old()
            assert pod.facts.get("none_reset_once_accepted", False) is not accepted

    play(scene)


def test_readiness_goes_on_while_terminating_and_a_503_there_takes_the_last_resort_away(tmp_path: Path) -> None:
    async def scene() -> None:
        never_to_come = f"[ $LAMEDUCK_REVISION = 1 ] || exec sleep 60; exec {' '.join(server('unready'))}"
        async with running(
            tmp_path, "bash", "-c", never_to_come, ready_path="/ready", max_surge=0, max_unavailable=1
        ) as watched:
            rollout = asyncio.create_task(watched.cluster.disrupt(1))
            await watched.until(M.STOP_SIGNAL)
            name = watched.old()[0].name
            assert (await ask(watched)).startswith(b"HTTP/1.1 200"), "it terminates, and serves as the last resort"
            rejected = False
            while not rejected:
                assert M.EXITED not in watched.old()[0].marks
                rejected = watched.cluster.dialer().dial().socket is None
                await asyncio.sleep(0.02)
            assert next(p for p in watched.cluster.pods() if p.name == name).stage == "stopping"
            rollout.cancel()

    play(scene)


def test_a_pod_that_crashes_is_started_again_under_its_name_and_address(tmp_path: Path) -> None:
    async def scene() -> None:
        async with running(tmp_path, *server("exits")) as watched:
            (pod,) = watched.pods().values()
            os.kill(int(pod.facts["pid"]), 9)
            seen = await watched.until(M.EXITED)
            assert dict(seen.detail) == {"code": 137, "crash": True}
            while watched.cluster.pods()[0].stage != "ready":
                await asyncio.sleep(0.02)
            while not (answer := await ask_anyway(watched)):
                await asyncio.sleep(0.02)
            assert answer.startswith(b"HTTP/1.1 200")
            assert list(watched.pods()) == [pod.name]
            assert watched.pods()[pod.name].facts["restarts"] == 1

    play(scene)


async def ask_anyway(watched: object) -> bytes:
    """An answer, b"" for none."""
    try:
        return await ask(watched)  # type: ignore[arg-type]
    except OSError:
        return b""


@each_process_1
def test_the_journal_of_lameduck_pod_run_tells_when_the_server_was_told(tmp_path: Path, mode: str) -> None:
    run = (sys.executable, "-m", "lameduck_pod", "run", "--delay", "500ms", "--")
    pod, _ = rolled(tmp_path, *run, *server("drains"), mode=mode)
    assert 490 < after(pod, M.STOP_SIGNAL, M.FORWARDED) < 500 + LATE
    assert after(pod, M.FORWARDED, M.EXITED) > 0 and pod.exit_code == 0
    told = pod.marks[M.FORWARDED]
    assert (told.source, told.detail["signal"], told.detail["waited_ns"] > 0) == ("journal", "SIGTERM", True)
    assert pod.marks[M.STOP_SIGNAL].detail["caught"] is True and pod.facts["command_code"] == 0
