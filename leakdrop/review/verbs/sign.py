"""`leakdrop-review sign`: vouch for what the site serves."""

import argparse
from pathlib import Path

from leakdrop.review.sign import sign
from leakdrop.review.verbs.arguments import Verbs, add_verb


def add(verbs: Verbs) -> None:
    verb = add_verb(
        verbs,
        "sign",
        run,
        "vouch for what the site serves",
        "leakdrop-review sign /media/stick/leakdrop.json --key ~/keys/Reviewers.key",
        "Writes the signature beside the manifest. Before, compare its SHA-256 (sha256sum), by voice, with\n"
        "that of one which somebody whom you trust made elsewhere, on the same day, with a copy of the\n"
        "site's configuration and keys. A laptop without the server's part cannot make one.",
    )
    verb.add_argument("manifest", metavar="MANIFEST", type=Path, help="what “leakdrop manifest” wrote")
    verb.add_argument(
        "--key", metavar="NAME.key", type=Path, required=True, help="the secret key to sign with"
    )
    verb.add_argument(
        "--passphrase-file",
        metavar="FILE",
        type=Path,
        action="append",
        default=[],
        help="read the passphrase from a file",
    )


def run(given: argparse.Namespace) -> int:
    return sign(given.manifest, given.key, tuple(given.passphrase_file))
