"""The sidecar of the truth table: answers the main container's preStop once nobody has come for a while.

``GET /QUIET/MOST/HOW`` on port 9090, seconds: returns when nothing is established on port 8080 and nothing new has come
for QUIET, at the latest after MOST. HOW is ``rows`` (what /proc/net/tcp shows at a look: short connections are missed)
or ``count`` (PassiveOpens, the kernel's own count of what was accepted).
"""

import os
import signal
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

PORT, ESTABLISHED, LISTEN = 8080, "01", "0A"


def rows():
    """Peers of connections to the app, with their states."""
    found = {}
    for name in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]:
            _, local, peer, state, *_ = line.split()
            if int(local.rpartition(":")[2], 16) == PORT and state != LISTEN:
                found[peer] = state
    return found


def accepted():
    names, values = (
        line.split() for line in Path("/proc/net/snmp").read_text().splitlines() if line.startswith("Tcp:")
    )
    return int(values[names.index("PassiveOpens")])


def drain(quiet, most, how):
    began = last = time.monotonic()
    known, counted = set(rows()), accepted()
    while time.monotonic() - began < most and time.monotonic() - last < quiet:
        time.sleep(0.02)
        now = rows()
        if how == "count":
            new, counted = accepted() != counted, accepted()
        else:
            new = bool(set(now) - known)
            known |= set(now)
        if new or ESTABLISHED in now.values():
            last = time.monotonic()


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        _, quiet, most, how = self.path.split("/")
        drain(float(quiet), float(most), how)
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_):
        pass


signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
ThreadingHTTPServer(("", 9090), Handler).serve_forever()
