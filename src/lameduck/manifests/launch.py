"""What a container will start: the manifest's command and args over the image's ENTRYPOINT, CMD and STOPSIGNAL.

Law: ``command`` replaces ENTRYPOINT and CMD, ``args`` replaces CMD (Kubernetes, pod API). ENTRYPOINT in a stage
forgets the CMD of its base; the shell form of ENTRYPOINT ignores CMD (Dockerfile reference). A base image that is not
known leaves the entry point unknown unless the stage sets it.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from lameduck.manifests import images
from lameduck.manifests.dockerfile import Dockerfile, Instruction, Stage
from lameduck.manifests.imagefiles import Found
from lameduck.manifests.images import Facts, ImageFacts
from lameduck.manifests.programs import WRAPPERS, base
from lameduck.manifests.signals import signal_name
from lameduck.manifests.text import Text
from lameduck.manifests.unwrap import inner, shell_code
from lameduck.manifests.workloads import Container, Workload


@dataclass(frozen=True, slots=True)
class Code:
    """Shell code of a shell form or of ``sh -c``, with the place of each of its characters."""

    text: Text
    code: str
    offsets: tuple[int, ...]
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Launch:
    """How one container, or one Dockerfile alone, starts."""

    argv: tuple[str, ...] | None
    """The command line of PID 1; None when it cannot be known."""
    text: Text
    start: int
    end: int
    """Where the first word is written."""
    base: ImageFacts
    code: Code | None = None
    """The shell code in ``argv``, where there is one."""
    code_form: str = ""
    """"shell" for a shell form, "exec" for ``sh -c`` in an exec form, "command" in a manifest."""
    instruction: Instruction | None = None
    entry_execs: bool = False
    """Whether the base image's own entry point stands before ``argv`` and replaces itself."""
    entry: tuple[str, ...] = ()
    stop_signal: str | None = "TERM"
    stop_from: Instruction | None = None
    """The STOPSIGNAL line; None when it is inherited or the default."""
    stop_inherited: bool = False
    stop_in_manifest: bool = False
    dockerfile: Dockerfile | None = None
    stage: Stage | None = None
    container: Container | None = None
    workload: Workload | None = None
    environment: dict[str, str] = field(default_factory=dict)
    mounts: dict[str, Found] = field(default_factory=dict)
    """Files that the container mounts from ConfigMaps, by their paths."""
    bypassed: tuple[str, ...] = ()
    """The image's entry point, where the manifest's command replaces it."""

    @property
    def shell(self) -> str | None:
        """What /bin/sh is in the image: dash, ash, bash, "" for none, None for unknown."""
        return self.base.shell

    @property
    def settled(self) -> dict[str, str]:
        """The variables whose values cannot be others: no references, and of the image's own none that a container's
        envFrom may replace."""
        own = {item["name"].string for item in self.container.node["env"].items()} if self.container else set()
        replaced = self.container is not None and bool(self.container.node["envFrom"])
        return {
            name: value
            for name, value in self.environment.items()
            if "$" not in value and (name in own or not replaced)
        }

    @property
    def root(self) -> bool | None:
        """Whether it starts as root: what the manifest says, else the last USER, else what the base image is known for;
        None when that cannot be told."""
        for node in (self.container.node, self.workload.pod) if self.container and self.workload else ():
            context = node["securityContext"]
            if (user := context["runAsUser"].integer) is not None:
                return user == 0
            if context["runAsNonRoot"].boolean:
                return False
        for one in reversed(_lineage(self.stage)) if self.stage else ():
            if (line := one.last("USER")) is not None:
                return None if "$" in line.value else line.value.partition(":")[0].strip() in {"root", "0"}
        return True if self.base.root else None


@dataclass(frozen=True, slots=True)
class _Line:
    """A command line as an image holds it: words, and where they come from."""

    words: tuple[str, ...]
    instruction: Instruction | None
    shell_form: bool = False


def of_image(dockerfile: Dockerfile, facts: Facts = images.facts) -> Launch | None:
    """How the image of a Dockerfile starts by itself; None for a file without a stage."""
    stage = dockerfile.final
    return None if stage is None else _launch(dockerfile, stage, None, None, facts)


def of_container(
    container: Container, workload: Workload, dockerfile: Dockerfile | None, facts: Facts = images.facts
) -> Launch | None:
    """How a container of a workload starts, with the Dockerfile of its image where that is in the input."""
    stage = dockerfile.final if dockerfile else None
    if dockerfile is not None and stage is not None:
        return _launch(dockerfile, stage, container, workload, facts)
    known = facts(container.image or "")
    entry = _Line(known.entrypoint, None) if known.entrypoint is not None else None
    return _assemble(entry, _Line(known.cmd, None), known, None, None, container, workload)


