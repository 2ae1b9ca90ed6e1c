"""`leakdrop manifest`: a list for the reviewers to sign."""

import argparse
from pathlib import Path

from leakdrop.config import load_config
from leakdrop.operate.verbs.arguments import Verbs, add_config, add_verb, today
from leakdrop.terminal import count, say


def add(verbs: Verbs) -> None:
    verb = add_verb(
        verbs,
        "manifest",
        run,
        "list the hashes of all that the site serves, for the reviewers to sign",
        "leakdrop manifest leakdrop.json --config /srv/leakdrop/config.toml",
    )
    add_config(verb)
    verb.add_argument("output", type=Path, metavar="FILE", help="the manifest to write")


def run(given: argparse.Namespace) -> None:
    # Here, since it renders the pages.
    from leakdrop.operate.manifest import make_manifest, write_manifest

    manifest = make_manifest(load_config(given.config), today())
    write_manifest(manifest, given.output)
    say(f"{given.output}: {count(len(manifest.days[0].pages), 'page')} of leakdrop {manifest.version}.")
    for day in manifest.days[1:]:
        say(f"From {day.since} on, when a key is used no more, the pages change, and are listed too.")
    say("Next: the reviewers sign it (leakdrop-review sign), and the configuration names it (manifest).")
