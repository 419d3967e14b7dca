"""Processes below us: start one, reap, list, describe. Reads /proc; nothing here decides anything."""

from __future__ import annotations

import errno
import os
import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

PR_SET_CHILD_SUBREAPER = 36


class NotStartedError(Exception):
    """The command could not be started; `code` is 127 (not found) or 126 (not executable)."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


def find(command: str) -> str:
    """The file that `command` names, by PATH as a shell does it. Raises NotStartedError."""
    if not command:
        raise NotStartedError(127, "the command is an empty word")
    places = [""] if "/" in command else (os.environ.get("PATH") or os.defpath).split(":")
    seen = ""
    for place in places:
        path = os.path.join(place, command) if place else command
        if os.path.isfile(path):
            if os.access(path, os.X_OK):
                return path
            seen = seen or path
        elif os.path.isdir(path) and "/" in command:
            raise NotStartedError(126, f"{path} is a directory")
    if seen:
        raise NotStartedError(126, f"{seen} is not executable; in a Dockerfile: RUN chmod +x {seen}")
    where = "there is no such file" if "/" in command else f"it is nowhere in PATH ({':'.join(places)})"
    hint = " (a whole command line in one word? write each word by itself)" if " " in command.strip() else ""
    raise NotStartedError(127, f"{command} not found: {where}{hint}")


def start(argv: Sequence[str], mask: Collection[int]) -> int:
    """Starts the command in a process group of its own, with the signal mask that we were given; its process id.

    Python ignores SIGPIPE and SIGXFSZ, and an ignored signal stays ignored over exec: both are put back. Raises
    NotStartedError.
    """
    path = find(argv[0])
    try:
        return os.posix_spawn(
            path, list(argv), os.environ, setpgroup=0, setsigmask=mask, setsigdef=(signal.SIGPIPE, signal.SIGXFSZ)
        )
    except OSError as e:
        raise NotStartedError(126, _why_not(path, e)) from None


def _why_not(path: str, error: OSError) -> str:
    with open(path, "rb") as f:
        first = f.readline(256)
    if error.errno == errno.ENOEXEC:
        return f"{path} is no program for this machine" + ("" if b"\0" in first else ": a script needs a #! line")
    if error.errno == errno.ENOENT:
        program = first[2:].split()[0].decode("utf-8", "replace") if first[2:].split() else ""
        windows = "; its lines end in CR LF" if first.endswith(b"\r\n") else ""
        return f"{path} wants {program or 'an interpreter or a loader'}, which is not there{windows}"
    return f"{path} cannot be started: {error.strerror}"


def adopt_orphans() -> str:
    """Makes orphans below us ours, as they are a PID 1's; '' or why that failed. ctypes costs 0.5 MiB: only then."""
    try:
        from ctypes import CDLL, get_errno

        if CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
            return os.strerror(get_errno())
    except (ImportError, OSError, AttributeError) as e:
        return str(e)
    return ""


def reap(untraced: bool = False) -> tuple[list[tuple[int, int]], bool]:
    """All that have ended (or, `untraced`, been stopped): process id and wait status; and whether any child remains."""
    ended: list[tuple[int, int]] = []
    flags = os.WNOHANG | (os.WUNTRACED if untraced else 0)
    while True:
        try:
            pid, status = os.waitpid(-1, flags)
        except ChildProcessError:
            return ended, False
        if not pid:
            return ended, True
        ended.append((pid, status))


def parents() -> dict[int, int]:
    """Process id → its parent's, of all processes that /proc shows."""
    found = {}
    for entry in os.listdir("/proc") if os.path.isdir("/proc") else ():
        if entry.isdigit():
            stat = _read(f"/proc/{entry}/stat")
            if stat:
                found[int(entry)] = int(stat.rpartition(")")[2].split()[1])
    return found


def children() -> tuple[int, ...]:
    """Process ids directly below us."""
    me = os.getpid()
    return tuple(sorted(pid for pid, parent in parents().items() if parent == me))


def descendants() -> list[int]:
    """All process ids below us, parents before their children."""
    below: dict[int, list[int]] = {}
    for pid, parent in sorted(parents().items()):
        below.setdefault(parent, []).append(pid)
    found, todo = [], [os.getpid()]
    while todo:
        here = below.get(todo.pop(0), [])
        found += here
        todo += here
    return found


def title(pid: int) -> str:
    """``java -jar service.jar (pid 7)``: the program and the first thing it was given, without what may be a secret."""
    words = _read(f"/proc/{pid}/cmdline").rstrip("\0").split("\0")
    shown = [os.path.basename(words[0]) or name(pid)]
    for word in words[1:]:
        named = os.path.basename(word) if word.startswith("/") else word
        if "=" in word or " " in word or len(named) > 80:
            continue
        shown.append(named)
        if not word.startswith("-"):
            break
    line = " ".join(shown)
    return f"{line} (pid {pid})" if line else f"pid {pid}"


def name(pid: int) -> str:
    """Its name in the kernel, at most 15 bytes; '' when it is gone."""
    return _read(f"/proc/{pid}/comm").strip()


def catches(pid: int, number: int) -> bool:
    """Whether it has a handler for a signal; False when it is gone."""
    return _in_set(pid, "SigCgt", number)


def ignores(pid: int, number: int) -> bool:
    """Whether it has a signal ignored, as bash and busybox have SIGQUIT; False when it is gone."""
    return _in_set(pid, "SigIgn", number)


def _in_set(pid: int, which: str, number: int) -> bool:
    words = _read(f"/proc/{pid}/status").partition(which + ":")[2].split()
    return bool(words) and bool(int(words[0], 16) >> (number - 1) & 1)


def state(pid: int) -> str:
    """Its scheduler state: R, S, D (waits for a device), T (stopped), Z (ended) …; '' when it is gone."""
    return _read(f"/proc/{pid}/stat").rpartition(")")[2].strip()[:1]


def sockets(pid: int) -> set[int]:
    """Inodes of the sockets it holds; none where we may not look."""
    found = set()
    try:
        for fd in os.listdir(f"/proc/{pid}/fd"):
            link = os.readlink(f"/proc/{pid}/fd/{fd}")
            if link.startswith("socket:["):
                found.add(int(link[8:-1]))
    except OSError:
        pass
    return found


def out_of_memory_kills() -> int:
    """How often the kernel has killed in this container's memory cgroup (v2)."""
    for line in _read("/sys/fs/cgroup/memory.events").splitlines():
        if line.startswith("oom_kill "):
            return int(line.split()[1])
    return 0


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as f:
            return f.read()
    except OSError:
        return ""
