import asyncio
import os
import sys

import held
from tornado.web import Application, RequestHandler

HOST = os.environ.get("BIND", "127.0.0.1")


class Fast(RequestHandler):
    def get(self):
        self.write("ok")


class Slow(RequestHandler):
    async def get(self):
        await held.wait()
        self.write("ok")


async def main(port):
    app = Application([("/fast", Fast), ("/slow", Slow)])
    if os.environ.get("LAYER") != "off":
        from lameduck_pod.tornado import install

        install(app)
    app.listen(port, HOST)
    await asyncio.Event().wait()


asyncio.run(main(int(sys.argv[1])))
