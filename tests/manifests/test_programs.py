"""What a running process is, by its command line: in words, as a title, behind an interpreter."""

from __future__ import annotations

import pytest

from lameduck.manifests.programs import running


@pytest.mark.parametrize(
    ("argv", "is_what"),
    [
        (("/usr/sbin/nginx", "-g", "daemon off;"), ("nginx", "")),
        (("nginx: master process nginx -g daemon off;",), ("nginx", "")),
        (("gunicorn: master [app:app]",), ("gunicorn", "")),
        (("/venv/bin/python3.11", "/venv/bin/gunicorn", "app:app"), ("gunicorn", "")),
        (("python3", "-m", "uvicorn", "app:app"), ("uvicorn", "")),
        (("npm start",), ("", "npm")),
        (("npm start --prefix /app",), ("", "npm")),
        (("node", "/usr/lib/node_modules/npm/bin/npm-cli.js", "start"), ("", "npm")),
        (("node", "/usr/share/yarn/bin/yarn.js", "start"), ("", "yarn")),
        (("node", "server.js"), ("node", "")),
        (("go", "run", "."), ("", "go run")),
        (("go", "build"), ("", "")),
        (("/app/server",), ("", "")),
        (("",), ("", "")),
        ((), ("", "")),
    ],
)
def test_a_process_is_known_by_its_command_line(argv: tuple[str, ...], is_what: tuple[str, str]) -> None:
    assert running(argv) == is_what
