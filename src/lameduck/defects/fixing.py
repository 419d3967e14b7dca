"""Applies fixes until nothing is left to mend, and proves each of them by reading the result again.

Law: a fix counts only when its finding is gone from the mended text, no new error or warning came, every document is
still read, and nothing but the fields that fixes are about has changed its value. What one mended fault lays bare
(exec, and the signal that now arrives is the wrong one) is mended in the same step, or neither is. One that fails any
of it is undone and reported. Applying twice changes nothing, since the second time there is no finding.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from lameduck.core.finding import Edit, Finding, Safety, Severity
from lameduck.defects.linting import Choice, Outcome, lint, place_of, severity_of
from lameduck.manifests.imagefiles import Read
from lameduck.manifests.project import Project, Settings
from lameduck.manifests.text import Text, apply_edits
from lameduck.manifests.yamlnode import Node, documents

MAX_PASSES = 8
MOVES = "LD003"
"""Fields are moved to where they count before anything is decided by their values."""
FIELDS = frozenset(
    {
        "lifecycle",
        "preStop",
        "stopSignal",
        "terminationGracePeriodSeconds",
        "strategy",
        "updateStrategy",
        "rollingUpdate",
        "maxUnavailable",
        "maxSurge",
        "minAvailable",
        "minReadySeconds",
        "replicas",
        "progressDeadlineSeconds",
        "publishNotReadyAddresses",
        "annotations",
        "readinessProbe",
        "livenessProbe",
        "startupProbe",
        "command",
        "args",
    }
)
"""The only fields whose value a fix may change."""


@dataclass(slots=True)
class Mended:
    """What came of one run of fix."""

    before: dict[str, str]
    texts: dict[str, Text]
    applied: list[Finding] = field(default_factory=list)
    refused: list[tuple[Finding, str]] = field(default_factory=list)
    left: Outcome = field(default_factory=Outcome)

    @property
    def changed(self) -> list[str]:
        """The paths whose text differs now."""
        return sorted(path for path, text in self.texts.items() if text.content != self.before[path])


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which fixes may be applied."""

    unsafe: bool = False
    choice: Choice = field(default_factory=Choice)

    def takes(self, one: Finding) -> bool:
        """Whether a finding's fix may be applied: it has edits, all of them, and is safe or allowed to be unsafe."""
        if one.fix is None or not one.fix.patches or not all(patch.edits for patch in one.fix.patches):
            return False
        return self.unsafe or one.fix.safety is Safety.SAFE


class Mender:
    """Texts that are mended step by step."""

    def __init__(self, texts: Iterable[Text], read: Read, settings: Settings, wanted: Wanted) -> None:
        self.roots = [text.path for text in texts]
        self.texts: dict[str, Text] = {text.path: text for text in texts}
        self.disk = read
        self.settings = settings
        self.wanted = wanted
        self.before = {path: text.content for path, text in self.texts.items()}

    def read(self, path: str) -> Text | None:
        """A file as mended so far."""
        if path not in self.texts:
            text = self.disk(path)
            if text is None:
                return None
            self.texts[path] = text
            self.before[path] = text.content
        return self.texts[path]

    def lint(self, texts: Mapping[str, Text] | None = None) -> Outcome:
        """Lint the texts as they are now, or others in their place."""
        now = {**self.texts, **(texts or {})}

        def read(path: str) -> Text | None:
            return now.get(path) or self.read(path)

        return lint(Project([now[path] for path in self.roots], read, self.settings), self.wanted.choice)

    def patched(self, findings: Iterable[Finding]) -> dict[str, Text]:
        """The texts with the fixes of several findings made."""
        edits: dict[str, list[Edit]] = {}
        for one in findings:
            for patch in one.fix.patches if one.fix else ():
                edits.setdefault(patch.file, []).extend(patch.edits)
        found = {}
        for path, changes in edits.items():
            text = self.read(path)
            assert text is not None, path
            found[path] = Text(path, apply_edits(text.content, changes))
        return found

    def run(self) -> Mended:
        """Mend until nothing more can be mended."""
        mended = Mended(self.before, self.texts)
        outcome, refused = self.lint(), set[tuple[str, str, str]]()
        for _ in range(MAX_PASSES):
            open_ones = [one for one in outcome.findings if self.wanted.takes(one) and _key(one) not in refused]
            moved = [one for one in open_ones if one.defect.code == MOVES]
            batch = _compatible(moved or open_ones)
            if not batch:
                break
            after, problem = self.tried(batch, outcome, mended.applied)
            if problem and len(batch) > 1:
                batch = batch[:1]
                after, problem = self.tried(batch, outcome, mended.applied)
            if problem or after is None:
                refused.add(_key(batch[0]))
                mended.refused.append((batch[0], problem))
                continue
            outcome = after
        mended.left = outcome
        return mended

    def tried(
        self,
        batch: list[Finding],
        before: Outcome,
        applied: list[Finding],
        first: Outcome | None = None,
        depth: int = 3,
    ) -> tuple[Outcome | None, str]:
        """Make a batch of fixes, and those of what they lay bare; what lint says then, or why all were undone.

        ``applied`` gets the findings that were mended. ``first`` is what lint said before the first of the batches.
        """
        try:
            texts = self.patched(batch)
        except ValueError as error:
            return None, str(error)
        for path, text in texts.items():
            if problem := changes_too_much(self.texts[path], text):
                return None, problem
        after = self.lint(texts)
        if still := _remaining(batch, before, after):
            return None, f"the finding would still be there: {still}"
        if new := _added(first or before, after):
            bare = _compatible(one for one in after.findings if one.defect.code in new and self.wanted.takes(one))
            if not bare or not depth:
                return None, f"it would bring a new finding: {', '.join(new)}"
            kept = {path: self.texts[path] for path in texts}
            self.texts.update(texts)
            further: list[Finding] = []
            end, _ = self.tried(bare, after, further, first or before, depth - 1)
            if end is None:
                self.texts.update(kept)
                return None, f"it would bring a new finding: {', '.join(new)}"
            applied += [*batch, *further]
            return end, ""
        self.texts.update(texts)
        applied += batch
        return after, ""


