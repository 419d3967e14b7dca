"""The rollout timeline for those who live in ssh: the picture of `report.picture` in Unicode, at any width.

Law: one column is one bin of the picture; colour only repeats what a letter or a shade says already, so that
``NO_COLOR`` loses nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from lameduck.core.instants import SECOND, human
from lameduck.core.timeline import Milestone
from lameduck.report.inert import line
from lameduck.report.picture import Lost, Picture, PodRow
from lameduck.report.words import LANES, SAID

LABEL = 24
"""Columns of a row's name; a narrow screen has less."""
SPARKS = "▁▂▃▄▅▆▇█"
LETTERS: Mapping[str, str] = {
    "refused": "R",
    "reset": "r",
    "closed": "C",
    "timeout": "T",
    "unreachable": "U",
    "protocol": "P",
    "bad_status": "S",
    "truncated": "t",
    "bad_body": "B",
    "goaway": "G",
}
"""The letter of each kind of failure."""
SHADES = {"starting": ("░", "cyan"), "ready": ("━", "green"), "leaving": ("▒", "yellow"), "stopping": ("▓", "magenta")}
"""How each phase of a pod's life is drawn."""
MOST_PODS = 60


def label_width(width: int) -> int:
    """How many columns the rows' names get on a screen of this width."""
    return min(LABEL, max(8, width // 4))


def bin_for(length: int, width: int) -> int:
    """How wide a bin must be (ns) for a run of this length to fit a screen of this width."""
    return -(-max(length, 1) // max(10, width - label_width(width) - 1))


def timeline(picture: Picture, width: int) -> RenderableType:
    """The whole picture; its bins must be as wide as `bin_for` says, at least."""
    label = label_width(width)
    rows: list[Text] = [Text("The rollout timeline", style="bold underline")]
    rows += [_row("", _axis(picture), label), *_bands(picture, label)]
    for lane, answered in picture.answered.items():
        rows.append(_row(f"{_short(lane, label)}/s", _sparks(answered, picture.bins), label))
        if any(picture.lost[lane]):
            lost = [each for each in picture.failures if each.lane == lane]
            rows.append(_row("  lost", _letters(lost, picture), label))
    slowest = max((each for each in picture.p99 if each), default=0)
    rows.append(_row(f"p99, up to {human(slowest)}", _sparks(picture.p99, picture.bins), label))
    rows += [_pod(row, number, picture, label) for number, row in enumerate(picture.pods[:MOST_PODS])]
    if len(picture.pods) > MOST_PODS:
        rows.append(Text(f"… and {len(picture.pods) - MOST_PODS} more pods", style="dim"))
    for row in rows:
        row.no_wrap, row.overflow = True, "crop"
    return Group(Text(), *rows, *_legend(picture))


def _short(lane: str, label: int) -> str:
    """A lane's name, without the word that is the same for all where that would not fit."""
    name = LANES.get(lane, lane)
    return name if len(name) + 2 <= label else (SAID.get(lane) or lane)


def _row(name: str, body: Text, label: int) -> Text:
    text = line(name)
    cut = text if len(text) <= label else "…" + text[-(label - 1) :]
    return Text.assemble((f"{cut:<{label}} ", "dim"), body)


def _axis(picture: Picture) -> Text:
    """Seconds from the start of the load, a tick about every 12 columns."""
    cells = [" "] * picture.bins
    span = picture.bins * picture.bin
    for step in (s * 10**e * SECOND for e in range(6) for s in (1, 2, 5)):
        if step >= 12 * picture.bin:
            break
    for at in range(0, span, step):
        words, place = f"│{at // SECOND} s", at // picture.bin
        if place + len(words) <= picture.bins:
            cells[place : place + len(words)] = words
    return Text("".join(cells), style="dim")


def _bands(picture: Picture, label: int) -> Iterable[Text]:
    if not picture.bands:
        return
    cells = [" "] * picture.bins
    for band in picture.bands:
        start, end = _place(band.start, picture), _place(picture.end if band.end is None else band.end, picture)
        cells[start : end + 1] = "═" * (end + 1 - start)
        name = line(band.name, 8) + ("" if band.completed else "✗")
        if end - start > len(name):
            cells[start + 1 : start + 1 + len(name)] = name
    yield _row("rollouts", Text("".join(cells), style="blue"), label)


def _place(at: int, picture: Picture) -> int:
    return min(max(at // picture.bin, 0), picture.bins - 1)


def _sparks(values: Sequence[int | None], count: int) -> Text:
    top = max((value for value in values if value), default=0)
    cells = (" " if not value else SPARKS[min(7, value * 8 // (top + 1))] for value in values)
    return Text("".join(cells).ljust(count))


def _letters(lost: Iterable[Lost], picture: Picture) -> Text:
    """The most frequent kind's letter in each column."""
    kinds: dict[int, Counter[str]] = {}
    for each in lost:
        kinds.setdefault(_place(each.start, picture), Counter())[each.kind] += 1
    cells = (LETTERS.get(kinds[n].most_common(1)[0][0], "?") if n in kinds else "·" for n in range(picture.bins))
    text = Text("".join(cells), style="dim")
    for place in kinds:
        text.stylize("bold red not dim", place, place + 1)
    return text


def _pod(row: PodRow, number: int, picture: Picture, label: int) -> Text:
    text = Text(" " * picture.bins)
    cells = [" "] * picture.bins
    styles: list[tuple[str, int, int]] = []
    for name, start, end in row.phases:
        if end <= 0 or start >= picture.end:
            continue
        first, last = _place(start, picture), _place(end, picture)
        shade, style = SHADES[name]
        cells[first : last + 1] = shade * (last + 1 - first)
        styles.append((style, first, last + 1))
    for moment in row.moments:
        if moment.milestone in {Milestone.EXITED, Milestone.KILLED} and 0 <= moment.at < picture.end:
            place = _place(moment.at, picture)
            cells[place] = "✗" if moment.milestone is Milestone.KILLED else "┤"
    for each in picture.failures:
        if number in each.pods:
            place = _place(each.end if each.stage != "connect" else each.start, picture)
            cells[place] = LETTERS.get(each.kind, "?") if len(each.pods) == 1 else "?"
            styles.append(("bold red", place, place + 1))
    text = Text("".join(cells))
    for style, first, end in styles:
        text.stylize(style, first, end)
    return _row(row.name, text, label)


def _legend(picture: Picture) -> Iterable[Text]:
    kinds = dict.fromkeys(each.kind for each in picture.failures)
    lost = "  ".join(f"{LETTERS.get(kind, '?')} {kind.replace('_', ' ')}" for kind in kinds)
    phases = "  ".join(f"{shade} {name}" for name, (shade, _) in SHADES.items())
    yield Text(f"pods: {phases}  ┤ exited  ✗ killed", style="dim")
    if lost:
        more = f"  ? one of several pods; one column is {human(picture.bin)}"
        yield Text(f"lost: {lost}{more}", style="dim")
    if picture.failed > len(picture.failures):
        yield Text(f"{len(picture.failures):,} of {picture.failed:,} failures are drawn, evenly sampled", style="dim")
