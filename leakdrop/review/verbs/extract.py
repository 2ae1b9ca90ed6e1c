"""`leakdrop-review extract`: write the files, under safe names."""

import argparse
from pathlib import Path

from leakdrop.review.extract import extract
from leakdrop.review.verbs.arguments import Verbs, add_here, add_json, add_source, add_verb, key_options


def add(verbs: Verbs) -> None:
    verb = add_verb(
        verbs,
        "extract",
        run,
        "write the files, under safe names",
        "leakdrop-review extract /media/stick/bundle --key ~/keys/Reviewers.key -o ~/opened",
        "Each envelope becomes a folder with its files, message.txt and manifest.json, which has the real\n"
        "names and the SHA-256 sums. Nothing is overwritten; to go on after a stop, give the command again.",
    )
    add_source(verb)
    verb.add_argument(
        "-o", "--output", metavar="DIR", type=Path, required=True, help="the folder to write into"
    )
    verb.add_argument(
        "--clean", action="store_true", help="make copies without metadata, too; needs the program mat2"
    )
    verb.add_argument("--case", metavar="DIR", type=Path, help="write it into the custody log in this folder")
    add_here(verb)
    add_json(verb)


def run(given: argparse.Namespace) -> int:
    return extract(
        given.source,
        given.output,
        key_options(given),
        case=given.case,
        clean=given.clean,
        here=given.here,
        as_json=given.json,
    )
