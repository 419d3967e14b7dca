"""The holder of one pod: the process that lives in its namespaces and does there what lameduck asks.

It starts the pod's first process, probes it, runs its hooks, watches its listeners and its end, and hands out sockets
that were born in the pod's network. Law: it decides nothing; it reports what it saw with the instant at which it saw
it; and when lameduck or its zygote is gone, the pod is.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import time
import traceback
from typing import Any, NoReturn

from lameduck.local import channel, processes, relay, sandbox, spawning
from lameduck.local.asking import Asking, Question
from lameduck.local.listeners import Listeners
from lameduck.local.sandbox import Isolation

_POD, _REACH = 1, 2
"""Numbers of aliases of `lo`; those of `--reach` count on from the last."""
NOT_FOUND = 127
"""A shell's exit code for a command that is not there (POSIX, Shell Command Language 2.8.2)."""
MOST_ENDS = 256
"""So many ends of processes are told of one pod."""


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
        self._pid = 0
        self._caught, self._handler_gone = 0, False
        self._pidfd = -1
        self._hook = -1
        self._hook_pid = 0
        self._asking: dict[int, Asking] = {}
        self._seen: list[list[Any]] = []
        self._listeners: Listeners | None = None
        self._watch_every = 0
        self._watch_next = 0
        self._deaf: list[socket.socket] = []
        self._below: set[int] = set()
        self._left_behind = 0
        self._ends: list[int] = []
        """When processes below process 1 ended, from the stop signal on."""
        self._waited: frozenset[int] = frozenset()
        self._unaccepted: frozenset[int] | None = None
        """Connections in the accept queue at two looks in a row; None before the stop signal."""
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
                elif descriptor == self._pidfd:
                    self._ended()
                elif descriptor in self._below:
                    self._child_ended(descriptor)
                elif descriptor == self._hook:
                    self._hook_ended()
                elif descriptor in self._asking:
                    self._ask_on(descriptor)
            self._on_time()

    def _patience(self) -> int | None:
        times = [asking.deadline for asking in self._asking.values() if asking.deadline]
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
        if self._watch_every and now >= self._watch_next:
            self._watch_next = now + self._watch_every
            self._look()

    def _say(self, saw: str, **facts: Any) -> None:
        channel.send(self._control, {"saw": saw, "at": facts.pop("at", None) or time.monotonic_ns(), **facts})

    # what lameduck asks for

    def _do_run(self, message: channel.Message) -> None:
        try:
            self._pid = spawning.first_process(self._program(message), self._isolation, self._name)
        except OSError as error:
            self._say("failed", message=str(error.strerror or error))
            return
        self._pidfd = os.pidfd_open(self._pid)
        self._poll.register(self._pidfd, select.POLLIN)
        self._say("started", pid=self._pid)

    def _program(self, message: channel.Message) -> spawning.Program:
        order = self._order
        environment = {**os.environ, **message["environment"]}
        return spawning.Program(
            message["command"], environment, order["output"], order["nice"], order["files"], order["hosts"]
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
        facts = processes.reaction(self._pid, message["signal"])
        self._watch_children()
        at = time.monotonic_ns()
        if facts and (self._isolation.pid or facts["caught"]):
            os.kill(self._pid, message["signal"])
        if facts:
            self._caught = message["signal"] if facts["caught"] else 0
            self._say("signalled", at=at, **facts)

    def _watch_children(self) -> None:
        """From the stop signal on: whom does process 1 leave behind, and whom the listener?"""
        self._unaccepted = frozenset()
        for child in processes.descendants(self._pid):
            try:
                descriptor = os.pidfd_open(child)
            except OSError:
                continue
            self._below.add(descriptor)
            self._poll.register(descriptor, select.POLLIN)

    def _child_ended(self, descriptor: int) -> None:
        """A process of the pod ended: after process 1 had begun to end itself, it was left behind."""
        self._left_behind += processes.ending(self._pid)
        self._ends.append(time.monotonic_ns())
        self._below.discard(descriptor)
        self._forget(descriptor)
        os.close(descriptor)

    def _do_kill(self, _: channel.Message) -> None:
        if self._pid:
            self._handler_gone = bool(self._caught) and not processes.reaction(self._pid, self._caught).get("caught", 1)
            os.kill(self._pid, signal.SIGKILL)

    def _do_ask(self, message: channel.Message) -> None:
        asking = Asking(Question(**message["question"]))
        self._asking[asking.socket.fileno()] = asking
        self._ask_on(asking.socket.fileno())

    def _do_hook(self, message: channel.Message) -> None:
        try:
            self._hook_pid = spawning.hook(self._program(message), self._pidfd if self._isolation.pid else -1)
        except OSError as error:
            why = str(error.strerror or error).lower()
            missing = isinstance(error, FileNotFoundError)
            self._say("hook ended", ok=False, message=f"{message['command'][0]}: {why}", missing=missing)
            return
        self._hook = os.pidfd_open(self._hook_pid)
        self._poll.register(self._hook, select.POLLIN)

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
        if seen != self._seen:
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
        self._say("answer", to=asking.question.name, ok=result[0], message=result[1])

    def _forget(self, descriptor: int) -> None:
        try:
            self._poll.unregister(descriptor)
        except KeyError:
            return

    def _ended(self) -> None:
        at = time.monotonic_ns()
        for descriptor in list(self._below):
            self._child_ended(descriptor)
        _, status = os.waitpid(self._pid, 0)
        if not self._isolation.pid:
            processes.end_descendants(os.getpid())
        self._forget(self._pidfd)
        os.close(self._pidfd)
        self._pid, self._pidfd, self._seen = 0, -1, []
        code = os.waitstatus_to_exitcode(status)
        told = {
            "left_behind": self._left_behind,
            "unaccepted_ports": sorted(self._unaccepted or ()),
            "process_ends": self._ends[-MOST_ENDS:],
            "handler_gone": self._handler_gone,
            "raised_again": not self._isolation.pid and bool(self._caught) and code == -self._caught,
        }
        self._left_behind, self._ends, self._waited, self._unaccepted = 0, [], frozenset(), None
        self._caught, self._handler_gone = 0, False
        self._say("exited", at=at, code=_exit_code(code), facts={key: value for key, value in told.items() if value})

    def _hook_ended(self) -> None:
        try:
            code = os.waitstatus_to_exitcode(os.waitpid(self._hook_pid, 0)[1])
        except ChildProcessError:  # it went with the pod's other processes
            code = -signal.SIGKILL
        self._forget(self._hook)
        os.close(self._hook)
        self._hook, self._hook_pid = -1, 0
        why = "the container ended before it" if processes.ending(self._pid) else f"ended with {_exit_code(code)}"
        self._say("hook ended", ok=code == 0, message="" if code == 0 else why, missing=code == NOT_FOUND)

    def end(self) -> None:
        """Take the pod down: nothing of it is left when this returns."""
        if self._isolation.pid and self._pid:
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
        processes.end_descendants(os.getpid())


def _exit_code(code: int) -> int:
    """As a container runtime tells it: 128 + n for signal n."""
    return 128 - code if code < 0 else code


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
    except SystemExit:
        pass
    except Exception:
        try:
            holder._say("fault", message=traceback.format_exc())
        except OSError:
            traceback.print_exc()
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        holder.end()
