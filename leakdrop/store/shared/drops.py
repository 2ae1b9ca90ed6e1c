"""Drops that all machines take in and any of them can export."""

import datetime
import io
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Self

from sqlalchemy import delete, select

from leakdrop.errors import StoreError
from leakdrop.store.claims import Hold
from leakdrop.store.drop import Drop, Recovery, Week, this_week, weigh
from leakdrop.store.models import DropRow, UploadRow
from leakdrop.store.moving import Bring, NameTakenError
from leakdrop.store.shared.objects import Bucket, Objects, Reader
from leakdrop.store.shared.parts import (
    LISTS,
    PARTS,
    name_folder,
    name_list,
    name_part,
    parse_list,
    parse_list_name,
)
from leakdrop.store.shared.replies import SharedReplies
from leakdrop.store.shared.rows import Rows, insert_drops, lock_upload
from leakdrop.store.shared.uploads import SharedUploads
from leakdrop.store.shared.writing import SharedIncoming, SharedWriting
from leakdrop.store.upload import Upload

# "moving" in ASCII: any number will do that nobody else locks in this database.
MOVING = int.from_bytes(b"moving")


class SharedDrops:
    """The drops of a database and a bucket."""

    def __init__(self, database_url: str, bucket: Bucket) -> None:
        """Open both, and bring the database to this version. Raises StoreError and ConfigError."""
        self._rows = Rows(database_url)
        self._objects = Objects(bucket)
        self._objects.check()
        self.engine = self._rows.engine
        self._forms = SharedUploads(self._rows, self._objects, 0)

    def close(self) -> None:
        self.engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def uploads(self, largest_unfinished: int) -> SharedUploads:
        return SharedUploads(self._rows, self._objects, largest_unfinished)

    def replies(self, weeks: int) -> SharedReplies:
        return SharedReplies(self._rows, self._objects, weeks)

    @contextmanager
    def receive(self, announced: int) -> Iterator[SharedIncoming]:
        """Room for an envelope of at most `announced` bytes, removed again unless it is kept."""
        today = datetime.datetime.now(datetime.UTC).date()
        row = self._forms.add_row(announced, today)
        upload = Upload(row.id, announced, 0, today)
        incoming = SharedIncoming(SharedWriting(self._forms, row, upload, Hold()), announced)
        try:
            yield incoming
        finally:
            # What was kept is a drop by now, and nobody knows this id.
            with suppress(StoreError):  # then it expires
                self._forms.discard(row.id)

    def keep(self, incoming: SharedIncoming) -> Drop:
        """Make an envelope a drop. When this returns, it survives a crash at any moment."""
        upload_id = incoming.writing.upload.id
        incoming.writing.flush()
        with self._rows.begin() as session:
            row = lock_upload(session, upload_id)
            row.length = incoming.written
            name = str(row.becomes)
        self._forms.finish(incoming.writing)
        return Drop(name, incoming.written, this_week())

    def has_room(self, _length: int) -> bool:
        """An object store tells when it is full."""
        return True

    @contextmanager
    def moving(self) -> Iterator[Bring]:
        """Take in drops of another machine, each under its own name and with its own week.

        Raises StoreError if another machine does so. Bringing raises NameTakenError, NoRoomError, StoreError.
        """
        with self._rows.hold(MOVING, "Another import of drops is under way: wait until it is done."):
            yield self._bring

    def _bring(self, drop: Drop, pieces: Iterable[bytes]) -> None:
        if self._objects.keys(name_list(drop.name)):
            raise NameTakenError
        today = datetime.datetime.now(datetime.UTC).date()
        # Of length 0 it is never whole: no other machine makes a drop of it before all is compared.
        row = self._forms.add_row(0, today, drop.name)
        writing = SharedWriting(self._forms, row, Upload(row.id, 0, 0, today), Hold())
        try:
            for piece in pieces:
                writing.write(piece)
            writing.flush()
            self._forms.become(row.id, drop)
        finally:
            with suppress(StoreError):  # then it expires
                self._forms.discard(row.id)

    def all(self) -> list[Drop]:
        """Every drop, in the order of their random names."""
        listed = self._listed()
        drops = (listed.get(name) or self._read(name) for name in self._names())
        return [drop for drop in drops if drop]

    def weeks(self) -> list[Week]:
        """How many drops came in each week, and their bytes."""
        return weigh(self.all())

    def open(self, drop: Drop) -> io.BufferedReader:
        """A drop's envelope, to be read from its start to its end."""
        made_of = parse_list(self._objects.get(name_list(drop.name)))
        return io.BufferedReader(
            Reader(self._objects, (name_part(drop.name, part) for part in made_of.parts))
        )

    def remove(self, drops: list[Drop]) -> None:
        """Remove drops for good; half of one is never listed."""
        self._objects.remove(name_list(drop.name) for drop in drops)
        self._unlist({drop.name for drop in drops})
        for drop in drops:
            self._objects.remove(self._objects.keys(name_folder(drop.name)))

    def forget_order(self) -> None:
        """Nothing can be done: PostgreSQL keeps the order of changes in its log (docs/scaling.md)."""

    def recover(self) -> Recovery:
        """Make rows and objects agree after a crash, while other machines go on. Raises StoreError."""
        # In this order, what another machine does meanwhile never looks like a leftover: an upload has a row
        # before its first part, and a list before that row forgets the drop.
        folders = self._objects.folders(PARTS)
        rows = self._listed()
        live = self._live()
        names = self._names()
        found = {name: self._read(name) for name in names if name not in rows}
        with self._rows.begin() as session:
            insert_drops(session, [drop for drop in found.values() if drop])
        self._unlist(rows.keys() - set(names))
        removed = tuple(folder for folder in folders if folder not in live and folder not in names)
        for folder in removed:
            self._objects.remove(self._objects.keys(name_folder(folder)))
        foreign = [key for key in self._objects.keys(LISTS) if not parse_list_name(key)]
        damaged = [name_list(name) for name, drop in found.items() if not drop]
        return Recovery(
            tuple(name for name, drop in found.items() if drop), removed, tuple(foreign + damaged)
        )

    def _names(self) -> list[str]:
        names = (parse_list_name(key) for key in self._objects.keys(LISTS))
        return [name for name in names if name]

    def _read(self, name: str) -> Drop | None:
        """A drop by its list, or None if that is damaged."""
        with suppress(StoreError):
            made_of = parse_list(self._objects.get(name_list(name)))
            return Drop(name, made_of.size, made_of.week)
        return None

    def _listed(self) -> dict[str, Drop]:
        with self._rows.begin() as session:
            return {row.name: Drop(row.name, row.size, row.week) for row in session.scalars(select(DropRow))}

    def _live(self) -> set[str]:
        """The names that unfinished uploads will have as drops."""
        with self._rows.begin() as session:
            return {name for name in session.scalars(select(UploadRow.becomes)) if name}

    def _unlist(self, names: set[str]) -> None:
        with self._rows.begin() as session:
            session.execute(delete(DropRow).where(DropRow.name.in_(names)))
