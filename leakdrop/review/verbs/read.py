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
        "Characters that hide or move text are shown like ‹U+202E›.",
    )
    add_source(verb)
    add_json(verb)


def run(given: argparse.Namespace) -> int:
    return read_envelopes(given.source, key_options(given), as_json=given.json)
