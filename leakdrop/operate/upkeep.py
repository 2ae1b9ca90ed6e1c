"""`leakdrop settle` and `leakdrop purge`: what is done every day, so that the machine keeps less."""

import datetime
from dataclasses import dataclass
from pathlib import Path

from leakdrop.acknowledgement import load_acknowledgement
from leakdrop.bundle import ACKNOWLEDGEMENT_NAME
from leakdrop.config import Config
from leakdrop.errors import BundleError, StoreError
from leakdrop.operate.site import open_site
from leakdrop.store.drops import Drops
from leakdrop.store.layout import Layout
from leakdrop.store.leaving import (
    Leaving,
    Retention,
    Taken,
    acknowledge,
    compare,
    note,
    plan_at_once,
    plan_leaving,
    remove,
)
from leakdrop.store.settle import Settled, settle
from leakdrop.store.week import Leap, find_leap, remember_week


@dataclass(frozen=True)
class Purge:
    """What became of an acknowledgement, if there was one; which drops leave or have left; and how the clock
    has leapt, if it has."""

    taken: Taken | None
    leaving: list[Leaving]
    leap: Leap | None


def settle_drops(config: Config, today: datetime.date) -> Settled:
    """Delete the replies that have waited long enough, and settle the drops. Raises StoreError.

    In an object store nothing can be settled: docs/scaling.md.
    """
    with open_site(config) as drops:
        drops.replies(config.reply_weeks).expire(today)
        return settle(drops) if isinstance(drops, Drops) else Settled(0, 0)


def retention_of(config: Config) -> Retention:
    return Retention(config.keep_acknowledged_weeks, config.keep_at_most_weeks, config.leave_within_days)


def purge(
    config: Config,
    today: datetime.date,
    acknowledged: Path | None,
    *,
    yes: bool,
    now: bool = False,
    attended: bool = True,
) -> Purge:
    """Take an acknowledgement, if there is one; find what is due to leave, and with `yes` remove it.

    With `now` all that is acknowledged leaves, due or not. If the clock has leapt, only somebody who attends
    removes what was never acknowledged, and by that says that the clock is right. Raises BundleError, and
    StoreError if another process settles or removes drops.
    """
    layout = Layout(config.data_dir)
    # A stick may be readable for root alone.
    envelopes = load_acknowledgement(acknowledged) if acknowledged else ()
    with open_site(config) as drops:
        found = compare(drops, envelopes)
        if not (now and yes):  # then they are gone; and a full disk could take no note
            note(drops, found.same, today)
        retention = retention_of(config)
        leaving = (
            plan_at_once(drops, found.same, retention, today)
            if now
            else plan_leaving(drops, retention, today)
        )
        leap = find_leap(layout, drops.all(), today)
        doubts = leap is not None and not attended
        if doubts:
            leaving = [one for one in leaving if one.acknowledged]
        if yes:
            remove(drops, leaving)
            if not doubts:
                remember_week(layout, today)
    return Purge(found.taken if acknowledged else None, leaving, leap)


def take_acknowledgement(config: Config, folder: Path, today: datetime.date) -> tuple[Taken | None, str]:
    """Take the acknowledgement that lies in a bundle, if one does; or why it is not taken."""
    if not (folder / ACKNOWLEDGEMENT_NAME).exists():
        return None, ""
    try:
        envelopes = load_acknowledgement(folder)
    except BundleError as error:
        return None, str(error)
    with open_site(config) as drops:
        try:
            return acknowledge(drops, envelopes, today), ""
        except StoreError as error:
            return None, str(error)
