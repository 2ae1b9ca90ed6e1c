"""Replies wait here until their source deletes them, or for some weeks.

    data/replies/<mailbox, 64 hex>.<SHA-256 of the envelope, 64 hex>.envelope

As with drops, the file is the truth and is made in the same steps; its row adds the week. Nothing leads from
a reply to a drop: a mailbox stands nowhere on the server but here, and not before a reply comes in.
"""

import datetime
import hashlib
import os
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from io import FileIO
from pathlib import Path

from sqlalchemy import ColumnElement, delete, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DatabaseError
from sqlalchemy.orm import Session

from leakdrop.envelope.receipt import MAX_ANSWER, answer_length
from leakdrop.errors import LeakdropError
from leakdrop.store.drops import Drops, iso_week, this_week
from leakdrop.store.layout import forget_times, sync_folder
from leakdrop.store.models import ReplyRow

MAX_REPLIES = 255
O_NOATIME = getattr(os, "O_NOATIME", 0)  # Linux
_FILE_NAME = re.compile(r"([0-9a-f]{64})\.([0-9a-f]{64})\.envelope")


class MailboxFullError(LeakdropError):
    """Its mailbox holds as much as one answer can: wait until the source has deleted some, or they expire."""


def check_room(lengths: Sequence[int], envelope: bytes) -> None:
    """Raises MailboxFullError if one answer cannot hold an envelope beside others of these lengths."""
    if len(lengths) == MAX_REPLIES or answer_length([*lengths, len(envelope)]) > MAX_ANSWER:
        raise MailboxFullError


@dataclass(frozen=True)
class Reply:
    """One stored reply: its mailbox (32 bytes), SHA-256 (64 hex digits), size in bytes, ISO week (UTC)."""

    mailbox: bytes
    sha256: str
    size: int
    week: str


