"""What a drop is, wherever its envelope lies: in a data folder, or where several machines share them."""

import datetime
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

NAME_BYTES = 16


@dataclass(frozen=True)
class Drop:
    """One stored envelope: its random name (32 hex digits), size in bytes, ISO week (UTC)."""

    name: str
    size: int
    week: str


@dataclass(frozen=True)
class Week:
    """How many drops came in an ISO week, and how many bytes they have together."""

    week: str
    drops: int
    bytes: int


@dataclass(frozen=True)
class Recovery:
    """What a start found: names of files that got a row, that were removed, that are no envelopes."""

    listed: tuple[str, ...]
    removed: tuple[str, ...]
    foreign: tuple[str, ...]


def weigh(drops: Iterable[Drop]) -> list[Week]:
    """How many of some drops came in each week."""
    sizes = defaultdict(list)
    for drop in drops:
        sizes[drop.week].append(drop.size)
    return [Week(week, len(sizes[week]), sum(sizes[week])) for week in sorted(sizes)]


def iso_week(day: datetime.date) -> str:
    """The ISO 8601 week of a day, as in 2026-W47."""
    year, week, _ = day.isocalendar()
    return f"{year}-W{week:02}"


def monday_of(week: str) -> datetime.date:
    """The first day of an ISO week (2026-W47). Raises ValueError, OverflowError if there is no such week."""
    year, _, number = week.partition("-W")
    return datetime.date.fromisocalendar(int(year), int(number), 1)


def this_week() -> str:
    return iso_week(datetime.datetime.now(datetime.UTC).date())
