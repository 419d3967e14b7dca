"""`lameduck-pod run`, `lameduck-pod drain`.

The first statement blocks signals: what comes from here on is remembered. What comes before, while the interpreter
starts, is the kernel's to decide: as PID 1 it is dropped, below another PID 1 it ends us. So nothing that takes
time is imported before it: `signal` (with `enum`) takes 3 ms, `_signal` is built in. Who cannot afford the milliseconds
until here starts us with everything blocked already: ``env --block-signal lameduck-pod run …``.
"""

import _signal  # type: ignore[import-not-found]  # CPython's own, without stubs
import sys

MASK = _signal.pthread_sigmask(_signal.SIG_BLOCK, _signal.valid_signals() if sys.argv[1:2] == ["run"] else ())

from lameduck_pod import __version__  # noqa: E402
from lameduck_pod.options import UsageError  # noqa: E402

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

HELP = f"""\
lameduck-pod {__version__}: what a container needs inside so that a rollout loses no request.

Usage:
  lameduck-pod run [OPTIONS] [--] COMMAND [ARG...]   be PID 1: pass signals on, wait, reap, keep a journal
  lameduck-pod drain [OPTIONS]                       be the preStop hook: leave when client traffic is gone
  lameduck-pod drain --listen PORT [OPTIONS]         the same as a sidecar, for images without Python or a shell
  lameduck-pod run --help | drain --help | --version
"""


def main(argv: "Sequence[str] | None" = None) -> int:
    """The exit code. 2: the command line cannot be used."""
    words = list(sys.argv[1:] if argv is None else argv)
    command = words.pop(0) if words else ""
    if command in ("--help", "-h", "help"):
        sys.stdout.write(HELP)
        return 0
    if command in ("--version", "-V"):
        sys.stdout.write(f"lameduck-pod {__version__}\n")
        return 0
    try:
        if command == "run":
            from lameduck_pod import run  # run carries nothing of drain, and the other way round

            return run.main(words, MASK)
        if command == "drain":
            from lameduck_pod import drain

            return drain.main(words)
    except UsageError as e:
        sys.stderr.write(f"lameduck-pod {command}: {e}\nlameduck-pod {command}: see `lameduck-pod {command} --help`\n")
        return 2
    said = f"there is no command {command!r}" if command else "say what to do: run or drain"
    sys.stderr.write(f"lameduck-pod: {said}; see `lameduck-pod --help`\n")
    return 2


if __name__ == "__main__":
    sys.exit(main())
