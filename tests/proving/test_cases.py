"""Cases from the field (kubernetes#43576, nodejs#20256, gunicorn#2529, aws-load-balancer-controller#1065, celery#2700),
each with the real server where this machine has it."""

import shutil
import sys
from pathlib import Path

import pytest
from tests.proving.brisk import causes, clean, fallen, proved, timed_out, zoo

from lameduck.core.errors import EnvironmentFault
from lameduck.core.exchange import Lane
from lameduck.core.instants import SECOND
from lameduck.core.plan import RequestShape
from lameduck.core.proof import Verdict

pytestmark = [pytest.mark.rollout, pytest.mark.timeout(120)]

NEW = {"lanes": ((Lane.NEW, 1.0),)}

NGINX = """
daemon off; master_process off; pid {folder}/nginx.pid; error_log stderr; worker_processes 1;
events {{}}
http {{ access_log off; server {{ listen 8080; location / {{ return 200 ok; }} }} }}
"""


@pytest.mark.skipif(shutil.which("nginx") is None, reason="needs nginx")
def test_c61_plain_nginx_loses_a_handful_at_every_update_and_none_with_a_pre_stop(tmp_path: Path) -> None:
    (tmp_path / "nginx.conf").write_text(NGINX.format(folder=tmp_path))
    nginx = ("nginx", "-p", str(tmp_path), "-c", str(tmp_path / "nginx.conf"))
    traffic = {**NEW, "rate": 200.0, "requests": (RequestShape(),)}
    bare = proved(tmp_path / "a", *nginx, port=8080, traffic=traffic)
    assert bare.verdict is Verdict.FAILED
    assert ("LD101", "LD901") in causes(bare)
    assert set(bare.failures_by_kind) <= {"refused", "timeout", "reset", "closed"}
    mended = proved(tmp_path / "b", *nginx, port=8080, traffic=traffic, pre_stop_sleep=5)
    assert clean(mended)
    assert mended.upper_bound == pytest.approx(3 / mended.exposed_requests, rel=0.02)


NODE = """
const http = require('http');
const server = http.createServer((request, answer) => answer.end('ok'));
server.keepAliveTimeout = 300;
server.listen(process.env.PORT, '0.0.0.0');
process.on('SIGTERM', () => process.exit(0));
"""


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node")
def test_c63_the_keep_alive_race_of_a_node_server_is_not_blamed_on_a_rollout(tmp_path: Path) -> None:
    (tmp_path / "server.js").write_text(NODE)
    traffic = {"rate": 12.0, "lanes": ((Lane.REUSE, 1.0),), "look": False, "requests": (RequestShape(),)}
    traffic["duration"] = 9 * SECOND
    proof = proved(tmp_path, "node", str(tmp_path / "server.js"), rollouts=0, traffic=traffic)
    assert proof.verdict is Verdict.FAILED
    assert causes(proof) == {("LD605", "LD906")}
    looked = proved(
        tmp_path / "looked", "node", str(tmp_path / "server.js"), rollouts=0, traffic={**traffic, "look": True}
    )
    assert looked.failed < proof.failed / 2
    assert looked.closed_idle > 0


GUNICORN = """
import time
def app(environ, start_response):
    time.sleep(0.02)
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
"""


def test_c65_what_waits_in_gunicorns_backlog_is_named_so_and_a_pre_stop_empties_it(tmp_path: Path) -> None:
    pytest.importorskip("gunicorn")
    (tmp_path / "service.py").write_text(GUNICORN)
    gunicorn = (sys.executable, "-m", "gunicorn", "--chdir", str(tmp_path), "-b", "0.0.0.0:{port}", "service:app")
    traffic = {**NEW, "rate": 90.0, "requests": (RequestShape(),)}
    bare = proved(tmp_path / "a", *gunicorn, traffic=traffic)
    assert bare.verdict is Verdict.FAILED
    assert causes(bare) <= {("LD912", "LD912"), ("LD101", "LD901"), ("LD905", "LD905"), ("LD803", "LD902")}
    assert causes(bare) & {("LD912", "LD912"), ("LD101", "LD901")}
    # Two workers at 20 ms each: at 90 requests/s a busy machine would be overloaded, which is another loss.
    mended = proved(tmp_path / "b", *gunicorn, traffic={**traffic, "rate": 40.0}, pre_stop_sleep=4)
    assert clean(mended)


def test_c69_arrivals_go_on_through_an_outage_and_failures_are_rate_times_outage(tmp_path: Path) -> None:
    traffic = {**NEW, "rate": 100.0, "timeout": SECOND, "duration": 6 * SECOND}
    proof = proved(tmp_path, *zoo("black-hole"), rollouts=0, replicas=1, traffic=traffic)
    assert set(proof.failures_by_kind) <= {"timeout"}
    assert 100 <= timed_out(tmp_path) <= 330  # 100/s, silent for 2 s of 6: a closed loop of 8 would show 16
    if "the engine was on time" not in fallen(proof):  # else stalls of ours excuse time-outs
        assert proof.verdict is Verdict.FAILED
        assert "the plan was sent" not in fallen(proof)


def test_c85_a_worker_without_traffic_proves_nothing_and_says_so(tmp_path: Path) -> None:
    worker = (sys.executable, "-c", "import time; time.sleep(60)")
    with pytest.raises(EnvironmentFault, match="listens on no port"):
        proved(tmp_path, *worker, start_deadline=2 * SECOND)
