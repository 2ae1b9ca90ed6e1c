"""Envelopes that come in piece by piece, through lost circuits and restarts.

An upload's part (`leakdrop.store.parts`) is the truth: its size is the offset. A row whose part is gone
belongs to an upload that is finished: the part is made before the row, becomes the drop by a rename, and
outlives the row when it is thrown away. Whoever finds a part whole makes it a drop, since a crash or a newer
request may have kept its writer from it.

A newer request takes an upload over from an older one, which may hang in a dead circuit: it waits for no
more than the write that the older one is in, and what that one had written is kept and counted.

The rows of unfinished uploads lie as they came until the next drop, which lays all anew: before it there is
no drop that their order could tell of. To do so for each request would let anybody keep the disk busy.
"""

import datetime
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

from sqlalchemy import delete, select, update
from sqlalchemy.exc import DatabaseError, OperationalError
from sqlalchemy.orm import Session

from leakdrop.errors import NoRoomError
from leakdrop.store.claims import Claims, Hold
from leakdrop.store.drop import NAME_BYTES
from leakdrop.store.drops import Drops
from leakdrop.store.layout import PART, forget_times
from leakdrop.store.models import UploadRow
from leakdrop.store.parts import Parts
from leakdrop.store.unfinished import BARELY_BYTES, IDLE_SECONDS, MOST_UNFINISHED, SCARCE_SECONDS, Days
from leakdrop.store.upload import (
    FINISHED,
    UNFINISHED,
    FinishedError,
    OffsetError,
    UnknownUploadError,
    Upload,
)
from leakdrop.store.writing import Writing

# What a file system takes for a file is a multiple of this: the last bytes of a block cost nothing.
BLOCK = 4096


