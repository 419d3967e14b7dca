"""Cases from the field that need a real cluster: a slow balancer (C73, aws-load-balancer-controller#2366), a data plane
that keeps a dead endpoint (C75, kubernetes#81775), a proxy that retries (C77, ingress-nginx#2846)."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.e2e.rig import NAMESPACE, Cluster, Shape, prove, sleep

pytestmark = [pytest.mark.timeout(420), pytest.mark.full]
on_a_node = pytest.mark.skipif("E2E_OWN_CLUSTER" not in os.environ, reason="needs a node's network: tests/cluster")
BALANCER, NGINX = 8090, 8091


@contextmanager
def running(argv: Sequence[str]) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(10)


@on_a_node
@pytest.mark.parametrize(("hook", "grace"), [(10, 30), (130, 150)])
def test_c73_a_balancer_that_hears_late_is_measured_and_the_pre_stop_follows_from_it(
    hook: int, grace: int, cluster: Cluster, tmp_path: Path, keep: Callable[..., None]
) -> None:
    lag = 120
    name = f"c73-{hook}"
    cluster.deploy(name, Shape(replicas=2, grace=grace, hook=sleep(hook)))
    argv = [sys.executable, str(Path(__file__).parent / "balancer.py"), str(BALANCER), name, NAMESPACE, str(lag)]
    try:
        with running(argv) as balancer:
            assert balancer.stdout is not None
            assert balancer.stdout.readline() == "up\n"
            way = ["--load-from", f"http://127.0.0.1:{BALANCER}", "--lanes", "new", "--rollouts", "1"]
            more = ["--qps", "60", "--path", "/20", "--timeout", "6s", "--duration", "30s"]
            outcome = prove(f"deployment/{name}", tmp_path, *way, *more, within=400)
    finally:
        cluster.remove(name)
    keep(f"c73-{hook}", f"a balancer that hears {lag} s late, preStop {hook} s", outcome)
    measured = outcome.proof["propagation_lag_ms"]
    if hook < lag:
        assert outcome.verdict == "FAILED"
        assert outcome.proof["suggested_pre_stop_seconds"] > hook
        assert measured["censored"]
        assert "at least" in outcome.proof["arithmetic"]
    else:
        assert (outcome.verdict, outcome.proof["failed"]) == ("PROVEN", 0), outcome.fallen
        assert (lag - 2) * 1000 <= measured["max"] <= (lag + 4) * 1000
        assert lag < outcome.proof["suggested_pre_stop_seconds"] <= lag + 6


@on_a_node
def test_c75_a_data_plane_that_keeps_a_dead_endpoint_is_not_cured_by_a_longer_grace(
    cluster: Cluster, tmp_path: Path, keep: Callable[..., None]
) -> None:
    """A small share of connections goes to an old pod for ever, as stale entries of a connection table make it."""
    name = "c75"
    cluster.deploy(name, Shape(("sees-off",), hook=sleep(5)))
    pods = cluster.kubectl("get", "pods", "-l", f"app={name}", "-o", "jsonpath={.items[0].status.podIP}")
    rule = [
        "OUTPUT", "-d", f"{cluster.address(name)}/32", "-p", "tcp", "--dport", "80", "-m", "statistic",
        "--mode", "random", "--probability", "0.01", "-j", "DNAT", "--to-destination", f"{pods}:8080",
    ]  # fmt: skip
    subprocess.run(["iptables", "-t", "nat", "-I", *rule], check=True)
    try:
        flags = ["--qps", "200", "--rollouts", "1", "--path", "/20", "--duration", "35s", "--lanes", "new"]
        outcome = prove(f"deployment/{name}", tmp_path, *flags)
    finally:
        subprocess.run(["iptables", "-t", "nat", "-D", *rule], check=True)
        cluster.remove(name)
    keep("c75", "preStop sleep 5; 1 % of new connections led to a dead pod for ever", outcome)
    assert outcome.verdict == "FAILED"
    assert ("LD914", "LD914") in outcome.causes
    assert outcome.causes <= {("LD914", "LD914"), ("LD912", "LD912")}  # the rule leads there while the listener closes
    assert outcome.proof["propagation_lag_ms"]["max"] < 2_500
    (finding,) = [each for each in outcome.proof["findings"] if each["code"] == "LD914"]
    patches = [patch["snippet"] or "" for patch in (finding["fix"] or {}).get("patches", [])]
    assert not any("terminationGracePeriodSeconds" in patch for patch in patches)


NGINX_CONF = """
daemon off; master_process off; pid {folder}/nginx.pid; error_log stderr crit; worker_processes 1;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  upstream pods {{ {servers} }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://pods;
      proxy_connect_timeout 300ms;
      proxy_next_upstream error timeout;
      proxy_next_upstream_tries 10;
      add_header X-Upstream-Addr $upstream_addr always;
    }}
  }}
}}
"""


@on_a_node
@pytest.mark.skipif(shutil.which("nginx") is None, reason="needs nginx")
def test_c77_what_a_proxy_retries_is_masked_for_get_and_lost_for_post(
    cluster: Cluster, tmp_path: Path, keep: Callable[..., None]
) -> None:
    outcomes = {}
    for method in ("GET", "POST"):
        name = f"c77-{method.lower()}"
        cluster.deploy(name, Shape(("exits",), replicas=10))
        where = "{.items[*].status.podIP}", "{.items[*].metadata.name}"
        ips, names = (
            cluster.kubectl("get", "pods", "-l", f"app={name}", "-o", f"jsonpath={each}").split() for each in where
        )
        servers = " ".join(f"server {ip}:8080 max_fails=0;" for ip in ips)
        file = tmp_path / f"{name}.conf"
        file.write_text(NGINX_CONF.format(folder=tmp_path, servers=servers, port=NGINX))
        try:
            with running(["nginx", "-p", str(tmp_path), "-c", str(file)]):
                time.sleep(0.5)
                line = f"kubectl -n {NAMESPACE} delete pod {' '.join(names[:5])} --wait=false"
                way = ["--load-from", f"http://127.0.0.1:{NGINX}", "--disrupt-command", line, "--rollouts", "1"]
                flags = ["--qps", "150", "--path", "/100", "--method", method, "--lanes", "new", "--timeout", "8s"]
                outcomes[method] = prove(f"deployment/{name}", tmp_path / method, *way, *flags)
        finally:
            cluster.remove(name)
        keep(name, f"nginx that retries, 5 of 10 pods exit at once, {method}", outcomes[method])
    get, post = outcomes["GET"].proof, outcomes["POST"].proof
    assert get["failed"] == 0
    assert get["masked_by_retries"] > 10
    assert "masked" in get["sentence"]
    assert post["failed"] > 0
    assert outcomes["POST"].verdict == "FAILED"
