"""The options that `drain` and `run --until-quiet` share, and the arithmetic of the grace period."""

from __future__ import annotations

from lameduck_pod import connections, journal, options, quiet, spans
from lameduck_pod.options import Option, UsageError, Values
from lameduck_pod.spans import SECOND

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

UNKNOWN_GRACE_MOST = 20 * SECOND


def grace(text: str) -> int:
    """A time, or a file that holds one (a downward API volume). Raises ValueError with a sentence for people."""
    if not text.startswith("/"):
        return spans.parse(text)
    try:
        with open(text, encoding="utf-8") as f:
            return spans.parse(f.read().strip().strip('"'))
    except OSError as e:
        raise ValueError(f"{text} cannot be read: {e.strerror}") from None


def balancer(text: str) -> int:
    """``10x3``: the time within which an outer load balancer notices: interval × threshold, and one interval."""
    interval, cross, threshold = text.replace("×", "x").partition("x")
    if not cross or not threshold.isdigit():
        raise ValueError(f"{text!r}: say INTERVALxTHRESHOLD of its health check, as in 10x3")
    return spans.parse(interval) * (int(threshold) + 1)


def time_option(name: str, text: str, default: int | None = None, shown: str = "", group: str = "Options") -> Option:
    """An option that is a time."""
    shown = shown or ("" if default is None else spans.human(default))
    return Option(name=name, read=spans.parse, metavar="TIME", help=text, default=default, shown=shown, group=group)


def watching(group: str) -> list[Option]:
    """When traffic counts as gone, and which connections count."""
    r = quiet.Rules
    return [
        Option(
            name="port",
            read=options.port,
            metavar="PORT",
            many=True,
            default=(),
            group=group,
            help="a port that clients come to",
            shown="every port listened on, but on loopback",
        ),
        time_option("least", "never leave earlier: routers need so long to hear of it", r.least, group=group),
        time_option(
            "quiet", "leave after so long without a client's byte and without a request in hand", r.quiet, group=group
        ),
        time_option(
            "stuck", "give up on kept-alive clients of whom none has come or gone for so long", r.stuck, group=group
        ),
        time_option("hold", "stop believing in a request on which no byte has moved for so long", r.hold, group=group),
        time_option("most", "never leave later", None, "grace − reserve − margin; 20 s if the grace is unknown", group),
        Option(
            name="balancer",
            read=balancer,
            metavar="INTERVALxTHRESHOLD",
            default=0,
            group=group,
            help="health check of a load balancer outside the cluster, as in 10x3: it raises --least (here to 40 s)",
        ),
        Option(
            name="kubelet",
            read=connections.address,
            metavar="ADDRESS",
            many=True,
            default=(),
            group=group,
            help="where the kubelet's probes come from (status.hostIP)",
            shown="the default gateway",
        ),
        Option(
            name="ignore",
            read=connections.network,
            metavar="NETWORK",
            many=True,
            default=(),
            group=group,
            help="clients that do not count, as in 10.0.0.5 or 10.1.0.0/16: scrapers, external health checks",
        ),
    ]


def graces(group: str, reserve_help: str) -> list[Option]:
    """The grace period and its shares."""
    return [
        Option(
            name="grace",
            read=grace,
            metavar="TIME|FILE",
            default=None,
            group=group,
            shown="unknown",
            help="the pod's terminationGracePeriodSeconds, or a file with it (downward API volume of an annotation)",
        ),
        time_option("reserve", reserve_help, 10 * SECOND, group=group),
        time_option("margin", "stay so far from the kubelet's SIGKILL", SECOND, group=group),
    ]


def common(group: str) -> list[Option]:
    """Output and the token."""
    return [
        Option(
            name="token",
            read=str,
            metavar="TOKEN",
            default="",
            group=group,
            help="shared secret of this pod's parts; better given as LAMEDUCK_TOKEN than on the command line",
        ),
        Option(
            name="journal",
            read=options.choice(*journal.STYLES),
            metavar="STYLE",
            default="auto",
            group=group,
            help="lines on standard error: json, text, none",
            shown="auto: text on a terminal, else json",
        ),
        Option(name="help", help="show this and leave", default=False, group=group),
        Option(name="version", help="show the version and leave", default=False, group=group),
    ]


def most(values: Values, spent: int = 0) -> int:
    """The longest wait: as said, else what the grace period leaves. Raises UsageError when that is nothing."""
    if values["most"] is not None:
        return int(values["most"])
    if values["grace"] is None:
        return UNKNOWN_GRACE_MOST
    left: int = values["grace"] - spent - values["reserve"] - values["margin"]
    if left <= 0:
        taken = " − ".join(spans.human(values[key]) for key in ("reserve", "margin"))
        raise UsageError(
            f"--grace {spans.human(values['grace'])} − {taken} leaves no time to drain: raise the grace period"
        )
    return left


def rules(values: Values, kubelet: Sequence[bytes], longest: int) -> quiet.Rules:
    """The rules of the decision."""
    return quiet.Rules(
        least=max(values["least"], values["balancer"]),
        quiet=values["quiet"],
        stuck=values["stuck"],
        hold=values["hold"],
        most=longest,
        kubelet=frozenset(kubelet),
        ignored=values["ignore"],
    )


def addresses(written: str) -> tuple[bytes, ...]:
    """The address in a tuple, or none where it is not one (a link-local one with its interface)."""
    try:
        return (connections.address(written.partition("%")[0]),)
    except ValueError:
        return ()
