"""How many uploads may be unfinished where several machines share the rows: as in `leakdrop.store.uploads`.

What is counted is counted in the database, one creation after another. How long an upload was left alone is
written nowhere, since it is a time: each machine remembers how many bytes it saw of each small upload, and
since when. A machine that has just started, or that nobody began an upload at for long, knows less than
others, and so waits longer.
"""

import threading
import time
from collections.abc import Collection, Mapping

from sqlalchemy import delete, func, select, text
from sqlalchemy.orm import Session

from leakdrop.errors import NoRoomError
from leakdrop.store.models import PartRow, UploadRow
from leakdrop.store.unfinished import BARELY_BYTES, PROGRESS_BYTES, SCARCE_SECONDS

# Any number will do that nobody else locks in this database.
CREATING = int.from_bytes(b"leakroom")


def wait_for_other_creations(session: Session) -> None:
    """Until this transaction ends, no other machine, and no other request, counts and begins an upload."""
    session.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": CREATING})


def unfinished(session: Session, among: Collection[str] | None = None) -> dict[str, int]:
    """How many bytes each unfinished upload has received."""
    size = func.coalesce(func.sum(PartRow.size), 0)
    query = select(UploadRow.id, size).join(PartRow, PartRow.upload_id == UploadRow.id, isouter=True)
    query = query.where(UploadRow.becomes.is_not(None)).group_by(UploadRow.id)
    if among is not None:
        query = query.where(UploadRow.id.in_(among))
    return {upload_id: int(received) for upload_id, received in session.execute(query)}


def forget_unchanged(session: Session, sizes: Mapping[str, int]) -> dict[str, int]:
    """Remove the rows of uploads that have these sizes still: the names they had as drops, and the sizes."""
    rows = session.scalars(select(UploadRow).where(UploadRow.id.in_(sizes)).with_for_update())
    becomes = {row.id: row.becomes for row in rows}
    # Asked anew, now that no machine can add a part.
    same = dict(unfinished(session, becomes).items() & sizes.items())
    session.execute(delete(PartRow).where(PartRow.upload_id.in_(same)))
    session.execute(delete(UploadRow).where(UploadRow.id.in_(same)))
    return {str(becomes[upload_id]): size for upload_id, size in same.items()}


def count_barely_begun(sizes: Mapping[str, int]) -> int:
    return sum(size < BARELY_BYTES for size in sizes.values())


class Sightings:
    """What this machine saw of small uploads, and since when (time.monotonic) it is next to the same."""

    def __init__(self, idle_seconds: float) -> None:
        self._idle_seconds = idle_seconds
        self._scarce_seconds = min(idle_seconds, SCARCE_SECONDS)
        self._seen: dict[str, tuple[int, float]] = {}
        self._lock = threading.Lock()

    def see(self, upload_id: str, size: int) -> None:
        """Somebody had an upload in hand, which is of this many bytes now."""
        now = time.monotonic()
        with self._lock:
            known = self._seen.get(upload_id)
            if known is None or size - known[0] >= PROGRESS_BYTES:
                self._seen[upload_id] = (size, now)

    def choose(self, sizes: Mapping[str, int], held: Collection[str], most: int) -> dict[str, int]:
        """Which of all unfinished uploads make room for one more, with their sizes.

        Those without a byte that were left alone for long; and, if there are still too many, one of those
        that have barely begun and were left alone. Raises NoRoomError if there is none such.
        """
        ages = self._look(sizes, held)
        small = count_barely_begun(sizes)
        idle = [upload_id for upload_id, age in ages.items() if age >= self._idle_seconds]
        empty = {upload_id: 0 for upload_id in idle if not sizes[upload_id]}
        if small - len(empty) < most:
            return empty
        begun = [upload_id for upload_id, age in ages.items() if age >= self._scarce_seconds]
        if not begun:
            raise NoRoomError
        least = min(begun, key=sizes.__getitem__)
        return {**empty, least: sizes[least]}

    def _look(self, sizes: Mapping[str, int], held: Collection[str]) -> dict[str, float]:
        """The small uploads in nobody's hands, and for how many seconds; what is gone is forgotten."""
        now = time.monotonic()
        with self._lock:
            before, self._seen = self._seen, {}
            for upload_id, size in sizes.items():
                known, since = before.get(upload_id, (size, now))
                if size < BARELY_BYTES:
                    has_moved = size - known >= PROGRESS_BYTES or upload_id in held
                    self._seen[upload_id] = (size, now) if has_moved else (known, since)
            return {
                upload_id: now - since
                for upload_id, (_, since) in self._seen.items()
                if upload_id not in held
            }
