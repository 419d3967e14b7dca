"""What PID 1 does: the whole policy of `lameduck-pod run`, as a pure function.

Phases, in order; each may be skipped, none comes back:

    starting   the command has not been started
    running    the command runs, signals are passed on
    lame       the stop signal is here and held back: the command still serves, readiness says no
    stopping   the command has been told to stop
    leftovers  the command has ended, processes that it left have been told to stop
    killed     our own SIGKILL is out, before the kubelet's

Laws: the first stop signal starts the one countdown to our own SIGKILL; a second one ends every waiting; the command is
told to stop at the latest when `reserve` remains; the exit code is the command's own, mapped at the very end.

`step(plan, state, event, now)` returns the next state and the effects, in order. Times are CLOCK_MONOTONIC nanoseconds.
"""

from __future__ import annotations

from signal import SIGKILL, SIGTERM

from lameduck_pod import signals
from lameduck_pod.record import Record
from lameduck_pod.spans import SECOND, human, seconds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

OUTSIDE = "outside the container"
LAST_WORD = SECOND
"""How long the kernel gets to end what was killed before we go without it."""


class Plan(Record):
    """What was asked for. Durations in nanoseconds."""

    stop_signal: int = SIGTERM
    """What the command is sent when it shall stop."""
    forward: Mapping[int, int] = {}
    """Received → sent; 0 drops it."""
    group: bool = False
    """Signals go to the command's process group, else to the command alone."""
    delay: int = 0
    most: int = 0
    """Until-quiet: the longest wait; 0 when not asked for."""
    grace: int | None = None
    """From the stop signal to the kubelet's SIGKILL; None: unknown, so there is no SIGKILL of our own."""
    reserve: int = 0
    """What the command gets, at least, between being told and our SIGKILL."""
    margin: int = SECOND
    """Our SIGKILL comes so much before the kubelet's."""
    leftovers: int | None = None
    """What processes that the command left behind get to end; None: see `for_leftovers`."""
    exit_codes: Mapping[int, int] = {}

    @property
    def wait(self) -> int:
        """The longest lame-duck time that was asked for."""
        return self.most or self.delay

    @property
    def patience(self) -> int | None:
        """From the stop signal to our own SIGKILL; None: never."""
        return None if self.grace is None else max(0, self.grace - self.margin)

    def for_leftovers(self, stopped: bool) -> int:
        """What they get. After a stop signal they may be the server itself, of a start script that has just ended: its
        drain gets what the kubelet gives it (30 s where that is unknown, Kubernetes' own default)."""
        if self.leftovers is not None:
            return self.leftovers
        if not stopped:
            return 10 * SECOND
        return 30 * SECOND if self.grace is None else self.grace

    @property
    def lame_time(self) -> int:
        """The longest lame-duck time that the grace period allows."""
        if self.patience is None:
            return self.wait
        return min(self.wait, max(0, self.patience - self.reserve))


class State(Record):
    """Where things stand; instants in nanoseconds."""

    phase: str = "starting"
    began: int = 0
    """When the command was started."""
    early: tuple[int, ...] = ()
    """Signals that came before the command was there."""
    stopped: int | None = None
    """When the first stop signal came."""
    told: int | None = None
    """When the command was told to stop."""
    forward_by: int | None = None
    kill_by: int | None = None
    """When our own SIGKILL is due."""
    code: int | None = None
    """The command's end, as `os.waitstatus_to_exitcode` has it; None: it runs."""
    warned: tuple[int, ...] = ()
    """Leftover processes that have been told to stop."""


# --- events ---------------------------------------------------------------------------------------------------------


class Signalled(Record):
    """A signal came. `sender` in words: ``outside the container``, ``pid 12 (sh)``."""

    number: int
    sender: str = OUTSIDE


class Started(Record):
    """The command runs."""

    pid: int


class NotStarted(Record):
    """The command could not be started; `code` 126 or 127, `why` a sentence."""

    code: int
    why: str


class Reaped(Record):
    """Children have ended. `code` is the command's own end where it was among them; `children` are the process ids left
    directly below us, looked up only once the command has ended."""

    code: int | None = None
    children: tuple[int, ...] = ()
    catching: frozenset[int] = frozenset()
    """Those of `children` that have a handler for the command's stop signal; looked up where that is not SIGTERM."""
    why: str = ""
    """Why the command ended, where the system knows more than its status: ``out of memory``."""


class Quiet(Record):
    """The watch has decided that the lame-duck time is over."""

    why: str
    facts: Mapping[str, object] = {}


class Ready(Record):
    """The command is ready for traffic; `what` in words: ``listens on 8080``."""

    what: str


class Woke(Record):
    """A deadline may have come."""


# --- effects --------------------------------------------------------------------------------------------------------


class Spawn(Record):
    """Start the command."""


class Send(Record):
    """Send a signal to the command (`pid` None: to it or its group, as planned) or to one leftover."""

    number: int
    pid: int | None = None


class KillAll(Record):
    """SIGKILL everything below us; before it, note as ``killed`` who was still there and what they held: `why`."""

    why: str


