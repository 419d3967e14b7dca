"""The final screen of a proof: the sentence, the few numbers that carry it, what to change, how far to trust it.

Law: it shows what the proof says and adds no judgement; text that came from outside (pod names, evidence) is shown as
text, never as markup.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from lameduck.core.finding import Confidence, Finding, Fix, Patch, Severity
from lameduck.core.histogram import Histogram
from lameduck.core.instants import human
from lameduck.core.proof import Gate, Proof, Verdict
from lameduck.core.statistics import CONFIDENCE
from lameduck.report.inert import inert
from lameduck.report.words import counts, lag_by_node, most_first, percent

COLOURS = {Verdict.PROVEN: "green", Verdict.FAILED: "red", Verdict.INCONCLUSIVE: "yellow"}
SEVERITIES = {Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.INFO: "cyan"}


def screen(proof: Proof) -> RenderableType:
    """The whole final screen."""
    parts: list[RenderableType] = [Text(), headline(proof), Text(), _numbers(proof)]
    if proof.findings:
        failed = proof.verdict is Verdict.FAILED
        parts += [Text(), _heading("What was lost, and why" if failed else "Worth knowing")]
        parts += finding_blocks(proof.findings)
    fallen = [gate for gate in proof.gates if not gate.held]
    if fallen or proof.verdict is not Verdict.FAILED:
        parts += [Text(), _heading("How far this can be trusted"), _gates(proof.gates)]
    parts += [Text(inert(note), style="dim") for note in proof.notes]
    if proof.run.get("folder"):
        again = "its timeline in a browser: lameduck report last --format html --open"
        parts += [Text(), Text(inert(f"run kept in {proof.run['folder']}; {again}"), style="dim")]
    return Group(*parts)


def brief(proof: Proof) -> RenderableType:
    """The verdict, what was lost and why, and the fix: a screen that leaves room for others."""
    parts: list[RenderableType] = [headline(proof), Text(), _numbers(proof)]
    if proof.findings:
        parts += [Text(), *finding_blocks(proof.findings)]
    fallen = [gate for gate in proof.gates if not gate.held]
    return Group(*parts, *([_gates(fallen)] if fallen else []))


def headline(proof: Proof) -> Text:
    """The verdict and its sentence."""
    badge = Text(f" {proof.verdict.value} ", style=f"bold white on {COLOURS[proof.verdict]}")
    return badge + Text("  ") + Text(inert(proof.sentence), style="bold")


def _heading(words: str) -> Text:
    return Text(words, style="bold underline")


def _numbers(proof: Proof) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", justify="right")
    table.add_column(justify="right", style="bold")
    table.add_column()
    for name, number, words in _rows(proof):
        table.add_row(name, number, Text(words))
    return table


def _rows(proof: Proof) -> Iterable[tuple[str, str, str]]:
    yield "requests", f"{proof.requests:,}", counts(proof.requests_by_lane)
    yield "at risk", f"{proof.exposed_requests:,}", f"in the exposed windows of {proof.terminations} terminations"
    yield "lost", f"{proof.failed:,}", _lost(proof)
    if proof.sockets:
        yield "WebSockets", f"{proof.sockets.held:,}", proof.sockets.words()
    bounds = f"of requests at risk; {proof.upper_bound_terminations:.0%} of terminations"
    yield f"{CONFIDENCE:.0%} bound", f"≤ {percent(proof.upper_bound)}", bounds
    before, during = proof.response_time.get("baseline"), proof.response_time.get("exposed")
    if before and before.total:
        yield "response", "", f"{_times(before)} before, {_times(during)} during rollouts"
    if proof.lag.maximum is not None:
        least = "≥ " if proof.lag.censored else ""
        middle = human(proof.lag.quantile(0.5) or 0)
        yield (
            "lag",
            f"{least}{human(proof.lag.maximum)}",
            f"at most, {middle} in the middle, of {len(proof.lag.by_pod)}",
        )
    yield from (("", longest, words) for longest, words in lag_by_node(proof))
    if proof.arithmetic:
        yield "suggested", "", proof.arithmetic
    if proof.masked:
        yield "masked", f"{proof.masked:,}", "sent twice by a hop in front: lost by whoever retries not, such as a POST"
    if proof.closed_idle:
        yield "closed idle", f"{proof.closed_idle:,}", "kept-alive connections found closed before reuse: not failures"


def _lost(proof: Proof) -> str:
    if not proof.failed:
        return ""
    return f"{counts(most_first(proof.failures_by_kind))}, on connections: {counts(proof.failures_by_lane)}"


def _times(histogram: Histogram | None) -> str:
    if histogram is None or not histogram.total:
        return "none"
    return f"p50 {human(histogram.quantile(0.5) or 0)}, p99 {human(histogram.quantile(0.99) or 0)}"


def finding_blocks(findings: Sequence[Finding]) -> list[RenderableType]:
    """Every finding; patches that an earlier one has shown are referred to, not repeated."""
    shown: dict[tuple[Patch, ...], int] = {}
    blocks: list[RenderableType] = []
    for number, finding in enumerate(findings, 1):
        patches = finding.fix.patches if finding.fix else ()
        blocks.append(finding_block(number, finding, same_as=shown.get(patches, 0)))
        if patches:
            shown.setdefault(patches, number)
    return blocks


def finding_block(number: int, finding: Finding, same_as: int = 0) -> RenderableType:
    """One finding: code, message, evidence, fix. ``same_as`` is the number of a finding with the same patches."""
    colour = SEVERITIES[finding.severity or finding.defect.severity]
    head = Text.assemble(
        (f"{number}. ", "dim"), (finding.defect.code, f"bold {colour}"), " ", (finding.defect.slug, "bold")
    )
    if finding.symptom and finding.symptom != finding.defect.code:
        head.append(f"  seen as {finding.symptom}", style="dim")
    if finding.confidence is not Confidence.CERTAIN:
        head.append(f"  {finding.confidence.value}", style="dim")
    body: list[RenderableType] = [Text(inert(finding.message))]
    body += [Text.assemble(("· ", "dim"), (inert(told), "dim")) for told in finding.evidence]
    if finding.fix is not None:
        body += fix_lines(finding.fix, same_as)
    return Group(head, Padding(Group(*body), (0, 0, 1, 3)))


def fix_lines(fix: Fix, same_as: int = 0) -> Sequence[RenderableType]:
    """A fix: its title and safety, and its patches as they would be written."""
    how = f"as for {same_as}" if same_as else f"{fix.safety.value}; not proven here"
    lines: list[RenderableType] = [Text.assemble(("fix", "bold green"), f"  {inert(fix.title)} ", (f"({how})", "dim"))]
    for patch in fix.patches if not same_as else ():
        if patch.snippet:
            language, place = _language(patch.snippet)
            lines.append(Text(f"     {place}:", style="dim"))
            code = Syntax(
                inert(patch.snippet.rstrip("\n"), 20_000), language, theme="ansi_dark", background_color="default"
            )
            lines.append(Padding(code, (0, 0, 0, 5)))
    return lines


def _language(snippet: str) -> tuple[str, str]:
    """What a patch is written in, and where it belongs."""
    if snippet.startswith("--- "):
        piped = snippet.startswith("--- a/-\n")
        return "diff", "as a diff of what was piped in" if piped else "as a diff of the file"
    return ("bash", "in the start script") if snippet.startswith("#!") else ("yaml", "in the workload's manifest")


def _gates(gates: Sequence[Gate]) -> RenderableType:
    table = Table.grid(padding=(0, 1))
    for gate in gates:
        mark = Text("✓", style="green") if gate.held else Text("✗", style="bold yellow")
        words = Text.assemble(gate.name, (inert(f": {gate.detail}"), "dim"))
        if not gate.held and gate.remedy:
            words.append(f" → {inert(gate.remedy)}", style="yellow")
        table.add_row(mark, words)
    return Padding(table, (0, 0, 0, 1))


def comparison(rows: Sequence[tuple[str, Proof]]) -> Table:
    """Several proofs in one table: the demo's acts, a fix's before and after."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("", "verdict", "requests", "lost", "of these", "cause", "rollout"):
        right = name in {"requests", "lost", "rollout"}
        table.add_column(name, justify="right" if right else "left", no_wrap=name not in {"", "of these", "cause"})
    for title, proof in rows:
        codes = ", ".join(dict.fromkeys(f.defect.code for f in proof.findings if f.symptom != "LD911")) or "–"
        kinds = counts(most_first(proof.failures_by_kind)) or "–"
        verdict = Text(proof.verdict.value, style=f"bold {COLOURS[proof.verdict]}")
        longest = human(max(proof.rollout_times)) if proof.rollout_times else "–"
        table.add_row(inert(title), verdict, f"{proof.requests:,}", f"{proof.failed:,}", kinds, codes, longest)
    return table
