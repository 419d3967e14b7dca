from argparse import ArgumentTypeError
from collections.abc import Callable

import pytest

from lameduck.cli import values
from lameduck.core.exchange import Lane
from lameduck.core.instants import MILLISECOND, SECOND
from lameduck.core.plan import ArrivalProcess, BodyExpectation


@pytest.mark.parametrize(
    ("parse", "text", "value"),
    [
        (values.duration, "30", 30 * SECOND),
        (values.duration, "0.5", SECOND // 2),
        (values.duration, "1m30s", 90 * SECOND),
        (values.duration, "1.5h", 5400 * SECOND),
        (values.duration, "250ms", 250 * MILLISECOND),
        (values.duration, "20us", 20_000),
        (values.rate, "0.5", 0.5),
        (values.rate, "1e3", 1000.0),
        (values.count, "12", 12),
        (values.lanes, "new,reuse", ((Lane.NEW, 1.0), (Lane.REUSE, 1.0))),
        (values.lanes, "reuse=0.3, new=0.7", ((Lane.REUSE, 0.3), (Lane.NEW, 0.7))),
        (values.lanes, "new", ((Lane.NEW, 1.0),)),
        (values.arrivals, "poisson", ArrivalProcess.POISSON),
        (values.method, "post", "POST"),
        (values.path, "/a b/ü?q=1&r=%20", "/a%20b/%C3%BC?q=1&r=%20"),
        (values.statuses, "200", (range(200, 201),)),
        (values.statuses, "200, 3xx,500-503", (range(200, 201), range(300, 400), range(500, 504))),
        (values.header, "X-A:  b: c ", ("X-A", "b: c")),
        (values.header, "X-Empty:", ("X-Empty", "")),
        (values.secret_header, "Authorization=TOKEN", ("Authorization", "TOKEN")),
        (values.expected_body, "ready", BodyExpectation(contains="ready")),
        (values.expected_body, "a=b", BodyExpectation(contains="a=b")),
        (values.expected_body, "/path", BodyExpectation(contains="/path")),
        (values.expected_body, "/^a=.b$/", BodyExpectation(matches="^a=.b$")),
        (values.expected_body, "/a/0=1", BodyExpectation(pointer="/a/0", equals="1")),
        (values.expected_body, "/a=ok", BodyExpectation(pointer="/a", equals='"ok"')),
        (values.expected_body, '/a={"b": 1}', BodyExpectation(pointer="/a", equals='{"b": 1}')),
    ],
)
def test_a_text_has_its_value(parse: Callable[[str], object], text: str, value: object) -> None:
    assert parse(text) == value


@pytest.mark.parametrize(
    ("parse", "texts"),
    [
        (values.duration, ["", "0", "0s", "-1", "1 s", "s", "1d", "1s1", "nan", "inf"]),
        (values.rate, ["", "0", "-5", "many", "nan", "inf"]),
        (values.count, ["", "0", "-1", "1.5", "x"]),
        (values.lanes, ["", "old", "new,new", "new=0", "new=-1", "new=x", "new=nan", "new,", "reuse:1"]),
        (values.arrivals, ["", "Constant", "random"]),
        (values.method, ["", "G T", "GET\r\n", "CONNECT"]),
        (values.path, ["", "a", "http://x/"]),
        (values.statuses, ["", "20", "2000", "0xx", "204-200", "200,", "2xx-3xx"]),
        (values.header, ["", "X", "X Y: a", ": a"]),
        (values.secret_header, ["", "X", "X=", "=V", "X Y=V"]),
        (values.expected_body, [""]),
    ],
)
def test_a_text_that_makes_no_sense_is_refused_in_a_sentence(parse: Callable[[str], object], texts: list[str]) -> None:
    for text in texts:
        with pytest.raises(ArgumentTypeError, match=r"\w{2,}.*\w"):
            parse(text)
