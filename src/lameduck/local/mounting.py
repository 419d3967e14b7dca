"""A container's volumes and files at their places, in a mount namespace of its own.

Laws: the machine's file system is never changed. Where a mount path is there already, the volume is bound over it;
where it is not, the deepest folder above it that is there is replaced, in this namespace only, by one with the same
entries that can take a new one. For the root folder that means a new root.
"""

from __future__ import annotations

import ctypes
import os
import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

_BIND, _RECURSIVE, _REMOUNT, _READ_ONLY = 0x1000, 0x4000, 0x20, 0x1
_DETACH = 2
_MAY_BE_LOCKED = 0xE
"""nosuid, nodev, noexec: what a mount had must be asked for again."""
_SYS_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41, "riscv64": 41, "loongarch64": 41}

_libc = ctypes.PyDLL(None, use_errno=True)


class Mount(NamedTuple):
    """What is to be at an absolute path of a container: a file or folder of this machine."""

    source: str
    target: str
    read_only: bool = False


def mount_all(mounts: Sequence[Mount], scratch: str) -> None:
    """Put everything in its place; `scratch` is an empty folder of ours. Raises `OSError` that names the path.

    The namespace must be one's own, with nothing in it that is shared. Sources are opened once the places are made and
    before the first is covered: a volume at /tmp must not hide the others.
    """
    ordered = sorted(mounts, key=lambda each: each.target)
    ours: set[int] = set()
    for each in ordered:
        inside = any(each.target.startswith(f"{other.target.rstrip('/')}/") for other in ordered)
        if not inside and not Path(each.target).exists():
            _naming(each, lambda each=each: _make(each, ours, scratch))  # type: ignore[misc]
    opened = [(os.open(each.source, os.O_PATH), each) for each in ordered]
    for descriptor, each in opened:
        _naming(each, lambda descriptor=descriptor, each=each: _put(descriptor, each))  # type: ignore[misc]
        os.close(descriptor)


def _naming(each: Mount, act: Callable[[], None]) -> None:
    try:
        act()
    except OSError as error:
        raise OSError(error.errno, f"mount at {each.target}: {os.strerror(error.errno or 5).lower()}") from None


def _put(descriptor: int, each: Mount) -> None:
    target = Path(each.target)
    if not target.exists():  # inside of another volume
        _touch(target, folder=stat.S_ISDIR(os.fstat(descriptor).st_mode))
    mount(f"/proc/self/fd/{descriptor}", str(target), "", _BIND | _RECURSIVE)
    if each.read_only:
        kept = os.statvfs(target).f_flag & _MAY_BE_LOCKED
        mount("", str(target), "", _BIND | _REMOUNT | _READ_ONLY | kept)


def _touch(target: Path, *, folder: bool) -> None:
    (target if folder else target.parent).mkdir(parents=True, exist_ok=True)
    if not folder:
        target.touch()


def _make(each: Mount, ours: set[int], scratch: str) -> None:
    """Make a mount path that is not there; `ours` are the devices on which that changes nobody's files."""
    target = Path(each.target)
    above = next(parent for parent in target.parents if parent.is_dir())
    if above.stat().st_dev not in ours:
        if str(above) == "/":
            _copy_root(scratch)
        else:
            _copy(above, scratch)
        ours.add(above.stat().st_dev)
    _touch(target, folder=Path(each.source).is_dir())


def _copy(folder: Path, scratch: str) -> None:
    mount(str(folder), scratch, "", _BIND | _RECURSIVE)
    mount("tmpfs", str(folder), "tmpfs", 0)
    _fill(Path(scratch), folder)
    _check(_libc.umount2(os.fsencode(scratch), _DETACH), "umount")


def _copy_root(scratch: str) -> None:
    """A new root with the old one's entries."""
    mount("tmpfs", scratch, "tmpfs", 0)
    new = Path(scratch)
    _fill(Path("/"), new)
    old = new / ".old"
    old.mkdir()
    number = _SYS_PIVOT_ROOT.get(os.uname().machine)
    if number is None:
        raise OSError(38, "pivot_root")
    _check(_libc.syscall(number, os.fsencode(new), os.fsencode(old)), "pivot_root")
    os.chdir("/")
    _check(_libc.umount2(b"/.old", _DETACH), "umount")
    Path("/.old").rmdir()


def _fill(source: Path, copy: Path) -> None:
    for entry in os.scandir(source):
        place = copy / entry.name
        if entry.is_symlink():
            place.symlink_to(Path(entry.path).readlink())
        elif entry.is_dir():
            place.mkdir()
            mount(entry.path, str(place), "", _BIND | _RECURSIVE)
        else:
            place.touch()
            mount(entry.path, str(place), "", _BIND)


def mount(source: str, target: str, kind: str, flags: int) -> None:
    """mount(2). Raises `OSError`."""
    done = _libc.mount(os.fsencode(source), os.fsencode(target), kind.encode() or None, ctypes.c_ulong(flags), None)
    _check(done, "mount")


def _check(result: int, what: str) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, what)
