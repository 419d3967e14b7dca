"""What users get: the installed wheels, in a clean environment, with src out of reach."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

BIN = Path(os.environ["LAMEDUCK_WHEEL_BIN"])

SERVER = """
import http.server, os, signal
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")
    def log_message(self, *words):
        pass
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
http.server.ThreadingHTTPServer(("", int(os.environ["PORT"])), Handler).serve_forever()
"""


def run(folder: Path, *words: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(folder), "COLUMNS": "120"}
    command = [str(BIN / words[0]), *words[1:]]
    return subprocess.run(
        command, cwd=folder, env=environment, input=text, capture_output=True, text=True, timeout=90, check=False
    )


@pytest.mark.parametrize(
    "words",
    [("lameduck", "--version"), ("lameduck", "--help"), ("lameduck-pod", "--version"), ("lameduck", "demo", "--list")],
)
def test_the_installed_commands_answer(tmp_path: Path, words: tuple[str, ...]) -> None:
    done = run(tmp_path, *words)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout


def test_every_command_has_a_help_page(tmp_path: Path) -> None:
    listed = run(tmp_path, "lameduck", "--help").stdout.split("commands:\n")[1].split("\n\n")[0]
    names = [line.split()[0] for line in listed.splitlines()]
    assert {"prove", "demo", "load", "lint", "fix", "explain", "report"} <= set(names)
    for name in names:
        done = run(tmp_path, "lameduck", name, "--help")
        assert (done.returncode, done.stderr) == (0, ""), name
        assert done.stdout.startswith(f"usage: lameduck {name}")


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_completion_covers_every_command(tmp_path: Path, shell: str) -> None:
    done = run(tmp_path, "lameduck", "completion", shell)
    assert done.returncode == 0
    assert "prove" in done.stdout
    assert "rollouts" in done.stdout


def test_a_page_of_the_catalogue_is_in_the_wheel(tmp_path: Path) -> None:
    done = run(tmp_path, "lameduck", "explain", "LD101")
    assert done.returncode == 0
    assert "preStop" in done.stdout


def test_a_dockerfile_is_linted(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM python:3.12-slim\nEXPOSE 80\nCMD python app.py\n")
    done = run(tmp_path, "lameduck", "lint", ".")
    assert done.returncode == 1
    assert "LD501" in done.stdout


def test_a_rollout_is_proven_to_lose_requests_and_reported_again(tmp_path: Path) -> None:
    (tmp_path / "server.py").write_text(SERVER)
    words = ("lameduck", "prove", "--local", "--replicas", "2", "--rollouts", "1", "--qps", "100", "--quiet")
    done = run(tmp_path, *words, "--json", "proof.json", "--", sys.executable, "server.py")
    assert done.returncode == 1, done.stderr
    proof = json.loads((tmp_path / "proof.json").read_text())
    assert (proof["schema"], proof["verdict"]) == ("lameduck.proof/1", "FAILED")
    assert "LD101" in {finding["code"] for finding in proof["findings"]}
    again = run(tmp_path, "lameduck", "report", proof["run"]["folder"])
    assert "FAILED" in again.stdout
