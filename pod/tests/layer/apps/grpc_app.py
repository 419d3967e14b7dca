"""Unary /p/fast at once, /p/slow after a second (`held`); LAYER=off: its own `stop(10)`.

GRPC_AGE_MS is how old a connection gets, or `layer`: as the layer's `options` say.

`python grpc_app.py sync|aio PORT`
"""

import asyncio
import os
import signal
import sys
from concurrent import futures

import grpc
import held

from lameduck_pod import grpc as layered

AGE = os.environ.get("GRPC_AGE_MS")


def options(layer):
    if AGE == "layer" and layer:
        return layered.options(layer)
    return [("grpc.max_connection_age_ms", int(AGE))] if AGE and AGE != "layer" else []


def sync(port):
    def slow(request, context):
        held.block()
        return request

    layer = None if os.environ.get("LAYER") == "off" else layered.lame_duck()
    interceptors = [layered.interceptor(layer)] if layer else []
    server = grpc.server(futures.ThreadPoolExecutor(8), interceptors=interceptors, options=options(layer))
    serve(server, port, lambda request, _context: request, slow)
    if layer:
        layered.add_health(server, layer)
    server.start()
    if layer:
        layered.hold(server, layer)
    else:
        signal.signal(signal.SIGTERM, lambda *_: server.stop(10))
    os.write(2, b"serving\n")
    server.wait_for_termination()


async def aio(port):
    async def fast(request, context):
        return request

    async def slow(request, context):
        await held.wait()
        return request

    layer = layered.lame_duck()
    server = grpc.aio.server(interceptors=[layered.aio_interceptor(layer)], options=options(layer))
    serve(server, port, fast, slow)
    layered.add_aio_health(server, layer)
    await server.start()
    await layered.aio_hold(server, layer)
    os.write(2, b"serving\n")
    await server.wait_for_termination()


def serve(server, port, fast, slow):
    handlers = {
        "fast": grpc.unary_unary_rpc_method_handler(fast),
        "slow": grpc.unary_unary_rpc_method_handler(slow),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("p", handlers),))
    server.add_insecure_port(f"{os.environ.get('BIND', '127.0.0.1')}:{port}")


if sys.argv[1] == "sync":
    sync(sys.argv[2])
else:
    asyncio.run(aio(sys.argv[2]))
