"""The drain as a native sidecar: answers the app container's preStop httpGet only when client traffic is gone.

Laws, all measured on a real cluster (docs/pod.md): the kubelet waits for the answer as long as the grace period
lasts, and takes even a 404 as success; a hook that fails means the stop signal at once, so an authorised call is
answered 200 whatever happened; at the end of the grace period the sidecar is killed first. Only who knows the token
can make the pod lame, and a drain that no stop signal follows ends by itself: the servers are told that all is as
before.

One thread, one `poll`, and no `http.server` (which costs 9 MiB): idle, it sleeps.
"""

from __future__ import annotations

import contextlib
import select
import signal
import socket
import time

from lameduck_pod import __version__, watch_options
from lameduck_pod.journal import encode
from lameduck_pod.options import UsageError
from lameduck_pod.spans import SECOND, human
from lameduck_pod.watch import Watch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from lameduck_pod.journal import Journal
    from lameduck_pod.options import Values
    from lameduck_pod.quiet import Left
    from lameduck_pod.sensor import Sensor

PATIENCE = 5 * SECOND
"""For a caller's request to be whole."""
LARGEST = 8192


class Caller:
    """A connection to us. `waits`: its answer comes when the drain is over."""

    def __init__(self, connection: socket.socket, peer: str, now: int) -> None:
        self.connection, self.peer, self.since = connection, peer, now
        self.heard = b""
        self.waits = False


