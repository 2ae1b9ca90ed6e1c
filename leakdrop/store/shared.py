"""What several machines keep together: rows in PostgreSQL, bytes in an object store. Why: docs/scaling.md.

    parts/<drop's name>/<32 hex>    some bytes of an envelope, at most 8 MiB
    drops/<drop's name>.json        a drop: the parts that it is made of, in order

    {"format":"leakdrop drop 1","size":n,"week":"2026-W47","parts":["<32 hex>",…]}

The order of the promise: a part is put, then its row written, and then the source is told. An envelope that
is whole becomes a drop when its list is put; its row follows, and then the source is told. So any machine can
go on with any upload, and nothing is ever copied. The lists are the truth about drops: a list without a row
gets one, a row without a list goes. The rows are the truth about unfinished uploads, and one row, locked,
decides whose bytes come next when two machines hold the same upload.

What the form seals comes in as an upload that nobody is told of. This module has the methods of
`leakdrop.store.drops` and `leakdrop.store.uploads`; `leakdrop.store.places` chooses.
"""

import datetime
import io
import json
import re
import secrets
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Self

from sqlalchemy import Select, delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from leakdrop.errors import NoRoomError, StoreError
from leakdrop.store.drops import NAME_BYTES, Drop, Recovery, this_week
from leakdrop.store.models import DropRow, PartRow, UploadRow
from leakdrop.store.moving import Bring, NameTakenError
from leakdrop.store.objects import Bucket, Objects, Reader
from leakdrop.store.rows import Rows
from leakdrop.store.shared_replies import SharedReplies
from leakdrop.store.uploads import (
    FINISHED,
    UNFINISHED,
    FinishedError,
    OffsetError,
    TakenOverError,
    UnknownUploadError,
    Upload,
)

# A part is held in memory until it is put: 48 submissions at once may hold as many.
PART_BYTES = 8 * 1024 * 1024
FORMAT = "leakdrop drop 1"
# "moving" in ASCII: any number will do that nobody else locks in this database.
MOVING = int.from_bytes(b"moving")
# An older request has this long to put what it had received, after it was told to stop.
GOODBYE_SECONDS = 30
_LIST = re.compile(f"drops/([0-9a-f]{{{2 * NAME_BYTES}}})[.]json")
_NAME = re.compile(f"[0-9a-f]{{{2 * NAME_BYTES}}}")


def _part_key(drop: str, part: str) -> str:
    return f"parts/{drop}/{part}"


def _list_key(drop: str) -> str:
    return f"drops/{drop}.json"


@dataclass(frozen=True)
class PartList:
    """What a drop is made of: its size in bytes, its week, the names of its parts in order."""

    size: int
    week: str
    parts: tuple[str, ...]


def encode_list(made_of: PartList) -> bytes:
    return json.dumps(
        {"format": FORMAT, "size": made_of.size, "week": made_of.week, "parts": made_of.parts},
        separators=(",", ":"),
    ).encode()


def parse_list(encoded: bytes) -> PartList:
    """Raises StoreError."""
    try:
        found = json.loads(encoded)
        made_of = PartList(found["size"], found["week"], tuple(found["parts"]))
        right = found["format"] == FORMAT and type(made_of.size) is int and type(made_of.week) is str
        if right and all(_NAME.fullmatch(part) for part in made_of.parts):
            return made_of
    except (ValueError, RecursionError, TypeError, KeyError):
        pass
    raise StoreError("A list in the object store is damaged: the drop that it names cannot be read.")


@dataclass(eq=False)
class Holder:
    """A request of this machine that has an upload in its hands; `done` when it has put what it had."""

    hang_up: Callable[[], object]
    is_lost: bool = False
    done: threading.Event = field(default_factory=threading.Event)


class SharedWriting:
    """An upload that a request appends to. Bytes are put when there are enough, and at the end."""

    def __init__(self, uploads: "SharedUploads", row: UploadRow, upload: Upload, holder: Holder) -> None:
        self.upload = upload
        self.offset = upload.offset  # what has been put and what is held
        self._uploads = uploads
        self._row = row
        self._holder = holder
        self._held = bytearray()

    def read_head(self, size: int) -> bytes:
        """The first of the bytes before this request's own, `size` at most."""
        return self._uploads.read_head(self._row, min(size, self.upload.offset))

    def write(self, piece: bytes) -> None:
        """Append bytes. Raises TakenOverError, OffsetError, and NoRoomError when the store is full."""
        if self._holder.is_lost:
            raise TakenOverError
        self._held += piece
        self.offset += len(piece)
        while len(self._held) >= PART_BYTES:
            self._put(bytes(self._held[:PART_BYTES]))
            del self._held[:PART_BYTES]

    def flush(self) -> None:
        """Make all bytes durable."""
        if self._held:
            held, self._held = bytes(self._held), bytearray()
            self._put(held)

    def _put(self, content: bytes) -> None:
        self.upload = self._uploads.add_part(self._row, self.upload, content)


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


