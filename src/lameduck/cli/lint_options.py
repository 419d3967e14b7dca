"""The options that lint, fix and inject share, and the settings they become.

Law: an option's name is its key in ``lameduck.toml``; the tables ``per-file-ignores`` and ``images`` are read here,
and a key that nobody knows is an error.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lameduck.core.errors import UsageError

if TYPE_CHECKING:
    from lameduck.defects.linting import Choice
    from lameduck.manifests.images import ImageFacts
    from lameduck.manifests.project import Settings

PATHS = ("in-cluster", "headless", "ingress-nginx", "istio", "linkerd", "aws-alb", "aws-nlb", "gke-neg")
_TABLES = {"per-file-ignores", "images"}


def common(parser: argparse.ArgumentParser) -> None:
    """Declare what to look at, what is known about the cluster, and which rules are wanted."""
    parser.add_argument("paths", nargs="*", metavar="PATH", help="files, folders, or - for standard input (default: .)")
    place = parser.add_argument_group("the cluster")
    place.add_argument(
        "--kubernetes-version", metavar="X.Y", help="rules and fixes for this version (default: a recent one)"
    )
    place.add_argument(
        "--traffic-path",
        choices=PATHS,
        default="in-cluster",
        help="the way requests come: decides delays and idle time-outs",
    )
    place.add_argument(
        "--pre-stop-seconds", type=_seconds, metavar="N", help="the delay to ask for (default: the path's own)"
    )
    place.add_argument("--max-request-seconds", type=float, metavar="N", help="the longest request that has to survive")
    place.add_argument(
        "--image-facts",
        action="append",
        default=[],
        metavar="FILE",
        help="what docker inspect printed, or an image archive (docker save, OCI): its entry point, signal and shell",
    )
    place.add_argument(
        "--stop-signal-gate", action="store_true", help="the cluster has the gate ContainerStopSignals on"
    )
    rules = parser.add_argument_group("rules")
    rules.add_argument("--select", action="append", default=[], metavar="CODES", help="only these, as LD1,LD401")
    rules.add_argument("--ignore", action="append", default=[], metavar="CODES", help="not these")
    rules.add_argument(
        "--confidence",
        choices=("possible", "likely", "certain"),
        default="likely",
        help="show findings from this confidence on (default: likely)",
    )


def _seconds(value: str) -> int:
    number = int(value)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def settings_of(arguments: argparse.Namespace) -> Settings:
    """The project's settings. Raises `UsageError`."""
    from lameduck.manifests.project import Settings

    version = None
    if arguments.kubernetes_version:
        match = re.fullmatch(r"v?1\.(\d{1,2})(?:\.\d+)?(?:[-+].*)?", arguments.kubernetes_version)
        if match is None:
            raise UsageError(f"'{arguments.kubernetes_version}' is no Kubernetes version; write it as 1.31")
        version = (1, int(match[1]))
    return Settings(
        kubernetes=version,
        path=arguments.traffic_path,
        pre_stop_seconds=arguments.pre_stop_seconds,
        max_request_seconds=arguments.max_request_seconds,
        images=_images(arguments.image_facts),
        stop_signal_gate=arguments.stop_signal_gate,
    )


def _images(files: list[str]) -> tuple[tuple[str, ImageFacts], ...]:
    """What the configuration and the named files say about images. Raises `UsageError`."""
    table = _own_tables().get("images", {})
    if not table and not files:
        return ()
    from lameduck.cli.image_facts import configured, read

    return (*configured(table), *(pair for file in files for pair in read(file)))


def choice_of(arguments: argparse.Namespace) -> Choice:
    """Which findings are wanted. Raises `UsageError` for a code that there is not."""
    from lameduck.core.finding import Confidence
    from lameduck.defects.linting import Choice

    tables = _own_tables()
    per_file = tuple((pattern, _codes(_listed(value))) for pattern, value in tables.get("per-file-ignores", {}).items())
    return Choice(
        select=_codes(arguments.select),
        ignore=_codes(arguments.ignore),
        confidence=Confidence(arguments.confidence),
        per_file=per_file,
    )


def _listed(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else [str(one) for one in value]


def _codes(given: list[str]) -> tuple[str, ...]:
    """Codes or their beginnings. Raises `UsageError` for what begins no code."""
    from lameduck.defects import codes

    found = tuple(word.strip().upper() for words in given for word in words.split(",") if word.strip())
    for one in found:
        if not any(code.startswith(one) for code in codes()):
            raise UsageError(f"no rule's code begins with '{one}'; lameduck explain lists them")
    return found


def _own_tables() -> dict[str, Any]:
    """The tables of the configuration that no option can hold. Raises `UsageError` for keys that nobody knows."""
    for name in ("lameduck.toml", "pyproject.toml"):
        file = Path(name)
        if not file.is_file():
            continue
        import tomllib

        try:
            data = tomllib.loads(file.read_text())
        except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError):
            return {}  # already reported where the options are read
        table = data if name == "lameduck.toml" else data.get("tool", {}).get("lameduck", {})
        own = table.get("lint", {}) if isinstance(table, dict) else {}
        found = {key: value for key, value in {**table, **own}.items() if key in _TABLES and isinstance(value, dict)}
        if found or table:
            _refuse_unknown(own, file)
            return found
    return {}


def _refuse_unknown(own: dict[str, Any], file: Path) -> None:
    from lameduck.cli import command_parser

    known = _TABLES | {
        option[2:]
        for action in command_parser("lint")._actions
        for option in action.option_strings
        if option.startswith("--")
    }
    for key in own:
        if key not in known:
            from difflib import get_close_matches

            near = get_close_matches(key, known, n=1)
            raise UsageError(
                f"{file}: 'lint' has no setting '{key}'" + (f"; did you mean '{near[0]}'?" if near else "")
            )
