"""An envelope that comes in, in a file: of a form, or of an upload."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from leakdrop.errors import NoRoomError
from leakdrop.store.claims import Hold
from leakdrop.store.layout import PART, create_private, is_full
from leakdrop.store.unfinished import Unfinished

if TYPE_CHECKING:
    from leakdrop.store.uploads import Upload


class Incoming:
    """An envelope that is being written. It becomes a drop by `Drops.keep`, or leaves no trace.

    `announced` is how many bytes may come; a write beyond it raises NoRoomError.
    """

    def __init__(self, path: Path, announced: int) -> None:
        self.name = path.name.removesuffix(PART)
        self.path = path
        self.announced = announced
        self.written = 0
        self._file = create_private(path)

    def write(self, data: bytes | memoryview) -> int:
        """Write all bytes. Raises NoRoomError when the disk is full."""
        if self.written + len(data) > self.announced:
            raise NoRoomError("The envelope is larger than was announced.")
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

    def __init__(self, upload: "Upload", path: Path, hold: Hold, unfinished: Unfinished) -> None:
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
