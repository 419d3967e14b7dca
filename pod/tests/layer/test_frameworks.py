"""The line for each framework that docs/layer.md shows: the page's words, in an app that is served and stopped."""

from __future__ import annotations

import pytest
from layer_wire import APPS, ENDED, GTHREAD, ROOT, UVICORN, Connection, fresh

FRAMEWORKS = {
    "fastapi": (UVICORN, "LameDuck(app)"),
    "litestar": (UVICORN, "LameDuck(app)"),
    "flask": (GTHREAD, "app.wsgi_app = LameDuck(app.wsgi_app)"),
    "django_wsgi": (GTHREAD, "LameDuck(get_wsgi_application())"),
    "django_asgi": (UVICORN, "LameDuck(get_asgi_application())"),
}


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_its_line_makes_it_a_lame_duck(name, start) -> None:
    command, line = FRAMEWORKS[name]
    assert line in (ROOT / "docs/layer.md").read_text()
    assert line in (APPS / "frameworks.py").read_text()
    server = start(
        [*command[:-1], "frameworks:app"], held=True, FRAMEWORK=name, LAMEDUCK_LEAST="0.6", LAMEDUCK_QUIET="0.2"
    )
    pooled, slow = Connection(server.port), Connection(server.port)
    assert not pooled.ask("/fast").last
    slow.send("/slow")
    server.signal()
    server.event("lame-duck")
    assert fresh(server.port, "/fast").last
    assert pooled.ask("/fast").last
    pooled.close()
    server.release()
    assert (slow.answer().status, slow.close()) == (200, None)
    assert server.wait() in ENDED
