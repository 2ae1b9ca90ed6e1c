"""Replies wait here until their source deletes them, or for some weeks.

    data/replies/<mailbox, 64 hex>.<SHA-256 of the envelope, 64 hex>.envelope

As with drops, the file is the truth and is made in the same steps; its row adds the week. Nothing leads from
a reply to a drop: a mailbox stands nowhere on the server but here, and not before a reply comes in.
"""

import datetime
import hashlib
import os
import re
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from io import FileIO
from pathlib import Path

from sqlalchemy.exc import DatabaseError
from sqlalchemy.orm import sessionmaker

from leakdrop.errors import StoreError
from leakdrop.store.database import first_line
from leakdrop.store.drop import this_week
from leakdrop.store.drops import Drops
from leakdrop.store.layout import Layout, forget_times, sync_folder
from leakdrop.store.mailboxes import Mailboxes, Name, Reply, check_room, is_one_answer
from leakdrop.store.mailboxes import MailboxFullError as MailboxFullError
from leakdrop.store.models import ReplyRow

O_NOATIME = getattr(os, "O_NOATIME", 0)  # Linux
_FILE_NAME = re.compile(r"([0-9a-f]{64})\.([0-9a-f]{64})\.envelope")


class Replies(Mailboxes):
    """The replies of a data folder."""

    def __init__(self, drops: Drops, weeks: int) -> None:
        super().__init__(sessionmaker(drops.engine).begin, drops.forget_order, weeks)
        self._drops = drops
        self._layout = drops.layout

    def path(self, mailbox: bytes, sha256: str) -> Path:
        return self._layout.reply(mailbox.hex(), sha256)

    def keep(self, mailbox: bytes, envelope: bytes) -> bool:
        """Make an envelope a reply; False if it was one already, and is left as it is.

        When this returns, it survives a crash at any moment, and has a row: without one no source gets it.
        Only one process at a time may call this (`layout.lock_import`). Raises MailboxFullError, NoRoomError
        and OSError; and StoreError if the row cannot be written: then it is to be kept once more.
        """
        sha256 = hashlib.sha256(envelope).hexdigest()
        path = self.path(mailbox, sha256)
        if path.exists():
            sync_folder(self._layout.replies)
            self._give_row(Reply(mailbox, sha256, len(envelope), this_week()))
            return False
        check_room(
            [other.stat().st_size for other in self._layout.replies.glob(f"{mailbox.hex()}.*")], envelope
        )
        with self._drops.receive(len(envelope)) as incoming:
            incoming.write(envelope)
            incoming.sync()
            incoming.path.rename(path)
        sync_folder(self._layout.replies)
        self._give_row(Reply(mailbox, sha256, len(envelope), this_week()))
        return True

    def _give_row(self, reply: Reply) -> None:
        """List a reply, unless it is listed. Raises StoreError."""
        try:
            if not self._rows(ReplyRow.mailbox == reply.mailbox.hex(), ReplyRow.sha256 == reply.sha256):
                self._list([reply])
        except DatabaseError as error:
            raise StoreError(f"The database cannot be written: {first_line(error)}.") from None

    @contextmanager
    def reading(self, mailbox: bytes, today: datetime.date) -> Iterator[list[tuple[Reply, FileIO]]]:
        """The replies of a mailbox, open to be read, the newest week first; as many as one answer holds.

        It is the same work whether the mailbox exists or not, but for the opening of files.
        """
        found: list[tuple[Reply, FileIO]] = []
        with ExitStack() as files:
            for reply in self._waiting(mailbox, today):
                # It was deleted meanwhile, or is another user's: a fault would tell that this mailbox exists.
                with suppress(FileNotFoundError, PermissionError):
                    file = files.enter_context(_open_unnoticed(self.path(mailbox, reply.sha256)))
                    found.append((replace(reply, size=os.fstat(file.fileno()).st_size), file))
                if not is_one_answer([each.size for each, _ in found]):
                    found.pop()
                    break
            yield found

    def _find(self) -> dict[Name, int]:
        sizes = find_replies(self._layout)
        forget_times(self._layout.replies)
        return sizes

    def _erase(self, names: Collection[Name]) -> None:
        for mailbox, sha256 in names:
            self._layout.reply(mailbox, sha256).unlink(missing_ok=True)
        sync_folder(self._layout.replies)


def find_replies(layout: Layout) -> dict[Name, int]:
    """The envelopes of replies, and their sizes in bytes."""
    sizes = {}
    with os.scandir(layout.replies) as entries:
        for entry in entries:
            match = _FILE_NAME.fullmatch(entry.name)
            if match and entry.is_file(follow_symlinks=False):
                # `settle` may remove it meanwhile.
                with suppress(FileNotFoundError):
                    sizes[match[1], match[2]] = entry.stat().st_size
    return sizes


def _open_unnoticed(path: Path) -> FileIO:
    """Open a file without a change of its time of access, which would tell when a source read it."""
    return FileIO(path, opener=lambda name, flags: os.open(name, flags | os.O_NOFOLLOW | O_NOATIME))
