"""The command `leakdrop-review`: its arguments. Each verb is one function elsewhere."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

from leakdrop.review.extract import extract
from leakdrop.review.keygen import make_key, parse_not_after, show_fingerprints
from leakdrop.review.keys import KeyOptions
from leakdrop.review.listing import list_envelopes, read_envelopes
from leakdrop.review.sign import sign
from leakdrop.terminal import CommandParser, run_command

PROGRAM = "leakdrop-review"

Verbs: TypeAlias = "argparse._SubParsersAction[CommandParser]"

DESCRIPTION = "Open what was handed over, on a machine without a network."
EXAMPLES = """\
examples:
  leakdrop-review keygen Reviewers -o ~/keys --not-after 2027-06-30
  leakdrop-review fingerprint ~/keys/*.pub
  leakdrop-review list /media/stick/bundle --key ~/keys/Reviewers.key
  leakdrop-review read /media/stick/bundle --key ~/keys/Reviewers.key
  leakdrop-review extract /media/stick/bundle --key ~/keys/Reviewers.key -o ~/opened
  leakdrop-review sign /media/stick/leakdrop.json --key ~/keys/Reviewers.key

“leakdrop-review VERB --help” tells more of one verb.
"""


def main() -> int:
    return run_command(lambda: review_command(sys.argv[1:]), PROGRAM)


def review_command(arguments: Sequence[str]) -> int:
    """Do what the arguments ask for, and return the exit code. Raises LeakdropError and OSError."""
    args = make_parser().parse_args(arguments)
    run: Callable[[argparse.Namespace], int] = args.run
    return run(args)


def make_parser() -> CommandParser:
    parser = CommandParser(prog=PROGRAM, description=DESCRIPTION, epilog=EXAMPLES)
    verbs = parser.add_subparsers(metavar="VERB", required=True)
    for add in (_add_keygen, _add_fingerprint, _add_list, _add_read, _add_extract, _add_sign):
        add(verbs)
    return parser


def _add_keygen(verbs: Verbs) -> None:
    verb = _add_verb(
        verbs,
        "keygen",
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
    _add_here(verb)
    verb.set_defaults(
        run=lambda args: make_key(
            args.name,
            args.output,
            not_after=parse_not_after(args.not_after) if args.not_after else None,
            passphrase_file=args.passphrase_file,
            here=args.here,
        )
    )


def _add_fingerprint(verbs: Verbs) -> None:
    verb = _add_verb(
        verbs,
        "fingerprint",
        "show what keys are told apart by",
        "leakdrop-review fingerprint ~/keys/*.pub",
        "Takes .pub and .key files. Compare fingerprints by voice, or on paper from hand to hand.",
    )
    verb.add_argument("files", metavar="FILE", nargs="+", type=Path, help="a .pub or a .key file")
    _add_json(verb)
    verb.set_defaults(run=lambda args: show_fingerprints(args.files, as_json=args.json))


def _add_list(verbs: Verbs) -> None:
    verb = _add_verb(
        verbs,
        "list",
        "show the envelopes of a bundle, a line each",
        "leakdrop-review list /media/stick/bundle --key ~/keys/Reviewers.key",
        "Opens no more of an envelope than tells what is in it. Ends with 1 if one does not open.",
    )
    _add_source(verb)
    _add_json(verb)
    verb.set_defaults(run=lambda args: list_envelopes(args.source, _key_options(args), as_json=args.json))


def _add_read(verbs: Verbs) -> None:
    verb = _add_verb(
        verbs,
        "read",
        "show the messages, and the names of the files",
        "leakdrop-review read /media/stick/bundle --key ~/keys/Reviewers.key",
        "Characters that hide or move text are shown like ‹U+202E›.",
    )
    _add_source(verb)
    _add_json(verb)
    verb.set_defaults(run=lambda args: read_envelopes(args.source, _key_options(args), as_json=args.json))


def _add_extract(verbs: Verbs) -> None:
    verb = _add_verb(
        verbs,
        "extract",
        "write the files, under safe names",
        "leakdrop-review extract /media/stick/bundle --key ~/keys/Reviewers.key -o ~/opened",
        "Each envelope becomes a folder with its files, message.txt and manifest.json, which has the real\n"
        "names and the SHA-256 sums. Nothing is overwritten; to go on after a stop, give the command again.",
    )
    _add_source(verb)
    verb.add_argument(
        "-o", "--output", metavar="DIR", type=Path, required=True, help="the folder to write into"
    )
    _add_here(verb)
    _add_json(verb)
    verb.set_defaults(
        run=lambda args: extract(
            args.source, args.output, _key_options(args), here=args.here, as_json=args.json
        )
    )


def _add_sign(verbs: Verbs) -> None:
    verb = _add_verb(
        verbs,
        "sign",
        "vouch for what the site serves",
        "leakdrop-review sign /media/stick/leakdrop.json --key ~/keys/Reviewers.key",
        "Writes the signature beside the manifest. Make the manifest yourself, with a copy of the site's\n"
        "configuration and keys, or compare its SHA-256 with one that you made.",
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
    verb.set_defaults(run=lambda args: sign(args.manifest, args.key, tuple(args.passphrase_file)))


def _add_verb(verbs: Verbs, name: str, purpose: str, example: str, description: str) -> CommandParser:
    verb: CommandParser = verbs.add_parser(
        name, help=purpose, description=description, epilog=f"example:\n  {example}\n"
    )
    return verb


def _add_source(verb: CommandParser) -> None:
    """What is opened, and with which keys."""
    verb.add_argument(
        "source", metavar="BUNDLE|ENVELOPE", type=Path, help="a bundle's folder, or one envelope"
    )
    verb.add_argument(
        "--key",
        metavar="NAME.key",
        type=Path,
        action="append",
        required=True,
        help="a secret key to open with; may be given several times",
    )
    verb.add_argument(
        "--known", metavar="DIR", type=Path, help="a folder with the .pub files of keys that you know"
    )
    verb.add_argument(
        "--passphrase-file",
        metavar="FILE",
        type=Path,
        action="append",
        default=[],
        help="read the passphrase from a file: one for all keys, or one for each --key in order",
    )


def _key_options(args: argparse.Namespace) -> KeyOptions:
    return KeyOptions(tuple(args.key), args.known, tuple(args.passphrase_file))


def _add_here(verb: CommandParser) -> None:
    verb.add_argument("--here", action="store_true", help="write even where a bundle lies")


def _add_json(verb: CommandParser) -> None:
    verb.add_argument("--json", action="store_true", help="print JSON, for programs")
