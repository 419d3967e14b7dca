"""A connection whose bytes go through TLS.

Law: the handshake belongs to connecting (stage TLS, the connect time-out holds); its failures say which side of the
trust failed. Data on an idle connection may be TLS's own (session tickets), so looking means reading.
"""

from __future__ import annotations

import ssl

from lameduck.core.exchange import Stage
from lameduck.load import failures
from lameduck.load.connection import NONE, Connection
from lameduck.load.floor import Floor


class TlsConnection(Connection):
    """A `Connection` that speaks TLS with `context`, asking for `server_name`."""

    __slots__ = ("_context", "_server_name", "_tls")

    def __init__(self, floor: Floor, context: ssl.SSLContext, server_name: str) -> None:
        super().__init__(floor)
        self._context = context
        self._server_name = server_name
        self._tls: ssl.SSLSocket | None = None

    def look(self) -> bool:
        """Is the idle connection still open, and has nothing come that nobody asked for?"""
        try:
            self._read()
        except BlockingIOError:
            return True
        except OSError:
            pass
        return False

    def _connect_at_once(self) -> None:
        self._listen(reading=False, writing=True)

    def _secure(self) -> None:
        assert self._sock is not None
        self._stage = Stage.TLS
        try:
            self._sock = self._tls = self._context.wrap_socket(
                self._sock,
                server_hostname=self._server_name or None,
                do_handshake_on_connect=False,
                suppress_ragged_eofs=False,
            )
        except OSError as error:
            self._break(error)
            return
        self._shake_hands()

    def _shake_hands(self) -> None:
        assert self._tls is not None
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._listen(reading=True, writing=False)
        except ssl.SSLWantWriteError:
            self._listen(reading=True, writing=True)
        except OSError as error:
            self._break(error)
        else:
            self._start_request()
            self._push()

    def _write_on(self) -> None:
        if self._stage is Stage.TLS:
            self._shake_hands()
        else:
            super()._write_on()

    def _read_on(self) -> None:
        """Read until TLS has no more: what it has decrypted already wakes nobody."""
        if self._stage is Stage.TLS:
            self._shake_hands()
            return
        seq = self.seq
        while self._sock is not None and self.seq == seq:
            try:
                count = self._read()
            except BlockingIOError:
                return
            except OSError as error:
                self._break(error)
                return
            self._received(count)

    def _read(self) -> int:
        assert self._tls is not None
        try:
            return self._tls.recv_into(self._floor.buffer)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise BlockingIOError from None

    def _write(self, data: bytes | memoryview) -> int:
        assert self._tls is not None
        try:
            return self._tls.send(data)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise BlockingIOError from None

    def _break(self, error: OSError) -> None:
        if isinstance(error, ssl.SSLError) and self.seq != NONE:
            self._end(failures.of_tls(self._stage, error))
        else:
            super()._break(error)
