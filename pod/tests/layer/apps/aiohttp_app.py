import os
import sys

import held
from aiohttp import web

HOST = os.environ.get("BIND", "127.0.0.1")


async def fast(request):
    return web.Response(text="ok")


async def slow(request):
    await held.wait()
    return web.Response(text="ok")


app = web.Application()
app.add_routes([web.get("/fast", fast), web.get("/slow", slow)])
if os.environ.get("LAYER") != "off":
    from lameduck_pod.aiohttp import install

    install(app)

if __name__ == "__main__":
    web.run_app(app, host=HOST, port=int(sys.argv[1]), print=None)
