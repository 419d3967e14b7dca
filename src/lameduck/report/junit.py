"""JUnit XML: one test case for each claim of a proof, so that a CI shows it where it shows its tests.

Law: a claim that broke is a *failure*; one that could not be decided (a gate fell) is an *error*, never a pass. The
claims: no request lost per lane, nothing lost and completed per disruption, and each gate.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from xml.etree import ElementTree as ET

from lameduck.core.instants import to_seconds
from lameduck.core.proof import Proof, Verdict
from lameduck.report.inert import inert, line
from lameduck.report.picture import Band, Picture
from lameduck.report.words import LANES, counts, heading, most_first


def junit(proof: Proof, picture: Picture) -> str:
    """The XML document."""
    suite = ET.Element("testsuite", name="lameduck prove", time=f"{to_seconds(picture.end):.3f}")
    _lanes(suite, proof)
    _disruptions(suite, proof, picture)
    _gates(suite, proof)
    for name, tag in (("tests", "testcase"), ("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(name, str(sum(1 for _ in suite.iter(tag))))
    ET.SubElement(suite, "system-out").text = inert(f"{proof.verdict.value}: {proof.sentence}")
    root = ET.Element("testsuites", {key: value for key, value in suite.attrib.items() if key != "name"})
    root.append(suite)
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _case(suite: ET.Element, group: str, name: str, seconds: float = 0.0) -> ET.Element:
    return ET.SubElement(suite, "testcase", classname=f"lameduck.{group}", name=name, time=f"{seconds:.3f}")


def _say(case: ET.Element, tag: str, message: str, text: str = "") -> None:
    ET.SubElement(case, tag, message=line(message), type="lost" if tag == "failure" else "undecided").text = inert(text)


def _lanes(suite: ET.Element, proof: Proof) -> None:
    for lane, requests in proof.requests_by_lane.items():
        case = _case(suite, "lane", f"no request is lost on {LANES.get(lane, line(lane))}")
        lost = proof.failures_by_lane.get(lane, 0)
        if lost:
            _say(case, "failure", f"{lost:,} of {requests:,} requests lost", "\n".join(_causes(proof, lane)))
        elif proof.verdict is Verdict.INCONCLUSIVE:
            _say(case, "error", "none was lost, but that proves nothing yet: a gate fell")


def _causes(proof: Proof, lane: str) -> Iterable[str]:
    for finding in proof.findings:
        if any(getattr(span, "lane", lane) in {"", lane} for span in finding.locations):
            yield f"{heading(finding)}: {finding.message}"


def _disruptions(suite: ET.Element, proof: Proof, picture: Picture) -> None:
    for band, until in zip(picture.bands, [*(b.start for b in picture.bands[1:]), picture.end], strict=True):
        seconds = to_seconds((band.end or picture.end) - band.start)
        case = _case(suite, "disruption", f"{proof.disruption} {line(band.name)} completes and loses nothing", seconds)
        lost = _lost_within(picture, band, until)
        if lost:
            _say(case, "failure", f"lost: {counts(most_first(lost))}")
        elif not band.completed:
            _say(case, "error", band.note or "it was not observed to complete")


def _lost_within(picture: Picture, band: Band, until: int) -> Counter[str]:
    """The failures by kind from a disruption's beginning to the next one's."""
    return Counter(f.kind for f in picture.failures if band.start <= f.start < until)


def _gates(suite: ET.Element, proof: Proof) -> None:
    for gate in proof.gates:
        case = _case(suite, "gate", gate.name)
        if not gate.held:
            _say(case, "error", gate.detail, gate.remedy)
