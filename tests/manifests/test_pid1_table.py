"""The table of shells and wrappers, measured again with what is installed, as PID 1 of a PID namespace.

The server here says "ready", drains for a while on the stop signal and says "drained". A way *drains* when that word is
read; it *dies* when the namespace ends without it; it *ignores* when it lives on until SIGKILL.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.manifests.workbench import project_of

from lameduck.manifests.chain import Chain
from lameduck.manifests.programs import WRAPPERS, Does
from lameduck.manifests.text import Text
from lameduck.manifests.walking import chain_of_script

SERVER = """\
import os, signal, time
OUT = int(os.environ["OUT"])
def stop(*_):
    time.sleep(0.4)
    os.write(OUT, b"drained\\n")
    os._exit(0)
signal.signal(signal.SIGTERM, stop)
os.write(OUT, b"ready\\n")
while True:
    time.sleep(0.05)  # not longer: a signal between Python's last look and the system call waits until the call is over
"""
UNSHARE = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
if os.getuid():
    UNSHARE += ["--user", "--map-root-user"]


def _works() -> bool:
    if shutil.which("unshare") is None:
        return False
    try:
        return subprocess.run([*UNSHARE, "true"], capture_output=True, timeout=10, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


pytestmark = pytest.mark.skipif(not _works(), reason="this machine gives no PID namespace")


SOON, LATE = 2.0, 30.0
"""Seconds until a server that says nothing is taken to ignore the signal: where that is what is expected, and where a
word or an end is, which is waited for however busy the machine."""


def fate(argv: list[str], tmp_path: Path, *, script: str, signals: int, patience: float) -> str:
    """Run argv as PID 1, stop it when the server is ready, and say what became of the server."""
    tmp_path.mkdir(parents=True)
    (tmp_path / "start.sh").write_text(script)
    (tmp_path / "server.py").write_text(SERVER)
    read, write = os.pipe()
    process = subprocess.Popen(
        [*UNSHARE, *argv],
        pass_fds=[write],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=tmp_path,
        env={**os.environ, "OUT": str(write)},
    )
    os.close(write)
    try:
        assert _line(read, 20).startswith(b"ready"), argv
        init = _init(process.pid)
        for number in range(signals):
            with contextlib.suppress(*([ProcessLookupError] if number else [])):  # a busy machine: it has ended already
                os.kill(init, signal.SIGTERM)
            time.sleep(0.1)
        said = _line(read, patience)
        if said == b"drained":
            return "drains"
        return "dies" if _gone(init) else "ignores"
    finally:
        process.kill()
        process.wait()
        os.close(read)


def _line(read: int, patience: float) -> bytes:
    """The next line, b"" at the end or when none came in time."""
    poll = select.poll()  # not select: it knows no descriptor beyond 1023
    poll.register(read, select.POLLIN)
    return os.read(read, 100).split(b"\n")[0] if poll.poll(patience * 1000) else b""


def _init(unshare: int) -> int:
    children = Path(f"/proc/{unshare}/task/{unshare}/children").read_text().split()
    return int(children[0])


def _gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except OSError:
        return True


APP = f"{sys.executable} server.py"
ARGV = {"dash": ["dash"], "bash": ["bash"], "ash": ["busybox", "sh"]}
SHELLS = [shell for shell, argv in ARGV.items() if shutil.which(argv[0])]
LOOP = 'rc=0; wait "$p" || rc=$?; while kill -0 "$p" 2>/dev/null; do wait "$p" || rc=$?; done; exit $rc'
SCRIPTS: dict[str, tuple[str, str | dict[str, str]]] = {
    "foreground": (f"{APP}\n", "ignores"),
    "exec": (f"exec {APP}\n", "drains"),
    "exec in the background": (f"exec {APP} &\nwait $!\n", "ignores"),
    "trap and one wait": (f"trap 'kill -TERM $p' TERM\n{APP} &\np=$!\nwait $p\n", "dies"),
    "trap and a second wait": (f"trap 'kill -TERM $p' TERM\n{APP} &\np=$!\nwait $p\ntrap - TERM\nwait $p\n", "drains"),
    "a second wait under errexit": (f"set -e\ntrap 'kill -TERM $p' TERM\n{APP} &\np=$!\nwait $p\nwait $p\n", "dies"),
    "wait in the handler": (f"trap 'kill -TERM $p; wait $p' TERM\n{APP} &\np=$!\nwait $p\n", "drains"),
    "the proven loop": (f"set -e\ntrap 'kill -TERM $p' TERM\n{APP} &\np=$!\n{LOOP}\n", "drains"),
    "trap in the foreground": (f"trap 'echo bye' TERM\n{APP}\n", "ignores"),
    "handler that exits": (f"trap 'exit 0' TERM\n{APP} &\nwait\n", "dies"),
    "ignored": (f"trap '' TERM\n{APP} &\nwait\n", "ignores"),
    "pipeline": (f"{APP} | cat\n", "ignores"),
    "a loop of waits under errexit": (
        f"set -e\ntrap 'kill $p' TERM\n{APP} &\np=$!\nwhile kill -0 $p; do\nwait $p\ndone\n",
        "dies",
    ),
    "a trap of a subshell": (f"(trap 'kill $p; wait $p' TERM; {APP} & p=$!; wait $p)\n", "ignores"),
    "a trap expanded too early": (f'trap "kill $p" TERM\n{APP} &\np=$!\nwait $p\nwait $p\n', "ignores"),
    "a function in the background": (
        f"run() {{ {APP}; }}\ntrap 'kill $p; wait $p' TERM\nrun &\np=$!\nwait $p\n",
        "dies",
    ),
    "EXIT kills and waits": (
        f"trap 'exit 143' TERM\ntrap 'kill $p; wait $p' EXIT\n{APP} &\np=$!\nwait $p\n",
        "drains",
    ),
    "tail in a loop": (
        f"trap 'kill $!; kill $p; wait $p; exit' TERM\n{APP} &\np=$!\nwhile :; do tail -f /dev/null & wait $!; done\n",
        "drains",
    ),
    "EXIT only": (
        f"trap 'kill $p; wait $p' EXIT\n{APP} &\np=$!\nwait $p\n",
        {"bash": "drains", "dash": "ignores", "ash": "ignores"},
    ),
    "EXIT only, which does nothing": (
        f"trap 'echo bye' EXIT\n{APP} &\nwait\n",
        {"bash": "dies", "dash": "ignores", "ash": "ignores"},
    ),
    "a trap for SIGTERM by that name": (
        f"trap 'kill $p; wait $p' SIGTERM\n{APP} &\np=$!\nwait $p\n",
        {"bash": "drains", "dash": "ignores", "ash": "drains"},
    ),
    "kill -SIGTERM": (
        f"trap 'kill -SIGTERM $p; wait $p' TERM\n{APP} &\np=$!\nwait $p\n",
        {"bash": "drains", "dash": "ignores", "ash": "drains"},
    ),
}
"""Each with its fate: in every shell, or by shell."""


def expected(shell: str, name: str) -> str:
    """A script's fate."""
    fates = SCRIPTS[name][1]
    return fates if isinstance(fates, str) else fates[shell]


