"""Mailboxes, wherever their replies lie: the rows, how many replies there may be, how long they wait.

The envelope of a reply is the truth, and is put first and removed first; its row adds the week. Where the
envelopes lie is told by `leakdrop.store.replies` and, for several machines, `leakdrop.store.shared.replies`.
"""

import datetime
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

from sqlalchemy import ColumnElement, delete, select
from sqlalchemy.dialects import sqlite
from sqlalchemy.orm import Session

from leakdrop.envelope.receipt import MAX_ANSWER, answer_length
from leakdrop.errors import LeakdropError
from leakdrop.store.drop import iso_week
from leakdrop.store.models import ReplyRow

MAX_REPLIES = 255

# What an envelope of a reply is found by: its mailbox and its SHA-256, both in hex.
Name: TypeAlias = tuple[str, str]


class MailboxFullError(LeakdropError):
    """Its mailbox holds as much as one answer can: wait until the source has deleted some, or they expire."""


def is_one_answer(lengths: Sequence[int]) -> bool:
    """Whether one answer holds envelopes of these lengths."""
    return len(lengths) <= MAX_REPLIES and answer_length(lengths) <= MAX_ANSWER


def check_room(lengths: Sequence[int], envelope: bytes) -> None:
    """Raises MailboxFullError if one answer cannot hold an envelope beside others of these lengths."""
    if not is_one_answer([*lengths, len(envelope)]):
        raise MailboxFullError


@dataclass(frozen=True)
class Reply:
    """One stored reply: its mailbox (32 bytes), SHA-256 (64 hex digits), size in bytes, ISO week (UTC)."""

    mailbox: bytes
    sha256: str
    size: int
    week: str

    @property
    def name(self) -> Name:
        return self.mailbox.hex(), self.sha256


class Mailboxes(ABC):
    """All replies of a site, kept for `weeks` whole weeks after the one in which they came.

    `begin` starts a transaction; `forget_order` is called after each that changed rows.
    """

    def __init__(
        self,
        begin: Callable[[], AbstractContextManager[Session]],
        forget_order: Callable[[], None],
        weeks: int,
    ) -> None:
        self._begin = begin
        self._forget_order = forget_order
        self._kept = datetime.timedelta(weeks=weeks)
        self._expired_on: datetime.date | None = None
        self._lock = threading.Lock()

    @abstractmethod
    def _find(self) -> Mapping[Name, int]:
        """Every envelope that is there, and its size in bytes."""

    @abstractmethod
    def _erase(self, names: Collection[Name]) -> None:
        """Remove envelopes, durably; one that is not there is no mistake."""

    def delete(self, mailbox: bytes, sha256: str) -> None:
        """Delete a reply, if it is there. When this returns, no crash brings it back."""
        self._remove([(mailbox.hex(), sha256)])

    def all(self) -> list[Reply]:
        """Every reply that waits."""
        return self._rows()

    def expire(self, today: datetime.date) -> int:
        """Delete what has waited long enough, and return how many replies that were."""
        expired = self._rows(ReplyRow.week < self._oldest_week(today))
        self._remove([reply.name for reply in expired])
        return len(expired)

    def recover(self, today: datetime.date) -> None:
        """After a crash: list envelopes that have no row, and forget rows without an envelope."""
        rows = {reply.name for reply in self._rows()}
        sizes, week = self._find(), iso_week(today)
        self._list(
            [
                Reply(bytes.fromhex(mailbox), sha256, size, week)
                for (mailbox, sha256), size in sizes.items()
                if (mailbox, sha256) not in rows
            ]
        )
        self._unlist(rows - sizes.keys())
        self.expire(today)

    def _waiting(self, mailbox: bytes, today: datetime.date) -> list[Reply]:
        """The rows of a mailbox, the newest week first, once those that have expired are deleted."""
        with self._lock:
            is_due, self._expired_on = self._expired_on != today, today
        if is_due:
            self.expire(today)
        return self._rows(ReplyRow.mailbox == mailbox.hex(), ReplyRow.week >= self._oldest_week(today))

    def _oldest_week(self, today: datetime.date) -> str:
        """The earliest week that has not expired."""
        return iso_week(today - self._kept)

    def _rows(self, *conditions: ColumnElement[bool]) -> list[Reply]:
        """The rows that meet all conditions, the newest week first, and then in the order of their sums."""
        query = select(ReplyRow).where(*conditions).order_by(ReplyRow.week.desc(), ReplyRow.sha256)
        with self._begin() as session:
            return [
                Reply(bytes.fromhex(row.mailbox), row.sha256, row.size, row.week)
                for row in session.scalars(query)
            ]

    def _list(self, replies: Collection[Reply]) -> None:
        """Write the rows that nobody else has written meanwhile."""
        if not replies:
            return
        with self._begin() as session:
            insert: Callable[[type[ReplyRow]], Any] = sqlite.insert
            if session.get_bind().dialect.name != "sqlite":
                # Here: it takes 1.5 MiB, which most servers never need.
                from sqlalchemy.dialects.postgresql import insert
            for reply in replies:
                row = {**asdict(reply), "mailbox": reply.mailbox.hex()}
                session.execute(insert(ReplyRow).values(row).on_conflict_do_nothing())
        self._forget_order()

    def _remove(self, names: Collection[Name]) -> None:
        """Remove envelopes, then rows: a row alone is forgotten after a crash, an envelope alone listed."""
        self._erase(names)
        self._unlist(names)

    def _unlist(self, names: Collection[Name]) -> None:
        if not names:
            return
        with self._begin() as session:
            for mailbox, sha256 in names:
                session.execute(
                    delete(ReplyRow).where(ReplyRow.mailbox == mailbox, ReplyRow.sha256 == sha256)
                )
        self._forget_order()
