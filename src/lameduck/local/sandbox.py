"""A pod's own world: user, network, PID, mount and host name namespaces, made without any tool and without root.

Law: user identity stays what it was (every id is mapped to itself); the pod's address is an address of its `lo`;
process 1 of the pod is the application itself, so that the kernel, not we, decides what a signal does to it. A dead
pod's address is taken off and routed into nothing: packets to it vanish, as they do when a pod's cable is gone.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import signal
import socket
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from lameduck.local.mounting import Mount, mount_all

CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15
_PR_SET_CHILD_SUBREAPER = 36
_SYS_CLONE = {"x86_64": 56, "aarch64": 220, "riscv64": 220, "loongarch64": 220}
_SIOCSIFFLAGS = 0x8914
_SIOCSIFADDR = 0x8916
_SIOCSIFNETMASK = 0x891C
_UP_RUNNING = 0x1 | 0x40
_NETLINK_ROUTE, _NEWROUTE = 0, 24
_REPLACE = 0x1 | 0x4 | 0x100 | 0x400
"""NLM_F_REQUEST, ACK, REPLACE, CREATE."""
_RTA_DST, _RTA_OIF = 1, 4
_TABLE_LOCAL, _BY_KERNEL, _SCOPE_LINK, _UNICAST = 255, 2, 253, 1
_SO_ATTACH_FILTER, _BPF_RETURN = 26, 0x06
_MOUNT_PRIVATE = 0x4000 | 0x40000
_MOUNT_PROC = 0x2 | 0x4 | 0x8

_libc = ctypes.PyDLL(None, use_errno=True)  # PyDLL keeps the interpreter's lock: a clone in between must not lose it


class Isolation(NamedTuple):
    """What a pod has of its own. Without `pid` the rules of process 1 are emulated."""

    user: bool
    pid: bool
    net: bool

    def __str__(self) -> str:
        parts = [name for name, on in zip(("user", "PID", "network"), self, strict=True) if on]
        return f"own {', '.join(parts)} namespace" if parts else "bare processes"


def _check(result: int, what: str) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def die_with_parent(sig: int) -> None:
    """Get this signal when the parent ends."""
    _check(_libc.prctl(_PR_SET_PDEATHSIG, sig, 0, 0, 0), "prctl(PDEATHSIG)")


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent ends."""
    _check(_libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), "prctl(CHILD_SUBREAPER)")


def rename(name: str) -> None:
    """What `ps` calls this process."""
    _libc.prctl(_PR_SET_NAME, name.encode()[:15], 0, 0, 0)


def identity_map(pid: int, kind: str) -> str:
    """The map that leaves every id of process `pid`'s user namespace as it is; `kind` is ``uid`` or ``gid``."""
    extents = [line.split() for line in Path(f"/proc/{pid}/{kind}_map").read_text().splitlines()]
    return "".join(f"{inside} {inside} {count}\n" for inside, _, count in extents)


def map_all(pid: int) -> bool:
    """Map every id to itself in the new user namespace of a child: only the parent, with CAP_SETUID, may."""
    try:
        for kind in ("uid", "gid"):
            Path(f"/proc/{pid}/{kind}_map").write_text(identity_map(os.getpid(), kind))
    except OSError:
        return False
    return True


def map_self(uid: int, gid: int) -> None:
    """Map this process's own user and group to themselves: what anybody may do."""
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")
    Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")


def unshare(flags: int) -> None:
    """Leave the namespaces of these kinds for new ones. Raises `OSError` where the system forbids it."""
    _check(_libc.unshare(flags), "unshare")


def clone(flags: int) -> int:
    """Like `os.fork`, with the child in new namespaces. Only for a process with a single thread."""
    number = _SYS_CLONE.get(os.uname().machine)
    if number is None:
        raise OSError(f"no PID namespaces on {os.uname().machine} yet")
    pid = int(_libc.syscall(number, flags | signal.SIGCHLD, 0, 0, 0, 0))
    _check(pid, "clone")
    return pid


def join(pidfd: int, flags: int) -> None:
    """Enter the namespaces of another process (a PID namespace: for the children to come)."""
    _check(_libc.setns(pidfd, flags), "setns")


def furnish(hostname: str, hosts: str, mounts: Sequence[Mount] = (), scratch: str = "") -> None:
    """In a container's first process: its pod's host name, a `/proc` of its own where allowed, `/etc/hosts`, volumes.

    Raises `OSError` if a volume or the hosts file ("" for none) cannot be put there.
    """
    name = hostname.encode()
    _libc.sethostname(name, len(name))
    _libc.mount(None, b"/", None, ctypes.c_ulong(_MOUNT_PRIVATE), None)
    wanted = [*mounts, *([Mount(hosts, "/etc/hosts")] if hosts else [])]
    if wanted:
        mount_all(wanted, scratch)
    _libc.mount(b"proc", b"/proc", b"proc", ctypes.c_ulong(_MOUNT_PROC), None)


def _sockaddr(address: str) -> bytes:
    return struct.pack("=H2s4s8x", socket.AF_INET, b"\0\0", socket.inet_aton(address))


def _ioctl(request: int, argument: bytes) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, request, argument)


def loopback_up() -> None:
    """Switch `lo` on, and let short connections reuse their ports as loopback ones may."""
    _ioctl(_SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", _UP_RUNNING))
    try:
        Path("/proc/sys/net/ipv4/tcp_tw_reuse").write_text("1")
    except OSError:
        return  # a read-only /proc/sys: ports may run out above some 450 new connections per second and pod


def add_address(number: int, address: str) -> None:
    """Give `lo` one more address, as alias `number`."""
    alias = f"lo:{number}".encode()
    _ioctl(_SIOCSIFADDR, struct.pack("16s16s", alias, _sockaddr(address)))
    _ioctl(_SIOCSIFNETMASK, struct.pack("16s16s", alias, _sockaddr("255.255.255.255")))


def swallow(address: str) -> None:
    """Route one of our own addresses into nothing: no answer to anything sent there any more, established or new.

    The kernel's local route is replaced by one that is not local, in one step: at no moment is there an answer.
    """
    destination = struct.pack("=HH4s", 8, _RTA_DST, socket.inet_aton(address))
    device = struct.pack("=HHi", 8, _RTA_OIF, socket.if_nametoindex("lo"))
    route = struct.pack("=BBBBBBBBI", socket.AF_INET, 32, 0, 0, _TABLE_LOCAL, _BY_KERNEL, _SCOPE_LINK, _UNICAST, 0)
    body = route + destination + device
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_ROUTE) as netlink:
        netlink.settimeout(1)
        netlink.send(struct.pack("=IHHII", 16 + len(body), _NEWROUTE, _REPLACE, 1, 0) + body)
        (error,) = struct.unpack_from("=i", netlink.recv(1 << 12), 16)
    if error:
        raise OSError(-error, f"route {address}: {os.strerror(-error)}")


def deafen(listener: socket.socket) -> None:
    """Make a socket drop every packet it is sent, the first of a connection too: a filter that lets nothing pass."""
    nothing = ctypes.create_string_buffer(struct.pack("=HBBI", _BPF_RETURN, 0, 0, 0))
    program = struct.pack("HL", 1, ctypes.addressof(nothing))
    listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)
