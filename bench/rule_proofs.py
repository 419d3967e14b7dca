"""Rules shown to matter: for each, the bad one and the mended one are rolled out under load in the local cluster.

Usage: .venv/bin/python bench/rule_proofs.py [LD401 …]     (all of them: ten minutes; docs/rule-proofs.md is written)

Start scripts are linted first (the rule must be found there) and mended by `lameduck fix --unsafe` where it can mend
them. All pairs but those about the drain window itself have a preStop of 3 s, so that what is lost is the rule's own.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.proving.brisk import causes, proved, zoo  # noqa: E402

from lameduck.core.exchange import Lane  # noqa: E402
from lameduck.core.instants import SECOND  # noqa: E402
from lameduck.core.plan import RequestShape  # noqa: E402
from lameduck.core.podspec import ContainerSpec  # noqa: E402
from lameduck.core.probes import ProbeSpec  # noqa: E402
from lameduck.core.proof import Proof  # noqa: E402
from lameduck.defects import module  # noqa: E402
from lameduck.defects.fixing import Mender, Wanted  # noqa: E402
from lameduck.defects.linting import Choice, lint  # noqa: E402
from lameduck.manifests.project import Project, Settings  # noqa: E402
from lameduck.manifests.text import Text  # noqa: E402

SERVER = " ".join(zoo("lets-go"))
"""Drains: closes its listener, announces the close on each answer, ends when nothing is in hand."""
WAIT = {"pre_stop_sleep": 3}
PROBED = (ContainerSpec(readiness=ProbeSpec()),)
PORT = {"env": {"PORT": "8080"}, "port": 8080}
DOCKERFILE = "FROM python:3.12-slim\nCOPY start.sh /start.sh\nENTRYPOINT ["


@dataclass(frozen=True)
class Pair:
    """One rule's bad and mended workload: fields of `LocalSpec`, a command, or a start script."""

    code: str
    shown: str
    bad: dict[str, Any] = field(default_factory=dict)
    good: dict[str, Any] = field(default_factory=dict)
    script: str = ""
    """A start script, without its first line; SERVER is the server's command line."""
    mended: str = ""
    """The script mended by hand, as the rule's advice says; "" where `lameduck fix` mends it."""
    shell: str = "dash"
    init: tuple[str, ...] = ()
    needs: str = ""
    traffic: dict[str, Any] = field(default_factory=dict)


def command(*words: str, **more: Any) -> dict[str, Any]:
    return {"command": words, **WAIT, **more}


DRAINS = command(*zoo("lets-go"))
SLOW_START = command("sh", "-c", f"sleep 6; exec {SERVER}")
SHORT = {"grace": 6 * SECOND}
LONG_REQUESTS = {"requests": (RequestShape(path="/2500"),), "rate": 40.0, "timeout": 8 * SECOND}
LONGER_REQUESTS = {
    "requests": (RequestShape(path="/5000"),),
    "rate": 2.5,
    "timeout": 12 * SECOND,
    "lanes": ((Lane.NEW, 1.0),),
}
"""In hand when the signal comes, though they began before the endpoint went; sync workers keep no connection alive."""
GOOD_WAIT = "trap 'kill -TERM $p; wait $p' TERM\nSERVER &\np=$!\nwait $p\n"
GUNICORN = (str(Path(sys.executable).parent / "gunicorn"), "--bind", "0.0.0.0:8080", "--workers", "8")


def gunicorn(*flags: str) -> tuple[str, ...]:
    return (*GUNICORN, *flags, "--chdir", str(ROOT / "bench"), "rule_proofs_app:app")


