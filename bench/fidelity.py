"""Holds the local cluster against a real one: every row of the truth table that it can run, in one page.

Run: .venv/bin/python bench/fidelity.py [ROW…] [--keep FILE [--within S]] [--page docs/fidelity.md] [--seed N]

Each row is some rollouts (3) under 500 requests/s on one lane, half a minute: nothing else may work on the machine.
With --keep rows that the file has are not measured again, and with --within no row is begun after so many seconds: call
it again for the rest. With --page the page is written of the rows that there are. Exit 1 if a row differs.
"""

from __future__ import annotations

import argparse
import json
import math
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

TRIES = 3
RULES = """\
Every workload of the [truth table](../tests/data/truth/README.md), measured on a real Kubernetes 1.34.4 in three
rollouts each, is run here on the local cluster, under 500 requests/s on one lane. A kind of failure that the real
cluster met 20 times or more per rollout must come within a factor of three, a rarer one within 15 per rollout, one that
never came must not come at all; exit codes must be the same, and the medians of the timeline within 50 ms or 20 %.
*Unreachable*, a real node's word for a dead address that its neighbour table has lost, counts as *timeout at connect*.
Rows in italics assert no number: what they show is rare."""
KNOWN = {
    "h/keep": "a request that finds no idle connection dials one, for 4.5 s perhaps to a pod that does not listen yet. "
    "The client that measured was late by some 15 ms now and then and so had 7 connections to spare again soon after a "
    "rollout (seen with it against this server); the engine, which is not, has one or two",
    "adp/new": "its sidecar takes a probe's connection for a client's unless the prober closes first, a race of "
    "microseconds that the kubelet wins about every second time (measured: 1.6 to 5.5 s, then 1.6 to 4.5 s) and a "
    "holder here less often",
    **dict.fromkeys(
        ("ad/new", "aq/new"),
        "its hook ends 1 s after the last connection, and that comes 0.05 or 1 s after the deletion: the median "
        "lies in one group or in the other (aq measured again on the real cluster: 1366 ms, from 1114 to 2094)",
    ),
    "i0/new": "whether the new pod of its first rollout is ready before kube-proxy's second sync, 1.06 s after the "
    "deletion, is a matter of the relist's phase: really it was (531 lost, 64 refused); where it is not, nobody "
    "is routed to for one more second. The later rollouts lose few, here as there, since a young pod's stop signal "
    "waits for a relist",
    "d/keep": "its nine real starts lay at two phases of the relist, 0.44 and 0.88 s; those of d/new at the first",
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
    parser.add_argument(
        "--other",
        action="append",
        default=[],
        metavar="SEED=FILE",
        help="what --keep has of another seed, for the page",
    )
    parser.add_argument("--keep", type=Path, help="a file that keeps what was measured, and spares it the next time")
    parser.add_argument(
        "--within", type=float, metavar="S", default=math.inf, help="begin no row after so many seconds"
    )
    arguments = parser.parse_args()
    real = truth()
    kept = json.loads(arguments.keep.read_text()) if arguments.keep and arguments.keep.exists() else {}
    others = {}
    for seed, _, file in (each.partition("=") for each in arguments.other):
        others[seed] = {row: Measured(**values) for row, values in json.loads(Path(file).read_text()).items()}
    done: dict[str, Measured] = {}
    began = time.monotonic()
    for row in rows_to_run(arguments.row):
        if row in kept:
            done[row] = Measured(**kept[row])
        elif time.monotonic() - began < arguments.within:
            done[row] = measured(row, arguments.seed, arguments.rollouts)
        else:
            continue
        if arguments.keep:
            kept[row] = as_json(done[row])
            arguments.keep.write_text(json.dumps(kept))
        told = list(differences(row, real[row], done[row]))
        print(f"{row:9} {failures(done[row]):58} {'; '.join(told) or 'agrees'}", flush=True)
    for row in [name for name in real if "nftables" in name and name.split()[0] in done]:
        done[row] = done[row.split()[0]]
    differing = [row for row, here in done.items() if list(differences(row, real[row], here))]
    if arguments.page:
        arguments.page.write_text(page(real, done, arguments.seed, others), "utf-8")
    print(f"{len(done) - len(differing)} of {len(done)} rows agree")
    return 1 if differing else 0


def as_json(row: Measured) -> dict[str, object]:
    """A row as it is kept."""
    return {name: getattr(row, name) for name in Measured.__dataclass_fields__}


def failures(row: Measured) -> str:
    """Failures per rollout, in words."""
    return ", ".join(f"{kind} {count:.0f}" for kind, count in row.kinds.items()) or "–"


def page(
    real: dict[str, Measured], done: dict[str, Measured], seed: int, others: dict[str, dict[str, Measured]]
) -> str:
    """The page for the docs; `others` has rows by seed."""
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
    if others:
        lines += [
            "",
            "## Other seeds",
            "",
            "Some rows again, with all that is drawn drawn anew: failures per rollout.",
            "",
        ]
        lines += [
            f"| row | real cluster |{''.join(f' seed {seed} |' for seed in others)}",
            "|---|---|" + "---|" * len(others),
        ]
        for row in sorted(set().union(*others.values())):
            cells = [_again(row, real[row], rows[row]) if row in rows else "–" for rows in others.values()]
            lines.append(f"| {row} | {failures(real[row])} | {' | '.join(cells)} |")
    odd = [row for row in sorted(done) if row in KNOWN and list(differences(row, real[row], done[row]))]
    if odd:
        lines += ["", "## What is known of the rows that differ", "", *(f"- {row}: {KNOWN[row]}." for row in odd)]
    return "\n".join(lines) + "\n"


def _again(row: str, real: Measured, here: Measured) -> str:
    """A row of another seed, with what differs in it."""
    told = "; ".join(differences(row, real, here))
    return f"{failures(here)}{f' (differs: {told})' if told else ''}"


def number(value: float | None) -> str:
    """A median, rounded."""
    return "–" if value is None else f"{value:.0f}"


if __name__ == "__main__":
    raise SystemExit(main())
