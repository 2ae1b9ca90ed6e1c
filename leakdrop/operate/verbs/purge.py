"""`leakdrop purge`: which drops are due to leave, and their removal."""

import argparse
from collections import Counter
from dataclasses import asdict
from pathlib import Path

from leakdrop.config import Config, load_config
from leakdrop.operate.upkeep import Purge, purge
from leakdrop.operate.verbs.arguments import Verbs, add_config, add_json, add_verb, today
from leakdrop.store.leaving import Leaving, Taken
from leakdrop.store.week import Leap
from leakdrop.terminal import count, encode_json, human_size, say, warn


def add(verbs: Verbs) -> None:
    verb = add_verb(
        verbs,
        "purge",
        run,
        "show which drops are due to leave, and remove them with --yes",
        "leakdrop purge --acknowledged /media/stick/bundle",
        "Drops leave some weeks after the reviewers' acknowledgement, and without one some weeks later.",
    )
    add_config(verb)
    verb.add_argument("--acknowledged", type=Path, metavar="FILE",
                      help="take the reviewers' acknowledgement first: the file, or its bundle")  # fmt: skip
    verb.add_argument("--now", action="store_true",
                      help="all that is acknowledged, due or not: for a disk that is full")  # fmt: skip
    verb.add_argument("--yes", action="store_true", help="remove what is shown")
    verb.add_argument("--quiet", action="store_true",
                      help="for a timer: say nothing that a journal should not keep, and after a leap of the "
                      "clock leave what was never acknowledged")  # fmt: skip
    add_json(verb)


def run(given: argparse.Namespace) -> None:
    config = load_config(given.config)
    attended = not given.quiet
    done = purge(config, today(), given.acknowledged, yes=given.yes, now=given.now, attended=attended)
    if done.leap and not (given.yes and attended):
        _warn_of_leap(done.leap, attended=attended)
    if given.json:
        say(encode_json(_describe(done, removed=given.yes)))
    elif attended:
        if done.taken:
            say_taken(done.taken, config, now=given.now)
        _say_leaving(done.leaving, removed=given.yes, now=given.now)


def _warn_of_leap(leap: Leap, *, attended: bool) -> None:
    """Weeks only: a journal keeps it."""
    what = f"The clock shows {leap.shown}, and the last upkeep was in {leap.remembered}"
    if attended:
        warn(f"{what}: is today’s date right? If it is not, set the clock before you add --yes.")
    else:
        warn(
            f"{what}: what was never acknowledged stays. Set the clock; if it is right, "
            "“leakdrop purge --yes” says so."
        )


def _describe(done: Purge, *, removed: bool) -> dict[str, object]:
    return {
        "acknowledgement": asdict(done.taken) if done.taken else None,
        "leap": asdict(done.leap) if done.leap else None,
        "removed": removed,
        "drops": [
            {
                "name": one.drop.name,
                "size": one.drop.size,
                "week": one.drop.week,
                "acknowledged": one.acknowledged,
                "due": one.due.isoformat(),
            }
            for one in done.leaving
        ],
    }


def say_taken(taken: Taken, config: Config, *, now: bool = False) -> None:
    """What became of an acknowledgement."""
    weeks = count(config.keep_acknowledged_weeks, "week")
    when = "." if now else f": to leave {weeks} after this one."
    say(f"{count(taken.acknowledged, 'drop')} acknowledged{when}")
    if taken.before:
        say(f"{count(taken.before, 'drop')} had been acknowledged before.")
    if taken.absent:
        say(f"{count(taken.absent, 'envelope')} not here, or not any more.")
    if taken.unreadable:
        warn(
            f"{count(taken.unreadable, 'drop')} cannot be read here, and so not compared with what the "
            "reviewers hold. Nothing is noted for them."
        )
    if taken.differing:
        warn(
            f"{count(taken.differing, 'drop')} not as acknowledged: the reviewers hold other bytes. "
            "Nothing is noted for them; export them again."
        )


def _say_leaving(leaving: list[Leaving], *, removed: bool, now: bool) -> None:
    if not leaving:
        say("No drop is acknowledged." if now else "No drop is due to leave.")
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
        return
    if now:
        say("Ask the reviewers whether they hold as many: nobody signs an acknowledgement.")
    say("Nothing was removed. To remove them, add --yes.")
