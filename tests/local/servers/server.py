"""A raw HTTP/1.1 server, a thread per connection, with one known behaviour at its stop signal (first argument).

exits: at once, cutting what is in flight · drains: closes its listener, finishes, exits · ignores: no handler at all.
`GET /slow/SECONDS` answers late. Everything it does is a line on standard output.
"""

import os
import signal
import socket
import sys
import threading
import time

behaviour = sys.argv[1]
listener = socket.create_server(("0.0.0.0", int(os.environ["PORT"])), backlog=256)
busy = set()


def say(*words):
    sys.stdout.write(" ".join(map(str, (time.monotonic_ns(), *words))) + "\n")
    sys.stdout.flush()


def stop(*_):
    say("stop signal")
    if behaviour == "drains":
        listener.close()
        while busy:
            time.sleep(0.005)
    os._exit(0)


def serve(connection):
    with connection:
        try:
            while request := read(connection):
                busy.add(connection)
                path = request.split()[1].decode()
                if path.startswith("/slow/"):
                    time.sleep(float(path.split("/")[2]))
                connection.sendall(
                    f"HTTP/1.1 200 OK\r\nX-Served-By: {socket.gethostname()}\r\nContent-Length: 2\r\n\r\nok".encode()
                )
                busy.discard(connection)
        except OSError:
            pass


def read(connection):
    request = b""
    while b"\r\n\r\n" not in request:
        data = connection.recv(4096)
        if not data:
            return b""
        request += data
    return request


if behaviour != "ignores":
    signal.signal(signal.SIGTERM, stop)
say("up", os.getpid(), os.environ["POD_NAME"], socket.gethostname())
while True:
    try:
        connection, _ = listener.accept()
    except OSError:
        time.sleep(60)
        continue
    threading.Thread(target=serve, args=(connection,), daemon=True).start()
