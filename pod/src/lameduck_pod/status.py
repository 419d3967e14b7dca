"""What the layer tells of itself over HTTP: its readiness, a small JSON document, and OpenMetrics."""

from __future__ import annotations

from lameduck_pod.gate import PHASES
from lameduck_pod.journal import encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lameduck_pod.layer import Layer

OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


def answer(layer: Layer, path: str) -> tuple[int, str, bytes]:
    """Status, content type and body of the layer's own answer to a request for `path`."""
    base = layer.settings.status_path
    if base and path == base:
        return 200, "application/json", (encode(document(layer)) + "\n").encode()
    if base and path == base + "/metrics":
        return 200, OPENMETRICS, metrics(layer).encode()
    if layer.not_ready(path):
        return 503, "text/plain; charset=utf-8", b"this server stops\n"
    return 404, "text/plain; charset=utf-8", b"there is nothing here\n"


def document(layer: Layer) -> dict[str, object]:
    """Where it stands; the process's own view, one of several where the server has workers."""
    return {
        "phase": layer.state.phase,
        "in_flight": layer.in_flight - 1,  # but for the one that asks
        "served": layer.served,
        "held": layer.held,
        "obstacle": layer.obstacle or None,
    }


def metrics(layer: Layer) -> str:
    """The same as OpenMetrics."""
    lines = ["# TYPE lameduck_phase stateset"]
    lines += [f'lameduck_phase{{lameduck_phase="{p}"}} {int(p == layer.state.phase)}' for p in PHASES]
    lines += [
        "# TYPE lameduck_in_flight gauge",
        f"lameduck_in_flight {layer.in_flight - 1}",
        "# TYPE lameduck_served counter",
        f"lameduck_served_total {layer.served}",
        "# EOF",
    ]
    return "\n".join(lines) + "\n"
