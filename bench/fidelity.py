"""Holds the local cluster against a real one: every row of the truth table that it can run, in one page.

Run: .venv/bin/python bench/fidelity.py [ROW…] [--page docs/fidelity.md] [--seed N]

Each row is some rollouts (3) under 500 requests/s on one lane. It holds the lock /tmp/lameduck-cpu.lock (everybody who
measures on this machine takes it) for itself, a few rows at a time. With --page the page is written when all is done.
Exit 1 if a row differs.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from tests.fidelity.compare import UNDECIDED, Measured, differences, truth  # noqa: E402
from tests.fidelity.setups import SETUPS, run  # noqa: E402

LOCK = Path("/tmp/lameduck-cpu.lock")
LONGEST_HOLD = 250.0
TRIES = 3
RULES = """\
Every workload of the [truth table](../tests/data/truth/README.md), measured on a real Kubernetes 1.34.4 in three
rollouts each, is run here on the local cluster, under 500 requests/s on one lane. A kind of failure that the real
cluster met 20 times or more per rollout must come within a factor of three, a rarer one within 15 per rollout, one that
never came must not come at all; exit codes must be the same, and the medians of the timeline within 50 ms or 20 %.
*Unreachable*, a real node's word for a dead address that its neighbour table has lost, counts as *timeout at connect*.
Rows in italics assert no number: what they show is rare."""
START_ALONE = "a pod that is no part of a chain becomes ready at any phase of the kubelet's relist; there were three"
MADE_IT = (
    "too many removals still made kube-proxy's next sync, which hangs on some ten milliseconds; one seed, few rollouts"
)
KNOWN = {
    **dict.fromkeys(("b/new", "bs/new", "c/new", "f/new"), MADE_IT),
    "adp/new": "its sidecar takes a probe's connection for a client's unless the prober closes first, and the kubelet, "
    "quicker than a holder here, probably did so more often: then it found quiet sooner",
    "aq/new": "its hook ends 1 s after the last connection, and that comes 0.05 or 1 s after the deletion: the median "
    "lies in one group or in the other",
    "i/keep": START_ALONE,
    "i/new": START_ALONE,
    "i0/new": f"{START_ALONE}; two of these, younger than 4 s, got their stop signal 1.3 s late on the real cluster",
    "c/keep": "the engine holds 38 kept-alive connections, the client that measured held 25: more are dialled anew",
    "d/keep": "its nine real starts lay at two phases of the relist, 0.44 and 0.88 s",
}
"""What is known of rows that differ."""
STEPS = ("deletion to slice", "deletion to stop signal", "exit to out of slice", "start to ready")


def rows_to_run(asked: list[str]) -> list[str]:
    """The rows that were asked for, else all; a row with nftables shares the run of its namesake."""
    known = [name for name in truth() if "nftables" not in name and name.split("/")[0] in SETUPS]
    unknown = set(asked) - set(known)
    if unknown:
        raise SystemExit(f"no such row: {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    return asked or known


class Alone:
    """The lock of this machine, held for some rows at a time."""

    def __init__(self, patience: float | None) -> None:
        self._file = LOCK.open("w")
        self._patience = patience
        self._since = 0.0
        self.exclusive = False

    def hold(self) -> None:
        """Have it; give others their turn when it was held for long."""
        if self.exclusive and time.monotonic() - self._since < LONGEST_HOLD:
            return
        self.release()
        if self._patience is None:
            fcntl.flock(self._file, fcntl.LOCK_EX)
            self.exclusive = True
        else:
            self.exclusive = self._try(self._patience)
        self._since = time.monotonic()

    def release(self) -> None:
        """Let others work."""
        fcntl.flock(self._file, fcntl.LOCK_UN)
        self.exclusive = False

    def _try(self, patience: float) -> bool:
        end = time.monotonic() + patience
        while time.monotonic() < end:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(0.05)
            else:
                return True
        fcntl.flock(self._file, fcntl.LOCK_SH)
        return False


def measured(row: str, seed: int, rollouts: int) -> Measured:
    """One row; once more where the load was late: then it says nothing about the cluster."""
    for _ in range(TRIES):
        with tempfile.TemporaryDirectory(prefix="lameduck-fidelity-") as folder:
            found = run(row, Path(folder) / "run", rollouts=rollouts, seed=seed)
        if found.punctual:
            break
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("row", nargs="*", help="such as c/new; all without any")
    parser.add_argument("--page", type=Path, help="write the page there")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rollouts", type=int, default=3)
    parser.add_argument("--keep", type=Path, help="a file that keeps what was measured, and spares it the next time")
    parser.add_argument("--patience", type=float, metavar="S", help="wait so long for the lock, then run beside others")
    arguments = parser.parse_args()
    real = truth()
    kept = json.loads(arguments.keep.read_text()) if arguments.keep and arguments.keep.exists() else {}
    done: dict[str, Measured] = {}
    crowded, lock = 0, Alone(arguments.patience)
    for row in rows_to_run(arguments.row):
        if row in kept:
            done[row] = Measured(**kept[row])
        else:
            lock.hold()
            crowded += not lock.exclusive
            done[row] = measured(row, arguments.seed, arguments.rollouts)
        if arguments.keep:
            kept[row] = as_json(done[row])
            arguments.keep.write_text(json.dumps(kept))
        told = list(differences(row, real[row], done[row]))
        print(f"{row:9} {failures(done[row]):58} {'; '.join(told) or 'agrees'}", flush=True)
    for row in [name for name in real if "nftables" in name and name.split()[0] in done]:
        done[row] = done[row.split()[0]]
    differing = [row for row, here in done.items() if list(differences(row, real[row], here))]
    if arguments.page:
        arguments.page.write_text(page(real, done, arguments.seed), "utf-8")
    print(f"{len(done) - len(differing)} of {len(done)} rows agree; {crowded} were run beside other work")
    return 1 if differing else 0


def as_json(row: Measured) -> dict[str, object]:
    """A row as it is kept."""
    return {name: getattr(row, name) for name in Measured.__dataclass_fields__}


def failures(row: Measured) -> str:
    """Failures per rollout, in words."""
    return ", ".join(f"{kind} {count:.0f}" for kind, count in row.kinds.items()) or "–"


def page(real: dict[str, Measured], done: dict[str, Measured], seed: int) -> str:
    """The page for the docs."""
    agree = sum(not list(differences(row, real[row], here)) for row, here in done.items())
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=ROOT, check=False
    )
    missing = sorted(set(real) - set(done))
    written = f"Written by `bench/fidelity.py --page docs/fidelity.md` on {time.strftime('%Y-%m-%d')}"
    machine = f"commit {commit.stdout.strip()}, Linux {platform.release()}, {os.cpu_count()} cores, seed {seed}"
    without = f" Not run: {', '.join(missing)}." if missing else ""
    lines = [
        "# How faithful the local cluster is",
        "",
        f"{written} ({machine}).",
        "",
        RULES,
        "",
        f"**{agree} of {len(done)} rows agree.**{without}",
        "",
        "## Failures per rollout",
        "",
        "| row | real cluster | local cluster | rollouts | differs |",
        "|---|---|---|---|---|",
    ]
    for row in sorted(done):
        name = f"*{row}*" if row in UNDECIDED else row
        told = [each for each in differences(row, real[row], done[row]) if not each.startswith(STEPS)]
        count = len(done[row].per_rollout)
        lines.append(f"| {name} | {failures(real[row])} | {failures(done[row])} | {count} | {'; '.join(told)} |")
    lines += [
        "",
        "## Timelines",
        "",
        "Medians in ms, real → local.",
        "",
        f"| row | {' | '.join(STEPS)} | rollout, s | differs |",
        "|---|" + "---|" * (len(STEPS) + 2),
    ]
    for row in sorted(done):
        here, there = done[row], real[row]
        cells = [f"{number(there.median_ms.get(step))} → {number(here.median_ms.get(step))}" for step in STEPS]
        told = [each for each in differences(row, there, here) if each.startswith(STEPS)]
        lines.append(f"| {row} | {' | '.join(cells)} | {there.rollout_s} → {here.rollout_s:.1f} | {'; '.join(told)} |")
    odd = [row for row in sorted(done) if row in KNOWN and list(differences(row, real[row], done[row]))]
    if odd:
        lines += ["", "## What is known of the rows that differ", "", *(f"- {row}: {KNOWN[row]}." for row in odd)]
    return "\n".join(lines) + "\n"


def number(value: float | None) -> str:
    """A median, rounded."""
    return "–" if value is None else f"{value:.0f}"


if __name__ == "__main__":
    raise SystemExit(main())
