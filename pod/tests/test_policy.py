"""PID 1's policy as a table and as laws, without a process, a clock or a signal."""

from __future__ import annotations

import signal
from signal import SIGCHLD, SIGHUP, SIGINT, SIGKILL, SIGQUIT, SIGTERM, SIGUSR1

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lameduck_pod import policy
from lameduck_pod.policy import (
    Exit,
    KillAll,
    Note,
    NotStarted,
    Plan,
    PublishDraining,
    Quiet,
    Ready,
    Reaped,
    Send,
    SetReady,
    Signalled,
    Started,
    State,
    Woke,
    step,
)
from lameduck_pod.spans import SECOND

TERM = Signalled(number=SIGTERM)


def play(plan, *events):
    """Effects but notes, of (seconds, event) pairs from a state in which nothing has been started."""
    state, done = State(), []
    for at, event in events:
        state, effects = step(plan, state, event, round(at * SECOND))
        done += [effect for effect in effects if not isinstance(effect, Note)]
    return state, done


BORN = (0, Started(pid=7))

TABLE = {
    "a stop signal is passed on at once": (
        Plan(),
        [BORN, (1, TERM)],
        [SetReady(ready=False), Send(number=SIGTERM)],
    ),
    "as what the command understands": (
        Plan(stop_signal=SIGQUIT),
        [BORN, (1, TERM)],
        [SetReady(ready=False), Send(number=SIGQUIT)],
    ),
    "the command's own stop signal counts as one": (
        Plan(stop_signal=SIGQUIT, delay=SECOND),
        [BORN, (1, Signalled(number=SIGQUIT)), (2, Woke())],
        [SetReady(ready=False), PublishDraining(until=3 * SECOND, watch=False), Send(number=SIGQUIT)],
    ),
    "a signal that is sent as the stop signal counts as one": (
        Plan(forward={SIGINT: SIGTERM}, delay=SECOND),
        [BORN, (1, Signalled(number=SIGINT)), (2, Woke())],
        [SetReady(ready=False), PublishDraining(until=3 * SECOND, watch=False), Send(number=SIGTERM)],
    ),
    "a stop signal before the start: nothing is started": (Plan(), [(0, TERM)], [Exit(code=143)]),
    "a stop signal before the start, its code mapped": (Plan(exit_codes={143: 0}), [(0, TERM)], [Exit(code=0)]),
    "another signal before the start waits for the command": (
        Plan(forward={SIGHUP: SIGUSR1, SIGINT: 0}),
        [(0, Signalled(number=SIGHUP)), (0, Signalled(number=SIGINT)), BORN],
        [Send(number=SIGUSR1)],
    ),
    "our own signals are not passed on": (Plan(), [BORN, (1, Signalled(number=SIGCHLD))], []),
    "a command that cannot start": (Plan(), [(0, NotStarted(code=127, why="not found"))], [Exit(code=127)]),
    "not told before the delay is over": (
        Plan(delay=5 * SECOND),
        [BORN, (1, TERM), (5.9, Woke())],
        [SetReady(ready=False), PublishDraining(until=7 * SECOND, watch=False)],
    ),
    "a second stop signal ends the delay": (
        Plan(delay=5 * SECOND, grace=30 * SECOND),
        [BORN, (1, TERM), (2, TERM), (6, Woke())],
        [SetReady(ready=False), PublishDraining(until=31 * SECOND, watch=False), Send(number=SIGTERM)],
    ),
    "a third is passed on, for commands that then hurry": (
        Plan(),
        [BORN, (1, TERM), (2, TERM), (3, TERM)],
        [SetReady(ready=False), Send(number=SIGTERM), Send(number=SIGTERM), Send(number=SIGTERM)],
    ),
    "quiet ends the lame-duck time": (
        Plan(most=20 * SECOND, grace=30 * SECOND),
        [BORN, (1, TERM), (4.4, Quiet(why="quiet"))],
        [SetReady(ready=False), PublishDraining(until=31 * SECOND, watch=True), Send(number=SIGTERM)],
    ),
    "quiet after it is over changes nothing": (Plan(), [BORN, (4, Quiet(why="quiet"))], []),
    "the delay is cut so that the reserve remains": (
        Plan(delay=25 * SECOND, grace=30 * SECOND, reserve=10 * SECOND),
        [BORN, (0, TERM), (18.9, Woke()), (19, Woke())],
        [SetReady(ready=False), PublishDraining(until=30 * SECOND, watch=False), Send(number=SIGTERM)],
    ),
    "no room for any delay: told at once": (
        Plan(delay=25 * SECOND, grace=10 * SECOND, reserve=10 * SECOND),
        [BORN, (0, TERM)],
        [SetReady(ready=False), Send(number=SIGTERM)],
    ),
    "ready once, and only while running": (
        Plan(delay=5 * SECOND),
        [BORN, (1, Ready(what="listens")), (2, TERM), (3, Ready(what="listens"))],
        [SetReady(ready=True), SetReady(ready=False), PublishDraining(until=8 * SECOND, watch=False)],
    ),
    "the end, alone": (Plan(), [BORN, (1, Reaped(code=3))], [SetReady(ready=False), Exit(code=3)]),
    "the end by a signal": (Plan(), [BORN, (1, Reaped(code=-11))], [SetReady(ready=False), Exit(code=139)]),
    "the end by a signal, mapped": (
        Plan(exit_codes={143: 0}),
        [BORN, (1, Reaped(code=-15))],
        [SetReady(ready=False), Exit(code=0)],
    ),
    "an orphan's end is nothing": (Plan(), [BORN, (1, Reaped(children=(7,)))], []),
    "leftovers are told once, later ones when they appear, and waited for": (
        Plan(),
        [
            BORN,
            (1, Reaped(code=0, children=(8, 9))),
            (2, Reaped(children=(9, 12))),
            (3, Reaped(children=(12,))),
            (4, Reaped()),
        ],
        [
            SetReady(ready=False),
            Send(number=SIGTERM, pid=8),
            Send(number=SIGTERM, pid=9),
            Send(number=SIGTERM, pid=12),
            Exit(code=0),
        ],
    ),
    "of what is left, the server that understands the stop signal gets that one, the rest SIGTERM": (
        Plan(stop_signal=SIGQUIT),
        [BORN, (1, TERM), (2, Reaped(code=-3, children=(8, 9), catching=frozenset((9,))))],
        [
            SetReady(ready=False),
            Send(number=SIGQUIT),
            SetReady(ready=False),
            Send(number=SIGTERM, pid=8),
            Send(number=SIGQUIT, pid=9),
        ],
    ),
    "leftovers are killed when their time is over, and the code stays the command's": (
        Plan(leftovers=5 * SECOND),
        [BORN, (1, Reaped(code=3, children=(8,))), (5.9, Woke()), (6, Woke()), (6.1, Reaped())],
        [SetReady(ready=False), Send(number=SIGTERM, pid=8), KillAll, Exit(code=3)],
    ),
    "a server that its start script left behind has the whole grace period to drain": (
        Plan(grace=60 * SECOND),
        [BORN, (1, TERM), (1.1, Reaped(code=-15, children=(8,))), (59.9, Woke())],
        [SetReady(ready=False), Send(number=SIGTERM), SetReady(ready=False), Send(number=SIGTERM, pid=8)],
    ),
    "where the grace period is unknown it has Kubernetes' own 30 s": (
        Plan(),
        [BORN, (1, TERM), (1.1, Reaped(code=-15, children=(8,))), (31, Woke())],
        [SetReady(ready=False), Send(number=SIGTERM), SetReady(ready=False), Send(number=SIGTERM, pid=8)],
    ),
    "and no more": (
        Plan(),
        [BORN, (1, TERM), (1.1, Reaped(code=-15, children=(8,))), (31.1, Woke())],
        [SetReady(ready=False), Send(number=SIGTERM), SetReady(ready=False), Send(number=SIGTERM, pid=8), KillAll],
    ),
    "what a command leaves that nobody stopped has 10 s": (
        Plan(grace=60 * SECOND),
        [BORN, (1, Reaped(code=0, children=(8,))), (11, Woke())],
        [SetReady(ready=False), Send(number=SIGTERM, pid=8), KillAll],
    ),
    "leftovers get no more than the grace period leaves": (
        Plan(leftovers=50 * SECOND, grace=10 * SECOND),
        [BORN, (0, TERM), (5, Reaped(code=0, children=(8,))), (9, Woke())],
        [SetReady(ready=False), Send(number=SIGTERM), SetReady(ready=False), Send(number=SIGTERM, pid=8), KillAll],
    ),
    "a stop signal while leftovers stop shortens their time": (
        Plan(leftovers=50 * SECOND, grace=10 * SECOND),
        [BORN, (0, Reaped(code=0, children=(8,))), (1, TERM), (9.9, Woke()), (10, Woke())],
        [SetReady(ready=False), Send(number=SIGTERM, pid=8), KillAll],
    ),
    "killed a margin before the kubelet does it": (
        Plan(grace=30 * SECOND, margin=2 * SECOND),
        [BORN, (1, TERM), (28.9, Woke()), (29, Woke()), (29.1, Reaped(code=-9))],
        [SetReady(ready=False), Send(number=SIGTERM), KillAll, SetReady(ready=False), Exit(code=137)],
    ),
    "what SIGKILL does not end is left": (
        Plan(grace=30 * SECOND),
        [BORN, (1, TERM), (30, Woke()), (30.9, Woke()), (31, Woke())],
        [SetReady(ready=False), Send(number=SIGTERM), KillAll, Exit(code=137)],
    ),
    "what SIGKILL does not end of the leftovers is left, with the command's code": (
        Plan(leftovers=SECOND),
        [BORN, (1, Reaped(code=0, children=(8,))), (2, Woke()), (3, Woke())],
        [SetReady(ready=False), Send(number=SIGTERM, pid=8), KillAll, Exit(code=0)],
    ),
    "without a grace period nothing is killed": (
        Plan(),
        [BORN, (1, TERM), (1e6, Woke())],
        [SetReady(ready=False), Send(number=SIGTERM)],
    ),
    "ended in the lame-duck time, before it was told": (
        Plan(delay=5 * SECOND),
        [BORN, (1, TERM), (2, Reaped(code=1)), (6, Woke())],
        [
            SetReady(ready=False),
            PublishDraining(until=7 * SECOND, watch=False),
            SetReady(ready=False),
            Exit(code=1),
        ],
    ),
}


