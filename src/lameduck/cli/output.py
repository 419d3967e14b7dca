"""Writing results where they were asked for."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from lameduck.core.errors import EnvironmentFault


def write_json(data: dict[str, Any], where: str) -> None:
    """Write JSON to a file, or to standard output for ``-``. Raises `EnvironmentFault` where that fails."""
    write(json.dumps(data, indent=2, ensure_ascii=False) + "\n", where)


def write_as(data: dict[str, Any], form: str) -> None:
    """Write to standard output as ``json`` or ``yaml``. Raises `EnvironmentFault` where that fails."""
    if form == "json":
        write_json(data, "-")
        return
    import yaml

    write(yaml.safe_dump(json.loads(json.dumps(data)), sort_keys=False, allow_unicode=True), "-")


def write(result: str | bytes, where: str | Path) -> None:
    """Write text (UTF-8, line ends as they are) or bytes to a file, or to standard output for ``-``.

    Raises `EnvironmentFault` where that fails.
    """
    data = result.encode("utf-8", "backslashreplace") if isinstance(result, str) else result
    try:
        if str(where) == "-":
            sys.stdout.flush()
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
        else:
            Path(where).write_bytes(data)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise EnvironmentFault(f"cannot write {where}: {error.strerror}") from error
