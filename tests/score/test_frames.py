"""HTTP/2 without a socket, against `h2`, whose code none of this is."""

from __future__ import annotations

import h2.config
import h2.connection
import h2.events
import pytest
from hyperframe.frame import GoAwayFrame, HeadersFrame, RstStreamFrame, SettingsFrame
from hypothesis import given
from hypothesis import strategies as st

from lameduck.core.shutdown import Letter
from lameduck.score.frames import NotHttp2Error, Session, message, messages
from lameduck.score.request import Request


class Peer:
    """An h2 server beside a session of ours; `cut` says in which pieces the bytes travel."""

    def __init__(self, cut: int = 65536, grpc: bool = False) -> None:
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        self.session, self.cut, self.events = Session("localhost", grpc=grpc), cut, []
        self.h2.initiate_connection()
        self.send(self.session.opening())

    def send(self, data: bytes) -> None:
        self.events += self.h2.receive_data(data)
        back = self.h2.data_to_send()
        for at in range(0, len(back), self.cut):
            if reply := self.session.feed(back[at : at + self.cut]):
                self.send(reply)

    def answer(self, stream: int, status: str = "200", body: bytes = b"ok", trailers: tuple = ()) -> None:
        self.h2.send_headers(stream, [(":status", status), ("server", "peer")])
        self.h2.send_data(stream, body, end_stream=not trailers)
        if trailers:
            self.h2.send_headers(stream, list(trailers), end_stream=True)
        self.send(b"")


@given(st.integers(1, 40), st.binary(max_size=40_000), st.integers(1, 5))
def test_whatever_the_pieces_requests_arrive_whole_and_answers_are_read(cut: int, body: bytes, count: int) -> None:
    peer = Peer(cut)
    for _ in range(count):
        stream, data = peer.session.begin(Request("/x", "POST", (("X-Mark", "1"),), body))
        peer.send(data)
        assert peer.session.letter(stream) is None
        peer.answer(stream)
        assert peer.session.letter(stream) is Letter.ANSWERED
    arrived = b"".join(e.data for e in peer.events if isinstance(e, h2.events.DataReceived))
    assert arrived == body * count
    asked = [dict(e.headers) for e in peer.events if isinstance(e, h2.events.RequestReceived)]
    assert [(x[":path"], x["x-mark"]) for x in asked] == [("/x", "1")] * count


def test_what_is_held_back_ends_the_stream_later() -> None:
    peer = Peer()
    stream, data = peer.session.begin(Request("/x"), whole=False)
    peer.send(data)
    assert not any(isinstance(e, h2.events.StreamEnded) for e in peer.events)
    peer.send(peer.session.rest(stream))
    assert any(isinstance(e, h2.events.StreamEnded) for e in peer.events)


@pytest.mark.parametrize(
    ("status", "trailers", "letter"),
    [
        ("200", (("grpc-status", "0"),), Letter.ANSWERED),
        ("200", (("grpc-status", "14"),), Letter.UNAVAILABLE),
        ("200", (("grpc-status", "1"),), Letter.STREAM_RESET),
        ("200", (("grpc-status", "13"),), Letter.OTHER),
        ("200", (), Letter.OTHER),
        ("503", (), Letter.UNAVAILABLE),
    ],
)
def test_what_grpc_says_in_its_trailers(status: str, trailers: tuple, letter: Letter) -> None:
    peer = Peer(grpc=True)
    stream, data = peer.session.begin(Request("/p/fast", body=b"x"))
    peer.send(data)
    peer.answer(stream, status, trailers=trailers)
    assert peer.session.letter(stream) is letter


def opened(*paths: str) -> Session:
    session = Session("localhost")
    session.feed(SettingsFrame(0).serialize())
    for path in paths:
        session.begin(Request(path))
    return session


def test_a_goaway_in_one_step_disclaims_the_streams_above_it_and_no_others() -> None:
    session = opened("/1", "/3", "/5")
    session.feed(GoAwayFrame(0, last_stream_id=3).serialize())
    assert [session.letter(s) for s in (1, 3, 5)] == [None, None, Letter.UNPROCESSED]
    assert [session.lost(s, Letter.CLOSED) for s in (1, 5)] == [Letter.CLOSED, Letter.UNPROCESSED]


def test_a_goaway_in_two_steps_disclaims_with_the_second() -> None:
    session = opened("/1")
    session.feed(GoAwayFrame(0, last_stream_id=2**31 - 1).serialize())
    late, _ = session.begin(Request("/3"))
    later, _ = session.begin(Request("/5"))
    assert session.letter(late) is None
    session.feed(GoAwayFrame(0, last_stream_id=late).serialize())
    assert (session.letter(late), session.letter(later)) == (None, Letter.UNPROCESSED)
    headers = HeadersFrame(late, flags=["END_HEADERS", "END_STREAM"])
    headers.data = b"\x88"  # :status 200, from the static table
    session.feed(headers.serialize())
    assert session.letter(late) is Letter.LAST


@pytest.mark.parametrize(("code", "letter"), [(7, Letter.REFUSED_STREAM), (8, Letter.STREAM_RESET), (0, "r")])
def test_a_stream_that_is_reset(code: int, letter: str) -> None:
    session = opened("/1")
    session.feed(RstStreamFrame(1, error_code=code).serialize())
    assert session.letter(1) == letter


def test_an_answer_that_breaks_off_is_cut() -> None:
    session = opened("/1")
    headers = HeadersFrame(1, flags=["END_HEADERS"])
    headers.data = b"\x88"
    session.feed(headers.serialize())
    assert session.lost(1, Letter.RESET) is Letter.CUT


@pytest.mark.parametrize("data", [b"HTTP/1.1 400 Bad Request\r\n\r\n", GoAwayFrame(0).serialize(), b"\0\0\1\1" * 9])
def test_what_is_no_http2_is_said_to_be_none(data: bytes) -> None:
    with pytest.raises(NotHttp2Error):
        Session("localhost").feed(data)


@given(st.lists(st.binary(max_size=50)), st.binary(max_size=4))
def test_messages_of_grpc_are_found_again(bodies: list[bytes], rest: bytes) -> None:
    assert messages(b"".join(map(message, bodies)) + rest) == bodies
