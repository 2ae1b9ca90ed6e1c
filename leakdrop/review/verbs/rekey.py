"""`leakdrop-review rekey`: change a key's passphrase."""

import argparse
from pathlib import Path

from leakdrop.review.rekey import change_passphrase
from leakdrop.review.verbs.arguments import Verbs, add_verb


def add(verbs: Verbs) -> None:
    verb = add_verb(
        verbs,
        "rekey",
        run,
        "change a key's passphrase",
        "leakdrop-review rekey ~/keys/Reviewers.key",
        "The key stays the same. The old file is replaced when the new one has been proved to open.",
    )
    verb.add_argument("key", metavar="NAME.key", type=Path, help="a secret key")
    verb.add_argument(
        "--passphrase-file", metavar="FILE", type=Path, help="read the old passphrase from a file"
    )
    verb.add_argument(
        "--new-passphrase-file", metavar="FILE", type=Path, help="read the new passphrase from a file"
    )


def run(given: argparse.Namespace) -> int:
    return change_passphrase(
        given.key, passphrase_file=given.passphrase_file, new_passphrase_file=given.new_passphrase_file
    )
