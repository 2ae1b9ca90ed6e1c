"""An envelope that comes in, in a file: of a form, or of an upload."""

import os
from collections.abc import Callable
from pathlib import Path

from leakdrop.errors import NoRoomError
from leakdrop.store.claims import Hold
from leakdrop.store.layout import PART, create_private, is_full
from leakdrop.store.unfinished import Unfinished
from leakdrop.store.upload import Upload

# Room that is kept for a form before it has brought anything, and how much it asks for at a time after that.
FIRST_BYTES = 4 * 1024 * 1024
STEP_BYTES = 1024 * 1024


class Incoming:
    """An envelope that is being written. It becomes a drop by `Drops.keep`, or leaves no trace.

    `announced` is how many bytes may come; a write beyond it raises NoRoomError. `may_grow` tells whether
    STEP_BYTES more still fit on the disk.
    """

    def __init__(self, path: Path, announced: int, may_grow: Callable[["Incoming"], bool]) -> None:
        self.name = path.name.removesuffix(PART)
        self.path = path
        self.announced = announced
        self.written = 0
        self._may_grow = may_grow
        self._granted = FIRST_BYTES
        self._file = create_private(path)

    @property
    def claim(self) -> int:
        """How many more bytes room is kept for: as many as came, since to announce some costs nothing."""
        return min(self.announced - self.written, max(self.written, FIRST_BYTES))

    def write(self, data: bytes | memoryview) -> int:
        """Write all bytes. Raises NoRoomError when the disk is full."""
        if self.written + len(data) > self.announced:
            raise NoRoomError("The envelope is larger than was announced.")
        if self.written + len(data) > self._granted:
            if not self._may_grow(self):
                raise NoRoomError
            self._granted = self.written + len(data) + STEP_BYTES
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            if is_full(error):
                raise NoRoomError from None
            raise
        self.written += len(data)
        return len(data)

    def sync(self) -> None:
        """Make the bytes durable, and the file's times say nothing."""
        os.utime(self._file.fileno(), ns=(0, 0))
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()


class Writing:
    """An upload that a request appends to."""

    def __init__(self, upload: Upload, path: Path, hold: Hold, unfinished: Unfinished) -> None:
        self.upload = upload
        self.hold = hold
        self._unfinished = unfinished
        self._path = path
        self._file = path.open("ab", buffering=0)
        self.offset = upload.offset

    def read_head(self, size: int) -> bytes:
        """The first of the bytes before this request's own, `size` at most."""
        with self._path.open("rb") as file:
            # A newer request may have written behind them already.
            return file.read(min(size, self.upload.offset))

    def write(self, piece: bytes) -> None:
        """Append bytes. Raises TakenOverError, and NoRoomError when the disk is full."""
        with self.hold.writing():
            rest = memoryview(piece)
            try:
                while rest:
                    size = self._file.write(rest)
                    self.offset += size
                    self._unfinished.received[self.upload.id] = self.offset
                    rest = rest[size:]
            except OSError as error:
                if is_full(error):
                    raise NoRoomError from None
                raise

    @property
    def is_whole(self) -> bool:
        return self.offset == self.upload.length

    def sync(self) -> None:
        """Make the bytes durable, and the part's times say nothing."""
        os.utime(self._file.fileno(), ns=(0, 0))
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()