class Uploads:
    """The uploads of a data folder, whose drops they become."""

    def __init__(
        self,
        drops: Drops,
        largest_unfinished: int,
        most: int = MOST_UNFINISHED,
        idle_seconds: float = IDLE_SECONDS,
    ) -> None:
        self._drops = drops
        self._layout = drops.layout
        self._engine = drops.engine
        self._largest_unfinished = largest_unfinished
        self._most = most
        self._idle_seconds = idle_seconds
        self._claims = Claims()
        self._expired_on: datetime.date | None = None
        self._days = Days()
        self._parts = Parts(drops.layout)
        self._unfinished = self._parts.unfinished

    def create(self, length: int, today: datetime.date) -> Upload:
        """A new upload for an envelope of `length` bytes.

        Raises NoRoomError if it does not fit above the reserve, or too much is unfinished, or too many have
        barely begun.
        """
        self._expire_once(today)
        self._forget_idle()
        too_much = self._unfinished.total() + length > self._largest_unfinished
        if too_much or not self._drops.has_room(length):
            raise NoRoomError
        upload = Upload(secrets.token_hex(NAME_BYTES), length, 0, today + UNFINISHED)
        self._parts.create(upload.id)
        with Session(self._engine) as session, session.begin():
            session.add(UploadRow(id=upload.id, length=length, expires=upload.expires.isoformat()))
        self._unfinished.begin(upload.id)
        self._drops.forget_write()
        return upload

    def find(self, upload_id: str) -> Upload:
        """An upload with the bytes that are durable; an older request that holds it is stopped.

        Raises UnknownUploadError.
        """
        with self._take(upload_id) as hold, hold.lock:
            return self._measure(self._row(upload_id))

    @contextmanager
    def append(
        self,
        upload_id: str,
        offset: int,
        today: datetime.date,
        hang_up: Callable[[], object],
        *,
        length: int = 0,
    ) -> Iterator[Writing]:
        """Append to an upload at `offset`, which must be its own; `length` is how many bytes are to come.

        What was written is durable afterwards.

        `hang_up` ends the request when a newer one comes. Raises UnknownUploadError, OffsetError,
        TakenOverError and NoRoomError; all that was written before that is kept, too.
        """
        with self._take(upload_id, hang_up) as hold:
            with hold.lock:
                row = self._row(upload_id)
                upload = self._measure(row)
                if offset != upload.offset or upload.is_finished:
                    raise OffsetError
                if not self._may_grow(upload, length):
                    raise NoRoomError
                writing = self._parts.append(upload, hold)
            try:
                yield writing
            finally:
                self._parts.sync(writing)
                expires = self._extend(row, upload, writing.offset, today)
                writing.upload = replace(upload, offset=writing.offset, expires=expires)

    def finish(self, writing: Writing) -> None:
        """Make an upload that is whole a drop. Raises TakenOverError and UnknownUploadError."""
        with writing.hold.writing():
            writing.sync()
            # An older request that only now comes to measure it may have made it a drop already.
            self._measure(self._row(writing.upload.id))

    def end(self, upload_id: str) -> None:
        """Throw an upload away. Raises UnknownUploadError, and FinishedError for a drop, which stays."""
        with self._take(upload_id) as hold, hold.lock:
            if self._measure(self._row(upload_id)).is_finished:
                raise FinishedError
            self._forget([upload_id])

    def expire(self, today: datetime.date) -> int:
        """Forget what has expired and is in nobody's hands, and return how many uploads."""
        held = self._claims.held()
        with Session(self._engine) as session:
            query = select(UploadRow.id).where(UploadRow.expires <= today.isoformat())
            expired = [upload_id for upload_id in session.scalars(query) if upload_id not in held]
        self._forget(expired)
        if expired:
            self._drops.forget_order()
        return len(expired)

    def _forget_idle(self) -> None:
        """Forget uploads without a byte that were left alone, and one that has barely begun if too many are.

        Raises NoRoomError if there is none such.
        """
        held = self._claims.held()
        idle = self._unfinished.idle(held, self._idle_seconds)
        self._forget([upload_id for upload_id, received in idle.items() if not received])
        if self._unfinished.count_barely_begun() < self._most:
            return
        idle = self._unfinished.idle(held, min(self._idle_seconds, SCARCE_SECONDS))
        begun = [upload_id for upload_id, received in idle.items() if received < BARELY_BYTES]
        if not begun:
            raise NoRoomError
        self._forget([min(begun, key=idle.__getitem__)])

    def recover(self, today: datetime.date) -> None:
        """After a crash: remove parts without a row, which nobody was told of, and what has expired.

        A part that is whole becomes a drop. No request may hold an upload.
        """
        with suppress(OperationalError):  # on a full disk they stay for a day more
            self.expire(today)
        with Session(self._engine) as session:
            rows = {row.id: row for row in session.scalars(select(UploadRow))}
        for path in self._layout.uploads.iterdir():
            if row := rows.get(path.name.removesuffix(PART)):
                forget_times(path)
                self._measure(row)
            else:
                self._unfinished.forget(path.name.removesuffix(PART))
                path.unlink(missing_ok=True)
        forget_times(self._layout.uploads)

    def _may_grow(self, upload: Upload, length: int) -> bool:
        """Whether there is room for `length` more bytes.

        The upload that is furthest along may go on in any case, so that some upload can always finish.
        """
        fits = self._unfinished.total() + length <= self._largest_unfinished
        blocks = -(-(upload.offset + length) // BLOCK) - -(-upload.offset // BLOCK)
        return (fits or self._unfinished.is_furthest(upload.offset)) and self._drops.has_room(blocks * BLOCK)

    def _row(self, upload_id: str) -> UploadRow:
        with Session(self._engine) as session:
            row = session.get(UploadRow, upload_id)
        if row is None:
            raise UnknownUploadError
        return row

    def _measure(self, row: UploadRow) -> Upload:
        """An upload as it is now. Only under its claim's lock.

        Bytes that were written become durable, and a part that is whole becomes a drop. Raises OSError if
        they do not (`Parts.measure`).
        """
        try:
            offset = self._parts.measure(row.id)
            if offset == row.length:
                self._drops.adopt(self._layout.upload(row.id), row.length)
                self._unfinished.forget(row.id)
                forget_times(self._layout.uploads)
        except FileNotFoundError:
            # Finished, or expired while this request came in: then the row is gone, too.
            self._row(row.id)
            self._unfinished.forget(row.id)
            offset = row.length
        return Upload(row.id, row.length, offset, datetime.date.fromisoformat(row.expires))

    @contextmanager
    def _take(self, upload_id: str, hang_up: Callable[[], object] = lambda: None) -> Iterator[Hold]:
        """Hold an upload: whoever held it before cannot write from here on."""
        try:
            with self._claims.take(upload_id, hang_up) as hold:
                yield hold
        finally:
            self._unfinished.note_progress(upload_id)

    def _extend(self, row: UploadRow, upload: Upload, offset: int, today: datetime.date) -> datetime.date:
        """Put off the last day of an upload that has come to `offset`, if it has earned that.

        It is a write for each day, not for each request. A database that is in use, or a full disk, costs a
        day at most: the bytes are safe without it.
        """
        is_finished = offset == upload.length
        expires = today + (FINISHED if is_finished else UNFINISHED)
        if expires == upload.expires:
            return expires
        if not is_finished and not self._days.put_off(upload.id, upload.offset, offset):
            return upload.expires
        with suppress(DatabaseError):
            with Session(self._engine) as session, session.begin():
                session.execute(
                    update(UploadRow).where(UploadRow.id == row.id).values(expires=expires.isoformat())
                )
            # Of a finished one the order could tell something: it is a drop.
            if is_finished:
                self._drops.forget_order()
            else:
                self._drops.forget_write()
        return expires

    def _expire_once(self, today: datetime.date) -> None:
        if self._expired_on != today:
            self._expired_on = today
            self.expire(today)
            self._days.keep(self._unfinished.received.keys())

    def _forget(self, upload_ids: list[str]) -> None:
        if not upload_ids:
            return
        with Session(self._engine) as session, session.begin():
            for upload_id in upload_ids:
                session.execute(delete(UploadRow).where(UploadRow.id == upload_id))
        self._drops.forget_write()
        self._parts.remove(upload_ids)
