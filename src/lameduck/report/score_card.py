"""The report card on a terminal: the grade, what was seen and why it matters, the smallest safe set.

Law: it shows what the card says and judges nothing; what the command says is shown as text, never as
markup.
"""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from lameduck.defects.scorewords import Line, Mark
from lameduck.defects.scoring import Card

MARKS = {Mark.GOOD: ("✓", "green"), Mark.WARN: ("!", "yellow"), Mark.BAD: ("✗", "bold red"), Mark.UNKNOWN: ("?", "dim")}
GRADES = {"A": "green", "B": "green", "C": "yellow", "D": "yellow", "F": "red", "?": "yellow"}


def screen(card: Card) -> RenderableType:
    """The whole card."""
    seen = card.observed
    badge = Text(f" {card.grade} ", style=f"bold white on {GRADES[card.grade]}")
    head = badge + Text("  ") + Text(card.because, style="bold")
    what = Text(f"{seen.signal} to: {' '.join(seen.command)}", style="dim")
    parts: list[RenderableType] = [Text(), head, what, Text(), *(_line(line) for line in card.lines), Text()]
    if seen.lost is not None:
        lost = seen.lost
        parts.append(
            Text.assemble(
                "In the first second after the signal ",
                (f"{lost.new_failed} of {lost.new_sent}", "bold"),
                " requests on new connections were lost",
                *((", ", (f"{lost.pooled_failed} of {lost.pooled_sent}", "bold")) if seen.keep_alive else ()),
                " on kept-alive ones." if seen.keep_alive else ".",
            )
        )
    parts += [Text(), Text("The smallest safe set", style="bold underline")]
    parts += [Text.assemble(("· ", "dim"), item) for item in card.safe_set or ("nothing more is needed",)]
    if any(not line.settled for line in card.lines):
        parts += [Text(), Text("~ a race: it went one way and the other", style="dim")]
    return Group(*parts)


def _line(line: Line) -> RenderableType:
    sign, style = MARKS[line.mark]
    table = Table.grid(padding=(0, 1))
    table.add_column(width=1)
    table.add_column(width=32)
    table.add_column(ratio=1)
    seen = Text(line.seen)
    if not line.settled:
        seen.append(" ~", style="yellow")
    if line.code:
        seen.append(f"  {line.code}", style="dim")
    table.add_row(Text(sign, style=style), Text(line.question), seen)
    if not line.why:
        return table
    more = Text.assemble((line.why, "dim"), *([("\n→ ", "cyan"), (line.todo, "cyan")] if line.todo else []))
    return Group(table, Padding(more, (0, 0, 0, 35)))
