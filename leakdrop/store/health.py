"""What `leakdrop check` asks of the store. Nothing here changes anything: no migration, no row, no file.

For a data folder with SQLite; what several machines share looks after itself (docs/scaling.md).
"""

import datetime
import os
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from leakdrop.errors import StoreError
from leakdrop.store.database import newest_revision
from leakdrop.store.drop import Drop
from leakdrop.store.drops import find_files, is_envelope
from leakdrop.store.layout import ENVELOPE, PART, Layout
from leakdrop.store.replies import find_replies
from leakdrop.store.settle import day_of_change, find_marks, needs_settling

# A timer that runs daily may be late by a day, not by more.
LATE = datetime.timedelta(days=2)


@dataclass(frozen=True)
class Health:
    """The state of a data folder. Names are those of files."""

    revision: str | None  # of the database's schema
    newest_revision: str
    damage: str | None  # what SQLite says is wrong with the database
    drops: tuple[Drop, ...]  # that have a row
    unlisted: tuple[str, ...]  # envelopes without a row
    changed: tuple[str, ...]  # drops whose envelope has another size than its row says
    lost: tuple[str, ...]  # rows without an envelope
    foreign: tuple[str, ...]  # what lies among the drops and is none
    unsettled: tuple[str, ...]  # drops whose files tell more than they should by now
    timed: tuple[str, ...]  # drops whose times of writing are not the epoch
    acknowledged: dict[str, str]  # the week, by a drop's name
    uploads: int  # unfinished ones
    upload_bytes: int
    expired: int  # unfinished uploads that should be gone
    unlisted_replies: int  # which no source gets
    leftovers: tuple[str, ...]  # parts that nobody was told of, copies of a broken settling


class NoDatabaseError(StoreError):
    """There is no database."""


class DamagedDatabaseError(StoreError):
    """The database is damaged."""


def examine(root: Path, today: datetime.date) -> Health:
    """Look at a data folder.

    Raises NoDatabaseError, DamagedDatabaseError, and StoreError or OSError if it cannot be read now.
    """
    layout = Layout(root)
    try:
        layout.database.stat()
    except FileNotFoundError:
        raise NoDatabaseError(f"There is no database {layout.database}.") from None
    try:
        with closing(sqlite3.connect(f"file:{layout.database}?mode=ro", uri=True)) as connection:
            return _examine(layout, connection, today)
    except sqlite3.OperationalError as error:  # in use, not ours to read, of no schema that is known
        raise StoreError(f"The database {layout.database} cannot be read: {error}.") from None
    except sqlite3.DatabaseError as error:
        raise DamagedDatabaseError(f"The database {layout.database} is damaged: {error}.") from None


def _examine(layout: Layout, connection: sqlite3.Connection, today: datetime.date) -> Health:
    (integrity,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    revision = _scalar(connection, "SELECT version_num FROM alembic_version")
    acknowledged = _column(connection, "drops", "acknowledged")
    rows = {
        name: Drop(name, size, week)
        for name, size, week in connection.execute("SELECT name, size, week FROM drops")
    }
    uploads = (
        dict(connection.execute("SELECT id, expires FROM uploads")) if _has(connection, "uploads") else {}
    )
    files = find_files(layout)
    parts = {path.name.removesuffix(PART): path for path in layout.uploads.iterdir()}
    sizes = {name: entry.stat().st_size for name, entry in files.items()}
    whole = {name for name, entry in files.items() if name in rows or is_envelope(entry)}
    listed = rows.keys() & files.keys()
    late_marks = {week for week, path in find_marks(layout).items() if day_of_change(path) + LATE <= today}
    return Health(
        revision=revision,
        newest_revision=newest_revision(),
        damage=None if integrity == "ok" else str(integrity).partition("\n")[0],
        drops=tuple(rows[name] for name in sorted(listed)),
        unlisted=tuple(sorted(whole - rows.keys())),
        changed=tuple(name for name in sorted(listed) if rows[name].size != sizes[name]),
        lost=tuple(sorted(rows.keys() - files.keys())),
        foreign=tuple(
            sorted(
                path.name for path in layout.drops.iterdir() if path.name.removesuffix(ENVELOPE) not in whole
            )
        ),
        unsettled=tuple(
            name
            for name in sorted(listed)
            if rows[name].week in late_marks or _is_late(rows[name], files[name], today)
        ),
        # To set the times of one that was cut short would hide that it was.
        timed=tuple(
            name
            for name in sorted(whole)
            if files[name].stat().st_mtime_ns and (name not in rows or rows[name].size == sizes[name])
        ),
        acknowledged={name: week for name, week in acknowledged if week},
        uploads=len(uploads.keys() & parts.keys()),
        upload_bytes=sum(parts[name].stat().st_size for name in uploads.keys() & parts.keys()),
        expired=sum(expires < today.isoformat() for name, expires in uploads.items() if name in parts),
        unlisted_replies=_count_unlisted_replies(layout, connection),
        leftovers=tuple(sorted([*(parts.keys() - uploads.keys()), *_find_copies(layout)])),
    )


def _is_late(drop: Drop, file: os.DirEntry[str], today: datetime.date) -> bool:
    """Whether a drop should have been settled since its file changed."""
    changed = day_of_change(file)
    return needs_settling(drop, changed) and changed + LATE <= today


def _find_copies(layout: Layout) -> list[str]:
    return [path.name for path in layout.settling.glob(f"*{PART}")]


def _count_unlisted_replies(layout: Layout, connection: sqlite3.Connection) -> int:
    if not _has(connection, "replies") or not layout.replies.is_dir():
        return 0
    rows = set(connection.execute("SELECT mailbox, sha256 FROM replies"))
    return len(find_replies(layout).keys() - rows)


def _scalar(connection: sqlite3.Connection, query: str) -> str | None:
    row = connection.execute(query).fetchone()
    return row[0] if row else None


def _has(connection: sqlite3.Connection, table: str) -> bool:
    return connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (table,)).fetchone() is not None


def _column(connection: sqlite3.Connection, table: str, column: str) -> list[tuple[str, str | None]]:
    """Names and a column that older schemas do not have."""
    columns = {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}
    if column not in columns:
        return []
    return connection.execute(f"SELECT name, {column} FROM {table}").fetchall()  # noqa: S608 - our own names
