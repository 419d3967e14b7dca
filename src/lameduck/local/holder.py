"""The holder of one pod: the process that lives in its namespaces and does there what lameduck asks.

It starts the pod's containers, probes them, runs their hooks, watches their listeners and their ends, and hands out
sockets that were born in the pod's network. Law: it decides nothing; it reports what it saw with the instant at which
it saw it; and when lameduck or its zygote is gone, the pod is.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import time
import traceback
from typing import Any, NamedTuple, NoReturn

from lameduck.local import channel, processes, relay, sandbox, spawning
from lameduck.local.asking import Asking, Question
from lameduck.local.contained import Contained, exit_code
from lameduck.local.listeners import Listeners
from lameduck.local.mounting import Mount
from lameduck.local.sandbox import Isolation

_POD, _REACH = 1, 2
"""Numbers of aliases of `lo`; those of `--reach` count on from the last."""
NOT_FOUND = 127
"""A shell's exit code for a command that is not there (POSIX, Shell Command Language 2.8.2)."""


class Beside(NamedTuple):
    """A program that runs beside a container's first process: a hook, an exec probe, a command of the user's."""

    container: str
    which: str
    pid: int
    deadline: int
    """When it is killed (ns); 0 for never."""


class Holder:
    """One pod's holder. `order` is what the zygote was told: name, address, isolation, output file, priority."""

    def __init__(self, control: socket.socket, order: channel.Message) -> None:
        self._control = control
        self._name: str = order["name"]
        self._address: str = order["address"]
        self._isolation = Isolation(*order["isolation"])
        self._order = order
        self._ways_out = [relay.Reach(*each) for each in order["reach"]]
        self._relayed = {(way.inside, way.port) for way in self._ways_out}
        self._containers: dict[str, Contained] = {}
        self._pause = -1
        """The pidfd of the process 1 that the containers share (``shareProcessNamespace``)."""
        self._beside: dict[int, Beside] = {}
        self._asking: dict[int, Asking] = {}
        self._seen: list[list[Any]] = []
        self._listeners: Listeners | None = None
        self._watch_every = 0
        self._watch_next = 0
        self._deaf: list[socket.socket] = []
        self._waited: frozenset[int] = frozenset()
        self._unaccepted: frozenset[int] | None = None
        """Connections in the accept queue at two looks in a row; None before the stop signal."""
        self._resets: int | None = None
        """How many accepted connections the pod's kernel had reset at the stop signal."""
        self._poll = select.poll()

    def move_in(self, parent: socket.socket) -> None:
        """Enter the pod's namespaces, and open the ways out of them. Raises `OSError` where the system forbids it."""
        ways = self._ways_out
        outside = relay.fork(ways, self._order["output"], leave=(self._control, parent)) if ways else None
        with parent:
            enter(self._isolation, self._address, parent)
        if outside is not None:
            relay.open_ways(ways, outside, first_alias=_REACH)

    def serve(self) -> None:
        """Work until the channel ends."""
        self._poll.register(self._control, select.POLLIN)
        self._listeners = Listeners()
        self._say("up")
        while True:
            for descriptor, _ in self._poll.poll(self._patience()):
                if descriptor == self._control.fileno():
                    message, _ = channel.receive(self._control)
                    if message is None:
                        return
                    getattr(self, "_do_" + message["do"])(message)
                elif descriptor in self._beside:
                    self._beside_ended(descriptor)
                elif descriptor in self._asking:
                    self._ask_on(descriptor)
                else:
                    self._container_moved(descriptor)
            self._on_time()

    def _container_moved(self, descriptor: int) -> None:
        for each in self._containers.values():
            if descriptor == each.pidfd:
                return self._ended(each)
            if descriptor in each.below:
                return self._child_ended(each, descriptor)
        return None

    def _patience(self) -> int | None:
        times = [asking.deadline for asking in self._asking.values() if asking.deadline]
        times += [beside.deadline for beside in self._beside.values() if beside.deadline]
        if self._watch_every:
            times.append(self._watch_next)
        if not times:
            return None
        return max(0, (min(times) - time.monotonic_ns() + 999_999) // 1_000_000)

    def _on_time(self) -> None:
        now = time.monotonic_ns()
        for descriptor, asking in list(self._asking.items()):
            if asking.deadline and now >= asking.deadline:
                self._ask_on(descriptor)
        for beside in self._beside.values():
            if beside.deadline and now >= beside.deadline:
                processes.end(beside.pid)
        if self._watch_every and now >= self._watch_next:
            self._watch_next = now + self._watch_every
            self._look()

    def _say(self, saw: str, **facts: Any) -> None:
        channel.send(self._control, {"saw": saw, "at": facts.pop("at", None) or time.monotonic_ns(), **facts})

    # what lameduck asks for

    def _do_run(self, message: channel.Message) -> None:
        name = message["container"]
        each = self._containers.setdefault(name, Contained(name))
        program = self._program(message)
        try:
            if self._order["share"] and self._isolation.pid:
                each.started(spawning.kept_process(program, self._shared(), self._name), below=2)
            elif self._order["several"] and not self._isolation.pid:
                each.started(spawning.kept_process(program, -1, self._name), below=1)
            else:
                each.started(spawning.first_process(program, self._isolation, self._name))
        except OSError as error:
            self._say("failed", container=name, message=str(error.strerror or error))
            return
        self._poll.register(each.pidfd, select.POLLIN)
        self._say("started", container=name, pid=each.pid)

    def _shared(self) -> int:
        """The pidfd of the process 1 of a PID namespace for all containers."""
        if self._pause < 0:
            self._pause = os.pidfd_open(spawning.pause_process(self._name))
        return self._pause

    def _program(self, message: channel.Message) -> spawning.Program:
        order = self._order
        return spawning.Program(
            message["command"],
            {**os.environ, **message["environment"]},
            message["output"],
            order["nice"],
            order["files"],
            order["hosts"],
            message.get("folder", ""),
            [Mount(*each) for each in message.get("mounts", ())],
            order["scratch"],
        )

    def _do_sockets(self, message: channel.Message) -> None:
        made: list[socket.socket] = []
        try:
            made += (socket.socket(type=socket.SOCK_STREAM | socket.SOCK_NONBLOCK) for _ in range(message["count"]))
            channel.send(self._control, {"saw": "sockets", "at": 0}, [s.fileno() for s in made])
        finally:
            for each in made:
                each.close()

    def _do_signal(self, message: channel.Message) -> None:
        each = self._containers[message["container"]]
        facts = processes.reaction(each.pid, message["signal"])
        if self._order["share"] and facts:  # not process 1: what is not caught ends it
            facts["caught"] = not facts["ignored"]
        if message["serving"]:
            self._unaccepted = frozenset()
            self._resets = self._listeners.resets() if self._listeners and self._isolation.net else None
        for descriptor in each.watch_children():
            self._poll.register(descriptor, select.POLLIN)
        at = time.monotonic_ns()
        if facts and (self._isolation.pid or facts["caught"]):
            os.kill(each.pid, message["signal"])
        if facts:
            each.caught = message["signal"] if facts["caught"] else 0
            self._say("signalled", at=at, container=each.name, facts=facts)

    def _child_ended(self, each: Contained, descriptor: int) -> None:
        self._forget(descriptor)
        each.child_ended(descriptor, time.monotonic_ns())

    def _do_kill(self, message: channel.Message) -> None:
        self._containers[message["container"]].kill()

    def _do_ask(self, message: channel.Message) -> None:
        asking = Asking(Question(**message["question"]))
        self._asking[asking.socket.fileno()] = asking
        self._ask_on(asking.socket.fileno())

    def _do_exec(self, message: channel.Message) -> None:
        """Run a program in a container, beside its first process."""
        name, which = message["container"], message["which"]
        each = self._containers[name]
        if not each.pid:
            self._say("exec ended", container=name, which=which, ok=False, message="its container does not run")
            return
        try:
            pid = spawning.hook(self._program(message), each.inside if self._isolation.pid else -1)
        except OSError as error:
            why = f"{message['command'][0]}: {str(error.strerror or error).lower()}"
            missing = isinstance(error, FileNotFoundError)
            self._say("exec ended", container=name, which=which, ok=False, message=why, missing=missing)
            return
        pidfd = os.pidfd_open(pid)
        timeout = message.get("timeout", 0)
        self._beside[pidfd] = Beside(name, which, pid, time.monotonic_ns() + timeout if timeout else 0)
        self._poll.register(pidfd, select.POLLIN)

    def _do_watch(self, message: channel.Message) -> None:
        self._watch_every = message["every"]
        self._watch_next = time.monotonic_ns()

    def _do_silence(self, message: channel.Message) -> None:
        try:
            if self._isolation.net:
                sandbox.swallow(self._address)
            else:
                self._deaf = spawning.deaf_listener(self._address, message["port"])
        except OSError as error:
            self._say("not silent", message=str(error.strerror or error))

    # what happens to the pod

    def _look(self) -> None:
        assert self._listeners is not None
        only = self._order["only_port"]
        mine = [one for one in self._listeners.now() if only in {0, one.port} and tuple(one[:2]) not in self._relayed]
        seen = sorted([one.port, str(one), one.reaches(self._address)] for one in mine)
        if self._unaccepted is not None and seen:
            waiting = self._listeners.waiting()
            self._waited, self._unaccepted = waiting, waiting & self._waited
        # What ends with its process did not close by itself: that is told as the process's end.
        if seen != self._seen and not any(
            each.pid and processes.ending(each.pid) for each in self._containers.values()
        ):
            self._seen = seen
            self._say("listeners", listeners=seen)

    def _ask_on(self, descriptor: int) -> None:
        asking = self._asking[descriptor]
        result = asking.poll()
        if result is None:
            self._poll.register(descriptor, asking.events)
            return
        if descriptor in self._asking:
            del self._asking[descriptor]
            self._forget(descriptor)
            asking.close()
        container, which = asking.question.name.split("/")
        self._say("answer", container=container, which=which, ok=result[0], message=result[1])

    def _forget(self, descriptor: int) -> None:
        try:
            self._poll.unregister(descriptor)
        except KeyError:
            return

    def _ended(self, each: Contained) -> None:
        at = time.monotonic_ns()
        for descriptor in list(each.below):
            self._child_ended(each, descriptor)
        self._forget(each.pidfd)
        code, facts = each.reap()
        facts["raised_again"] = facts["raised_again"] and not self._isolation.pid
        if not self._isolation.pid and not self._order["several"]:
            processes.end_descendants(os.getpid())
        for beside in self._beside.values():
            if beside.container == each.name:
                processes.end(beside.pid)
        if self._unaccepted is not None:
            facts["unaccepted_ports"] = sorted(self._unaccepted)
            assert self._listeners is not None
            facts["none_reset_once_accepted"] = self._resets is not None and self._resets == self._listeners.resets()
        self._waited, self._unaccepted, self._seen = frozenset(), None, []
        told = {key: value for key, value in facts.items() if value}
        self._say("exited", at=at, container=each.name, code=code, facts=told)

    def _beside_ended(self, descriptor: int) -> None:
        beside = self._beside.pop(descriptor)
        try:
            code = os.waitstatus_to_exitcode(os.waitpid(beside.pid, 0)[1])
        except ChildProcessError:  # it went with the pod's other processes
            code = -signal.SIGKILL
        self._forget(descriptor)
        os.close(descriptor)
        pid = self._containers[beside.container].pid
        cut = processes.ending(pid)
        why = "the container ended before it" if cut else f"ended with {exit_code(code)}"
        if beside.deadline and time.monotonic_ns() >= beside.deadline:
            code, why = code or 1, "it did not end in time"
        answer = {"ok": code == 0, "message": "" if code == 0 else why, "missing": code == NOT_FOUND, "cut": cut}
        self._say("exec ended", container=beside.container, which=beside.which, **answer)

    def end(self) -> None:
        """Take the pod down: nothing of it is left when this returns."""
        processes.end_descendants(os.getpid())


def enter(isolation: Isolation, address: str, parent: socket.socket) -> None:
    """Move this process into the pod's namespaces; `parent` is the zygote, which can map what we may not.

    Raises `OSError` where the system forbids it.
    """
    uid, gid = os.getuid(), os.getgid()
    flags = (sandbox.CLONE_NEWUSER * isolation.user) | (sandbox.CLONE_NEWNET * isolation.net)
    if flags:
        sandbox.unshare(flags)
    if isolation.user:
        parent.send(b"map")
        if parent.recv(1) != b"y":
            sandbox.map_self(uid, gid)
    if isolation.net:
        sandbox.loopback_up()
        sandbox.add_address(_POD, address)


def _stop(*_: object) -> NoReturn:
    raise SystemExit


def main(control: socket.socket, order: channel.Message, parent: socket.socket) -> None:
    """The holder's whole life, in a fresh child of the zygote."""
    holder = Holder(control, order)
    try:
        signal.signal(signal.SIGTERM, _stop)
        sandbox.rename(f"pod {order['name'][-10:]}")
        holder.move_in(parent)
        sandbox.die_with_parent(signal.SIGTERM)
        sandbox.adopt_orphans()
        if os.getppid() == order["zygote"]:
            holder.serve()
    except (SystemExit, BrokenPipeError, ConnectionResetError):
        pass  # lameduck is gone, or has no use for this pod any more
    except Exception:
        try:
            holder._say("fault", message=traceback.format_exc())
        except OSError:
            traceback.print_exc()
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        holder.end()