class SetReady(Record):
    """Readiness says yes or no."""

    ready: bool


class PublishDraining(Record):
    """Tell the layers inside the servers that this pod drains; watch the traffic when `watch`. `until` is when it
    ends by itself."""

    until: int
    watch: bool


class Note(Record):
    """A line in the journal."""

    event: str
    message: str
    facts: Mapping[str, object] = {}


class Exit(Record):
    """We are done."""

    code: int


# --- the policy -----------------------------------------------------------------------------------------------------


def deadline(state: State) -> int | None:
    """When a `Woke` is due; None: only an event can change anything."""
    due = [at for at in (state.forward_by, state.kill_by) if at is not None]
    return min(due) if due else None


def exit_code(plan: Plan, code: int | None) -> int:
    """What we exit with: the command's code, 128+n for signal n, mapped; None: it did not even end on SIGKILL."""
    code = -SIGKILL if code is None else code
    plain = 128 - code if code < 0 else code
    return plan.exit_codes.get(plain, plain)


def is_stop(plan: Plan, number: int) -> bool:
    """Whether a signal asks the command to stop: SIGTERM, the command's own stop signal, or one that is sent as
    either."""
    return plan.forward.get(number, number) in (SIGTERM, plan.stop_signal)


def step(plan: Plan, state: State, event: Record, now: int) -> tuple[State, list[Record]]:
    """The next state, and what is to be done, in order."""
    if isinstance(event, Signalled):
        return _signalled(plan, state, event, now)
    if isinstance(event, Started):
        late = [Send(number=plan.forward.get(n, n)) for n in state.early]
        return state.but(phase="running", began=now, early=()), [e for e in late if e.number]
    if isinstance(event, NotStarted):
        note = Note(event="not_started", message=event.why, facts={"code": event.code})
        return state, [note, Exit(code=event.code)]
    if isinstance(event, Ready):
        if state.phase != "running":
            return state, []
        after = now - state.began
        message = f"ready after {human(after)}: {event.what}"
        return state, [SetReady(ready=True), Note(event="ready", message=message, facts={"after_s": seconds(after)})]
    if isinstance(event, Reaped):
        return _reaped(plan, state, event, now)
    if isinstance(event, Quiet):
        return _forward(plan, state, now, event.why, event.facts) if state.phase == "lame" else (state, [])
    return _woke(plan, state, now)


def _signalled(plan: Plan, state: State, event: Signalled, now: int) -> tuple[State, list[Record]]:
    number = event.number
    if number in signals.OURS:
        return state, []
    stop = is_stop(plan, number)
    if state.phase == "starting":
        if not stop:
            return state.but(early=(*state.early, number)), []
        return state, [_stopped_early(event), Exit(code=exit_code(plan, -number))]
    if stop and state.stopped is None:
        return _first_stop(plan, state, event, now)
    if stop and state.phase == "lame":
        return _forward(plan, state, now, f"a second stop signal came ({signals.name(number)})", {})
    if state.phase in ("leftovers", "killed"):
        return state, []
    sent = plan.stop_signal if stop else plan.forward.get(number, number)
    message = f"{signals.name(number)} passed on" + (f" as {signals.name(sent)}" if sent not in (number, 0) else "")
    if not sent:
        message = f"{signals.name(number)} dropped, as --forward says"
    facts: dict[str, object] = {
        "signal": signals.name(number),
        "sent": signals.name(sent) if sent else None,
        "sender": event.sender,
    }
    unheard = bool(plan.wait) and number in signals.STOPS and event.sender == OUTSIDE and state.phase == "running"
    if unheard:
        word = signals.name(number).removeprefix("SIG")
        message += f" at once: if it is the image's STOPSIGNAL, say --stop-signal {word}, or nothing waits for traffic"
    note = Note(event="signal", message=message, facts=facts)
    if sent == number in signals.CHATTER and not unheard:
        return state, [Send(number=sent)]
    return state, [Send(number=sent), note] if sent else [note]


def _stopped_early(event: Signalled) -> Note:
    stopped = signals.name(event.number)
    message = f"{stopped} from {event.sender} before the command was started: not starting it"
    return Note(event="stop_signal", message=message, facts={"signal": stopped, "sender": event.sender})


def _first_stop(plan: Plan, state: State, event: Signalled, now: int) -> tuple[State, list[Record]]:
    kill_by = None if plan.patience is None else now + plan.patience
    facts: dict[str, object] = {"signal": signals.name(event.number), "sender": event.sender}
    said = f"{signals.name(event.number)} from {event.sender}"
    if state.phase == "leftovers":
        due = min(at for at in (state.kill_by, kill_by) if at is not None)
        note = Note(event="stop_signal", message=f"{said}: the command has already ended", facts=facts)
        return state.but(stopped=now, kill_by=due), [note]
    if state.phase == "killed":
        return state.but(stopped=now), []
    state = state.but(stopped=now, kill_by=kill_by)
    if not plan.lame_time:
        facts["lame_s"] = 0.0
        told, effects = _forward(plan, state, now, "", {})
        note = Note(event="stop_signal", message=f"{said}: passing it on", facts=facts)
        return told, [SetReady(ready=False), note, *effects]
    how = f"at most {human(plan.lame_time)}, until traffic is gone" if plan.most else human(plan.lame_time)
    message = f"{said}: lame duck for {how}; the command still serves"
    facts["lame_s"] = seconds(plan.lame_time)
    until = now + plan.lame_time + plan.reserve + plan.margin if plan.grace is None else now + plan.grace
    return state.but(phase="lame", forward_by=now + plan.lame_time), [
        SetReady(ready=False),
        PublishDraining(until=until, watch=plan.most > 0),
        Note(event="stop_signal", message=message, facts=facts),
    ]


