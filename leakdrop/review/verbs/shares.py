"""`leakdrop-review shares`: split a key for keeping on paper."""

import argparse
from pathlib import Path

from leakdrop.review.backup import make_shares
from leakdrop.review.verbs.arguments import Verbs, add_here, add_verb


def add(verbs: Verbs) -> None:
    verb = add_verb(
        verbs,
        "shares",
        run,
        "split a key for keeping on paper",
        "leakdrop-review shares ~/keys/Reviewers.key --need 2 --of 3",
        "Shows shares of 33 words each, to be written down by hand. Any K of them restore the key, without\n"
        "its passphrase; fewer tell nothing.",
    )
    verb.add_argument("key", metavar="NAME.key", type=Path, help="a secret key")
    verb.add_argument("--need", metavar="K", type=int, default=2, help="how many restore it (default: 2)")
    verb.add_argument("--of", metavar="N", type=int, default=3, help="how many are made (default: 3)")
    verb.add_argument("-o", "--output", metavar="DIR", type=Path, help="write a file each, to be printed")
    verb.add_argument("--passphrase-file", metavar="FILE", type=Path, help="read the passphrase from a file")
    add_here(verb)


def run(given: argparse.Namespace) -> int:
    return make_shares(
        given.key,
        need=given.need,
        number=given.of,
        folder=given.output,
        passphrase_file=given.passphrase_file,
        here=given.here,
    )
