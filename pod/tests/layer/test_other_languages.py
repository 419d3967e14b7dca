"""The programs of docs/other-languages.md do what the page says, where their language is installed."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from layer_wire import ROOT, Connection, Server, fresh

PAGE = (ROOT / "docs/other-languages.md").read_text()


class Plain(Server):
    def __init__(self, command: list[str], port: int) -> None:
        super().__init__(command, port, {"PORT": str(port), "LEAST_MS": "800"})


def program(language: str, folder: Path) -> list[str]:
    if shutil.which({"js": "node", "go": "go"}[language]) is None:
        pytest.skip(f"nothing here runs {language}")
    (code,) = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    path = folder / f"server.{language}"
    path.write_text(code)
    if language == "js":
        return [shutil.which("node") or "", str(path)]
    subprocess.run(["go", "build", "-o", folder / "server", path], check=True, cwd=folder, timeout=110)
    return [str(folder / "server")]


@pytest.mark.parametrize("language", ["js", "go"])
def test_the_pages_program_is_a_lame_duck(language: str, tmp_path: Path) -> None:
    command = program(language, tmp_path)
    from layer_wire import free_port

    server = Plain(command, free_port())
    try:
        pooled = [Connection(server.port) for _ in range(2)]
        assert not any(connection.ask("/fast").last for connection in pooled)
        slow = Connection(server.port)
        slow.send("/slow")
        server.signal()
        answer = pooled[0].ask("/fast")
        while not answer.last:  # the signal is a moment under way
            answer = pooled[0].ask("/fast")
        pooled[0].close()
        assert fresh(server.port, "/fast").last
        assert pooled[1].open()
        finished = slow.answer()
        assert (finished.status, finished.last) == (200, True)
        slow.close()
        assert server.wait() == 0
    finally:
        server.end()
