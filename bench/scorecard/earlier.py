"""What another probe had seen of the same servers in the same versions, and where today's cards differ.

Two measurements of one request agree when they have an outcome in common in any of their runs: answered, 5xx, refused,
broken, told before. Where they have none in the first 50 ms, the end of the listener or the connection raced with
the request; any other difference must have its explanation here.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

HERE = Path(__file__).parent
CARDS = HERE / "cards"
EARLIER: dict[str, dict] = json.loads((HERE / "earlier.json").read_text())
TIMED = {"new": "new", "new_busy": "new, draining", "idle": "on idle", "idle_busy": "on idle, draining"}
COUNTED = {"in_flight": "in flight", "six_slow": "six slow", "half": "half head", "queue": "queue"}
ENDS = {"the end": "exit", "as PID 1": "pid_1"}
OUTCOMES = {"+": "answered", "C": "answered", "5": "5xx", "x": "refused", "f": "told before", "-": "no keep-alive"}
MOMENTS = (0, 5, 50, 200, 800)
BY_THEN = "it closes idle connections 25 to 50 ms after the signal, and the rest of the head comes at 50 ms"
POLLS = "uvicorn's supervisor looks for its stop every 0.5 s: the end falls anywhere in that time"
WORKERS = "4 workers here, one then: three more requests find a free one"
EXPLAINED = {
    ("mlserver", "half head"): BY_THEN,
    ("uvicorn, 2 workers", "new"): POLLS,
    ("uvicorn, 2 workers", "new, draining"): POLLS,
    ("uvicorn, 2 workers", "on idle"): POLLS,
    ("uvicorn, 2 workers", "on idle, draining"): POLLS,
    ("gunicorn sync", "new"): WORKERS,
    ("gunicorn sync", "new, draining"): WORKERS,
    ("gunicorn sync", "six slow"): WORKERS,
    ("gunicorn sync", "half head"): WORKERS,
    (
        "go, shutdown",
        "queue",
    ): "Shutdown closes the listener as the stopped process wakes: the accept loop wins or loses",
}


def outcome(letter: str) -> str:
    """Letters of the same meaning for a client are one."""
    return OUTCOMES.get(letter, "broken")


def seen(runs: list[str], at: int) -> list[str]:
    """What happened to the request at this place, in any run."""
    return sorted({outcome(run[at]) for run in runs if at < len(run)})


def exit_code(said: str) -> str:
    """The exit code or signal that a card's line tells of; "ignored" where the signal does nothing."""
    if said.startswith("the signal does nothing"):
        return "ignored"
    found = re.match(r"exit (?:by signal )?(\w+)", said)
    return found[1] if found else said


def busy_end(card: dict) -> str:
    """How long its end takes with a request in flight, as the card says it."""
    end = next(line["seen"] for line in card["lines"] if line["question"] == "the end")
    return re.search(r"; ([^;]*) with 0\.7 s of work", end)[1]  # type: ignore[index]


def late(end: str) -> bool:
    """Whether it takes more than 5 s, which is a grade; "0.72 s", "720 ms", ">12 s", "more than 6.01 s"."""
    number, unit = re.search(r"([\d.]+) (\S+)", end).groups()  # type: ignore[union-attr]
    return float(number) * {"s": 1, "ms": 1e-3, "µs": 1e-6}[unit] > 5


def differences() -> tuple[int, int, list[tuple[str, str, str, str]]]:
    """Requests compared; races of the first 50 ms; the rest as server, question, then, now."""
    compared, races, rest = 0, 0, []
    cards = {card["name"]: card for card in (json.loads(path.read_text()) for path in CARDS.glob("*.json"))}
    for name, then in EARLIER.items():
        if (card := cards.get(name)) is None:
            continue
        for column, title in (TIMED | COUNTED).items():
            now = card["letters"].get(column, [])
            if not now or column not in then:
                continue
            apart = []
            for at in range(len(then[column][0])):
                compared += 1
                if not set(seen(then[column], at)) & set(seen(now, at)):
                    apart.append(at)
            early = [at for at in apart if column in TIMED and MOMENTS[at] <= 50]
            races += len(early)
            if len(apart) > len(early):
                rest.append((name, title, "/".join(then[column]), "/".join(dict.fromkeys(now))))
        for question, column in ENDS.items():
            seen_now = next(line["seen"] for line in card["lines"] if line["question"] == question)
            compared += 1
            if (code := exit_code(seen_now)) != then[column].removeprefix("sig"):
                rest.append((name, column.replace("_", " "), then[column], code))
        compared += 1
        if late(then["end_busy"]) != late(now := busy_end(card)):
            rest.append((name, "the end, one in flight", then["end_busy"], now))
    return compared, races, rest


def lines() -> list[str]:
    """For the page."""
    compared, races, rest = differences()
    told = [
        f"{compared} answers were compared; {races} differ within the first 50 ms, where the end of the listener or"
    ]
    told += [f"of the connection races with the request; {len(rest)} cells differ otherwise:", ""]
    told += ["| server | question | then | now | why |", "| --- | --- | --- | --- | --- |"]
    told += [f"| {n} | {q} | `{t}` | `{w}` | {EXPLAINED.get((n, q), '**not explained**')} |" for n, q, t, w in rest]
    return told


if __name__ == "__main__":
    print("\n".join(lines()))
