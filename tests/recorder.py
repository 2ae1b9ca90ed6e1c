"""What somebody sees who watches the wire: for each connection, how many bytes went which way, and when.

    with Recorder(site.port) as recorder:
        … a visit to recorder.url …
        shape = recorder.take()

It passes everything on unchanged. What it records is more than a watcher of Tor sees: there, connections
share circuits, and bytes travel in cells of one size.
"""

import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field

READ = 256 * 1024


@dataclass
class Exchange:
    """Bytes to the site and bytes back, until the visitor speaks again; times in seconds."""

    begun: float
    up: int = 0
    down: int = 0
    ended: float = 0


@dataclass(frozen=True)
class Shape:
    """A visit: its exchanges as (bytes up, bytes down), in the order of their beginnings, and its seconds."""

    exchanges: tuple[tuple[int, int], ...]
    seconds: float

    @property
    def up(self) -> int:
        return sum(up for up, _ in self.exchanges)

    @property
    def down(self) -> int:
        return sum(down for _, down in self.exchanges)


@dataclass
class Recorder:
    """Stands before the site at this port."""

    port: int
    _exchanges: list[Exchange] = field(default_factory=list)
    _open: set[socket.socket] = field(default_factory=set)

    def __enter__(self) -> "Recorder":
        self._listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        self._hang_up()

    @property
    def port_here(self) -> int:
        return self._listener.getsockname()[1]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port_here}/"

    def take(self) -> Shape:
        """What was seen since the last time. Open connections are ended: the next visitor has their own."""
        self._hang_up()
        seen, self._exchanges = sorted(self._exchanges, key=lambda one: one.begun), []
        ends = [one.ended for one in seen]
        seconds = max(ends) - seen[0].begun if seen else 0
        return Shape(tuple((one.up, one.down) for one in seen), seconds)

    def _hang_up(self) -> None:
        for connection in list(self._open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                visitor, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(visitor,), daemon=True).start()

    def _serve(self, visitor: socket.socket) -> None:
        with visitor, suppress(OSError), socket.create_connection(("127.0.0.1", self.port)) as site:
            self._open |= {visitor, site}
            turns: list[Exchange] = []
            threading.Thread(target=self._pass_on, args=(visitor, site, turns), daemon=True).start()
            while piece := site.recv(READ):
                turns[-1].down += len(piece)
                turns[-1].ended = time.monotonic()
                visitor.sendall(piece)
            with suppress(OSError):
                visitor.shutdown(socket.SHUT_RDWR)
            self._open -= {visitor, site}

    def _pass_on(self, visitor: socket.socket, site: socket.socket, turns: list[Exchange]) -> None:
        with suppress(OSError):
            while piece := visitor.recv(READ):
                if not turns or turns[-1].down:
                    turns.append(Exchange(time.monotonic()))
                    self._exchanges.append(turns[-1])
                turns[-1].up += len(piece)
                site.sendall(piece)
        with suppress(OSError):
            site.shutdown(socket.SHUT_WR)