def _key(one: Finding) -> tuple[str, str, str]:
    return one.defect.code, place_of(one).file, one.message


def _compatible(findings: Iterable[Finding]) -> list[Finding]:
    """Fixes that do not touch one another; equal edits are one edit."""
    taken: dict[str, set[Edit]] = {}
    batch: list[Finding] = []
    for one in findings:
        assert one.fix is not None
        mine = [(patch.file, edit) for patch in one.fix.patches for edit in patch.edits]
        if any(_clash(edit, other) for file, edit in mine for other in taken.get(file, ())):
            continue
        for file, edit in mine:
            taken.setdefault(file, set()).add(edit)
        batch.append(one)
    return batch


def _clash(one: Edit, other: Edit) -> bool:
    if one == other:
        return False
    if one.start == one.end == other.start or other.start == other.end == one.start:
        return True
    return one.start < other.end and other.start < one.end


def _counts(outcome: Outcome) -> Counter[tuple[str, str]]:
    return Counter(
        (one.defect.code, place_of(one).file) for one in outcome.findings if severity_of(one) is not Severity.INFO
    )


def _remaining(batch: list[Finding], before: Outcome, after: Outcome) -> str:
    """A code that the batch was to clear from a file and did not."""
    had = Counter((one.defect.code, place_of(one).file) for one in before.findings)
    has = Counter((one.defect.code, place_of(one).file) for one in after.findings)
    for key, number in Counter((one.defect.code, place_of(one).file) for one in batch).items():
        if has[key] > had[key] - number:
            return key[0]
    return ""


def _added(before: Outcome, after: Outcome) -> list[str]:
    more = _counts(after) - _counts(before)
    return sorted({code for code, _ in more})


def changes_too_much(before: Text, after: Text) -> str:
    """What a mended manifest changed beyond the fields of fixes; "" when it kept everything else."""
    if not before.path.endswith((".yaml", ".yml", ".json")) and before.path != "-":
        return ""
    old, new = documents(before), documents(after)
    if len(old) != len(new):
        return "the number of documents would change"
    for one, other in zip(old, new, strict=True):
        if isinstance(one, Node) is not isinstance(other, Node):
            return "a document could not be read any more"
        if isinstance(one, Node) and isinstance(other, Node) and (path := differs(_kept(one), _kept(other))):
            return f"{path} would change"
    return ""


def _kept(document: Node) -> Any:
    """What a fix must keep of a document: of a ConfigMap all but its data, which may hold the script it mends."""
    data = document.data
    if document["kind"].string == "ConfigMap" and isinstance(data, dict) and isinstance(data.get("data"), dict):
        return {**data, "data": sorted(data["data"])}
    return data


def differs(old: Any, new: Any, path: str = "") -> str:
    """The path of the first value that differs outside of the fields of fixes; "" when there is none."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*old, *(key for key in new if key not in old)]:
            if key in FIELDS:
                continue
            if found := differs(old.get(key), new.get(key), f"{path}.{key}" if path else key):
                return found
        return ""
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for index, (one, other) in enumerate(zip(old, new, strict=True)):
            if found := differs(one, other, f"{path}[{index}]"):
                return found
        return ""
    return "" if old == new else path or "the document"
