from itertools import pairwise

import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lameduck.load.answer import LONGEST_HEAD, Answer
from lameduck.load.expectations import KEEP

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Pod: web-1\r\n\r\nok"
CHUNKED = (
    b"HTTP/1.1 200 OK\r\nX-Pod: web-1\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"1\r\no\r\n1;x=y\r\nk\r\n0\r\nX-Pod: no\r\n\r\n"
)


def answer(*pieces: bytes, head: bool = False, ended: bool = False) -> Answer:
    made = Answer(b"x-pod")
    made.expect(head=head, keep=True)
    for piece in pieces:
        made.feed(piece)
    if ended:
        made.finish()
    return made


def facts(of: Answer) -> dict[str, object]:
    names = ("begun", "whole", "reusable", "spoiled", "status", "size", "served_by", "close_said")
    return {name: getattr(of, name) for name in names} | {"body": bytes(of.body)}


WHOLE = {
    "with a length": (OK, 200, b"ok", True),
    "chunked, with an extension and a trailer": (CHUNKED, 200, b"ok", True),
    "empty": (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200, b"", True),
    "204 without any length": (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b"", True),
    "304 with the length of what it does not send": (b"HTTP/1.1 304 X\r\nContent-Length: 9\r\n\r\n", 304, b"", True),
    "after interim answers": (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 H\r\nLink: a\r\n\r\n" + OK, 200, b"ok", True),
    "that says close": (b"HTTP/1.1 200 OK\r\nConnection: Close\r\nContent-Length: 2\r\n\r\nok", 200, b"ok", False),
    "of HTTP/1.0": (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", 200, b"ok", False),
    "of HTTP/1.0, kept alive": (
        b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok", 200, b"ok", True,
    ),
    "without a reason": (b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok", 200, b"ok", True),
    "of another protocol": (b"HTTP/1.1 101 S\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", 101, b"", True),
}  # fmt: skip


@pytest.mark.parametrize(("text", "status", "body", "reusable"), WHOLE.values(), ids=WHOLE)
def test_an_answer_is_whole_by_its_framing(text: bytes, status: int, body: bytes, reusable: bool) -> None:
    made = answer(text)
    assert (made.whole, made.status, bytes(made.body), made.reusable) == (True, status, body, reusable)
    assert not any(answer(text[:end]).whole for end in range(len(text)))


@given(st.sampled_from([text for text, *_ in WHOLE.values()]), st.lists(st.integers(0, 200)))
def test_it_does_not_matter_how_the_bytes_are_cut(text: bytes, cuts: list[int]) -> None:
    ends = [0, *sorted(cuts), len(text)]
    pieces = [text[start:end] for start, end in pairwise(ends) if text[start:end]]
    assert facts(answer(*pieces)) == facts(answer(text))
    assert facts(answer(*(bytes([byte]) for byte in text))) == facts(answer(text))


@pytest.mark.parametrize(
    "text", [b"HTTP/1.1 200 OK\r\n\r\nok", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nok"]
)
def test_an_answer_without_framing_ends_with_the_connection(text: bytes) -> None:
    assert not answer(text).whole
    made = answer(text, ended=True)
    assert (made.whole, bytes(made.body), made.reusable) == (True, b"ok", False)


@pytest.mark.parametrize(
    "text", [b"", b"HTTP/1.1 200 OK\r\nContent-Len", OK[:-1], CHUNKED[:-2], b"HTTP/1.1 100 C\r\n\r\n"]
)
def test_the_end_of_the_connection_makes_nothing_else_whole(text: bytes) -> None:
    assert not answer(text, ended=True).whole


@pytest.mark.parametrize("text", [b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n"])
def test_an_answer_to_head_ends_with_its_head(text: bytes) -> None:
    made = answer(text, head=True)
    assert (made.whole, made.reusable, made.spoiled, made.size) == (True, True, False, 0)
    made.expect()
    made.feed(OK)
    assert (made.whole, made.reusable, made.size) == (True, True, 2)


@pytest.mark.parametrize(
    ("text", "reusable"),
    [
        (b"HTTP/1.0 200 OK\r\n\r\n", False),
        (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\n", True),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", False),
    ],
)
def test_an_answer_to_head_says_like_any_other_whether_the_connection_may_be_kept(text: bytes, reusable: bool) -> None:
    assert answer(text, head=True).reusable is reusable


def test_a_body_after_head_spoils_the_connection_and_not_the_answer() -> None:
    made = answer(OK, head=True)
    assert (made.whole, made.spoiled, made.size) == (True, True, 0)


@pytest.mark.parametrize("junk", [b"junk", b"H", OK, b"\0"])
def test_what_follows_a_whole_answer_spoils_the_connection_and_not_the_answer(junk: bytes) -> None:
    together, apart = answer(OK + junk), answer(OK, junk)
    for made in (together, apart):
        assert (made.whole, made.spoiled, made.status, bytes(made.body)) == (True, True, 200, b"ok")


@pytest.mark.parametrize(
    "text",
    [
        b"SSH-2.0-x\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
    ],
)
def test_what_is_no_http_is_refused(text: bytes) -> None:
    with pytest.raises(httptools.HttpParserError):
        answer(text)


def test_a_head_without_an_end_is_refused_before_it_fills_the_memory() -> None:
    with pytest.raises(httptools.HttpParserError):
        answer(b"HTTP/1.1 200 OK\r\n", *[b"X: " + b"y" * 60_000 + b"\r\n"] * (LONGEST_HEAD // 60_000 + 2))


def test_a_body_is_kept_only_on_demand_and_never_beyond_the_bound() -> None:
    made = Answer(b"x")
    piece = b"z" * 100_000
    for keep, kept in ((False, 0), (True, KEEP)):
        made.expect(keep=keep)
        made.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 6000000\r\n\r\n")
        for _ in range(60):
            made.feed(piece)
        assert (made.whole, made.size, len(made.body)) == (True, 6_000_000, kept)


def test_who_served_it_is_read_from_the_named_header_and_not_from_a_trailer() -> None:
    assert answer(OK).served_by == answer(CHUNKED).served_by == b"web-1"


def test_a_hop_that_tried_more_than_once_is_known_by_its_header() -> None:
    def retried(header: str) -> bool:
        return answer(f"HTTP/1.1 200 OK\r\n{header}\r\nContent-Length: 2\r\n\r\nok".encode()).retried

    assert retried("X-Envoy-Attempt-Count: 2")
    assert retried("X-Upstream-Addr: 10.0.0.1:80, 10.0.0.2:80")
    assert not retried("X-Envoy-Attempt-Count: 1")
    assert not retried("X-Upstream-Addr: 10.0.0.1:80")
