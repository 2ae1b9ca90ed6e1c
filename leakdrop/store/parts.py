"""The parts of a data folder: what has come of each unfinished upload, and how much of it is durable.

    data/uploads/<32 hex>.part     the bytes so far

What an fsync that failed leaves cannot be known (fsync(2), "EIO"), so a part is cut back to what was durable
before it.
"""

import os
import threading
from collections.abc import Collection

from leakdrop.store.claims import Hold
from leakdrop.store.layout import PART, Layout, create_private, forget_times, sync_folder
from leakdrop.store.unfinished import Unfinished
from leakdrop.store.upload import Upload
from leakdrop.store.writing import Writing


class Parts:
    """The parts of a data folder. `unfinished` is what is remembered of their uploads."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self.unfinished = Unfinished(
            {upload_id: layout.upload(upload_id).stat().st_size for upload_id in self.ids()}
        )

    def ids(self) -> list[str]:
        """The uploads that have a part."""
        return [path.name.removesuffix(PART) for path in self._layout.uploads.glob(f"*{PART}")]

    def create(self, upload_id: str) -> None:
        """Make a part without a byte, durably."""
        create_private(self._layout.upload(upload_id)).close()
        forget_times(self._layout.upload(upload_id))
        sync_folder(self._layout.uploads)

    def append(self, upload: Upload, hold: Hold) -> Writing:
        """A part, open to be written; `sync` ends it."""
        return Writing(upload, self._layout.upload(upload.id), hold, self.unfinished)

    def sync(self, writing: Writing) -> None:
        """Make what a request brought durable. Raises OSError; then none of it is counted."""
        try:
            writing.sync()
            if not writing.is_whole:  # else it is a drop
                known = self.unfinished.durable.get(writing.upload.id, 0)
                self.unfinished.durable[writing.upload.id] = max(known, writing.offset)
        except OSError:
            with writing.hold.lock:
                if not writing.hold.is_lost:  # else the newer request measures for itself
                    self._lose(writing.upload.id)
            raise
        finally:
            writing.close()

    def measure(self, upload_id: str) -> int:
        """Make all bytes of a part durable, and count them. Only under its claim's lock.

        Raises FileNotFoundError; another OSError if they do not become durable, and then only those are left
        that were before.
        """
        with self._layout.upload(upload_id).open("rb") as file:
            try:
                os.fsync(file.fileno())
            except OSError:
                self._lose(upload_id)
                raise
            size = os.fstat(file.fileno()).st_size
        self.unfinished.durable[upload_id] = self.unfinished.received[upload_id] = size
        return size

    def _lose(self, upload_id: str) -> None:
        """After an fsync that failed, keep of a part what is known to be durable."""
        known = self.unfinished.durable.get(upload_id, 0)
        self.unfinished.received[upload_id] = known
        os.truncate(self._layout.upload(upload_id), known)

    def remove(self, upload_ids: Collection[str]) -> None:
        """Remove parts, and what is remembered of them.

        Removing a large file takes long, and nobody need wait for it: a crash leaves it to `recover`.
        """
        for upload_id in upload_ids:
            self.unfinished.forget(upload_id)
        threading.Thread(target=self._remove, args=(upload_ids,)).start()

    def _remove(self, upload_ids: Collection[str]) -> None:
        for upload_id in upload_ids:
            self._layout.upload(upload_id).unlink(missing_ok=True)
        forget_times(self._layout.uploads)
