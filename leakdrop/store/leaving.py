"""Which drops leave, and when. Why: docs/adr/0019.

A drop leaves some weeks after the week in which the reviewers' acknowledgement was taken, and without one
some weeks after the week in which it came. Each leaves up to some days later than that, never earlier: so
that what is gone does not tell the day on which something else happened. How many days follows from its
random name, so that the plan is the same whenever it is shown. When the disk is full, the operator can let
everything go at once that was acknowledged.
"""

import datetime
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.exc import DatabaseError
from sqlalchemy.orm import Session

from leakdrop.acknowledgement import Acknowledged
from leakdrop.errors import StoreError
from leakdrop.store.database import first_line
from leakdrop.store.drop import Drop, iso_week
from leakdrop.store.drops import Drops
from leakdrop.store.layout import ENVELOPE, lock_upkeep
from leakdrop.store.models import DropRow
from leakdrop.store.places import DropPlace
from leakdrop.store.settle import monday_after, remove_leftovers


@dataclass(frozen=True)
class Retention:
    """How long drops stay: weeks after an acknowledgement, weeks at most, and up to so many days more."""

    acknowledged_weeks: int
    at_most_weeks: int
    within_days: int


@dataclass(frozen=True)
class Leaving:
    """A drop that is due: the week of its acknowledgement, or None; the first day on which it may go."""

    drop: Drop
    acknowledged: str | None
    due: datetime.date


@dataclass(frozen=True)
class Taken:
    """What became of an acknowledgement: how many drops it counts for, how many had one already, how many
    differ from what was acknowledged, how many are not here (any more), how many cannot be read here."""

    acknowledged: int
    before: int
    differing: int
    absent: int
    unreadable: int = 0


@dataclass(frozen=True)
class Comparison:
    """An acknowledgement beside the drops: those that the reviewers hold as they are here, and the rest."""

    same: tuple[Drop, ...]
    before: int
    differing: int
    absent: int
    unreadable: int

    @property
    def taken(self) -> Taken:
        return Taken(len(self.same), self.before, self.differing, self.absent, self.unreadable)


def compare(drops: DropPlace, envelopes: Iterable[Acknowledged]) -> Comparison:
    """Which drops an acknowledgement names for the first time, and with the sum of their own bytes."""
    present = {f"{drop.name}{ENVELOPE}": drop for drop in drops.all()}
    weeks = _weeks_of_acknowledgement(drops)
    same: list[Drop] = []
    before = differing = absent = unreadable = 0
    for entry in envelopes:
        drop = present.get(entry.name)
        if drop is None:
            absent += 1
        elif weeks.get(drop.name):
            before += 1
        else:
            try:
                if _sum(drops, drop) == entry.sha256:
                    same.append(drop)
                else:
                    differing += 1
            except OSError:
                unreadable += 1
    return Comparison(tuple(same), before, differing, absent, unreadable)


def acknowledge(drops: DropPlace, envelopes: Iterable[Acknowledged], today: datetime.date) -> Taken:
    """Note the week in which drops were acknowledged. A drop whose bytes have another sum is not.

    Raises StoreError if nothing can be noted, as on a disk without a free byte.
    """
    found = compare(drops, envelopes)
    note(drops, found.same, today)
    return found.taken


def _sum(drops: DropPlace, drop: Drop) -> str:
    with drops.open(drop) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def note(drops: DropPlace, taken: Sequence[Drop], today: datetime.date) -> None:
    """Note this week as that of these drops' acknowledgement. Raises StoreError."""
    if not taken:
        return
    try:
        with Session(drops.engine) as session, session.begin():
            for drop in taken:
                # The file is the truth, and may have no row yet.
                session.merge(
                    DropRow(name=drop.name, size=drop.size, week=drop.week, acknowledged=iso_week(today))
                )
    except DatabaseError as error:
        raise StoreError(
            f"The acknowledgement cannot be noted: {first_line(error)}. If the disk is full, "
            "“leakdrop purge --acknowledged FILE --now --yes” makes room with it."
        ) from None
    drops.forget_order()


def _weeks_of_acknowledgement(drops: DropPlace) -> dict[str, str | None]:
    with Session(drops.engine) as session:
        query = select(DropRow.name, DropRow.acknowledged)
        return {name: week for name, week in session.execute(query)}


def plan_leaving(drops: DropPlace, retention: Retention, today: datetime.date) -> list[Leaving]:
    """The drops that are due on this day (UTC), those of older weeks first."""
    weeks = _weeks_of_acknowledgement(drops)
    leaving = [
        Leaving(drop, weeks.get(drop.name), compute_due(drop, weeks.get(drop.name), retention))
        for drop in drops.all()
    ]
    due = [one for one in leaving if one.due <= today]
    return sorted(due, key=lambda one: (one.drop.week, one.drop.name))


def plan_at_once(
    drops: DropPlace, taken: Iterable[Drop], retention: Retention, today: datetime.date
) -> list[Leaving]:
    """All that is acknowledged, however short a time ago, and these drops; due or not, older weeks first."""
    weeks = _weeks_of_acknowledgement(drops) | {drop.name: iso_week(today) for drop in taken}
    leaving = [
        Leaving(drop, week, compute_due(drop, week, retention))
        for drop in drops.all()
        if (week := weeks.get(drop.name))
    ]
    return sorted(leaving, key=lambda one: (one.drop.week, one.drop.name))


def compute_due(drop: Drop, acknowledged: str | None, retention: Retention) -> datetime.date:
    """The first day (UTC) on which a drop may leave. `acknowledged` is a week, or None."""
    first = monday_after(drop.week) + datetime.timedelta(weeks=retention.at_most_weeks)
    if acknowledged:
        first = min(
            first, monday_after(acknowledged) + datetime.timedelta(weeks=retention.acknowledged_weeks)
        )
    return first + datetime.timedelta(days=_days_of_chance(drop.name, retention.within_days))


def _days_of_chance(name: str, most: int) -> int:
    """0 to `most` days, by a drop's random name (16 bytes in hex)."""
    digest = hashlib.sha256(b"leakdrop/1 leave" + bytes.fromhex(name)).digest()
    return int.from_bytes(digest) % (most + 1)


def remove(drops: DropPlace, leaving: Iterable[Leaving]) -> int:
    """Remove drops for good, and return how many. Raises StoreError if another process settles or removes."""
    gone = [one.drop for one in leaving]
    if not isinstance(drops, Drops):
        drops.remove(gone)  # in an object store nothing settles
        return len(gone)
    with lock_upkeep(drops.layout):
        # A copy that a broken settling left would outlive its drop.
        remove_leftovers(drops)
        drops.remove(gone)
    return len(gone)
