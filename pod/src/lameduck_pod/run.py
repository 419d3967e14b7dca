"""`lameduck-pod run`: its options, and what they make of the policy's plan."""

from __future__ import annotations

import os
import signal
import sys

from lameduck_pod import __version__, options, policy, processes, signals, watch_options
from lameduck_pod.journal import Journal
from lameduck_pod.options import Option, UsageError
from lameduck_pod.readiness import Readiness
from lameduck_pod.spans import human
from lameduck_pod.supervisor import Supervisor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from lameduck_pod.options import Values
    from lameduck_pod.watch import Watch

HEAD = """\
Usage: lameduck-pod run [OPTIONS] [--] COMMAND [ARG...]

Runs COMMAND as its only child and is what a PID 1 has to be: passes every signal on (none is lost, not even one that
comes before COMMAND has started), reaps every orphan, waits for what COMMAND leaves behind, and ends with COMMAND's own
exit code. On the stop signal it can let COMMAND go on serving for a while, so that no preStop hook is needed.
"""
TAIL = """\
TIME is seconds (1.5), 500ms or 2m. Every option can be given as LAMEDUCK_<NAME>, as in LAMEDUCK_DELAY=5; a flag wins.

Exit code: COMMAND's own; 128+n when signal n ended it; 127 not found; 126 not executable; 2 usage; 143 when the stop
signal came before COMMAND was started.

  ENTRYPOINT ["lameduck-pod", "run", "--"]
  CMD ["gunicorn", "app:app"]
  lameduck-pod run --delay 5 -- java -jar service.jar
  lameduck-pod run --until-quiet --port 8080 --grace 30 -- ./start.sh
  lameduck-pod run --stop-signal QUIT -- nginx -g 'daemon off;'
"""


def signal_pair(text: str) -> tuple[int, int]:
    """``INT=TERM``: received, sent; 0 drops it. Raises ValueError with a sentence for people."""
    received, equals, sent = text.partition("=")
    if not equals:
        raise ValueError(f"{text!r}: say RECEIVED=SENT, as in INT=TERM, or RECEIVED=0 to drop it")
    return signals.number(received), 0 if sent == "0" else signals.number(sent)


def code_pair(text: str) -> tuple[int, int]:
    """``143=0``: the command's exit code, ours. Raises ValueError with a sentence for people."""
    code, _, ours = text.partition("=")
    if not (code.isdigit() and ours.isdigit() and int(code) < 256 and int(ours) < 256):
        raise ValueError(f"{text!r}: say CODE=CODE, as in 143=0")
    return int(code), int(ours)


OPTIONS: tuple[Option, ...] = (
    Option(
        name="stop-signal",
        read=signals.number,
        metavar="SIGNAL",
        default=15,
        shown="TERM",
        group="Signals",
        help="what makes COMMAND stop gracefully: QUIT for nginx and php-fpm, WINCH for httpd",
    ),
    Option(
        name="forward",
        read=signal_pair,
        metavar="GOT=SENT",
        many=True,
        default=(),
        group="Signals",
        help="send another signal than the one that came, as in INT=TERM; GOT=0 drops it",
    ),
    Option(
        name="group",
        default=False,
        group="Signals",
        help="send signals to COMMAND's whole process group, not to COMMAND alone",
    ),
    watch_options.time_option(
        "delay",
        "on the stop signal, let COMMAND serve for so long before it is told (a second signal ends it)",
        0,
        "0",
        "Lame duck",
    ),
    Option(
        name="until-quiet",
        default=False,
        group="Lame duck",
        help="the same, for as long as client traffic comes: see the next group",
    ),
    Option(
        name="ready-file",
        read=str,
        metavar="FILE",
        default="",
        group="Lame duck",
        help="a file that is there while ready, for an exec readiness probe",
    ),
    Option(
        name="ready-port",
        read=options.port,
        metavar="PORT",
        default=0,
        group="Lame duck",
        help="a port that answers 200 while ready, else 503, for an httpGet readiness probe",
    ),
    *watch_options.watching("Traffic (--until-quiet; --port also says when COMMAND is ready)"),
    *watch_options.graces("The end", "what COMMAND gets to stop, at least, before it is killed"),
    watch_options.time_option(
        "pre-stop", "what a preStop hook takes of the grace period before the stop signal comes", 0, "0", "The end"
    ),
    watch_options.time_option(
        "leftovers",
        "what processes that COMMAND leaves behind get to end",
        None,
        "10 s; after a stop signal, what is left of the grace period, or 30 s",
        "The end",
    ),
    Option(
        name="exit-code-map",
        read=code_pair,
        metavar="CODE=CODE",
        many=True,
        default=(),
        group="The end",
        help="leave with another code than COMMAND's, as in 143=0",
    ),
    *watch_options.common("Output"),
)


