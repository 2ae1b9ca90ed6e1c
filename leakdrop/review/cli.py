"""The command `leakdrop-review`: its arguments. Each verb is one function elsewhere."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

from leakdrop.review.acknowledge import acknowledge
from leakdrop.review.backup import make_shares, restore_key
from leakdrop.review.extract import extract
from leakdrop.review.keygen import make_key, parse_not_after, show_fingerprints
from leakdrop.review.keys import KeyOptions
from leakdrop.review.listing import list_envelopes, read_envelopes
from leakdrop.review.rekey import change_passphrase
from leakdrop.review.reply import Text, reply
from leakdrop.review.report import report
from leakdrop.review.sign import sign
from leakdrop.review.verify import verify
from leakdrop.review.viewer.verbs import play, view
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
  leakdrop-review reply /media/stick/bundle --name 3f0c91ab --key ~/keys/Reviewers.key --received
  leakdrop-review report /media/stick/bundle --key ~/keys/Reviewers.key -o ~/case
  leakdrop-review verify ~/case/3f0c.report.html --pub ~/keys/Reviewers.pub
  leakdrop-review view /media/stick/bundle --key ~/keys/Reviewers.key
  leakdrop-review play /media/stick/bundle/3f0c….envelope --key ~/keys/Reviewers.key
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
    for add in (
        _add_keygen,
        _add_fingerprint,
        _add_rekey,
        _add_shares,
        _add_restore,
        _add_list,
        _add_read,
        _add_extract,
        _add_reply,
        _add_acknowledge,
        _add_report,
        _add_verify,
        _add_sign,
        _add_view,
        _add_play,
    ):
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


def _add_rekey(verbs: Verbs) -> None:
    verb = _add_verb(
        verbs,
        "rekey",
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
    verb.set_defaults(
        run=lambda args: change_passphrase(
            args.key, passphrase_file=args.passphrase_file, new_passphrase_file=args.new_passphrase_file
        )
    )


def _add_shares(verbs: Verbs) -> None:
    verb = _add_verb(
        verbs,
        "shares",
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
    _add_here(verb)
    verb.set_defaults(
        run=lambda args: make_shares(
            args.key,
            need=args.need,
            number=args.of,
            folder=args.output,
            passphrase_file=args.passphrase_file,
            here=args.here,
        )
    )


def _add_restore(verbs: Verbs) -> None:
    verb = _add_verb(
        verbs,
        "restore",
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
    _add_here(verb)
    verb.set_defaults(
        run=lambda args: restore_key(
            args.name,
            args.output,
            sheets=args.share,
            public=args.pub,
            passphrase_file=args.passphrase_file,
            here=args.here,
        )
    )


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
    verb.add_argument(
        "--clean", action="store_true", help="make copies without metadata, too; needs the program mat2"
    )
    verb.add_argument("--case", metavar="DIR", type=Path, help="write it into the custody log in this folder")
    _add_here(verb)
    _add_json(verb)
    verb.set_defaults(
        run=lambda args: extract(
            args.source,
            args.output,
            _key_options(args),
            case=args.case,
            clean=args.clean,
            here=args.here,
            as_json=args.json,
        )
    )


def _add_view(verbs: Verbs) -> None:
    verb = _add_verb(
        verbs,
        "view",
        "read, look and listen in the browser",
        "leakdrop-review view /media/stick/bundle --key ~/keys/Reviewers.key -o ~/opened",
        "Serves pages on 127.0.0.1 until the browser is closed or Ctrl-C is pressed. Recordings play\n"
        "straight out of their envelopes; nothing that was sealed is written to a disk.",
    )
    _add_source(verb)
    verb.add_argument("-o", "--output", metavar="DIR", type=Path, help="where “Extract” writes")
    verb.add_argument("--case", metavar="DIR", type=Path, help="tell of it in the custody log in this folder")
    verb.add_argument(
        "--notes", metavar="FILE", type=Path, help="where notes and marks are kept, sealed to your keys"
    )
    verb.add_argument("--no-browser", action="store_true", help="print the address, and start nothing")
    _add_here(verb)
    verb.set_defaults(
        run=lambda args: view(
            args.source,
            _key_options(args),
            notes=args.notes,
            output=args.output,
            case=args.case,
            here=args.here,
            browser=not args.no_browser,
        )
    )


def _add_play(verbs: Verbs) -> None:
    verb = _add_verb(
        verbs,
        "play",
        "play recordings with mpv, VLC or the desktop's player",
        "leakdrop-review play /media/stick/bundle/3f0c….envelope --key ~/keys/Reviewers.key",
        "For machines whose browser reaches no address of their own, as Tails. Plays straight out of the\n"
        "envelope, until the player ends or Ctrl-C is pressed.",
    )
    _add_source(verb)
    verb.add_argument("--file", metavar="NUMBER", type=int, help="play this file alone (default: all)")
    verb.set_defaults(run=lambda args: play(args.source, _key_options(args), number=args.file))


def _add_report(verbs: Verbs) -> None:
    verb = _add_verb(
        verbs,
        "report",
        "write a signed report, for handing on",
        "leakdrop-review report /media/stick/bundle --key ~/keys/Reviewers.key -o ~/case",
        "Checks every byte of each envelope, and writes as a page and as JSON: its SHA-256 and those of its\n"
        "files, what recordings and pictures say of themselves, who can open it, what was done. Both are\n"
        "signed with the key that opened it. They hold no word of the message and no byte of a file.",
    )
    _add_source(verb)
    verb.add_argument(
        "-o",
        "--output",
        metavar="DIR",
        type=Path,
        required=True,
        help="the case's folder, with its custody log",
    )
    _add_here(verb)
    _add_json(verb)
    verb.set_defaults(
        run=lambda args: report(
            args.source, args.output, _key_options(args), here=args.here, as_json=args.json
        )
    )


def _add_reply(verbs: Verbs) -> None:
    verb = _add_verb(
        verbs,
        "reply",
        "seal an answer to the source",
        "leakdrop-review reply /media/stick/bundle --name 3f0c91ab --key ~/keys/Reviewers.key --received",
        "Writes into the bundle's folder “replies”, for the operator's `leakdrop import`. Only whoever has\n"
        "the source's twelve words can open it. A text on the command line stays in your shell's history;\n"
        "--message reads it from a file, or from standard input.",
    )
    _add_source(verb)
    verb.add_argument("--name", metavar="NAME", help="which envelope of the bundle: how its name begins")
    texts = verb.add_mutually_exclusive_group()
    texts.add_argument("--text", metavar="TEXT", help="what to say")
    texts.add_argument("--message", metavar="FILE", help="a text file (UTF-8); - for standard input")
    texts.add_argument("--received", action="store_true", help="say thank you, it has arrived")
    verb.add_argument(
        "--file",
        metavar="FILE",
        type=Path,
        action="append",
        default=[],
        dest="files",
        help="a file to add; may be given several times, 10 MiB together",
    )
    verb.add_argument(
        "-o", "--output", metavar="BUNDLE", type=Path, help="the bundle to write to (default: the same)"
    )
    verb.add_argument("--case", metavar="DIR", type=Path, help="write it into the custody log in this folder")
    _add_here(verb)
    verb.set_defaults(
        run=lambda args: reply(
            args.source,
            args.name,
            Text(args.text, args.message, args.received),
            args.files,
            args.output,
            _key_options(args),
            case=args.case,
            here=args.here,
        )
    )


def _add_verify(verbs: Verbs) -> None:
    verb = _add_verb(
        verbs,
        "verify",
        "check that a report is as it was signed",
        "leakdrop-review verify 3f0c.report.html --pub Reviewers.pub",
        "Anyone can do this: it needs the reviewer's .pub file, and no secret.",
    )
    verb.add_argument("reports", metavar="REPORT", type=Path, nargs="+", help="a report, HTML or JSON")
    verb.add_argument(
        "--pub",
        metavar="NAME.pub",
        type=Path,
        action="append",
        required=True,
        help="the .pub file of who signed; may be given several times",
    )
    verb.add_argument(
        "--envelope", metavar="FILE", type=Path, help="check, too, that the report is on this envelope"
    )
    _add_json(verb)
    verb.set_defaults(
        run=lambda args: verify(args.reports, args.pub, envelope=args.envelope, as_json=args.json)
    )


def _add_acknowledge(verbs: Verbs) -> None:
    verb = _add_verb(
        verbs,
        "acknowledge",
        "tell the server what you hold whole",
        "leakdrop-review acknowledge ~/copies/bundle -o /media/stick/bundle",
        "Give the folder where you keep your own copy: every envelope in it is read. What is whole is\n"
        "listed in acknowledged.json, which goes back on the stick; it leaves the server some weeks later.",
    )
    verb.add_argument("source", metavar="BUNDLE", type=Path, help="the folder of a bundle")
    verb.add_argument(
        "-o", "--output", metavar="DIR", type=Path, help="where to write (default: into the bundle)"
    )
    verb.set_defaults(run=lambda args: acknowledge(args.source, args.output or args.source))


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
