"""What lint and reports of proofs write as SARIF is valid by the 2.1.0 schema, as Microsoft packages it for npm.

The schema is not ours to keep: it is fetched at a pinned version and checked by its hash. Without npm, or without its
registry, the test is skipped.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from lameduck.cli import main

PACKAGE = "@microsoft/jest-sarif@1.0.0-beta.0"
MEMBER = "package/lib/schemas/sarif-2.1.0-rtm.5.json"
SHA256 = "2d99159ae54a3eea97f81781cff48780548657c35949f4b7f25e99a2ba4de4f8"
CASES = sorted(one for one in (Path(__file__).parents[1] / "data" / "cases").iterdir() if one.is_dir())


@pytest.fixture(scope="module")
def schema(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A validator of the schema."""
    folder = tmp_path_factory.mktemp("sarif")
    if shutil.which("npm") is None:
        pytest.skip("no npm to fetch the SARIF schema with")
    packed = subprocess.run(
        ["npm", "pack", "--silent", PACKAGE], cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )
    if packed.returncode:
        pytest.skip(f"npm cannot fetch {PACKAGE}")
    with tarfile.open(folder / packed.stdout.split()[-1]) as archive:
        member = archive.extractfile(MEMBER)
        assert member is not None
        content = member.read()
    assert hashlib.sha256(content).hexdigest() == SHA256
    known = json.loads(content)
    return jsonschema.validators.validator_for(known)(known)


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_what_lint_writes_is_valid(
    case: Path, schema: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(case)
    main(["lint", "--format", "sarif", "--confidence", "possible", "."])
    log = json.loads(capsys.readouterr().out)
    assert [f"{error.json_path}: {error.message}" for error in schema.iter_errors(log)] == []