PAIRS = [
    Pair("LD101", "no preStop; preStop sleep 3 s", {"command": zoo("lets-go")}, DRAINS),
    Pair(
        "LD102",
        "grace 4 s with a preStop of 3 s and requests of 2.5 s; grace 20 s",
        {**DRAINS, "grace": 4 * SECOND},
        {**DRAINS, "grace": 20 * SECOND},
        traffic=LONG_REQUESTS,
    ),
    Pair(
        "LD103",
        "grace 0 with a preStop of 3 s; grace 30 s",
        {"command": zoo("lets-go"), "pre_stop_exec": ("sleep", "3"), "grace": 0},
        {"command": zoo("lets-go"), "pre_stop_exec": ("sleep", "3"), "grace": 30 * SECOND},
    ),
    Pair(
        "LD104",
        "a hook whose program is not in the image; the native sleep",
        {"command": zoo("lets-go"), "pre_stop_exec": ("/usr/lib/absent/sleep", "3")},
        DRAINS,
    ),
    Pair(
        "LD105",
        'the hook ["sh", "-c", "sleep", "3"]; the native sleep',
        {"command": zoo("lets-go"), "pre_stop_exec": ("sh", "-c", "sleep", "3")},
        DRAINS,
    ),
    Pair(
        "LD107",
        "a hook that stops the server and then sleeps; a hook that sleeps",
        {"command": zoo("lets-go"), "pre_stop_exec": ("sh", "-c", "kill -TERM 1; sleep 3")},
        DRAINS,
    ),
    Pair("LD201", "strategy Recreate; RollingUpdate", {**DRAINS, "recreate": True}, DRAINS),
    Pair(
        "LD202",
        "a server that starts after 6 s, maxUnavailable 100 %; 0 with maxSurge 1",
        {**SLOW_START, "max_unavailable": "100%"},
        {**SLOW_START, "max_unavailable": 0, "max_surge": 1},
    ),
    Pair(
        "LD301",
        "a server that listens after 1.5 s, without a readiness probe; with one",
        {**command(*zoo("listens-late")), **PORT, "containers": (ContainerSpec(),)},
        command(*zoo("listens-late")),
    ),
    Pair("LD401", "the script runs the server as its child", script="SERVER\n"),
    Pair("LD402", "tini before such a script", script="SERVER\n", init=("tini", "--"), needs="tini"),
    Pair(
        "LD403",
        "a trap, and the server in the foreground",
        script="trap 'kill $(pgrep python)' TERM\nSERVER\n",
        mended=GOOD_WAIT,
    ),
    Pair("LD404", "one wait", script="trap 'kill -TERM $p' TERM\nSERVER &\np=$!\nwait $p\n"),
    Pair("LD405", "a handler that exits", script="trap 'exit 0' TERM\nSERVER &\nwait\n", mended=GOOD_WAIT),
    Pair(
        "LD406",
        "the signal is ignored by the shell that waits",
        script="trap '' TERM\nSERVER &\nwait\n",
        mended="exec SERVER\n",
    ),
    Pair("LD407", "the server in a pipeline", script="SERVER | cat\n", shell="bash"),
    Pair(
        "LD409",
        "flock before the server",
        script="exec flock -s /tmp SERVER\n",
        mended="exec SERVER\n",
        needs="flock",
    ),
    Pair("LD411", "tail keeps the container alive", script="SERVER &\ntail -f /dev/null\n", mended="exec SERVER\n"),
    Pair("LD413", "the script traps INT only", script="trap 'kill -TERM $p; wait $p' INT\nSERVER &\np=$!\nwait $p\n"),
    Pair(
        "LD501",
        "dash -c; exec in it",
        command("dash", "-c", SERVER, **SHORT),
        command("dash", "-c", f"exec {SERVER}", **SHORT),
        needs="dash",
    ),
    Pair(
        "LD504",
        "STOPSIGNAL SIGKILL; SIGTERM",
        {**DRAINS, **PORT, "containers": (ContainerSpec(readiness=ProbeSpec(), stop_signal=9),)},
        {**DRAINS, **PORT, "containers": (ContainerSpec(readiness=ProbeSpec(), stop_signal=15),)},
    ),
    Pair(
        "LD505",
        "gunicorn stopped with QUIT, requests of 5 s; with TERM",
        {**command(*gunicorn()), **PORT, "containers": (ContainerSpec(readiness=ProbeSpec(), stop_signal=3),)},
        {**command(*gunicorn()), **PORT, "containers": (ContainerSpec(readiness=ProbeSpec(), stop_signal=15),)},
        traffic=LONGER_REQUESTS,
    ),
    Pair(
        "LD506",
        "a server that knows TERM only, stopped with an inherited QUIT; with TERM",
        {**DRAINS, **PORT, "containers": (ContainerSpec(readiness=ProbeSpec(), stop_signal=3),), **SHORT},
        {**DRAINS, **PORT, "containers": (ContainerSpec(readiness=ProbeSpec(), stop_signal=15),), **SHORT},
    ),
    Pair(
        "LD507",
        "npm start; the script's own command",
        command("npm", "start", "--prefix", "{folder}", **SHORT),
        command(*zoo("lets-go"), **SHORT),
        needs="npm",
    ),
    Pair(
        "LD601",
        "publishNotReadyAddresses true; false",
        {**DRAINS, **PORT, "containers": PROBED, "publish_not_ready": True},
        {**DRAINS, **PORT, "containers": PROBED},
    ),
    Pair(
        "LD801",
        "gunicorn --graceful-timeout 1 and requests of 5 s; 10",
        command(*gunicorn("--graceful-timeout", "1")),
        command(*gunicorn("--graceful-timeout", "10")),
        traffic=LONGER_REQUESTS,
    ),
]
NOT_SHOWN = {
    "LD003": "a field in the wrong place is a field that is absent: what it costs is LD101's, LD102's or LD202's row",
    "LD106": "the same: a hook that the API server drops is LD101's row",
    "LD108": "the same for the stop signal: LD505's row",
    "LD109": "needs the path that is slow: `prove --local --via` shows it for a given one",
    "LD110": "about what a node drain leaves of the grace period: no rollout",
    "LD203 LD204 LD205": "about evictions, not rollouts",
    "LD206 LD606": "needs a cloud's load balancer",
    "LD207 LD208 LD602": "about nodes and single pods: the gap is there by construction",
    "LD302 LD303": "about restarts by a probe under overload, not rollouts",
    "LD408": "the server's handler is called over and over: whether that loses requests is the server's matter",
    "LD410": "a signal within the set-up: no request is in hand yet",
    "LD412 LD804": "needs supervisord or uWSGI, which the project does not install; measured by hand, see their pages",
    "LD502": "the container does not start the program that was meant: nothing comes up to be rolled",
    "LD508": "what is lost depends on what replaces the entry point",
    "LD603 LD604": "needs an ingress controller",
    "LD605": "needs no rollout: `lameduck load --no-look` shows it",
    "LD607": "needs clients that cache DNS",
    "LD701 LD702 LD703 LD704": "needs a proxy between the pod and its dependencies or its clients",
    "LD802": "one stuck stream uses up the grace period: nothing is lost that LD102 would not lose",
    "LD803": "needs daphne, waitress or Flask, which the project does not install; measured by hand, see its page",
    "LD805 LD806": "needs a JVM",
}


