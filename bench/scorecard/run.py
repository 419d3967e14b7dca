"""The scorecard: `lameduck score` over every server that installs here, and the page that tells it.

.venv/bin/python bench/scorecard/run.py               all of them (about 40 minutes), then the page
.venv/bin/python bench/scorecard/run.py list          their names
.venv/bin/python bench/scorecard/run.py ask uvicorn   only these; the cards are kept
.venv/bin/python bench/scorecard/run.py oldest 300    those with the oldest cards, for so many seconds
.venv/bin/python bench/scorecard/run.py page          docs/scorecard.md from the cards
"""

from __future__ import annotations

import datetime
import json
import os
import re
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import earlier
from subjects import servers, subjects, versions

CARDS = Path(__file__).parent / "cards"
PAGE = servers.ROOT / "docs/scorecard.md"
HEAD, FOOT = Path(__file__).with_name("head.md"), Path(__file__).with_name("foot.md")
BOTH = {
    "in_flight": "in flight",
    "six_slow": "six slow",
    "new": "new",
    "new_busy": "new, draining",
    "idle": "on idle",
    "idle_busy": "on idle, draining",
    "half": "half",
    "queue": "queue",
}
STREAMS = {"late": "before GOAWAY is read", "late_busy": "the same, draining"}


class Backend(BaseHTTPRequestHandler):
    """What stands behind a proxy: /fast at once, /slow after a second."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer."""
        time.sleep(self.path.startswith("/slow"))
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_: object) -> None:
        """Nothing."""


class Quiet(ThreadingHTTPServer):
    """Proxies that are stopped cut their connections."""

    def handle_error(self, *_: object) -> None:
        """Nothing."""


def ask(names: list[str], seconds: float = float("inf")) -> int:
    """Ask these, or the ones with the oldest cards first, and keep their cards, and begin none after so many seconds;
    how many could not be asked."""
    began = time.monotonic()
    CARDS.mkdir(exist_ok=True)
    backend = Quiet(("127.0.0.1", 0), Backend)
    threading.Thread(target=backend.serve_forever, daemon=True).start()
    known = subjects(backend.server_port)
    failed = 0
    for name in names or sorted(known, key=lambda name: _date(_place(name))):
        if time.monotonic() - began > seconds:
            break
        subject, out = known[name], _place(name)
        raw = out.with_suffix(".raw")
        subject.make()
        command = [servers.ROOT / ".venv/bin/lameduck", "score", "--path", "/fast", "--slow", "/slow", "--budget", "30"]
        run = subprocess.run(
            [*command, *subject.options, "--json", raw, "--", *subject.command],
            cwd=servers.APPS,
            env={**os.environ, **subject.env},
            check=False,
            capture_output=True,
            text=True,
            timeout=400,
        )
        if run.returncode not in (0, 1, 3) or not raw.exists():
            failed += 1
            print(f"{name}: exit {run.returncode}: {run.stderr.strip()[-400:]}", flush=True)
            continue
        card = json.loads(raw.read_text())
        raw.unlink()
        card = {"name": name, "date": f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M}", **card}
        card["command"] = []  # it names this machine's folders
        out.write_text(json.dumps(card, indent=1, ensure_ascii=False) + "\n")
        print(f"{name}: {card['grade']} ({card['seconds']} s)", flush=True)
    return failed


def _place(name: str) -> Path:
    return CARDS / (re.sub(r"[^\w.+]+", "-", name) + ".json")


def _date(card: Path) -> str:
    return json.loads(card.read_text())["date"] if card.exists() else ""


def page() -> None:
    """Write the dated page."""
    cards = {card["name"]: card for card in (json.loads(path.read_text()) for path in CARDS.glob("*.json"))}
    dates = sorted({card["date"][:10] for card in cards.values()})
    asked = [cards[name] for name in subjects() if name in cards]
    head = HEAD.read_text().replace("VERSIONS", versions())
    lines = [f"# The scorecard, {' and '.join(dates)}\n", head, "## HTTP/1.1\n"]
    lines += table([card for card in asked if card.get("protocol", "HTTP/1.1") == "HTTP/1.1"], BOTH)
    lines += ["", "## HTTP/2 in cleartext, and gRPC\n"]
    lines += table([card for card in asked if card.get("protocol", "HTTP/1.1") != "HTTP/1.1"], BOTH | STREAMS)
    PAGE.write_text("\n".join(lines) + "\n" + FOOT.read_text() + "\n".join(earlier.lines()) + "\n")


def table(cards: list[dict], columns: dict[str, str]) -> list[str]:
    """Its lines; GOAWAY and health where the columns are those of streams."""
    told = ["GOAWAY, idle", "health"] if STREAMS.keys() <= columns.keys() else []
    titles = ["server", "grade", *columns.values(), *told, "what it needs"]
    lines = ["| " + " | ".join(titles) + " |", "|" + " --- |" * len(titles)]
    for card in cards:
        cells = ["/".join(dict.fromkeys(card["letters"].get(column, []))) or "–" for column in columns]
        row = [card["name"], f"**{card['grade']}**", *(f"`{cell}`" for cell in cells)]
        if told:
            ids = dict.fromkeys(x["last_stream"] for x in card["goaways_idle"])
            row.append(", then ".join("2³¹ − 1" if last == 2**31 - 1 else str(last) for last in ids) or "never")
            said = [x["status"] for x in card["health"] or [] if x["status"] == "NOT_SERVING"]
            row.append("–" if card["health"] is None else (said or ["never NOT_SERVING"])[0])
        row.append(re.split("[:;(]", (card["safe_set"] or ["nothing"])[0])[0].strip())
        lines.append("| " + " | ".join(row) + " |")
    return lines


if __name__ == "__main__":
    match sys.argv[1:]:
        case []:
            code = ask([])
            page()
            raise SystemExit(code > 0)
        case ["list"]:
            print("\n".join(subjects()))
        case ["page"]:
            page()
        case ["oldest", seconds]:
            raise SystemExit(ask([], float(seconds)) > 0)
        case ["ask", *names]:
            raise SystemExit(ask(names) > 0)
        case _:
            raise SystemExit(__doc__)