class Sidecar:
    """Raises OSError when the port cannot be had."""

    def __init__(self, values: Values, most: int, make_sensor: Callable[[], Sensor], journal: Journal) -> None:
        self.values, self.most, self.make_sensor, self.journal = values, most, make_sensor, journal
        six = socket.has_dualstack_ipv6()
        family = socket.AF_INET6 if six else socket.AF_INET
        self.listener = socket.create_server(("", values["listen"]), family=family, dualstack_ipv6=six)
        self.listener.setblocking(False)
        self.poll = select.poll()
        self.poll.register(self.listener, select.POLLIN)
        self.callers: dict[int, Caller] = {}
        self.watch: Watch | None = None
        self.began = self.ends = 0
        self.left: Left | None = None
        self.counts = {"drains": 0, "refused": 0}

    @property
    def phase(self) -> str:
        """serving, draining or drained."""
        return "serving" if self.watch is None else "draining" if self.left is None else "drained"

    def run(self, stopped: Callable[[], bool]) -> None:
        """Until `stopped`."""
        while not stopped():
            for fd, _ in self.poll.poll(self._pause(time.monotonic_ns())):
                if fd == self.listener.fileno():
                    self._accept()
                elif fd in self.callers:
                    self._hear(self.callers[fd])
            self._look(time.monotonic_ns())

    def _pause(self, now: int) -> float | None:
        due = [caller.since + PATIENCE for caller in self.callers.values() if not caller.waits]
        if self.watch is not None:
            due.append(self.ends)
            due += [self.watch.due] if self.watch.due is not None else []
        return None if not due else max(0, min(due) - now) / 1e6

    def _accept(self) -> None:
        try:
            connection, address = self.listener.accept()
        except OSError:
            return
        connection.setblocking(False)
        self.callers[connection.fileno()] = Caller(connection, address[0].removeprefix("::ffff:"), time.monotonic_ns())
        self.poll.register(connection, select.POLLIN)

    def _hear(self, caller: Caller) -> None:
        try:
            data = caller.connection.recv(LARGEST)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if caller.waits and data:
            return
        caller.heard += data
        head, whole, _ = caller.heard.partition(b"\r\n\r\n")
        if whole and data:
            self._request(caller, head.decode("latin-1").split("\r\n"))
        elif not data or len(caller.heard) > LARGEST:
            self._drop(caller)

    def _request(self, caller: Caller, lines: list[str]) -> None:
        method, _, rest = lines[0].partition(" ")
        path = rest.partition(" ")[0].partition("?")[0]
        if method not in ("GET", "HEAD"):
            self._answer(caller, "405 Method Not Allowed", "only GET\n")
        elif path == "/prestop":
            fields = {
                name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])
            }
            self._prestop(caller, fields.get("lameduck-token", ""))
        elif path == "/healthz":
            self._answer(caller, "200 OK", "ok\n")
        elif path == "/":
            self._answer(caller, "200 OK", self._text())
        elif path == "/status":
            self._answer(caller, "200 OK", encode(self._status()) + "\n", "application/json")
        elif path == "/metrics":
            kind = "application/openmetrics-text; version=1.0.0; charset=utf-8"
            self._answer(caller, "200 OK", self._metrics(), kind)
        else:
            self._answer(caller, "404 Not Found", "try /, /status, /metrics, /healthz or /prestop\n")

    def _prestop(self, caller: Caller, token: str) -> None:
        if not self.values["any_caller"] and not same(token, self.values["token"]):
            self.counts["refused"] += 1
            said = "a wrong token" if token else "no token"
            message = f"/prestop called by {caller.peer} with {said}: refused. If this was the kubelet, "
            message += "its stop signal comes at once"
            self.journal.write("refused", message, peer=caller.peer)
            self._answer(caller, "403 Forbidden", "the Lameduck-Token header is missing or wrong\n")
        elif self.phase == "drained":
            self._answer(caller, "200 OK", "drained\n")
        else:
            caller.waits = True
            if self.watch is None:
                self._start(caller)

    def _start(self, caller: Caller) -> None:
        kubelet = (*self.values["kubelet"], *watch_options.addresses(caller.peer))
        self.began, self.left = time.monotonic_ns(), None
        lasts = self.values["grace"] or self.most + self.values["reserve"]
        self.ends = self.began + lasts
        rules = watch_options.rules(self.values, kubelet, self.most)
        self.watch = Watch(rules, self.make_sensor, self.journal, self.values["token"])
        self.counts["drains"] += 1
        message = f"preStop called by {caller.peer}: draining, at most {human(self.most)}"
        self.journal.write("prestop_started", message, peer=caller.peer, most_s=self.most / SECOND)
        self.watch.start(self.began, self.ends)

    def _look(self, now: int) -> None:
        for caller in [c for c in self.callers.values() if not c.waits and now - c.since >= PATIENCE]:
            self._drop(caller)
        if self.watch is None:
            return
        if self.watch.due is not None and now >= self.watch.due:
            left = self.watch.look(now)
            if left and self.left is None:
                self.left = left
                self.watch.stop_looking()
                self.journal.write("drained", left.why, **left.facts)
                for caller in [c for c in self.callers.values() if c.waits]:
                    self._answer(caller, "200 OK", left.why + "\n")
        if now >= self.ends:
            self.watch.stop(released=True)
            self.watch = None
            message = f"no stop signal came within {human(self.ends - self.began)}: this pod serves as before"
            self.journal.write("released", message)

    def _answer(self, caller: Caller, status: str, body: str, kind: str = "text/plain; charset=utf-8") -> None:
        raw = body.encode()
        head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(raw)}\r\nConnection: close\r\n\r\n"
        with contextlib.suppress(OSError):
            caller.connection.send(head.encode() + raw)
        self._drop(caller)

    def _drop(self, caller: Caller) -> None:
        self.callers.pop(caller.connection.fileno(), None)
        self.poll.unregister(caller.connection)
        caller.connection.close()

    def _status(self) -> dict[str, object]:
        state = self.watch.state if self.watch else None
        now = time.monotonic_ns()
        return {
            "phase": self.phase,
            "pod": self.journal.pod,
            "version": __version__,
            "draining_s": round((now - self.began) / SECOND, 3) if self.watch else 0.0,
            "most_s": self.most / SECOND,
            "means": self.watch.sensor.how if self.watch and self.watch.sensor else None,
            "last_traffic_s_ago": round((now - state.last) / SECOND, 3) if state else None,
            "last_traffic": state.why if state else None,
            "connections_seen": state.seen if state else 0,
            "busy": [f"{b.client}: {b.why}, {human(b.age)}" for b in state.busy[:20]] if state else [],
            "left": {"why": self.left.why, **self.left.facts} if self.left else None,
            **self.counts,
        }

    def _text(self) -> str:
        status = self._status()
        lines = [f"{self.journal.pod} is {self.phase}"]
        if self.left:
            lines.append(self.left.why)
        elif self.phase == "draining":
            lines.append(f"for {status['draining_s']} s of at most {status['most_s']} s")
            lines.append(f"{status['connections_seen']} connections seen")
            lines.append(f"last traffic {status['last_traffic_s_ago']} s ago: {status['last_traffic']}")
            lines += [f"busy: {one}" for one in self._status()["busy"]]  # type: ignore[attr-defined]
        return "\n".join(lines) + "\n"

    def _metrics(self) -> str:
        status = self._status()
        busy = self.watch.state.busy if self.watch and self.watch.state else ()
        rows = (
            ("draining", "gauge", "1 while a preStop hook waits for traffic to end", int(self.phase == "draining")),
            ("drain_seconds", "gauge", "since this drain began", status["draining_s"]),
            ("drain_busy_connections", "gauge", "with a request in hand at the last look", len(busy)),
            ("drain_connections_seen", "gauge", "in this drain", status["connections_seen"]),
            ("drains", "counter", "drains begun", self.counts["drains"]),
            ("prestop_refused", "counter", "calls without the right token", self.counts["refused"]),
        )
        lines = []
        for name, kind, text, value in rows:
            lines += [f"# TYPE lameduck_{name} {kind}", f"# HELP lameduck_{name} {text}"]
            lines.append(f"lameduck_{name}{'_total' if kind == 'counter' else ''} {value}")
        if self.left:
            lines += ["# TYPE lameduck_drain_left info", "# HELP lameduck_drain_left why the last drain ended"]
            lines.append(f'lameduck_drain_left_info{{reason="{self.left.reason}"}} 1')
        return "\n".join(lines) + "\n# EOF\n"

    def stop(self, why: str) -> None:
        """The end. What was still waiting is said: then the grace period was used up."""
        waiting = sum(caller.waits for caller in self.callers.values())
        if waiting and self.watch and self.watch.state:
            state = self.watch.state
            message = f"{why} while a preStop hook was still waiting (the grace period was too short): "
            message += state.waits or state.why
            self.journal.write("cut", message, busy=[b.client for b in state.busy[:20]])
        else:
            self.journal.write("stopped", why)
        if self.watch:
            self.watch.stop()


def same(said: str, token: str) -> bool:
    """Whether two secrets are equal, in a time that does not tell how far."""
    a, b = said.encode(), token.encode()
    different = len(a) ^ len(b)
    for i, byte in enumerate(a):
        different |= byte ^ b[i % len(b)] if b else 1
    return not different


def serve(values: Values, most: int, make_sensor: Callable[[], Sensor], journal: Journal) -> int:
    """The sidecar, until SIGTERM or SIGINT; the exit code. Raises UsageError when the port cannot be had."""
    got: list[int] = []
    wake, waker = socket.socketpair()
    for end in (wake, waker):
        end.setblocking(False)
    signal.set_wakeup_fd(waker.fileno())
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda n, _: got.append(n))
    try:
        sidecar = Sidecar(values, most, make_sensor, journal)
    except OSError as e:
        raise UsageError(f"--listen {values['listen']}: {e.strerror}") from None
    sidecar.poll.register(wake, select.POLLIN)
    journal.write("started", f"waiting for preStop on port {values['listen']}", port=values["listen"])
    sidecar.run(lambda: bool(got))
    sidecar.stop(f"{signal.Signals(got[0]).name} received")
    return 0