def _launch(
    dockerfile: Dockerfile, stage: Stage, container: Container | None, workload: Workload | None, facts: Facts
) -> Launch | None:
    root = stage.root
    known = facts(root.base) if root.resolved else images.UNKNOWN
    entry = _Line(known.entrypoint, None) if known.entrypoint is not None else None
    cmd: _Line | None = _Line(known.cmd, None)
    for one in _lineage(stage):
        shell = _shell(one)
        own_entry, own_cmd = one.last("ENTRYPOINT"), one.last("CMD")
        if own_entry is not None:
            entry, cmd = _line(own_entry, shell), None
        if own_cmd is not None:
            cmd = _line(own_cmd, shell)
    return _assemble(entry, cmd, known, dockerfile, stage, container, workload)


def _lineage(stage: Stage) -> list[Stage]:
    return [*(_lineage(stage.parent) if stage.parent else []), stage]


def _shell(stage: Stage) -> tuple[str, ...]:
    for one in reversed(_lineage(stage)):
        if (line := one.last("SHELL")) is not None and line.json:
            return line.json
    return ("/bin/sh", "-c")


def _line(instruction: Instruction, shell: tuple[str, ...]) -> _Line:
    words = instruction.json
    if words is not None:
        return _Line(words, instruction)
    return _Line((*shell, instruction.value), instruction, shell_form=True)


def _assemble(
    entry: _Line | None,
    cmd: _Line | None,
    known: ImageFacts,
    dockerfile: Dockerfile | None,
    stage: Stage | None,
    container: Container | None,
    workload: Workload | None,
) -> Launch | None:
    command = container.command if container else None
    args = container.args if container else None
    signal, signal_from, inherited, in_manifest = _signal(stage, known, container)
    text, start, end = _place(entry, cmd, dockerfile, stage, container)
    common = Launch(
        None,
        text,
        start,
        end,
        known,
        stop_signal=signal,
        stop_from=signal_from,
        stop_inherited=inherited,
        stop_in_manifest=in_manifest,
        dockerfile=dockerfile,
        stage=stage,
        container=container,
        workload=workload,
        environment=_environment(stage, container),
    )
    if command is not None and container is not None:
        argv = (*command, *(args or ()))
        node = container.node["command"]
        code = _code_in_manifest(argv, container)
        return replace(
            common,
            argv=_expanded(argv, code, common.environment),
            text=container.node.text,
            start=node.entry_start,
            end=node.end,
            code=code,
            code_form="command",
            bypassed=entry.words if entry is not None and not entry.shell_form else (),
        )
    if entry is None:
        return common
    if entry.shell_form:
        return replace(common, argv=entry.words, code=_code(entry), code_form="shell", instruction=entry.instruction)
    tail = args if args is not None else cmd.words if cmd else ()
    replaced_by_base = entry.instruction is None and known.entry_execs
    first = () if replaced_by_base else entry.words
    argv = (*first, *tail)
    code, form, instruction = None, "", entry.instruction
    if args is not None and container is not None:
        code, form = _code_in_manifest(argv, container), "command"
    elif not first and cmd is not None and cmd.instruction is not None:
        instruction = cmd.instruction
        code, form = (_code(cmd), "shell") if cmd.shell_form else (_code_in_exec(argv, cmd.instruction), "exec")
    elif entry.instruction is not None:
        code, form = _code_in_exec(argv, entry.instruction), "exec"
        if cmd is not None and cmd.instruction is not None and entry.words and base(entry.words[0]) in WRAPPERS:
            # an init or a wrapper as ENTRYPOINT: the command line, and what is to be mended in it, is CMD's
            if cmd.shell_form:
                code, form, instruction = _code(cmd), "shell", cmd.instruction
            elif (found := _code_in_exec(cmd.words, cmd.instruction)) is not None:
                code, instruction = found, cmd.instruction
            if not inner(entry.words):
                text, start, end = cmd.instruction.text, cmd.instruction.start, cmd.instruction.end
                instruction = cmd.instruction
    if first == () and args is not None and container is not None:
        node = container.node["args"]
        text, start, end = container.node.text, node.entry_start, node.end
    if args is not None:
        argv = _expanded(argv, code, common.environment)
    return replace(
        common,
        argv=argv or None,
        text=text,
        start=start,
        end=end,
        code=code,
        code_form=form,
        instruction=instruction,
        entry_execs=replaced_by_base,
        entry=entry.words if replaced_by_base else (),
    )


