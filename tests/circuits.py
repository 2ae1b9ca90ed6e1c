"""Requests as Tor hands them over: by a unix socket, each connection named for its circuit."""

import http.client
import socket
from dataclasses import dataclass
from pathlib import Path

from tests.site import PATIENCE, encode_form

ONION = "a" * 56 + ".onion"


def proxy_line(circuit: int) -> bytes:
    """What tor sends first on each connection; the number is a circuit's (HiddenServiceExportCircuitID)."""
    return f"PROXY TCP6 fc00:dead:beef:4dad::0:{circuit:x} ::1 29 80\r\n".encode()


@dataclass
class Circuit:
    """A circuit that leads to a site's unix socket."""

    path: Path
    number: int
    host: str = ONION

    def connect(self) -> http.client.HTTPConnection:
        """A new connection, whose first line is Tor's."""
        connection = http.client.HTTPConnection(self.host, timeout=PATIENCE)
        connection.sock = self.open()
        return connection

    def open(self) -> socket.socket:
        """The same, as a socket."""
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(PATIENCE)
        connection.connect(str(self.path))
        connection.sendall(proxy_line(self.number))
        return connection

    def request(self, method: str, path: str, body=None, headers=None) -> tuple[int, str]:
        """Status and text of an answer, by a connection of its own."""
        connection = self.connect()
        try:
            return ask(connection, method, path, body, headers)
        finally:
            connection.close()


def ask(connection: http.client.HTTPConnection, method, path, body=None, headers=None) -> tuple[int, str]:
    connection.request(method, path, body, headers or {})
    response = connection.getresponse()
    return response.status, response.read().decode()


def submit(circuit: Circuit, message: str = "hello") -> tuple[int, str]:
    """Send a message by the form without JavaScript."""
    body, content_type = encode_form([("message", message)])
    return circuit.request("POST", "/submit", body, {"Content-Type": content_type})
