"""Case C79: everybody is cut, and no HTTP request failed."""

import sys
from pathlib import Path

import pytest
from tests.proving.brisk import SERVERS, causes, clean, proved

from lameduck.core.errors import EnvironmentFault
from lameduck.core.exchange import Lane
from lameduck.core.plan import RequestShape, SocketPlan
from lameduck.core.proof import Proof, Verdict
from lameduck.core.timeline import Event
from lameduck.runfile import read

pytestmark = pytest.mark.rollout
HELD = SocketPlan(count=12, path="/ws")


def chat(folder: Path, behaviour: str, sockets: SocketPlan = HELD) -> Proof:
    """A rollout of the chat server with a preStop that mends everything but the sockets."""
    traffic = {"lanes": ((Lane.NEW, 1.0),), "rate": 60.0, "requests": (RequestShape(path="/"),)}
    command = (sys.executable, str(SERVERS / "chat.py"), behaviour)
    return proved(folder, *command, traffic=traffic, sockets=sockets, replicas=1, pre_stop_sleep=3, ready_path="/")


def test_sockets_that_die_with_their_pod_fail_the_proof_and_are_told_from_requests(tmp_path: Path) -> None:
    proof = chat(tmp_path, "leaves")
    assert (proof.verdict, proof.failed, causes(proof)) == (Verdict.FAILED, 0, {("LD916", "LD916")})
    assert proof.sockets is not None
    assert (proof.sockets.held, proof.sockets.moved, proof.sockets.stranded) == (12, 0, 0)
    assert proof.sockets.cut >= 12, "each was cut at least once"
    run = read(tmp_path / "run").run
    lost = [seen for seen in run.observations if seen.what is Event.SOCKET_ENDED]
    assert len(lost) == proof.sockets.cut and run.plan.sockets == HELD, "the run file has it all"


def test_sockets_that_are_told_to_go_and_come_back_have_moved(tmp_path: Path) -> None:
    proof = chat(tmp_path, "tells")
    assert clean(proof) and not causes(proof)
    assert proof.sockets is not None and proof.sockets.moved >= 12 and not proof.sockets.lost


def test_a_path_without_websockets_is_said_before_anything_is_disrupted(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFault, match=r"no WebSocket at /ws: .* say the right path with --socket-path"):
        proved(tmp_path, sys.executable, str(SERVERS / "zoo.py"), "drains", sockets=HELD)
