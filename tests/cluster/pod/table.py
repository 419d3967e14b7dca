"""results.json → the table in docs/pod.md, between its two marks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import rows

RESULTS = Path(__file__).with_name("results.json")
PAGE = Path(__file__).parents[3] / "docs" / "pod.md"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


def kept() -> dict[str, dict[str, Any]]:
    return {one["row"]: one for one in json.loads(RESULTS.read_text())} if RESULTS.exists() else {}


def keep(found: dict[str, Any]) -> None:
    """A row measured again replaces itself."""
    results = {**kept(), found["row"]: found}
    order = [*rows.NAMES, *results]
    lines = [json.dumps(results[name]) for name in dict.fromkeys(order) if name in results]
    RESULTS.write_text("[\n" + ",\n".join(lines) + "\n]\n")


def lines() -> list[str]:
    results = kept()
    dates = sorted(one["date"] for one in results.values())
    least, most = (f(one["rollouts"] for one in results.values()) for f in (min, max))
    count = f"{least}" if least == most else f"{least} to {most}"
    text = [f"Measured {dates[0]} to {dates[-1]} UTC, {count} rollouts (or node drains) a row.", ""]
    text += ["| | failed / requests | deletion → stop signal, s | deletion → gone, s (mean) | a rollout, s |"]
    text += ["|---|---|---|---|---|"]
    for traffic, (title, _) in rows.TRAFFIC.items():
        mine = [name for name in dict.fromkeys([*rows.NAMES, *results]) if name.startswith(f"{traffic}/")]
        mine = [name for name in mine if name in results]
        if mine:
            text.append(f"| **{title}** | | | | |")
            text += [_line(results[name]) for name in mine]
    return text


def _line(one: dict[str, Any]) -> str:
    way = rows.WAYS[one["row"].partition("/")[2]][0]
    kinds = ", ".join(f"{n:,} {kind}" for kind, n in one["kinds"].items())
    failed = f"**{one['failed']:,}** / {one['requests']:,} ({kinds})" if one["failed"] else f"0 / {one['requests']:,}"
    waited = "/".join(f"{s:.2f}" for s in one["to_stop_s"]) if one["to_stop_s"] else ""
    reasons = one["reasons"]
    if reasons:
        waited += ", " + ", ".join(
            f"{n} × `{reason}`" if len(reasons) > 1 else f"`{reason}`" for reason, n in reasons.items()
        )
    return f"| {way} | {failed} | {waited} | {one['to_gone_s']} | {one['rollout_s']} |"


def write() -> None:
    """Puts the table into the page."""
    page = PAGE.read_text()
    before, _, rest = page.partition(BEGIN)
    _, found, after = rest.partition(END)
    if not found:
        raise SystemExit(f"{PAGE} lacks {BEGIN} or {END}")
    PAGE.write_text(f"{before}{BEGIN}\n" + "\n".join(lines()) + f"\n{END}{after}")
