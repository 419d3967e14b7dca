"""Unary /p/fast at once, /p/slow after a second: `python grpc_server.py sync|aio default|stop-none|stop PORT`."""

import asyncio
import signal
import sys
import time
from concurrent import futures

import grpc

KIND, HOW, PORT = sys.argv[1:]


def slow(_request: bytes, _context: object) -> bytes:
    time.sleep(1)
    return b"ok"


async def aio_slow(_request: bytes, _context: object) -> bytes:
    await asyncio.sleep(1)
    return b"ok"


async def aio_fast(_request: bytes, _context: object) -> bytes:
    return b"ok"


def add(server, fast, slow_one) -> None:
    handlers = {
        "fast": grpc.unary_unary_rpc_method_handler(fast),
        "slow": grpc.unary_unary_rpc_method_handler(slow_one),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("p", handlers),))
    server.add_insecure_port(f"127.0.0.1:{PORT}")


def sync() -> None:
    server = grpc.server(futures.ThreadPoolExecutor(8))
    add(server, lambda _request, _context: b"ok", slow)
    if HOW != "default":
        signal.signal(signal.SIGTERM, lambda *_: server.stop(10 if HOW == "stop" else None))
    server.start()
    server.wait_for_termination()


async def aio() -> None:
    server = grpc.aio.server()
    add(server, aio_fast, aio_slow)
    await server.start()
    if HOW != "default":
        stopping = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
        await stopping.wait()
        await server.stop(10 if HOW == "stop" else None)
    else:
        await server.wait_for_termination()


if KIND == "sync":
    sync()
else:
    asyncio.run(aio())
