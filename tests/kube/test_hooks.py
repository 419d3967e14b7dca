"""How long a preStop hook holds back the stop signal, as far as its text says so."""

from __future__ import annotations

import pytest

from lameduck.core.instants import SECOND
from lameduck.kube.workload import pod_shape


@pytest.mark.parametrize(
    ("command", "seconds"),
    [
        (["sleep", "10"], 10),
        (["/bin/sh", "-c", "exec sleep 2.5"], 2.5),
        (["sh", "-c", "touch /tmp/draining; sleep 10"], 10),
        (["sh", "-c", "echo bye && sleep 5\nsleep 5;"], 10),
        (["sh", "-c", "rm -f /ready; /bin/sleep 4s; echo done > /proc/1/fd/1"], 4),
        (["sh", "-c", "nginx -s quit; sleep 10"], 0),  # it is the server that is stopped first
        (["sh", "-c", "sleep 10 & echo"], 0),
        (["sh", "-c", "echo $(sleep 10)"], 0),
        (["sh", "-c", "touch /x; sleep $WAIT"], 0),
        (["sh", "-c", "test -e /x && sleep 10"], 0),
        (["sh", "-c", "echo x || sleep 10"], 0),
    ],
)
def test_a_hook_of_quick_commands_takes_its_sleeps(command: list[str], seconds: float) -> None:
    container = {"name": "web", "lifecycle": {"preStop": {"exec": {"command": command}}}}
    assert pod_shape({"spec": {"containers": [container]}}).delay == seconds * SECOND