def main(argv: Sequence[str], mask: Collection[int]) -> int:
    """Runs the command; its exit code. Raises UsageError."""
    values = options.parse(OPTIONS, argv, os.environ)
    if values["help"]:
        sys.stdout.write(options.usage(HEAD, OPTIONS, TAIL))
        return 0
    if values["version"]:
        sys.stdout.write(f"lameduck-pod {__version__}\n")
        return 0
    if not values.rest:
        raise UsageError("there is no command to run: lameduck-pod run [OPTIONS] -- COMMAND [ARG...]")
    plan = planned(values)
    if plan.stop_signal in mask:  # of `env --block-signal`: kept, it would keep the command from ever stopping
        mask = ()
    journal = Journal("run", values["journal"])
    try:
        readiness = Readiness(values["ready_file"], values["ready_port"])
    except OSError as e:
        raise UsageError(f"--ready-port {values['ready_port']}: {e.strerror}" if e.errno else str(e)) from None
    if os.getpid() != 1:
        problem = processes.adopt_orphans()
        if problem:
            journal.write("warning", f"orphans below will not be reaped here: {problem}")
    for warning in warnings(plan, values):
        journal.write("warning", warning)
    watch = _watch(values, plan, journal) if plan.wait else None
    is_ready = _listens(values["port"]) if values["port"] else None
    return Supervisor(
        plan, values.rest, mask=mask, journal=journal, readiness=readiness, is_ready=is_ready, watch=watch
    ).run()


def planned(values: Values) -> policy.Plan:
    """The policy's plan. Raises UsageError where options contradict each other."""
    if values["until_quiet"] and values["delay"]:
        raise UsageError(
            "--delay and --until-quiet are two ways to wait: choose one (--least is the floor of the second)"
        )
    grace = values["grace"]
    if grace is not None:
        grace = max(0, grace - values["pre_stop"])
    forward, stop_signal = dict(values["forward"]), values["stop_signal"]
    term = forward.get(signal.SIGTERM)
    if term:
        if "stop_signal" in values.given and term != stop_signal:
            raise UsageError(f"--stop-signal and --forward TERM={signals.name(term)} contradict each other")
        stop_signal = term
    return policy.Plan(
        stop_signal=stop_signal,
        forward=forward,
        group=values["group"],
        delay=values["delay"],
        most=watch_options.most(values, values["pre_stop"]) if values["until_quiet"] else 0,
        grace=grace,
        reserve=values["reserve"],
        margin=values["margin"],
        leftovers=values["leftovers"],
        exit_codes=dict(values["exit_code_map"]),
    )


def warnings(plan: policy.Plan, values: Values) -> list[str]:
    """What will not be as it was asked for, known already now."""
    found = []
    if plan.lame_time < plan.wait:
        asked = "--most" if plan.most else "--delay"
        found.append(
            f"{asked} {human(plan.wait)} + --reserve {human(plan.reserve)} + --margin {human(plan.margin)} "
            f"is more than the grace period leaves ({human(plan.grace or 0)}): cut to {human(plan.lame_time)}; raise "
            "terminationGracePeriodSeconds"
        )
    if plan.wait and plan.grace is None:
        found.append(
            "the grace period is unknown: the kubelet's SIGKILL may come first, and nothing will say so; say --grace"
        )
    if plan.most and values["least"] > plan.lame_time:
        found.append(f"--least {human(values['least'])} is longer than the {human(plan.lame_time)} there are")
    return found


def _watch(values: Values, plan: policy.Plan, journal: Journal) -> Watch:
    """Imported now, not at the stop signal: what cannot work shall say so while there is time."""
    from lameduck_pod.procnet import gateways  # 1.3 MiB, only for those who wait
    from lameduck_pod.sensor import Sensor
    from lameduck_pod.watch import Watch

    own = {values["ready_port"]} - {0}
    if plan.most:
        sensor = Sensor(values["port"], own)
        for problem in sensor.problems:
            journal.write("warning", f"{problem}; --until-quiet will use {sensor.how}")
        sensor.close()
    kubelet = values["kubelet"] or tuple(gateways())
    rules = watch_options.rules(values, kubelet, plan.lame_time)
    return Watch(rules, lambda: Sensor(values["port"], own), journal, values["token"])


def _listens(ports: Sequence[int]) -> Callable[[], str]:
    """What says that all of these ports are listened on."""
    from lameduck_pod.connections import LISTEN
    from lameduck_pod.sensor import Sensor

    def ask() -> str:
        sensor = Sensor(ports, counters=())
        try:
            found = {row.port for row in sensor.table.all() if row.state == LISTEN} if sensor.table else set(ports)
        except OSError:
            found = set()
        sensor.close()
        return f"listens on {', '.join(map(str, sorted(ports)))}" if found >= set(ports) else ""

    return ask
