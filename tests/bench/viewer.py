"""The viewer, and Firefox as it starts it: a recording of 4 GiB whose index stands at its end."""

import io
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from leakdrop.envelope.sealing import SourceFile, seal
from tests.bench.measure import MIB, Result, measure, tell
from tests.review.inboxes import Reviewer, make_reviewer, write_bundle
from tests.site import PATIENCE

LARGE = 4080 * MIB
SMALLER = 2000 * MIB
SPARE = 1024 * MIB  # for all else that the machine does
MINUTES = 10

# ISO/IEC 14496-12, section 4.2: size (4) ‖ type (4) of a box; with a size of 1, its size (8) follows.
FREE, SOUND, INDEX = b"free", b"mdat", b"moov"

# The pages have no script and hear no events: that its time passes is what tells that a recording plays.
PLAY = "const sound = document.querySelector('audio'); sound.muted = true; sound.play()"
LOOK = "const { error, currentTime } = document.querySelector('audio'); return [error !== null, currentTime]"


class Stretched(io.RawIOBase):
    """A recording with so many zeros between its sound and its index: they take no memory, and no disk."""

    def __init__(self, recording: bytes, size: int) -> None:
        sound = recording.index(SOUND) - 4
        length = int.from_bytes(recording[sound : sound + 4], "big")
        end = sound + length
        if recording[sound - 8 : sound] != b"\0\0\0\x08" + FREE or recording[end + 4 : end + 8] != INDEX:
            raise ValueError("ffmpeg lays out recordings in another way than it did")
        zeros = size - len(recording)
        # Where ffmpeg leaves room for a longer size, so nothing that the index points to moves.
        box = b"\0\0\0\x01" + SOUND + (8 + length + zeros).to_bytes(8, "big")
        self._pieces = [recording[: sound - 8] + box + recording[sound + 8 : end], zeros, recording[end:]]

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:
        while self._pieces and not self._pieces[0]:
            del self._pieces[0]
        if not self._pieces:
            return 0
        first = self._pieces[0]
        if isinstance(first, int):
            size = min(len(buffer), first)
            buffer[:size], self._pieces[0] = bytes(size), first - size
        else:
            size = min(len(buffer), len(first))
            buffer[:size], self._pieces[0] = first[:size], first[size:]
        return size


def bench_viewer(folder: Path, runs: int) -> list[Result]:
    """From a press on play to sound, in Firefox; and what the viewer's memory grows by meanwhile, and by
    giving out every byte once.
    """
    if missing := [name for name in ("firefox-esr", "ffmpeg") if not shutil.which(name)]:
        tell(f"{' and '.join(missing)} not installed: apt-get install {' '.join(missing)}")
        return []
    size = LARGE if shutil.disk_usage(folder).free > LARGE + SPARE else SMALLER
    if size == SMALLER:
        tell(f"{folder} has no room for 4 GiB: a smaller recording is played")
    reviewer = make_reviewer(folder / "keys", "Reviewers")
    (sealed,) = write_bundle(folder / "stick", [b""])
    with sealed.open("wb") as sink:
        recording = Stretched(make_recording(folder / "talk.m4a"), size)
        seal([reviewer.public], sink, sealed="browser", files=[SourceFile("a.m4a", "", recording)])
    with playing(sealed, reviewer, folder) as (viewer, play):
        before = viewer.forget_peak()
        (seconds,) = measure(runs, play)
        played = viewer.peak_memory - before
        take_all(viewer, size)
        grown = viewer.peak_memory - before
    tell(f"the viewer's memory: {played / MIB:.1f} MiB more by playing")
    gib = f"{size / 1024 / MIB:.0f} GiB"
    return [
        Result(
            f"view: play of an m4a of {gib}, its index at its end, to first sound", seconds, 1, False, "s"
        ),
        Result(f"view: growth by playing and giving out {gib}", grown / MIB, 32, False, "MiB"),
    ]


def make_recording(path: Path) -> bytes:
    """Some minutes of sound in AAC, its index behind it."""
    tone = ["-f", "lavfi", "-i", f"sine=frequency=300:duration={60 * MINUTES}"]
    words = ["-nostdin", "-loglevel", "error", *tone, "-c:a", "aac", "-b:a", "64k", path]
    subprocess.run(["ffmpeg", *map(str, words)], check=True)
    return path.read_bytes()


@contextmanager
def playing(sealed: Path, reviewer: Reviewer, folder: Path) -> Iterator[tuple]:
    """A viewer of an envelope, and what plays its recording in Firefox and gives the seconds that took."""
    # Firefox's driver is there only where tests are.
    from tests.review.viewing import ReviewerBrowser, Viewer

    viewer = Viewer(sealed, reviewer, folder / "viewer")
    try:
        with ReviewerBrowser() as browser:

            def play() -> float:
                browser.navigate(f"{viewer.url}0/")
                started = time.perf_counter()
                browser.execute_script(PLAY, sandbox="bench")
                while time.perf_counter() < started + PATIENCE:
                    failed, played = browser.execute_script(LOOK, sandbox="bench")
                    if played:
                        return time.perf_counter() - started
                    if failed:
                        break
                raise SystemExit("Firefox could not play the recording")

            yield viewer, play
    finally:
        viewer.stop()


def take_all(viewer, size: int) -> None:
    connection, left = viewer.connect(), size
    connection.request("GET", f"{viewer.base}0/0/bytes")
    answer = connection.getresponse()
    while piece := answer.read(MIB):
        left -= len(piece)
    connection.close()
    if left:
        raise SystemExit(f"{left} bytes of the recording did not come")
