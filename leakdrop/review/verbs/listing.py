"""`leakdrop-review list`: show the envelopes of a bundle, a line each."""

import argparse

from leakdrop.review.listing import list_envelopes
from leakdrop.review.verbs.arguments import Verbs, add_json, add_source, add_verb, key_options


def add(verbs: Verbs) -> None:
    verb = add_verb(
        verbs,
        "list",
        run,
        "show the envelopes of a bundle, a line each",
        "leakdrop-review list /media/stick/bundle --key ~/keys/Reviewers.key",
        "Opens no more of an envelope than tells what is in it. Ends with 1 if one does not open.",
    )
    add_source(verb)
    verb.add_argument("--sums", action="store_true", help="compare the SHA-256 sums, too: reads every byte")
    add_json(verb)


def run(given: argparse.Namespace) -> int:
    return list_envelopes(given.source, key_options(given), sums=given.sums, as_json=given.json)
