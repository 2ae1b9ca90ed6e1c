"""Bytes for browsers and players: ranges out of an envelope, of which only what they touch is opened.

LEAKDROP_LONG=1 makes the large recording 4 GiB instead of 256 MiB.
"""

import io
import os
import random
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from leakdrop.envelope.header import CHUNK, header_length
from leakdrop.envelope.padding import PIECE
from leakdrop.envelope.sealing import SourceFile, seal
from tests.review.inboxes import flip, seal_bytes, write_bundle
from tests.review.viewing import Viewer
from tests.site import wait_until

MIB = 1024 * 1024
LARGE = 4064 * MIB if os.environ.get("LEAKDROP_LONG") else 256 * MIB
HEAD = b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0"
SOUND = HEAD + random.Random(5).randbytes(3 * MIB)
# What the process reads beside chunks: a little of its own files and of /proc.
BESIDE = 64 * 1024


@pytest.fixture(scope="module")
def viewer(tmp_path_factory, reviewer):
    folder = tmp_path_factory.mktemp("bytes")
    files = [("before", b"x" * 1000), ("a.wav", SOUND), ("empty.wav", b""), ("after", b"y" * 1000)]
    write_bundle(folder / "stick", [seal_bytes([reviewer.public], "m", files)])
    viewer = Viewer(folder / "stick", reviewer, folder / "viewer")
    yield viewer
    viewer.stop()


SIZE = len(SOUND)
RANGES = {
    "the beginning": ("bytes=0-99", 0, 100),
    "across chunks": (f"bytes={PIECE - 10}-{3 * PIECE + 10}", PIECE - 10, 3 * PIECE + 11),
    "the end": ("bytes=-100", SIZE - 100, SIZE),
    "to the end": (f"bytes={SIZE - 300_000}-", SIZE - 300_000, SIZE),
    "beyond the end": (f"bytes=5-{2 * SIZE}", 5, SIZE),
    "one byte": ("bytes=1-1", 1, 2),
}


@pytest.mark.parametrize(("asked", "start", "end"), RANGES.values(), ids=RANGES)
def test_a_range_is_those_bytes(viewer, asked, start, end):
    got = viewer.ask("0/1/bytes", Range=asked)
    assert got.status == 206
    assert got.body == SOUND[start:end]
    assert got.fields["content-range"] == f"bytes {start}-{end - 1}/{SIZE}"
    assert (got.fields["content-type"], got.fields["accept-ranges"]) == ("audio/wav", "bytes")


@pytest.mark.parametrize("fields", [{}, {"Range": "bytes=1-2,4-5"}, {"Range": "bytes=1-2", "If_Range": "x"}])
def test_without_a_single_range_all_bytes_come(viewer, fields):
    got = viewer.ask("0/1/bytes", **fields)
    assert (got.status, got.fields["content-length"]) == (200, str(SIZE))
    assert got.body == SOUND
    assert "content-range" not in got.fields


def test_a_range_beyond_the_end_is_refused_with_the_size(viewer):
    got = viewer.ask("0/1/bytes", Range=f"bytes={SIZE}-")
    assert (got.status, got.fields["content-range"]) == (416, f"bytes */{SIZE}")


def test_asking_for_the_head_gives_no_bytes(viewer):
    got = viewer.ask("0/1/bytes", "HEAD", Range="bytes=0-99")
    assert (got.status, got.fields["content-length"], got.body) == (206, "100", b"")


def test_an_empty_file_is_not_played(viewer):
    assert viewer.ask("0/2/bytes").status == 403


def test_only_the_chunks_that_a_range_touches_are_read(viewer):
    viewer.ask("0/1/bytes", "HEAD")
    for start, size, chunks in (
        (PIECE + 5, 10, 1),
        (2 * MIB, 1, 1),
        (2 * PIECE - 1000, 2, 2),
        (0, PIECE * 4, 5),
    ):
        before = viewer.bytes_read
        got = viewer.ask("0/1/bytes", Range=f"bytes={start}-{start + size - 1}")
        assert got.body == SOUND[start : start + size]
        assert (viewer.bytes_read - before) // CHUNK <= chunks, (start, size)
        assert viewer.bytes_read - before < chunks * CHUNK + BESIDE


def test_many_ranges_at_once_are_all_right(viewer):
    chance = random.Random(7)
    spans = [sorted(chance.sample(range(SIZE), 2)) for _ in range(150)]

    def is_right(span):
        start, end = span
        return viewer.ask("0/1/bytes", Range=f"bytes={start}-{end - 1}").body == SOUND[start:end]

    with ThreadPoolExecutor(100) as pool:
        assert all(pool.map(is_right, spans))


