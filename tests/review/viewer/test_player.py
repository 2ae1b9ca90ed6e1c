"""Real mpv, as `play` starts it: it plays what is a recording, and follows nothing that a file names.

The pretenders are HLS, DASH, SDP and ffconcat, as they are and behind the first bytes of a recording. Some of
them make an mpv that is not bound (`mpv --playlist=`) fetch or listen; which, depends on its version.
"""

import http.server
import os
import re
import subprocess
import threading
from collections.abc import Iterator

import pytest

from leakdrop.review.viewer.kinds import find_kind
from leakdrop.review.viewer.programs import command_player, write_playlist
from tests.review.viewer.hostile_media import PRETENDERS, RECORDINGS, make_recording
from tests.site import PATIENCE

pytestmark = pytest.mark.needs("mpv", "ffmpeg", "strace")
READERS = ["aac", "flac", "matroska", "mov", "mp3", "ogg", "wav"]
SILENT = ["--ao=null", "--vo=null", "--force-window=no", "--length=0.5", "--network-timeout=3"]


class Listener(http.server.ThreadingHTTPServer):
    """Gives out one file, and writes down everything that it is asked for."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Asked)
        self.address = f"http://127.0.0.1:{self.server_port}"
        self.file, self.type, self.asked = b"", "", []


class Asked(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        start = int(re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", "bytes=0-"))[1])
        body = self.server.file[start:] if self.path == "/file" else b""
        self.send_response(206 if start else 200)
        self.send_header("Content-Type", self.server.type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Accept-Ranges", "bytes")
        if start:
            size = len(self.server.file)
            self.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words: object) -> None:
        """Nothing."""


@pytest.fixture
def listener() -> Iterator[Listener]:
    server = Listener()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def play(listener: Listener, tmp_path, readers=READERS) -> tuple[int, list[str]]:
    """mpv's exit code, and what it opened towards any network but for the listener's address."""
    with write_playlist([f"{listener.address}/file"]) as playlist:
        command = [*command_player("mpv", playlist, readers), *SILENT]
        done = subprocess.run(
            ["strace", "-f", "-o", tmp_path / "trace", "-e", "trace=socket,bind,connect,sendto", *command],
            capture_output=True,
            timeout=2 * PATIENCE,
            env={name: value for name, value in os.environ.items() if name != "DISPLAY"},
        )
    port = listener.server_port
    calls = [line for line in (tmp_path / "trace").read_text().splitlines() if "AF_INET" in line]
    own = re.compile(
        rf"socket\(AF_INET, SOCK_STREAM|connect\(.*sin_port=htons\({port}\), sin_addr=.*127\.0\.0\.1"
    )
    return done.returncode, [call for call in calls if not own.search(call)]


@pytest.mark.parametrize("name", PRETENDERS)
def test_mpv_follows_nothing_that_a_file_names(listener, tmp_path, name):
    listener.file, listener.type = PRETENDERS[name](listener.address), "audio/mpeg"
    code, opened = play(listener, tmp_path)
    assert set(listener.asked) == {"/file"}
    assert opened == []
    assert code != 0


@pytest.mark.parametrize("name", RECORDINGS)
def test_mpv_plays_recordings_of_every_kind(listener, tmp_path, name):
    listener.file = make_recording(tmp_path, name)
    kind = find_kind(lambda start, end: listener.file[start:end])
    assert kind.is_recording
    listener.type = kind.type
    assert play(listener, tmp_path, {kind.reader}) == (0, [])
    assert "/file" in listener.asked


def test_mpv_bound_to_other_readers_plays_nothing(listener, tmp_path):
    listener.file, listener.type = make_recording(tmp_path, "a.wav"), "audio/wav"
    assert play(listener, tmp_path, {"mp3"})[0] != 0
