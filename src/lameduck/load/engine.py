"""The load engine: sends each request when it is due, however slow the answers are, and keeps what became of it.

Law: open loop. Nothing that the target does delays a request, and none is sent twice. What is due and cannot be sent is
an exchange too (NOT_SENT), so the load never gets lighter in silence.
"""

from __future__ import annotations

import asyncio
import gc
import ssl
import time
from collections import Counter
from collections.abc import Callable, Mapping
from itertools import islice
from statistics import median

from lameduck.cluster import Dialer
from lameduck.core.arrivals import Arrival, arrivals
from lameduck.core.exchange import Lane, Stage
from lameduck.core.instants import MILLISECOND, SECOND, to_seconds
from lameduck.core.plan import TrafficPlan
from lameduck.core.recording import LANES, Recording
from lameduck.load import failures
from lameduck.load.alarm import Alarm
from lameduck.load.connection import Connection
from lameduck.load.floor import Floor
from lameduck.load.pool import Pool, right_size
from lameduck.load.requests import prepare
from lameduck.load.tls import TlsConnection
from lameduck.load.watch import BEAT, SelfWatch

LEAD = 5 * MILLISECOND
"""From the call of `run` to the first intended start (ns)."""

BURST = 32
"""Requests sent in one turn of the loop when several are due: answers must be read in between."""

LATEST = 1 * SECOND
"""A request that is overdue by more (ns) is not sent any more: a burst of old ones would be another load."""

LINGER = 1 * SECOND
"""How long a server may take to close a connection first that is used only once (ns)."""

TUNING = 1 * SECOND
"""Between two settings of the pool's size, and two collections of garbage (ns)."""

SAMPLE = 512
"""Exchanges from which the pool's p50 is taken."""


