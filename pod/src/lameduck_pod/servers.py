"""Servers whose workers never see the stop signal: it must be held in their parent, by `lameduck-pod run`."""

from __future__ import annotations

import sys

UNTOLD = {
    "hypercorn": "hypercorn tells its workers by an event and not by a signal (with -w 0 there are none)",
    "sanic": "Sanic's worker manager stops its workers itself (with single_process=True there is none)",
}


UWSGI = "uWSGI tells its workers by other signals, which it handles in C"


def untold() -> str:
    """Why this process will not hear of the stop signal, for people; "" where it will."""
    if callable(getattr(sys.modules.get("uwsgi"), "masterpid", None)):  # there is no such module elsewhere
        return UWSGI
    multiprocessing = sys.modules.get("multiprocessing.process")
    if multiprocessing is None or multiprocessing.parent_process() is None:
        return ""
    return next((why for name, why in UNTOLD.items() if name in sys.modules), "")
