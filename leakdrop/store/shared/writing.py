"""An envelope that comes in, in parts: of an upload, or of a form."""

import time
from typing import TYPE_CHECKING

from leakdrop.errors import NoRoomError
from leakdrop.store.claims import Hold
from leakdrop.store.models import UploadRow
from leakdrop.store.unfinished import BARELY_BYTES, PROGRESS_BYTES
from leakdrop.store.upload import Upload

if TYPE_CHECKING:
    from leakdrop.store.shared.uploads import SharedUploads

# A part is held in memory until it is put: as many as there are submissions at once.
PART_BYTES = 8 * 1024 * 1024


class SharedWriting:
    """An upload that a request appends to. Bytes are put when there are enough, and at the end."""

    def __init__(self, uploads: "SharedUploads", row: UploadRow, upload: Upload, hold: Hold) -> None:
        self.upload = upload
        self.offset = upload.offset  # what has been put and what is held
        self._uploads = uploads
        self._row = row
        self._hold = hold
        self._held = bytearray()
        self._put_at = time.monotonic()

    def read_head(self, size: int) -> bytes:
        """The first of the bytes before this request's own, `size` at most."""
        return self._uploads.read_head(self._row, min(size, self.upload.offset))

    def write(self, piece: bytes) -> None:
        """Append bytes. Raises TakenOverError, OffsetError, and NoRoomError when the store is full."""
        self._hold.check()
        self._held += piece
        self.offset += len(piece)
        while len(self._held) >= PART_BYTES:
            self._put(bytes(self._held[:PART_BYTES]))
            del self._held[:PART_BYTES]
        # What other machines see grow, they do not take for left alone.
        is_small = self.offset < BARELY_BYTES and len(self._held) >= PROGRESS_BYTES
        if is_small and time.monotonic() - self._put_at > self._uploads.scarce_seconds / 4:
            self.flush()

    def flush(self) -> None:
        """Make all bytes durable."""
        if self._held:
            held, self._held = bytes(self._held), bytearray()
            self._put(held)

    def _put(self, content: bytes) -> None:
        self.upload = self._uploads.add_part(self._row, self.upload, content)
        self._put_at = time.monotonic()


class SharedIncoming:
    """An envelope that the form seals. It becomes a drop by `SharedDrops.keep`, or leaves no trace."""

    def __init__(self, writing: SharedWriting, announced: int) -> None:
        self.writing = writing
        self.announced = announced
        self.written = 0

    def write(self, data: bytes | memoryview) -> int:
        """Write all bytes. Raises NoRoomError when the store is full."""
        if self.written + len(data) > self.announced:
            raise NoRoomError("The envelope is larger than was announced.")
        self.writing.write(bytes(data))
        self.written += len(data)
        return len(data)
