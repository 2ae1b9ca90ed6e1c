"""`leakdrop-review read`: show the messages, and the names of the files."""

import argparse

from leakdrop.review.listing import read_envelopes
from leakdrop.review.verbs.arguments import Verbs, add_json, add_source, add_verb, key_options


def add(verbs: Verbs) -> None:
    verb = add_verb(
        verbs,
        "read",
        run,
        "show the messages, and the names of the files",
        "leakdrop-review read /media/stick/bundle --key ~/keys/Reviewers.key",
        "Characters that hide or move text are shown like ‹U+202E›. Of very many files the first are named.\n"
        "At the end the SHA-256 sums are compared with bundle.json, which reads every byte; Ctrl-C stops\n"
        "that, and the texts are there before.",
    )
    add_source(verb)
    verb.add_argument("--all", action="store_true", help="show the names of all files, however many")
    add_json(verb)


def run(given: argparse.Namespace) -> int:
    return read_envelopes(given.source, key_options(given), every_name=given.all, as_json=given.json)