CODES = {
    "app": APP,
    "x; app": f"true; {APP}",
    "x && app": f"true && {APP}",
    "app 2>&1": f"{APP} 2>&1",
    "exec app": f"exec {APP}",
}


REPLACES = {"dash": {"exec app"}, "bash": set(CODES) - {"app 2>&1"}, "ash": set(CODES)}
DRAINS = {Does.REPLACES, Does.FORWARDS}
LINES = {
    "catatonit": ["catatonit", "--"],
    "tini": ["tini", "--"],
    "dumb-init": ["dumb-init", "--"],
    "gosu": ["gosu", "root"],
    "env": ["env", "A=b"],
    "nice": ["nice", "-n", "1"],
    "setpriv": ["setpriv", "--no-new-privs"],
    "stdbuf": ["stdbuf", "-oL"],
    "timeout": ["timeout", "60"],
    "flock": ["flock", "/dev/null"],
    "xargs": ["xargs", "-a", "/dev/null"],
}
POD = [str(Path(sys.executable).with_name("lameduck-pod")), "run", "--"]
STAY = {"trap in the foreground", "ignored", "a trap expanded too early"}
"""Scripts whose shell stays, and whose server is not told."""


def stays_below_run(shell: str, name: str) -> bool:
    """Whether not even `lameduck-pod run` helps a script."""
    return name in STAY or (shell, name) == ("dash", "kill -SIGTERM")


