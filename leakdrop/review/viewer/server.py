"""The one place that listens: HTTP/1.1 on 127.0.0.1, at a port that the system chooses.

Nothing is logged: addresses hold the token. A connection takes a thread and, while it sends, about 1 MiB;
there are at most 64. Other users of this machine can connect, too: until somebody has named the token, a
connection is a stranger's, who has 20 seconds in all, and the oldest of whom makes room when there is none.
"""

import math
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from leakdrop.errors import LeakdropError
from leakdrop.review.viewer.requests import Answer, Door, RefusedError, Request
from leakdrop.terminal import locate, warn

HOST = "127.0.0.1"
MOST_CONNECTIONS = 64
MAX_FORM = 2 << 20  # bytes: a note and a reply, nine for each character at most
# A browser that is paused reads no further for as long as it likes, and asks again if it has to.
ASKING, SENDING = 20, 600  # seconds without a byte
# What is sent ahead of a browser that seeks elsewhere was opened for nothing.
AHEAD = 1 << 18  # bytes
MAKING_ROOM = 1  # seconds until one that was let go has gone

Answering = Callable[[Request], Answer]


class Handler(BaseHTTPRequestHandler):
    """Reads requests and writes answers; `server.answering` decides between."""

    protocol_version = "HTTP/1.1"
    timeout = ASKING
    server: "Server"

    def setup(self) -> None:
        super().setup()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, AHEAD)

    def do_GET(self) -> None:
        self._answer(b"")

    def do_HEAD(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit() and len(length) < 9 and int(length) <= MAX_FORM):
            self.send_error(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
            return
        body = self.rfile.read(int(length))
        if len(body) == int(length):
            self._answer(body)
        else:
            self.close_connection = True

    def _answer(self, body: bytes) -> None:
        # A field that stands twice is none of a browser's, and passes for neither of its values.
        fields = {
            name.lower(): ", ".join(self.headers.get_all(name, [])) for name in set(self.headers.keys())
        }
        request = Request(self.command, self.path, fields, body)
        self.server.meet(self.connection, request)
        answer = self.server.answering(request)
        with answer.kept:
            self.connection.settimeout(SENDING)
            self.send_response_only(answer.status)
            for name, value in answer.fields.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(answer.length))
            self.end_headers()
            if self.command != "HEAD":
                for piece in answer.pieces:
                    self.wfile.write(piece)
            self.connection.settimeout(ASKING)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """A refusal of what is no proper request. Nothing of the request stands in it."""
        self.close_connection = True
        self.request_version = self.protocol_version  # whatever it said, it gets a status
        self.send_response_only(code)
        for name, value in (("Content-Length", "0"), ("Cache-Control", "no-store"), ("Connection", "close")):
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


class Server(ThreadingHTTPServer):
    """Serves until `is_over` says so, or an exception stops it."""

    daemon_threads = True
    block_on_close = False
    # Nobody but the viewer itself may listen there, too.
    allow_reuse_address = False
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__((HOST, 0), Handler)
        self.door = Door(self.server_port)
        self.answering: Answering
        self.is_over: Callable[[], bool] = lambda: False
        self._places = threading.BoundedSemaphore(MOST_CONNECTIONS)
        # Since when each has been there, in the order in which they came.
        self._strangers: dict[socket.socket, float] = {}
        self._lock = threading.Lock()

    def serve(self, answering: Answering) -> None:
        self.answering = answering
        try:
            self.serve_forever()
        except _OverError:
            return
        finally:
            self.server_close()

    def server_bind(self) -> None:
        """Without asking the system for this machine's name, as the standard library would."""
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = HOST, self.server_address[1]

    def service_actions(self) -> None:
        if self.is_over():
            raise _OverError
        self._let_go(before=time.monotonic() - ASKING)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Begin a connection, or close it. Nobody keeps this thread, which asks whether all is over."""
        if not self._places.acquire(blocking=False):
            self._let_go(most=1)
            if not self._places.acquire(timeout=MAKING_ROOM):
                self.shutdown_request(request)
                return
        with self._lock:
            self._strangers[request] = time.monotonic()
        super().process_request(request, client_address)

    def meet(self, connection: socket.socket, request: Request) -> None:
        """From now on the connection is no stranger's, if what it asks for names the token."""
        with suppress(RefusedError):
            self.door.check(request)
            self.door.enter(request)
            with self._lock:
                self._strangers.pop(connection, None)

    def _let_go(self, *, before: float = math.inf, most: int = MOST_CONNECTIONS) -> None:
        """End the strangers that came before a time, the oldest first."""
        with self._lock:
            ended = [stranger for stranger, since in self._strangers.items() if since < before][:most]
            for stranger in ended:
                del self._strangers[stranger]
                with suppress(OSError):  # it has gone by itself
                    stranger.shutdown(socket.SHUT_RDWR)

    def shutdown_request(self, request: Any) -> None:
        # Under the lock, since a number that was closed may be another file's at once.
        with self._lock:
            self._strangers.pop(request, None)
        super().shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """The one place for what went wrong while answering; its text could carry a submission's bytes."""
        error = sys.exception()
        if isinstance(error, LeakdropError):
            # An envelope that turned out to be damaged while it was sent: the answer was cut off.
            warn(str(error))
        elif isinstance(error, Exception) and not isinstance(error, OSError):
            warn(f"This is a mistake of leakdrop's, not yours: {locate(error)}.")


class _OverError(Exception):
    """What the server served for is over."""
