"""The terminal, where there is one: the command gets the foreground, and Ctrl-Z works as if we were not there.

Law: we never take a terminal that was not ours; we hand it to the command's process group, take it back when the
command is stopped or ends, and give it again when we are continued.
"""

from __future__ import annotations

import contextlib
import os
import signal


class Terminal:
    """Standard input's terminal; `ours` says whether there is one and we are in its foreground."""

    def __init__(self) -> None:
        try:
            self.ours = os.isatty(0) and os.tcgetpgrp(0) == os.getpgrp()
        except OSError:
            self.ours = False

    def give(self, pid: int) -> None:
        """The foreground to the command's group. SIGCONT, since it may have read before it was there (SIGTTIN)."""
        if self.ours:
            with contextlib.suppress(OSError):
                os.tcsetpgrp(0, pid)  # from the background this raises SIGTTOU, which is blocked: so it is allowed
                os.killpg(pid, signal.SIGCONT)

    def take_back(self) -> None:
        """The foreground to us again."""
        if self.ours:
            with contextlib.suppress(OSError):
                os.tcsetpgrp(0, os.getpgrp())

    def suspend_with(self, pid: int) -> None:
        """The command was stopped (Ctrl-Z): stop as well, so that the shell above notices; go on when continued.

        A PID 1 cannot be stopped from inside, and nobody above it could continue it: then nothing is done.
        """
        if not self.ours or os.getpid() == 1:
            return
        self.take_back()
        os.kill(os.getpid(), signal.SIGSTOP)
        with contextlib.suppress(OSError):
            if os.tcgetpgrp(0) == os.getpgrp():  # `fg`, not `bg`
                self.give(pid)
            else:
                os.killpg(pid, signal.SIGCONT)
