"""Who is slow or silent waits without a thread, and keeps nobody else from being served."""

import contextlib
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.site import PATIENCE, Site, wait_until

HEAD = b"GET / HTTP/1.1\r\nHost: localhost\r\n"
REFUSED = b"POST /submit HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9000000000000000\r\n\r\n"
THREADS = 3
PLACES = 4 * THREADS  # connections that are held at once


@pytest.fixture
def site(start_site) -> Iterator[Site]:
    site = start_site(threads=THREADS, submissions_at_once=1)
    yield site
    assert site.log.read_text() == ""


def connect(site: Site, first: bytes = b"") -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", site.port), PATIENCE)
    connection.sendall(first)
    return connection


def is_held(connection: socket.socket) -> bool:
    """Whether the server has neither answered nor hung up."""
    connection.setblocking(False)
    try:
        return bool(connection.recv(1, socket.MSG_PEEK)) and False
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        connection.settimeout(PATIENCE)


def read_answers(connection: socket.socket, count: int) -> bytes:
    """Bytes until so many answers have begun."""
    received = b""
    while received.count(b"HTTP/1.1 200") < count and (piece := connection.recv(65_536)):
        received += piece
    return received


@pytest.mark.parametrize("first", [b"", b"G", HEAD], ids=["half-open", "a-letter", "a-head-without-its-end"])
def test_more_who_do_not_finish_their_heads_than_threads_stop_nobody(site, first):
    with ExitStack() as held:
        waiting = [held.enter_context(connect(site, first)) for _ in range(2 * THREADS)]
        assert site.get("/")[0] == 200
        assert all(is_held(connection) for connection in waiting)


def test_more_connections_than_places_end_the_oldest_and_leave_the_newest(site):
    with ExitStack() as held:
        waiting = [held.enter_context(connect(site, b"G")) for _ in range(3 * PLACES)]
        wait_until(lambda: sum(map(is_held, waiting)) < PLACES)
        assert site.get("/")[0] == 200
        assert not is_held(waiting[0])
        assert is_held(waiting[-1])


def test_idle_connections_make_room_too(site):
    with ExitStack() as held:
        for _ in range(2 * PLACES):
            connection = held.enter_context(connect(site, HEAD + b"\r\n"))
            assert b"HTTP/1.1 200" in connection.recv(65_536)
        assert site.get("/")[0] == 200


def test_a_head_that_comes_letter_by_letter_is_answered(site):
    with connect(site) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for letter in HEAD + b"\r\n":
            connection.sendall(bytes([letter]))
        assert b"HTTP/1.1 200" in connection.recv(65_536)


def test_two_requests_in_one_packet_are_both_answered_and_half_a_third_holds_no_thread(site):
    with connect(site, 2 * (HEAD + b"\r\n") + HEAD) as connection:
        assert read_answers(connection, 2).count(b"HTTP/1.1 200") == 2
        assert site.get("/")[0] == 200
        connection.sendall(b"\r\n")
        assert read_answers(connection, 1).count(b"HTTP/1.1 200") == 1


def test_a_head_without_end_is_hung_up_on(site):
    with connect(site, HEAD) as connection, contextlib.suppress(ConnectionError):
        for _ in range(100_000):
            connection.sendall(b"X-More: " + b"a" * 1000 + b"\r\n")
        pytest.fail("it took a head of 100 MB")


def test_bodies_that_nobody_reads_are_not_waited_for(site):
    """A thread that waited for each of them, as gunicorn's would for five seconds, would be long about it."""
    deadline = time.monotonic() + PATIENCE
    with ExitStack() as held:
        waiting: list[socket.socket] = []
        for _ in range(150):
            waiting.append(held.enter_context(connect(site, HEAD + b"Content-Length: 100\r\n\r\n")))
            assert read_answers(waiting[-1], 1)
            if len(waiting) > 2 * THREADS:
                waiting.pop(0).close()
            assert time.monotonic() < deadline


def test_who_sends_on_after_a_refusal_can_read_it_and_stops_nobody(site):
    with ExitStack() as held:
        senders = [held.enter_context(connect(site, REFUSED)) for _ in range(2 * THREADS)]
        for sender in senders:
            assert b"HTTP/1.1 415" in sender.recv(65_536)
        assert site.get("/")[0] == 200
        for sender in senders:
            sender.sendall(b"x" * 100)  # it still listens
