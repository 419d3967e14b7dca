"""The exec form is not valid JSON (LD502, json-form-broken).

What it finds
    Single quotes, a trailing comma, a missing bracket in ENTRYPOINT or CMD.

Why it loses requests
    Docker then takes the whole line as a shell command, without an error: not the program that was meant.

Fix and its safety
    Safe: valid JSON.

Evidence
    Dockerfile reference: the exec form is parsed as a JSON array.

Example
    Dockerfile:
        FROM python:3.12-slim
        ENTRYPOINT ['gunicorn','app:app']

Mended by lameduck fix
    --- a/Dockerfile
    +++ b/Dockerfile
    @@ -1,2 +1,2 @@
     FROM python:3.12-slim
    -ENTRYPOINT ['gunicorn','app:app']
    +ENTRYPOINT ["gunicorn","app:app"]
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from lameduck.core.finding import Confidence, Defect, Edit, Finding, Fix, Safety, Severity
from lameduck.defects.lintkit import finding, fix_of
from lameduck.manifests.dockerfile import Instruction, Stage
from lameduck.manifests.project import Project

DEFECT = Defect(
    "LD502",
    "json-form-broken",
    "The exec form is not valid JSON",
    "Docker then takes the whole line as a shell command, without an error: not the program that was meant.",
    Severity.ERROR,
)


_FORMS = ("ENTRYPOINT", "CMD")


def lint(project: Project) -> Iterator[Finding]:
    """Start commands in brackets that are no JSON."""
    for dockerfile in project.dockerfiles:
        stage: Stage | None = dockerfile.final
        while stage is not None:
            for instruction in (stage.last(name) for name in _FORMS):
                if instruction is None or (found := broken(instruction)) is None:
                    continue
                reason, index = found
                message = (
                    f"{instruction.name} is not valid JSON ({reason}), so Docker silently takes the whole line "
                    f"as a shell command: not the program that was meant"
                )
                yield finding(DEFECT, message, instruction.spot(index), Confidence.CERTAIN, fix=_fix(instruction))
            stage = stage.parent


def broken(instruction: Instruction) -> tuple[str, int] | None:
    """Why brackets are not a JSON array of strings, and the index of the character; None when they are, or are none."""
    value = instruction.value
    if not value.startswith("[") or instruction.json is not None or value.startswith(("[ -", "[[")):
        return None
    if match := re.search(r",\s*\]\s*\Z", value):
        return "trailing comma before the closing bracket", match.start()
    if (quote := value.find("'")) >= 0 and '"' not in value[:quote]:
        return "single quotes: JSON has double quotes only", quote
    if not value.rstrip().endswith("]"):
        return "no closing bracket at the end", len(value) - 1
    try:
        words = json.loads(value)
    except json.JSONDecodeError as error:
        return _reason(value, error), min(error.pos, len(value) - 1)
    if isinstance(words, list):
        return "an item is not a string", 0
    return "it is not an array", 0


def _reason(value: str, error: json.JSONDecodeError) -> str:
    at = value[error.pos : error.pos + 1]
    if at in "\u201c\u201d\u2018\u2019" and at:
        return "typographic quotes"
    if at == '"' and "delimiter" in error.msg:
        return "a comma is missing between two words"
    if at and at not in ',]"':
        return f"{at!r} where a double quote belongs"
    return error.msg[0].lower() + error.msg[1:]


def _fix(instruction: Instruction) -> Fix | None:
    """The smallest change that makes it valid; None when there is no obvious one."""
    value, offsets = instruction.value, instruction.offsets
    edits: list[Edit] = []
    if match := re.search(r",\s*\]\s*\Z", value):
        edits.append(Edit(offsets[match.start()], offsets[match.start()] + 1, ""))
        value = value[: match.start()] + value[match.start() + 1 :]
    if '"' not in value and "'" in value:
        edits += [
            Edit(offsets[index], offsets[index] + 1, '"') for index, one in enumerate(instruction.value) if one == "'"
        ]
        value = value.replace("'", '"')
    try:
        words = json.loads(value)
    except ValueError:
        return None
    if not edits or not isinstance(words, list) or not all(isinstance(one, str) for one in words):
        return None
    return fix_of("valid JSON", Safety.SAFE, (instruction.text, edits))
