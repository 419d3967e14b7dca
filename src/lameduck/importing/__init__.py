"""Other tools' loads as exchanges: JMeter, k6, vegeta and fortio results, access logs of Envoy, nginx and Traefik.

Law: a request is taken over with what its file says and nothing else; what a file cannot say (connections, stages,
retries that a client hid, requests that never reached a proxy) is told as a *loss* of that import, never made up. A
failed request whose words decide no kind is a protocol failure with those words as its detail.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from lameduck.core.errors import UsageError
from lameduck.core.exchange import Exchange
from lameduck.importing import accesslog, fortio, jmeter, k6, vegeta
from lameduck.importing.entry import Imported

Parser = Callable[[Iterable[str]], Imported]

KINDS: Mapping[str, Parser] = {
    "jmeter": jmeter.parse,
    "k6": k6.parse,
    "vegeta": vegeta.parse,
    "fortio": fortio.parse,
    "envoy": accesslog.envoy,
    "nginx": accesslog.nginx,
    "traefik": accesslog.traefik,
}
"""What can be imported, and how; an access log goes by its proxy's name."""


def exchanges_from(path: Path, kind: str) -> Imported:
    """The requests that another tool's file holds, in the order of their starts, and what such a file cannot say.

    Instants are wall-clock nanoseconds since the epoch: `on_run_clock` moves them. Raises `UsageError` for an unknown
    kind and for a file that cannot be read as one.
    """
    parser = KINDS.get(kind)
    if parser is None:
        raise UsageError(f"nothing is known of '{kind}' files; known are {', '.join(KINDS)}")
    try:
        imported = _parsed(path, parser)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(f"{path} cannot be read as {kind}: {error}") from error
    if not imported.exchanges:
        raise UsageError(f"{path} holds no request that can be read as {kind}: is it the right file?")
    ordered = sorted(imported.exchanges, key=lambda each: each.intended_start)
    return replace(imported, exchanges=[replace(each, seq=seq) for seq, each in enumerate(ordered)])


def _parsed(path: Path, parser: Parser) -> Imported:
    """The whole file; if that fails and its last line is cut short (its writer was stopped), without that line."""
    with path.open(encoding="utf-8", errors="replace", newline="") as lines:
        try:
            return parser(lines)
        except (ValueError, KeyError, TypeError, AttributeError):
            lines.seek(0)
            if not _cut_short(path):
                raise
            whole = parser(line for line in lines if line.endswith("\n"))
            return replace(whole, losses=[*whole.losses, "its last line is cut short and was left out"])


def _cut_short(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(0, 2)
        if not file.tell():
            return False
        file.seek(-1, 2)
        return file.read(1) != b"\n"


def on_run_clock(exchanges: Iterable[Exchange], wall_anchor: int, load_started: int) -> list[Exchange]:
    """The same exchanges on a run's own clock: ``wall_anchor`` is the wall-clock time (ns) at ``load_started``."""
    shift = load_started - wall_anchor

    def moved(at: int | None) -> int | None:
        return None if at is None else at + shift

    return [
        replace(
            each,
            intended_start=each.intended_start + shift,
            actual_start=moved(each.actual_start),
            connected=moved(each.connected),
            sent=moved(each.sent),
            first_byte=moved(each.first_byte),
            finished=moved(each.finished),
        )
        for each in exchanges
    ]
