"""`leakdrop-review restore`: make a key of its shares."""

import argparse
from pathlib import Path

from leakdrop.review.backup import restore_key
from leakdrop.review.verbs.arguments import Verbs, add_here, add_verb


def add(verbs: Verbs) -> None:
    verb = add_verb(
        verbs,
        "restore",
        run,
        "make a key of its shares",
        "leakdrop-review restore Reviewers -o ~/keys --pub Reviewers.pub",
        "Asks for the words, or reads them from files, and makes NAME.key with a new passphrase.",
    )
    verb.add_argument("name", metavar="NAME", help="the name of the new file, without “.key”")
    verb.add_argument(
        "--share",
        metavar="FILE",
        type=Path,
        nargs="+",
        action="extend",
        default=[],
        help="files with a share each",
    )
    verb.add_argument("--pub", metavar="NAME.pub", type=Path, help="refuse any key but that of this file")
    verb.add_argument(
        "-o", "--output", metavar="DIR", type=Path, default=Path(), help="where to write (default: here)"
    )
    verb.add_argument(
        "--passphrase-file", metavar="FILE", type=Path, help="read the new passphrase from a file"
    )
    add_here(verb)


def run(given: argparse.Namespace) -> int:
    return restore_key(
        given.name,
        given.output,
        sheets=given.share,
        public=given.pub,
        passphrase_file=given.passphrase_file,
        here=given.here,
    )
