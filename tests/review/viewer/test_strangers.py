"""Other users of the machine, who can connect as well, and keep nobody out."""

import contextlib
import http.client
import socket
import threading
import time
from collections.abc import Iterator
from http import HTTPStatus

import pytest

from leakdrop.review.viewer import server as serving
from leakdrop.review.viewer.requests import Answer
from leakdrop.review.viewer.server import MOST_CONNECTIONS, Server
from tests.review.inboxes import seal_bytes
from tests.site import PATIENCE, wait_until

PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(8_000_000)


@contextlib.contextmanager
def trickling(port: int, number: int, head: bytes = b"") -> Iterator[list[socket.socket]]:
    """Connections of somebody without the token, who sends a head byte by byte, and never ends it."""
    wires = [socket.create_connection(("127.0.0.1", port)) for _ in range(number)]
    for wire in wires:
        wire.sendall(head)
    over = threading.Event()

    def trickle() -> None:
        while not over.wait(0.2):
            for wire in wires:
                with contextlib.suppress(OSError):
                    wire.sendall(b"G")

    thread = threading.Thread(target=trickle)
    thread.start()
    try:
        yield wires
    finally:
        over.set()
        thread.join()
        for wire in wires:
            wire.close()


def test_strangers_who_take_all_places_keep_the_reviewer_from_nothing(view, reviewer):
    viewer = view(seal_bytes([reviewer.public], "hello"))
    with trickling(viewer.port, 2 * MOST_CONNECTIONS):
        for _ in range(3):
            assert "hello" in viewer.ask("0/").text
    assert viewer.errors == ""


def test_strangers_make_room_and_what_the_reviewer_plays_does_not(view, reviewer):
    viewer = view(seal_bytes([reviewer.public], "", [("a.png", PICTURE)]))
    connections = [viewer.connect() for _ in range(MOST_CONNECTIONS - 4)]
    for connection in connections:
        connection.request("GET", f"{viewer.base}0/0/bytes")
    answers = [connection.getresponse() for connection in connections]
    with trickling(viewer.port, 20):
        assert viewer.ask().status == 200
        assert {answer.read() for answer in answers} == {PICTURE}
    for connection in connections:
        connection.close()


@pytest.fixture
def server() -> Iterator[Server]:
    """A server that answers all alike, until its test is over."""
    server, over = Server(), threading.Event()
    server.is_over = over.is_set
    thread = threading.Thread(target=server.serve, args=[lambda request: Answer(HTTPStatus.NOT_FOUND, {})])
    thread.start()
    yield server
    over.set()
    thread.join(PATIENCE)
    assert not thread.is_alive(), "it does not see that it is over"


def test_strangers_do_not_hide_that_the_browser_was_closed(server):
    with trickling(server.server_port, 2 * MOST_CONNECTIONS):
        wait_until(lambda: threading.active_count() > MOST_CONNECTIONS - 4)
        asked = threading.Event()
        is_over, server.is_over = server.is_over, lambda: asked.set() or is_over()
        time.sleep(1)  # what was let in meanwhile
        asked.clear()
        assert asked.wait(PATIENCE)


@pytest.mark.parametrize("head", [b"", b"GET /x/ HTTP/1.1\r\n\r\n"], ids=["at first", "once refused"])
def test_a_stranger_has_so_long_in_all_and_not_for_each_byte(server, monkeypatch, head):
    monkeypatch.setattr(serving, "ASKING", 3)
    with trickling(server.server_port, 1, head) as (wire,):
        wire.settimeout(PATIENCE)
        with contextlib.suppress(ConnectionResetError):
            while wire.recv(1000):
                pass


def test_who_named_the_token_is_no_stranger_however_long_it_stays(server, monkeypatch):
    monkeypatch.setattr(serving, "ASKING", 2)
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=PATIENCE)
    connection.connect()
    wire, began = connection.sock, time.monotonic()
    while time.monotonic() < began + 4:
        connection.request("GET", f"/{server.door.token}/", headers={})
        assert connection.getresponse().read() == b""
        time.sleep(0.2)
    assert connection.sock is wire, "or it was ended, and another one was made"
    connection.close()
