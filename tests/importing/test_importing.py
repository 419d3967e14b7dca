"""Results of real tools (JMeter 5.6.3, k6, vegeta 12, nginx), of one server that fails in known ways, as exchanges."""

import csv
import json
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.diagnosis.worlds import ORIGIN, going, life, run_of

from lameduck.core.errors import UsageError
from lameduck.core.exchange import Exchange, Kind, Lane, Stage
from lameduck.core.instants import MILLISECOND, SECOND
from lameduck.core.timeline import Event, Observation
from lameduck.defects.judge import judge
from lameduck.importing import KINDS, exchanges_from, on_run_clock
from lameduck.importing.entry import failure_of
from lameduck.importing.times import common_log, rfc3339

DATA = Path(__file__).parent / "data"
FILES = {"jmeter": "jmeter.jtl", "k6": "k6.json", "vegeta": "vegeta.json", "nginx": "nginx-timed.log"}

ENVOY = (
    '[2026-11-25T05:20:41.123Z] "POST /infer HTTP/1.1" {status} {flags} 12 57 34 33 "10.0.0.9" "curl/8" "id-1" "app" '
    '"{upstream}"\n'
)
TRAEFIK = (
    '10.0.0.9 - - [25/Nov/2026:05:20:41 +0000] "GET / HTTP/1.1" {status} 2 "-" "curl/8" 7 "web@docker" '
    '"http://10.1.0.4:8080" 34ms\n'
)


def kinds(exchanges: Sequence[Exchange]) -> Counter[str]:
    return Counter(f"{e.failure.kind} at {e.failure.stage}" for e in exchanges if e.failure is not None)


def written(folder: Path, text: str) -> Path:
    file = folder / "given"
    file.write_text(text)
    return file


@pytest.mark.parametrize(
    ("kind", "total", "failed"),
    [
        (
            "jmeter",
            309,
            {"closed at await": 7, "refused at connect": 7, "bad_status at validate": 5, "truncated at read": 4,
             "timeout at await": 3, "reset at await": 3},
        ),
        (
            "vegeta",
            300,
            {"refused at connect": 13, "bad_status at validate": 5, "truncated at read": 4, "timeout at await": 3,
             "reset at await": 1},
        ),
        (
            "k6",
            53,
            {"bad_status at validate": 5, "truncated at read": 4, "timeout at await": 3, "refused at connect": 3,
             "reset at await": 1},
        ),
        ("nginx", 300, {"bad_status at validate": 51}),
    ],
)  # fmt: skip
def test_each_tools_failures_are_told_by_stage_and_kind(kind: str, total: int, failed: dict[str, int]) -> None:
    imported = exchanges_from(DATA / FILES[kind], kind)
    assert len(imported.exchanges) == total
    assert kinds(imported.exchanges) == failed
    assert imported.losses


@pytest.mark.parametrize("kind", FILES)
def test_requests_come_in_the_order_of_their_starts_within_the_run_and_end_after_it(kind: str) -> None:
    exchanges = exchanges_from(DATA / FILES[kind], kind).exchanges
    starts = [each.intended_start for each in exchanges]
    assert starts == sorted(starts)
    assert [each.seq for each in exchanges] == list(range(len(exchanges)))
    assert starts[-1] - starts[0] < 8 * SECOND
    assert rfc3339("2026-11-25T05:00:00Z") < starts[0] < rfc3339("2026-11-25T07:00:00Z")
    for each in exchanges:
        assert each.intended_start <= (each.finished or 0) < each.intended_start + 3 * SECOND


def test_jmeters_times_add_up_as_its_own_columns_do() -> None:
    with (DATA / "jmeter.jtl").open() as lines:
        rows = sorted(csv.DictReader(lines), key=lambda row: int(row["timeStamp"]))
    exchanges = exchanges_from(DATA / "jmeter.jtl", "jmeter").exchanges
    for row, each in zip(rows, exchanges, strict=True):
        assert each.response_time == int(row["elapsed"]) * MILLISECOND
        assert (each.failure is None) == (row["success"] == "true")
        assert (each.lane is Lane.NEW) == (
            row["Connect"] != "0" or (each.failure is not None and each.failure.stage is Stage.CONNECT)
        )


