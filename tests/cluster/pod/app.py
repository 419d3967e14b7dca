"""A server that exits at once on SIGTERM, so that everything rests on what is done before it. 50 ms for each request.

LAYER=1: it reads "draining" and answers `Connection: close` from then on. SLOW_EVERY=n: each n-th request takes 8 s.
"""

import http.server
import os
import signal
import socket
import sys
import threading
import time

sys.path.insert(0, "/lameduck-pod.pyz")
from lameduck_pod.draining import Reader

READER = Reader(os.environ.get("LAMEDUCK_POD") or socket.gethostname(), os.environ.get("LAMEDUCK_TOKEN", ""))
LAYER = os.environ.get("LAYER") == "1"
SLOW_EVERY = int(os.environ.get("SLOW_EVERY", "0"))
LOCK = threading.Lock()
count = 0


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # one segment for each answer, as servers do

    def do_GET(self):
        global count
        with LOCK:
            count += 1
            slow = SLOW_EVERY and not count % SLOW_EVERY and self.path != "/healthz"
        time.sleep(8 if slow else 0 if self.path == "/healthz" else 0.05)
        with LOCK:
            lame = LAYER and READER.look()
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.send_header("X-Served-By", socket.gethostname())
        if lame:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 1024


def stop(*_):
    os.write(2, b'{"app": "stop_signal", "monotonic_ns": %d}\n' % time.monotonic_ns())
    os._exit(0)


signal.signal(signal.SIGTERM, stop)
Server(("", 8080), Handler).serve_forever()
