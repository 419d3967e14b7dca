"""As kubectl's plugin: the words that its users know, and completion as kubectl asks for it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from tests.kube.apiserver import FakeApi

from lameduck.cli import kubectl


@pytest.fixture
def kubeconfig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A kubeconfig of two contexts, and an API server behind it."""
    ready, over = threading.Event(), threading.Event()
    found: list[int] = []

    async def main() -> None:
        async with FakeApi() as server:
            server.put("ADDED", "shop")
            server.put("ADDED", "search")
            found.append(server.port)
            ready.set()
            await asyncio.to_thread(over.wait)

    thread = threading.Thread(target=asyncio.run, args=(main(),))
    thread.start()
    ready.wait(10)
    server = f"http://127.0.0.1:{found[0]}"
    contexts = [{"name": name, "context": {"cluster": "c", "user": "u"}} for name in ("kind-one", "production")]
    file = tmp_path / "kubeconfig"
    file.write_text(
        yaml.safe_dump(
            {
                "current-context": "kind-one",
                "contexts": contexts,
                "clusters": [{"name": "c", "cluster": {"server": server}}],
                "users": [{"name": "u", "user": {"token": "t"}}],
            }
        )
    )
    monkeypatch.setenv("KUBECONFIG", str(file))
    yield file
    over.set()
    thread.join()


def test_words_and_directives_come_as_kubectl_wants_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert kubectl.complete(["pro"]) == 0
    assert capsys.readouterr().out == "prove\n:4\n"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["de"], ["demo", "deployment/"]),
        (["prove", "st"], ["statefulset/"]),
        (["prove", "--disr"], ["--disrupt", "--disrupt-command"]),
        (["prove", "-o", ""], ["json", "yaml"]),
        (["deployment/x", "--load-from", "c"], ["cluster"]),
        (["prove", "--disrupt", "d"], ["delete", "drain"]),
    ],
)
def test_what_can_stand_there_is_suggested(words: list[str], expected: list[str]) -> None:
    assert kubectl.suggestions(words)[0] == expected


def test_names_are_the_clusters(kubeconfig: Path) -> None:
    assert kubectl.suggestions(["prove", "deployment/s"])[0] == ["deployment/shop", "deployment/search"]
    assert kubectl.suggestions(["deploy/se"])[0] == ["deploy/search"]
    assert kubectl.suggestions(["prove", "--context", "p"])[0] == ["production"]
    assert kubectl.suggestions(["prove", "-n", "sh"])[0] == ["shop"]


def test_a_cluster_that_does_not_answer_completes_nothing_and_says_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    assert kubectl.complete(["prove", "deployment/s"]) == 0
    assert capsys.readouterr().out == ":4\n"


def test_prove_may_be_left_out_and_nothing_else_changes(kubeconfig: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert kubectl.main(["deployment/", "-n", "x"]) == 2
    assert "name the workload as TYPE/NAME" in capsys.readouterr().err
    assert kubectl.main(["deployment", "--disrupt", "explode"]) == 2
    assert kubectl.main(["provee"]) == 2
    assert "Did you mean 'prove'?" in capsys.readouterr().err
    assert kubectl.main(["explain", "LD101"]) == 0
    assert kubectl.main([]) == 2
