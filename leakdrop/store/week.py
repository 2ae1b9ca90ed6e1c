"""The week that a data folder remembers: a leap of the clock alone deletes no drop. Why: docs/adr/0019.

    data/week       2026-W47: that of the latest upkeep whose clock could be right

Weeks are those of ISO 8601 (UTC).
"""

import datetime
import os
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from leakdrop.store.drop import Drop, iso_week, monday_of
from leakdrop.store.layout import Layout, is_full, sync_folder

# A machine may be off for so long. `check` warns as long before of what leaves without an acknowledgement.
MOST_WEEKS = 4
_WEEK = re.compile("[0-9]{4}-W[0-9]{2}")


@dataclass(frozen=True)
class Leap:
    """The clock shows a week far from the one that is remembered, or before it."""

    remembered: str
    shown: str


def recall_week(layout: Layout, drops: Iterable[Drop] = ()) -> str | None:
    """The week that is remembered; without one, that in which the newest of these drops came, if any did."""
    with suppress(FileNotFoundError):
        week = layout.week.read_text(errors="replace").strip()
        if _is_week(week):
            return week
    return max((drop.week for drop in drops), default=None)


def _is_week(text: str) -> bool:
    with suppress(ValueError, OverflowError):
        return bool(_WEEK.fullmatch(text) and monday_of(text))
    return False


def find_leap(layout: Layout, drops: Iterable[Drop], today: datetime.date) -> Leap | None:
    """Whether the clock has leapt since the week that is remembered."""
    remembered = recall_week(layout, drops)
    if remembered is None:
        return None
    between = monday_of(iso_week(today)) - monday_of(remembered)
    if datetime.timedelta() <= between <= datetime.timedelta(weeks=MOST_WEEKS):
        return None
    return Leap(remembered, iso_week(today))


def remember_week(layout: Layout, today: datetime.date) -> None:
    """Note the week of this day. A disk without a free byte only puts this off. Raises OSError."""
    if recall_week(layout) == iso_week(today):
        return
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        with os.fdopen(os.open(layout.week, flags, 0o600), "wb", buffering=0) as file:
            file.write(f"{iso_week(today)}\n".encode())
            os.utime(file.fileno(), ns=(0, 0))
            os.fsync(file.fileno())
        sync_folder(layout.root)
    except OSError as error:
        if not is_full(error):
            raise
