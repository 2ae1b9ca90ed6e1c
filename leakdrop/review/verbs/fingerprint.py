"""`leakdrop-review fingerprint`: show what keys are told apart by."""

import argparse
from pathlib import Path

from leakdrop.review.keygen import show_fingerprints
from leakdrop.review.verbs.arguments import Verbs, add_json, add_verb


def add(verbs: Verbs) -> None:
    verb = add_verb(
        verbs,
        "fingerprint",
        run,
        "show what keys are told apart by",
        "leakdrop-review fingerprint ~/keys/*.pub",
        "Takes .pub and .key files. Compare fingerprints by voice, or on paper from hand to hand.",
    )
    verb.add_argument("files", metavar="FILE", nargs="+", type=Path, help="a .pub or a .key file")
    add_json(verb)


def run(given: argparse.Namespace) -> int:
    return show_fingerprints(given.files, as_json=given.json)
