"""A relay on loopback between a browser and a site: it records what the browser sends, and breaks things."""

import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

READ = 64 * 1024
KEEP, CLOSE = b"\r\nConnection: keep-alive\r\n", b"\r\nConnection: close\r\n"


def answer(status: str) -> bytes:
    """An answer of the relay's own."""
    return f"HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode()


@dataclass
class Relay:
    """Passes requests to a port, each on a connection of its own; its fields may change at any time.

    `own_answer` is asked with each request line, and None means that the request is passed on. The circuit of
    a connection, if tor tells it (HiddenServiceExportCircuitID), is noted and not passed on.
    """

    port: int
    own_answer: Callable[[str], bytes | None] = lambda _: None
    pause: float = 0  # seconds after each 64 KiB
    cut_after: int | None = None  # bytes of a request, after which it breaks
    cut_answers: str | None = None  # the method of requests whose answers are lost
    sent: bytearray = field(default_factory=bytearray)
    received: int = 0
    lines: list[str] = field(default_factory=list)
    circuits: set[bytes] = field(default_factory=set)

    def __enter__(self) -> "Relay":
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        self.pause = 0
        self.break_connections()

    @property
    def port_here(self) -> int:
        return self._listener.getsockname()[1]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port_here}/"

    def count(self, method: str) -> int:
        return sum(line.startswith(f"{method} ") for line in self.lines)

    def break_connections(self) -> None:
        for connection in list(self._open):
            break_off(connection)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._relay, args=(connection,), daemon=True).start()

    def _relay(self, browser: socket.socket) -> None:
        with browser, suppress(OSError):
            first = browser.recv(READ)
            if first.startswith(b"PROXY "):
                circuit, _, first = first.partition(b"\r\n")
                self.circuits.add(circuit)
                first = first or browser.recv(READ)
            if not first:
                return
            line = first.split(b"\r\n")[0].decode()
            self.lines.append(line)
            self.sent += first
            own = self.own_answer(line)
            if own is not None:
                browser.sendall(own)
                browser.shutdown(socket.SHUT_WR)
                while browser.recv(READ):
                    pass
                return
            with socket.create_connection(("127.0.0.1", self.port)) as site:
                self._open |= {browser, site}
                threading.Thread(target=self._pass_on, args=(first, browser, site), daemon=True).start()
                self._pass_back(line, site, browser)
                self._open -= {browser, site}

    def _pass_on(self, piece: bytes, browser: socket.socket, site: socket.socket) -> None:
        passed = 0
        with suppress(OSError):
            while piece:
                if self.cut_after is not None and passed + len(piece) > self.cut_after:
                    site.sendall(piece[: self.cut_after - passed])
                    break_off(browser)
                    break
                site.sendall(piece)
                passed += len(piece)
                time.sleep(self.pause)
                piece = browser.recv(READ)
                self.sent += piece
        with suppress(OSError):
            site.shutdown(socket.SHUT_WR)

    def _pass_back(self, line: str, site: socket.socket, browser: socket.socket) -> None:
        while piece := site.recv(READ):
            if self.cut_answers and line.startswith(self.cut_answers):
                break
            self.received += len(piece)
            # The browser must ask on a new connection, so that each request is seen.
            browser.sendall(piece.replace(KEEP, CLOSE, 1))
        break_off(browser)


def break_off(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
