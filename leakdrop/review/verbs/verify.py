"""`leakdrop-review verify`: check that a report is as it was signed."""

import argparse
from pathlib import Path

from leakdrop.review.verbs.arguments import Verbs, add_json, add_verb
from leakdrop.review.verify import verify


def add(verbs: Verbs) -> None:
    verb = add_verb(
        verbs,
        "verify",
        run,
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
    add_json(verb)


def run(given: argparse.Namespace) -> int:
    return verify(given.reports, given.pub, envelope=given.envelope, as_json=given.json)
