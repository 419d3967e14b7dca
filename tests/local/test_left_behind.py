"""However lameduck ends, nothing of its pods is left: no process, no namespace, no port."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
from tests.local.harness import SERVER

from lameduck.local import processes

pytestmark = pytest.mark.rollout

ROOT = Path(__file__).parent.parent.parent
HOLDING = str(Path(__file__).parent / "servers" / "holding.py")
PYTHON = "/usr/bin/python3"
NOBODY = 65534
KINDS = ("net", "pid", "user")


def ordinary() -> list[str]:
    """A prefix that makes a command an ordinary user's; [] where we are one already. Skips where it cannot be had."""
    if os.getuid():
        return []
    prefix = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    if shutil.which("setpriv") is None:
        pytest.skip("no setpriv")
    able = (
        f"import sys; sys.path.insert(0, {str(ROOT / 'src')!r}); import lameduck; sys.exit(sys.version_info < (3, 11))"
    )
    if subprocess.run([*prefix, PYTHON, "-c", able], capture_output=True, cwd="/", check=False).returncode:
        pytest.skip(f"{PYTHON} cannot run {ROOT} as an ordinary user")
    return prefix


@contextmanager
def held(
    *command: str, user: str = "", sandbox: str = "", words: str = "own user, PID, network namespace"
) -> Iterator[tuple[subprocess.Popen[str], set[int], set[str]]]:
    """A cluster held up by another process; that process, all below it, and their namespaces."""
    prefix = ordinary() if user else []
    python = PYTHON if prefix else sys.executable
    environment = {
        **os.environ, "PYTHONPATH": str(ROOT / "src"), "LAMEDUCK_SANDBOX": sandbox, "PYTHONDONTWRITEBYTECODE": "1",
    }  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="lameduck-test-") as folder:
        Path(folder).chmod(0o777)
        whole = [*prefix, python, HOLDING, f"{folder}/run", *(command or (python, SERVER, "ignores"))]
        with subprocess.Popen(whole, stdout=subprocess.PIPE, env=environment, text=True, cwd="/") as process:
            assert process.stdout is not None
            try:
                line = process.stdout.readline()
                assert line.startswith(f"up {words}: "), line
                time.sleep(0.5)  # into a rollout: an old pod terminates, a new one starts
                below = set(processes.descendants(process.pid))
                assert len(below) >= 5, "zygote, two holders, two pods"
                with kept(below):
                    yield process, below, namespaces(below) - namespaces({os.getpid()})
            finally:
                process.kill()
        assert {file.name for file in Path(folder).iterdir()} == {"run"}
        assert {file.suffix for file in Path(folder, "run").iterdir()} == {".log"}


def namespaces(pids: set[int]) -> set[str]:
    """Of those that live: a zombie, which only its reaper can end, still shows some."""
    found = set()
    for pid in alive(pids):
        for kind in KINDS:
            try:
                found.add(str(Path(f"/proc/{pid}/ns/{kind}").readlink()))
            except OSError:
                continue
    return found


@contextmanager
def kept(pids: set[int]) -> Iterator[None]:
    """Hold their namespaces open meanwhile: the number of one that is gone may be given to somebody else's."""
    with ExitStack() as stack:
        for pid in pids:
            for kind in KINDS:
                with suppress(OSError):
                    stack.enter_context(Path(f"/proc/{pid}/ns/{kind}").open("rb"))
        yield


def everything() -> set[int]:
    return {int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()}


def alive(pids: set[int]) -> set[int]:
    """Those that are no zombies: a reaper may be slow."""
    found = set()
    for pid in pids:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if state not in "ZX":
            found.add(pid)
    return found


def within(seconds: float, true: Callable[[], bool]) -> bool:
    until = time.monotonic() + seconds
    while not true():
        if time.monotonic() > until:
            return False
        time.sleep(0.01)
    return True


def nothing_left(below: set[int], spaces: set[str]) -> None:
    assert within(15, lambda: not alive(below)), {p: processes.program(p) for p in alive(below)}
    assert within(15, lambda: not namespaces(everything()) & spaces)


each_sandbox = pytest.mark.parametrize(
    ("sandbox", "words"),
    [("", "own user, PID, network namespace"), ("off", "bare processes")],
    ids=["sandbox", "emulated"],
)


@each_sandbox
@pytest.mark.parametrize("user", ["", "ordinary"])
def test_kill_9_of_lameduck_takes_every_pod_with_it(user: str, sandbox: str, words: str) -> None:
    with held(user=user, sandbox=sandbox, words=words) as (process, below, spaces):
        assert bool(spaces) == (sandbox == "")
        process.send_signal(signal.SIGKILL)
        process.wait()
        nothing_left(below, spaces)


@each_sandbox
def test_ctrl_c_ends_every_pod_before_lameduck_ends(sandbox: str, words: str) -> None:
    with held(sandbox=sandbox, words=words) as (process, below, spaces):
        begun = time.monotonic()
        process.send_signal(signal.SIGINT)
        assert process.stdout is not None
        assert process.stdout.read().endswith("stopped\n")
        assert process.wait() == 130
        assert time.monotonic() - begun < 10, "nobody waits for a grace period, of 30 s, then"
        assert not alive(below)
        assert not namespaces(everything()) & spaces


@each_sandbox
def test_what_a_pod_leaves_in_the_background_goes_too(sandbox: str, words: str) -> None:
    detached = f"(setsid sleep 1000 &); exec {sys.executable} {SERVER} drains"
    with held("bash", "-c", detached, sandbox=sandbox, words=words) as (process, below, spaces):
        sleepers = {pid for pid in below if processes.program(pid) == "sleep"}
        assert len(sleepers) >= 2
        process.send_signal(signal.SIGKILL)
        process.wait()
        nothing_left(below, spaces)


def test_kill_9_of_the_zygote_takes_the_pods_with_it_and_lameduck_says_so() -> None:
    with held() as (process, below, spaces):
        (zygote,) = processes.children(process.pid)
        os.kill(zygote, signal.SIGKILL)
        assert process.wait(30) == 1
        nothing_left(below, spaces)


def test_kill_9_of_a_holder_takes_its_pod_with_it() -> None:
    with held() as (process, below, spaces):
        (zygote,) = processes.children(process.pid)
        holder = processes.children(zygote)[0]
        (pod,) = processes.children(holder)
        os.kill(holder, signal.SIGKILL)
        assert within(15, lambda: not alive({holder, pod}))
        process.wait(30)
        nothing_left(below, spaces)


def test_a_ctrl_c_at_the_terminal_reaches_lameduck_only() -> None:
    with held() as (process, below, _):
        groups = {os.getpgid(pid) for pid in below}
        assert os.getpgid(process.pid) not in groups
