"""Runs every rule over a project: findings in order, suppressed ones taken out, unused suppressions reported.

Law: one place and one defect make one finding. A suppression names its codes; it holds for its own line and the next
line of code, or for the object that carries the annotation. A rule that fails is our own bug and is not hidden.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase

from lameduck.core.finding import Confidence, FileSpan, Finding, Severity
from lameduck.defects import codes, module
from lameduck.manifests.project import Project
from lameduck.manifests.text import Text
from lameduck.manifests.workloads import KubeObject, workload_of

_COMMENT = re.compile(r"#\s*lameduck:\s*ignore(?:\[([^\]]*)\])?")
_ANNOTATION = "lameduck.dev/ignore"
_CONFIDENCE = {Confidence.POSSIBLE: 0, Confidence.LIKELY: 1, Confidence.CERTAIN: 2}
SEVERITIES = {Severity.INFO: 0, Severity.WARNING: 1, Severity.ERROR: 2}


@dataclass(frozen=True, slots=True)
class Choice:
    """Which findings are wanted."""

    select: tuple[str, ...] = ()
    """Codes or their beginnings; () for all."""
    ignore: tuple[str, ...] = ()
    confidence: Confidence = Confidence.LIKELY
    per_file: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """File patterns with the codes that are ignored there."""

    def takes(self, code: str) -> bool:
        """Whether a code is wanted at all."""
        wanted = not self.select or any(code.startswith(one.upper()) for one in self.select)
        return wanted and not any(code.startswith(one.upper()) for one in self.ignore)


@dataclass(slots=True)
class Suppression:
    """One place that says ignore."""

    text: Text
    span: FileSpan
    codes: tuple[str, ...]
    """() for every code."""
    first: int
    last: int
    """The lines it holds for."""
    used: bool = False

    def covers(self, one: Finding, place: FileSpan) -> bool:
        """Whether it suppresses a finding."""
        inside = place.file == self.text.path and self.first <= place.line <= self.last
        return inside and (not self.codes or one.defect.code in self.codes or one.defect.slug in self.codes)


@dataclass(slots=True)
class Outcome:
    """What one run of lint found."""

    findings: list[Finding] = field(default_factory=list)
    suppressed: int = 0
    hidden: int = 0
    """Findings below the wanted confidence."""


def lint(project: Project, choice: Choice | None = None) -> Outcome:
    """Run every rule and sort what they find."""
    choice = choice or Choice()
    outcome = Outcome()
    suppressions = [one for text in _texts(project) for one in _comments(text)]
    suppressions += [one for thing in project.cluster.objects for one in _annotations(thing)]
    for one in _unique(_run(project, choice)):
        place = place_of(one)
        matched = [each for each in suppressions if each.covers(one, place)]
        for each in matched:
            each.used = True
        if matched or _per_file(choice, one, place):
            outcome.suppressed += 1
        elif _CONFIDENCE[one.confidence] < _CONFIDENCE[choice.confidence]:
            outcome.hidden += 1
        else:
            outcome.findings.append(_rendered(project, one, place))
    if choice.takes("LD002"):
        outcome.findings += [_unused(one) for one in suppressions if not one.used and _enabled(one, choice)]
    outcome.findings.sort(key=_order)
    return outcome


def _rendered(project: Project, one: Finding, place: FileSpan) -> Finding:
    """The finding with the Helm template that its document was rendered from, where a ``# Source:`` comment says it."""
    text = project.texts.get(place.file)
    if text is None or "# Source: " not in text.content:
        return one
    before = text.content[: text.starts[place.line - 1]]
    source = before.rfind("# Source: ")
    if source < 0:
        return one
    name = before[source:].split("\n", 1)[0].removeprefix("# Source: ").strip()
    return replace(one, evidence=(*one.evidence, f"rendered from {name}: mend it there, or in the values it takes"))


def place_of(one: Finding) -> FileSpan:
    """The file place of a lint finding."""
    return next(span for span in one.locations if isinstance(span, FileSpan))


