"""Facts of recordings and pictures for a report: duration, codec, dimensions, dates.

The libraries run in a process of their own (`mediareader.py`), which is believed nothing: what it answers is
checked, its requests are bounded, and it is ended when it takes too long over a file, or over all files of an
envelope. What a file says of itself is a
claim of whoever made it. A place in it is told, but never which: a report is for handing on.
"""

import json
import math
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, BinaryIO, Self, cast

from leakdrop.envelope.opening import Envelope
from leakdrop.review.mediareader import ANSWER, ASK, BUFFER, HEAD

SECONDS = 20  # for one file
SECONDS_IN_ALL = 120  # for those of one envelope, of which there can be ten thousand
MOST_READ = 256 * 1024 * 1024  # bytes of one file
MOST_ANSWERED = 65_536  # bytes
MOST_TEXTS, MOST_TEXT = 16, 100

MISSING = (
    "Media facts are left out: they need the Python packages exifread, imagesize and mutagen, "
    "which leakdrop's package for reviewers brings."
)
FAILED = "The library that reads this format failed on this file."
SLOW = "Left out: reading this file took too long."
LEFT_OUT = "Left out: reading the files before this one took too long."


@dataclass(frozen=True)
class Facts:
    """What a file says of itself. `duration` in seconds, `width` and `height` in pixels.

    Empty if no library knows its format; `failure` is a sentence if one failed.
    """

    format: str = ""
    duration: float | None = None
    codecs: tuple[str, ...] = ()
    width: int | None = None
    height: int | None = None
    dates: dict[str, str] = field(default_factory=dict)
    has_place: bool = False
    failure: str = ""


class MediaReader:
    """Reads the facts of one envelope after another.

    with MediaReader() as reader:
        facts = reader.read_all(envelope)
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self.is_missing = not _has_libraries()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def read_all(
        self, envelope: Envelope, progress: Callable[[int], object] = lambda number: None
    ) -> list[Facts]:
        """The facts of each file; where the time is over, `LEFT_OUT`.

        `progress` is told the number of each file before it is read. Raises EnvelopeError (chunk-damaged).
        """
        until = time.monotonic() + SECONDS_IN_ALL
        facts = []
        for number in range(len(envelope.index.files)):
            progress(number)
            left = until - time.monotonic()
            facts.append(self.read(envelope, number, left) if left > 0 else Facts(failure=LEFT_OUT))
        return facts

    def read(self, envelope: Envelope, number: int, seconds: float = SECONDS) -> Facts:
        """The facts of a file, read in so many seconds and never more than `SECONDS`.

        Raises EnvelopeError (chunk-damaged).
        """
        size = envelope.index.files[number].size
        if self.is_missing or size < HEAD:
            return Facts()
        process, is_over = self._process or _start(), threading.Event()
        self._process = process

        def end() -> None:
            is_over.set()
            process.kill()

        timer = threading.Timer(min(seconds, SECONDS), end)
        timer.start()
        try:
            return self._ask(process, envelope, number, size)
        except (OSError, ValueError, RecursionError):  # the last is that of deeply nested JSON
            self._end()
            return Facts(failure=SLOW if is_over.is_set() else FAILED)
        finally:
            timer.cancel()
            timer.join()
            if is_over.is_set():  # perhaps just behind the answer: the next file needs a new process
                self._end()

    def _ask(self, process: "subprocess.Popen[bytes]", envelope: Envelope, number: int, size: int) -> Facts:
        """Raises OSError (it has ended) and ValueError (it answered what it should not)."""
        sink, source = cast(BinaryIO, process.stdin), cast(BinaryIO, process.stdout)
        sink.write(ASK.pack(b"F", size))
        left = MOST_READ
        while True:
            sink.flush()
            what, offset, length = ANSWER.unpack(_read_exactly(source, ANSWER.size))
            if what == b"D" and length <= MOST_ANSWERED:
                return check_facts(json.loads(_read_exactly(source, length)))
            if what != b"R" or length > min(BUFFER, left) or offset + length > size:
                raise ValueError
            left -= length
            sink.write(envelope.read_file(number, offset, offset + length))

    def _end(self) -> None:
        if self._process:
            self._process.kill()
            self._process.communicate()
        self._process = None


def _has_libraries() -> bool:
    """Asked of another process: this one never imports what reads hostile files."""
    command = [sys.executable, "-I", "-c", "import exifread, imagesize, mutagen, leakdrop"]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0  # noqa: S603


def _start() -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-I", "-m", "leakdrop.review.mediareader"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd="/",
        env={},
    )


def _read_exactly(source: BinaryIO, length: int) -> bytes:
    """Raises ValueError if the process has ended."""
    found = source.read(length)
    if len(found) != length:
        raise ValueError
    return found


def check_facts(found: Any) -> Facts:
    """What the process answered, if it is of the right form. Raises ValueError."""
    if not isinstance(found, dict):
        raise ValueError
    if "failure" in found:
        return Facts(failure=FAILED)
    dates = found.get("dates", {})
    if not isinstance(dates, dict):
        raise ValueError
    return Facts(
        _check_text(found.get("format", "")),
        _check_duration(found.get("duration")),
        tuple(map(_check_text, _check_list(found.get("codecs", [])))),
        _check_pixels(found.get("width")),
        _check_pixels(found.get("height")),
        {_check_text(name): _check_text(date) for name, date in _check_list(list(dates.items()))},
        _check_flag(found.get("has_place", False)),
    )


def _check_text(value: object) -> str:
    if not isinstance(value, str) or len(value) > MOST_TEXT:
        raise ValueError
    return value.encode("utf-8", "replace").decode()


def _check_list(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError
    return value[:MOST_TEXTS]


def _check_duration(value: object) -> float | None:
    if value is None:
        return None
    if type(value) is not float or not (math.isfinite(value) and 0 < value < 1e9):
        raise ValueError
    return value


def _check_pixels(value: object) -> int | None:
    if value is not None and (type(value) is not int or not 0 < value < 2**32):
        raise ValueError
    return value


def _check_flag(value: object) -> bool:
    if type(value) is not bool:
        raise ValueError
    return value
