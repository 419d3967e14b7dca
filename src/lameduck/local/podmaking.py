"""Pods made from their template on this machine: sandbox, address, volumes, and each container's command resolved.

Laws: how well pods can be kept apart is found out by making a whole sandbox; what a pod is given of its own (address,
name, empty folders) is settled before it starts; nothing of it outlives the cluster.
"""

from __future__ import annotations

import os
import resource
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from lameduck.cluster import Observer
from lameduck.core import pod as life
from lameduck.core.errors import EnvironmentFault
from lameduck.local import relay
from lameduck.local.kubelet import Control, Inside, KubeletPod
from lameduck.local.link import Zygote
from lameduck.local.mounting import Mount
from lameduck.local.podplan import environment, expand
from lameduck.local.pool import right_size
from lameduck.local.ports import PortChoice, free_port
from lameduck.local.sandbox import Isolation
from lameduck.local.spec import LocalSpec


class PodMaker:
    """Makes the pods of one cluster. `notes` has what a report must say about their isolation."""

    def __init__(self, spec: LocalSpec, ports: PortChoice) -> None:
        self.isolation = Isolation(user=False, pid=False, net=False)
        self.notes: list[str] = []
        self._spec = spec
        self._ports = ports
        self._zygote = Zygote()
        self._files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        self._ways_out: tuple[relay.Reach, ...] = ()
        self._hosts = ""
        self._made = 0
        self._folder: Path | None = None
        """Ours, for what pods are given of their own; made when one needs it."""

    async def start(self) -> None:
        """Get ready to make pods. Raises `EnvironmentFault` where this machine is in the way."""
        self._prepare_files()
        await self._zygote.start()
        self.isolation = await self._find_isolation()
        self._ports.shared = not self.isolation.net
        if self.isolation.net:
            self._open_ways_out()
        if not self.isolation.pid:
            self._refuse_mounts()

    async def stop(self) -> None:
        """Every pod is over."""
        await self._zygote.stop()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def make(
        self,
        name: str,
        revision: int,
        delays: life.Delays,
        control: Control,
        observe: Observer,
        clock: Callable[[], int],
    ) -> KubeletPod:
        """A new pod, not created yet."""
        spec = self._spec
        self._made += 1
        address = f"198.18.{self._made // 250 % 250}.{self._made % 250 + 2}" if self.isolation.net else "127.0.0.1"
        port = self._ports.assign(name, free_port if not self.isolation.net else None)
        template = spec.pod()
        hostname = name.partition(".")[0]
        own = self._own(name, hostname, address, port, revision)
        inside = {each.name: self._inside(each.name, name, own, port) for each in template.containers}
        holder = self._zygote.holder(
            {
                "name": hostname,
                "address": address,
                "isolation": list(self.isolation),
                "output": str(inside[template.serving].output),
                "nice": spec.nice,
                "files": self._files,
                "reach": self._ways_out,
                "hosts": self._hosts,
                "only_port": 0 if self.isolation.net else port,
                "several": len(template.containers) > 1,
                "share": spec.share_processes,
                "scratch": str(self._place("scratch")) if any(each.mounts for each in inside.values()) else "",
            }
        )
        return KubeletPod(
            pod=life.Pod(name, template, delays),
            holder=holder,
            address=address,
            inside=inside,
            control=control,
            observe=observe,
            clock=clock,
            sockets=right_size(resource.getrlimit(resource.RLIMIT_NOFILE)[0], spec.replicas),
        )

    def discard(self, name: str) -> None:
        """A pod is gone for good, and so are its empty folders."""
        if self._folder is not None:
            shutil.rmtree(self._folder / "pods" / name, ignore_errors=True)

    # what a pod is given

    def _own(self, name: str, hostname: str, address: str, port: int, revision: int) -> dict[str, str]:
        """What the downward API may be asked for, and the variables that every container gets."""
        spec = self._spec
        return {
            "PORT": str(port),
            "POD_NAME": hostname,
            "HOSTNAME": hostname,
            "POD_IP": address,
            "LAMEDUCK_REVISION": str(revision),
            "metadata.name": hostname,
            "metadata.namespace": spec.namespace,
            "metadata.uid": name,
            "status.podIP": address,
            "status.podIPs": address,
            "status.hostIP": "127.0.0.1",
            "spec.nodeName": "local",
            "spec.serviceAccountName": "default",
            **{f"metadata.labels['{key}']": value for key, value in spec.labels.items()},
        }

    def _inside(self, container: str, pod: str, own: Mapping[str, str], port: int) -> Inside:
        spec, process = self._spec, self._spec.process(container)
        told = ["HOSTNAME", "LAMEDUCK_REVISION"]
        if container not in spec.processes:  # a manifest says itself what it wants to know
            told += ["POD_NAME", "POD_IP"]
        if container not in spec.processes or not self.isolation.net:
            told += ["PORT"]
        given = {key: own[key] for key in told}
        said = {**environment(process.environment, own), **spec.env}
        if not self.isolation.net:  # pods that share a network cannot all have the port that was meant
            said.pop("PORT", None)
        variables = {**given, **said}
        words = tuple(word.replace("{port}", str(port)) for word in process.command)
        if container != spec.serving or not spec.command:  # as a manifest says it, not a shell of the user's
            words = tuple(expand(word, variables) for word in words)
        empty = [Mount(str(self._place("pods", pod, volume)), at) for at, volume in process.scratch.items()]
        log = f"{pod}.{container}.log" if container != spec.serving else f"{pod}.log"
        return Inside(words, variables, spec.run_dir / log, process.folder, (*process.mounts, *empty))

    def _place(self, *parts: str) -> Path:
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="lameduck-pods-"))
        place = self._folder.joinpath(*parts)
        place.mkdir(parents=True, exist_ok=True)
        return place

    # this machine

    def _prepare_files(self) -> None:
        try:
            self._spec.run_dir.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise EnvironmentFault(f"cannot write to {self._spec.run_dir}: {error.strerror}") from None
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft != hard:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

    def _open_ways_out(self) -> None:
        """Give the pods an `/etc/hosts` with the names that they may reach outside of their network."""
        self._ways_out = relay.plan(self._spec.reach)
        if any(way.named for way in self._ways_out):
            hosts = self._spec.run_dir.resolve() / "hosts"
            hosts.write_text(relay.hosts(self._ways_out, Path("/etc/hosts").read_text(encoding="utf-8")), "utf-8")
            self._hosts = str(hosts)

    def _refuse_mounts(self) -> None:
        for name, process in self._spec.processes.items():
            paths = [*(each.target for each in process.mounts), *process.scratch]
            if paths:
                raise EnvironmentFault(
                    f"container {name} mounts {paths[0]}, and this system allows no mount namespace to put it there: "
                    "run lameduck as root, or allow user namespaces"
                )

    async def _find_isolation(self) -> Isolation:
        """The best sandbox that this system allows: found out by making one, not by a system call's return value."""
        if os.environ.get("LAMEDUCK_SANDBOX") == "off":
            self.notes.append("no sandbox: LAMEDUCK_SANDBOX=off; the kernel's rules for process 1 are emulated")
            return Isolation(user=False, pid=False, net=False)
        net = self._spec.network == "sandbox"
        why_not = ""
        for user in (True, False):
            wanted = Isolation(user=user, pid=True, net=net)
            said = await self._zygote.trial(wanted)
            if not said:
                if not net:
                    self.notes.append("the pods share this machine's network: each has a port of its own in $PORT")
                return wanted
            why_not = why_not or said
        self.notes.append(
            f"this system allows no sandbox ({why_not}): the pods are bare processes that share its network, each with "
            "a port of its own in $PORT, and the kernel's rules for process 1 are emulated"
        )
        return Isolation(user=False, pid=False, net=False)
