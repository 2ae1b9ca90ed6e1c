"""`leakdrop settle` and `leakdrop purge`: what is done every day, so that the machine keeps less.

A timer runs both, and its journal keeps what they say with the time. So they say nothing there: how many
drops were settled on which day would tell when they came.
"""

import datetime
from collections import Counter
from dataclasses import asdict
from pathlib import Path

from leakdrop.acknowledgement import load_acknowledgement
from leakdrop.bundle import ACKNOWLEDGEMENT_NAME
from leakdrop.config import Config
from leakdrop.errors import BundleError
from leakdrop.store.drops import Drops
from leakdrop.store.layout import as_owner
from leakdrop.store.leaving import Leaving, Retention, Taken, acknowledge, plan_leaving, remove
from leakdrop.store.places import open_drops
from leakdrop.store.settle import settle
from leakdrop.terminal import count, encode_json, human_size, say, warn


def settle_drops(config: Config, today: datetime.date) -> None:
    """Delete the replies that have waited long enough, and settle the drops. Raises StoreError.

    In an object store nothing can be settled: docs/scaling.md.
    """
    with as_owner(config.data_dir):
        _settle(config, today)


def _settle(config: Config, today: datetime.date) -> None:
    with open_drops(config) as place:
        place.replies(config.reply_weeks).expire(today)
    if config.object_store_url:
        return
    with Drops(config.data_dir, database_url=config.database_url) as drops:
        settled = settle(drops)
    if settled.waiting:
        warn("Not every drop could be settled: the disk has too little room for a copy. Make room.")


def purge(
    config: Config, today: datetime.date, acknowledged: Path | None, *, yes: bool, quiet: bool, as_json: bool
) -> None:
    """Take an acknowledgement, if there is one; show what is due to leave, and with `yes` remove it.

    Raises BundleError, and StoreError if another process settles or removes drops.
    """
    retention = Retention(config.keep_acknowledged_weeks, config.keep_at_most_weeks, config.leave_within_days)
    # A stick may be readable for root alone.
    envelopes = load_acknowledgement(acknowledged) if acknowledged else None
    with as_owner(config.data_dir), open_drops(config) as drops:
        taken = None if envelopes is None else acknowledge(drops, envelopes, today)
        leaving = plan_leaving(drops, retention, today)
        if yes:
            remove(drops, leaving)
    if as_json:
        say(encode_json(_describe(taken, leaving, removed=yes)))
    elif not quiet:
        if taken:
            say_taken(taken, config)
        _say_leaving(leaving, removed=yes)


def take_acknowledgement(config: Config, folder: Path, today: datetime.date) -> tuple[Taken | None, str]:
    """Take the acknowledgement that lies in a bundle, if one does; or why it is not taken."""
    if not (folder / ACKNOWLEDGEMENT_NAME).exists():
        return None, ""
    try:
        envelopes = load_acknowledgement(folder)
    except BundleError as error:
        return None, str(error)
    with as_owner(config.data_dir), open_drops(config) as drops:
        return acknowledge(drops, envelopes, today), ""


def _describe(taken: Taken | None, leaving: list[Leaving], *, removed: bool) -> dict[str, object]:
    return {
        "acknowledgement": asdict(taken) if taken else None,
        "removed": removed,
        "drops": [
            {
                "name": one.drop.name,
                "size": one.drop.size,
                "week": one.drop.week,
                "acknowledged": one.acknowledged,
                "due": one.due.isoformat(),
            }
            for one in leaving
        ],
    }


def say_taken(taken: Taken, config: Config) -> None:
    """What became of an acknowledgement."""
    weeks = count(config.keep_acknowledged_weeks, "week")
    say(f"{count(taken.acknowledged, 'drop')} acknowledged: to leave {weeks} after this one.")
    if taken.before:
        say(f"{count(taken.before, 'drop')} had been acknowledged before.")
    if taken.absent:
        say(f"{count(taken.absent, 'envelope')} not here, or not any more.")
    if taken.differing:
        warn(
            f"{count(taken.differing, 'drop')} not as acknowledged: the reviewers hold other bytes. "
            "Nothing is noted for them; export them again."
        )


def _say_leaving(leaving: list[Leaving], *, removed: bool) -> None:
    if not leaving:
        say("No drop is due to leave.")
        return
    sizes: Counter[tuple[str, bool]] = Counter()
    numbers: Counter[tuple[str, bool]] = Counter()
    for one in leaving:
        group = (one.drop.week, one.acknowledged is not None)
        numbers[group] += 1
        sizes[group] += one.drop.size
    for group in sorted(numbers):
        week, is_acknowledged = group
        why = "acknowledged" if is_acknowledged else "NEVER ACKNOWLEDGED"
        say(f"  {week}: {count(numbers[group], 'drop')} ({human_size(sizes[group])}), {why}")
    if not all(one.acknowledged for one in leaving):
        warn("Some have never been acknowledged: ask the reviewers whether they have them.")
    if removed:
        say(f"{count(len(leaving), 'drop')} removed for good.")
    else:
        say("Nothing was removed. To remove them: leakdrop purge --yes")
