"""Rule d of docs/verdict.md: what a pod's end cut off, and why the pod ended so.

Law: what is said of a pod that was killed, or that ended with requests in hand, rests on what was seen of its first
process at the stop signal; where that was not seen the symptom stands alone.
"""

from __future__ import annotations

from lameduck.core.exchange import Kind
from lameduck.core.finding import Confidence
from lameduck.core.instants import MILLISECOND, SECOND, human
from lameduck.core.join import Joined
from lameduck.core.timeline import Mark, Milestone, PodHistory
from lameduck.defects.cause import (
    CUT,
    NEAR,
    Cause,
    crashes,
    in_hand,
    instant_of,
    reused_and_cut,
    sent_kill,
    signal_name,
    stop_as_told,
    stopped_by_hook,
)
from lameduck.defects.evidence import Evidence
from lameduck.manifests.programs import SERVERS

LONG_STREAM = 5 * SECOND
BUSY_NODE = SECOND
"""How late a kubelet that has much to do may tell of a container's end."""
AT_ONCE = 500 * MILLISECOND
"""PID 1 that leaves its children behind mostly does so at once; later it may just have been quicker to end than they,
unless the kernel is known to have killed them."""


def at_exit(case: Joined, pod: PodHistory, evidence: Evidence) -> Cause | None:
    """Closed, reset or truncated within 100 ms of the end of the pod's first process, or of a worker of it.

    Where our own process stood still until it noticed the cut, it may have come at any time of that.
    """
    failure, exited = case.exchange.failure, pod.marks.get(Milestone.EXITED)
    if failure is None or failure.kind not in CUT or exited is None or case.exchange.ambiguous:
        return None
    since = evidence.at_the_earliest(case.judged_at)

    def about(end: int) -> bool:
        return since - NEAR <= end <= case.judged_at + NEAR

    if any(map(about, crashes(pod))):
        return Cause("LD902", "LD902", "its process ended by itself, with no stop signal before it")
    # Between SIGKILL and it, nothing but the SIGKILL cuts, however late a busy machine lets the exit be noticed.
    earliest = min(_exit_at_the_earliest(pod, exited) - NEAR, instant_of(pod, Milestone.KILLED))
    late = earliest <= case.judged_at <= exited.at
    ends = (exited.at, *pod.facts.get("process_ends", ()))
    if not late and not any(map(about, ends)):
        return None
    if Milestone.KILLED in pod.marks:
        return of_kill(pod, evidence)
    stop = pod.at(Milestone.STOP_SIGNAL)
    if exited.precision and stop is not None and reused_and_cut(case.exchange) and not in_hand(case.exchange, stop):
        return None  # it may have drained what was in hand and closed what was idle: its end is not known well enough
    if exited.precision and evidence.last_answers.get(pod.name, 0) > case.judged_at:
        return None  # it still answered others afterwards
    first_byte = case.exchange.first_byte
    if failure.kind is Kind.TRUNCATED and first_byte is not None and exited.at - first_byte >= LONG_STREAM:
        return Cause("LD909", "LD909", f"its answer had been streaming for {human(exited.at - first_byte)}")
    return _ended_by_itself(case, pod)


def _exit_at_the_earliest(pod: PodHistory, exited: Mark) -> int:
    """Seen through the API an exit comes late: by up to its precision, and on a busy node by more. A listener that was
    seen to close shortly before it may have closed with it."""
    earliest, closed = exited.at - exited.precision, pod.marks.get(Milestone.LISTENER_CLOSED)
    if exited.precision and closed is not None and 0 <= exited.at - closed.at <= BUSY_NODE:
        return min(earliest, closed.at - closed.precision)
    return earliest


