"""Drops come in, are listed, and are made whole again after a crash.

An envelope is written to `incoming/`, fsynced, renamed into `drops/`, the folder fsynced, and then its row
written. So a drop is whole and listed, or not there; `recover` gives a row to a file that a crash left
without one, and removes what can never become a drop.
"""

import os
import re
import secrets
import threading
from collections.abc import Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from io import BufferedReader
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from sqlalchemy import Engine, delete, func, select, text
from sqlalchemy.exc import DatabaseError, OperationalError
from sqlalchemy.orm import Session

from leakdrop.envelope.header import read_header
from leakdrop.errors import EnvelopeError, NoRoomError, StoreError
from leakdrop.store.database import connect, connect_postgresql, migrate
from leakdrop.store.drop import NAME_BYTES, Drop, Recovery, Week, this_week, weigh
from leakdrop.store.layout import (
    ENVELOPE,
    Layout,
    forget_times,
    free_bytes,
    lock_upkeep,
    sync_folder,
)
from leakdrop.store.models import DropRow
from leakdrop.store.week import recall_week
from leakdrop.store.writing import STEP_BYTES, Incoming

if TYPE_CHECKING:
    from leakdrop.store.moving import Bring
    from leakdrop.store.replies import Replies
    from leakdrop.store.uploads import Uploads

_FILE_NAME = re.compile(f"[0-9a-f]{{{2 * NAME_BYTES}}}{re.escape(ENVELOPE)}")