class Engine:
    """One run of a plan's traffic through a dialer.

    `host` is the Host header. With a TLS context, `server_name` (default: the host) is asked for and checked. `secrets`
    maps the plan's environment variables to their values. As part (k, n) it sends each n-th request of the plan, from
    the k-th on. `recording` may be read at any time from the loop's thread.
    Raises `UsageError` when a request of the plan cannot be made.
    """

    def __init__(
        self,
        plan: TrafficPlan,
        dialer: Dialer,
        *,
        host: str,
        tls: ssl.SSLContext | None = None,
        server_name: str = "",
        secrets: Mapping[str, str] | None = None,
        part: tuple[int, int] = (0, 1),
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self.plan = plan
        self.recording = Recording()
        self.watch = SelfWatch(self.recording)
        self._dialer = dialer
        self._tls = tls
        self._server_name = server_name or _bare(host)
        self._clock = clock
        self._lanes = tuple(lane for lane, _ in plan.lanes)
        self._requests = [
            [prepare(shape, lane, host, secrets or {}) for shape in plan.requests] for lane in self._lanes
        ]
        self._arrivals = islice(arrivals(plan), part[0], None, part[1])
        self._next: Arrival = next(self._arrivals)
        self._end: int | None = None
        self._in_flight: dict[int, Connection] = {}
        self._sending = self._stopped = False
        self._tuned = 0
        share = sum(share for lane, share in plan.lanes if lane is Lane.REUSE) / sum(share for _, share in plan.lanes)
        self._reuse_rate = plan.rate * share / part[1]
        self._wanted = -(-plan.connections // part[1])
        self._pool: Pool[Connection] = Pool(
            self._wanted or right_size(self._reuse_rate, 0), sleepers=not self._wanted, refill=plan.refill
        )

    async def run(self, *, bounded: bool = True, started: int | None = None) -> None:
        """Send by the plan until `stop` is called or, if bounded, its duration is over; wait for what is in flight.

        The arrivals count from `started` (an instant; default: now). What is in flight ends within the plan's
        time-outs. Everything is closed at the end, also when cancelled.
        """
        if self._stopped:
            self.watch.started = self.watch.ended = self._clock()
            return
        loop = asyncio.get_running_loop()
        self._floor = Floor(
            loop=loop,
            clock=self._clock,
            recording=self.recording,
            served_by_name=self.plan.served_by_header.lower().encode("latin-1"),
            listen_idle=self.plan.look,
            freed=self._pool.give,
            lost=self._pool.remove,
            crashed=self._crashed,
            in_flight=self._in_flight,
        )
        self._finished = loop.create_future()
        self._sending = True
        self.watch.started = self._clock() + LEAD if started is None else started
        if bounded:
            self._end = self.watch.started + self.plan.duration
        self._alarm = Alarm(loop, self._guarded(self._tick), self._clock)
        collecting = gc.isenabled()
        gc.freeze()
        gc.disable()
        try:
            self._beat()
            self._alarm.set(self.watch.started)
            await self._finished
        finally:
            self._close()
            gc.unfreeze()
            if collecting:
                gc.enable()

    def stop(self) -> None:
        """No request becomes due any more; safe to call at any time, also before `run` has begun."""
        self._stopped = True
        if self._sending:
            self._sending = False
            self.watch.ended = self._clock()

    def open_connections(self) -> Counter[str]:
        """Kept-alive connections that are open now, by the pod they were routed to (else by who served them)."""
        names = self.recording.names.texts
        return Counter(names[each.pod or each.served_by] for each in self._pool.members if each.open)

    @property
    def stalls(self) -> list[tuple[int, int]]:
        """When this process stood still: (start, length) in ns."""
        return self.watch.stalls

    def counts(self) -> tuple[int, int]:
        """How many requests became due so far, and how many failed."""
        return len(self.recording), self.recording.failed

    def in_flight(self) -> int:
        """Exchanges that have begun and not ended."""
        return len(self._in_flight)

    # Sending

    def _tick(self) -> None:
        """Send what is due."""
        for _ in range(BURST):
            if not self._sending:
                return
            offset, lane, shape = self._next
            due = self.watch.started + offset
            if self._end is not None and due >= self._end:
                self._sending = False
                self.watch.ended = self._end
                return
            now = self._clock()
            if due > now:
                break
            self._fire(due, now, lane, shape)
            self._next = next(self._arrivals)
        self._alarm.set(self.watch.started + self._next.offset)

    def _fire(self, due: int, now: int, lane: int, shape: int) -> None:
        kind = self._lanes[lane]
        seq = self.recording.plan(due, kind)
        if now - due > LATEST:
            self.recording.settle(seq, 0, failures.OVERDUE)
            return
        request = self._requests[lane][shape]
        connection = self._kept_alive(now) if kind is Lane.REUSE else None
        if connection is not None:
            connection.begin(seq, request)
            return
        try:
            route = self._dialer.dial()
        except OSError as error:
            self.recording.settle(seq, 0, failures.of_errno(Stage.CONNECT, error.errno or 0))
            return
        connection = self._connection()
        if kind is Lane.REUSE:
            self._pool.add(connection)
        connection.dial(route, seq, request)

    def _kept_alive(self, now: int) -> Connection | None:
        """A kept-alive connection that looks open, None to dial one."""
        while (connection := self._pool.take(now)) is not None:
            if not self.plan.look or connection.look():
                return connection
            self.recording.closed_idle += 1
            connection.close()
            self._pool.remove(connection)
        return None

    def _connection(self) -> Connection:
        if self._tls is None:
            return Connection(self._floor)
        return TlsConnection(self._floor, self._tls, self._server_name)

    # Keeping house

    def _beat(self) -> None:
        """The heartbeat: time-outs, and now and then the pool's size."""
        now = self._clock()
        if not self.watch.beat(now):  # after a stall, what has come meanwhile is read before anything times out
            self._time_out(now)
        if now - self._tuned >= TUNING:
            self._tuned = now
            self._pool.size = self._wanted or right_size(self._reuse_rate, self._service_time())
            for connection in self._pool.spare():
                connection.close()
                self._pool.remove(connection)
            gc.collect(1)
        if not self._sending and not self._floor.in_flight:
            if not self._finished.done():
                self._finished.set_result(None)
            return
        self._heart = self._floor.loop.call_later(to_seconds(BEAT), self._guarded(self._beat))

    def _time_out(self, now: int) -> None:
        floor, started = self._floor, self.recording.actual_start
        for patience, waiting in (
            (self.plan.connect_timeout, floor.connecting),
            (self.plan.timeout, floor.in_flight),
        ):
            while waiting:
                seq = next(iter(waiting))
                if now - started[seq] < patience:
                    break
                waiting[seq].time_out()
        while floor.lingering:
            connection = next(iter(floor.lingering))
            if now - floor.lingering[connection] < LINGER:
                break
            connection.close()

    def _service_time(self) -> int:
        """The p50 of lane reuse, from the last exchanges (ns)."""
        recording, reuse = self.recording, LANES.index(Lane.REUSE)
        times = [
            recording.finished[seq] - recording.actual_start[seq]
            for seq in recording.settled[-SAMPLE:]
            if recording.lane[seq] == reuse and not recording.failure[seq]
        ]
        return int(median(times)) if times else 0

    def _guarded(self, work: Callable[[], None]) -> Callable[[], None]:
        def guarded() -> None:
            try:
                work()
            except Exception as error:
                self._crashed(error)

        return guarded

    def _crashed(self, error: Exception) -> None:
        """Our own bug ends the run with its traceback instead of leaving it asleep."""
        if not self._finished.done():
            self._finished.set_exception(error)

    def _close(self) -> None:
        self.stop()
        self._alarm.close()
        self._heart.cancel()
        for connection in list(self._floor.in_flight.values()):
            connection.cut()
        for connection in [*self._pool.members, *self._floor.lingering]:
            connection.close()


def _bare(host: str) -> str:
    """A Host header's name without its port and brackets."""
    if host.startswith("["):
        return host[1 : host.index("]")]
    return host.rsplit(":", 1)[0]