def of_kill(pod: PodHistory, evidence: Evidence) -> Cause:
    """Why a pod was killed at the end of its grace period."""
    reaction = evidence.reactions.get(pod.name)
    if reaction:
        return Cause("LD102", "LD904", f"killed at the end of grace (137) although {reaction}")
    stop = pod.marks.get(Milestone.STOP_SIGNAL)
    detail, signal = stop.detail if stop else {}, signal_name(pod)
    passed_on = pod.marks.get(Milestone.FORWARDED)
    if passed_on is not None:
        since = human(pod.marks[Milestone.KILLED].at - passed_on.at)
        because = f"lameduck-pod run had passed {signal} on {since} before, and nothing was seen to come of it"
        return Cause("LD904", "LD904", because)
    pid1 = detail.get("pid1") or "PID 1"
    if detail.get("ignored"):
        return Cause("LD406", "LD903", f"{pid1} ignores {signal} (SigIgn in its status)")
    launcher = detail.get("launcher")
    if launcher:
        because = f"PID 1 is {launcher}, which was told, and the app was not: it went on until SIGKILL"
        return Cause("LD507", "LD903", because, Confidence.LIKELY)
    if not detail.get("is_shell"):
        if detail.get("caught") and pod.facts.get("handler_gone"):
            because = f"{pid1} caught {signal}, took its handler away and raised it again: as PID 1 nothing comes of it"
            return Cause("LD903", "LD903", because)
        if detail.get("caught"):
            return Cause("LD904", "LD904", f"{pid1} caught {signal}, and nothing was seen to come of it")
        if detail.get("caught") is False:
            return Cause("LD903", "LD903", f"{pid1} has no handler for {signal}: as PID 1 it is not even told")
        return Cause("LD903", "LD903", "no reaction to the stop signal was seen before SIGKILL")
    if detail.get("caught"):
        because = f"PID 1 is {pid1}, which caught {signal}, and the app was not told"
        return Cause("LD403", "LD903", because, Confidence.LIKELY)
    return Cause("LD401", "LD903", f"PID 1 is {pid1} without a handler for {signal} (not in its SigCgt)")


def _ended_by_itself(case: Joined, pod: PodHistory) -> Cause:
    stop, exited = stop_as_told(pod), pod.marks[Milestone.EXITED]
    code = exited.detail.get("code")
    if stopped_by_hook(pod):
        return Cause(
            "LD107", "LD902", "its process ended during the preStop, before any stop signal", Confidence.LIKELY
        )
    if sent_kill(pod):
        return Cause("LD504", "LD902", "its stop signal is SIGKILL, which no server can catch")
    if stop is None or stop.at > exited.at:
        return Cause("LD902", "LD902", f"its process ended by itself (code {code}), with no stop signal before it")
    after = exited.at - stop.at
    left = pod.facts.get("left_behind" if after < AT_ONCE else "cut_off", 0)
    pid1 = stop.detail.get("pid1") or "PID 1"
    if left and stop.detail.get("is_shell"):
        return Cause("LD404", "LD902", f"PID 1 ({pid1}) ended {human(after)} after the stop signal, its child had not")
    if left and stop.detail.get("is_init"):
        return Cause("LD402", "LD902", f"PID 1 ({pid1}) ended {human(after)} after the stop signal, the app had not")
    if left and stop.detail.get("launcher"):
        because = f"PID 1 ({stop.detail['launcher']}) ended {human(after)} after the stop signal, the app had not"
        return Cause("LD507", "LD902", because)
    if left:
        return Cause(
            "LD902", "LD902", f"PID 1 ({pid1}) ended with {left} processes still running: the kernel kills them"
        )
    if why := unsuited(stop):
        return Cause("LD505", "LD902", why, Confidence.LIKELY)
    closed = pod.at(Milestone.LISTENER_CLOSED)
    if closed is not None and closed < stop.at + SECOND and after >= 2 * SECOND and in_hand(case.exchange, stop.at):
        because = f"the server gave up its drain {human(after)} after the stop signal, with requests in hand"
        return Cause("LD801", "LD902", because, Confidence.LIKELY)
    return Cause("LD803", "LD902", f"the process ended {human(after)} after the stop signal (code {code}), undrained")


def unsuited(stop: Mark) -> str:
    """Why the signal that a known server got is not the one on which it drains; "" where nothing is known of that."""
    server, got = SERVERS.get(stop.detail.get("server", "")), str(stop.detail.get("signal", ""))
    if server is None or got.removeprefix("SIG") not in server.cuts or not server.graceful:
        return ""
    return f"{server.name} got {got}, on which it stops at once; SIG{server.graceful[0]} is its graceful stop"
