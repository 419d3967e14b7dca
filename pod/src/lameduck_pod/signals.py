"""Signals: their names, which of them are kept back and passed on, and what an exit status says.

Law: everything that can be passed on is blocked from the first instruction and taken with `sigtimedwait`, so that
nothing is lost between two of our steps, and as PID 1 too: the kernel drops a signal for a PID 1 without a handler,
but never one that is blocked (kernel/signal.c, `sig_ignored`).
"""

from __future__ import annotations

import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

# Raised by our own instructions: to hold them back would loop for ever in the fault.
FAULTS = frozenset(
    (signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGABRT, signal.SIGTRAP, signal.SIGSYS)
)
KEPT = frozenset(signal.valid_signals()) - FAULTS - {signal.SIGKILL, signal.SIGSTOP}
"""Blocked and taken by us."""
OURS = frozenset((signal.SIGCHLD, signal.SIGTTIN, signal.SIGTTOU))
"""Taken, and never passed on: they are about us."""
STOPS = frozenset((signal.SIGINT, signal.SIGQUIT, signal.SIGUSR1, signal.SIGWINCH, signal.SIGRTMIN + 3))
"""What images say as STOPSIGNAL when it is not TERM: the container runtime then sends that one."""
CHATTER = frozenset((signal.SIGWINCH, signal.SIGCONT, signal.SIGTSTP))
"""A terminal's small talk: passed on without a word."""


def name(number: int) -> str:
    """``SIGTERM`` for 15, ``SIGRTMIN+3`` for 37."""
    if signal.SIGRTMIN < number < signal.SIGRTMAX:
        return f"SIGRTMIN+{number - signal.SIGRTMIN}"
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def number(text: str) -> int:
    """15 for ``TERM``, ``SIGTERM``, ``sigterm`` or ``15``. Raises ValueError with a sentence for people."""
    if text.isdigit() and int(text) in signal.valid_signals():
        return int(text)
    word = text.upper()
    word = word if word.startswith("SIG") else "SIG" + word
    base, plus, offset = word.partition("+")
    found = getattr(signal, base, None)
    if not isinstance(found, signal.Signals) or (plus and not (base == "SIGRTMIN" and offset.isdigit())):
        raise ValueError(f"{text!r} is not a signal; say TERM, QUIT, INT, WINCH, USR1 … or a number")
    return int(found) + int(offset or 0)


def block() -> Collection[int]:
    """Blocks what is kept; the mask as it was, which the command gets back."""
    return signal.pthread_sigmask(signal.SIG_BLOCK, KEPT)


def ended(code: int) -> str:
    """How a command ended: ``code 3``, ``killed by SIGSEGV``; `code` as `os.waitstatus_to_exitcode` has it."""
    return f"killed by {name(-code)}" if code < 0 else f"code {code}"