class SharedUploads:
    """The uploads that all machines go on with."""

    def __init__(self, rows: Rows, objects: Objects, largest_unfinished: int) -> None:
        self._rows = rows
        self._objects = objects
        self._largest_unfinished = largest_unfinished
        self._holders: dict[str, Holder] = {}
        self._lock = threading.Lock()
        self._expired_on: datetime.date | None = None

    def create(self, length: int, today: datetime.date) -> Upload:
        """A new upload for an envelope of `length` bytes. Raises NoRoomError if too much is unfinished."""
        if self._expired_on != today:
            self._expired_on = today
            self.expire(today)
        with self._rows.begin() as session:
            if self._received(session) + length > self._largest_unfinished:
                raise NoRoomError
        return self._measure(self.add_row(length, today))

    def add_row(self, length: int, today: datetime.date, becomes: str = "") -> UploadRow:
        """The row of a new upload. (Of a form there is no cap: it is not left unfinished.)"""
        upload_id, becomes = secrets.token_hex(NAME_BYTES), becomes or secrets.token_hex(NAME_BYTES)
        expires = (today + UNFINISHED).isoformat()
        with self._rows.begin() as session:
            session.add(UploadRow(id=upload_id, length=length, expires=expires, becomes=becomes))
        return self._row(upload_id)

    def find(self, upload_id: str) -> Upload:
        """An upload with the bytes that are durable; an older request of this machine is stopped.

        Raises UnknownUploadError.
        """
        with self._take(upload_id, Holder(lambda: None)):
            row = self._row(upload_id)
            upload = self._measure(row)
            if upload.is_finished and row.becomes:
                self._become(upload_id)
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
        holder = Holder(hang_up)
        with self._take(upload_id, holder):
            row = self._row(upload_id)
            upload = self._measure(row)
            if offset != upload.offset or upload.is_finished:
                raise OffsetError
            self._check_quota(upload, length)
            writing = SharedWriting(self, row, upload, holder)
            try:
                yield writing
            finally:
                writing.flush()

    def finish(self, writing: SharedWriting) -> None:
        """Make an upload that is whole a drop. Raises TakenOverError, OffsetError and UnknownUploadError."""
        writing.flush()
        self._become(writing.upload.id)
        expires = datetime.date.fromisoformat(self._row(writing.upload.id).expires)
        writing.upload = replace(writing.upload, expires=expires)

    def end(self, upload_id: str) -> None:
        """Throw an upload away. Raises UnknownUploadError, and FinishedError for a drop, which stays."""
        with self._take(upload_id, Holder(lambda: None)):
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
            parts = list(session.scalars(_parts_of(row.id)))
        for part in parts:
            if len(head) < size:
                head += self._objects.get(_part_key(str(row.becomes), part.name), size - len(head))
        return head

    def add_part(self, row: UploadRow, upload: Upload, content: bytes) -> Upload:
        """Put bytes, and say so in a row, unless another machine was faster. Raises OffsetError."""
        name = secrets.token_hex(NAME_BYTES)
        key = _part_key(str(row.becomes), name)
        self._objects.put(key, content)
        # The end of an upload that goes on is put off with each part, so it cannot expire elsewhere.
        expires = datetime.datetime.now(datetime.UTC).date() + UNFINISHED
        try:
            with self._rows.begin() as session:
                locked = _lock(session, upload.id)
                if not locked.becomes or _size(session, upload.id) != upload.offset:
                    raise OffsetError
                session.add(PartRow(upload_id=upload.id, start=upload.offset, size=len(content), name=name))
                locked.expires = expires.isoformat()
        except (OffsetError, UnknownUploadError):
            # After any other error the row may be there.
            self._objects.remove([key])
            raise
        return replace(upload, offset=upload.offset + len(content), expires=expires)

    def _become(self, upload_id: str) -> None:
        """Make an upload that is whole a drop; if it has become one meanwhile, do nothing.

        A crash between the list and the rows leaves both: the next try puts the same list again.
        """
        with self._rows.begin() as session:
            row = _lock(session, upload_id)
            if not row.becomes:
                return
            parts = list(session.scalars(_parts_of(upload_id)))
            if sum(part.size for part in parts) != row.length:
                return
            self._make(session, row, Drop(row.becomes, row.length, this_week()), parts)

    def become(self, upload_id: str, drop: Drop) -> None:
        """Make all that was put for an upload of length 0 this drop."""
        with self._rows.begin() as session:
            row = _lock(session, upload_id)
            self._make(session, row, drop, list(session.scalars(_parts_of(upload_id))))

    def _make(self, session: Session, row: UploadRow, drop: Drop, parts: list[PartRow]) -> None:
        made_of = PartList(drop.size, drop.week, tuple(part.name for part in parts))
        self._objects.put(_list_key(drop.name), encode_list(made_of))
        _list(session, [drop])
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
            # Nobody need wait for it; what a crash leaves is removed by `SharedDrops.recover`.
            threading.Thread(target=self._remove_parts, args=(becomes,)).start()

    def _remove_parts(self, drop: str) -> None:
        """Remove the parts of a drop that was not to be, and not those of one that is there all the same.

        A crash leaves a list with the rows of its upload; and an import that was ended and repeated leaves
        parts that the list does not name.
        """
        with suppress(StoreError):
            keys = set(self._objects.keys(f"parts/{drop}/"))
            if self._objects.keys(_list_key(drop)):
                made_of = parse_list(self._objects.get(_list_key(drop)))
                keys -= {_part_key(drop, part) for part in made_of.parts}
            self._objects.remove(sorted(keys))

    def _row(self, upload_id: str) -> UploadRow:
        with self._rows.begin() as session:
            row = session.get(UploadRow, upload_id)
            if row is None:
                raise UnknownUploadError
        return row

    def _measure(self, row: UploadRow) -> Upload:
        with self._rows.begin() as session:
            offset = _size(session, row.id) if row.becomes else row.length
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

    @contextmanager
    def _take(self, upload_id: str, holder: Holder) -> Iterator[None]:
        """Hold an upload, and stop the request of this machine that held it before.

        That one puts what it had received first. A request on another machine is not stopped, and need not
        be: whoever comes second with the next bytes is refused by `add_part`.
        """
        with self._lock:
            older = self._holders.get(upload_id)
            self._holders[upload_id] = holder
            if older:
                older.is_lost = True
        try:
            if older:
                older.hang_up()
                older.done.wait(GOODBYE_SECONDS)
            yield
        finally:
            holder.done.set()
            with self._lock:
                if self._holders.get(upload_id) is holder:
                    del self._holders[upload_id]


