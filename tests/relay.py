"""A server between a site and its visitors, which passes pages on, and changes what it is told to.

tests/intake/wire.py is the one that breaks connections.

    with Relay(site.port, change) as relay:
        relay.url

`change` gets path, status, headers and body (not compressed), and returns the last three.
"""

import gzip
import http.client
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

Headers = list[tuple[str, str]]
Change = Callable[[str, int, Headers, bytes], tuple[int, Headers, bytes]]


def as_it_is(path: str, status: int, headers: Headers, body: bytes) -> tuple[int, Headers, bytes]:
    return status, headers, body


class Relay:
    """Stands before one site, on a port of its own."""

    def __init__(self, port: int, change: Change = as_it_is) -> None:
        self.asked: list[tuple[str, dict[str, str]]] = []  # paths and headers of requests
        relay = self

        class Passing(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                relay.asked.append((self.path, dict(self.headers)))
                status, headers, body = change(self.path, *fetch(port, self.path))
                self.send_response_only(status)
                for name, value in headers:
                    self.send_header(name, value)
                self.send_header("Content-Encoding", "gzip")
                packed = gzip.compress(body)
                self.send_header("Content-Length", str(len(packed)))
                self.end_headers()
                self.wfile.write(packed)

            def log_message(self, *_: object) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Passing)
        self._thread = threading.Thread(target=self._server.serve_forever)

    @property
    def port(self) -> int:
        return self._server.server_port

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def fetch(port: int, path: str) -> tuple[int, Headers, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("GET", path)
    response = connection.getresponse()
    body = response.read()
    headers = [(name, value) for name, value in response.getheaders() if name.lower() != "content-length"]
    connection.close()
    return response.status, headers, body
