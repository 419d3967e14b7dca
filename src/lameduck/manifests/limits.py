"""What a server's flags, environment and settings file say about its drain limit and its keep-alive.

Law: the command line wins over the environment, and that over the settings file (gunicorn, uvicorn and hypercorn,
documentation of each). A settings file that is named and not in the input makes the value unknown, never the default.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass

from lameduck.manifests.chain import Chain
from lameduck.manifests.imagefiles import Read
from lameduck.manifests.mounts import find_in
from lameduck.manifests.programs import flag_number

_KEYS = {"--graceful-timeout": "graceful_timeout", "--keep-alive": "(?:keepalive|keep_alive_timeout)"}
_FILES = ("-c", "--config")


@dataclass(frozen=True, slots=True)
class Limit:
    """A number of seconds and where it is written; None when nothing says it."""

    seconds: float | None = None
    source: str = ""
    unseen: bool = False
    """Whether a settings file that is not in the input may say it."""


def limit(chain: Chain, flags: tuple[str, ...], read: Read) -> Limit:
    """What is set for one of a server's flags."""
    server, argv, environment = chain.server, chain.server_argv, chain.launch.environment
    if server is None or not flags:
        return Limit()
    if (seconds := flag_number(argv, flags)) is not None:
        return Limit(seconds, f"{server.name} {flags[0]} {seconds:g}")
    words = _words(environment.get("GUNICORN_CMD_ARGS", "")) if server.name == "gunicorn" else ()
    if (seconds := flag_number(words, flags)) is not None:
        return Limit(seconds, f"GUNICORN_CMD_ARGS {flags[0]} {seconds:g}")
    name = f"{server.name}_{flags[0].lstrip('-')}".replace("-", "_").upper()
    if server.name == "uvicorn" and re.fullmatch(r"\d+", environment.get(name, "")):
        return Limit(float(environment[name]), f"{name}={environment[name]}")
    return _in_file(chain, flags[0], read, (*argv, *words)) if server.name in {"gunicorn", "hypercorn"} else Limit()


def _in_file(chain: Chain, flag: str, read: Read, argv: tuple[str, ...]) -> Limit:
    path = ""
    for index, word in enumerate(argv):
        if word in _FILES and index + 1 < len(argv):
            path = argv[index + 1]
        elif word.startswith(("--config=", "-c=")):
            path = word.partition("=")[2]
    path = path.removeprefix("file:")
    gunicorn = chain.server is not None and chain.server.name == "gunicorn"
    found = find_in(chain.launch, path or "./gunicorn.conf.py", read) if path or gunicorn else None
    if found is None:
        return Limit(unseen=bool(path))
    key = _KEYS.get(flag, flag.lstrip("-").replace("-", "_"))
    lines = re.findall(rf"^{key}\s*=\s*(.+?)\s*(?:#.*)?$", found.content, re.MULTILINE)
    if not lines:
        return Limit(unseen="import" in found.content and "*" in found.content)
    number = re.fullmatch(r"\d+(\.\d+)?", lines[-1])
    if number is None:
        return Limit(unseen=True)
    return Limit(float(number[0]), f"{found.text.path} {flag.lstrip('-').replace('-', '_')} {float(number[0]):g}")


def _words(value: str) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(value))
    except ValueError:
        return ()
