"""A container beside the server: what it does is its first argument, and every line says when (CLOCK_MONOTONIC, ms).

`waits`: until SIGTERM, then ends · `hook PORT SECONDS`: answers each request on PORT after so long, as a drain sidecar
does · `once`: ends well at once · `fails N FILE`: fails N times, then ends well · `looks`: says who else it sees
"""

import os
import signal
import socket
import sys
import threading
import time


def say(*words):
    sys.stdout.write(" ".join([f"{time.monotonic_ns() // 1_000_000}", *map(str, words)]) + "\n")
    sys.stdout.flush()


def stop(*_):
    say("stop signal")
    os._exit(0)


def answer(connection, seconds):
    with connection:
        connection.recv(4096)
        say("asked")
        time.sleep(seconds)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


signal.signal(signal.SIGTERM, stop)
what, *more = sys.argv[1:]
say("up", what)
if what == "once":
    sys.exit(0)
if what == "fails":
    tries = int(open(more[1]).read() or 0) if os.path.exists(more[1]) else 0
    open(more[1], "w").write(str(tries + 1))
    sys.exit(0 if tries >= int(more[0]) else 1)
if what == "looks":
    say("process 1 is", open("/proc/1/comm").read().strip(), "I am", os.getpid())
if what == "hook":
    listener = socket.create_server(("127.0.0.1" if "local" in more else "0.0.0.0", int(more[0])))
    while True:
        accepted, _ = listener.accept()
        threading.Thread(target=answer, args=(accepted, float(more[1])), daemon=True).start()
while True:
    time.sleep(1)
