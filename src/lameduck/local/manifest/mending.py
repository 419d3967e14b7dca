"""A proof's fixes as patches of the very files that were proven, and the files as they are with all of them.

Laws: a patch is the finding's own fix, written where it belongs: manifest fields into the manifest, a start script's
end into the script that process 1 runs, as lint finds it. It is an edit whose effect is certain (`manifests.splice`) or
it is left and said to be left; what is proven again is exactly the text that the patches make.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import yaml

from lameduck.core.finding import Confidence, Edit, Finding, Fix, Patch
from lameduck.core.proof import Proof
from lameduck.defects.linting import Choice, lint, place_of
from lameduck.local.manifest.chosen import Wish, choose
from lameduck.manifests.imagefiles import Read
from lameduck.manifests.project import Project, Settings
from lameduck.manifests.splice import Refused, put, remove
from lameduck.manifests.text import Text, apply_edits, diff
from lameduck.manifests.workloads import Container, Workload
from lameduck.manifests.yamlnode import Node

_ALSO = {"LD401": ("LD501",)}
"""What lint calls the same thing where the image, and with it the shell, is not known."""
_WHOLE = ("sleep", "exec", "httpGet", "tcpSocket")
"""The kinds of a hook: one takes the place of another."""


@dataclass(frozen=True, slots=True)
class MendedFiles:
    """The input with the fixes in it (`texts` is None where none could be applied), and what was done, in words."""

    texts: list[Text] | None
    changed: Mapping[str, Text]
    applied: tuple[str, ...]
    left: tuple[str, ...]


class Patching:
    """The files of one proof. `dockerfiles` are texts that belong to them beside the manifests."""

    def __init__(self, texts: Iterable[Text], read: Read, wish: Wish, dockerfiles: Iterable[Text] = ()) -> None:
        self._texts = list(texts)
        self._dockerfiles = list(dockerfiles)
        self._disk = read
        self._wish = wish

    def patched(self, proof: Proof) -> Proof:
        """The proof with each finding's fix as a patch of the files, where it can be one."""
        return replace(proof, findings=[self._as_patch(one) for one in proof.findings])

    def mended(self, proof: Proof) -> MendedFiles:
        """The files with every patch of the proof's findings."""
        now: dict[str, Text] = {}
        applied: list[str] = []
        left: list[str] = []
        for finding in proof.findings:
            if finding.fix is None:
                left.append(f"{finding.defect.code} has no fix that a patch could hold")
                continue
            for fragment in _fragments(finding.fix):
                done, not_done = self._apply(finding, fragment, now)
                applied += (line for line in done if line not in applied)
                left += (line for line in not_done if line not in left)
        if not now:
            return MendedFiles(None, {}, (), tuple(left))
        return MendedFiles([now.get(text.path, text) for text in self._texts], now, tuple(applied), tuple(left))

    def reader(self, changed: Mapping[str, Text]) -> Read:
        """Reads the files as they are with these changes."""
        return lambda path: changed.get(path) or self._disk(path)

    def _as_patch(self, finding: Finding) -> Finding:
        if finding.fix is None:
            return finding
        now: dict[str, Text] = {}
        left: list[str] = []
        for fragment in _fragments(finding.fix):
            left += self._apply(finding, fragment, now)[1]
        if not now:
            return finding
        before = {text.path: text for text in (*self._texts, *self._dockerfiles)}
        patches = []
        for path, text in now.items():
            old = before.get(path) or self._disk(path)
            assert old is not None, path
            patches.append(
                Patch(path, (_edit(old.content, text.content),), snippet=diff(path, old.content, text.content))
            )
        kept = [patch for patch in finding.fix.patches if left and patch.snippet.startswith("#!")]
        return replace(finding, fix=replace(finding.fix, patches=(*kept, *patches)))

    def _apply(
        self, finding: Finding, fragment: Mapping[str, Any] | None, now: dict[str, Text]
    ) -> tuple[list[str], list[str]]:
        """One patch into the texts as they are by now; what was done, and what was not, in words."""
        if fragment is None:
            return self._script(finding, now)
        chosen = choose(self._project(now), self._wish)
        done: list[str] = []
        try:
            for step in _steps(fragment, chosen.serving.name):
                chosen = choose(self._project(now), self._wish)
                node = chosen.serving.node if step.of_container else chosen.workload.object.node
                line = _write(node, step, now)
                done += [line] if line else []
        except Refused as error:
            return done, [f"{finding.defect.code}: {error} in {chosen.workload.object.node.text.path}"]
        return done, []

    def _script(self, finding: Finding, now: dict[str, Text]) -> tuple[list[str], list[str]]:
        """What stands between the stop signal and the server, as lint mends it where it is."""
        code = finding.defect.code
        project = self._project(now)
        chosen = choose(project, self._wish)
        found = lint(project, Choice(select=(code, *_ALSO.get(code, ())), confidence=Confidence.POSSIBLE)).findings
        for one in found:
            files = [patch.file for patch in one.fix.patches if patch.edits] if one.fix else []
            mine = _belongs(one, project, chosen.workload, chosen.serving)
            if one.fix is None or not files or not mine:
                continue
            for patch in one.fix.patches:
                old = now.get(patch.file) or self.reader(now)(patch.file)
                if old is not None and patch.edits:
                    now[patch.file] = Text(patch.file, apply_edits(old.content, patch.edits))
            return [f"{one.fix.title} ({', '.join(dict.fromkeys(files))})"], []
        return [], [f"the start script of {code}: {finding.fix.title if finding.fix else ''}"]

    def _project(self, now: Mapping[str, Text]) -> Project:
        texts = [now.get(text.path, text) for text in (*self._texts, *self._dockerfiles)]
        return Project(texts, self.reader(now), Settings())


