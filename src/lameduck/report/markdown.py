"""A summary in GitHub-flavoured Markdown: it fits a pull-request comment and a job's summary.

Law: at most 60,000 characters (a comment may have 65,536); text from outside is escaped, so that it is neither markup
nor a mention.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from lameduck.core.finding import Finding
from lameduck.core.proof import Proof, Verdict
from lameduck.report.inert import inert, line
from lameduck.report.words import SIGNS, heading, numbers, snippets

MOST = 60_000
MOST_FINDINGS = 20
_MARKUP = re.compile(r"([\\`*_{}\[\]<>#|~$&])")


def escape(text: str, most: int = 500) -> str:
    """Text from outside, on one line, as text; an ``@`` is kept from becoming a mention."""
    return _MARKUP.sub(r"\\\1", line(text, most)).replace("@", "@\u2060").replace("http", "http\u2060")


def fence(text: str, language: str = "") -> str:
    """A code block whose fence is longer than any in the text."""
    longest = max(map(len, re.findall(r"`+", text)), default=0)
    mark = "`" * max(3, longest + 1)
    return f"{mark}{language}\n{inert(text, 4_000)}\n{mark}"


def markdown(proof: Proof, title: str = "lameduck") -> str:
    """The whole summary."""
    parts = [
        f"## {SIGNS[proof.verdict]} {escape(title)}: {proof.verdict.value}",
        f"**{escape(proof.sentence)}**",
        _numbers(proof),
    ]
    for finding in proof.findings[:MOST_FINDINGS]:
        if sum(map(len, parts)) > MOST - 8_000:
            break
        parts.append(_finding(finding))
    shown = len(parts) - 3
    if shown < len(proof.findings):
        parts.append(f"… and {len(proof.findings) - shown} more findings")
    fallen = [gate for gate in proof.gates if not gate.held]
    if fallen or proof.verdict is not Verdict.FAILED:
        parts.append("### How far this can be trusted\n\n" + "\n".join(_gates(proof)))
    parts += [f"> {escape(note)}" for note in proof.notes[:10]]
    if proof.run.get("command"):
        parts.append("Reproduce it:\n\n" + fence(line(proof.run["command"]), "sh"))
    return "\n\n".join(parts)[:MOST] + "\n"


def _numbers(proof: Proof) -> str:
    rows = [f"| {name} | {escape(number)} | {escape(words)} |" for name, number, words in numbers(proof)]
    return "\n".join(["| | | |", "|---|---:|---|", *rows])


def _finding(finding: Finding) -> str:
    lines = [f"### {finding.count:,} × {escape(heading(finding))}", escape(finding.message)]
    lines.append("\n".join(f"- {escape(told)}" for told in finding.evidence[:5]))
    if finding.fix is not None:
        blocks = "\n\n".join(fence(text, language) for language, text in snippets(finding)[:6])
        title = f"<b>fix</b>: {_html(finding.fix.title)} ({finding.fix.safety.value}; not proven here)"
        lines.append(f"<details><summary>{title}</summary>\n\n{blocks}\n\n</details>")
    return "\n\n".join(each for each in lines if each)


def _html(text: str) -> str:
    return line(text, 300).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _gates(proof: Proof) -> Iterable[str]:
    for gate in proof.gates:
        remedy = f" → {escape(gate.remedy)}" if gate.remedy and not gate.held else ""
        yield f"- {'✓' if gate.held else '✗'} {escape(gate.name)}: {escape(gate.detail)}{remedy}"
