"""tus clients of other authors upload through connections that break and a server that is killed.

LEAKDROP_LONG=1 makes it 1 GiB instead of 64 MiB.
"""

import hashlib
import os
import random
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from leakdrop.envelope.sealing import SourceFile, seal
from tests.keys import label_key_pair
from tests.site import BIN, PATIENCE, Site, wait_until
from tests.tus import MIB

SIZE = 1024 * MIB if os.environ.get("LEAKDROP_LONG") else 64 * MIB
PART = 4 * MIB
CUTS = 12
TOP = Path(__file__).parents[2]


class BreakingProxy:
    """Hands bytes on between clients and a site, and breaks the connection again and again.

    Once for each `every` bytes that clients sent, and once before the first answer after `loses` became true.
    """

    def __init__(self, site: Site, every: int, loses: Callable[[], bool]) -> None:
        self._site = site
        self._every = every
        self._loses = loses
        self._sent = 0
        self._next_cut = every
        self._chance = random.Random(5)
        self._lock = threading.Lock()
        self.cuts = 0
        self.lost_answers = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                try:
                    server = socket.create_connection(("127.0.0.1", self._site.port))
                except OSError:  # it has been killed
                    client.close()
                    continue
                for pump in (self._send, self._answer):
                    threading.Thread(target=self._run, args=(pump, client, server), daemon=True).start()

    def _run(self, pump: Callable, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            pump(client, server)
        for side in (client, server):
            with suppress(OSError):
                side.shutdown(socket.SHUT_RDWR)
            side.close()

    def _send(self, client: socket.socket, server: socket.socket) -> None:
        while piece := client.recv(65_536):
            server.sendall(piece)
            with self._lock:
                self._sent += len(piece)
                if self._sent < self._next_cut:
                    continue
                self._next_cut += self._every
                self.cuts += 1
                if self._chance.random() < 0.5:  # a reset instead of an end
                    for side in (client, server):
                        side.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return

    def _answer(self, client: socket.socket, server: socket.socket) -> None:
        while piece := server.recv(65_536):
            with self._lock:
                if not self.lost_answers and self._loses():
                    self.lost_answers += 1
                    return
            client.sendall(piece)


@pytest.fixture
def sealed(tmp_path) -> Path:
    """An envelope of the size of a long recording."""
    recording, envelope = tmp_path / "recording", tmp_path / "sealed.envelope"
    with recording.open("wb") as file:
        file.truncate(SIZE)
    with recording.open("rb") as file, envelope.open("wb") as sink:
        files = [SourceFile("talk.m4a", "audio/mp4", file)]
        seal([label_key_pair("alice").public], sink, sealed="offline", files=files)
    return envelope


@pytest.fixture
def proxy(site) -> Iterator[BreakingProxy]:
    proxy = BreakingProxy(site, SIZE // CUTS, lambda: bool(site.envelopes()))
    yield proxy
    proxy.close()


@pytest.fixture
def site(start_site) -> Site:
    return start_site()


# Each in a process of its own: FILE ENDPOINT PART_SIZE.
TUSPY = """
import sys
from tusclient.client import TusClient
file, endpoint, part = sys.argv[1:]
TusClient(endpoint).uploader(
    file, chunk_size=int(part), retries=100, retry_delay=0.2, metadata={"filename": "talk.m4a"}
).upload()
"""
CLIENTS = {
    "tuspy": (sys.executable, "-c", TUSPY),
    "tus-js-client": (BIN / "node", TOP / "tests/browser/tus_client.js"),
}


@pytest.mark.parametrize("client", CLIENTS.values(), ids=CLIENTS.keys())
def test_a_client_of_other_authors_uploads_through_breaks_and_kills(site, proxy, sealed, client):
    words = [*client, sealed, f"{proxy.url}/uploads", PART]
    source = subprocess.Popen(
        [str(word) for word in words],
        cwd=TOP,
        env={**os.environ, "NO_PROXY": "127.0.0.1"},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        for third in (SIZE // 3, 2 * SIZE // 3):
            wait_until(lambda third=third: source.poll() is not None or received(site) > third)
            assert source.poll() is None, source.communicate()
            site.stop(signal.SIGKILL)
            site.start()
        _, told = source.communicate(timeout=10 * PATIENCE)
    finally:
        source.kill()
        source.wait()
        source.stderr.close()
    assert source.returncode == 0, told
    assert proxy.cuts >= CUTS
    assert proxy.lost_answers == 1
    (path,) = site.envelopes()
    assert digest(path) == digest(sealed)
    assert site.log.read_text() == ""


def received(site: Site) -> int:
    with suppress(FileNotFoundError):
        return sum(path.stat().st_size for path in (site.data / "uploads").iterdir())
    return 0


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
