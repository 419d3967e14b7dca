"""What the user says about images decides what a table cannot: by configuration, docker inspect, or an archive."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import pytest

from lameduck.cli import main

DOCKERFILE = "FROM registry.example/base:1\nCMD gunicorn app:app\n"
CONFIG = {"Entrypoint": None, "Cmd": ["sh"], "StopSignal": "SIGQUIT"}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "Dockerfile").write_text(DOCKERFILE)
    return tmp_path


def found(capsys: pytest.CaptureFixture[str], *more: str) -> list[str]:
    main(["lint", "--format", "concise", "Dockerfile", *more])
    return [" ".join(line.split(" ")[1:3]) for line in capsys.readouterr().out.splitlines()]


def packed(files: dict[str, bytes], links: dict[str, str] | None = None) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        for name, target in (links or {}).items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, target
            archive.addfile(info)
    return out.getvalue()


def test_an_unknown_base_is_not_judged(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert found(capsys) == []


@pytest.mark.parametrize(("shell", "severity"), [("dash", "error LD501"), ("ash", "info LD501")])
def test_the_configuration_names_the_shell(
    place: Path, capsys: pytest.CaptureFixture[str], shell: str, severity: str
) -> None:
    (place / "lameduck.toml").write_text(f'[images."registry.example/*"]\nshell = "{shell}"\nentrypoint = []\n')
    assert found(capsys) == [severity]


def test_a_key_that_nobody_knows_is_refused(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "lameduck.toml").write_text('[images."registry.example/*"]\nshel = "dash"\n')
    assert main(["lint", "Dockerfile"]) == 2
    assert "shel is none of" in capsys.readouterr().err


def test_docker_inspect_says_the_entry_point_and_the_signal(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "image.json").write_text(json.dumps([{"RepoTags": ["registry.example/base:1"], "Config": CONFIG}]))
    (place / "Dockerfile").write_text('FROM registry.example/base:1\nCMD ["gunicorn", "app:app"]\n')
    assert found(capsys, "--image-facts", "image.json") == ["error LD505"]


def test_a_docker_archive_says_which_shell_the_image_has(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    layer = packed({"usr/bin/dash": b"x", "usr/bin/sleep": b"x"}, {"usr/bin/sh": "dash"})
    manifest = [{"Config": "c.json", "RepoTags": ["registry.example/base:1"], "Layers": ["l.tar"]}]
    files = {"manifest.json": json.dumps(manifest).encode(), "c.json": b'{"config": {}}', "l.tar": layer}
    (place / "image.tar").write_bytes(packed(files))
    assert found(capsys, "--image-facts", "image.tar") == ["error LD501"]


def test_an_oci_archive_too(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    blobs = {
        "l": packed({"bin/busybox": b"x"}, {"bin/sh": "/bin/busybox"}),
        "c": b'{"config": {}}',
        "m": json.dumps({"config": {"digest": "sha256:c"}, "layers": [{"digest": "sha256:l"}]}).encode(),
    }
    note = {"org.opencontainers.image.ref.name": "registry.example/base:1"}
    index = {"manifests": [{"digest": "sha256:m", "annotations": note}]}
    files = {"index.json": json.dumps(index).encode(), **{f"blobs/sha256/{key}": blob for key, blob in blobs.items()}}
    (place / "image.tar").write_bytes(packed(files))
    assert found(capsys, "--image-facts", "image.tar") == ["info LD501"]


def test_a_file_of_something_else_is_refused(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lint", "Dockerfile", "--image-facts", "Dockerfile"]) == 2
    assert "neither an image archive nor what docker inspect prints" in capsys.readouterr().err
