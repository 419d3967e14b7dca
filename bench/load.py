"""The load engine beside wrk and vegeta, in one run: one core each for the client, nginx on the other.

Usage: .venv/bin/python bench/load.py [SECONDS]        (5 per row; writes Markdown rows to standard output)
Needs nginx and wrk (Debian packages) and vegeta on PATH or in ~/.cache/lameduck-bench
(GOBIN=~/.cache/lameduck-bench go install github.com/tsenart/vegeta/v12@latest). What is missing is said and left out.
k6 is under the AGPL and is not installed here; a k6 on PATH is measured too.
"""

import json
import os
import re
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CACHE = Path.home() / ".cache" / "lameduck-bench"
CLIENT, SERVER = "0", "1"
CONF = """
daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log; worker_processes 1;
events {{ worker_connections 16384; multi_accept on; }}
http {{
  access_log off; keepalive_requests 100000000; client_body_temp_path {folder}; proxy_temp_path {folder};
  fastcgi_temp_path {folder}; uwsgi_temp_path {folder}; scgi_temp_path {folder};
  server {{ listen 127.0.0.1:{port} backlog=8192; location / {{ return 200 ok; }} }}
}}
"""


def tool(name: str) -> str | None:
    return shutil.which(name) or shutil.which(str(CACHE / name))


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def measured(command: list[str], **how: object) -> tuple[subprocess.CompletedProcess[str], float]:
    """The command on the client's core, and the CPU seconds that it took."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    pinned = ["taskset", "-c", CLIENT, *command]
    done = subprocess.run(pinned, capture_output=True, text=True, check=False, timeout=120, **how)  # type: ignore[call-overload]
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return done, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def lameduck(url: str, lane: str, rate: int, seconds: int) -> str:
    binary = str(Path(sys.executable).parent / "lameduck")
    words = [
        binary,
        "load",
        url,
        "--lanes",
        lane,
        "--qps",
        str(rate),
        "--duration",
        f"{seconds}s",
        "--json",
        "-",
        "--quiet",
    ]
    done, cpu = measured(words)
    told = json.loads(done.stdout)
    delay = told["validity"]["start_delay_ms"]
    sent = told["requests"]
    return row(
        "lameduck",
        lane,
        rate,
        sent / seconds,
        told["failed"],
        f"{delay['p50']:.3f} / {delay['p99']:.3f} / {delay['max']:.1f}",
        cpu,
        sent,
    )


def vegeta(url: str, lane: str, rate: int, seconds: int) -> str:
    keep = "true" if lane == "reuse" else "false"
    words = [
        str(tool("vegeta")),
        "attack",
        f"-rate={rate}",
        f"-duration={seconds}s",
        f"-keepalive={keep}",
        "-max-workers=4096",
    ]
    environment = {**os.environ, "GOMAXPROCS": "1"}
    with tempfile.NamedTemporaryFile() as out:
        _, cpu = measured([*words, f"-output={out.name}"], input=f"GET {url}\n", env=environment)
        report = subprocess.run(
            [str(tool("vegeta")), "report", "-type=json", out.name], capture_output=True, text=True, check=True
        )
    told = json.loads(report.stdout)
    failed = told["requests"] - told["status_codes"].get("200", 0)
    return row("vegeta", lane, rate, told["rate"], failed, "not told", cpu, told["requests"])


def wrk(url: str, lane: str, seconds: int) -> str:
    words = [str(tool("wrk")), "-t1", "-c64", f"-d{seconds}s", url]
    if lane == "new":
        words[1:1] = ["-H", "Connection: close"]
    done, cpu = measured(words)
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", done.stdout)[1])  # type: ignore[index]
    count = int(re.search(r"(\d+) requests in", done.stdout)[1])  # type: ignore[index]
    return row("wrk (closed loop, as fast as it can)", lane, 0, rate, 0, "none: no schedule", cpu, count)


def row(name: str, lane: str, asked: int, reached: float, failed: int, delay: str, cpu: float, count: int) -> str:
    share = f"{reached / asked:.3f}" if asked else "–"
    rate = f"{asked:,}" if asked else "–"
    spent = f"{cpu / max(count, 1) * 1e6:.1f}"
    return f"| {name} | {lane} | {rate} | {reached:,.0f} | {share} | {failed:,} | {delay} | {spent} |"


def memory() -> str:
    """Bytes per kept exchange: what the process grows by when it keeps 400,000 of them."""
    code = (
        "import resource\nfrom lameduck.core.exchange import Lane\nfrom lameduck.core.recording import Recording\n"
        "r = Recording()\nbefore = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "for n in range(400_000):\n    r.settle(r.plan(n + 1, Lane.NEW), n + 2)\n"
        "print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 / 400_000)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return f"{float(done.stdout):.0f}"


def main() -> int:
    seconds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    if not tool("nginx") and not Path("/usr/sbin/nginx").exists():
        print("bench: needs nginx: apt-get install nginx-light", file=sys.stderr)
        return 4
    port = free_port()
    url = f"http://127.0.0.1:{port}/"
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)
        conf = Path(folder) / "nginx.conf"
        conf.write_text(CONF.format(folder=folder, port=port))
        nginx = subprocess.Popen(
            ["taskset", "-c", SERVER, tool("nginx") or "/usr/sbin/nginx", "-p", folder, "-c", str(conf)]
        )
        try:
            time.sleep(1)
            print(
                "| tool | lane | asked/s | reached/s | share | failed | start delay p50/p99/max, ms | CPU s/million |"
            )
            print("|---|---|---|---|---|---|---|---|")
            for lane, rates in (("reuse", (10_000, 20_000, 25_000)), ("new", (4_000, 8_000))):
                for rate in rates:
                    print(lameduck(url, lane, rate, seconds), flush=True)
                    if tool("vegeta"):
                        print(vegeta(url, lane, rate, seconds), flush=True)
                if tool("wrk"):
                    print(wrk(url, lane, seconds), flush=True)
        finally:
            nginx.terminate()
            nginx.wait()
    print(f"\nbytes per kept exchange: {memory()}")
    for name in ("vegeta", "wrk", "k6"):
        if not tool(name):
            print(f"not measured: {name} is not on this machine")
    return 0


if __name__ == "__main__":
    sys.exit(main())
