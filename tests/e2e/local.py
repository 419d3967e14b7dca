"""Every row of the truth table on the local cluster, from the manifests that a real one gets: local.py RESULTS [ROW…].

Run from the project's root, alone on a machine. What was proven is kept in RESULTS/local; page.py sets it beside what
`scripts/e2e --full` kept in RESULTS.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent
sys.path.insert(0, str(ROOT))

from tests.e2e.rig import LAMEDUCK, ingress, service, workload  # noqa: E402
from tests.e2e.rows import ROWS, Row  # noqa: E402

CLUSTER_ONLY = frozenset({"--look-inside"})
"""On this machine lameduck looks inside anyhow."""


def proven(name: str, row: Row, folder: Path) -> dict[str, Any]:
    """The proof of a row's workload, as JSON."""
    object_name = f"row-{name}"
    objects = [service(object_name), workload(object_name, row.shape), *([ingress(object_name)] if row.through else [])]
    manifest = folder / "manifest.json"
    manifest.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}, indent=1) + "\n")
    shutil.copytree(ROOT / "tests/proving/servers", folder / "image")
    shutil.copy(ROOT / "tests/e2e/image/Dockerfile", folder / "image")
    way = ["--via", "ingress"] if row.through else []
    flags = [flag for flag in row.flags if flag not in CLUSTER_ONLY]
    proof = folder / "proof.json"
    subprocess.run(
        [
            *(*LAMEDUCK, "prove", "--local", "-f", str(manifest), "--dockerfile", str(folder / "image/Dockerfile")),
            *("--qps", str(row.qps), "--rollouts", str(row.rollouts), *flags, *way),
            *("--quiet", "--json", str(proof), "--run-dir", str(folder / "run")),
        ],
        stdout=subprocess.DEVNULL,
        check=False,
        timeout=300,
    )
    found: dict[str, Any] = json.loads(proof.read_text())
    return found


def main() -> None:
    results, asked = Path(sys.argv[1]) / "local", sys.argv[2:]
    results.mkdir(parents=True, exist_ok=True)
    for name in asked or ROWS:
        with tempfile.TemporaryDirectory(prefix="lameduck-row-") as folder:
            proof = proven(name, ROWS[name], Path(folder))
        kept = {key: value for key, value in proof.items() if key != "run"}
        entry = {"name": name, "at": time.time(), "proof": kept}
        (results / f"{name}.json").write_text(json.dumps(entry, indent=1))
        causes = {f"{each['code']}/{each['symptom']}": each["count"] for each in proof["findings"]}
        sys.stdout.write(f"{name:4} {proof['verdict']:12} {proof['failed']:5} {causes}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
