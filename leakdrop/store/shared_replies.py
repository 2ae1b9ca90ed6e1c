"""Replies that several machines share: envelopes in the object store, weeks in PostgreSQL.

    replies/<mailbox, 64 hex>.<SHA-256 of the envelope, 64 hex>

The object is the truth, and is put first and removed first; its row adds the week. This module has the
methods of `leakdrop.store.replies`; `leakdrop.store.places` chooses.
"""

import datetime
import hashlib
import io
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

from sqlalchemy import ColumnElement, delete, select
from sqlalchemy.dialects.postgresql import insert

from leakdrop.envelope.receipt import MAX_ANSWER, answer_length
from leakdrop.store.drops import iso_week, this_week
from leakdrop.store.models import ReplyRow
from leakdrop.store.objects import GoneError, Objects
from leakdrop.store.replies import MAX_REPLIES, Reply, check_room
from leakdrop.store.rows import Rows

_KEY = re.compile(r"replies/([0-9a-f]{64})\.([0-9a-f]{64})")


def _key(mailbox: str, sha256: str) -> str:
    return f"replies/{mailbox}.{sha256}"


class SharedReplies:
    """The replies that any machine answers with, kept for `weeks` whole weeks after they came."""

    def __init__(self, rows: Rows, objects: Objects, weeks: int) -> None:
        self._rows = rows
        self._objects = objects
        self._kept = datetime.timedelta(weeks=weeks)
        self._expired_on: datetime.date | None = None

    def keep(self, mailbox: bytes, envelope: bytes) -> bool:
        """Make an envelope a reply; False if it was one already, and is left as it is.

        Raises MailboxFullError, NoRoomError and StoreError.
        """
        sha256 = hashlib.sha256(envelope).hexdigest()
        key = _key(mailbox.hex(), sha256)
        sizes = self._sizes(mailbox)
        is_new = key not in sizes
        if is_new:
            check_room(list(sizes.values()), envelope)
            self._objects.put(key, envelope)
        # Of one that is there, a crash may have cost the row.
        self._list([Reply(mailbox, sha256, len(envelope), this_week())])
        return is_new

    @contextmanager
    def reading(self, mailbox: bytes, today: datetime.date) -> Iterator[list[tuple[Reply, io.BytesIO]]]:
        """The replies of a mailbox, the newest week first; as many as one answer holds.

        It is the same work whether the mailbox exists or not, but for the reading of objects. They are held
        in memory: as many answers at once as the server gives, of 32 MiB at most.
        """
        if self._expired_on != today:
            self._expired_on = today
            self.expire(today)
        rows = self._read(ReplyRow.mailbox == mailbox.hex(), ReplyRow.week >= self._oldest(today))
        sizes = self._sizes(mailbox)
        keys = {reply: _key(mailbox.hex(), reply.sha256) for reply in rows}
        waiting = [replace(reply, size=sizes[key]) for reply, key in keys.items() if key in sizes]
        del waiting[MAX_REPLIES:]
        while answer_length(reply.size for reply in waiting) > MAX_ANSWER:
            waiting.pop()
        found = []
        for reply in waiting:
            with suppress(GoneError):  # it was deleted meanwhile
                found.append((reply, io.BytesIO(self._objects.get(_key(mailbox.hex(), reply.sha256)))))
        yield found

    def delete(self, mailbox: bytes, sha256: str) -> None:
        """Delete a reply, if it is there. When this returns, no crash brings it back."""
        self._remove([(mailbox.hex(), sha256)])

    def all(self) -> list[Reply]:
        """Every reply that waits."""
        return self._read()

    def expire(self, today: datetime.date) -> int:
        """Delete what has waited long enough, and return how many replies that were."""
        expired = self._read(ReplyRow.week < self._oldest(today))
        self._remove([(reply.mailbox.hex(), reply.sha256) for reply in expired])
        return len(expired)

    def recover(self, today: datetime.date) -> None:
        """Make rows and objects agree after a crash: list what has no row, forget rows without an object."""
        rows = {(reply.mailbox.hex(), reply.sha256) for reply in self._read()}
        sizes = {
            match.groups(): size
            for key, size in self._objects.sizes("replies/").items()
            if (match := _KEY.fullmatch(key))
        }
        self._list(
            [
                Reply(bytes.fromhex(mailbox), sha256, size, iso_week(today))
                for (mailbox, sha256), size in sizes.items()
                if (mailbox, sha256) not in rows
            ]
        )
        self._unlist(rows - sizes.keys())
        self.expire(today)

    def _sizes(self, mailbox: bytes) -> dict[str, int]:
        """The keys of a mailbox's objects, and their sizes."""
        return self._objects.sizes(f"replies/{mailbox.hex()}.")

    def _oldest(self, today: datetime.date) -> str:
        """The earliest week that has not expired."""
        return iso_week(today - self._kept)

    def _read(self, *conditions: ColumnElement[bool]) -> list[Reply]:
        """The rows that meet all conditions, the newest week first, and then in the order of their sums."""
        query = select(ReplyRow).where(*conditions).order_by(ReplyRow.week.desc(), ReplyRow.sha256)
        with self._rows.begin() as session:
            return [
                Reply(bytes.fromhex(row.mailbox), row.sha256, row.size, row.week)
                for row in session.scalars(query)
            ]

    def _list(self, replies: Collection[Reply]) -> None:
        """Write the rows that another machine has not written meanwhile."""
        with self._rows.begin() as session:
            for reply in replies:
                row = {
                    "mailbox": reply.mailbox.hex(),
                    "sha256": reply.sha256,
                    "size": reply.size,
                    "week": reply.week,
                }
                session.execute(insert(ReplyRow).values(row).on_conflict_do_nothing())

    def _remove(self, names: Collection[tuple[str, str]]) -> None:
        """Remove objects, then rows: a row without an object is forgotten, an object without one listed."""
        self._objects.remove(_key(mailbox, sha256) for mailbox, sha256 in names)
        self._unlist(names)

    def _unlist(self, names: Collection[tuple[str, str]]) -> None:
        with self._rows.begin() as session:
            for mailbox, sha256 in names:
                session.execute(
                    delete(ReplyRow).where(ReplyRow.mailbox == mailbox, ReplyRow.sha256 == sha256)
                )