def severity_of(one: Finding) -> Severity:
    """A finding's own severity, else its defect's."""
    return one.severity or one.defect.severity


def rules() -> dict[str, Callable[[Project], Iterator[Finding]]]:
    """Every static rule by its code."""
    found = {code: getattr(module(code), "lint", None) for code in codes() if code < "LD900"}
    return {code: rule for code, rule in found.items() if rule is not None}


def _run(project: Project, choice: Choice) -> Iterator[Finding]:
    about = _subjects(project)
    for code in codes():
        if code < "LD900" and code[2] in about and choice.takes(code):
            rule = getattr(module(code), "lint", None)
            if rule is not None:
                yield from rule(project)


def _subjects(project: Project) -> str:
    """The groups of rules that can find something in this input: the others are not even loaded."""
    objects = "12367" if project.cluster.objects else ""
    started = bool(project.dockerfiles) or any(one.launch.argv is not None for one in project.programs)
    return f"0{objects}{'458' if started else ''}"


def _unique(findings: Iterable[Finding]) -> list[Finding]:
    """One finding for one defect at one place; the surest one stays."""
    best: dict[tuple[str, FileSpan], Finding] = {}
    for one in findings:
        key = (one.defect.code, place_of(one))
        known = best.get(key)
        if known is None or _CONFIDENCE[one.confidence] > _CONFIDENCE[known.confidence]:
            best[key] = one
    return list(best.values())


def _order(one: Finding) -> tuple[str, int, int, str]:
    place = place_of(one)
    return place.file, place.line, place.column, one.defect.code


def _texts(project: Project) -> list[Text]:
    found = {id(text): text for text in project.texts.values()}
    for program in project.programs:
        found.update({id(text): text for text in program.chain.texts})
    return list(found.values())


def _comments(text: Text) -> Iterator[Suppression]:
    if "lameduck:" not in text.content:
        return
    for match in _COMMENT.finditer(text.content):
        line = text.line_of(match.start())
        last = line
        if text.line(line).lstrip().startswith("#"):  # a line of its own: it holds for the next line of code
            while last < len(text.starts) and (not text.line(last).strip() or text.line(last).lstrip().startswith("#")):
                last += 1
        yield Suppression(text, text.span(match.start(), match.end()), _names(match[1]), line, last)


def _names(listed: str | None) -> tuple[str, ...]:
    return tuple(
        one.strip().upper() if one.strip()[:2].upper() == "LD" else one.strip()
        for one in (listed or "").split(",")
        if one.strip()
    )


def _annotations(thing: KubeObject) -> Iterator[Suppression]:
    """The object's own annotations and its pod template's; ``…/ignore.NAME`` holds for one container."""
    workload = workload_of(thing)
    metas = [thing.node["metadata"]]
    if workload is not None and workload.template.raw is not thing.node.raw:
        metas.append(workload.template["metadata"])
    for meta in metas:
        for key, value in meta["annotations"].entries():
            if key != _ANNOTATION and not key.startswith(f"{_ANNOTATION}."):
                continue
            held = thing.node
            if key != _ANNOTATION and workload is not None:
                name = key.removeprefix(f"{_ANNOTATION}.")
                held = next((one.node for one in (*workload.containers, *workload.init) if one.name == name), held)
            span, text = held.span, held.text
            yield Suppression(text, value.entry_span, _names(value.string), span.line, span.end_line)


def _per_file(choice: Choice, one: Finding, place: FileSpan) -> bool:
    return any(
        (fnmatchcase(place.file, pattern) or fnmatchcase(place.file.rsplit("/", 1)[-1], pattern))
        and any(one.defect.code.startswith(code) for code in listed)
        for pattern, listed in choice.per_file
    )


def _enabled(one: Suppression, choice: Choice) -> bool:
    """Whether all its rules ran, so that being unused means something."""
    return all(choice.takes(code) for code in one.codes if code.startswith("LD"))


def _unused(one: Suppression) -> Finding:
    made: Finding = module("LD002").unused(one.text, one.span, one.codes)
    return made
