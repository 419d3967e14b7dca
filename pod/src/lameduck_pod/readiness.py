"""Readiness as others can see it: a file that is there while ready, a port that answers 200 or 503.

Law: not ready until told so, and never again after the stop signal.
"""

from __future__ import annotations

import contextlib
import os

ANSWER = "HTTP/1.1 {}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{}"
READY, NOT_READY = (
    ANSWER.format(s, len(t), t).encode() for s, t in (("200 OK", "ready\n"), ("503 Service Unavailable", "not ready\n"))
)


class Readiness:
    """Raises OSError when the port cannot be had, or the file's folder is not there."""

    def __init__(self, path: str = "", port: int = 0) -> None:
        self.path = path
        self.ready = False
        if path:
            if not os.path.isdir(os.path.dirname(path) or "."):
                raise FileNotFoundError(f"--ready-file: there is no folder {os.path.dirname(path)}")
            self._remove()  # one that an earlier life of this container has left
        if port:
            self._serve(port)

    def set(self, ready: bool) -> str:
        """Says so; '' or what went wrong."""
        self.ready = ready
        if not self.path:
            return ""
        if not ready:
            return self._remove()
        try:
            with open(self.path, "w", encoding="utf-8"):
                return ""
        except OSError as e:
            return f"the readiness file {self.path} cannot be made: {e.strerror}"

    def _remove(self) -> str:
        try:
            os.unlink(self.path)
        except FileNotFoundError:
            pass
        except OSError as e:
            return f"the readiness file {self.path} cannot be removed: {e.strerror}"
        return ""

    def _serve(self, port: int) -> None:
        import socket  # 0.9 MiB, only for those who asked
        from _thread import start_new_thread  # of `threading` nothing else is needed

        family = socket.AF_INET6 if socket.has_dualstack_ipv6() else socket.AF_INET
        listener = socket.create_server(("", port), family=family, dualstack_ipv6=family == socket.AF_INET6)
        start_new_thread(self._answer, (listener,))

    def _answer(self, listener) -> None:  # type: ignore[no-untyped-def]  # a socket, imported when it is needed
        while True:
            with contextlib.suppress(OSError):
                client, _ = listener.accept()
                with client:
                    client.settimeout(1)
                    client.recv(4096)
                    client.sendall(READY if self.ready else NOT_READY)