def test_a_damaged_chunk_is_a_sentence_or_a_cut_answer_and_never_its_bytes(view, reviewer):
    envelope = seal_bytes([reviewer.public], "m", [("a.wav", SOUND)])
    viewer = view(flip(envelope, header_length(1) + 5 * CHUNK + 100))
    assert viewer.ask("0/0/bytes", Range=f"bytes={3 * PIECE}-{4 * PIECE}").status == 206
    got = viewer.ask("0/0/bytes", Range=f"bytes={5 * PIECE}-{5 * PIECE + 9}")
    assert got.status == 409
    assert "This envelope is damaged" in got.text
    with socket.create_connection(("127.0.0.1", viewer.port)) as wire:
        request = f"GET {viewer.base}0/0/bytes HTTP/1.1\r\nHost: 127.0.0.1:{viewer.port}\r\n\r\n"
        wire.sendall(request.encode())
        received = b"".join(iter(lambda: wire.recv(MIB), b""))
    body = received.partition(b"\r\n\r\n")[2]
    assert SOUND.startswith(body)
    assert len(body) <= 5 * PIECE
    wait_until(lambda: "WARNING: This envelope is damaged" in viewer.errors)


def test_a_stick_that_is_pulled_out_is_told(view, reviewer, tmp_path):
    viewer = view(seal_bytes([reviewer.public], "m", [("a.wav", SOUND)]))
    assert viewer.ask("0/").status == 200
    (path,) = (tmp_path / "stick").glob("*.envelope")
    path.unlink()
    for address in ("0/", "0/0/", "0/0/bytes"):
        got = viewer.ask(address)
        assert got.status == 409
        assert f"{path} cannot be read: No such file or directory." in got.text
    assert viewer.ask().status == 200


def test_another_envelope_in_the_same_place_is_not_believed(view, reviewer, tmp_path):
    viewer = view(seal_bytes([reviewer.public], "m", [("a.wav", SOUND)]))
    assert viewer.ask("0/0/bytes", Range="bytes=0-9").status == 206
    (path,) = (tmp_path / "stick").glob("*.envelope")
    path.write_bytes(seal_bytes([reviewer.public], "m", [("a.wav", HEAD + bytes(3 * MIB))]))
    assert viewer.ask("0/0/bytes", Range=f"bytes={MIB}-{MIB + 9}").status == 409


def test_a_client_that_goes_away_leaves_nothing_behind(viewer):
    def count_open() -> int:
        folder = Path(f"/proc/{viewer.process.pid}/fd")
        return sum(os.path.lexists(path) for path in folder.iterdir())

    before = count_open()
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", viewer.port)) as wire:
            request = f"GET {viewer.base}0/1/bytes HTTP/1.1\r\nHost: 127.0.0.1:{viewer.port}\r\n\r\n"
            wire.sendall(request.encode())
            wire.recv(1000)
    wait_until(lambda: count_open() <= before)
    assert viewer.errors == ""


class Zeros(io.RawIOBase):
    """A long recording of silence, which takes no memory."""

    def __init__(self, size: int) -> None:
        self._left, self._head = size, HEAD

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:
        size = min(len(buffer), self._left)
        buffer[:size] = self._head.ljust(size, b"\0")[:size]
        self._head, self._left = b"", self._left - size
        return size


def test_a_large_recording_is_given_out_in_constant_memory(start_viewer, reviewer, tmp_path):
    with (tmp_path / "large.envelope").open("wb") as sink:
        files = [SourceFile("a.wav", "", Zeros(LARGE))]
        seal([reviewer.public], sink, sealed="browser", files=files)
    viewer = start_viewer(tmp_path / "large.envelope")
    assert viewer.ask("0/0/bytes", Range="bytes=0-9").status == 206
    before = viewer.forget_peak()

    def take(_: int) -> int:
        connection, total = viewer.connect(), 0
        connection.request("GET", viewer.base + "0/0/bytes")
        answer = connection.getresponse()
        while size := len(answer.read(MIB)):
            total += size
        connection.close()
        return total

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(take, range(4))) == [LARGE] * 4
    assert viewer.peak_memory - before < 32 * MIB
    assert viewer.ask("0/0/bytes", Range="bytes=-10").body == bytes(10)


def test_players_that_wait_hold_up_nobody(viewer):
    """Paused players hold their connections, for as long as they like."""
    waiting = []
    for _ in range(40):
        wire = socket.create_connection(("127.0.0.1", viewer.port))
        request = f"GET {viewer.base}0/1/bytes HTTP/1.1\r\nHost: 127.0.0.1:{viewer.port}\r\n\r\n"
        wire.sendall(request.encode())
        waiting.append(wire)
    assert viewer.ask().status == 200
    for wire in waiting:
        wire.close()
