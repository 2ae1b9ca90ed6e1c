"""Connections that wait without a thread: for a request's head, and for the other side's goodbye.

gunicorn's gthread reads heads in its threads and waits for goodbyes in the one thread that accepts, so that
as many slow visitors as there are threads, or fewer, would stop a site. Here the thread that accepts does
both, without ever waiting for one of them. Bodies are still read by threads. Why: docs/adr/0024.
"""

import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from selectors import EVENT_READ
from typing import Any

from gunicorn.workers.gthread import ThreadWorker

# A head comes in one packet, even over Tor.
HEAD_SECONDS = 30.0
MAX_HEAD = 64 * 1024
HEAD_END = b"\r\n\r\n"
# A visitor who is told "too large" must be able to read it, although they are still sending.
GOODBYE_SECONDS, GOODBYE_BYTES = 5.0, 64 * 1024 * 1024
READ = 64 * 1024


@dataclass
class Waiting:
    """What a connection has sent so far, in bytes, and when it is hung up on (time.monotonic)."""

    until: float
    head: bytearray = field(default_factory=bytearray)
    dropped: int = 0


class WaitingWorker(ThreadWorker):  # type: ignore[misc] # gunicorn has no types
    """A gthread worker whose threads meet whole heads and no goodbyes. All here is the poller's."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # In the order in which they end, since all of a kind wait equally long.
        self._heads: dict[Any, Waiting] = {}
        self._goodbyes: dict[Any, Waiting] = {}

    def accept(self, listener: Any) -> None:
        """Accept a connection. The last place is kept free by hanging up on who has waited longest."""
        if self.nr_conns >= self.worker_connections - 1:
            self._make_room()
        super().accept(listener)

    def enqueue_req(self, conn: Any) -> None:
        """Read the head of the next request, and give the connection to a thread once it is there."""
        conn.init()  # its socket blocks after this
        conn.sock.setblocking(False)
        # What came behind the last request is the beginning of this one.
        head = bytearray(conn.parser.unreader.take_buffered())
        self._heads[conn] = Waiting(time.monotonic() + HEAD_SECONDS, head)
        self._watch(conn, self._read_head)
        self._check_head(conn)

    def finish_request(self, conn: Any, fs: Any) -> None:
        """Keep a connection for the next request, or say goodbye."""
        if fs.cancelled() or fs.exception() or fs.result() is not False:
            super().finish_request(conn, fs)
            return
        try:
            conn.sock.shutdown(socket.SHUT_WR)
            conn.sock.setblocking(False)
            self._goodbyes[conn] = Waiting(time.monotonic() + GOODBYE_SECONDS)
            self._watch(conn, self._hear_goodbye)
        except OSError:  # it has ended already
            self.nr_conns -= 1
            conn.close()

    def murder_pending(self) -> None:
        """Hang up on who has waited too long; gunicorn calls it each second."""
        now = time.monotonic()
        for kind in (self._heads, self._goodbyes):
            for conn in [conn for conn, waiting in kind.items() if waiting.until <= now]:
                self._hang_up(conn)

    def _cap_keepalive(self, deadline: float) -> None:
        """gunicorn calls it when the server stops: a head that is not there by then never comes."""
        super()._cap_keepalive(deadline)
        for waiting in self._heads.values():
            waiting.until = min(waiting.until, deadline)

    def _make_room(self) -> None:
        for kind in (self._goodbyes, self._heads):
            if kind:
                self._hang_up(next(iter(kind)))
                return
        if self.keepalived_conns:
            self.keepalived_conns[0].timeout = 0
            self.murder_keepalived()

    def _watch(self, conn: Any, hear: Callable[[Any], None]) -> None:
        self.poller.register(conn.sock, EVENT_READ, lambda _sock: hear(conn))

    def _forget(self, conn: Any) -> None:
        self._heads.pop(conn, None)
        self._goodbyes.pop(conn, None)
        self.poller.unregister(conn.sock)

    def _hang_up(self, conn: Any) -> None:
        self._forget(conn)
        self.nr_conns -= 1
        conn.close()

    def _receive(self, conn: Any) -> bytes | None:
        """What has come; b"" when nothing more will, None when nothing is there yet."""
        try:
            return bytes(conn.sock.recv(READ))
        except BlockingIOError:
            return None
        except OSError:
            return b""

    def _read_head(self, conn: Any) -> None:
        piece = self._receive(conn)
        if piece is None:
            return
        self._heads[conn].head += piece
        if piece:
            self._check_head(conn)
        else:
            self._hang_up(conn)

    def _check_head(self, conn: Any) -> None:
        head = self._heads[conn].head
        if HEAD_END in head:
            self._forget(conn)
            conn.parser.unreader.unread(bytes(head))
            conn.data_ready = True
            super().enqueue_req(conn)
        elif len(head) > MAX_HEAD:
            self._hang_up(conn)

    def _hear_goodbye(self, conn: Any) -> None:
        piece = self._receive(conn)
        if piece is None:
            return
        self._goodbyes[conn].dropped += len(piece)
        if not piece or self._goodbyes[conn].dropped > GOODBYE_BYTES:
            self._hang_up(conn)