def test_vegeta_names_the_pod_that_answered() -> None:
    exchanges = exchanges_from(DATA / "vegeta.json", "vegeta").exchanges
    assert {each.served_by for each in exchanges if each.failure is None} == {"pod-a"}


def test_nginx_names_the_upstream_and_its_request_time_and_the_plain_format_has_neither() -> None:
    timed = exchanges_from(DATA / "nginx-timed.log", "nginx").exchanges
    assert {each.peer for each in timed} == {"127.0.0.1:18084"}
    assert any((each.response_time or 0) >= 990 * MILLISECOND for each in timed if each.status == 504)
    plain = exchanges_from(DATA / "nginx-combined.log", "nginx").exchanges
    assert len(plain) == 60
    assert {(each.peer, each.response_time) for each in plain} == {("", 0)}


@pytest.mark.parametrize(
    ("status", "flags", "told"),
    [
        (200, "-", None),
        (503, "UF", "refused at connect"),
        (503, "UF,URX", "refused at connect"),
        (503, "UC", "reset at await"),
        (504, "UT", "timeout at await"),
        (503, "UH", "unreachable at connect"),
        (500, "-", "bad_status at validate"),
        (0, "DC", "protocol at await"),
    ],
)
def test_envoys_flags_decide_before_its_status(status: int, flags: str, told: str | None, tmp_path: Path) -> None:
    file = written(tmp_path, ENVOY.format(status=status, flags=flags, upstream="10.1.0.4:8080"))
    (exchange,) = exchanges_from(file, "envoy").exchanges
    assert list(kinds([exchange])) == ([told] if told else [])
    assert (exchange.peer, exchange.size, exchange.response_time) == ("10.1.0.4:8080", 57, 34 * MILLISECOND)
    assert exchange.intended_start == rfc3339("2026-11-25T05:20:41.123Z")


def test_traefiks_line_names_the_server_and_lines_of_another_form_are_said_to_be_left_out(tmp_path: Path) -> None:
    file = written(tmp_path, TRAEFIK.format(status=200) + "what is this\n" + TRAEFIK.format(status=502))
    imported = exchanges_from(file, "traefik")
    assert [each.peer for each in imported.exchanges] == ["10.1.0.4:8080"] * 2
    assert kinds(imported.exchanges) == {"bad_status at validate": 1}
    assert "1 lines have another form and were left out" in imported.losses


def test_fortios_access_log_is_read_and_its_result_file_is_refused_with_the_way_out(tmp_path: Path) -> None:
    line = '{{"latency":0.0042,"timestamp":1795584041041306941,"thread":0,"ok":{ok},"details":"{details}"}}\n'
    said = (("true", "200"), ("false", "503"), ("false", "-1"), ("false", "connection refused"))
    exchanges = exchanges_from(
        written(tmp_path, "".join(line.format(ok=o, details=d) for o, d in said)), "fortio"
    ).exchanges
    assert [each.failure and each.failure.kind for each in exchanges] == [
        None,
        Kind.BAD_STATUS,
        Kind.PROTOCOL,
        Kind.REFUSED,
    ]
    assert exchanges[0].response_time == 4_200_000
    result = written(tmp_path, json.dumps({"RunType": "HTTP", "DurationHistogram": {}}, indent=1))
    with pytest.raises(UsageError, match="-access-log-file"):
        exchanges_from(result, "fortio")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("text", ["", "\x00\xff{{{", "{}\n", "[]\n", "a,b\n1,2\n", '"' * 5_000])
