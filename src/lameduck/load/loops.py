"""The event loop to run an engine on.

Law: uvloop where it is there; the standard loop is slower and does the same.
"""

from __future__ import annotations

import asyncio


def fastest_loop() -> asyncio.AbstractEventLoop:
    """A new event loop: uvloop's if it can be imported."""
    try:
        import uvloop  # noqa: PLC0415  it may be missing
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()