def _forward(plan: Plan, state: State, now: int, why: str, facts: Mapping[str, object]) -> tuple[State, list[Record]]:
    waited = now - (now if state.stopped is None else state.stopped)
    sent, whom = signals.name(plan.stop_signal), "the command's group" if plan.group else "the command"
    message = f"{sent} sent to {whom}" + (f" after {human(waited)}: {why}" if why else "")
    noted = {"signal": sent, "waited_s": seconds(waited), "why": why or "no lame-duck time was asked for", **facts}
    state = state.but(phase="stopping", told=now, forward_by=None)
    return state, [Send(number=plan.stop_signal), Note(event="forwarded", message=message, facts=noted)]


def _reaped(plan: Plan, state: State, event: Reaped, now: int) -> tuple[State, list[Record]]:
    effects: list[Record] = []
    if event.code is not None:
        state, effects = _ended(plan, state, event, now)
    if state.phase not in ("leftovers", "killed"):
        return state, effects
    if not event.children:
        return state, [*effects, Exit(code=exit_code(plan, state.code))]
    if state.phase == "killed":
        return state, effects
    fresh = tuple(pid for pid in event.children if pid not in state.warned)
    # The server of a start script that has ended understands the stop signal; others, as a shell puts them into the
    # background, ignore SIGQUIT and SIGINT, and end of SIGTERM.
    told: list[Record] = [Send(number=plan.stop_signal if p in event.catching else SIGTERM, pid=p) for p in fresh]
    return state.but(warned=state.warned + fresh), [*effects, *told]


def _ended(plan: Plan, state: State, event: Reaped, now: int) -> tuple[State, list[Record]]:
    code = event.code or 0
    after = now - (state.began if state.stopped is None else state.stopped)
    plain, shown = 128 - code if code < 0 else code, exit_code(plan, code)
    since = "after its start" if state.stopped is None else "after the stop signal"
    message = f"the command ended, {signals.ended(code)}, {human(after)} {since}"
    message += " (not asked to)" if state.stopped is None else " (before it was told)" if state.told is None else ""
    message += f": {event.why}" if event.why else ""
    message += f"; exit code {plain} becomes {shown}" if plain != shown else ""
    facts: dict[str, object] = {"code": plain, "signal": signals.name(-code) if code < 0 else None, "exit_code": shown}
    facts.update({"after_s": seconds(after), "asked": state.told is not None, "why": event.why or None})
    effects: list[Record] = [SetReady(ready=False), Note(event="exited", message=message, facts=facts)]
    if not event.children or state.phase == "killed":
        return state.but(
            phase="leftovers" if state.phase != "killed" else "killed", code=code, forward_by=None
        ), effects
    due = now + plan.for_leftovers(state.stopped is not None)
    due = due if state.kill_by is None else min(due, state.kill_by)
    n = len(event.children)
    message = f"{n} process{'es' if n > 1 else ''} left behind, told to stop, {human(max(0, due - now))} to end"
    if not code and state.stopped is None:
        message += "; if the command went into the background, start it in the foreground"
    effects.append(Note(event="leftovers", message=message, facts={"pids": list(event.children)[:20], "count": n}))
    return state.but(phase="leftovers", code=code, forward_by=None, kill_by=due), effects


def _woke(plan: Plan, state: State, now: int) -> tuple[State, list[Record]]:
    if state.kill_by is not None and now >= state.kill_by:
        if state.phase == "killed":
            message = "what was killed is still there (waiting for a device or a file system?): leaving without it"
            return state, [Note(event="given_up", message=message), Exit(code=exit_code(plan, state.code))]
        if state.phase == "leftovers":
            why = "left behind by the command, and still running when their time was over"
        else:
            why = f"still running {human(now - (state.stopped or now))} after the stop signal"
            why += f", {human(plan.margin)} before the kubelet's own SIGKILL"
        return state.but(phase="killed", kill_by=now + LAST_WORD, forward_by=None), [KillAll(why=why)]
    if state.forward_by is not None and now >= state.forward_by:
        longest = f"the delay of {human(plan.delay)}" if plan.delay else f"--most, {human(plan.most)},"
        cut = plan.lame_time < plan.wait
        why = f"{longest} was cut to {human(plan.lame_time)} by the grace period" if cut else f"{longest} is over"
        return _forward(plan, state, now, why, {})
    return state, []
