"""The HTML report: one file that opens from disk, offline, with the rollout timeline and a table behind it.

Law: everything that came from outside is text (escaped, controls shown); the page's own policy allows exactly the
scripts written here, by their hashes, and no connection to anywhere. What matters can be read without JavaScript.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from html import escape
from importlib import resources

from lameduck.core.finding import Confidence, Finding
from lameduck.core.instants import SECOND, human, to_seconds
from lameduck.core.proof import Gate, Proof, Verdict
from lameduck.core.run import Run
from lameduck.report.inert import inert, line
from lameduck.report.measured import measured
from lameduck.report.page_data import page_data
from lameduck.report.picture import Picture
from lameduck.report.words import LANES, counts, heading, numbers, snippets

SCRIPTS = ("model.js", "picture.js", "page.js")
THEME = 'document.documentElement.dataset.theme=matchMedia("(prefers-color-scheme: dark)").matches?"dark":"light"'
MOST_ROWS = 120


def page(run: Run, proof: Proof, picture: Picture, library: str) -> str:
    """The whole page. ``library`` is BokehJS as text."""
    scripts = [_closed(THEME), _closed(library), _closed("\n".join(map(asset, SCRIPTS)))]
    title = f"{proof.verdict.value}: {line(run.facts.name, 80)}"
    body = (
        _header(run),
        "<main>",
        _verdict(run, proof),
        _findings(proof),
        _timeline(picture),
        _tables(proof, picture),
        measured(run, proof, _gates(proof.gates)),
        "</main>",
        f"<footer>lameduck {text(str(run.meta.get('lameduck', '')))}</footer>",
    )
    return f"""<!doctype html>