_REFERENCE = re.compile(r"\$\$|\$\((\w+)\)")


def _expanded(argv: tuple[str, ...], code: Code | None, environment: Mapping[str, str]) -> tuple[str, ...]:
    """``$(NAME)`` as the kubelet expands it in command and args; shell code stays as written, by its places."""

    def value(match: re.Match[str]) -> str:
        return "$" if match[1] is None else environment.get(match[1]) or match[0]

    return tuple(word if code is not None and word == code.code else _REFERENCE.sub(value, word) for word in argv)


def _place(
    entry: _Line | None,
    cmd: _Line | None,
    dockerfile: Dockerfile | None,
    stage: Stage | None,
    container: Container | None,
) -> tuple[Text, int, int]:
    for line in (entry, cmd):
        if line is not None and line.instruction is not None:
            return line.instruction.text, line.instruction.start, line.instruction.end
    if dockerfile is not None and stage is not None:
        return dockerfile.text, stage.start.start, stage.start.end
    assert container is not None
    node = container.node["image"] or container.node
    return node.text, node.entry_start, node.end


def _code(line: _Line) -> Code | None:
    instruction = line.instruction
    if instruction is None:
        return None
    offsets = (*instruction.offsets, instruction.end)
    return Code(instruction.text, instruction.value, offsets, instruction.start, instruction.end)


def _code_in_exec(argv: tuple[str, ...], instruction: Instruction) -> Code | None:
    found = shell_code(argv)
    if found is None:
        return None
    at = instruction.value.find(found[1])
    if at >= 0:
        offsets = (*instruction.offsets[at : at + len(found[1])], instruction.end)
    else:
        offsets = (instruction.start,) * (len(found[1]) + 1)
    return Code(instruction.text, found[1], offsets, instruction.start, instruction.end)


def _code_in_manifest(argv: tuple[str, ...], container: Container) -> Code | None:
    found = shell_code(argv)
    if found is None:
        return None
    for key in ("command", "args"):
        for item in container.node[key].items():
            if item.string == found[1]:
                return scalar(item.text, found[1], item.start, item.end)
    node = container.node["command"] or container.node["args"]
    return scalar(container.node.text, found[1], node.start, node.end)


def scalar(text: Text, code: str, start: int, end: int) -> Code:
    """Code in a YAML scalar: each character's place where the lines are found as they are, else the scalar's start."""
    offsets: list[int] = []
    at = start
    for line in code.split("\n"):
        found = text.content.find(line.strip(), at, end) if line.strip() else at
        if found < 0:
            return Code(text, code, (start,) * (len(code) + 1), start, end)
        lead = len(line) - len(line.lstrip())
        offsets += [*(found,) * lead, *range(found, found + len(line) - lead), found + len(line) - lead]
        at = found + len(line.strip())
    return Code(text, code, tuple(offsets), start, end)


def _signal(
    stage: Stage | None, known: ImageFacts, container: Container | None
) -> tuple[str | None, Instruction | None, bool, bool]:
    if container is not None and (name := container.lifecycle["stopSignal"].string):
        return signal_name(name) or None, None, False, True
    for index, one in enumerate(reversed(_lineage(stage)) if stage else ()):
        if (line := one.last("STOPSIGNAL")) is not None:
            return (None if "$" in line.value else signal_name(line.value) or None), line, index > 0, False
    return known.stop_signal, None, known.known and known.stop_signal not in {None, "TERM"}, False


def _environment(stage: Stage | None, container: Container | None) -> dict[str, str]:
    """Variables that are set to a constant, by ENV lines and the container's env."""
    found: dict[str, str] = {}
    for one in _lineage(stage) if stage else ():
        for line in one.instructions:
            if line.name == "ENV":
                found.update(_pairs(line.value))
    if container is not None:
        for item in container.node["env"].items():
            name, value = item["name"].string, item["value"].string
            if name is not None and item["valueFrom"]:
                found.pop(name, None)
            elif name is not None:
                found[name] = value or ""
    return found


def _pairs(value: str) -> dict[str, str]:
    try:
        words = shlex.split(value)
    except ValueError:
        return {}
    if words and "=" not in words[0]:
        return {words[0]: " ".join(words[1:])}
    return dict(word.split("=", 1) for word in words if "=" in word)
