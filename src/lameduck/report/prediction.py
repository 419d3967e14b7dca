"""A prediction on the terminal: what was assumed, how long each way goes on sending, and the preStop it asks for.

Law: it says on its first line that it is no proof.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from lameduck.core.instants import MILLISECOND, human

Data = Mapping[str, Any]
LEGEND = """\
at worst: how long a way goes on sending after the endpoint has left (lag), a pod's exposed window, and how long a pod
that has stopped is sent connections (to nobody); lost: new connections of a rollout, on average"""


def screen(data: Data) -> RenderableType:
    """The whole screen of a prediction in its JSON form."""
    badge = Text.assemble((" PREDICTION ", "bold white on blue"), ("  not a proof: nothing was run", "bold"))
    parts: list[RenderableType] = [
        Text(),
        badge,
        Text(),
        _facts(data),
        Text(),
        _ways(data["ways"], data["rate"]),
        Text(),
    ]
    parts.append(Text(LEGEND.replace("\n", " "), style="dim"))
    parts += [
        Text(f"{way['via']}: preStop {way['suggested_pre_stop_seconds']} s: {way['arithmetic']}", style="dim")
        for way in data["ways"]
    ]
    parts.append(Text("to prove it with your server: lameduck prove --local -- CMD", style="dim"))
    return Group(*parts)


def _facts(data: Data) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", justify="right")
    table.add_column()
    assumed = data["assumed"]
    heeds = f"ends {_ms(assumed['stops_ms'])} after the stop signal, nothing in hand cut"
    if not assumed["heeds_the_stop_signal"]:
        heeds = "never hears the stop signal"
    table.add_row("assumed", Text(f"the app listens {_ms(assumed['starts_ms'])} after its start, and {heeds}"))
    done = f"{data['completed']} of {data['rollouts']}" if data["completed"] < data["rollouts"] else data["rollouts"]
    rollouts = f"{done} simulated, at as many phases, {_span(data['rollout_ms'])} each"
    table.add_row("rollouts", Text(f"{rollouts}; {data['terminations']} terminations"))
    signal = data["stop_signal_after_deletion_ms"]
    when = "never" if signal is None else f"{_span(signal)} after the deletion (earliest – latest)"
    table.add_row("stop signal", Text(when))
    if data["killed"]:
        table.add_row("killed", Text(f"{data['killed']} at the end of the grace period (137)", style="yellow"))
    return table


def _ways(ways: Sequence[Data], rate: float) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    names = ("way", "lag", "exposed", "to nobody", f"lost at {rate:g}/s", "preStop ≥", "suggested")
    for name in names:
        table.add_column(name, justify="left" if name == "way" else "right", no_wrap=True)
    for way in ways:
        lost, least = way["lost_new_connections_per_rollout"], way["minimal_pre_stop_seconds"]
        table.add_row(
            Text(way["via"]),
            _ms(way["lag_ms"]["max"]),
            _ms(way["exposed_window_ms"]["max"]),
            _ms(way["unheard_ms"]["max"]),
            Text(f"{lost['mean']:,.0f}", style="red" if lost["max"] else "green"),
            "none helps" if least is None else f"{least} s",
            f"{way['suggested_pre_stop_seconds']} s",
        )
    return table


def _ms(milliseconds: float) -> str:
    return human(round(milliseconds * MILLISECOND)) if milliseconds else "0 s"


def _span(ends: Data) -> str:
    low, high = _ms(ends["min"]), _ms(ends["max"])
    return low if low == high else f"{low} – {high}"