@pytest.mark.parametrize("name", TABLE)
def test_what_pid_1_does(name) -> None:
    plan, events, wanted = TABLE[name]
    _, done = play(plan, *events)
    assert [e if not isinstance(e, KillAll) else KillAll for e in done] == wanted


MESSAGES = {
    "from outside, at once": (
        Plan(),
        [BORN, (1, TERM)],
        ["SIGTERM from outside the container: passing it on", "SIGTERM sent to the command"],
    ),
    "translated, to the group": (
        Plan(stop_signal=SIGQUIT, group=True),
        [BORN, (1, TERM)],
        ["SIGTERM from outside the container: passing it on", "SIGQUIT sent to the command's group"],
    ),
    "lame, then the delay is over": (
        Plan(delay=5 * SECOND),
        [BORN, (1, TERM), (6, Woke())],
        [
            "SIGTERM from outside the container: lame duck for 5 s; the command still serves",
            "SIGTERM sent to the command after 5 s: the delay of 5 s is over",
        ],
    ),
    "adaptive": (
        Plan(most=20 * SECOND),
        [BORN, (1, TERM), (4.4, Quiet(why="quiet for 1 s after 3.4 s, 41 connections seen"))],
        [
            (
                "SIGTERM from outside the container: lame duck for at most 20 s, until traffic is gone; "
                "the command still serves"
            ),
            "SIGTERM sent to the command after 3.4 s: quiet for 1 s after 3.4 s, 41 connections seen",
        ],
    ),
    "cut by the grace period": (
        Plan(delay=25 * SECOND, grace=30 * SECOND, reserve=10 * SECOND),
        [BORN, (0, TERM), (19, Woke())],
        [
            "SIGTERM from outside the container: lame duck for 19 s; the command still serves",
            "SIGTERM sent to the command after 19 s: the delay of 25 s was cut to 19 s by the grace period",
        ],
    ),
    "an image's own STOPSIGNAL that nobody said": (
        Plan(most=20 * SECOND),
        [BORN, (1, Signalled(number=signal.SIGWINCH))],
        [
            (
                "SIGWINCH passed on at once: if it is the image's STOPSIGNAL, say --stop-signal WINCH, "
                "or nothing waits for traffic"
            )
        ],
    ),
    "the same by a process inside, or with nothing to wait for": (
        Plan(),
        [BORN, (1, Signalled(number=SIGQUIT))],
        ["SIGQUIT passed on"],
    ),
    "died by itself": (
        Plan(),
        [BORN, (2, Reaped(code=-9, why="out of memory"))],
        ["the command ended, killed by SIGKILL, 2 s after its start (not asked to): out of memory"],
    ),
    "went into the background": (
        Plan(),
        [BORN, (2, Reaped(code=0, children=(8,)))],
        [
            "the command ended, code 0, 2 s after its start (not asked to)",
            (
                "1 process left behind, told to stop, 10 s to end; if the command went into the background, "
                "start it in the foreground"
            ),
        ],
    ),
    "ended on request": (
        Plan(exit_codes={143: 0}),
        [BORN, (1, TERM), (2.5, Reaped(code=-15))],
        [
            "SIGTERM from outside the container: passing it on",
            "SIGTERM sent to the command",
            "the command ended, killed by SIGTERM, 1.5 s after the stop signal; exit code 143 becomes 0",
        ],
    ),
}


