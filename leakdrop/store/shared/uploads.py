"""Uploads that all machines go on with: whose bytes come next, and when an upload is a drop."""

import datetime
import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from leakdrop.errors import NoRoomError, StoreError
from leakdrop.store.claims import Claims
from leakdrop.store.drop import NAME_BYTES, Drop, this_week
from leakdrop.store.models import PartRow, UploadRow
from leakdrop.store.shared.objects import Objects
from leakdrop.store.shared.parts import PartList, encode_list, name_folder, name_list, name_part, parse_list
from leakdrop.store.shared.room import (
    Sightings,
    count_barely_begun,
    forget_unchanged,
    unfinished,
    wait_for_other_creations,
)
from leakdrop.store.shared.rows import Rows, insert_drops, lock_upload, measure_upload, select_parts
from leakdrop.store.shared.writing import SharedWriting
from leakdrop.store.unfinished import IDLE_SECONDS, MOST_UNFINISHED, SCARCE_SECONDS, Days
from leakdrop.store.upload import (
    FINISHED,
    UNFINISHED,
    FinishedError,
    OffsetError,
    UnknownUploadError,
    Upload,
)

# An older request has this long to put what it had received, after it was told to stop.
GOODBYE_SECONDS = 30


class SharedUploads:
    """The unfinished uploads of all machines, and for a day those that are finished.

    A newer request of this machine stops an older one, which puts what it had received first. One on
    another machine is not stopped, and need not be: who comes second with the next bytes is refused by
    `add_part`.
    """

    def __init__(
        self,
        rows: Rows,
        objects: Objects,
        largest_unfinished: int,
        most: int = MOST_UNFINISHED,
        idle_seconds: float = IDLE_SECONDS,
    ) -> None:
        self._rows = rows
        self._objects = objects
        self._largest_unfinished = largest_unfinished
        self._most = most
        self.scarce_seconds = min(idle_seconds, SCARCE_SECONDS)
        self._sightings = Sightings(idle_seconds)
        self._claims = Claims(GOODBYE_SECONDS)
        self._expired_on: datetime.date | None = None
        self._days = Days()

    def create(self, length: int, today: datetime.date) -> Upload:
        """A new upload for an envelope of `length` bytes.

        Raises NoRoomError if too much is unfinished, or too many have barely begun.
        """
        if self._expired_on != today:
            self._expired_on = today
            self.expire(today)
        with self._rows.begin() as session:
            wait_for_other_creations(session)
            sizes = unfinished(session)
            self._days.keep(sizes.keys())
            if sum(sizes.values()) + length > self._largest_unfinished:
                raise NoRoomError
            forgotten = forget_unchanged(
                session, self._sightings.choose(sizes, self._claims.held(), self._most)
            )
            # What was to go may have gone on.
            if count_barely_begun(sizes) - len(forgotten) >= self._most:
                raise NoRoomError
            row = self._add_row(session, length, today)
        self._remove_later([drop for drop, size in forgotten.items() if size])
        self._sightings.see(row.id, 0)
        return self._measure(row)

    def add_row(self, length: int, today: datetime.date, becomes: str = "") -> UploadRow:
        """The row of what a form brings. It is counted, and never refused: it is not left unfinished."""
        with self._rows.begin() as session:
            return self._add_row(session, length, today, becomes)

    def _add_row(self, session: Session, length: int, today: datetime.date, becomes: str = "") -> UploadRow:
        upload_id, becomes = secrets.token_hex(NAME_BYTES), becomes or secrets.token_hex(NAME_BYTES)
        expires = (today + UNFINISHED).isoformat()
        row = UploadRow(id=upload_id, length=length, expires=expires, becomes=becomes)
        session.add(row)
        return row

    def find(self, upload_id: str) -> Upload:
        """An upload with the bytes that are durable; an older request of this machine is stopped.

        Raises UnknownUploadError.
        """
        with self._claims.take(upload_id):
            row = self._row(upload_id)
            upload = self._measure(row)
            if upload.is_finished and row.becomes:
                self._become(upload_id)
            self._sightings.see(upload_id, upload.offset)
            return upload

    @contextmanager
    def append(
        self,
        upload_id: str,
        offset: int,
        today: datetime.date,
        hang_up: Callable[[], object],
        *,
        length: int = 0,
    ) -> Iterator[SharedWriting]:
        """Append to an upload at `offset`, which must be its own; `length` is how many bytes are to come.

        `hang_up` ends the request when a newer one comes. Raises UnknownUploadError, OffsetError,
        TakenOverError and NoRoomError; all that was written before that is kept.
        """
        with self._claims.take(upload_id, hang_up) as hold:
            row = self._row(upload_id)
            upload = self._measure(row)
            if offset != upload.offset or upload.is_finished:
                raise OffsetError
            self._check_quota(upload, length)
            writing = SharedWriting(self, row, upload, hold)
            try:
                yield writing
            finally:
                writing.flush()
                self._sightings.see(upload_id, writing.upload.offset)

    def finish(self, writing: SharedWriting) -> None:
        """Make an upload that is whole a drop. Raises TakenOverError, OffsetError and UnknownUploadError."""
        writing.flush()
        self._become(writing.upload.id)
        expires = datetime.date.fromisoformat(self._row(writing.upload.id).expires)
        writing.upload = replace(writing.upload, expires=expires)

    def end(self, upload_id: str) -> None:
        """Throw an upload away. Raises UnknownUploadError, and FinishedError for a drop, which stays."""
        with self._claims.take(upload_id):
            self._become(upload_id)  # if it is whole
            self._forget(upload_id, spares_finished=True)

    def discard(self, upload_id: str) -> None:
        """Forget an upload that nobody was told of, finished or not."""
        self._forget(upload_id)

    def expire(self, today: datetime.date) -> int:
        """Forget what has expired, and return how many uploads. One that goes on never has: see add_part."""
        with self._rows.begin() as session:
            query = select(UploadRow.id).where(UploadRow.expires <= today.isoformat())
            expired = list(session.scalars(query))
        for upload_id in expired:
            self._forget(upload_id, expired_by=today)
        return len(expired)

    def recover(self, today: datetime.date) -> None:
        """After a crash: an upload that is whole becomes a drop, and what has expired goes."""
        self.expire(today)
        with self._rows.begin() as session:
            sizes = select(PartRow.upload_id, func.sum(PartRow.size).label("size")).group_by(
                PartRow.upload_id
            )
            received = sizes.subquery()
            query = select(UploadRow.id).join(received, received.c.upload_id == UploadRow.id)
            whole = list(session.scalars(query.where(received.c.size == UploadRow.length)))
        for upload_id in whole:
            self._become(upload_id)

    def read_head(self, row: UploadRow, size: int) -> bytes:
        """The first `size` bytes of an unfinished upload."""
        head = b""
        with self._rows.begin() as session:
            parts = list(session.scalars(select_parts(row.id)))
        for part in parts:
            if len(head) < size:
                head += self._objects.get(name_part(str(row.becomes), part.name), size - len(head))
        return head

    def add_part(self, row: UploadRow, upload: Upload, content: bytes) -> Upload:
        """Put bytes, and say so in a row, unless another machine was faster. Raises OffsetError."""
        name = secrets.token_hex(NAME_BYTES)
        key = name_part(str(row.becomes), name)
        self._objects.put(key, content)
        # Of one that goes on the last day is put off long before, so it cannot expire elsewhere.
        expires, offset = upload.expires, upload.offset + len(content)
        later = datetime.datetime.now(datetime.UTC).date() + UNFINISHED
        if later != expires and self._days.put_off(upload.id, upload.offset, offset):
            expires = later
        try:
            with self._rows.begin() as session:
                locked = lock_upload(session, upload.id)
                if not locked.becomes or measure_upload(session, upload.id) != upload.offset:
                    raise OffsetError
                session.add(PartRow(upload_id=upload.id, start=upload.offset, size=len(content), name=name))
                locked.expires = expires.isoformat()
        except (OffsetError, UnknownUploadError):
            # After any other error the row may be there.
            self._objects.remove([key])
            raise
        return replace(upload, offset=offset, expires=expires)

    def _become(self, upload_id: str) -> None:
        """Make an upload that is whole a drop; if it has become one meanwhile, do nothing.

        A crash between the list and the rows leaves both: the next try puts the same list again.
        """
        with self._rows.begin() as session:
            row = lock_upload(session, upload_id)
            if not row.becomes:
                return
            parts = list(session.scalars(select_parts(upload_id)))
            if sum(part.size for part in parts) != row.length:
                return
            self._make(session, row, Drop(row.becomes, row.length, this_week()), parts)

    def become(self, upload_id: str, drop: Drop) -> None:
        """Make all that was put for an upload of length 0 this drop."""
        with self._rows.begin() as session:
            row = lock_upload(session, upload_id)
            self._make(session, row, drop, list(session.scalars(select_parts(upload_id))))

    def _make(self, session: Session, row: UploadRow, drop: Drop, parts: list[PartRow]) -> None:
        made_of = PartList(drop.size, drop.week, tuple(part.name for part in parts))
        self._objects.put(name_list(drop.name), encode_list(made_of))
        insert_drops(session, [drop])
        session.execute(delete(PartRow).where(PartRow.upload_id == row.id))
        row.becomes = None
        row.expires = (datetime.datetime.now(datetime.UTC).date() + FINISHED).isoformat()

    def _forget(
        self, upload_id: str, expired_by: datetime.date | None = None, *, spares_finished: bool = False
    ) -> None:
        """Remove an upload's rows and parts. Raises FinishedError if a finished one is to be spared."""
        with self._rows.begin() as session:
            row = session.get(UploadRow, upload_id, with_for_update=True)
            if not row or (expired_by and row.expires > expired_by.isoformat()):
                return  # another machine has forgotten it, or goes on with it
            becomes = row.becomes
            if spares_finished and not becomes:
                raise FinishedError
            session.execute(delete(PartRow).where(PartRow.upload_id == upload_id))
            session.execute(delete(UploadRow).where(UploadRow.id == upload_id))
        if becomes:
            self._remove_later([becomes])

    def _remove_later(self, drops: list[str]) -> None:
        """Nobody need wait for it; what a crash leaves is removed by `SharedDrops.recover`."""
        threading.Thread(target=self._remove_parts, args=(drops,)).start()

    def _remove_parts(self, drops: list[str]) -> None:
        """Remove the parts of drops that were not to be, and not those of one that is there all the same.

        A crash leaves a list with the rows of its upload; and an import that was ended and repeated leaves
        parts that the list does not name.
        """
        for drop in drops:
            with suppress(StoreError):
                keys = set(self._objects.keys(name_folder(drop)))
                if self._objects.keys(name_list(drop)):
                    made_of = parse_list(self._objects.get(name_list(drop)))
                    keys -= {name_part(drop, part) for part in made_of.parts}
                self._objects.remove(sorted(keys))

    def _row(self, upload_id: str) -> UploadRow:
        with self._rows.begin() as session:
            row = session.get(UploadRow, upload_id)
            if row is None:
                raise UnknownUploadError
        return row

    def _measure(self, row: UploadRow) -> Upload:
        with self._rows.begin() as session:
            offset = measure_upload(session, row.id) if row.becomes else row.length
        return Upload(row.id, row.length, offset, datetime.date.fromisoformat(row.expires))

    def _received(self, session: Session) -> int:
        """How many bytes all unfinished uploads have received."""
        return int(session.scalar(select(func.coalesce(func.sum(PartRow.size), 0))) or 0)

    def _check_quota(self, upload: Upload, length: int) -> None:
        """Raises NoRoomError, but not for the upload that is furthest along: some can always finish."""
        with self._rows.begin() as session:
            offsets = select(func.sum(PartRow.size).label("size")).group_by(PartRow.upload_id).subquery()
            furthest = session.scalar(select(func.max(offsets.c.size))) or 0
            if self._received(session) + length > self._largest_unfinished and upload.offset < furthest:
                raise NoRoomError
