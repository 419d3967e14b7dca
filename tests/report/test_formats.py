"""Every machine format is read back by a tool that nobody here wrote, and says what the proof says."""

import base64
import csv
import io
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import duckdb
import jsonschema
import pytest
from google.protobuf import json_format
from junitparser import Error, JUnitXml
from junitparser import Failure as Lost
from markdown_it import MarkdownIt
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from tests.report.stories import failing, proven

from lameduck.core.exchange import Failure, Kind, Stage
from lameduck.core.run import Run
from lameduck.core.timeline import Event, Observation
from lameduck.defects.judge import examine
from lameduck.report.export import HEAD, csv_lines, parquet, rows
from lameduck.report.junit import junit
from lameduck.report.markdown import markdown
from lameduck.report.openmetrics import openmetrics
from lameduck.report.otlp import otlp
from lameduck.report.picture import picture

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "proof-schema.json").read_text())
HOSTILE = "</script><b>x</b>\x1b[31m\u202e|`*_\"'\x00\n@all"


def undecided() -> Run:
    """A run whose last rollout was not seen to complete, and that lost nothing."""
    run = proven()
    seen = [each for each in run.observations if not (each.what is Event.DISRUPTION_COMPLETED and each.subject == "2")]
    return replace(run, observations=seen, facts=replace(run.facts, notes=(HOSTILE,)))


STORIES = {"failing": failing(), "proven": proven(), "undecided": undecided()}


@pytest.fixture(params=STORIES)
def story(request: pytest.FixtureRequest) -> Run:
    return STORIES[request.param]


def test_the_json_form_fits_the_committed_schema(story: Run) -> None:
    jsonschema.validate(json.loads(json.dumps(examine(story).proof.as_dict())), SCHEMA)


def test_the_schema_refuses_what_is_no_proof() -> None:
    proof = examine(STORIES["failing"]).proof.as_dict()
    for broken in (
        {**proof, "verdict": "FINE"},
        {**proof, "surprise": 1},
        {k: v for k, v in proof.items() if k != "validity"},
    ):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(broken, SCHEMA)


def test_junit_has_a_case_per_lane_per_disruption_and_per_gate() -> None:
    judged = examine(STORIES["failing"])
    document = JUnitXml.fromstring(junit(judged.proof, picture(STORIES["failing"], judged)).encode())
    cases = [case for suite in document for case in suite]
    assert [case.classname for case in cases].count("lameduck.lane") == 2
    assert [case.classname for case in cases].count("lameduck.disruption") == 2
    assert [case.classname for case in cases].count("lameduck.gate") == len(judged.proof.gates)
    assert sum(isinstance(told, Lost) for case in cases for told in case.result) == document.failures == 4


def test_junit_never_passes_what_was_not_decided() -> None:
    judged = examine(STORIES["undecided"])
    document = JUnitXml.fromstring(junit(judged.proof, picture(STORIES["undecided"], judged)).encode())
    wrong = {case.name for suite in document for case in suite if any(isinstance(told, Error) for told in case.result)}
    assert "rollout 2 completes and loses nothing" in wrong
    assert "no request is lost on new connections" in wrong
    assert document.failures == 0


def test_junit_of_a_proven_run_is_all_green() -> None:
    judged = examine(STORIES["proven"])
    document = JUnitXml.fromstring(junit(judged.proof, picture(STORIES["proven"], judged)).encode())
    assert (document.failures, document.errors) == (0, 0)
    assert document.tests >= 9


def test_openmetrics_is_read_by_prometheus_own_parser(story: Run) -> None:
    proof = examine(story).proof
    families = {family.name: family for family in text_string_to_metric_families(openmetrics(proof, HOSTILE))}
    verdicts = {s.labels["verdict"]: s.value for s in families["lameduck_verdict"].samples}
    assert verdicts == {each: float(each == proof.verdict) for each in ("PROVEN", "FAILED", "INCONCLUSIVE")}
    assert sum(s.value for s in families["lameduck_requests"].samples) == proof.requests
    assert sum(s.value for s in families["lameduck_failures"].samples) == proof.failed


