"""gunicorn's threaded worker, with a listener that ends when accepting ends.

Law: after the stop signal, who was already in the accept queue is served, then the listener closes. So a later client
is refused at once, and may safely try elsewhere; gunicorn 27 by itself leaves the listener open and unread: clients
connect, wait for the rest of the drain and are reset at its end. The rest of the drain is gunicorn's own: requests in
flight are finished, kept-alive connections stay open for up to 2 s, and what still arrives on them is answered with
``Connection: close`` (RFC 9112, section 9.6), so a client that looks before it reuses a connection loses no race.
"""

from __future__ import annotations

from gunicorn.workers.gthread import ThreadWorker


class Worker(ThreadWorker):  # type: ignore[misc]
    """Use it as gunicorn's ``worker_class``."""

    def set_accept_enabled(self, enabled: bool) -> None:
        """Start or stop accepting; for a worker that is stopping, this is the end of its listener."""
        super().set_accept_enabled(enabled)
        if self.alive or enabled:
            return
        for listener in self.sockets:
            connections = -1
            while connections != self.nr_conns:  # `accept` takes one connection, or finds none
                connections = self.nr_conns
                self.accept(listener)
            listener.close()
