"""A raw HTTP/1.1 server, a thread per connection, with one known behaviour (first argument).

Every answer that it sent whole is a line ``answered`` on standard output, but with $QUIET: the judge of what was
served.
`GET /WORK_MS` works that long. Behaviours are the functions `on_*` (at the stop signal) and `as_*` (always).
"""

import os
import select
import signal
import socket
import sys
import threading
import time

behaviour = sys.argv[1]
me = os.environ.get("POD_NAME", "?")
lock = threading.Lock()
busy = set()
new = {}
"""Connections that have not asked anything yet, and since when: one that a proxy keeps ready may never do so."""
connections = set()
asked = []
"""When the first request came."""
stopping = threading.Event()
status = b"200 OK"
close_after = False


def say(*words):
    if "QUIET" in os.environ:
        return
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


def answer(connection, work):
    time.sleep(work)
    closing = close_after and stopping.is_set()
    head = b"HTTP/1.1 " + status + b"\r\nX-Served-By: " + me.encode() + b"\r\nContent-Length: 2\r\n"
    whole = head + (b"Connection: close\r\n" if closing else b"") + b"\r\nok"
    if behaviour == "truncates":
        connection.sendall(whole[:-1])
        return False
    connection.sendall(whole)
    say("answered", status.split()[0].decode())
    return not closing


def serve(connection):
    with connection:
        connections.add(connection)
        try:
            if behaviour == "closes-idle":
                connection.settimeout(0.2)
            first = True
            while request := read(connection):
                if behaviour == "drops-the-second" and not first:
                    return
                first = False
                asked[:] = asked or [time.monotonic()]
                busy.add(connection)
                new.pop(connection, None)
                if behaviour == "hangs" and stopping.is_set():
                    time.sleep(3600)
                if behaviour == "black-hole" and 2.0 < time.monotonic() - asked[0] < 4.0:
                    time.sleep(3600)
                keep = answer(connection, int(request.split()[1][1:] or 0) / 1000)
                busy.discard(connection)
                if not keep:
                    return
        except OSError:
            pass
        finally:
            busy.discard(connection)
            new.pop(connection, None)
            connections.discard(connection)


def read(connection):
    request = b""
    while b"\r\n\r\n" not in request:
        data = connection.recv(4096)
        if not data:
            return b""
        request += data
    return request


def close(listener):
    """Take no more connections. What was accepted by then is in hand, whether or not its request has been read."""
    with lock:
        listener.shutdown(socket.SHUT_RDWR)  # while somebody waits on it, close alone would leave it open
        listener.close()


def accept(listener):
    """The next connection, in hand from now on; none once the listener is closed."""
    poll = select.poll()
    poll.register(listener, select.POLLIN)
    listener.setblocking(False)
    while True:
        poll.poll(50)  # and not for ever: a signal that comes just before it would wait for the next connection
        try:
            with lock:
                connection, _ = listener.accept()
                new[connection] = time.monotonic()
        except BlockingIOError:
            continue
        except OSError:
            time.sleep(3600)
        connection.setblocking(True)
        return connection


def in_hand():
    """Whether a request is being served, or may lie unread on a connection that came within the last second."""
    return bool(busy) or any(time.monotonic() - since < 1.0 for since in list(new.values()))


def finish(listener, patience=60.0):
    """Close the listener, let what is in hand end, go."""
    close(listener)
    end = time.monotonic() + patience
    while in_hand() and time.monotonic() < end:
        time.sleep(0.002)
    os._exit(0)


def on_exits(listener):
    os._exit(0)


def on_drains(listener):
    finish(listener)


def on_lets_go(listener):
    """Close the listener, announce the close on every answer, let what is in hand end, go."""
    global close_after
    close_after = True
    finish(listener)


def on_sees_off(listener):
    """Close the listener, serve on what is open, announce the close on every answer, go when all are gone."""
    global close_after
    close_after = True
    close(listener)
    quiet = time.monotonic()
    while connections and time.monotonic() - quiet < 1.5:
        if in_hand():
            quiet = time.monotonic()
        time.sleep(0.002)
    os._exit(0)


def on_lame(listener):
    """Go on accepting, announce the close on every answer, go when nobody has been there for two seconds."""
    global close_after
    close_after = True
    quiet = time.monotonic()
    while time.monotonic() - quiet < 2.0:  # kube-proxy may be a second late, and a busy machine adds to it
        if in_hand():
            quiet = time.monotonic()
        time.sleep(0.002)
    finish(listener)


def on_unloads(listener):
    global status
    status = b"400 Bad Request"
    time.sleep(1.2)
    finish(listener)


def on_turns_away(listener):
    global status
    status = b"503 Service Unavailable"
    time.sleep(1.2)
    finish(listener)


def on_hangs(listener):
    time.sleep(3600)


def on_gives_up(listener):
    finish(listener, patience=2.5)


def on_tears_down(listener):
    """C81, version B: the workers go first, the front end still answers for a second."""
    global status
    status = b"500 Internal Server Error"
    time.sleep(1.0)
    os._exit(0)


def on_late(listener):
    """Serves kept-alive connections on for 5 s and then cuts them (C67: its only failures come late)."""
    close(listener)
    time.sleep(5)
    os._exit(0)


def main():
    if behaviour == "listens-late":
        time.sleep(1.5)
    time.sleep(float(os.environ.get("LISTEN_AFTER", "0")))
    host = "127.0.0.1" if behaviour == "binds-loopback" else "0.0.0.0"
    listener = socket.create_server((host, int(os.environ["PORT"])), backlog=256)
    if behaviour == "leaves-a-child" and os.fork():
        signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
        say("parent")
        while True:
            signal.pause()
    act = globals().get("on_" + behaviour.replace("-", "_"), on_lame)
    if behaviour != "ignores":
        signal.signal(
            signal.SIGTERM, lambda *_: (stopping.set(), threading.Thread(target=act, args=(listener,)).start())
        )
    if behaviour == "crashes":
        threading.Timer(float(sys.argv[2]), os._exit, (3,)).start()
    say("up")
    if behaviour == "one-at-a-time":
        return one_at_a_time(listener)
    while True:
        threading.Thread(target=serve, args=(accept(listener),), daemon=True).start()


def one_at_a_time(listener):
    """A sync worker: what it has not accepted waits in the backlog, and is reset when it leaves."""
    leaving = []
    signal.signal(signal.SIGTERM, lambda *_: leaving.append(True))
    while not leaving:
        try:
            connection, _ = listener.accept()
        except InterruptedError:
            continue
        with connection:
            read(connection)
            answer(connection, 0.02)
    listener.close()
    time.sleep(0.5)
    os._exit(0)


main()