<html lang="en" data-theme="light">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_policy(scripts)}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<link rel="icon" href="data:,">
<title>{text(title)}</title>
<style>{asset("report.css")}</style>
<script>{scripts[0]}</script>
</head>
<body>
{chr(10).join(body)}
<script type="application/json" id="run">{page_data(proof, picture)}</script>
<script>{scripts[1]}</script>
<script>{scripts[2]}</script>
</body>
</html>
"""


def asset(name: str) -> str:
    """A file that belongs to the page."""
    return (resources.files("lameduck.report") / "assets" / name).read_text("utf-8")


def text(words: str, longest: int = 2_000) -> str:
    """Text from anywhere as HTML text."""
    return escape(inert(words, longest))


def _closed(script: str) -> str:
    """A script that cannot end its own element: in JavaScript, ``<\\/`` is ``</`` wherever it may stand."""
    return script.replace("</script", "<\\/script").replace("<!--", "<\\!--")


def _policy(scripts: Iterable[str]) -> str:
    hashes = " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(s.encode()).digest()).decode()}'" for s in scripts)
    return f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data:; font-src data:"


def _header(run: Run) -> str:
    when = ""
    if run.wall_anchor:
        began = datetime.fromtimestamp(run.wall_anchor // SECOND, UTC)
        when = f'<time datetime="{began:%Y-%m-%dT%H:%M:%SZ}">{began:%Y-%m-%d %H:%M:%S} UTC</time>'
    return (
        f'<header><span class="name">{text(line(run.facts.name, 80))}</span>{when}<span class="space"></span>'
        '<button type="button" id="theme" aria-pressed="false">Dark</button></header>'
    )


def _verdict(run: Run, proof: Proof) -> str:
    cells = "".join(
        f"<div><dt>{text(name)}</dt><dd>{text(number)} <small>{text(words)}</small></dd></div>"
        for name, number, words in numbers(proof)
    )
    warnings = "".join(f'<p class="warn">{text(told)}</p>' for told in _warnings(run))
    if proof.arithmetic:
        cells += f'<div class="wide"><dt>suggested</dt><dd><small>{text(proof.arithmetic)}</small></dd></div>'
    return (
        f'<section class="verdict {proof.verdict.value}" aria-label="Verdict">'
        f'<span class="badge">{proof.verdict.value}</span><h1>{text(proof.sentence)}</h1>{warnings}{_why_not(proof)}'
        f'<dl class="numbers">{cells}</dl></section>'
    )


def _why_not(proof: Proof) -> str:
    """What an inconclusive run lacks, on the first screen."""
    fallen = [gate for gate in proof.gates if not gate.held]
    if proof.verdict is not Verdict.INCONCLUSIVE or not fallen:
        return ""
    return f'<p class="quiet">What it lacks, and what to do:</p>{_gates(fallen)}'


def _warnings(run: Run) -> Iterable[str]:
    if not run.complete:
        yield "The record is not whole: the recorder died before the end. This report shows what there is."
    if run.stopped_early:
        yield f"Stopped early: {run.stopped_early}"


def _findings(proof: Proof) -> str:
    if not proof.findings:
        return ""
    title = "What was lost, why, and what to change" if proof.failed else "Worth knowing"
    said: dict[str, int] = {}
    blocks = "".join(_finding(number, finding, said) for number, finding in enumerate(proof.findings))
    return f'<section aria-label="Findings"><h2>{title}</h2>{blocks}</section>'


def _finding(number: int, finding: Finding, said: dict[str, int]) -> str:
    grade = (finding.severity or finding.defect.severity).value
    sure = "" if finding.confidence is Confidence.CERTAIN else f'<span class="seen">{finding.confidence.value}</span>'
    seen = f'<span class="seen">seen as {finding.symptom}</span>' if finding.symptom != finding.defect.code else ""
    evidence = "".join(f"<li>{text(told)}</li>" for told in finding.evidence)
    return (
        f'<article class="finding {grade}" aria-label="{text(heading(finding))}"><div class="head">'
        f'<span class="quiet">{number + 1}.</span><span class="code">{text(finding.defect.code)}</span>'
        f"<h3>{text(finding.defect.slug)}</h3>{seen}{sure}"
        f'<span class="count">{finding.count:,} ×</span><span class="space"></span>'
        f'<button type="button" aria-pressed="false" data-finding="{number}">Show in the timeline'
        f'<span class="unseen">: {text(finding.defect.code)}</span></button></div>'
        f"<p>{text(finding.message)}</p><ul>{evidence}</ul>{_fix(number, finding, said)}</article>"
    )


def _fix(number: int, finding: Finding, said: dict[str, int]) -> str:
    if finding.fix is None:
        return ""
    head = f"<b>Fix</b> {text(finding.fix.title)}"
    code = "".join(
        f'<div class="copyable"><pre tabindex="0" aria-label="patch">{text(snippet, 20_000)}</pre></div>'
        for _, snippet in snippets(finding)
    )
    first = said.setdefault(code, number) if code else number
    if first != number:
        return f'<div class="fix">{head} <span class="quiet">(the patch of finding {first + 1})</span></div>'
    return (
        f'<div class="fix">{head} <span class="quiet">({finding.fix.safety.value}; not proven here)</span>{code}</div>'
    )


_CONTROLS = (
    ("+", "Zoom in", "Zoom in"),
    ("-", "Zoom out", "Zoom out"),
    ("ArrowLeft", "←", "Earlier"),
    ("ArrowRight", "→", "Later"),
    ("0", "Whole run", "Whole run"),
    ("p", "Previous lost", "Previous lost request"),
    ("n", "Next lost", "Next lost request"),
    ("Escape", "Clear", "Clear the selection"),
)


def _timeline(picture: Picture) -> str:
    buttons = "".join(
        f'<button type="button" data-do="{key}" aria-label="{label}">{words}</button>'
        for key, words, label in _CONTROLS
        if picture.failures or key not in {"n", "p"}
    )
    step = ", n and p step through lost requests" if picture.failures else ""
    sampled = ""
    if picture.failed > len(picture.failures):
        kept = f"{len(picture.failures):,} of {picture.failed:,} lost requests are drawn and listed, evenly sampled."
        sampled = f'<p class="warn">{kept}</p>'
    return (
        f'<section id="timeline" aria-label="The rollout timeline"><h2>The rollout timeline</h2>{sampled}'
        f'<div class="controls">{buttons}<span class="space"></span><span class="quiet key">drag to move, '
        f"Ctrl + wheel to zoom; in the picture: ← → + − 0{step}</span></div>"
        '<div id="picture" tabindex="0" role="group" aria-label="Timeline of requests, response times and pods. '
        'The same data is in the tables below." aria-describedby="detail"></div>'
        "<noscript><p>The picture needs JavaScript; the tables below have its data.</p></noscript>"
        '<ul class="legend" id="legend"></ul>'
        '<div id="detail" role="status" aria-live="polite"><p>Select a finding, a mark in the picture or a row of the '
        "table: everything that belongs to it lights up.</p></div></section>"
    )


def _tables(proof: Proof, picture: Picture) -> str:
    tables = [
        _lost_table(picture),
        _details(
            "Pods",
            f"{len(picture.pods)}",
            ("pod", "milestone", "at", "± ", "told by", "details"),
            [
                (pod.name if not place else "", each.milestone.value.replace("_", " "), _at(each.at),
                 human(each.precision) if each.precision else "", each.source, each.words)
                for pod in picture.pods
                for place, each in enumerate(pod.moments)
            ],
        ),
        _details(
            f"{proof.disruption.capitalize()}s",
            f"{len(picture.bands)}",
            ("number", "requested", "completed", "lasted", "note"),
            [
                (band.name, _at(band.start), _at(band.end) if band.completed and band.end is not None else "not seen",
                 human(band.end - band.start) if band.end is not None else "", band.note)
                for band in picture.bands
            ],
        ),
        _over_time(picture),
    ]  # fmt: skip
    return f'<section aria-label="Tables"><h2>The same in tables</h2>{"".join(tables)}</section>'


def _at(at: int) -> str:
    return f"{'+' if at >= 0 else '−'}{abs(to_seconds(at)):.3f} s"


def _details(name: str, more: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    top = "".join(f'<th scope="col">{text(name)}</th>' for name in head)
    last = len(head) - 1
    body = "".join(
        "<tr>"
        + "".join(f"<td{_cell(cell, last=n == last)}>{text(cell, 300)}</td>" for n, cell in enumerate(row))
        + "</tr>"
        for row in rows
    )
    return (
        f'<details><summary>{text(name)} <span class="quiet">({text(more)})</span></summary>'
        f'<div class="scroll" tabindex="0" role="region" aria-label="{text(name)}">'
        f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div></details>"
    )


def _cell(words: str, *, last: bool) -> str:
    """The class of a cell: the last one wraps, a short one never does, on paper neither."""
    return " class=words" if last else " class=short" if len(words) <= 24 else ""


def _lost_table(picture: Picture) -> str:
    if not picture.failures:
        return ""
    head = "".join(
        f'<th scope="col"{" class=n" if name in {"at", "after"} else ""}>{name}</th>'
        for name in ("request", "at", "on", "lost", "after", "pod", "moment of its life", "cause")
    )
    return (
        f'<details open><summary>Lost requests <span class="quiet">({picture.failed:,})</span></summary>'
        '<div class="controls"><button type="button" id="lost-before">Previous 50</button>'
        '<button type="button" id="lost-after">Next 50</button><span class="quiet" id="lost-where"></span></div>'
        '<div class="scroll" tabindex="0" role="region" aria-label="lost requests">'
        f'<table><thead><tr>{head}</tr></thead><tbody id="lost-rows"></tbody></table></div></details>'
    )


def _over_time(picture: Picture) -> str:
    step = -(-picture.bins // MOST_ROWS)
    rows = []
    for first in range(0, picture.bins, step):
        span = slice(first, first + step)
        answered = {lane: sum(values[span]) for lane, values in picture.answered.items()}
        lost = {lane: sum(values[span]) for lane, values in picture.lost.items()}
        p50 = [value for value in picture.p50[span] if value is not None]
        p99 = [value for value in picture.p99[span] if value is not None]
        rows.append(
            (
                _at(first * picture.bin),
                *(f"{each:,}" for each in answered.values()),
                counts({lane: each for lane, each in lost.items() if each}) or "0",
                human(sorted(p50)[len(p50) // 2]) if p50 else "",
                human(max(p99)) if p99 else "",
            )
        )
    lanes = [f"answered, {LANES.get(lane, lane)}" for lane in picture.answered]
    every = f"every {human(step * picture.bin)}"
    return _details("Requests and response times", every, ("from", *lanes, "lost", "p50", "p99 (the worst part)"), rows)


def _gates(gates: Iterable[Gate]) -> str:
    rows = "".join(
        f'<li class="{"held" if gate.held else "fell"}"><span class="unseen">{"held" if gate.held else "fell"}: </span>'
        f'{text(gate.name)}<span class="quiet">: {text(gate.detail)}</span>'
        + (f" → {text(gate.remedy)}" if gate.remedy and not gate.held else "")
        + "</li>"
        for gate in gates
    )
    return f'<ul class="gates">{rows}</ul>'
