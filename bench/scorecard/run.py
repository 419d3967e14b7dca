"""The scorecard: `lameduck score` over every server that installs here, without the layer and with it.

Run one, so that a measurement holds the machine no longer than it must, or all; then make the table:

    .venv/bin/python bench/scorecard/run.py list
    .venv/bin/python bench/scorecard/run.py ask uvicorn
    .venv/bin/python bench/scorecard/run.py table > docs/scorecard.md
"""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

ROOT = Path(__file__).parents[2]
APPS = ROOT / "pod/tests/layer/apps"
MINE = Path(__file__).parent / "apps"
CARDS = Path(__file__).parent / "cards"
BIN = ROOT / ".venv-servers/bin"
GUNICORN = ["gunicorn", "-b", "127.0.0.1:{port}", "--log-level", "error", "--no-control-socket"]
PYTHON = {
    "uvicorn": ["uvicorn", "--port", "{port}", "asgi_app:app"],
    "uvicorn, 2 workers": ["uvicorn", "--port", "{port}", "--workers", "2", "asgi_app:app"],
    "gunicorn, uvicorn worker": [*GUNICORN, "-k", "uvicorn_worker.UvicornWorker", "asgi_app:app"],
    "hypercorn -w 0": ["hypercorn", "-w", "0", "-b", "127.0.0.1:{port}", "asgi_app:app"],
    "granian asgi": ["granian", "--interface", "asgi", "--port", "{port}", "asgi_app:app"],
    "daphne": ["daphne", "-p", "{port}", "asgi_app:app"],
    "gunicorn sync": [*GUNICORN, "wsgi_app:app"],
    "gunicorn gthread": [*GUNICORN, "--threads", "8", "wsgi_app:app"],
    "gunicorn gevent": [*GUNICORN, "-k", "gevent", "wsgi_app:app"],
    "granian wsgi": ["granian", "--interface", "wsgi", "--blocking-threads", "8", "--port", "{port}", "wsgi_app:app"],
    "waitress": ["python", "wsgi_app.py", "waitress", "{port}"],
    "cheroot": ["python", "wsgi_app.py", "cheroot", "{port}"],
    "gevent pywsgi": ["python", "wsgi_app.py", "gevent", "{port}"],
    "werkzeug": ["python", "wsgi_app.py", "werkzeug", "{port}"],
    "aiohttp": ["python", "aiohttp_app.py", "{port}"],
    "tornado": ["python", "tornado_app.py", "{port}"],
    "sanic, one process": ["python", "sanic_app.py", "{port}"],
}
PACKAGES = ("uvicorn", "gunicorn", "hypercorn", "granian", "daphne", "waitress", "cheroot", "gevent", "werkzeug")
PACKAGES += ("aiohttp", "tornado", "sanic", "uvicorn-worker")
NGINX = """daemon off; worker_processes 1; pid {pid}; error_log stderr crit; events {{}}
http {{ access_log off; server {{ listen 127.0.0.1:PORT;
location = /fast {{ return 200 ok; }} location = /slow {{ proxy_pass http://127.0.0.1:{backend}; }} }} }}
"""


class Slow(BaseHTTPRequestHandler):
    """Answers after a second."""

    def do_GET(self) -> None:
        time.sleep(1)
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_: object) -> None:
        """Nothing."""


def subjects(folder: Path) -> dict[str, tuple[list[str], dict[str, str]]]:
    """Name → score's words, environment."""
    path = os.pathsep.join([str(APPS), str(ROOT / "pod/src")])
    found: dict[str, tuple[list[str], dict[str, str]]] = {}
    for name, words in PYTHON.items():
        for layer, suffix in (("off", ""), ("on", " + layer")):
            env = {"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1", "LAYER": layer, "LAMEDUCK_JOURNAL": "none"}
            found[name + suffix] = (["--", str(BIN / words[0]), *words[1:]], env)
    if shutil.which("node"):
        for how in ("default", "close", "lameduck"):
            found[f"node, {how}"] = (["--", "node", str(MINE / "server.js"), "{port}", how], {})
    if shutil.which("go"):
        for how in ("default", "shutdown", "lameduck"):
            found[f"go, {how}"] = (["--", str(folder / "goserver"), "{port}", how], {})
    if shutil.which("nginx"):
        shell = 'sed "s/PORT/$1/g" "$0" > "$0.$1" && exec nginx -p /tmp -c "$0.$1"'
        words = ["--", "sh", "-c", shell, str(folder / "nginx.conf"), "{port}"]
        found["nginx, SIGTERM"] = (words, {})
        found["nginx, SIGQUIT"] = (["--signal", "QUIT", *words], {})
    return found


