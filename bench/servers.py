"""The Python servers that are measured, as command words in which {host} and {port} are replaced."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]
APPS = ROOT / "pod/tests/layer/apps"
BIN = ROOT / ".venv-servers/bin"
GUNICORN = ("gunicorn", "-b", "{host}:{port}", "--log-level", "error", "--no-control-socket")
GRANIAN = ("granian", "--host", "{host}", "--port", "{port}", "--interface")
UVICORN = ("uvicorn", "--host", "{host}", "--port", "{port}", "--log-level", "error", "asgi_app:app")
WSGI = ("python", f"{APPS}/wsgi_app.py")
PYTHON = {
    "uvicorn": UVICORN,
    "uvicorn, 2 workers": (*UVICORN, "--workers", "2"),
    "gunicorn, uvicorn worker": (*GUNICORN, "-k", "uvicorn_worker.UvicornWorker", "asgi_app:app"),
    "hypercorn -w 0": ("hypercorn", "-w", "0", "-b", "{host}:{port}", "asgi_app:app"),
    "granian asgi": (*GRANIAN, "asgi", "asgi_app:app"),
    "daphne": ("daphne", "-b", "{host}", "-p", "{port}", "asgi_app:app"),
    "gunicorn sync": (*GUNICORN, "-w", "4", "wsgi_app:app"),
    "gunicorn gthread": (*GUNICORN, "--threads", "16", "wsgi_app:app"),
    "gunicorn gevent": (*GUNICORN, "-k", "gevent", "wsgi_app:app"),
    "granian wsgi": (*GRANIAN, "wsgi", "--blocking-threads", "8", "wsgi_app:app"),
    "waitress": (*WSGI, "waitress", "{port}"),
    "cheroot": (*WSGI, "cheroot", "{port}"),
    "gevent pywsgi": (*WSGI, "gevent", "{port}"),
    "werkzeug": (*WSGI, "werkzeug", "{port}"),
    "aiohttp": ("python", f"{APPS}/aiohttp_app.py", "{port}"),
    "tornado": ("python", f"{APPS}/tornado_app.py", "{port}"),
    "sanic, one process": ("python", f"{APPS}/sanic_app.py", "{port}"),
}
DEAF = ("waitress", "cheroot", "gevent pywsgi", "werkzeug", "tornado")
"""They have no handler, and the kernel drops such a signal for PID 1."""
NO_KEEP_ALIVE = ("gunicorn sync", "werkzeug")
PACKAGES = ("uvicorn", "gunicorn", "hypercorn", "granian", "daphne", "waitress", "cheroot", "gevent", "werkzeug")
PACKAGES += ("aiohttp", "tornado", "sanic", "uvicorn-worker", "pyuwsgi", "grpcio")


def words(name: str, host: str = "127.0.0.1") -> tuple[str, ...]:
    """The command of one of them, {port} still in it."""
    first, *rest = PYTHON[name]
    return (str(BIN / first), *(word.replace("{host}", host) for word in rest))


def environment(*, layer: bool, host: str = "127.0.0.1") -> dict[str, str]:
    """What its environment needs beside what it inherits."""
    path = os.pathsep.join([str(APPS), str(ROOT / "pod/src")])
    own = {"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1", "BIND": host}
    return {**own, "LAYER": "on" if layer else "off"}


def versions(commands: tuple[tuple[str, ...], ...] = ()) -> str:
    """What was measured: the servers' venv, and what these commands say of themselves."""
    path = next((ROOT / ".venv-servers/lib").glob("python*/site-packages"))
    found = {d.metadata["Name"].lower(): d.version for d in importlib.metadata.distributions(path=[str(path)])}
    said = [f"{name} {found[name]}" for name in PACKAGES if name in found]
    python = subprocess.run([BIN / "python", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    said.append(python)
    for command in commands:
        if shutil.which(command[0]):
            run = subprocess.run(command, capture_output=True, text=True, check=False)
            said.append((run.stdout + run.stderr).strip().splitlines()[0])
    return ", ".join(said)
