"""When is client traffic really gone? The decision of `drain` and of `run --until-quiet`, as a pure function.

Laws: never before `least`, never after `most`; an idle kept-alive connection holds nothing, a request in hand does (for
`hold` since its last byte); what could not be seen counts as traffic; it always says why.

    most              the time is over
    nobody listens    and nothing is open
    quiet             nothing in hand, and no client byte for `quiet`
    stuck             only old kept-alive connections speak and none has come or gone for `stuck`: waiting moves nobody

Why these and how they were measured: docs/pod.md, "How it knows". Instants and durations in nanoseconds.
"""

from __future__ import annotations

from lameduck_pod.connections import CLOSE_WAIT, CLOSING, ESTABLISHED, LAST_ACK, OPEN, Connection, text, within
from lameduck_pod.record import Record
from lameduck_pod.spans import SECOND, human, seconds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MS = SECOND // 1000
FEW = 10
"""Below so many connections seen, silence proves little, and we say so."""


class Rules(Record):
    """What was asked for."""

    least: int = 3 * SECOND
    """kube-proxy lags up to 1.1 s, Traefik 2.3 s; at low traffic this is the only guarantee."""
    quiet: int = SECOND
    stuck: int = 5 * SECOND
    hold: int = 10 * SECOND
    """A request on which no byte has moved for longer is not believed: HTTP/2 control frames look like one."""
    most: int = 20 * SECOND
    probes: int = 3
    """So many connections a second from the kubelet's address may be probes: readiness, liveness, startup."""
    kubelet: frozenset[bytes] = frozenset()
    ignored: tuple[tuple[bytes, int], ...] = ()


class Look(Record):
    """What was seen since the last look. Only connections to the serving ports."""

    rows: tuple[Connection, ...] = ()
    ended: tuple[Connection, ...] = ()
    opened: int = 0
    """Connections accepted of which nothing else is known (PassiveOpens)."""
    backlog: int = 0
    """Connections that nobody has accepted yet."""
    listening: bool = True
    reported: int | None = None
    """Requests in hand, as the layers inside the servers count them; None: there is no such layer."""
    missed: str = ""
    """Why something could not be seen: events dropped, a failed read."""


class Busy(Record):
    """A connection with a request in hand."""

    client: str
    why: str
    age: int
    """Since its last byte came in; ns."""


class State(Record):
    """Where things stand. Silence counts from the start: having seen nothing is no proof of silence before."""

    start: int
    last: int
    """The last client activity."""
    why: str = "no client's byte since the drain began"
    """What that was."""
    moved: int
    """The last time a connection came, or a client's went."""
    known: Mapping[bytes, int] | None = None
    """Connections of the last look → when they last moved. None before the first look."""
    suspects: tuple[int, ...] = ()
    """When connections ended that may have been probes."""
    seen: int = 0
    """Connections seen in all, but the probes."""
    busy: tuple[Busy, ...] = ()
    slow_at: int | None = None
    """When a request older than `quiet` was last in hand."""
    waits: str = ""
    """Why it is not quiet now, other than silence being too short."""


class Left(Record):
    """The end: `reason` is a word for machines, `why` a sentence for people."""

    reason: str
    why: str
    facts: Mapping[str, object]


def begin(now: int) -> State:
    """The state at the drain's start."""
    return State(start=now, last=now, moved=now)


def step(rules: Rules, state: State, look: Look, now: int) -> tuple[State, Left | None]:
    """The next state, and the reason to leave or None."""
    state = _ended(rules, _opened(rules, _rows(rules, state, look, now), look, now), look, now)
    waits = f"{len(state.busy)} with a request in hand" if state.busy else ""
    if look.reported:
        waits = f"{look.reported} request{'s' * (look.reported > 1)} in hand, says the server itself"
    if look.backlog:
        waits = f"{look.backlog} connection{'s' * (look.backlog > 1)} not accepted yet"
    slow = bool(look.backlog or look.reported) or any(busy.age > rules.quiet for busy in state.busy)
    state = state.but(waits=waits, slow_at=now if slow else state.slow_at)
    if look.missed:
        state = _touch(state, now, look.missed).but(moved=now)
    reason = _reason(rules, state, look, now)
    return state, _left(rules, state, look, now, reason) if reason else None


def in_hand(row: Connection, hold: int) -> str:
    """Why a connection has work in hand, or ''. `hold` in nanoseconds.

    `last_data_recv` before `last_data_sent` says so; both are stamps of one clock read at once, so one jiffy apart is
    an order. A tie is decided by counts: more data segments in than out is a request without its answer (a
    closed-loop client sends its next request in the jiffy of the last answer). A FIN counts one in the queues.
    """
    is_open = row.state in OPEN
    if row.rqueue > (row.state in (CLOSE_WAIT, CLOSING, LAST_ACK)) and is_open:
        return "unread request"
    if row.wqueue > (not is_open):
        return "answer not yet taken by the client"
    if not row.timed or not is_open or not row.bytes_in or row.received_ago * MS > hold:
        return ""
    if row.received_ago < row.sent_ago or not row.data_out:
        return "request in hand"
    if row.received_ago == row.sent_ago and row.data_in > row.data_out:
        return "request in hand"
    return ""


