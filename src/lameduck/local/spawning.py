"""How a pod's processes come to be: its first process, and the hooks that run beside it.

Law: a started program finds the world a container runtime would give it: every signal at its default and unblocked, a
session of its own, no input, both outputs in the pod's file, and no descriptor of ours. If it cannot be executed, the
caller gets the `OSError`, not the pod an exit code.
"""

from __future__ import annotations

import os
import resource
import signal
import socket
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, NoReturn

from lameduck.local import processes, sandbox
from lameduck.local.mounting import Mount
from lameduck.local.sandbox import Isolation

_OWN = sandbox.CLONE_NEWPID | sandbox.CLONE_NEWNS | sandbox.CLONE_NEWUTS
_CANNOT_EXECUTE = 127


class Program(NamedTuple):
    """What to execute and with what around it."""

    command: Sequence[str]
    environment: Mapping[str, str]
    output: str
    """The file that gets what it prints."""
    nice: int
    files: int
    """Its limit of open files, soft; the hard one stays."""
    hosts: str = ""
    """A file that stands in for `/etc/hosts`; "" for the machine's own."""
    folder: str = ""
    """Where it starts; "" for where lameduck was started."""
    mounts: Sequence[Mount] = ()
    scratch: str = ""
    """An empty folder of ours, to arrange the mounts in."""


def first_process(program: Program, isolation: Isolation, hostname: str) -> int:
    """Start a container's first process, process 1 of a PID namespace where there is one; its pid as seen from here.

    Raises `OSError` if it cannot be executed.
    """
    report, blame = os.pipe2(os.O_CLOEXEC)
    pid = sandbox.clone(_OWN) if isolation.pid else os.fork()
    if pid == 0:

        def prepare() -> None:
            sandbox.die_with_parent(signal.SIGKILL)
            if isolation.pid:
                sandbox.furnish(hostname, program.hosts, program.mounts, program.scratch)

        _execute(program, prepare, blame)
    return _started(pid, report, blame)


def kept_process(program: Program, pause: int, hostname: str) -> int:
    """Start a container's first process below a keeper, in the PID namespace of the process behind the pidfd `pause`
    (-1: in this one); the keeper's pid. It ends as the first process does, after everything below that.

    Raises `OSError` if it cannot be executed.
    """
    report, blame = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        try:
            sandbox.die_with_parent(signal.SIGKILL)
            if pause >= 0:
                sandbox.join(pause, _OWN)
                inner = os.fork()
                if inner:
                    os.close(blame)
                    _end_like(inner)
                sandbox.die_with_parent(signal.SIGKILL)
                sandbox.unshare(sandbox.CLONE_NEWNS)
            _keep(program, hostname if pause >= 0 else "", blame)
        except OSError as error:
            _give_up(blame, error)
    return _started(pid, report, blame)


def _keep(program: Program, hostname: str, blame: int) -> NoReturn:
    """Be the parent of a first process until its end, and of everything that it leaves behind."""
    sandbox.rename("pod keeper")
    sandbox.adopt_orphans()
    child = os.fork()
    if child == 0:

        def prepare() -> None:
            sandbox.die_with_parent(signal.SIGKILL)
            if hostname:
                sandbox.furnish(hostname, program.hosts, program.mounts, program.scratch)

        _execute(program, prepare, blame)
    os.close(blame)
    while True:
        ended, status = os.wait()
        if ended == child:
            break
    processes.end_descendants(os.getpid())
    code = os.waitstatus_to_exitcode(status)
    if code < 0:  # the holder must see that it was a signal
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        if -code not in {signal.SIGKILL, signal.SIGSTOP}:
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(128 - code if code < 0 else code)


def pause_process(hostname: str) -> int:
    """Start the process 1 of a PID namespace that several containers share: it only reaps. Its pid."""
    pid = sandbox.clone(_OWN)
    if pid == 0:
        sandbox.die_with_parent(signal.SIGKILL)
        sandbox.furnish(hostname, "")
        sandbox.rename("pause")
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        while True:
            signal.pause()
    return pid


def hook(program: Program, pidfd: int) -> int:
    """Start a hook in the pod of the process behind `pidfd` (-1: here); its pid, or that of one who ends as it does.

    Raises `OSError` if it cannot be executed.
    """
    report, blame = os.pipe2(os.O_CLOEXEC)
    here = program._replace(folder=program.folder or str(Path.cwd()))  # joining a mount namespace leads to its root
    pid = os.fork()
    if pid == 0:
        try:
            if pidfd >= 0:
                sandbox.join(pidfd, _OWN)
                inner = os.fork()
                if inner:
                    os.close(blame)
                    _end_like(inner)
        except OSError as error:
            _give_up(blame, error)
        _execute(here, lambda: sandbox.die_with_parent(signal.SIGKILL), blame)
    return _started(pid, report, blame)


def deaf_listener(address: str, port: int) -> list[socket.socket]:
    """Sockets that make a port swallow every new connection. Keep them.

    A listener that drops every packet; where only root may have such a one, a listener whose queue is full (whoever
    comes in the microseconds before it is, is accepted, and never answered). Raises `OSError` while somebody else has
    the port.
    """
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    fillers: list[socket.socket] = []
    try:
        sandbox.deafen(listener)
    except PermissionError:
        fillers = [socket.socket(type=socket.SOCK_STREAM | socket.SOCK_NONBLOCK) for _ in range(2)]
    listener.bind((address, port))
    listener.listen(0)
    for filler in fillers:
        filler.connect_ex((address, port))
    return [listener, *fillers]


def _started(pid: int, report: int, blame: int) -> int:
    os.close(blame)
    with os.fdopen(report, encoding="utf-8") as pipe:
        number, _, why = pipe.read().partition(" ")
    if number:
        os.waitpid(pid, 0)
        raise OSError(int(number), why)
    return pid


def _execute(program: Program, prepare: Callable[[], None], blame: int) -> NoReturn:
    try:
        folder = program.folder or (str(Path.cwd()) if program.mounts else "")
        nothing = os.open(os.devnull, os.O_RDONLY)
        output = os.open(program.output, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)  # before a volume covers it
        prepare()
        if folder:
            os.chdir(folder)
        os.setsid()
        os.nice(program.nice)
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(program.files, hard), hard))
        os.dup2(nothing, 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        os.execvpe(program.command[0], list(program.command), dict(program.environment))  # noqa: S606
    except OSError as error:
        _give_up(blame, error)


def _give_up(blame: int, error: OSError) -> NoReturn:
    os.write(blame, f"{error.errno or 5} {error.strerror or error}".encode())
    os._exit(_CANNOT_EXECUTE)


def _end_like(child: int) -> NoReturn:
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    os._exit(128 - code if code < 0 else code)
