"""Connections that wait without a thread: for a request's head, until an answer is read, and for a goodbye.

gunicorn's gthread reads heads and sends answers in its threads, and waits for goodbyes in the one thread that
accepts, so that as many slow visitors as there are threads, or fewer, would stop a site. Here the thread that
accepts does all three, without ever waiting for one of them. Bodies are still read by threads, and answers in
several pieces are sent by them. Why: docs/adr/0024 and 0031.
"""

import re
import socket
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum
from selectors import EVENT_READ, EVENT_WRITE
from typing import Any

import gunicorn.http.wsgi
from gunicorn.workers.gthread import STOP_KEEPALIVE_LINGER, ThreadWorker

# A head comes in one packet, even over Tor. The next one may come as late.
HEAD_SECONDS = 30.0
MAX_HEAD = 64 * 1024
HEAD_END = b"\r\n\r\n"
# So much of an answer must be read in the time for which a client may be silent: 1 KiB a second.
READ_IN_SILENCE = 128 * 1024
# A body that nobody reads is thrown away, if it is there.
DRAIN_SECONDS = 0.05
# A visitor who is told "too large" must be able to read it, although they are still sending.
GOODBYE_SECONDS, GOODBYE_BYTES = 5.0, 64 * 1024 * 1024
READ = 64 * 1024
LINE_END = b"\r\n"
NOTHING = memoryview(b"")


class Kind(IntEnum):
    """What a connection waits for; the first of them is hung up on first."""

    GOODBYE = 0
    HEAD = 1
    ANSWER = 2


@dataclass(eq=False)
class Waiting:
    """A connection that waits: for what, and when it is hung up on (time.monotonic).

    `head` is what has come of it; `unsent` what has not gone of an answer, and `is_last` whether none follows
    it; `dropped` how many bytes came before a goodbye.
    """

    kind: Kind
    until: float
    head: bytearray = field(default_factory=bytearray)
    unsent: memoryview = NOTHING
    is_last: bool = False
    dropped: int = 0


class WaitingResponse(gunicorn.http.wsgi.Response):  # type: ignore[misc] # gunicorn has no types
    """A response that waits for no reader if it comes in one piece: its thread leaves what is left of it."""

    def _emit_body(self, piece: bytes) -> None:
        if self.response_length == len(piece):
            self.req.connection.unsent = memoryview(piece)[_send_now(self.sock, piece) :]
        else:
            super()._emit_body(piece)


