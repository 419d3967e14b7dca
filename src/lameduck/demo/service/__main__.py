"""Serve on ``$PORT`` (8080): ``python -m lameduck.demo.service [GUNICORN OPTIONS] [APPLICATION]``."""

from __future__ import annotations

import os
import sys

# Before numpy is loaded: its BLAS would start a thread for each core, and nothing here multiplies matrices with it.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")


def main() -> None:
    """Become gunicorn, with this package's settings."""
    try:
        from gunicorn.app.wsgiapp import run  # noqa: PLC0415 -- the extra may be missing
    except ImportError:
        sys.stderr.write("lameduck: the prediction service needs gunicorn: pip install 'lameduck[demo]'\n")
        raise SystemExit(4) from None
    sys.argv = ["gunicorn", "--config", "python:lameduck.demo.service.settings", *sys.argv[1:]]
    run()


if __name__ == "__main__":
    main()
