"""The truth table: workloads whose fate in a rollout was measured on a real cluster, and what a proof must say of each.

Law: a row says what must be found and what may be found besides; everything else is wrong. The letters are those of
docs/truth-cluster.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.e2e.rig import Shape, execute, sleep

Cause = tuple[str, str]
"""The defect's code and the symptom's."""

NO_DELAY, UNDRAINED, TOO_SHORT = ("LD101", "LD901"), ("LD803", "LD902"), ("LD109", "LD901")
UNHEARD, GRACE, NO_ENDPOINT = ("LD903", "LD903"), ("LD102", "LD904"), ("LD202", "LD901")
DEAF_SHELL = ("LD401", "LD903")
NOT_LISTENING, BACKLOG, UNSERVED = ("LD301", "LD910"), ("LD912", "LD912"), ("LD905", "LD905")
RACE, RACE_AT_STOP = ("LD605", "LD906"), ("LD906", "LD906")
POLITE = ("sees-off",)
"""Drains, and answers what still comes on open connections with ``Connection: close``."""
ONE_BY_ONE = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0}}
DEAD_KEPT = ("LD914", "LD914")
EDGES = frozenset({BACKLOG, RACE_AT_STOP, UNSERVED, DEAD_KEPT})
"""What now and then befalls a few requests: in the instant in which a listener closes; and, where a client's port is
used again within two minutes of a connection that was swallowed, the connection table still leads to the dead pod."""
BAD_GATEWAY = ("LD101", "LD907")
BEHIND = EDGES | {NO_DELAY, ("LD803", "LD907"), ("LD907", "LD907")}
"""Behind an ingress: what it did not get through to times out; which end of a pod cut a request may stay open."""


@dataclass(frozen=True)
class Row:
    """One workload, the traffic, and what a proof of its rollout must say."""

    what: str
    shape: Shape
    verdict: str
    must: frozenset[Cause] = frozenset()
    may: frozenset[Cause] = frozenset()
    flags: Sequence[str] = ("--path", "/50")
    qps: int = 300
    rollouts: int = 1
    through: bool = False
    """Through the ingress."""
    lost: tuple[int, int] = (0, 0)
    """Least and most requests lost in a rollout. The least is for the shortest lag: kube-proxy that has just been idle
    acts after some 25 ms, now and then in all three removals of a rollout."""
    quick: bool = False
    """Run by `scripts/e2e` without --full too."""
    lanes: str = ""
    also: frozenset[str] = field(default_factory=frozenset)
    """Other verdicts that are as true: where phase decides."""


ROWS = {
    "a": Row("ignores SIGTERM, grace 5 s", Shape(("ignores",), grace=5), "FAILED", frozenset({UNHEARD}), lost=(1, 400)),
    "b": Row(
        "exits at once on SIGTERM",
        Shape(("exits",)),
        "FAILED",
        frozenset({NO_DELAY, UNDRAINED}),
        EDGES,
        lost=(3, 800),
        quick=True,
    ),
    "c": Row(
        "closes its listener and drains",
        Shape(),
        "FAILED",
        frozenset({NO_DELAY}),
        EDGES,
        lost=(3, 800),
        quick=True,
    ),
    "d": Row("drains, preStop sleep 5", Shape(POLITE, hook=sleep(5)), "PROVEN", rollouts=2, quick=True),
    "dx": Row("drains, preStop exec `sleep 5`", Shape(POLITE, hook=execute("sleep", "5")), "PROVEN", rollouts=2),
    "d1": Row(
        "drains, preStop sleep 1: shorter than the lag",
        Shape(POLITE, hook=sleep(1)),
        "FAILED",
        frozenset({TOO_SHORT}),
        EDGES,
        rollouts=3,
        lost=(1, 120),
        also=frozenset({"PROVEN"}),
    ),
    "d2": Row("drains, preStop sleep 2", Shape(POLITE, hook=sleep(2)), "PROVEN", rollouts=2),
    "dp": Row(
        "drains, and cuts idle connections; preStop sleep 5",
        Shape(hook=sleep(5)),
        "PROVEN",
        may=frozenset({RACE_AT_STOP}),
        rollouts=2,
        lost=(0, 20),
        also=frozenset({"FAILED"}),
    ),
    "dl": Row("lame duck, preStop sleep 5", Shape(("lame",), hook=sleep(5)), "PROVEN", rollouts=2),
    "db": Row(
        "drains, preStop sleep 5, a client that does not look before reuse",
        Shape(POLITE, hook=sleep(5)),
        "PROVEN",
        may=frozenset({RACE_AT_STOP, RACE}),
        flags=("--path", "/20", "--no-look"),
        rollouts=2,
        lost=(0, 40),
        also=frozenset({"FAILED"}),
    ),
    "e": Row(
        "bash without exec in front, grace 5 s",
        Shape(script="swallow", grace=5),
        "FAILED",
        frozenset({DEAF_SHELL}),
        flags=("--path", "/200", "--look-inside"),
        qps=150,
        lost=(1, 200),
        quick=True,
    ),
    "f": Row(
        "bash that forwards and waits",
        Shape(script="forward"),
        "FAILED",
        frozenset({NO_DELAY}),
        EDGES,
        lost=(3, 800),
        quick=True,
    ),
    "g": Row(
        "preStop exec `sleep 10`, grace 5 s, short requests: cushioned by the kubelet's 2 s",
        Shape(hook=execute("sleep", "10"), grace=5),
        "PROVEN",
        may=frozenset({RACE_AT_STOP}),
        lost=(0, 20),
        also=frozenset({"FAILED"}),
    ),
    "g3": Row(
        "preStop exec `sleep 10`, grace 5 s, requests of 4 s",
        Shape(POLITE, hook=execute("sleep", "10"), grace=5),
        "FAILED",
        frozenset({GRACE}),
        flags=("--path", "/4000"),
        qps=50,
        lost=(20, 300),
    ),
    "h": Row(
        "no readiness probe, listens after 3 s, preStop sleep 5",
        Shape(POLITE, readiness=False, hook=sleep(5), environment={"LISTEN_AFTER": "3"}),
        "FAILED",
        frozenset({NOT_LISTENING}),
        lost=(50, 2000),
        quick=True,
    ),
    "i": Row(
        "1 replica, maxSurge 0, preStop sleep 5",
        Shape(POLITE, replicas=1, strategy=ONE_BY_ONE, hook=sleep(5)),
        "PROVEN",
        rollouts=2,
        qps=200,
        quick=True,
    ),
    "i0": Row(
        "1 replica, maxSurge 0, no preStop",
        Shape(replicas=1, strategy=ONE_BY_ONE),
        "FAILED",
        may=EDGES | {NO_DELAY, NO_ENDPOINT},
        qps=200,
        lost=(10, 800),
    ),
    "i8": Row(
        "1 replica, maxSurge 0, preStop sleep 5, listens after 8 s",
        Shape(POLITE, replicas=1, strategy=ONE_BY_ONE, hook=sleep(5), environment={"LISTEN_AFTER": "8"}),
        "FAILED",
        frozenset({NO_ENDPOINT}),
        (EDGES - {DEAD_KEPT}) | {TOO_SHORT},
        qps=200,
        lost=(200, 2500),
    ),
    "j": Row(
        "closes idle connections after 0.2 s, a client that does not look, no rollout",
        Shape(("closes-idle",), hook=sleep(5)),
        "FAILED",
        frozenset({RACE}),
        flags=("--path", "/20", "--no-look", "--lanes", "reuse", "--duration", "15s"),
        qps=60,
        rollouts=0,
        lost=(5, 900),
    ),
    "kb": Row(
        "exits at once, through Traefik",
        Shape(("exits",)),
        "FAILED",
        frozenset({BAD_GATEWAY}),
        BEHIND,
        through=True,
        lost=(15, 2000),
    ),
    "kc": Row(
        "drains, through Traefik", Shape(), "FAILED", frozenset({BAD_GATEWAY}), BEHIND, through=True, lost=(15, 2000)
    ),
    "kd": Row(
        "drains, preStop sleep 5, through Traefik", Shape(POLITE, hook=sleep(5)), "PROVEN", through=True, quick=True
    ),
    "kd2": Row(
        "drains, preStop sleep 2, through Traefik: at the edge of its throttle",
        Shape(POLITE, hook=sleep(2)),
        "PROVEN",
        may=frozenset({("LD109", "LD907"), TOO_SHORT, ("LD907", "LD907")}),
        through=True,
        rollouts=2,
        lost=(0, 300),
        also=frozenset({"FAILED"}),
    ),
    "kd3": Row(
        "drains, preStop sleep 3, through Traefik", Shape(POLITE, hook=sleep(3)), "PROVEN", through=True, rollouts=2
    ),
    "ss": Row("StatefulSet, drains", Shape(kind="StatefulSet"), "FAILED", frozenset({NO_DELAY}), EDGES, lost=(5, 900)),
    "ssd": Row("StatefulSet, drains, preStop sleep 5", Shape(POLITE, kind="StatefulSet", hook=sleep(5)), "PROVEN"),
}