@pytest.mark.parametrize("story", STORIES, indirect=True)
def test_otlp_is_read_by_opentelemetrys_own_messages(story: Run) -> None:
    """Its JSON is protobuf's, but for ids, which are hex there and base64 in protobuf's own mapping."""
    judged = examine(story)
    document = json.loads(
        otlp(replace(story, facts=replace(story.facts, name=HOSTILE)), judged.proof, picture(story, judged))
    )
    spans = document["resourceSpans"][0]["scopeSpans"][0]["spans"]
    for span in spans:
        for name in ("traceId", "spanId", "parentSpanId"):
            span[name] = base64.b64encode(bytes.fromhex(span[name])).decode()
    read = json_format.ParseDict(document, ExportTraceServiceRequest())
    found = read.resource_spans[0].scope_spans[0].spans
    assert len({span.span_id for span in found}) == len(found)
    assert {len(span.trace_id) for span in found} == {16}
    root, *others = found
    assert all(span.parent_span_id == root.span_id for span in others)
    assert all(root.start_time_unix_nano <= span.end_time_unix_nano for span in found)
    lost = [span for span in others if span.kind == span.SPAN_KIND_CLIENT]
    assert len(lost) == judged.proof.failed
    causes = Counter(
        each.value.string_value for span in lost for each in span.attributes if each.key == "lameduck.cause"
    )
    assert causes == Counter({each.defect.code: each.count for each in judged.proof.findings if judged.proof.failed})
    assert sum(len(span.events) for span in others) == sum(len(pod.moments) for pod in picture(story, judged).pods)


def test_markdown_renders_as_github_would_and_fits_a_comment(story: Run) -> None:
    proof = examine(story).proof
    text = markdown(proof, HOSTILE)
    html = MarkdownIt("gfm-like", {"html": True}).render(text)
    assert proof.verdict.value in html
    assert "<table>" in html
    assert "<b>x</b>" not in html
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert len(text) <= 60_001


def test_markdown_of_a_thousand_findings_still_fits() -> None:
    proof = examine(STORIES["failing"]).proof
    many = replace(proof, findings=[replace(proof.findings[0], message="y" * 5_000)] * 1_000)
    text = markdown(many)
    assert len(text) <= 60_001
    assert "more findings" in text


def test_csv_has_every_exchange_with_its_failure(story: Run) -> None:
    read = list(csv.DictReader(io.StringIO("".join(csv_lines(story)), newline="")))
    assert len(read) == len(story.recording)
    assert tuple(read[0]) == HEAD
    assert sum(bool(row["kind"]) for row in read) == story.recording.failed


@pytest.mark.parametrize("detail", ['say "no", twice', "two\r\nlines", "=1+1", "@x", "-2"])
def test_csv_cells_from_outside_are_quoted_and_never_a_formula(detail: str) -> None:
    run = failing(2_000)
    run.recording.failures[1] = Failure(Stage.CONNECT, Kind.REFUSED, 111, detail)
    told = {row["detail"] for row in csv.DictReader(io.StringIO("".join(csv_lines(run)), newline=""))} - {""}
    assert told == {f"'{detail}" if detail[0] in "=@-" else detail}


def test_parquet_is_read_by_duckdb_and_equals_the_csv(story: Run, tmp_path: Path) -> None:
    file = tmp_path / "x.parquet"
    file.write_bytes(parquet(story))
    read = duckdb.sql(f"SELECT * FROM '{file}' ORDER BY seq")
    assert tuple(read.columns) == HEAD
    assert read.fetchall() == list(rows(story))


def test_a_picture_books_every_failure_on_the_finding_that_counted_it() -> None:
    judged = examine(STORIES["failing"])
    drawn = picture(STORIES["failing"], judged)
    for number, finding in enumerate(judged.proof.findings):
        booked = [each for each in drawn.failures if each.finding == number]
        assert len(booked) == finding.count
    assert sum(map(sum, drawn.lost.values())) == drawn.failed == judged.proof.failed
    assert sum(map(sum, drawn.answered.values())) + drawn.failed == len(STORIES["failing"].recording)


def test_above_its_limit_a_picture_samples_evenly_keeps_every_finding_and_says_so() -> None:
    run = failing(40_000, loss=1.0)
    judged = examine(run)
    drawn = picture(run, judged, most=300)
    assert drawn.failed == judged.proof.failed > 1_000
    assert 150 < len(drawn.failures) <= 300
    assert {each.finding for each in drawn.failures} == set(range(sum(bool(f.count) for f in judged.proof.findings)))


def test_observations_alone_make_a_picture_without_load() -> None:
    run = failing(2_000, rollouts=1)
    lone = replace(run, observations=[Observation(run.load_started, Event.DISRUPTION_REQUESTED, "1")])
    drawn = picture(lone, examine(lone))
    assert [band.end for band in drawn.bands] == [None]
    assert not drawn.pods