class Drops:
    """The drops in a data folder, which `Layout.make` has made.

    with drops.receive(most_bytes) as incoming:
        incoming.write(some_bytes)
        drop = drops.keep(incoming)      # from here on it is safe
    """

    def __init__(self, root: Path, reserve_bytes: int = 0, database_url: str = "") -> None:
        """Open the folder, and bring its database to this version. Raises StoreError."""
        self.layout = Layout(root)
        self.layout.check()
        self.engine: Engine = (
            connect_postgresql(database_url) if database_url else connect(self.layout.database)
        )
        migrate(self.engine)
        self._reserve = reserve_bytes
        self._open: set[Incoming] = set()
        self._lock = threading.Lock()

    def close(self) -> None:
        self.engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def has_room(self, length: int, besides: Incoming | None = None) -> bool:
        """Whether `length` bytes fit above the reserve, beside what is kept for the (other) open forms."""
        claimed = sum(form.claim for form in tuple(self._open) if form is not besides)
        return free_bytes(self.layout.root) - claimed - length >= self._reserve

    def may_grow(self, incoming: Incoming) -> bool:
        """Whether an open form may go on writing."""
        return self.has_room(STEP_BYTES, besides=incoming)

    @contextmanager
    def receive(self, announced: int) -> Iterator[Incoming]:
        """A file for an envelope of at most `announced` bytes, removed again unless it is kept.

        Raises NoRoomError if that many bytes do not fit above the reserve. If others took the room meanwhile,
        a write does: then whoever is further along can finish.
        """
        with self._lock:
            if not self.has_room(announced):
                raise NoRoomError
            incoming = Incoming(self.layout.part(secrets.token_hex(NAME_BYTES)), announced, self.may_grow)
            self._open.add(incoming)
        try:
            yield incoming
        finally:
            with self._lock:
                self._open.discard(incoming)
            incoming.close()
            incoming.path.unlink(missing_ok=True)
            forget_times(self.layout.incoming)

    def keep(self, incoming: Incoming) -> Drop:
        """Make an envelope a drop. When this returns, it survives a crash at any moment."""
        incoming.sync()
        return self.adopt(incoming.path, incoming.written)

    def adopt(self, path: Path, size: int) -> Drop:
        """Make a durable file of `size` bytes a drop, under a new name. Raises OSError; then it is none."""
        drop = Drop(secrets.token_hex(NAME_BYTES), size, this_week())
        path.rename(self.layout.drop(drop.name))
        try:
            sync_folder(self.layout.drops)
        except OSError:
            self.layout.drop(drop.name).rename(path)
            raise
        # The file is the truth: a database that is locked or full costs the row, which `recover` writes.
        with suppress(DatabaseError):
            self._list([drop])
        return drop

    def all(self) -> list[Drop]:
        """Every drop, in the order of their random names."""
        weeks, files = self._weeks(), find_files(self.layout)
        return [
            Drop(name, files[name].stat().st_size, weeks.get(name) or this_week())
            for name in sorted(files)
            if name in weeks or is_envelope(files[name])
        ]

    def weeks(self) -> list[Week]:
        """How many drops came in each week, and their bytes: by their rows, if each drop has one and no row
        is left over, since to look at each file takes long where there are many.
        """
        if find_files(self.layout).keys() != self._weeks().keys():
            return weigh(self.all())
        query = select(DropRow.week, func.count(), func.sum(DropRow.size)).group_by(DropRow.week)
        with Session(self.engine) as session:
            return [Week(*row) for row in session.execute(query.order_by(DropRow.week))]

    def path(self, drop: Drop) -> Path:
        return self.layout.drop(drop.name)

    def open(self, drop: Drop) -> BufferedReader:
        """A drop's envelope, to be read from its start to its end."""
        return self.path(drop).open("rb")

    def uploads(self, largest_unfinished: int) -> "Uploads":
        """The uploads that become these drops."""
        # Here, since that module knows this one.
        from leakdrop.store.uploads import Uploads

        return Uploads(self, largest_unfinished)

    def replies(self, weeks: int) -> "Replies":
        """The replies beside these drops, kept for so many weeks."""
        # Here, since that module knows this one.
        from leakdrop.store.replies import Replies

        return Replies(self, weeks)

    def moving(self) -> "AbstractContextManager[Bring]":
        """Take in drops of another machine."""
        # Here, since that module knows this one.
        from leakdrop.store.moving import moving

        return moving(self)

    def remove(self, gone: Collection[Drop]) -> None:
        """Remove drops for good: first their files, so that a crash in between is made whole by `recover`.

        Rows that such a crash left without a file go, too.
        """
        for drop in gone:
            self.path(drop).unlink(missing_ok=True)
        sync_folder(self.layout.drops)
        self.forget_gone()
        self.forget_order()

    def forget_gone(self) -> None:
        """Remove rows whose file is gone, or never came. Only for whoever holds the upkeep."""
        rows = self._weeks().keys()  # before the files: a server lists a drop when its file is there
        self._unlist(rows - find_files(self.layout).keys())

    def recover(self) -> Recovery:
        """Make the folder whole after a crash: only the one server that holds it may call this.

        Raises StoreError if the folder cannot be read or written.
        """
        try:
            removed = [path.name for path in self.layout.incoming.iterdir()]
            for name in removed:
                (self.layout.incoming / name).unlink()
            forget_times(self.layout.incoming)
            # In this order: an import writes a row before its drop gets its name.
            everything = scan(self.layout.drops)
            files, weeks = find_drops(everything), self._weeks()
            # Only these are looked at: a start must not take longer because many drops are there.
            unlisted = {name: files[name] for name in sorted(files.keys() - weeks.keys())}
            # A clock that is behind must not make them old, and due as soon as it is set right.
            week = max(this_week(), recall_week(self.layout) or "")
            found = [
                Drop(name, entry.stat().st_size, week)
                for name, entry in unlisted.items()
                if is_envelope(entry)
            ]
        except OSError as error:
            raise StoreError(f"The data folder {self.layout.root}: {error.strerror}.") from None
        # A full disk stops no start: `all` gives what has no row, and the next start writes it.
        with suppress(OperationalError):
            self._list(found)
            # A row without a file may be that of a drop which is being imported.
            if weeks.keys() - files.keys():
                with suppress(StoreError, OSError), lock_upkeep(self.layout):
                    self.forget_gone()
        whole = (files.keys() & weeks.keys()) | {drop.name for drop in found}
        return Recovery(
            tuple(drop.name for drop in found),
            tuple(removed),
            tuple(sorted(everything.keys() - {f"{name}{ENVELOPE}" for name in whole})),
        )

    def _weeks(self) -> dict[str, str]:
        """The week of each drop that has a row."""
        with Session(self.engine) as session:
            return {name: week for name, week in session.execute(select(DropRow.name, DropRow.week))}

    def _unlist(self, names: set[str]) -> None:
        with Session(self.engine) as session, session.begin():
            for name in names:
                session.execute(delete(DropRow).where(DropRow.name == name))

    def _list(self, drops: list[Drop]) -> None:
        self.add_rows(drops)
        self.forget_order()

    def add_rows(self, drops: list[Drop]) -> None:
        """Write rows, where they lie as they came until `forget_order`. Raises DatabaseError."""
        with Session(self.engine) as session, session.begin():
            session.add_all(DropRow(name=drop.name, size=drop.size, week=drop.week) for drop in drops)

    def forget_order(self) -> None:
        """Lay the rows anew, in the order of their names: a page keeps them as they came.

        A database that is in use, or a full disk, only puts this off until the next drop. PostgreSQL
        keeps the order in any case (docs/scaling.md).
        """
        if self.engine.dialect.name != "sqlite":
            return
        with (
            suppress(DatabaseError),
            self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection,
        ):
            connection.execute(text("VACUUM"))
        self.forget_write()

    def forget_write(self) -> None:
        """Make the database's times say nothing; its rows stay where they lie until the next drop."""
        # SQLite's journal comes and goes beside the database.
        forget_times(self.layout.database)
        forget_times(self.layout.root)


def find_files(layout: Layout) -> dict[str, os.DirEntry[str]]:
    """The files that are named as drops are, by the drops' names."""
    return find_drops(scan(layout.drops))


def scan(folder: Path) -> dict[str, os.DirEntry[str]]:
    """All that a folder holds, by its name."""
    with os.scandir(folder) as entries:
        return {entry.name: entry for entry in entries}


def find_drops(entries: Mapping[str, os.DirEntry[str]]) -> dict[str, os.DirEntry[str]]:
    """Of what a folder holds, the files that are named as drops are, by the drops' names."""
    return {name.removesuffix(ENVELOPE): entry for name, entry in entries.items() if _is_drop(entry)}


def _is_drop(entry: os.DirEntry[str]) -> bool:
    return bool(_FILE_NAME.fullmatch(entry.name)) and entry.is_file(follow_symlinks=False)


def is_envelope(entry: os.DirEntry[str]) -> bool:
    """Whether a file that is named as a drop is can be one. Raises FileNotFoundError."""
    try:
        with Path(entry.path).open("rb") as file:
            read_header(file, entry.stat().st_size)
    except EnvelopeError:
        return False
    except FileNotFoundError:
        raise
    except OSError:
        return True  # whoever reads it is told
    return True
