"""`leakdrop export`: drops to a bundle on a stick."""

import argparse
from dataclasses import asdict
from pathlib import Path

from leakdrop.config import load_config
from leakdrop.operate.export import export
from leakdrop.operate.site import open_site
from leakdrop.operate.verbs.arguments import Verbs, add_config, add_json, add_verb
from leakdrop.store.owner import as_caller
from leakdrop.terminal import Progress, count, encode_json, human_size, say, warn


def add(verbs: Verbs) -> None:
    verb = add_verb(verbs, "export", run, "copy new drops to a bundle", "leakdrop export /media/stick/bundle")
    add_config(verb)
    verb.add_argument(
        "dest", type=Path, metavar="DEST", help="the bundle: a folder, new or exported to before"
    )
    add_json(verb)
    verb.add_argument("--verify", action="store_true", help="read all that lies there already, and compare")


def run(given: argparse.Namespace) -> int:
    config = load_config(given.config)
    with open_site(config) as drops, as_caller():
        done = export(drops, given.dest, lambda total: Progress(total, "Copying"), verify=given.verify)
    if given.json:
        say(encode_json(asdict(done)))
    else:
        if done.present:
            say(f"{count(done.present, 'drop')} lay there already.")
        say(f"{count(done.copied, 'drop')} copied ({human_size(done.bytes)}), read back and compared.")
        say(f"The bundle is {given.dest}: take it to the reviewers.")
    for name in done.unreadable:
        warn(f"{name} is not copied: this server's disk does not give it whole. All others are.")
    return 1 if done.unreadable else 0
