"""The same as an ordinary user, as in a pod: uid 65534, no capabilities. Users that root's tests do not know."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

HERE = Path(__file__).parent
SOME = (
    "reaches_the_command or orphans_are_reaped or killed or hook_is_answered or until_quiet or forbidden or environment"
)
"""What an ordinary user might not be allowed: PID namespaces, signals, reaping, sock_diag, the abstract socket."""


def python_for(prefix: list[str], env: dict[str, str]) -> str:
    """A Python that this user may run and that can use this one's packages; "" if there is none."""
    for path in (sys.executable, "/usr/bin/python3"):
        # It starts itself once more: setpriv has the old user's rights until its own exec.
        able = (
            "import hypothesis, pytest, subprocess, sys; subprocess.run([sys.executable, '-c', ''], check=True); "
            f"sys.exit(sys.version_info[:2] != {sys.version_info[:2]})"
        )
        try:
            if not subprocess.run([*prefix, path, "-c", able], env=env, capture_output=True, check=False).returncode:
                return path
        except OSError:
            continue
    return ""


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("setpriv"), reason="needs root, to become somebody else")
def test_run_drain_and_the_sidecar_work_for_an_ordinary_user() -> None:
    prefix = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--bounding-set=-all"]
    places = [*(p for p in sys.path if p.endswith("site-packages")), str(HERE.parent / "src")]
    env = {**os.environ, "PYTHONPATH": ":".join(places)}
    python = python_for(prefix, env)
    if not python:
        pytest.skip("no Python here that uid 65534 may run with this one's packages")
    files = [str(HERE / f"test_{name}.py") for name in ("run_processes", "sidecar", "drain_hook")]
    with tempfile.TemporaryDirectory(prefix="lameduck-nobody-") as home:  # pytest's own folders are root's alone
        Path(home).chmod(0o777)
        command = [*prefix, python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--basetemp", f"{home}/tests"]
        command += ["-k", f"({SOME}) and not thousands", *files]
        done = subprocess.run(
            command, env={**env, "HOME": home}, cwd=HERE.parents[1], capture_output=True, text=True, check=False
        )
    assert done.returncode == 0, done.stdout[-4000:]
