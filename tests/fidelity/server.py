"""The app of the truth table: a raw HTTP/1.1 server, a thread per connection, as process 1 of its pod.

``GET /MS`` works so many milliseconds, ``GET /MS/head`` sends the head before it works; anything else answers at once.
Arguments: what it does at the stop signal (ignore, exit, drain, lame), then ``start=S`` and ``idle=S`` in seconds.
"""

import os
import select
import signal
import socket
import sys
import threading
import time

CAP = 20.0
"""So long (seconds) does a drain wait at most."""


class App:
    def __init__(self, idle):
        self.idle = idle
        self.lock = threading.Lock()
        self.busy = 0
        self.connections = 0
        self.draining = False

    def count(self, busy=0, connections=0):
        with self.lock:
            self.busy += busy
            self.connections += connections

    def serve(self, connection):
        """One connection. A new one counts as busy until its first answer is out."""
        in_hand = True
        try:
            connection.settimeout(self.idle)
            while request := receive(connection):
                if not in_hand:
                    self.count(busy=1)
                    in_hand = True
                keep = self.answer(connection, request)
                self.count(busy=-1)
                in_hand = False
                if not keep:
                    return
        except OSError:
            pass
        finally:
            connection.close()
            self.count(busy=-in_hand, connections=-1)

    def answer(self, connection, request):
        _, milliseconds, *head_first = request.split(b" ", 2)[1].split(b"/")
        work = int(milliseconds) / 1000 if milliseconds.isdigit() else 0
        if not head_first:
            time.sleep(work)
        closing = self.draining or b"connection: close" in request.lower()
        head = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n" + (b"Connection: close\r\n" if closing else b"") + b"\r\n"
        if head_first:
            connection.sendall(head)
            time.sleep(work)
            connection.sendall(b"ok")
        else:
            connection.sendall(head + b"ok")
        return not closing

    def accept(self, listener, told):
        """Until `told` can be read."""
        poll = select.poll()
        poll.register(listener, select.POLLIN)
        poll.register(told, select.POLLIN)
        listener.setblocking(False)
        while True:
            # Not for ever: a signal that comes just before it would wait for the next connection.
            ready = {descriptor for descriptor, _ in poll.poll(50)}
            try:
                while listener.fileno() in ready:
                    connection, _ = listener.accept()
                    self.count(busy=1, connections=1)
                    connection.setblocking(True)
                    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    threading.Thread(target=self.serve, args=(connection,), daemon=True).start()
            except BlockingIOError:
                pass
            if told in ready:
                return

    def finish(self, everybody):
        """Wait for what is in hand, or until every connection is gone."""
        end = time.monotonic() + CAP
        while (self.connections if everybody else self.busy) and time.monotonic() < end:
            time.sleep(0.002)


def receive(connection):
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(4096)
        if not piece:
            return b""
        data += piece
    return data


def main():
    mode, *settings = sys.argv[1:]
    said = dict(each.split("=") for each in settings)
    time.sleep(float(said.get("start", 0)))
    app, (told, tell) = App(float(said.get("idle", 75))), os.pipe()
    listener = socket.create_server(("", int(os.environ.get("PORT", "8080"))), backlog=1024)

    def stop(*_):
        if mode == "exit":
            os._exit(0)
        if mode != "ignore":
            os.write(tell, b"x")

    signal.signal(signal.SIGTERM, stop)
    threading.stack_size(256 * 1024)
    app.accept(listener, told)
    app.draining = True
    listener.close()
    app.finish(everybody=mode == "lame")
    os._exit(0)


main()
