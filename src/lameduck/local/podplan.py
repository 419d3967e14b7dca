"""What runs in a pod's containers on this machine: commands, environments, folders, volumes.

Laws (Kubernetes, ``expansion.Expand`` and ``makeEnvironmentVariables``): a variable may name those before it as
``$(NAME)``, an unknown name stays as it is written, ``$$(NAME)`` is no reference; a field of the pod is known only when
the pod is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from lameduck.local.mounting import Mount

_REFERENCE = re.compile(r"\$\$\(([^)]*)\)|\$\(([^)]+)\)")


@dataclass(frozen=True, slots=True)
class Field:
    """A value that the downward API gives: the path of a field of the pod."""

    path: str


@dataclass(frozen=True, slots=True)
class Process:
    """One container's first process. A folder of "" is the one that lameduck was started in."""

    command: tuple[str, ...]
    environment: tuple[tuple[str, str | Field], ...] = ()
    folder: str = ""
    mounts: tuple[Mount, ...] = ()
    scratch: Mapping[str, str] = field(default_factory=dict)
    """Mount paths of the pod's own empty folders, with the volume's name (``emptyDir``)."""


def environment(given: tuple[tuple[str, str | Field], ...], fields: Mapping[str, str]) -> dict[str, str]:
    """The variables of one pod's container, in the order of the manifest; `fields` are the pod's own."""
    found: dict[str, str] = {}
    for name, value in given:
        found[name] = fields.get(value.path, "") if isinstance(value, Field) else expand(value, found)
    return found


def expand(text: str, variables: Mapping[str, str]) -> str:
    """A text with its ``$(NAME)`` replaced by what is known."""

    def value(match: re.Match[str]) -> str:
        if match[2] is None:
            return f"$({match[1]})"
        return variables.get(match[2], match[0])

    return _REFERENCE.sub(value, text)
