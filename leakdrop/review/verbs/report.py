"""`leakdrop-review report`: write a signed report, for handing on."""

import argparse
from pathlib import Path

from leakdrop.review.report import report
from leakdrop.review.verbs.arguments import Verbs, add_here, add_json, add_source, add_verb, key_options


def add(verbs: Verbs) -> None:
    verb = add_verb(
        verbs,
        "report",
        run,
        "write a signed report, for handing on",
        "leakdrop-review report /media/stick/bundle --key ~/keys/Reviewers.key -o ~/case",
        "Checks every byte of each envelope, and writes as a page and as JSON: its SHA-256 and those of its\n"
        "files, what recordings and pictures say of themselves, who can open it, what was done. Both are\n"
        "signed with the key that opened it. They hold no word of the message, no byte of a file, and\n"
        "nothing of other envelopes. custody.jsonl tells of all envelopes of the case: keep that one.",
    )
    add_source(verb)
    verb.add_argument(
        "-o",
        "--output",
        metavar="DIR",
        type=Path,
        required=True,
        help="the case's folder, with its custody log",
    )
    add_here(verb)
    add_json(verb)


def run(given: argparse.Namespace) -> int:
    return report(given.source, given.output, key_options(given), here=given.here, as_json=given.json)
