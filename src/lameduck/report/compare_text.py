"""A comparison on the terminal, as Markdown and as a page."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from lameduck.report.compare import Comparison, Grade
from lameduck.report.html import asset, text
from lameduck.report.inert import line
from lameduck.report.markdown import escape

STYLES = {Grade.BETTER: "green", Grade.WORSE: "bold red", Grade.SAME: "dim", Grade.UNGRADED: ""}


def terminal(told: Comparison, first: str, second: str) -> RenderableType:
    """The sentence, the table, what speaks for its grades, the findings that came and went."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("", "A", "B", ""):
        table.add_column(Text(name), overflow="fold")
    for row in told.rows:
        grade = Text(row.grade.value, style=STYLES[row.grade])
        table.add_row(Text(row.name, style="dim"), Text(row.first), Text(row.second), grade)
    names = [Text.assemble((f"{each:>6}  ", "dim"), line(name)) for each, name in (("A", first), ("B", second))]
    notes = [
        Text(f"{row.name}: {row.note}", style="dim")
        for row in told.rows
        if row.note and row.grade in {Grade.BETTER, Grade.WORSE, Grade.UNGRADED}
    ]
    findings = [Text.assemble((f"{word:>6}  ", "dim"), line(name)) for word, name in _findings(told)]
    sentence = Text(told.sentence, style="bold red" if told.worse else "bold")
    return Group(Text(), sentence, Text(), *names, Text(), table, Text(), *notes, *findings)


def _findings(told: Comparison) -> Iterable[tuple[str, str]]:
    for word, names in (("fixed", told.fixed), ("new", told.new), ("still", told.still)):
        for name in names:
            yield word, name


def markdown(told: Comparison, first: str, second: str) -> str:
    """For a pull request."""
    rows = [
        f"| {escape(r.name)} | {escape(r.first)} | {escape(r.second)} | {escape(r.grade.value)} {escape(r.note)} |"
        for r in told.rows
    ]
    head = [f"| | A: {escape(first, 80)} | B: {escape(second, 80)} | |", "|---|---|---|---|"]
    findings = [f"- {word}: {escape(name)}" for word, name in _findings(told)]
    return "\n".join([f"## {escape(told.sentence)}", "", *head, *rows, "", *findings, ""])


def page(told: Comparison, first: str, second: str) -> str:
    """A page without any script."""
    rows = "".join(
        f"<tr><th scope='row'>{text(r.name)}</th><td>{text(r.first)}</td><td>{text(r.second)}</td>"
        f"<td class='{_class(r.grade)}'>{text(r.grade.value)}</td><td class='words quiet'>{text(r.note)}</td></tr>"
        for r in told.rows
    )
    findings = "".join(f"<li><b>{word}</b> {text(name)}</li>" for word, name in _findings(told))
    tone = "FAILED" if told.worse else "PROVEN"
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>{text(told.sentence)}</title>
<style>{_both_themes(asset("report.css"))}
.bad {{ color: var(--bad); font-weight: 600; }} .good {{ color: var(--good); font-weight: 600; }}
th, td {{ white-space: normal; }} td.words {{ min-width: 120px; }} .scroll {{ max-height: none; }}
</style>
</head>
<body><main>
<section class="verdict {tone}" aria-label="Result"><h1>{text(told.sentence)}</h1></section>
<section aria-label="Side by side"><div class="scroll" tabindex="0" role="region" aria-label="rows"><table>
<thead><tr><th scope="col">respect</th><th scope="col">A: {text(first, 80)}</th>
<th scope="col">B: {text(second, 80)}</th><th scope="col">B is</th><th scope="col">note</th></tr></thead>
<tbody>{rows}</tbody></table></div></section>
<section aria-label="Findings"><h2>Findings</h2><ul>{findings or "<li>none in either</li>"}</ul></section>
</main></body>
</html>
"""


def _class(grade: Grade) -> str:
    return {Grade.WORSE: "bad", Grade.BETTER: "good"}.get(grade, "quiet")


def _both_themes(css: str) -> str:
    """Without a script, the reader's own preference chooses the theme."""
    dark = css[css.index(':root[data-theme="dark"]') :]
    block = dark[dark.index("{") : dark.index("}") + 1]
    return f"{css}\n@media screen and (prefers-color-scheme: dark) {{ :root {block} }}"
