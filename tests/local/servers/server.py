"""A raw HTTP/1.1 server, a thread per connection, with one known behaviour (first argument).

At SIGTERM: `exits` at once, cutting what is in flight · `drains`: closes its listener, finishes, exits · `unready`:
answers 503 on /ready and serves on · `ignores`: has no handler · `raises`: takes its handler away and raises the
signal again, as Node does. At the start: `late` listens after a second ·
`loopback` on 127.0.0.1 only · `two-ports` on $PORT + 1 and + 2 · `other-port` on $PORT + 1 · `deaf` never · `dies` at
once · `sick` answers 503 on /ready · `forks`: a child of its keeps the port · `queues` never accepts · `unread` accepts
and never reads; both close what they have at SIGTERM and end a little later.
`GET /slow/SECONDS` answers late, `GET /held` after one byte more. Everything it does is a line on standard output.
"""

import os
import signal
import socket
import sys
import threading
import time

behaviour = sys.argv[1]
port = int(os.environ["PORT"])
busy = set()
kept = []
stopping = threading.Event()


def say(*words):
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


def stop(*_):
    say("stop signal")
    stopping.set()
    if behaviour == "unready":
        return
    if behaviour == "raises":
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTERM)
        return
    if behaviour == "drains":
        listener.close()
        while busy:
            time.sleep(0.005)
    if behaviour in {"queues", "unread"}:
        for each in (listener, *kept):
            each.close()
        time.sleep(0.2)
    os._exit(0)


def serve(connection):
    with connection:
        try:
            while request := read(connection):
                busy.add(connection)
                path = request.split()[1].decode()
                if path.startswith("/slow/"):
                    time.sleep(float(path.split("/")[2]))
                if path == "/held":
                    say("held")
                    connection.recv(1)
                fine = path != "/ready" or not (behaviour == "sick" or (behaviour == "unready" and stopping.is_set()))
                status = "200 OK" if fine else "503 Service Unavailable"
                answer = f"HTTP/1.1 {status}\r\nX-Served-By: {socket.gethostname()}\r\nContent-Length: 2\r\n\r\nok"
                connection.sendall(answer.encode())
                busy.discard(connection)
        except OSError:
            busy.discard(connection)


def read(connection):
    request = b""
    while b"\r\n\r\n" not in request:
        data = connection.recv(4096)
        if not data:
            return b""
        request += data
    return request


def listen(address, number):
    return socket.create_server((address, number), backlog=256)


say("up", os.getpid(), os.environ["POD_NAME"], socket.gethostname(), *sys.argv[2:])
if behaviour != "ignores":
    signal.signal(signal.SIGTERM, stop)
if behaviour == "dies":
    say("cannot find my configuration")
    sys.exit(3)
if behaviour == "deaf":
    time.sleep(3600)
if behaviour == "late":
    time.sleep(1)
if behaviour == "two-ports":
    other = listen("0.0.0.0", port + 2)
listener = listen(
    "127.0.0.1" if behaviour == "loopback" else "0.0.0.0",
    port + (behaviour in {"two-ports", "other-port"}),
)
if behaviour == "forks" and os.fork():
    listener.close()
    signal.pause()
while behaviour == "queues":
    signal.pause()
while True:
    try:
        accepted, _ = listener.accept()
    except OSError:
        time.sleep(60)
        continue
    if behaviour == "unread":
        kept.append(accepted)
        continue
    threading.Thread(target=serve, args=(accepted,), daemon=True).start()
