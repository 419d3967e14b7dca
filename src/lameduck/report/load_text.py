"""The final screen of `lameduck load`.

Law: the first line is the answer; then the numbers that carry it, each once. What the engine itself did wrong stands
above the numbers that it spoils.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from lameduck.core.exchange import Failure, Lane, Stage
from lameduck.core.histogram import Histogram
from lameduck.core.instants import MICROSECOND, MILLISECOND, SECOND, human, to_seconds
from lameduck.core.plan import TrafficPlan
from lameduck.core.statistics import upper_bound
from lameduck.report.load_summary import LoadSummary

MOST_FAILURES = 12
BARS = "▁▂▃▄▅▆▇█"


def screen(summary: LoadSummary, plan: TrafficPlan, target: str, asked: Sequence[int]) -> RenderableType:
    """Everything that is printed at the end."""
    parts: list[RenderableType] = [Text(), _headline(summary), Text(_what(plan, target), style="dim")]
    parts += [Text(f"the engine did not keep the plan: {each}", style="yellow") for each in summary.troubles]
    if summary.response_time:
        parts += [Text(), _response_times(summary)]
    if summary.failures:
        parts += [Text(), _failures(summary)]
    parts += [Text(), _facts(summary, asked)]
    return Group(*parts)


def _headline(summary: LoadSummary) -> Text:
    sent = summary.requests - summary.not_sent
    bound = percent(upper_bound(summary.failed, sent))
    if summary.failed:
        share = percent(summary.failed / sent)
        return Text.assemble(
            (f"{summary.failed:,} of {sent:,} requests failed", "bold red"), f"  {share}, at most {bound} (95 % sure)"
        )
    if not sent:
        return Text("no request was sent", style="bold yellow")
    return Text.assemble((f"none of {sent:,} requests failed", "bold green"), f"  at most {bound} do (95 % sure)")


def _what(plan: TrafficPlan, target: str) -> str:
    shares = sum(share for _, share in plan.lanes)
    lanes = ", ".join(f"{lane} {percent(share / shares)}" for lane, share in plan.lanes)
    rate = f"{plan.ramp_from:g} to {plan.rate:g}" if plan.arrivals == "ramp" else f"{plan.rate:g}"
    arrivals = "" if plan.arrivals == "constant" else f", {plan.arrivals} arrivals"
    shape = plan.requests[0]
    return f"{shape.method} {target} · {rate} requests/s for {human(plan.duration)}{arrivals} · {lanes}"


def _table(*columns: str) -> Table:
    table = Table(box=None, padding=(0, 3, 0, 0), header_style="dim", show_edge=False)
    for column in columns:
        table.add_column(column)
    return table


def _response_times(summary: LoadSummary) -> Table:
    table = _table("response time")
    for column in ("p50", "p90", "p99", "max", "answers"):
        table.add_column(column, justify="right")
    rows: list[tuple[str, Histogram]] = [(_lane(lane), each) for lane, each in sorted(summary.response_time.items())]
    if len(rows) > 1:
        rows.append(("both", summary.overall))
    for name, histogram in rows:
        times = [histogram.quantile(share) or 0 for share in (0.5, 0.9, 0.99, 1.0)]
        table.add_row(name, *map(precise, times), f"{histogram.total:,}")
    return table


def _lane(lane: Lane) -> str:
    return "new connections" if lane is Lane.NEW else "kept alive"


def _failures(summary: LoadSummary) -> Table:
    table = _table("failed", "", "")
    table.add_column("lane")
    for (lane, failure), count in summary.failures.most_common(MOST_FAILURES):
        table.add_row(f"[red]{count:,}[/red]", failure.kind.value.replace("_", " "), _where(failure), _lane(lane))
    left = len(summary.failures) - MOST_FAILURES
    if left > 0:
        table.add_row("…", f"and {left} other ways", "", "")
    return table


_STAGES = {
    Stage.RESOLVE: "resolving the name",
    Stage.CONNECT: "connecting",
    Stage.TLS: "in the TLS handshake",
    Stage.SEND: "sending the request",
    Stage.AWAIT: "before the first byte of the answer",
    Stage.READ: "within the answer",
}


def _where(failure: Failure) -> str:
    if failure.stage is Stage.VALIDATE:
        return failure.detail
    where = _STAGES[failure.stage]
    return f"{where}: {failure.detail}" if failure.detail else where


def _facts(summary: LoadSummary, asked: Sequence[int]) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="dim")
    table.add_column()
    sent, seconds = summary.requests - summary.not_sent, to_seconds(summary.duration)
    if seconds:
        table.add_row("rate", f"{sent / seconds:,.1f}/s sent, {sum(asked) / seconds:,.1f}/s asked")
    delay = summary.start_delay
    own = (
        f"p99 {precise(delay.quantile(0.99) or 0)}, max {precise(delay.maximum)}" if delay.total else "nothing was sent"
    )
    longest = max((stall.length for stall in summary.stalls), default=0)
    stalls = (
        f" · {len(summary.stalls)} own stall{'s' * (len(summary.stalls) != 1)}, longest {human(longest)}"
        if longest
        else ""
    )
    table.add_row("start delay", own + stalls)
    if summary.not_sent or summary.excused:
        table.add_row("not counted", f"{summary.not_sent:,} not sent, {summary.excused:,} timed out within own stalls")
    if summary.statuses:
        statuses = (f"{status} × {count:,}" for status, count in sorted(summary.statuses.items()))
        table.add_row("status", ", ".join(statuses))
    if len(summary.served_by) > 1:
        table.add_row("served by", ", ".join(f"{name} × {n:,}" for name, n in summary.served_by.most_common(8)))
    closed = f", {summary.closed_idle:,} found closed while idle" if summary.closed_idle else ""
    table.add_row("connections", f"{summary.connections:,} opened{closed}")
    table.add_row("received", f"{size(summary.bytes_received)}, sent {size(summary.bytes_sent)}")
    if len(asked) >= 3 and summary.failed:
        table.add_row("failed in time", bars([summary.failed_in[second] for second in range(len(asked))]))
    return table


def percent(share: float) -> str:
    """A share of requests with two telling digits: ``12 %``, ``0.06 %``, ``0.0012 %``."""
    value = share * 100
    if value >= 10 or value == 0:
        return f"{value:.0f} %"
    digits = 1
    while value < 10**-digits * 10 and digits < 6:
        digits += 1
    return f"{value:.{digits}f} %"


def precise(nanoseconds: int) -> str:
    """A response time with three telling digits: ``82 µs``, ``1.24 ms``, ``35.1 ms``, ``1.02 s``."""
    for unit, length in (("µs", MICROSECOND), ("ms", MILLISECOND), ("s", SECOND)):
        if nanoseconds < 1000 * length or unit == "s":
            value = nanoseconds / length
            return f"{value:.{0 if value >= 100 or unit == 'µs' else 1 if value >= 10 else 2}f} {unit}"
    raise AssertionError


def size(count: int) -> str:
    """Bytes for people: ``812 B``, ``1.2 MB``."""
    for unit, length in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= length:
            return f"{count / length:.1f} {unit}"
    return f"{count} B"


def bars(counts: Sequence[int], width: int = 60) -> str:
    """Counts over time as a line of bars, a blank where there was none."""
    if len(counts) > width:
        step = -(-len(counts) // width)
        counts = [sum(counts[start : start + step]) for start in range(0, len(counts), step)]
    most = max(counts, default=0)
    return "".join(BARS[-(-count * len(BARS) // most) - 1] if count else " " for count in counts) if most else ""
