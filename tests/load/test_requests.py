import pytest

from lameduck.core.errors import UsageError
from lameduck.core.exchange import Kind, Lane, Stage
from lameduck.core.plan import BodyExpectation, RequestShape
from lameduck.load import expectations
from lameduck.load.requests import prepare


def wire(shape: RequestShape, lane: Lane = Lane.REUSE, **secrets: str) -> bytes:
    return prepare(shape, lane, "example:8080", secrets).wire


def test_a_plain_request_says_only_what_it_must() -> None:
    lines = wire(RequestShape(path="/a?b=c")).split(b"\r\n")
    assert lines[0] == b"GET /a?b=c HTTP/1.1"
    assert lines[1] == b"Host: example:8080"
    assert [line.split(b":")[0] for line in lines[2:4]] == [b"User-Agent", b"Accept"]
    assert lines[4:] == [b"", b""]


def test_only_lane_new_asks_to_close() -> None:
    assert b"\r\nConnection: close\r\n" in wire(RequestShape(), Lane.NEW)
    assert b"Connection" not in wire(RequestShape())


def test_what_the_plan_says_replaces_what_we_would_say() -> None:
    shape = RequestShape(headers=(("host", "other"), ("USER-AGENT", "me"), ("accept", "a/b"), ("connection", "x")))
    text = wire(shape, Lane.NEW)
    assert text.lower().count(b"host:") == text.lower().count(b"user-agent:") == text.lower().count(b"connection:") == 1
    assert b"host: other" in text


@pytest.mark.parametrize(
    ("method", "body", "length"), [("POST", b"abc", b"3"), ("POST", b"", b"0"), ("GET", b"", None), ("GET", b"x", b"1")]
)
def test_a_body_is_framed_by_its_length(method: str, body: bytes, length: bytes | None) -> None:
    text = wire(RequestShape(method=method, body=body))
    assert text.endswith(b"\r\n\r\n" + body)
    assert (b"Content-Length: " + length in text) if length else (b"Content-Length" not in text)


def test_a_secret_header_comes_from_the_given_variables() -> None:
    shape = RequestShape(secret_headers=(("Authorization", "TOKEN"),))
    assert b"\r\nAuthorization: s3cret\r\n" in wire(shape, TOKEN="s3cret")
    with pytest.raises(UsageError, match="TOKEN, which is not set"):
        wire(shape)


@pytest.mark.parametrize(
    "shape",
    [
        RequestShape(path="/a b"),
        RequestShape(path="/ä"),
        RequestShape(path=""),
        RequestShape(method="GET\r\nX"),
        RequestShape(headers=(("X", "a\r\nY: b"),)),
        RequestShape(headers=(("X Y", "a"),)),
        RequestShape(headers=(("", "a"),)),
        RequestShape(secret_headers=(("X", "V"),)),
    ],
)
def test_what_would_not_be_one_request_is_refused(shape: RequestShape) -> None:
    with pytest.raises(UsageError):
        wire(shape, V="two\nlines")


@pytest.mark.parametrize(
    ("expected", "body", "wrong"),
    [
        (BodyExpectation(contains="ok"), b"it is ok", ""),
        (BodyExpectation(contains="ok"), b"no", "the body lacks 'ok'"),
        (BodyExpectation(contains="ü"), "für".encode(), ""),
        (BodyExpectation(matches="^o.$"), b"ok", ""),
        (BodyExpectation(matches="^o.$"), b"okay", "the body does not match /^o.$/"),
        (BodyExpectation(matches="x"), b"\xffx", ""),
        (BodyExpectation(pointer="/a/1", equals="2"), b'{"a": [1, 2]}', ""),
        (BodyExpectation(pointer="/a/1", equals="2.0"), b'{"a": [1, 2]}', ""),
        (BodyExpectation(pointer="/a/1", equals='"2"'), b'{"a": [1, 2]}', '/a/1 is not "2"'),
        (BodyExpectation(pointer="/a", equals="true"), b'{"a": 1}', "/a is not true"),
        (BodyExpectation(pointer="/a", equals="[1]"), b'{"a": [true]}', "/a is not [1]"),
        (BodyExpectation(pointer="/a", equals='{"b": [1]}'), b'{"a": {"b": [1]}}', ""),
        (BodyExpectation(pointer="/a~1b/m~0n", equals="1"), b'{"a/b": {"m~n": 1}}', ""),
        (BodyExpectation(pointer="", equals="[]"), b"[]", ""),
        (BodyExpectation(pointer="/a/2", equals="1"), b'{"a": [1, 2]}', "the body has no /a/2"),
        (BodyExpectation(pointer="/a/-1", equals="2"), b'{"a": [1, 2]}', "the body has no /a/-1"),
        (BodyExpectation(pointer="/a/01", equals="2"), b'{"a": [1, 2]}', "the body has no /a/01"),
        (BodyExpectation(pointer="/a/b", equals="2"), b'{"a": 1}', "the body has no /a/b"),
        (BodyExpectation(pointer="/b", equals="2"), b'{"a": 1}', "the body has no /b"),
        (BodyExpectation(pointer="/a", equals="2"), b'{"a": ', "the body is not JSON"),
        (BodyExpectation(pointer="/a", equals="2"), b"\xff", "the body is not JSON"),
    ],
)
def test_a_body_is_held_against_what_was_expected(expected: BodyExpectation, body: bytes, wrong: str) -> None:
    check = expectations.check(expected)
    assert check is not None
    assert check(body) == wrong


@pytest.mark.parametrize(
    "expected",
    [BodyExpectation(matches="("), BodyExpectation(pointer="a", equals="1"), BodyExpectation(pointer="/a", equals="x")],
)
def test_an_expectation_that_makes_no_sense_is_refused(expected: BodyExpectation) -> None:
    with pytest.raises(UsageError):
        expectations.check(expected)


def test_the_status_is_judged_before_the_body() -> None:
    request = prepare(RequestShape(expect_body=BodyExpectation(contains="ok")), Lane.NEW, "h", {})
    assert request.judge(200, b"ok") is None
    for status, body, kind in ((500, b"", Kind.BAD_STATUS), (200, b"", Kind.BAD_BODY), (1000, b"ok", Kind.BAD_STATUS)):
        failure = request.judge(status, body)
        assert failure is not None
        assert (failure.stage, failure.kind) == (Stage.VALIDATE, kind)


def test_expected_statuses_replace_the_usual_ones() -> None:
    request = prepare(RequestShape(expect_status=(range(200, 201), range(300, 400))), Lane.NEW, "h", {})
    assert [status for status in (199, 200, 201, 299, 300, 399, 400) if request.judge(status, b"") is None] == [
        200, 300, 399,
    ]  # fmt: skip
