"""How long /slow takes: a second, or, where $HELD names a file, as long as that is there."""

import asyncio
import os
import time
from pathlib import Path

FILE = Path(os.environ["HELD"]) if "HELD" in os.environ else None


def block():
    if FILE is None:
        time.sleep(1)
    while FILE is not None and FILE.exists():
        time.sleep(0.01)


async def wait():
    if FILE is None:
        await asyncio.sleep(1)
    while FILE is not None and FILE.exists():
        await asyncio.sleep(0.01)