def ask(names: list[str]) -> None:
    """Ask these, and keep their cards."""
    CARDS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        backend = ThreadingHTTPServer(("127.0.0.1", 0), Slow)
        threading.Thread(target=backend.serve_forever, daemon=True).start()
        conf = NGINX.format(pid=folder / "pid", backend=backend.server_port)
        conf = conf.replace(str(folder / "pid"), f"{folder}/pid.PORT")
        (folder / "nginx.conf").write_text(conf)
        if any(name.startswith("go,") for name in names):
            subprocess.run(["go", "build", "-o", folder / "goserver", MINE / "server.go"], check=True, timeout=120)
        for name in names:
            words, env = subjects(folder)[name]
            out = CARDS / (name.replace(" ", "-").replace(",", "") + ".json")
            command = [ROOT / ".venv/bin/lameduck", "score", "--path", "/fast", "--slow", "/slow", "--budget", "30"]
            run = subprocess.run(
                [*command, "--json", out, *words], cwd=APPS, env={**os.environ, **env}, check=False, timeout=120
            )
            if run.returncode in (0, 1):
                card = json.loads(out.read_text())
                out.write_text(json.dumps({"name": name, **card}, indent=1, ensure_ascii=False) + "\n")


def table() -> None:
    """Print the dated page."""
    order = list(subjects(Path("/")))
    cards = sorted((json.loads(p.read_text()) for p in CARDS.glob("*.json")), key=lambda c: order.index(c["name"]))
    questions = ("in_flight", "six_slow", "new", "new_busy", "idle", "idle_busy", "half", "queue")
    today = datetime.datetime.now(datetime.UTC).date()
    print(f"# The scorecard of {today}\n")
    print(Path(__file__).with_name("head.md").read_text().replace("VERSIONS", versions()))
    names = ("in flight", "six slow", "new", "new, draining", "idle, used", "idle, draining", "half head", "queue")
    print("| server | grade | " + " | ".join(names) + " | needs |")
    print("|" + " --- |" * (len(names) + 3))
    for card in cards:
        cells = ["/".join(dict.fromkeys(card["letters"].get(q, []))) for q in questions]
        needs = "; ".join(card["safe_set"]).split(":")[0].split(";")[0] or "nothing"
        print(f"| {card['name']} | **{card['grade']}** | " + " | ".join(f"`{c}`" for c in cells) + f" | {needs} |")


def versions() -> str:
    """What was measured."""
    path = next((ROOT / ".venv-servers/lib").glob("python*/site-packages"))
    found = {d.metadata["Name"].lower(): d.version for d in importlib.metadata.distributions(path=[str(path)])}
    said = [f"{name} {found[name]}" for name in PACKAGES if name in found]
    for words in (["node", "--version"], ["go", "version"], ["nginx", "-v"]):
        if shutil.which(words[0]):
            run = subprocess.run(words, capture_output=True, text=True, check=False)
            said.append((run.stdout + run.stderr).strip().replace("nginx version: ", "").replace("go version ", ""))
    return ", ".join(said)


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    match sys.argv[1:]:
        case ["list"]:
            print("\n".join(subjects(Path("/"))))
        case ["table"]:
            table()
        case ["ask", *names]:
            ask(names or list(subjects(Path("/"))))
        case _:
            raise SystemExit(__doc__)
