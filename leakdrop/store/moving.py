"""Drops of another machine come in, each under its own name and with its own week. Why so: docs/adr/0029.

    data/settling/<32 hex>.part     a drop that is being copied
    data/settling/2026-W47          a mark: the drops of this week settle once more

A copy is made durable, then its row is written, then it gets its name among the drops. So after a kill at any
moment a drop is here with its week, or not here. The copy or the row that is left then goes with the next
import, or with the daily settling.
"""

import secrets
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

from sqlalchemy.exc import DatabaseError

from leakdrop.errors import LeakdropError, NoRoomError, StoreError
from leakdrop.store.database import first_line
from leakdrop.store.drop import NAME_BYTES, Drop
from leakdrop.store.drops import Drops
from leakdrop.store.layout import forget_times, lock_upkeep, sync_folder
from leakdrop.store.settle import mark_week, remove_leftovers
from leakdrop.store.writing import Incoming


class NameTakenError(LeakdropError):
    """Something else has its name here: look at it with “leakdrop check”."""


# Makes the bytes in some pieces this drop. What the pieces raise leaves nothing behind.
Bring: TypeAlias = Callable[[Drop, Iterable[bytes]], None]


@contextmanager
def moving(drops: Drops) -> Iterator[Bring]:
    """Hold the upkeep, and take in drops; a server may be running.

    A drop that was brought survives a crash at any moment. Raises StoreError if another process settles,
    removes or imports drops. Bringing raises NameTakenError, NoRoomError, StoreError and OSError.
    """
    with lock_upkeep(drops.layout):
        remove_leftovers(drops)
        # Of what is here already it is told that it is safe.
        sync_folder(drops.layout.drops)
        weeks = {drop.week for drop in drops.all()}

        def bring(drop: Drop, pieces: Iterable[bytes]) -> None:
            # Those that were here before have settled without it, and would stand apart from it.
            if drop.week in weeks:
                mark_week(drops.layout, drop.week)
            _bring(drops, drop, pieces)

        try:
            yield bring
        finally:
            drops.forget_order()


def _bring(drops: Drops, drop: Drop, pieces: Iterable[bytes]) -> None:
    path = drops.path(drop)
    if path.exists() or path.is_symlink():
        raise NameTakenError
    if not drops.has_room(drop.size):
        raise NoRoomError
    copy = Incoming(drops.layout.copy(secrets.token_hex(NAME_BYTES)), drop.size, drops.may_grow)
    try:
        for piece in pieces:
            copy.write(piece)
        copy.sync()
        try:
            drops.add_rows([drop])
        except DatabaseError as error:
            # Without its row the drop would be one of this week.
            raise StoreError(f"The database cannot be written: {first_line(error)}.") from None
        copy.path.rename(path)
        sync_folder(drops.layout.drops)
    finally:
        copy.close()
        copy.path.unlink(missing_ok=True)
        forget_times(drops.layout.settling)
