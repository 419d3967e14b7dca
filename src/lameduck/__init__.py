"""Proves that a Kubernetes rollout loses no request, or says which were lost, why, and the patch that mends it.

For Python programs: `lameduck.prove` and `lameduck.prove_async` (docs/library.md), imported when they are first used,
so that the command line starts without them.
"""

from importlib import import_module

__version__ = "0.1.0"

_OFFERED = (
    "EnvironmentFault",
    "Finding",
    "LameduckError",
    "Options",
    "Progress",
    "Proof",
    "UsageError",
    "Verdict",
    "prove",
    "prove_async",
)
"""What `lameduck.library` has to offer, without importing it; `__init__.pyi` says the same to type checkers."""

__all__ = ["__version__", *_OFFERED]  # noqa: PLE0604 - they are there when they are asked for


def __getattr__(name: str) -> object:
    if name in _OFFERED:
        return getattr(import_module("lameduck.library"), name)
    raise AttributeError(f"module 'lameduck' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_OFFERED})