@pytest.mark.parametrize("name", MESSAGES)
def test_what_the_journal_says(name) -> None:
    plan, events, wanted = MESSAGES[name]
    state, said = State(), []
    for at, event in events:
        state, effects = step(plan, state, event, round(at * SECOND))
        said += [effect.message for effect in effects if isinstance(effect, Note)]
    assert said == wanted


seconds = st.integers(0, 40).map(lambda s: s * SECOND)
plans = st.builds(
    Plan,
    stop_signal=st.sampled_from([SIGTERM, SIGQUIT]),
    delay=seconds,
    grace=st.none() | seconds,
    reserve=seconds,
    margin=st.integers(0, 3).map(lambda s: s * SECOND),
    leftovers=st.none() | seconds,
)
happenings = st.lists(
    st.tuples(
        st.integers(0, 3 * SECOND),
        st.sampled_from(
            [TERM, TERM, Signalled(number=SIGUSR1), Reaped(code=-15), Reaped(code=0, children=(8,)), Reaped()]
        ),
    ),
    max_size=12,
)


@given(plans, happenings)
def test_the_laws_of_pid_1(plan, happenings) -> None:
    """Deadlines are met as a shell meets them: a `Woke` at each, before anything later happens."""
    state, _ = step(plan, State(), Started(pid=7), 0)
    now, alive, done = 0, True, []

    def feed(event, at):
        nonlocal state
        before = state
        state, effects = step(plan, state, event, at)
        done.extend((at, effect) for effect in effects)
        order = ["starting", "running", "lame", "stopping", "leftovers", "killed"]
        assert order.index(state.phase) >= order.index(before.phase), "no phase comes back"
        assert before.stopped in (None, state.stopped), "the first stop signal starts the one countdown"

    for gap, event in happenings:
        while (due := policy.deadline(state)) is not None and due <= now + gap and not exited(done):
            feed(Woke(), max(due, now))
        now += gap
        if exited(done):
            break
        if isinstance(event, Reaped):
            if event.code is not None and not alive:
                continue  # a command ends once
            if event.code is None and alive:
                continue
            alive = False
        feed(event, now)
    ended_at = next((at for at, e in done if isinstance(e, Note) and e.event == "exited"), None)
    told = [at for at, e in done if isinstance(e, Send) and e.pid is None and e.number == plan.stop_signal]
    kills = [at for at, e in done if isinstance(e, KillAll)]
    if state.stopped is not None and state.told is not None:
        assert state.stopped <= state.told <= state.stopped + plan.lame_time, "never lame for longer than there is time"
        assert told[0] == state.told
    if state.stopped is not None and plan.patience is not None and state.told is not None and kills:
        assert kills[0] <= state.stopped + max(plan.patience, plan.for_leftovers(True))
    if ended_at is not None:
        assert all(at <= ended_at for at in told), "nobody is told after the end"
    assert len(kills) <= 1
    assert sum(isinstance(e, Exit) for _, e in done) <= 1


def exited(done) -> bool:
    return any(isinstance(effect, Exit) for _, effect in done)


@given(st.integers(-64, 255), st.dictionaries(st.integers(0, 255), st.integers(0, 255), max_size=3))
def test_the_exit_code_is_the_shells_and_the_map_is_asked_once(code, mapping) -> None:
    plain = 128 - code if code < 0 else code
    assert policy.exit_code(Plan(exit_codes=mapping), code) == mapping.get(plain, plain)
    assert policy.exit_code(Plan(), None) == 128 + SIGKILL
