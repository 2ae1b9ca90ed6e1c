"""`leakdrop-review reply`: seal an answer to the source."""

import argparse
from pathlib import Path

from leakdrop.review.reply import Text, reply
from leakdrop.review.verbs.arguments import Verbs, add_here, add_source, add_verb, key_options


def add(verbs: Verbs) -> None:
    verb = add_verb(
        verbs,
        "reply",
        run,
        "seal an answer to the source",
        "leakdrop-review reply /media/stick/bundle --name 3f0c91ab --key ~/keys/Reviewers.key --received",
        "Writes into the bundle's folder “replies”, for the operator's `leakdrop import`. If you read from\n"
        "a copy on this machine, name the stick's bundle with -o. Only whoever has the source's twelve\n"
        "words can open it. A text on the command line stays in your shell's history; --message reads it\n"
        "from a file, or from standard input.",
    )
    add_source(verb)
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
        "-o", "--output", metavar="BUNDLE", type=Path, help="the bundle on the stick (default: the same)"
    )
    verb.add_argument("--case", metavar="DIR", type=Path, help="write it into the custody log in this folder")
    verb.add_argument(
        "--anyway", action="store_true", help="answer even if the submission may be a forger's, who reads it"
    )
    add_here(verb)


def run(given: argparse.Namespace) -> int:
    return reply(
        given.source,
        given.name,
        Text(given.text, given.message, given.received),
        given.files,
        given.output,
        key_options(given),
        case=given.case,
        here=given.here,
        anyway=given.anyway,
    )
