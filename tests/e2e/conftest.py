"""Runs on the cluster of $KUBECONFIG: `scripts/e2e` sets everything up. What was measured is kept in $E2E_RESULTS."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.rig import NAMESPACE, Cluster, Outcome


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "e2e" in Path(item.path).parts and not os.environ.get("KUBECONFIG"):
            item.add_marker(pytest.mark.skip(reason="no cluster: scripts/e2e"))


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    made = Cluster()
    if "Terminating" in made.kubectl("get", "namespace", NAMESPACE, "--ignore-not-found"):  # of the run before
        made.kubectl("wait", "--for=delete", f"namespace/{NAMESPACE}", "--timeout=120s")
    subprocess.run(["kubectl", "create", "namespace", NAMESPACE], capture_output=True, check=False)
    yield made
    if "E2E_KEEP" not in os.environ:
        subprocess.run(["kubectl", "delete", "namespace", NAMESPACE, "--wait=false"], capture_output=True, check=False)


@pytest.fixture
def keep(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Keeps a proof's numbers under a name, for the page of docs/truth-cluster.md."""

    def write(name: str, what: str, outcome: Outcome, **more: Any) -> None:
        folder = os.environ.get("E2E_RESULTS")
        sys.stdout.write(f"{name}: {outcome.verdict} {outcome.proof['sentence']}\n{outcome.counts}\n")
        if folder:
            Path(folder).mkdir(parents=True, exist_ok=True)
            entry = {"name": name, "what": what, "at": time.time(), "code": outcome.code}
            entry |= {"load": os.getloadavg()[0], **more}
            proof = {key: value for key, value in outcome.proof.items() if key != "run"}
            (Path(folder) / f"{name}.json").write_text(json.dumps({**entry, "proof": proof}, indent=1))

    return write