def _belongs(one: Finding, project: Project, workload: Workload, serving: Container) -> bool:
    """Whether a finding is about the way to the serving container's process."""
    program = project.program_of(serving)
    files = {text.path for text in program.chain.texts} if program else set()
    return place_of(one).file in files | {workload.object.node.text.path}


@dataclass(frozen=True, slots=True)
class _Step:
    """One entry to be set, below the container or the whole object."""

    of_container: bool
    path: tuple[str, ...]
    value: Any


def _fragments(fix: Fix) -> Iterable[Mapping[str, Any] | None]:
    """Each patch as a manifest fragment; then None for a start script, which is mended where a drain window is already
    there. What is neither is left out."""
    for patch in fix.patches:
        if patch.snippet.startswith("#!"):
            continue
        try:
            data = yaml.safe_load(patch.snippet)
        except yaml.YAMLError:
            continue
        if isinstance(data, dict) and "spec" in data:
            yield data
    if any(patch.snippet.startswith("#!") for patch in fix.patches):
        yield None


def _steps(fragment: Mapping[str, Any], serving: str) -> Iterable[_Step]:
    """The entries of a fragment. A container that it names for want of a better name is the serving one."""
    del serving
    spec = dict(fragment.get("spec", {}))
    pod = dict(spec.pop("template", {}).get("spec", {}))
    for container in pod.pop("containers", []):
        for key, value in container.items():
            if key != "name":
                yield from (_Step(True, path, leaf) for path, leaf in _leaves((key,), value))
    for path, leaf in _leaves(("spec", "template", "spec"), pod):
        yield _Step(False, path, leaf)
    for path, leaf in _leaves(("spec",), spec):
        yield _Step(False, path, leaf)


def _leaves(path: tuple[str, ...], value: Any) -> Iterable[tuple[tuple[str, ...], Any]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves((*path, key), inner)
    else:
        yield path, value


def _write(node: Node, step: _Step, now: dict[str, Text]) -> str:
    """Set one entry; in words what was set, "" where it is so already or would only be made less."""
    old = node.at(*step.path)
    if old.integer is not None and isinstance(step.value, int) and step.path[-1] in {"seconds", _GRACE}:
        if old.integer >= step.value:
            return ""
    elif old.string == str(step.value):
        return ""
    text = node.text
    hook = node.at(*step.path[:2]) if step.path[:2] == ("lifecycle", "preStop") else None
    if hook is not None and hook.is_mapping:
        others = [key for key in hook.keys() if key in _WHOLE and key != step.path[2]]  # noqa: SIM118 - a Node is no dict
        if others:
            return _replace_hook(node, others, step, now)
    if step.path[-1] == _GRACE and not old and step.value <= 30:  # the API's default
        return ""
    if step.path[-1] == "type" and step.value == "RollingUpdate" and not old:
        return ""
    now[text.path] = Text(text.path, apply_edits(text.content, put(node, step.path, step.value)))
    return f"{'.'.join(step.path[-2:])} {step.value}"


def _replace_hook(node: Node, others: list[str], step: _Step, now: dict[str, Text]) -> str:
    """One kind of hook in the place of another."""
    text, hook = node.text, node.at("lifecycle", "preStop")
    if hook.merged or node["lifecycle"].merged:
        raise Refused("the hook comes through a merge key")
    value = {step.path[2]: {step.path[3]: step.value}}
    if hook.is_flow:
        edits = [Edit(hook.start, hook.end, f"{{{step.path[2]}: {{{step.path[3]}: {step.value}}}}}")]
    else:
        edits = [*put(node, ("lifecycle", "preStop", step.path[2]), value[step.path[2]]), *remove(hook, others[0])]
        if len(hook.keys()) == 1:
            start = hook[others[0]].entry_start
            edits = [Edit(start, hook.end, f"{step.path[2]}:{text.eol}{' ' * (text.indent_of(start) + 2)}"
                                           f"{step.path[3]}: {step.value}")]  # fmt: skip
    now[text.path] = Text(text.path, apply_edits(text.content, edits))
    return f"preStop {step.path[2]} {step.value}, in the place of {others[0]}"


_GRACE = "terminationGracePeriodSeconds"


def _edit(old: str, new: str) -> Edit:
    """The one stretch in which two texts differ."""
    start = next((n for n, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))
    most = min(len(old), len(new)) - start
    end = next((n for n in range(most) if old[-1 - n] != new[-1 - n]), most)
    return Edit(start, len(old) - end, new[start : len(new) - end])
