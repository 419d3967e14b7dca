"""A service that drains well: on SIGTERM it stops listening, finishes what it has in hand, and ends."""

import os
import signal
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Shop(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    stopping = False

    def do_GET(self) -> None:
        if self.path != "/ready":
            time.sleep(0.02)
        body = os.environ["GREETING"].encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        if Shop.stopping:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        return


class Server(ThreadingHTTPServer):
    daemon_threads = False  # server_close() waits for answers that are under way
    request_queue_size = 128


def main() -> None:
    server = Server(("", 8080), Shop)

    def stop(*_: object) -> None:
        Shop.stopping = True
        threading.Thread(target=server.shutdown).start()

    signal.signal(signal.SIGTERM, stop)
    server.serve_forever(poll_interval=0.05)
    server.socket.close()
    time.sleep(1)  # what is in hand takes less
    os._exit(0)


if __name__ == "__main__":
    main()
