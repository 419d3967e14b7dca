"""A project from texts in memory or from a folder, for tests of lint."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from lameduck.core.finding import Confidence, Finding
from lameduck.defects.linting import Choice, lint, place_of, severity_of
from lameduck.manifests.dockerfile import is_dockerfile
from lameduck.manifests.project import Project, Settings
from lameduck.manifests.text import Text


def project_of(files: Mapping[str, str], settings: Settings | None = None, named: tuple[str, ...] = ()) -> Project:
    """A project whose files are these; scripts only count when they are found or named."""
    texts = {path: Text(path, content) for path, content in files.items()}
    chosen = [
        text
        for path, text in texts.items()
        if path == "-" or path.endswith((".yaml", ".yml", ".json")) or is_dockerfile(path) or path in named
    ]
    return Project(chosen, texts.get, settings)


def found_in(
    files: Mapping[str, str],
    settings: Settings | None = None,
    confidence: Confidence = Confidence.LIKELY,
    named: tuple[str, ...] = (),
) -> list[Finding]:
    """What lint finds in these files."""
    return lint(project_of(files, settings, named), Choice(confidence=confidence)).findings


def lines_of(findings: list[Finding]) -> list[str]:
    """``error LD401 start.sh:4``, one for each finding."""
    return [f"{severity_of(one)} {one.defect.code} {place_of(one).file}:{place_of(one).line}" for one in findings]


def folder(path: Path) -> dict[str, str]:
    """The files of a folder by their relative paths."""
    return {str(one.relative_to(path)): one.read_bytes().decode() for one in sorted(path.rglob("*")) if one.is_file()}