INITS = [name for name in ("tini", "dumb-init", "catatonit") if shutil.which(name)]
WRAPPED = [name for name in LINES if shutil.which(name)]


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], str]]:
    """Every way, run side by side (they mostly wait), and its fate by its name."""
    folder, fates = tmp_path_factory.mktemp("pid1"), dict[str, Future[str]]()
    with ThreadPoolExecutor(8) as pool:

        def run(name: str, argv: list[str], script: str = "", *, signals: int = 1, ignores: bool = False) -> None:
            patience = SOON if ignores else LATE
            where = folder / str(len(fates))
            fates[name] = pool.submit(fate, argv, where, script=script, signals=signals, patience=patience)

        for shell in SHELLS:
            for name, (body, _) in SCRIPTS.items():
                run(f"{shell}: {name}", [*ARGV[shell], "start.sh"], body, ignores=expected(shell, name) == "ignores")
            run(f"{shell}: twice", [*ARGV[shell], "start.sh"], SCRIPTS["the proven loop"][0], signals=2)
            for name, code in CODES.items():
                run(f"{shell} -c: {name}", [*ARGV[shell], "-c", code], ignores=name not in REPLACES[shell])
            for name, (body, _) in SCRIPTS.items():
                below, stays = [*POD, *ARGV[shell], "start.sh"], stays_below_run(shell, name)
                run(f"run: {shell}: {name}", below, body, ignores=stays)
            run(
                f"run: {shell}: QUIT",
                [*POD[:2], "--stop-signal", "QUIT", *POD[2:], *ARGV[shell], "start.sh"],
                APP + "\ntrue\n",
                ignores=shell != "dash",
            )
            for init in INITS:
                run(f"{init}: {shell}", [init, "--", *ARGV[shell], "start.sh"], f"{APP}\necho ended\n")
        for name in WRAPPED:
            run(name, [*LINES[name], sys.executable, "server.py"], ignores=WRAPPERS[name].does not in DRAINS)
            run(f"run: {name}", [*POD, *LINES[name], sys.executable, "server.py"])
        yield lambda name: fates[name].result()


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_behaves_as_the_analysis_says(shell: str, name: str, measured: Callable[[str], str]) -> None:
    wanted = expected(shell, name)
    assert measured(f"{shell}: {name}") == wanted
    chain = chain_of_script(Text("start.sh", f"#!/bin/{shell}\n{SCRIPTS[name][0]}"), lambda _: None)
    assert bool(chain.problems) == (wanted != "drains"), "what is measured is what lint says"


@pytest.mark.parametrize("shell", SHELLS)
def test_the_loop_of_the_fix_also_survives_a_second_signal(shell: str, measured: Callable[[str], str]) -> None:
    assert measured(f"{shell}: twice") == "drains"


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("code", CODES)
def test_sh_dash_c_replaces_itself_as_the_table_says(shell: str, code: str, measured: Callable[[str], str]) -> None:
    assert measured(f"{shell} -c: {code}") == ("drains" if code in REPLACES[shell] else "ignores")


@pytest.mark.parametrize("name", WRAPPED)
def test_a_wrapper_does_what_its_row_says(name: str, measured: Callable[[str], str]) -> None:
    assert (measured(name) == "drains") == (WRAPPERS[name].does in DRAINS)


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("init", INITS)
def test_an_init_before_a_script_without_exec_ends_at_once(
    init: str, shell: str, measured: Callable[[str], str]
) -> None:
    assert measured(f"{init}: {shell}") == "dies"


def _under_run(script: str, shell: str, *options: str) -> Chain:
    files = {"start.sh": f"#!/bin/{shell}\n{script}"}
    argv = json.dumps(["lameduck-pod", "run", *options, "--", "/start.sh"])
    base = "alpine" if shell == "ash" else "debian"
    files["Dockerfile"] = f"FROM {base}\nCOPY start.sh /start.sh\nENTRYPOINT {argv}\n"
    return project_of(files).programs[0].chain


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("name", SCRIPTS)
def test_what_lint_sees_behind_lameduck_pod_run_is_what_happens(
    shell: str, name: str, measured: Callable[[str], str]
) -> None:
    stays = stays_below_run(shell, name)
    assert measured(f"run: {shell}: {name}") == ("ignores" if stays else "drains")
    assert bool(_under_run(SCRIPTS[name][0], shell).problems) == stays


@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_that_is_sent_quit_swallows_it_even_below_lameduck_pod_run(
    shell: str, measured: Callable[[str], str]
) -> None:
    dies = shell == "dash"
    assert (measured(f"run: {shell}: QUIT") == "drains") == dies
    assert bool(_under_run(f"{APP}\ntrue\n", shell, "--stop-signal", "QUIT").problems) != dies


@pytest.mark.parametrize("name", WRAPPED)
def test_no_wrapper_holds_the_signal_back_below_lameduck_pod_run(name: str, measured: Callable[[str], str]) -> None:
    assert measured(f"run: {name}") == "drains"
