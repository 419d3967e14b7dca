"""An HTTP/2 server of known behaviour, in cleartext or TLS: `python h2_servers.py BEHAVIOUR PORT [CERTIFICATE]`.

BEHAVIOUR: "none"; "two steps" and "one step" serve on for 1.5 s, say GOAWAY, drain; "silent" closes without one;
"refuses" resets every new stream with REFUSED_STREAM for 1.5 s. Health (gRPC): Watch is told NOT_SERVING at the signal.
"""

import asyncio
import contextlib
import signal
import ssl
import sys

import h2.config
import h2.connection
import h2.events
from hyperframe.frame import GoAwayFrame

BEHAVIOUR, PORT = sys.argv[1], int(sys.argv[2])
lame = asyncio.Event()
sessions = set()


class Session:
    def __init__(self, writer):
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        self.writer, self.open, self.highest, self.grpc = writer, set(), 0, False
        self.h2.initiate_connection()
        self.flush()

    def flush(self):
        self.writer.write(self.h2.data_to_send())

    def goaway(self, last):
        self.writer.write(GoAwayFrame(0, last_stream_id=last).serialize())  # h2's own closes its connection object

    async def answer(self, stream, path):
        self.open.add(stream)
        self.highest = stream
        if path == "/slow":
            await asyncio.sleep(1)
        grpc = path.startswith("/grpc")
        self.h2.send_headers(stream, [(":status", "200"), ("content-type", "application/grpc")])
        if path.endswith("/Watch"):
            self.h2.send_data(stream, b"\0\0\0\0\2\x08\1")
            self.flush()
            await lame.wait()
            self.h2.send_data(stream, b"\0\0\0\0\2\x08\2")
        else:
            self.h2.send_data(stream, b"\0\0\0\0\2ok", end_stream=not grpc and not self.grpc)
        if grpc or self.grpc:
            self.h2.send_headers(stream, [("grpc-status", "0")], end_stream=True)
        self.flush()
        self.open.discard(stream)

    async def serve(self, reader):
        while data := await reader.read(65536):
            for event in self.h2.receive_data(data):
                if isinstance(event, h2.events.RequestReceived):
                    headers = dict(event.headers)
                    self.grpc = headers.get("content-type") == "application/grpc"
                    if BEHAVIOUR == "refuses" and lame.is_set():
                        self.h2.reset_stream(event.stream_id, 7)
                    else:
                        task = asyncio.create_task(self.answer(event.stream_id, headers[":path"]))
                        tasks.add(task)
            self.flush()


tasks = set()


async def serve(reader, writer):
    session = Session(writer)
    sessions.add(session)
    with contextlib.suppress(OSError, h2.exceptions.ProtocolError):
        await session.serve(reader)
    sessions.discard(session)
    writer.close()


async def main():
    context = None
    if len(sys.argv) > 3:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(sys.argv[3])
        context.set_alpn_protocols(["h2"])
    server = await asyncio.start_server(serve, "127.0.0.1", PORT, backlog=512, ssl=context)
    if BEHAVIOUR != "none":
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, lame.set)
    await lame.wait()
    if BEHAVIOUR != "silent":
        await asyncio.sleep(1.5)
    server.close()
    for session in sessions if BEHAVIOUR in ("one step", "two steps") else ():
        session.goaway(2**31 - 1 if BEHAVIOUR == "two steps" else session.highest)
    if BEHAVIOUR == "two steps":
        await asyncio.sleep(0.05)
        for session in sessions:
            session.goaway(session.highest)
    while any(session.open for session in sessions):
        await asyncio.sleep(0.01)


asyncio.run(main())