class WaitingWorker(ThreadWorker):  # type: ignore[misc] # gunicorn has no types
    """A gthread worker whose threads meet whole heads, no slow readers of whole answers and no goodbyes.

    All here is the poller's, but `handle_request` and `_keepalive_after`.
    """

    silence_seconds: int

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._waiting: dict[Any, Waiting] = {}  # in the order in which they began to wait

    def accept(self, listener: Any) -> None:
        """Accept a connection. The last place is kept free by hanging up on somebody."""
        if self._waiting and self.nr_conns >= self.worker_connections - 1:
            self._make_room()
        super().accept(listener)

    def enqueue_req(self, conn: Any) -> None:
        """Read the head of the next request, and give the connection to a thread once it is there."""
        conn.init()  # its socket blocks after this
        # What came behind the last request is the beginning of this one.
        head = bytearray(conn.parser.unreader.take_buffered())
        conn.unsent = NOTHING
        seconds = HEAD_SECONDS if self.alive else STOP_KEEPALIVE_LINGER
        waiting = Waiting(Kind.HEAD, time.monotonic() + seconds, head)
        self._wait(conn, waiting, EVENT_READ, self._read_head)
        self._check_head(conn, waiting)

    def handle_request(self, req: Any, conn: Any) -> Any:
        req.connection = conn
        return super().handle_request(req, conn)

    def _keepalive_after(self, conn: Any, keepalive: bool) -> bool:
        """Whether there may be another request. gunicorn would wait five seconds for a body."""
        return keepalive and bool(conn.parser.finish_body(deadline=time.monotonic() + DRAIN_SECONDS))

    def finish_request(self, conn: Any, fs: Any) -> None:
        """Have the rest of the answer sent, and what there is of it read; then the next request, or goodbye.

        So a thread that sends a head, or a piece, always finds room for it.
        """
        if fs.cancelled() or fs.exception():
            self._end(conn)
            return
        seconds = self.silence_seconds * (1 + len(conn.unsent) / READ_IN_SILENCE)
        until = time.monotonic() + seconds
        waiting = Waiting(Kind.ANSWER, until, unsent=conn.unsent, is_last=not fs.result())
        self._wait(conn, waiting, EVENT_WRITE, self._send)

    def murder_pending(self) -> None:
        """Hang up on who has waited too long; gunicorn calls it each second."""
        now = time.monotonic()
        for conn in [conn for conn, waiting in self._waiting.items() if waiting.until <= now]:
            self._hang_up(conn)

    def _cap_keepalive(self, deadline: float) -> None:
        """gunicorn calls it when the server stops: a head that is not there by then never comes."""
        for waiting in self._waiting.values():
            if waiting.kind is Kind.HEAD:
                waiting.until = min(waiting.until, deadline)

    def _make_room(self) -> None:
        """Hang up on one of the circuit that has most connections waiting: of the first kind, the oldest."""
        held = Counter(map(_circuit_of, self._waiting))
        self._hang_up(
            min(self._waiting, key=lambda conn: (-held[_circuit_of(conn)], self._waiting[conn].kind))
        )

    def _wait(self, conn: Any, waiting: Waiting, event: int, go_on: Callable[[Any, Waiting], None]) -> None:
        """Have a connection wait until its socket is ready, and then go on, as often as it is."""

        def call(_sock: Any) -> None:
            # Another call for the same events may have ended it.
            if self._waiting.get(conn) is waiting:
                go_on(conn, waiting)

        conn.sock.setblocking(False)
        self._waiting[conn] = waiting
        self.poller.register(conn.sock, event, call)

    def _forget(self, conn: Any) -> None:
        del self._waiting[conn]
        self.poller.unregister(conn.sock)

    def _hang_up(self, conn: Any) -> None:
        self._forget(conn)
        self._end(conn)

    def _end(self, conn: Any) -> None:
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

    def _read_head(self, conn: Any, waiting: Waiting) -> None:
        piece = self._receive(conn)
        if piece is None:
            return
        waiting.head += piece
        if piece:
            self._check_head(conn, waiting)
        else:
            self._hang_up(conn)

    def _check_head(self, conn: Any, waiting: Waiting) -> None:
        head = waiting.head
        if self.cfg.proxy_protocol != "off" and not _circuit_of(conn) and LINE_END in head:
            conn.circuit_address = _read_proxy_line(head)
        if HEAD_END in head:
            self._forget(conn)
            conn.parser.unreader.unread(bytes(head))
            conn.data_ready = True
            super().enqueue_req(conn)
        elif len(head) > MAX_HEAD:
            self._hang_up(conn)

    def _send(self, conn: Any, waiting: Waiting) -> None:
        """The socket takes more; when it does after all of an answer has gone, most of it has been read."""
        if waiting.unsent:
            try:
                waiting.unsent = waiting.unsent[_send_now(conn.sock, waiting.unsent) :]
            except OSError:
                self._hang_up(conn)
        else:
            self._forget(conn)
            if waiting.is_last:
                self._say_goodbye(conn)
            else:
                self.enqueue_req(conn)

    def _say_goodbye(self, conn: Any) -> None:
        try:
            conn.sock.shutdown(socket.SHUT_WR)
        except OSError:  # it has ended already
            self._end(conn)
        else:
            waiting = Waiting(Kind.GOODBYE, time.monotonic() + GOODBYE_SECONDS)
            self._wait(conn, waiting, EVENT_READ, self._hear_goodbye)

    def _hear_goodbye(self, conn: Any, waiting: Waiting) -> None:
        piece = self._receive(conn)
        if piece is None:
            return
        waiting.dropped += len(piece)
        if not piece or waiting.dropped > GOODBYE_BYTES:
            self._hang_up(conn)


def _send_now(connection: socket.socket, piece: bytes | memoryview) -> int:
    """How many bytes of it the kernel takes without waiting. Raises OSError."""
    try:
        return connection.send(piece, socket.MSG_DONTWAIT)
    except BlockingIOError:
        return 0


def _read_proxy_line(head: bytearray) -> bytes:
    """The address by which Tor names a circuit, in the first line of a connection; b"" if there is none."""
    line = bytes(head.partition(LINE_END)[0])
    return line.split(b" ")[2] if re.match(rb"PROXY \S+ \S", line) else b""


def _circuit_of(conn: Any) -> bytes:
    """The circuit that a connection comes by, as Tor told it; b"" if it did not."""
    circuit: bytes = getattr(conn, "circuit_address", b"")
    return circuit
