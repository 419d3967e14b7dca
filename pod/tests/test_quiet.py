"""When is traffic gone? The decision as tables and laws, without a socket or a clock."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lameduck_pod import quiet
from lameduck_pod.connections import CLOSE_WAIT, ESTABLISHED, FIN_WAIT1, LAST_ACK, SYN_RECV, Connection, network
from lameduck_pod.quiet import Look, Rules
from lameduck_pod.spans import SECOND

HOLD = 10 * SECOND
KUBELET, CLIENT, SCRAPER = b"\n\0\0\1", b"\n\0\0\2", b"\n\0\0\3"


def row(state=ESTABLISHED, peer=CLIENT, peer_port=4711, identity=None, timed=True, sent=0, got=0, **more):
    bytes_in = more.pop("bytes_in", 100)
    more = {"data_in": 1, "data_out": 1, **more}
    queues = more.pop("rqueue", 0), more.pop("wqueue", 0)
    who = identity or b"%d" % peer_port
    return Connection(
        state,
        8080,
        b"\n\0\0\7",
        peer_port,
        peer,
        who,
        *queues,
        timed=timed,
        sent_ago=sent,
        received_ago=got,
        bytes_in=bytes_in,
        **more,
    )


# The rows of docs/pod.md, "In hand or idle?", measured on raw sockets: last sent, last received, in ms before the look.
IN_HAND = {
    "new and silent": (row(sent=48, got=48, bytes_in=0, data_in=0, data_out=0), ""),
    "request sent, not read yet": (row(sent=100, got=52, rqueue=18), "unread request"),
    "request read, the answer takes long": (row(sent=200, got=152), "request in hand"),
    "first request, never answered": (row(sent=300, got=300, data_out=0), "request in hand"),
    "answered, idle": (row(sent=100, got=252), ""),
    "one jiffy apart is an order": (row(sent=104, got=100), "request in hand"),
    "answered within the jiffy of its request, idle": (row(sent=100, got=100, data_in=5, data_out=5), ""),
    "next request in the jiffy of the last answer": (row(sent=120, got=120, data_in=6, data_out=5), "request in hand"),
    "upload ended, not answered": (row(sent=300, got=100, data_in=90, data_out=1), "request in hand"),
    "big answer, slow reader": (row(sent=10, got=900, wqueue=3_800_000), "answer not yet taken by the client"),
    "so too after its close": (
        row(FIN_WAIT1, sent=10, got=900, wqueue=9),
        "answer not yet taken by the client",
    ),
    "closed by the server, only its FIN on the way": (row(FIN_WAIT1, sent=10, got=900, wqueue=1), ""),
    "client half-closed after its request": (row(CLOSE_WAIT, sent=104, got=100, rqueue=1), "request in hand"),
    "client half-closed, request unread": (row(CLOSE_WAIT, sent=104, got=100, rqueue=19), "unread request"),
    "client closed an idle connection": (row(CLOSE_WAIT, sent=100, got=200, rqueue=1), ""),
    "last acknowledgement": (row(LAST_ACK, sent=10, got=20, wqueue=1), ""),
    "handshake": (row(SYN_RECV, timed=False, bytes_in=0), ""),
    "HTTP/2 idle, WINDOW_UPDATE came last, long ago": (row(sent=12_004, got=12_000), ""),
    "without times, queues are all there is": (row(timed=False, rqueue=3), "unread request"),
    "without times, idle or busy": (row(timed=False), ""),
}


@pytest.mark.parametrize("name", IN_HAND)
def test_a_request_in_hand_is_told_from_an_idle_connection(name) -> None:
    connection, why = IN_HAND[name]
    assert quiet.in_hand(connection, HOLD) == why


def play(rules, *looks):
    """(seconds, Look) pairs → seconds and reason of leaving, and its sentence; None when it never left."""
    state = quiet.begin(0)
    for at, look in looks:
        state, left = quiet.step(rules, state, look, round(at * SECOND))
        if left:
            return at, left.reason, left.why
    return None


def every(step, end, look):
    """Looks each `step` seconds until `end`; `look` is one, or makes one of the time."""
    times = [round(i * step, 3) for i in range(round(end / step) + 1)]
    return [(t, look(t) if callable(look) else look) for t in times]


def leaves(rules, look, end=60):
    found = play(rules, *every(0.1, end, look))
    return None if found is None else found[:2]


IDLE = tuple(row(peer_port=p, sent=60_000, got=60_100) for p in range(20))


def aging(since=0.0, **fields):
    """An open connection with a request that came at `since`, seconds."""
    return lambda t: Look(rows=(row(sent=round((t - since) * 1000) + 50, got=round((t - since) * 1000), **fields),))


def traffic_until(end, peer=CLIENT, every_ms=100, data_in=2):
    """A short connection each 100 ms."""

    def look(t):
        if t > end or round(t * 1000) % every_ms:
            return Look()
        return Look(ended=(row(peer=peer, identity=b"%f" % t, got=0, data_in=data_in),))

    return look


WHEN = {
    "nothing at all: the floor": (Rules(), Look(), (3.0, "quiet")),
    "nobody listens: the floor": (Rules(), Look(listening=False), (3.0, "nobody listens")),
    "20 idle pooled connections hold nothing (C97)": (Rules(), Look(rows=IDLE), (3.0, "quiet")),
    "silence counts from the start": (Rules(least=0), Look(), (1.0, "quiet")),
    "a stream of short connections, then quiet": (Rules(), traffic_until(5), (6.0, "quiet")),
    "connections that the server resets: no counts, no peer port, a time since boot": (
        Rules(),
        lambda t: Look(ended=(row(peer_port=0, identity=b"%f" % t, got=9_000_000, bytes_in=0, data_out=0),) * (t <= 5)),
        (6.0, "quiet"),
    ),
    "short connections that never end": (Rules(), traffic_until(99), (20.0, "most")),
    "a long request is waited for, and then quiet": (
        Rules(),
        lambda t: aging()(t) if t <= 8 else Look(rows=(row(sent=round((t - 8) * 1000), got=round(t * 1000)),)),
        (9.0, "quiet"),
    ),
    "a request for ever is believed for --hold": (Rules(), aging(), (10.1, "quiet")),
    "a longer --hold runs into --most": (Rules(hold=99 * SECOND), aging(), (20.0, "most")),
    "kept-alive clients that nobody sends away, with gaps": (
        Rules(),
        lambda _: Look(rows=(row(sent=10, got=20),)),
        (5.0, "stuck"),
    ),
    "the same without a gap: a second more, then any moment": (
        Rules(),
        lambda _: Look(rows=(row(sent=20, got=10),)),
        (6.0, "stuck"),
    ),
    "a slow request among them is no moment to leave": (
        Rules(),
        lambda t: Look(rows=(row(sent=20, got=10), aging(0, peer_port=9)(t).rows[0])),
        (11.0, "stuck"),
    ),
    "connections not accepted yet": (Rules(), Look(backlog=3), (20.0, "most")),
    "the server says it has work": (Rules(), lambda t: Look(reported=2 if t < 7 else 0), (7.0, "quiet")),
    "events that were dropped count as traffic": (
        Rules(),
        lambda t: Look(missed="events dropped" if t <= 5 else ""),
        (6.0, "quiet"),
    ),
    "blind for ever": (Rules(), Look(missed="nothing can be seen here"), (20.0, "most")),
    "one probe a second of the kubelet holds nothing": (
        Rules(kubelet=frozenset([KUBELET])),
        traffic_until(99, KUBELET, 1000, data_in=1),
        (3.0, "quiet"),
    ),
    "without knowing the kubelet it does": (Rules(), traffic_until(99, KUBELET, 500, data_in=1), (20.0, "most")),
    "ten a second from the kubelet's address are traffic, with three let off": (
        Rules(kubelet=frozenset([KUBELET])),
        traffic_until(5, KUBELET, 100, data_in=1),
        (5.7, "quiet"),
    ),
    "larger requests from its address are traffic": (
        Rules(kubelet=frozenset([KUBELET])),
        traffic_until(99, KUBELET, 500, data_in=4),
        (20.0, "most"),
    ),
    "ignored clients hold nothing": (
        Rules(ignored=(network("10.0.0.3"),)),
        traffic_until(99, SCRAPER),
        (3.0, "quiet"),
    ),
    "ignored by network, with a request in hand": (
        Rules(ignored=(network("10.0.0.0/24"),)),
        aging(peer=SCRAPER),
        (3.0, "quiet"),
    ),
    "PassiveOpens: accepted connections nobody saw": (
        Rules(),
        lambda t: Look(opened=5 if t <= 6 else 0),
        (7.0, "quiet"),
    ),
    "PassiveOpens: a probe a second is let off": (
        Rules(),
        lambda t: Look(opened=1 if round(t * 10) % 10 == 0 else 0),
        (3.0, "quiet"),
    ),
    "without times, an open connection may be busy: --hold": (Rules(), Look(rows=(row(timed=False),)), (10.0, "quiet")),
    "C93: one request in 15 s, told of the balancer's 10 s × 3": (
        Rules(least=40 * SECOND, most=60 * SECOND),
        traffic_until(45, every_ms=15_000),
        (40.0, "quiet"),
    ),
    "most is before least: most": (Rules(least=40 * SECOND, most=9 * SECOND), Look(), (9.0, "most")),
}


@pytest.mark.parametrize("name", WHEN)
def test_when_it_leaves_and_for_what_reason(name) -> None:
    rules, look, wanted = WHEN[name]
    assert leaves(rules, look) == wanted


SAYS = {
    "low traffic, and that silence proves little (C93)": (
        Rules(),
        traffic_until(0.5),
        (
            "quiet for 2.5 s after 3 s, 6 connections seen; "
            "with so few, silence proves little: the 3 s of --least is what protects"
        ),
    ),
    "quiet": (Rules(), traffic_until(2.4), "quiet for 1 s after 3.4 s, 25 connections seen"),
    "most, with who is still there": (
        Rules(hold=99 * SECOND),
        aging(),
        "ran into --most, 20 s, 1 connection still active: 10.0.0.2:4711 (request in hand, 20 s), 1 connection seen",
    ),
    "most, with the last traffic": (
        Rules(),
        traffic_until(99),
        "ran into --most, 20 s, last traffic 0 ms ago (a connection ended), 201 connections seen",
    ),
    "stuck": (
        Rules(),
        lambda _: Look(rows=(row(sent=10, got=20),)),
        (
            "1 kept-alive connections stay in use, none has come or gone for 5 s: waiting moves nobody; "
            "the server must answer Connection: close while it drains"
        ),
    ),
}


@pytest.mark.parametrize("name", SAYS)
def test_it_says_why_it_left(name) -> None:
    rules, look, says = SAYS[name]
    found = play(rules, *every(0.1, 60, look))
    assert found is not None
    assert found[2] == says


rules = st.builds(
    Rules,
    least=st.integers(0, 5).map(lambda s: s * SECOND),
    quiet=st.integers(1, 3).map(lambda s: s * SECOND),
    stuck=st.integers(1, 8).map(lambda s: s * SECOND),
    hold=st.integers(1, 12).map(lambda s: s * SECOND),
    most=st.integers(6, 20).map(lambda s: s * SECOND),
    kubelet=st.sampled_from([frozenset(), frozenset([KUBELET])]),
)
connections = st.builds(
    row,
    state=st.sampled_from([ESTABLISHED, ESTABLISHED, CLOSE_WAIT, FIN_WAIT1, SYN_RECV]),
    peer=st.sampled_from([CLIENT, KUBELET]),
    peer_port=st.integers(1, 6),
    timed=st.booleans(),
    sent=st.integers(0, 4000),
    got=st.integers(0, 4000),
    bytes_in=st.sampled_from([0, 100]),
    rqueue=st.sampled_from([0, 0, 9]),
    data_in=st.integers(0, 3),
)
some_looks = st.builds(
    Look,
    rows=st.lists(connections, max_size=4).map(tuple),
    ended=st.lists(connections, max_size=2).map(tuple),
    opened=st.sampled_from([0, 0, 0, 9]),
    backlog=st.sampled_from([0, 0, 1]),
    listening=st.booleans(),
    reported=st.sampled_from([None, 0, 2]),
    missed=st.sampled_from(["", "", "", "dropped"]),
)


@given(rules, st.lists(some_looks, min_size=1, max_size=30))
def test_laws_of_leaving(rules, looks) -> None:
    state = quiet.begin(0)
    for i in range(400):
        look = looks[i % len(looks)]
        now = i * SECOND // 10
        before = state
        state, left = quiet.step(rules, state, look, now)
        assert state.last >= before.last, "the last traffic never moves back"
        assert state.last <= now
        assert now < rules.most or left, "never later than most"
        if not left:
            continue
        assert now >= rules.least or left.reason == "most", "never before least"
        if left.reason == "quiet":
            assert not state.busy
            assert not look.backlog
            assert not look.reported
            assert now - state.last >= rules.quiet
        assert left.why
        return
    raise AssertionError("it never left")


@given(rules, some_looks)
def test_what_could_not_be_seen_never_makes_it_leave_sooner(rules, look) -> None:
    seen = leaves(rules, look.but(missed=""), 25)
    missed = leaves(rules, look.but(missed="a look failed"), 25)
    assert seen is not None
    assert missed is not None
    assert missed[0] >= seen[0]
