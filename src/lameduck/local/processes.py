"""What `/proc` says of a pod's processes, and how the whole of them is ended.

Law: a stop signal's effect is read, never guessed: `SigCgt`, `SigIgn` and `SigBlk` of process 1 at that moment. A
signal that is blocked counts as caught, since whoever blocks it reads it (sigwait, signalfd). While a process is in
sigwait the kernel shows what it waits for as *not* blocked (``do_sigtimedwait``), as of tini, dumb-init and
`lameduck-pod run` at almost any moment: that is read from the call's own arguments. Without a PID namespace
the kernel's rules for process 1 are followed by hand: a signal with no handler does nothing, and all descendants end
with it.
"""

from __future__ import annotations

import fcntl
import os
import signal
import struct
import sys
from pathlib import Path
from typing import Any

_EXITING = 0x4
"""``PF_EXITING`` of a task's flags (include/linux/sched.h): it has begun to end."""

_PIDFD_GET_INFO, _PIDFD_INFO_EXIT = 0xC040FF0B, 1 << 3
_RT_SIGTIMEDWAIT = {"x86_64": "128", "aarch64": "137", "riscv64": "137"}
"""Its number in /proc/PID/syscall."""

INITS = frozenset({"tini", "dumb-init", "catatonit", "s6-svscan", "docker-init"})
SHELLS = frozenset({"sh", "bash", "dash", "ash", "zsh", "ksh", "mksh", "busybox"})


def reaction(pid: int, sig: int) -> dict[str, Any]:
    """What a process is going to do with a signal, as the detail of STOP_SIGNAL, and `argv`, the first words of its
    command line; {} if it is gone."""
    status = _status(pid)
    if not status:
        return {}
    bit = 1 << (sig - 1)
    caught, ignored, blocked = (bool(int(status.get(key, "0"), 16) & bit) for key in ("SigCgt", "SigIgn", "SigBlk"))
    blocked = blocked or bool(_awaited(pid) & bit)
    name = program(pid) or status.get("Name", "")
    return {
        "signal": signal.Signals(sig).name if sig in set(signal.Signals) else str(sig),
        "pid1": name,
        "caught": caught or blocked,
        "ignored": ignored,
        "is_shell": name in SHELLS,
        "is_init": name in INITS,
        "children": [program(child) or _status(child).get("Name", "?") for child in children(pid)],
        "argv": _argv(pid),
    }


def _awaited(pid: int) -> int:
    """The signals that a process's main thread waits for in sigwait and its like; 0 where that cannot be read."""
    try:
        number, *arguments = Path(f"/proc/{pid}/syscall").read_text().split()
        if number != _RT_SIGTIMEDWAIT.get(os.uname().machine):
            return 0
        with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
            memory.seek(int(arguments[0], 16))
            return int.from_bytes(memory.read(8), sys.byteorder)
    except (OSError, ValueError, OverflowError):
        return 0


def _argv(pid: int) -> list[str]:
    """The first words of its command line: enough to tell what it is."""
    try:
        said = Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0")
    except OSError:
        return []
    return [word.decode(errors="replace")[:80] for word in said.split(b"\0")[:4]]


def program(pid: int) -> str:
    """The base name of what a process executes, "" if it cannot be read."""
    try:
        return Path(f"/proc/{pid}/exe").readlink().name.removesuffix(" (deleted)")
    except OSError:
        return ""


def ending(pid: int) -> bool:
    """Whether a process has begun to end, or has ended: what still runs below PID 1 then was left behind."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return True
    return bool(int(text.rpartition(")")[2].split()[6]) & _EXITING)


def killed(pidfd: int) -> bool | None:
    """Whether an ended process was ended by SIGKILL; None where the kernel does not tell (before Linux 6.15, or yet).

    ``PIDFD_GET_INFO`` (include/uapi/linux/pidfd.h) tells of a process that somebody else has reaped.
    """
    info = bytearray(struct.pack("=Q56x", _PIDFD_INFO_EXIT))
    try:
        fcntl.ioctl(pidfd, _PIDFD_GET_INFO, info)
    except OSError:
        return None
    mask, status = struct.unpack("=Q52xi", info)
    if not mask & _PIDFD_INFO_EXIT:
        return None
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL


def _status(pid: int) -> dict[str, str]:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return {}
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}


def children(pid: int) -> list[int]:
    """The children of all threads of a process."""
    try:
        return [
            int(word)
            for task in Path(f"/proc/{pid}/task").iterdir()
            for word in (task / "children").read_text().split()
        ]
    except FileNotFoundError:
        return _children_by_scan(pid) if Path(f"/proc/{pid}").exists() else []
    except OSError:
        return []


def _children_by_scan(pid: int) -> list[int]:
    """For kernels without CONFIG_PROC_CHILDREN: look at every process's parent."""
    everyone = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [one for one in everyone if _status(one).get("PPid") == str(pid)]


def descendants(pid: int) -> list[int]:
    """Everything below a process, parents first."""
    found = children(pid)
    for child in found:
        found += descendants(child)
    return found


def end(pid: int) -> None:
    """SIGKILL a process, if it is still there."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def end_descendants(pid: int) -> None:
    """SIGKILL everything below this process, which adopts orphans, until nothing is left, and reap it."""
    while below := descendants(pid):
        for child in below:
            end(child)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return