class Replies:
    """The replies of a data folder, kept for `weeks` whole weeks after the one in which they came."""

    def __init__(self, drops: Drops, weeks: int) -> None:
        self._drops = drops
        self._layout = drops.layout
        self._engine = drops.engine
        self._kept = datetime.timedelta(weeks=weeks)
        self._lock = threading.Lock()
        self._expired_on: datetime.date | None = None

    def path(self, mailbox: bytes, sha256: str) -> Path:
        return self._layout.reply(mailbox.hex(), sha256)

    def keep(self, mailbox: bytes, envelope: bytes) -> bool:
        """Make an envelope a reply; False if it was one already, and is left as it is.

        When this returns, it survives a crash at any moment; and has a row, if a crash had left it without.
        Only one process at a time may call this (`layout.lock_import`). Raises MailboxFullError, NoRoomError
        and OSError.
        """
        sha256 = hashlib.sha256(envelope).hexdigest()
        path = self.path(mailbox, sha256)
        if path.exists():
            sync_folder(self._layout.replies)
            with suppress(DatabaseError):
                if not self._rows(ReplyRow.mailbox == mailbox.hex(), ReplyRow.sha256 == sha256):
                    self._list([Reply(mailbox, sha256, len(envelope), this_week())])
            return False
        check_room(
            [other.stat().st_size for other in self._layout.replies.glob(f"{mailbox.hex()}.*")], envelope
        )
        with self._drops.receive(len(envelope)) as incoming:
            incoming.write(envelope)
            incoming.sync()
            incoming.path.rename(path)
        sync_folder(self._layout.replies)
        # As with drops: a database that is locked or full costs the row, which `recover` writes.
        with suppress(DatabaseError):
            self._list([Reply(mailbox, sha256, len(envelope), this_week())])
        return True

    @contextmanager
    def reading(self, mailbox: bytes, today: datetime.date) -> Iterator[list[tuple[Reply, FileIO]]]:
        """The replies of a mailbox, open to be read, the newest week first; as many as one answer holds.

        It is the same work whether the mailbox exists or not, but for the opening of files.
        """
        self._expire_once(today)
        oldest = self._oldest_week(today)
        found: list[tuple[Reply, FileIO]] = []
        with ExitStack() as files:
            rows = self._rows(ReplyRow.mailbox == mailbox.hex(), ReplyRow.week >= oldest)
            for reply in rows[:MAX_REPLIES]:
                # It was deleted meanwhile, or is another user's: a fault would tell that this mailbox exists.
                with suppress(FileNotFoundError, PermissionError):
                    file = files.enter_context(_open_unnoticed(self.path(mailbox, reply.sha256)))
                    found.append((replace(reply, size=os.fstat(file.fileno()).st_size), file))
            while answer_length(reply.size for reply, _ in found) > MAX_ANSWER:
                found.pop()
            yield found

    def delete(self, mailbox: bytes, sha256: str) -> None:
        """Delete a reply, if it is there. When this returns, no crash brings it back."""
        self._remove([(mailbox.hex(), sha256)])

    def all(self) -> list[Reply]:
        """Every reply that waits."""
        return self._rows()

    def expire(self, today: datetime.date) -> int:
        """Delete what has waited long enough, and return how many replies that were."""
        expired = self._rows(ReplyRow.week < self._oldest_week(today))
        self._remove([(reply.mailbox.hex(), reply.sha256) for reply in expired])
        return len(expired)

    def recover(self, today: datetime.date) -> None:
        """Make the folder whole after a crash: list what has no row, and forget rows without a file."""
        rows = {(reply.mailbox.hex(), reply.sha256) for reply in self._rows()}
        files = {
            match.groups(): path
            for path in self._layout.replies.iterdir()
            if (match := _FILE_NAME.fullmatch(path.name)) and path.is_file() and not path.is_symlink()
        }
        forget_times(self._layout.replies)
        self._list(
            [
                Reply(bytes.fromhex(mailbox), sha256, path.stat().st_size, iso_week(today))
                for (mailbox, sha256), path in files.items()
                if (mailbox, sha256) not in rows
            ]
        )
        self._unlist([row for row in rows if row not in files])
        self.expire(today)

    def _oldest_week(self, today: datetime.date) -> str:
        """The earliest week that has not expired."""
        return iso_week(today - self._kept)

    def _rows(self, *conditions: ColumnElement[bool]) -> list[Reply]:
        """The rows that meet all conditions, the newest week first, and then in the order of their sums."""
        query = select(ReplyRow).where(*conditions).order_by(ReplyRow.week.desc(), ReplyRow.sha256)
        with Session(self._engine) as session:
            return [
                Reply(bytes.fromhex(row.mailbox), row.sha256, row.size, row.week)
                for row in session.scalars(query)
            ]

    def _list(self, replies: Sequence[Reply]) -> None:
        """Write the rows that another process has not written meanwhile."""
        if not replies:
            return
        insert = sqlite.insert if self._engine.dialect.name == "sqlite" else postgresql.insert
        with Session(self._engine) as session, session.begin():
            for reply in replies:
                row = {
                    "mailbox": reply.mailbox.hex(),
                    "sha256": reply.sha256,
                    "size": reply.size,
                    "week": reply.week,
                }
                session.execute(insert(ReplyRow).values(row).on_conflict_do_nothing())
        self._drops.forget_order()

    def _remove(self, names: Sequence[tuple[str, str]]) -> None:
        """Remove files, then rows: a row without a file is forgotten, a file without a row is listed."""
        for mailbox, sha256 in names:
            self._layout.reply(mailbox, sha256).unlink(missing_ok=True)
        sync_folder(self._layout.replies)
        self._unlist(names)

    def _unlist(self, names: Sequence[tuple[str, str]]) -> None:
        if not names:
            return
        with Session(self._engine) as session, session.begin():
            for mailbox, sha256 in names:
                session.execute(
                    delete(ReplyRow).where(ReplyRow.mailbox == mailbox, ReplyRow.sha256 == sha256)
                )
        self._drops.forget_order()

    def _expire_once(self, today: datetime.date) -> None:
        with self._lock:
            is_due, self._expired_on = self._expired_on != today, today
        if is_due:
            self.expire(today)


def _open_unnoticed(path: Path) -> FileIO:
    """Open a file without a change of its time of access, which would tell when a source read it."""
    return FileIO(path, opener=lambda name, flags: os.open(name, flags | os.O_NOFOLLOW | O_NOATIME))
