"""GET /fast at once, /slow after a second (`held`), /ready, /live; LAYER=off leaves the layer out."""

import os
import time

import held


async def plain(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    if scope["path"] == "/slow":
        await held.wait()
    await send(
        {
            "type": "http.response.start",
            "status": 200,
            "headers": [(b"content-length", b"2"), (b"content-type", b"text/plain")],
        }
    )
    await send({"type": "http.response.body", "body": b"ok"})


app = plain
if os.environ.get("LAYER") != "off":
    from lameduck_pod.asgi import LameDuck

    app = LameDuck(plain)

if "LOADING" in os.environ:
    os.write(2, b"loading\n")
    time.sleep(float(os.environ["LOADING"]))