def test_what_is_no_such_file_is_refused_in_one_line(kind: str, text: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as told:
        exchanges_from(written(tmp_path, text), kind)
    assert "\n" not in str(told.value)


def test_an_unknown_kind_or_a_missing_file_says_what_is_known(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="jmeter, k6"):
        exchanges_from(tmp_path, "gatling")
    with pytest.raises(UsageError, match="cannot read"):
        exchanges_from(tmp_path / "none", "k6")


@pytest.mark.parametrize(
    ("words", "status", "stage", "kind"),
    [
        ("dial tcp: lookup app on 10.0.0.10:53: no such host", 0, Stage.RESOLVE, Kind.UNREACHABLE),
        ("dial tcp 10.0.0.1:80: i/o timeout", 0, Stage.CONNECT, Kind.TIMEOUT),
        ("dial tcp 10.0.0.1:80: connect: no route to host", 0, Stage.CONNECT, Kind.UNREACHABLE),
        ("socket: too many open files", 0, Stage.CONNECT, Kind.NOT_SENT),
        ("dial tcp: connect: cannot assign requested address", 0, Stage.CONNECT, Kind.NOT_SENT),
        ("tls: handshake failure", 0, Stage.TLS, Kind.PROTOCOL),
        ("http2: server sent GOAWAY and closed the connection", 0, Stage.AWAIT, Kind.GOAWAY),
        ("http: server closed idle connection", 0, Stage.AWAIT, Kind.CLOSED),
        ('Get "http://a/": EOF', 0, Stage.AWAIT, Kind.CLOSED),
        ("unexpected EOF", 200, Stage.READ, Kind.TRUNCATED),
        ("SocketTimeoutException Connect timed out", 0, Stage.CONNECT, Kind.TIMEOUT),
        ("SocketTimeoutException Read timed out", 0, Stage.AWAIT, Kind.TIMEOUT),
        ("Test failed: text expected to contain /ok/", 200, Stage.VALIDATE, Kind.BAD_BODY),
        ("something nobody has met", 0, Stage.AWAIT, Kind.PROTOCOL),
        ("", 502, Stage.VALIDATE, Kind.BAD_STATUS),
    ],
)
def test_a_tools_words_decide_stage_and_kind(words: str, status: int, stage: Stage, kind: Kind) -> None:
    failure = failure_of(words, status)
    assert failure is not None
    assert (failure.stage, failure.kind) == (stage, kind)


@given(st.integers(0, 2**61))
def test_points_of_time_keep_their_nanoseconds(at: int) -> None:
    seconds = at % (200 * 365 * 86_400)
    text = f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{at % SECOND:09d}Z"
    assert rfc3339(text) == seconds * SECOND + at % SECOND


def test_a_common_logs_zone_is_kept() -> None:
    assert common_log("25/Nov/2026:06:20:41 +0100") == rfc3339("2026-11-25T05:20:41Z")


def test_imported_failures_are_laid_on_the_pods_of_a_rollout(tmp_path: Path) -> None:
    """An access log names the upstream's address: with the pod's, a failure has its pod and its cause."""
    anchor = rfc3339("2026-11-25T05:20:31.100Z")
    file = written(tmp_path, ENVOY.format(status=503, flags="UF", upstream="10.1.0.4:8080"))
    exchanges = exchanges_from(file, "envoy").exchanges
    moved = on_run_clock(exchanges, anchor, ORIGIN)
    assert moved[0].intended_start == ORIGIN + 10_023 * MILLISECOND
    fact = Observation(ORIGIN, Event.POD_FACT, "old", detail={"ip": "10.1.0.4"})
    seen = [
        fact,
        *going(listener_closed=12, exited=60),
        *life("other", created=0, started=100, listening=200, ready=400),
    ]
    proof = judge(run_of(seen, moved))
    assert proof.failed == 1
    assert proof.findings[0].as_dict()["spans"][0]["pods"] == ["old"]
