"""Bad input and bad luck: one line that says what to do, the right exit code, nothing left running, nothing lost."""

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.proving.brisk import SERVERS, zoo

from lameduck.runfile import read

pytestmark = pytest.mark.timeout(120)

FAST = ("--replicas", "1", "--qps", "110", "--rollouts", "1", "--quiet")  # a baseline has 500 requests


def lameduck(folder: Path, *words: str, **more: object) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "XDG_STATE_HOME": str(folder / "state"), "COLUMNS": "200"}
    command = [sys.executable, "-m", "lameduck", "prove", *words]
    return subprocess.run(  # type: ignore[call-overload, no-any-return]
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=100, check=False, **more
    )


def leftovers(marker: Path) -> list[str]:
    """Processes whose command line or environment names the marker."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                text = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
            except OSError:
                continue
            if str(marker).encode() in text:
                found.append(f"{entry.name} {text[:80]!r}")
    return found


def gone(marker: Path, patience: float = 20.0) -> bool:
    """Whether everything that names the marker is gone within some seconds."""
    end = time.monotonic() + patience
    while leftovers(marker) and time.monotonic() < end:
        time.sleep(0.05)
    return not leftovers(marker)


ROWS = {
    "no command": ((), 2, "Put the command after --"),
    "no such command": (("--", "no-such-server"), 2, "no such command"),
    "a command that is not executable": (("--", str(SERVERS / "zoo.py")), 2, "not executable"),
    "an option that does not exist": (("--rollout", "3"), 2, "unrecognized arguments: --rollout"),
    "a rate that is no number": (("--qps", "many", "--", "true"), 2, "--qps"),
    "a preStop longer than the grace": (
        ("--grace", "5", "--pre-stop-sleep", "6", "--", "true"), 2, "does not fit into a grace period of 5"),
    "a stop signal that is none": (("--stop-signal", "softly", "--", "true"), 2, "--stop-signal is a signal such as"),
    "a reach without a port": (("--reach", "db", "--", "true"), 2, "HOST:PORT"),
    "surge in words": (("--max-surge", "some", "--", "true"), 2, "--max-surge is a number or a percentage"),
    "a server that ends at once": (
        ("--", sys.executable, "-c", "print('no database'); raise SystemExit(3)"), 4, "no database"),
    "a server that listens on loopback only": (
        ("--start-deadline", "3", "--", *zoo("binds-loopback")), 4, "bind 0.0.0.0"),
    "a port that never opens": (
        ("--start-deadline", "2", "--", sys.executable, "-c", "import time; time.sleep(99)"), 4, "listens on no port"),
    "a readiness path that is never right": (
        ("--start-deadline", "3", "--ready-path", "/x/y", "--", sys.executable, "-m", "http.server", "{port}"),
        4, "404"),
    "a header from a variable that is not set": (
        ("--header-env", "Authorization=NO_SUCH_VARIABLE", "--", *zoo("lame")), 2, "NO_SUCH_VARIABLE"),
    "a run folder that cannot be made": (("--run-dir", "/proc/none", "--", *zoo("lame")), 4, "--run-dir"),
}  # fmt: skip


@pytest.mark.parametrize("row", ROWS)
def test_a_mistake_ends_in_one_line_that_says_what_to_do(tmp_path: Path, row: str) -> None:
    words, code, says = ROWS[row]
    done = lameduck(tmp_path, "--local", *FAST, *words)
    assert (done.returncode, done.stdout) == (code, "")
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert "judging" not in done.stderr
    assert gone(tmp_path)


def test_an_unknown_key_in_the_configuration_names_the_file_and_the_nearest_key(tmp_path: Path) -> None:
    (tmp_path / "lameduck.toml").write_text("rolouts = 2\n")
    done = lameduck(tmp_path, "--local", *FAST, "--", *zoo("lame"))
    assert done.returncode == 2
    assert "lameduck.toml: no command has a setting 'rolouts'; did you mean 'rollouts'?" in done.stderr


@pytest.mark.rollout
def test_a_rate_beyond_the_machine_is_said_to_be_so(tmp_path: Path) -> None:
    done = lameduck(tmp_path, "--local", *FAST, "--qps", "60000", "--rollouts", "0",
                    "--duration", "1s", "--", *zoo("lame"))  # fmt: skip
    assert done.returncode in {1, 3}
    assert "✗ the plan was sent" in done.stdout or "✗ the engine was on time" in done.stdout
    assert gone(tmp_path)


@pytest.mark.rollout
def test_ctrl_c_ends_the_load_judges_what_there_is_and_leaves_nothing(tmp_path: Path) -> None:
    environment = {**os.environ, "XDG_STATE_HOME": str(tmp_path)}
    command = [sys.executable, "-m", "lameduck", "prove", "--local", "--qps", "110", "--run-dir", str(tmp_path / "run"),
               "--", *zoo("lame")]  # fmt: skip
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stderr is not None
        for line in child.stderr:
            if "rollout 1" in line:
                break
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=90)
    assert child.returncode == 130
    assert "Traceback" not in err
    assert "INCONCLUSIVE" in out
    run = read(tmp_path / "run").run
    assert (run.complete, run.stopped_early) == (True, "interrupted")
    assert len(run.recording) > 50
    assert gone(tmp_path)


@pytest.mark.rollout
def test_kill_9_leaves_no_process_and_a_readable_run(tmp_path: Path) -> None:
    environment = {**os.environ, "XDG_STATE_HOME": str(tmp_path)}
    command = [sys.executable, "-m", "lameduck", "prove", "--local", "--qps", "110", "--run-dir", str(tmp_path / "run"),
               "--", *zoo("lame")]  # fmt: skip
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stderr is not None
        for line in child.stderr:
            if "rollout 1" in line:
                break
        child.kill()
        child.wait(timeout=10)
    assert gone(tmp_path)
    run = read(tmp_path / "run").run
    assert not run.complete
    assert len(run.recording) > 50


@pytest.mark.rollout
def test_a_full_disk_ends_the_proof_with_a_word_about_the_folder(tmp_path: Path) -> None:
    def small_files_only() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (96 * 1024, 96 * 1024))

    done = lameduck(tmp_path, "--local", "--qps", "500", "--rollouts", "9", "--replicas", "1", "--quiet",
                    "--", *zoo("lame"), preexec_fn=small_files_only)  # fmt: skip
    assert done.returncode == 4
    assert "can no longer be written" in done.stderr
    assert "--run-dir" in done.stderr
    assert gone(tmp_path)


@pytest.mark.rollout
def test_two_proofs_at_once_do_not_meet(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "lameduck", "prove", "--local", *FAST, "--", *zoo("lame")]
    folders = [tmp_path / "a", tmp_path / "b"]
    children = []
    for folder in folders:
        folder.mkdir()
        environment = {**os.environ, "XDG_STATE_HOME": str(folder)}
        children.append(subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True))
    for child in children:
        out, _ = child.communicate(timeout=100)
        assert child.returncode in {0, 3}, out
        assert " 0 of " in out
    assert all(gone(folder) for folder in folders)
