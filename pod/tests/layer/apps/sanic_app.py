import os
import sys

import held
from sanic import Sanic, text

HOST = os.environ.get("BIND", "127.0.0.1")
app = Sanic("probe")


@app.get("/fast")
async def fast(request):
    return text("ok")


@app.get("/slow")
async def slow(request):
    await held.wait()
    return text("ok")


if os.environ.get("LAYER") != "off":
    from lameduck_pod.sanic import install

    install(app)

if __name__ == "__main__":
    app.run(HOST, int(sys.argv[1]), single_process=True, motd=False, access_log=False)
