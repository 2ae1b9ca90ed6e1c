"""`leakdrop import`: what the reviewers gave back, or the drops of another machine."""

import argparse
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path

from leakdrop.config import Config, load_config
from leakdrop.keyring import load_keyring
from leakdrop.operate.importing import Import, import_replies
from leakdrop.operate.moving import Mover
from leakdrop.operate.site import open_site
from leakdrop.operate.upkeep import retention_of, take_acknowledgement
from leakdrop.operate.verbs.arguments import Verbs, add_config, add_json, add_verb, today
from leakdrop.operate.verbs.purge import say_taken
from leakdrop.store.layout import Layout, lock_import
from leakdrop.store.leaving import plan_leaving
from leakdrop.terminal import Progress, count, encode_json, human_size, say, show_number, warn


def add(verbs: Verbs) -> None:
    verb = add_verb(
        verbs,
        "import",
        run,
        "take the replies and the acknowledgement in a bundle",
        "leakdrop import /media/stick/bundle",
    )
    add_config(verb)
    verb.add_argument("source", type=Path, metavar="SRC", help="the bundle, as the reviewers gave it back")
    verb.add_argument(
        "--drops",
        action="store_true",
        help="take the drops that another machine exported to the bundle, and nothing else",
    )
    add_json(verb)


def run(given: argparse.Namespace) -> int:
    config = load_config(given.config)
    if given.drops:
        return run_drops(config, given.source, as_json=given.json)
    done = take_replies(config, given.source)
    taken, problem = take_acknowledgement(config, given.source, today())
    if given.json:
        say(encode_json({**asdict(done), "acknowledgement": asdict(taken) if taken else None}))
    else:
        if taken:
            say_taken(taken, config)
        if done.present:
            say(f"{count(done.present, 'reply')} lay here already.")
        say(f"{count(done.taken, 'reply')} imported.")
    for refused in done.refused:
        warn(f"{refused.name} is left out: {refused.sentence}")
    if done.left:
        warn(
            f"{count(done.left, 'reply')} could not be removed from the stick: remove its folder “replies”, "
            "or what a source deletes comes back with the next import."
        )
    if problem:
        warn(problem)
    return 1 if done.refused or problem else 0


def take_replies(config: Config, source: Path) -> Import:
    with open_site(config) as drops:
        replies = drops.replies(config.reply_weeks)
        # In an object store rows and bounds hold by themselves.
        with nullcontext() if config.object_store_url else lock_import(Layout(config.data_dir)):
            replies.expire(today())
            return import_replies(
                replies.keep, source, lambda total: Progress(total, "Importing", show=show_number)
            )


def run_drops(config: Config, source: Path, *, as_json: bool) -> int:
    key_ids = load_keyring(config.keys_dir, today(), demo=config.demo).key_ids
    with open_site(config) as drops:
        done = Mover(drops, source, key_ids, today()).move(lambda total: Progress(total, "Importing"))
        due = {one.drop.name for one in plan_leaving(drops, retention_of(config), today())}
    leaving = len(due & {drop.name for drop in done.taken})
    if as_json:
        say(encode_json({**asdict(done), "taken": len(done.taken), "leaving": leaving}))
    else:
        if done.present:
            say(f"{count(done.present, 'drop')} lay here already.")
        say(f"{count(len(done.taken), 'drop')} imported ({human_size(done.bytes)}).")
    for refused in done.refused:
        warn(f"{refused.name} is left out: {refused.sentence}")
    if leaving:
        warn(f"{count(leaving, 'drop')} of these came so long ago that the next purge removes them.")
    return 1 if done.refused else 0
