"""Replies that several machines share: envelopes in the object store, weeks in PostgreSQL.

    replies/<mailbox, 64 hex>.<SHA-256 of the envelope, 64 hex>

How long they wait, and how many there may be: `leakdrop.store.mailboxes`.
"""

import datetime
import hashlib
import io
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

from leakdrop.store.drop import this_week
from leakdrop.store.mailboxes import Mailboxes, Name, Reply, check_room, is_one_answer
from leakdrop.store.shared.objects import GoneError, Objects
from leakdrop.store.shared.rows import Rows

_KEY = re.compile(r"replies/([0-9a-f]{64})\.([0-9a-f]{64})")


def _key(name: Name) -> str:
    return f"replies/{'.'.join(name)}"


class SharedReplies(Mailboxes):
    """The replies that any machine answers with."""

    def __init__(self, rows: Rows, objects: Objects, weeks: int) -> None:
        # PostgreSQL keeps the order of changes in its log, and nothing can be done (docs/scaling.md).
        super().__init__(rows.begin, lambda: None, weeks)
        self._objects = objects

    def keep(self, mailbox: bytes, envelope: bytes) -> bool:
        """Make an envelope a reply; False if it was one already, and is left as it is.

        Raises MailboxFullError, NoRoomError and StoreError.
        """
        reply = Reply(mailbox, hashlib.sha256(envelope).hexdigest(), len(envelope), this_week())
        sizes = self._sizes(mailbox)
        is_new = reply.name not in sizes
        if is_new:
            check_room(list(sizes.values()), envelope)
            self._objects.put(_key(reply.name), envelope)
        # Of one that is there, a crash may have cost the row.
        self._list([reply])
        return is_new

    @contextmanager
    def reading(self, mailbox: bytes, today: datetime.date) -> Iterator[list[tuple[Reply, io.BytesIO]]]:
        """The replies of a mailbox, the newest week first; as many as one answer holds.

        It is the same work whether the mailbox exists or not, but for the reading of objects. They are held
        in memory: as many answers at once as the server gives, of 32 MiB at most.
        """
        rows, sizes = self._waiting(mailbox, today), self._sizes(mailbox)
        waiting = [replace(reply, size=sizes[reply.name]) for reply in rows if reply.name in sizes]
        while not is_one_answer([reply.size for reply in waiting]):
            waiting.pop()
        found = []
        for reply in waiting:
            with suppress(GoneError):  # it was deleted meanwhile
                found.append((reply, io.BytesIO(self._objects.get(_key(reply.name)))))
        yield found

    def _find(self) -> dict[Name, int]:
        return self._sizes()

    def _sizes(self, mailbox: bytes | None = None) -> dict[Name, int]:
        """What is there, or what is there of a mailbox, and the sizes of the objects."""
        found = self._objects.sizes(f"replies/{mailbox.hex()}." if mailbox else "replies/")
        return {(match[1], match[2]): size for key, size in found.items() if (match := _KEY.fullmatch(key))}

    def _erase(self, names: Collection[Name]) -> None:
        self._objects.remove(_key(name) for name in names)
