"""`leakdrop-review keygen`: make a new key."""

import argparse
from pathlib import Path

from leakdrop.review.keygen import make_key, parse_not_after
from leakdrop.review.verbs.arguments import Verbs, add_here, add_verb


def add(verbs: Verbs) -> None:
    verb = add_verb(
        verbs,
        "keygen",
        run,
        "make a new key",
        "leakdrop-review keygen Reviewers -o ~/keys --not-after 2027-06-30",
        "Makes NAME.key, which stays with you, and NAME.pub, which goes to the operator.",
    )
    verb.add_argument("name", metavar="NAME", help="the name that everybody will see")
    verb.add_argument(
        "-o", "--output", metavar="DIR", type=Path, default=Path(), help="where to write (default: here)"
    )
    verb.add_argument(
        "--not-after", metavar="YYYY-MM-DD", help="the last day on which anything is sealed to the key"
    )
    verb.add_argument("--passphrase-file", metavar="FILE", type=Path, help="read the passphrase from a file")
    add_here(verb)


def run(given: argparse.Namespace) -> int:
    return make_key(
        given.name,
        given.output,
        not_after=parse_not_after(given.not_after) if given.not_after else None,
        passphrase_file=given.passphrase_file,
        here=given.here,
    )
