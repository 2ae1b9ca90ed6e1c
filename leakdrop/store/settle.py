"""Settling: drops are copied to new files, so that the file system forgets when and in which order they came.

    data/settling/<32 hex>.part     a copy that is being made
    data/settling/2026-W47          a mark: the drops of this week settle once more
    data/upkeep.lock                held by the one process that settles, removes or imports drops

A file's change time and birth time are exact and cannot be set, and inode numbers follow the order in which
files were made. Once a day the drops of the current week get new files, in random order; after the week, once
more: from then on they tell the day of that last settling, the same for the whole week. Why: docs/adr/0019.
A drop of that week which is imported later would stand apart from the others, so the week settles once more.

A server may be running: it only adds drops. A kill at any moment leaves each drop whole, under its name.
"""

import datetime
import os
import re
import secrets
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from random import SystemRandom
from typing import BinaryIO

from leakdrop.errors import StoreError
from leakdrop.store.drop import NAME_BYTES, Drop, monday_of
from leakdrop.store.drops import Drops
from leakdrop.store.layout import (
    PART,
    Layout,
    create_private,
    forget_times,
    is_full,
    lock_upkeep,
    sync_folder,
)

READ = 1024 * 1024
# Old files are kept open meanwhile, and a process may have some 1,024 of them.
BATCH = 256
_WEEK = re.compile("[0-9]{4}-W[0-9]{2}")


class UnreadableError(StoreError):
    """A drop cannot be read."""


@dataclass(frozen=True)
class Settled:
    """How many drops were settled, how many could not be for want of room, how many cannot be read."""

    drops: int
    waiting: int
    unreadable: int = 0


@dataclass
class _Left:
    """As in Settled, while it is counted."""

    waiting: int = 0
    unreadable: int = 0


def monday_after(week: str) -> datetime.date:
    """The first day after an ISO week (2026-W47)."""
    return monday_of(week) + datetime.timedelta(weeks=1)


def needs_settling(drop: Drop, changed: datetime.date) -> bool:
    """Whether a drop's file, which changed on that day (UTC), still tells more than its week."""
    return changed < monday_after(drop.week)


def day_of_change(path: Path | os.DirEntry[str]) -> datetime.date:
    return datetime.datetime.fromtimestamp(path.stat().st_ctime, datetime.UTC).date()


def settle(drops: Drops) -> Settled:
    """Settle what needs it. Raises StoreError if another process settles or removes drops."""
    layout = drops.layout
    with lock_upkeep(layout):
        remove_leftovers(drops)
        marks = find_marks(layout)
        due = [drop for drop in drops.all() if drop.week in marks or _is_due(layout, drop)]
        SystemRandom().shuffle(due)
        left = _Left()
        for start in range(0, len(due), BATCH):
            _renew_all(layout, due[start : start + BATCH], left)
        if not left.waiting:
            for mark in marks.values():
                mark.unlink()
        # The folders and the database changed when the last drop came. Now they changed when it settled.
        for path in (layout.drops, layout.incoming, layout.uploads, layout.replies, layout.settling):
            forget_times(path)
        drops.forget_order()
    return Settled(len(due) - left.waiting - left.unreadable, left.waiting, left.unreadable)


def remove_leftovers(drops: Drops) -> None:
    """Remove the copies and the rows that a kill left behind. Only for whoever holds the upkeep."""
    layout = drops.layout
    try:
        layout.settling.mkdir(mode=0o700, exist_ok=True)
        for path in layout.settling.glob(f"*{PART}"):
            path.unlink()
    except OSError as error:
        raise StoreError(f"The data folder {layout.root}: {error.strerror}.") from None
    drops.forget_gone()


def mark_week(layout: Layout, week: str) -> None:
    """Have the drops of a week settle once more, whether or not it is over."""
    layout.mark(week).touch(mode=0o600)
    forget_times(layout.mark(week))
    sync_folder(layout.settling)


def find_marks(layout: Layout) -> dict[str, Path]:
    """The weeks that are to settle once more, and their marks."""
    paths = layout.settling.iterdir() if layout.settling.is_dir() else ()
    return {path.name: path for path in paths if _WEEK.fullmatch(path.name)}


def _is_due(layout: Layout, drop: Drop) -> bool:
    with suppress(FileNotFoundError):  # it has left meanwhile
        return needs_settling(drop, day_of_change(layout.drop(drop.name)))
    return False


def _renew_all(layout: Layout, drops: list[Drop], left: _Left) -> None:
    """Give each drop a new file, and count those for which there was no room, or that cannot be read.

    All new files are made before anything is written, and the old ones are kept open: otherwise a drop would
    get the inode and the blocks that the one before it had left, and the old order could be read off.
    """
    copies = [layout.copy(secrets.token_hex(NAME_BYTES)) for _ in drops]
    with ExitStack() as old_files, ExitStack() as new_files:
        prepared = []
        for copy in copies:
            new_files.callback(copy.unlink, missing_ok=True)
            prepared.append(new_files.enter_context(create_private(copy)))
        for drop, copy, file in zip(drops, copies, prepared, strict=True):
            path = layout.drop(drop.name)
            try:
                if not _renew(path, copy, file, old_files):
                    # What the old files hold may be the room that is missing.
                    old_files.close()
                    left.waiting += not _renew(path, copy, file, old_files)
            except UnreadableError:
                left.unreadable += 1  # one bad sector must not keep the others' times


def _renew(path: Path, copy: Path, file: BinaryIO, old_files: ExitStack) -> bool:
    """Copy a drop to its new file, and put that in its place. False if there is no room.

    Raises UnreadableError, and OSError if the new file cannot be written.
    """
    try:
        old = path.open("rb", buffering=0)
    except FileNotFoundError:
        return True
    except OSError:
        raise UnreadableError from None
    old_files.enter_context(old)
    try:
        _write(old, file)
    except OSError as error:
        if is_full(error):
            file.truncate(0)
            return False
        raise
    if _is_still(path, old):
        copy.rename(path)
        sync_folder(path.parent)
    return True


def _write(old: BinaryIO, new: BinaryIO) -> None:
    """Copy all bytes durably; the new file's times of reading and writing say nothing.

    Raises UnreadableError, and OSError if the new file cannot be written.
    """
    new.seek(0)
    while piece := _read(old):
        rest = memoryview(piece)
        while rest:
            rest = rest[new.write(rest) :]
    os.utime(new.fileno(), ns=(0, 0))
    os.fsync(new.fileno())
    # What was copied is not needed in memory, where it would push out what is.
    for file in (old, new):
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _read(old: BinaryIO) -> bytes:
    try:
        return old.read(READ)
    except OSError:
        raise UnreadableError from None


def _is_still(path: Path, old: BinaryIO) -> bool:
    """Whether the file that was copied is still there: somebody may have removed it by hand."""
    with suppress(FileNotFoundError):
        return os.path.samestat(path.stat(), os.fstat(old.fileno()))
    return False
