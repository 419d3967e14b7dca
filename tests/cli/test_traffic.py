import argparse
from pathlib import Path

import pytest

from lameduck.cli.traffic import add_traffic_options, traffic_plan
from lameduck.core.errors import UsageError
from lameduck.core.exchange import Lane
from lameduck.core.instants import SECOND
from lameduck.core.plan import ArrivalProcess, BodyExpectation, RequestShape, TrafficPlan


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(exit_on_error=False)
    add_traffic_options(made)
    return made


def plan(*words: str) -> TrafficPlan:
    return traffic_plan(parser().parse_args(words))


def test_what_nobody_gave_is_none_and_the_plan_is_the_default_one() -> None:
    assert set(vars(parser().parse_args([])).values()) == {None}
    assert plan() == TrafficPlan()


def test_every_option_finds_its_field() -> None:
    assert plan(
        "--qps", "500", "--duration", "1m", "--lanes", "new", "--arrivals", "ramp", "--ramp-from", "5", "--seed", "3",
        "--connect-timeout", "1s", "--timeout", "2s", "--connections", "7", "--no-look", "--no-refill",
        "--method", "put", "--path", "/a",
        "--header", "A: b", "--header", "C: d",
        "--header-env", "E=F", "--body", "x", "--body-type", "text/plain", "--expect-status", "201",
        "--expect-body", "ok", "--served-by-header", "x-pod",
    ) == TrafficPlan(
        rate=500, duration=60 * SECOND, lanes=((Lane.NEW, 1.0),), arrivals=ArrivalProcess.RAMP, ramp_from=5, seed=3,
        connect_timeout=SECOND, timeout=2 * SECOND, connections=7, look=False, refill=False, served_by_header="x-pod",
        requests=(
            RequestShape(
                method="PUT", path="/a", headers=(("A", "b"), ("C", "d"), ("Content-Type", "text/plain")),
                secret_headers=(("E", "F"),), body=b"x", expect_status=(range(201, 202),),
                expect_body=BodyExpectation(contains="ok"),
            ),
        ),
    )  # fmt: skip


def test_a_text_laid_below_the_flags_is_parsed_like_one_and_a_flag_beats_it() -> None:
    layered = parser()
    layered.set_defaults(qps="50", duration="30s", lanes="new")
    found = traffic_plan(layered.parse_args(["--qps", "70"]))
    assert (found.rate, found.duration, found.lanes) == (70, 30 * SECOND, ((Lane.NEW, 1.0),))


def test_a_body_makes_it_a_post_of_json_unless_told_otherwise() -> None:
    (shape,) = plan("--body", "{}").requests
    assert (shape.method, shape.headers, shape.body) == ("POST", (("Content-Type", "application/json"),), b"{}")
    (shape,) = plan("--body", "{}", "--header", "content-type: a/b", "--method", "PATCH").requests
    assert (shape.method, shape.headers) == ("PATCH", (("content-type", "a/b"),))


def test_a_body_can_come_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "body").write_bytes(b"\0\xff")
    assert plan("--body", f"@{tmp_path / 'body'}").requests[0].body == b"\0\xff"
    with pytest.raises(UsageError, match=r"cannot read the body from .*/none: No such file"):
        plan("--body", f"@{tmp_path / 'none'}")


def test_a_ramp_is_implied_by_its_beginning_and_contradicted_by_another_process() -> None:
    assert plan("--ramp-from", "1").arrivals is ArrivalProcess.RAMP
    with pytest.raises(UsageError):
        plan("--ramp-from", "1", "--arrivals", "poisson")


def test_a_type_without_a_body_is_a_mistake() -> None:
    with pytest.raises(UsageError):
        plan("--body-type", "text/plain")
