"""`lameduck-pod drain`: its options, and the exec hook. The sidecar is in `sidecar`.

Law of the hook: whatever happens to the looking, it ends by `--most` and ends well (exit 0), since a failed preStop
hook means the stop signal at once (kubelet, `executePreStopHook`); it says why it left.
"""

from __future__ import annotations

import os
import signal
import sys
import time

from lameduck_pod import __version__, options, watch_options
from lameduck_pod.journal import Journal
from lameduck_pod.options import Option, UsageError
from lameduck_pod.procnet import gateways
from lameduck_pod.sensor import COUNTERS, TABLES, Sensor
from lameduck_pod.spans import SECOND, human
from lameduck_pod.watch import Watch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lameduck_pod.options import Values

HEAD = """\
Usage: lameduck-pod drain [OPTIONS]
       lameduck-pod drain --listen PORT --token TOKEN [OPTIONS]

A preStop hook that leaves when client traffic is really gone: not before the routers can have heard of it, not while a
request is in hand, and not later than the grace period allows. It looks from outside at the pod's connections, so any
server will do, and it needs no privilege. While it waits it publishes "draining" inside the pod, so that a server with
lameduck's layer answers `Connection: close`.

With --listen it is a sidecar that answers the container's preStop httpGet when traffic is gone: for images without
Python or a shell.
"""
TAIL = """\
TIME is seconds (1.5), 500ms or 2m. Every option can be given as LAMEDUCK_<NAME>, as in LAMEDUCK_PORT=8080; a flag wins.

Exit code: 0, whatever the reason for leaving (the journal says it); 2 usage.

  lifecycle: {preStop: {exec: {command: [lameduck-pod, drain, --port, "8080", --grace, "30"]}}}

  lifecycle: {preStop: {httpGet: {port: 9190, path: /prestop, httpHeaders: [{name: Lameduck-Token, value: TOKEN}]}}}
  initContainers: [{name: drain, restartPolicy: Always, args: [drain, --listen, "9190", --port, "8080", --grace, "30"]}]

The sidecar also answers /healthz, /status (JSON), / (text) and /metrics (OpenMetrics), without the token.
"""
SIDECAR = "As a sidecar"
OPTIONS: tuple[Option, ...] = (
    *watch_options.watching("Traffic"),
    *watch_options.graces("Grace period", "what the server needs to stop after the stop signal"),
    Option(
        name="listen",
        read=options.port,
        metavar="PORT",
        default=0,
        group=SIDECAR,
        help="answer GET /prestop here when traffic is gone",
    ),
    Option(
        name="any-caller",
        default=False,
        group=SIDECAR,
        help="ask for no token: whoever reaches the port can make this pod lame",
    ),
    Option(
        name="without",
        read=options.choice("sock_diag", "destroy-events"),
        metavar="MEANS",
        many=True,
        default=(),
        group="Output",
        help="do not use sock_diag or destroy-events, as where they do not work",
    ),
    *watch_options.common("Output"),
)


def main(argv: Sequence[str]) -> int:
    """Drains; the exit code. Raises UsageError."""
    values = options.parse(OPTIONS, argv, os.environ)
    if values["help"]:
        sys.stdout.write(options.usage(HEAD, OPTIONS, TAIL))
        return 0
    if values["version"]:
        sys.stdout.write(f"lameduck-pod {__version__}\n")
        return 0
    if values.rest:
        raise UsageError(f"there is nothing to say after the options: {' '.join(values.rest)}")
    most = watch_options.most(values)
    if values["listen"]:
        from lameduck_pod import sidecar

        if not values["token"] and not values["any_caller"]:
            raise UsageError(
                "--listen needs --token (LAMEDUCK_TOKEN), the same as in the hook's httpHeaders; "
                "--any-caller does without"
            )
        journal = Journal("sidecar", values["journal"])
        _say_limits(values, most, journal)
        return sidecar.serve(values, most, make_sensor(values), journal)
    journal = Journal("drain", values["journal"], _outputs())
    _say_limits(values, most, journal)
    return hook(values, most, journal)


def hook(values: Values, most: int, journal: Journal) -> int:
    """The exec hook: waits here. The exit code."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # stopped from outside: the container is going anyway
    start = time.monotonic_ns()
    rules = watch_options.rules(values, values["kubelet"] or tuple(gateways()), most)
    watch = Watch(rules, make_sensor(values), journal, values["token"])
    watch.start(start, start + until(values, most))
    left = None
    while left is None:
        left = watch.look(time.monotonic_ns())
        if left is None and watch.due is not None:
            time.sleep(max(0, watch.due - time.monotonic_ns()) / SECOND)
    watch.stop()
    journal.write("drained", left.why, **left.facts)
    return 0


def until(values: Values, most: int) -> int:
    """How long, from the drain's start, servers stay lame if nobody says otherwise: the grace period, or a guess at
    it."""
    return int(values["grace"] or most + values["reserve"])


def make_sensor(values: Values) -> Callable[[], Sensor]:
    """Makes the sensor when the drain starts."""
    tables = [means for means in TABLES if means[0] not in values["without"]]
    counters = [means for means in COUNTERS if means[0].replace(" ", "-") not in values["without"]]
    return lambda: Sensor(values["port"], {values["listen"]} - {0}, tables, counters)


def _say_limits(values: Values, most: int, journal: Journal) -> None:
    """What the options cannot give, said at once and not when it matters."""
    least = max(values["least"], values["balancer"])
    if values["grace"] is None and values["most"] is None:
        journal.write("warning", f"the grace period is unknown: leaving after {human(most)} at the latest; say --grace")
    if least > most:
        why = "raise the grace period" if values["most"] is None else "raise --most"
        journal.write("warning", f"the floor of {human(least)} is beyond the end: leaving after {human(most)}; {why}")


def _outputs() -> list[int]:
    """Standard error; and, since the kubelet throws a hook's output away, that of PID 1, which is the pod's log."""
    found = [2]
    try:
        log = os.open("/proc/1/fd/2", os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except OSError:
        return found
    if os.path.sameopenfile(log, 2):
        os.close(log)
        return found
    return [*found, log]