def _rows(rules: Rules, state: State, look: Look, now: int) -> State:
    before, known = state.known, {}
    busy = []
    seen, last, why, moved = state.seen, state.last, state.why, state.moved
    for row in look.rows:
        if rules.ignored and _ignored(rules, row):
            continue
        work = in_hand(row, rules.hold)
        at = _moved(row, before, now, work)
        known[row.identity] = at
        maybe_probe = row.peer in rules.kubelet and row.data_in <= 1
        if not work and not row.timed and row.state in OPEN and not maybe_probe and now - at < rules.hold:
            work = "open; without sock_diag, busy and idle look alike"
        if work:
            busy.append(Busy(client=row.client, why=work, age=row.received_ago * MS if row.timed else now - at))
        if maybe_probe:
            continue  # counted when it ends
        if at > last:
            last, why = at, "data on an open connection" if row.bytes_in else "a new connection"
        if before is None or row.identity not in before:
            seen += 1
            moved = moved if before is None else now
    return state.but(known=known, busy=tuple(busy), seen=seen, last=last, why=why, moved=moved)


def _moved(row: Connection, before: Mapping[bytes, int] | None, now: int, work: str) -> int:
    """When this connection last moved. `received_ago` of one that has received nothing is its age."""
    if row.timed:
        return now - (min(row.received_ago, row.sent_ago) if row.bytes_in else row.received_ago) * MS
    return now if work or before is None else before.get(row.identity, now)


def _opened(rules: Rules, state: State, look: Look, now: int) -> State:
    for _ in range(min(look.opened, 100)):
        state = _suspect(rules, state, now, "connections came")
    return state


def _ended(rules: Rules, state: State, look: Look, now: int) -> State:
    for row in sorted(look.ended, key=lambda row: -row.received_ago):
        if rules.ignored and _ignored(rules, row):
            continue
        # Reset by the server: the kernel has wiped the port and all counts (tcp_disconnect), but not the address.
        wiped = not row.peer_port and any(row.peer)
        at = now if wiped else now - row.received_ago * MS
        if row.peer in rules.kubelet and row.data_in <= 1:
            state = _suspect(rules, state, at, f"connections from the kubelet's address {text(row.peer)} ended")
        elif row.bytes_in or row.data_out or wiped:
            fresh = state.known is None or row.identity not in state.known
            state = _touch(state, at, "a connection ended").but(moved=now, seen=state.seen + fresh)
    return state


def _suspect(rules: Rules, state: State, at: int, what: str) -> State:
    """A connection that may be a probe. Of those in one quiet time, the latest few may be: the newest one before them
    is traffic for certain. (Booking the newest itself would let a probe prolong the end of real traffic.)"""
    suspects = (*(t for t in state.suspects if t >= at - rules.quiet), at)
    state = state.but(suspects=suspects)
    allowed = max(1, round(rules.probes * rules.quiet / SECOND))
    if len(suspects) <= allowed:
        return state
    certain = suspects[-1 - allowed]
    why = f"{len(suspects)} {what} within {human(rules.quiet)}"
    return _touch(state, certain, why).but(moved=max(state.moved, certain), seen=state.seen + 1)


def _touch(state: State, at: int, why: str) -> State:
    return state.but(last=at, why=why) if at > state.last else state


def _ignored(rules: Rules, row: Connection) -> bool:
    return any(within(row.peer, net) for net in rules.ignored)


def _reason(rules: Rules, state: State, look: Look, now: int) -> str:
    held = bool(state.waits)
    if now - state.start >= rules.most:
        return "most"
    if now - state.start < rules.least:
        return ""
    if not look.listening and not look.rows and not look.missed:
        return "nobody listens"
    if not held and now - state.last >= rules.quiet:
        return "quiet"
    if state.slow_at is not None and now - state.slow_at < rules.quiet:
        return ""
    waited = now - state.moved
    # In a gap; or, when a second has brought none, at any moment.
    return "stuck" if waited >= rules.stuck and (not held or waited >= rules.stuck + SECOND) else ""


def _left(rules: Rules, state: State, look: Look, now: int, reason: str) -> Left:
    took, silent = now - state.start, now - state.last
    alive = [row for row in look.rows if row.state == ESTABLISHED]
    seen = f"{state.seen} connection{'' if state.seen == 1 else 's'} seen"
    if reason == "quiet":
        why = f"quiet for {human(silent)} after {human(took)}, {seen}"
        if state.seen < FEW and took < rules.least + rules.quiet:
            why += f"; with so few, silence proves little: the {human(rules.least)} of --least is what protects"
    elif reason == "nobody listens":
        why = f"nobody listens and nothing is open after {human(took)}, {seen}"
    elif reason == "stuck":
        why = (
            f"{len(alive)} kept-alive connections stay in use, none has come or gone for {human(now - state.moved)}: "
            "waiting moves nobody; the server must answer Connection: close while it drains"
        )
    else:
        why = f"ran into --most, {human(rules.most)}, {_still(state, silent)}, {seen}"
    facts = {
        "reason": reason,
        "took_s": seconds(took),
        "quiet_s": seconds(silent),
        "last": state.why,
        "connections_seen": state.seen,
        "open": len(alive),
        "busy": len(state.busy),
        "reported_in_flight": look.reported,
    }
    return Left(reason=reason, why=why, facts=facts)


def _still(state: State, silent: int) -> str:
    if state.busy:
        n = len(state.busy)
        first = ", ".join(f"{b.client} ({b.why}, {human(b.age)})" for b in sorted(state.busy, key=lambda b: -b.age)[:3])
        return f"{n} connection{'s' * (n > 1)} still active: {first}" + (f" and {n - 3} more" if n > 3 else "")
    return state.waits or f"last traffic {human(silent)} ago ({state.why})"


def busy_clients(rows: Iterable[Connection], hold: int) -> list[Busy]:
    """The connections with work in hand, of a single look."""
    found = ((row, in_hand(row, hold)) for row in rows)
    return [Busy(client=row.client, why=why, age=row.received_ago * MS) for row, why in found if why]
