"""Writing results where they were asked for."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from lameduck.core.errors import EnvironmentFault


def write_json(data: dict[str, Any], where: str) -> None:
    """Write JSON to a file, or to standard output for ``-``. Raises `EnvironmentFault` where that fails."""
    text = json.dumps(data, indent=2, ensure_ascii=False) + "\n"
    if where == "-":
        sys.stdout.write(text)
        return
    try:
        Path(where).write_text(text)
    except OSError as error:
        raise EnvironmentFault(f"cannot write {where}: {error.strerror}") from error