def script_of(pair: Pair) -> tuple[str, str]:
    """The bad and the mended text of a start script; the rule must be found in it."""
    shebang = f"#!/usr/bin/env {pair.shell}\n"
    bad = shebang + pair.script.replace("SERVER", SERVER)
    words = ", ".join(f'"{word}"' for word in (*pair.init, "/start.sh"))
    texts = {
        "Dockerfile": Text("Dockerfile", f"{DOCKERFILE}{words}]\n"),
        "start.sh": Text("start.sh", bad),
    }
    roots = [texts["Dockerfile"]]
    found = {one.defect.code for one in lint(Project(roots, texts.get)).findings}
    if pair.code not in found:
        raise SystemExit(f"{pair.code}: lint finds {sorted(found)} in\n{bad}")
    if pair.mended:
        return bad, shebang + pair.mended.replace("SERVER", SERVER)
    mended = Mender(roots, texts.get, Settings(), Wanted(unsafe=True, choice=Choice())).run()
    good = mended.texts["start.sh"].content
    if good == bad:
        raise SystemExit(f"{pair.code}: fix changes nothing in\n{bad}")
    return bad, good


def workloads(pair: Pair, folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The fields of the bad and of the mended workload."""
    if not pair.script:
        return _placed(pair.bad, folder), _placed(pair.good, folder)
    made = []
    for name, text in zip(("bad.sh", "good.sh"), script_of(pair), strict=True):
        (folder / name).write_text(text)
        made.append(command(*pair.init, pair.shell, str(folder / name), **SHORT))
    return made[0], made[1]


def _placed(fields: dict[str, Any], folder: Path) -> dict[str, Any]:
    (folder / "package.json").write_text(json.dumps({"name": "x", "scripts": {"start": SERVER}}))
    words = tuple(word.replace("{folder}", str(folder)) for word in fields["command"])
    return {**fields, "command": words}


def prove_pair(pair: Pair, folder: Path) -> tuple[Proof, Proof]:
    """Both proofs, the bad one first."""
    traffic = {"requests": (RequestShape(path="/200"),), **pair.traffic}
    bad, good = workloads(pair, folder)
    return (
        proved(folder / "bad", *bad.pop("command"), traffic=traffic, **bad),
        proved(folder / "good", *good.pop("command"), traffic=traffic, **good),
    )


def main() -> int:
    wanted = sys.argv[1:]
    os.environ["QUIET"] = "1"
    rows, wrong = [], 0
    for pair in PAIRS:
        if wanted and pair.code not in wanted:
            continue
        if pair.needs and not shutil.which(pair.needs):
            print(f"{pair.code}: no {pair.needs} here", flush=True)
            continue
        with tempfile.TemporaryDirectory(prefix="rule-") as folder:
            bad, good = prove_pair(pair, Path(folder))
        held = bad.failed > 0 and good.failed == 0
        wrong += not held
        row = (
            f"| {pair.code} {module(pair.code).DEFECT.slug} | {pair.shown}{_how(pair)} | {_lost(bad)} | {_lost(good)} |"
        )
        print(row if held else f"NOT SHOWN: {row}", flush=True)
        rows.append(row)
    if not wrong:
        written = ROOT / "docs" / "rule-proofs.md"
        written.write_text(renewed(written.read_text(), rows) if wanted else page(rows))
    return 1 if wrong else 0


def renewed(text: str, rows: list[str]) -> str:
    """The page with these rows in the place of the older ones about the same rules."""
    new = {row.split()[1]: row for row in rows}
    return "".join(
        f"{new[line.split()[1]]}\n" if line.startswith("| LD") and line.split()[1] in new and "FAILED" in line else line
        for line in text.splitlines(keepends=True)
    )


def _how(pair: Pair) -> str:
    if not pair.script:
        return ""
    return "; mended by hand" if pair.mended else "; mended by `lameduck fix`"


def _lost(proof: Proof) -> str:
    found = ", ".join(sorted({code for code, _ in causes(proof)})) if proof.failed else ""
    verdict = proof.verdict.value.upper()
    return f"{verdict}: {proof.failed:,} of {proof.requests:,}" + (f" ({found})" if found else "")


HEAD = """\
# Rules and rollouts

Each row is two proofs on the local cluster (real processes, signals and sockets): the workload that the rule finds, and
the mended one. Two replicas, one rollout, 150 requests a second of 200 ms, half of them on kept-alive connections,
unless the row says otherwise. Lost are those of the whole rollout; in brackets what the proof names as their cause.

INCONCLUSIVE with nothing lost: too few requests for a bound, since each takes 5 s.

Made by `bench/rule_proofs.py`, which lints each start script first and mends it by `lameduck fix` where that can.

| rule | bad; mended | bad: lost | mended: lost |
|---|---|---|---|
"""


def page(rows: list[str]) -> str:
    """The page of docs/."""
    absent = "\n".join(f"| {codes} | {why} |" for codes, why in NOT_SHOWN.items())
    return HEAD + "\n".join(rows) + f"\n\n## Not shown this way\n\n| rules | why |\n|---|---|\n{absent}\n"


if __name__ == "__main__":
    raise SystemExit(main())
