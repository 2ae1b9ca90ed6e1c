"""A tus client for tests, which can also misbehave: stop at a byte, fall silent, hang up rudely.

It knows one site, directly or through Tor, and makes a new connection for each request.
"""

import http.client
import io
import os
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass

from leakdrop.envelope.sealing import SourceFile, seal
from tests.keys import label_key_pair
from tests.site import BROKEN, PATIENCE
from tests.tornet import connect_by_socks

TUS = {"Tus-Resumable": "1.0.0"}
BYTES = {**TUS, "Content-Type": "application/offset+octet-stream"}
MIB = 1024 * 1024


# Hears of each connection that breaks, and how.
OnBreak = Callable[[Exception], object]


def ignore(failure: Exception) -> None:
    """Go on."""


def make_envelope(size: int = 0, labels: tuple[str, ...] = ("alice",)) -> bytes:
    """A sealed envelope whose only file has `size` random bytes."""
    sink = io.BytesIO()
    files = [SourceFile("talk.m4a", "audio/mp4", io.BytesIO(os.urandom(size)))] if size else []
    seal([label_key_pair(label).public for label in labels], sink, sealed="browser", files=files)
    return sink.getvalue()


@dataclass(frozen=True)
class Answer:
    """The answer to one request; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def offset(self) -> int:
        return int(self.headers["upload-offset"])

    @property
    def length(self) -> int:
        return int(self.headers["upload-length"])


class Connection(http.client.HTTPConnection):
    """A connection on which a request may be left unfinished."""

    def __init__(self, connect: Callable[[], socket.socket], host: str) -> None:
        super().__init__(host)
        self._connect = connect

    def connect(self) -> None:
        self.sock = self._connect()

    def announce(self, method: str, path: str, headers: dict[str, str]) -> None:
        """Send the head of a request."""
        self.putrequest(method, path, skip_accept_encoding=True)
        for name, value in headers.items():
            self.putheader(name, value)
        self.endheaders()

    def answer(self) -> Answer:
        response = self.getresponse()
        body = response.read()
        return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, body)

    def hang_up_rudely(self) -> None:
        """End the connection as a crash does: with a reset."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def __enter__(self) -> "Connection":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class TusClient:
    """A source's tus client."""

    def __init__(self, connect: Callable[[], socket.socket], host: str) -> None:
        self._connect = connect
        self._host = host

    @classmethod
    def direct(cls, port: int) -> "TusClient":
        return cls(lambda: socket.create_connection(("127.0.0.1", port), PATIENCE), "127.0.0.1")

    @classmethod
    def by_tor(cls, socks_port: int, onion: str, who: str = "source", timeout: float = 30) -> "TusClient":
        return cls(lambda: connect_by_socks(socks_port, onion, who, timeout), onion)

    def open(self) -> Connection:
        return Connection(self._connect, self._host)

    def request(self, method: str, path: str, headers: dict[str, str] | None = None, body=b"") -> Answer:
        sized = {"Content-Length": str(len(body))} if body or method in ("POST", "PATCH") else {}
        with self.open() as connection:
            connection.announce(method, path, {**sized, **(headers or {})})
            if body:
                connection.send(body)
            return connection.answer()

    def create(self, length: int) -> str:
        """A new upload; its path."""
        answer = self.request("POST", "/uploads", {**TUS, "Upload-Length": str(length)})
        assert answer.status == 201, answer
        return answer.headers["location"]

    def head(self, path: str) -> Answer:
        return self.request("HEAD", path, TUS)

    def offset(self, path: str) -> int:
        answer = self.head(path)
        assert answer.status == 200, answer
        return answer.offset

    def patch(self, path: str, offset: int, piece: bytes) -> Answer:
        return self.request("PATCH", path, {**BYTES, "Upload-Offset": str(offset)}, piece)

    def begin_patch(self, path: str, offset: int, length: int, sent: bytes = b"") -> Connection:
        """Announce a PATCH of `length` bytes, and send some of them."""
        connection = self.open()
        head = {**BYTES, "Upload-Offset": str(offset), "Content-Length": str(length)}
        try:
            connection.announce("PATCH", path, head)
            connection.send(sent)
        except OSError:
            connection.close()
            raise
        return connection

    def end(self, path: str) -> Answer:
        return self.request("DELETE", path, TUS)

    def upload(self, envelope: bytes, part: int = MIB, on_break: OnBreak = ignore) -> str:
        """Upload an envelope through whatever happens; its path. Gives up when nothing moves for long."""
        path = self.insist(lambda: self.create(len(envelope)), on_break)
        offset = 0
        while offset < len(envelope):
            begin = offset
            try:
                answer = self.patch(path, begin, envelope[begin : begin + part])
                if answer.status == 204:
                    offset = answer.offset
                    continue
                assert answer.status in (409, 503), answer
            except BROKEN as failure:
                on_break(failure)
            offset = self.insist(lambda: self.offset(path), on_break)
            if offset == begin:
                time.sleep(0.5)
        return path

    def insist(self, ask: Callable[[], object], on_break: OnBreak = ignore):
        """The answer to a question that is asked until there is one."""
        deadline = time.monotonic() + 5 * PATIENCE
        while True:
            try:
                return ask()
            except BROKEN as failure:
                on_break(failure)
                assert time.monotonic() < deadline, "the site does not answer"
                time.sleep(0.5)
