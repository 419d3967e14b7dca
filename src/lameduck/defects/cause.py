"""What the rules of diagnosis have in common: the cause that they decide, and what they ask of a pod and of a request.

Law: an instant that was never seen lies beyond every other, so that nothing is concluded from it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from lameduck.core.exchange import Exchange, Kind
from lameduck.core.finding import Confidence
from lameduck.core.instants import MILLISECOND
from lameduck.core.timeline import Mark, Milestone, PodHistory

NEAR = 100 * MILLISECOND
NEVER = 1 << 62
CUT = frozenset({Kind.CLOSED, Kind.RESET, Kind.TRUNCATED})


@dataclass(frozen=True, slots=True)
class Cause:
    """What a rule decided, and the evidence that decided it (for one exchange; groups share it)."""

    code: str
    symptom: str
    because: str
    confidence: Confidence = Confidence.CERTAIN


def instant_of(pod: PodHistory, milestone: Milestone) -> int:
    """A milestone's instant; one that never came lies beyond every other."""
    at = pod.at(milestone)
    return NEVER if at is None else at


def precision_of(pod: PodHistory) -> int:
    """How much earlier than seen a pod's milestones may have been."""
    return max((mark.precision for mark in pod.marks.values()), default=0)


def signal_name(pod: PodHistory) -> str:
    """Its stop signal, in words where it is not known."""
    mark = pod.marks.get(Milestone.STOP_SIGNAL)
    return str(mark.detail.get("signal", "the stop signal")) if mark else "the stop signal"


def crashes(pod: PodHistory) -> tuple[int, ...]:
    """When its process ended by itself though it was to go on (instants)."""
    return tuple(pod.facts.get("crashes", ()))


def told_at(pod: PodHistory) -> int:
    """When the app was told to stop: not by its deletion, nor by a signal that process 1 had no handler for, nor by one
    that `lameduck-pod run` had not passed on yet; SIGKILL tells everybody."""
    signal, killed = stop_as_told(pod), instant_of(pod, Milestone.KILLED)
    return killed if signal is None or signal.detail.get("caught") is False else signal.at - precision_of(pod)


def stop_as_told(pod: PodHistory) -> Mark | None:
    """The stop signal as the app had it: later than the kubelet sent it where `lameduck-pod run` held it back."""
    signal, passed_on = pod.marks.get(Milestone.STOP_SIGNAL), pod.marks.get(Milestone.FORWARDED)
    return signal if passed_on is None or signal is None else replace(signal, at=passed_on.at)


def about_the_end(pod: PodHistory, since: int, at: int) -> bool:
    """Whether a span of time comes within 100 ms of a pod's end, which may have been up to its precision earlier."""
    exited = pod.marks.get(Milestone.EXITED)
    return exited is not None and exited.at - exited.precision - NEAR <= at and since <= exited.at + NEAR


def stopped_by_hook(pod: PodHistory) -> bool:
    """Whether the server ended while its preStop ran: then it was the hook that stopped it, not the stop signal."""
    hook, exited = pod.marks.get(Milestone.PRESTOP_FINISHED), pod.marks.get(Milestone.EXITED)
    if hook is None or exited is None or not hook.detail.get("cut") or Milestone.KILLED in pod.marks:
        return False
    return hook.at <= instant_of(pod, Milestone.STOP_SIGNAL)


def sent_kill(pod: PodHistory) -> bool:
    """Whether its stop signal itself was SIGKILL."""
    stop = pod.marks.get(Milestone.STOP_SIGNAL)
    return stop is not None and stop.detail.get("signal") == "SIGKILL"


def no_answer(exchange: Exchange) -> bool:
    """Whether it was cut before the first byte of an answer."""
    return exchange.first_byte is None and exchange.failure is not None and exchange.failure.kind in CUT


def reused_and_cut(exchange: Exchange) -> bool:
    """Whether it was cut so on a connection that had served before."""
    return no_answer(exchange) and exchange.nth_on_connection > 1


def in_hand(exchange: Exchange, stop: int) -> bool:
    """Whether the request had been sent before the stop signal; an imported one, which tells less, had begun."""
    sent = exchange.sent if exchange.nth_on_connection or exchange.sent else exchange.actual_start
    return sent is not None and sent < stop