class SharedDrops:
    """The drops that all machines take in and any of them can export."""

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
        incoming = SharedIncoming(SharedWriting(self._forms, row, upload, Holder(lambda: None)), announced)
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
            row = _lock(session, upload_id)
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
        if self._objects.keys(_list_key(drop.name)):
            raise NameTakenError
        today = datetime.datetime.now(datetime.UTC).date()
        # Of length 0 it is never whole: no other machine makes a drop of it before all is compared.
        row = self._forms.add_row(0, today, drop.name)
        writing = SharedWriting(self._forms, row, Upload(row.id, 0, 0, today), Holder(lambda: None))
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

    def open(self, drop: Drop) -> io.BufferedReader:
        """A drop's envelope, to be read from its start to its end."""
        made_of = parse_list(self._objects.get(_list_key(drop.name)))
        return io.BufferedReader(
            Reader(self._objects, (_part_key(drop.name, part) for part in made_of.parts))
        )

    def remove(self, drops: list[Drop]) -> None:
        """Remove drops for good; half of one is never listed."""
        self._objects.remove(_list_key(drop.name) for drop in drops)
        self._unlist({drop.name for drop in drops})
        for drop in drops:
            self._objects.remove(self._objects.keys(f"parts/{drop.name}/"))

    def forget_order(self) -> None:
        """Nothing can be done: PostgreSQL keeps the order of changes in its log (docs/scaling.md)."""

    def recover(self) -> Recovery:
        """Make rows and objects agree after a crash, while other machines go on. Raises StoreError."""
        # In this order, what another machine does meanwhile never looks like a leftover: an upload has a row
        # before its first part, and a list before that row forgets the drop.
        folders = self._objects.folders("parts/")
        rows = self._listed()
        live = self._live()
        names = self._names()
        found = {name: self._read(name) for name in names if name not in rows}
        with self._rows.begin() as session:
            _list(session, [drop for drop in found.values() if drop])
        self._unlist(rows.keys() - set(names))
        removed = tuple(folder for folder in folders if folder not in live and folder not in names)
        for folder in removed:
            self._objects.remove(self._objects.keys(f"parts/{folder}/"))
        foreign = [key for key in self._objects.keys("drops/") if not _LIST.fullmatch(key)]
        damaged = [_list_key(name) for name, drop in found.items() if not drop]
        return Recovery(
            tuple(name for name, drop in found.items() if drop), removed, tuple(foreign + damaged)
        )

    def _names(self) -> list[str]:
        found = (_LIST.fullmatch(key) for key in self._objects.keys("drops/"))
        return [match[1] for match in found if match]

    def _read(self, name: str) -> Drop | None:
        """A drop by its list, or None if that is damaged."""
        with suppress(StoreError):
            made_of = parse_list(self._objects.get(_list_key(name)))
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


def _lock(session: Session, upload_id: str) -> UploadRow:
    """An upload's row, which no other machine can lock before this transaction ends."""
    row = session.get(UploadRow, upload_id, with_for_update=True, populate_existing=True)
    if row is None:
        raise UnknownUploadError
    return row


def _parts_of(upload_id: str) -> Select[PartRow]:
    return select(PartRow).where(PartRow.upload_id == upload_id).order_by(PartRow.start)


def _size(session: Session, upload_id: str) -> int:
    """How many bytes an unfinished upload has received."""
    query = select(func.coalesce(func.sum(PartRow.size), 0)).where(PartRow.upload_id == upload_id)
    return int(session.scalar(query) or 0)


def _list(session: Session, drops: list[Drop]) -> None:
    """Write the rows that another machine has not written meanwhile."""
    for drop in drops:
        row = {"name": drop.name, "size": drop.size, "week": drop.week}
        session.execute(insert(DropRow).values(row).on_conflict_do_nothing())
