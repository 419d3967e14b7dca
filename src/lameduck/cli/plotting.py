"""Where the HTML report's plotting library is: BokehJS, out of the installed ``bokeh`` wheel (``lameduck[html]``).

Law: only its two JavaScript files are read; the Python package is never imported, so that a report needs no numpy.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from lameduck.core.errors import EnvironmentFault

FILES = ("bokeh.min.js", "bokeh-api.min.js")


def plotting_library() -> str:
    """The JavaScript of BokehJS. Raises `EnvironmentFault` where it is not installed."""
    spec = find_spec("bokeh")
    for place in (spec.submodule_search_locations or []) if spec else []:
        folder = Path(place) / "server" / "static" / "js"
        if all((folder / name).is_file() for name in FILES):
            return "\n".join((folder / name).read_text() for name in FILES)
    raise EnvironmentFault("the HTML report needs BokehJS: pip install 'lameduck[html]'; or --format markdown")
