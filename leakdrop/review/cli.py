"""The reviewer's command. Its verbs: leakdrop/review/verbs/. Design: docs/architecture.md, "Commands"."""

import sys
from collections.abc import Sequence

from leakdrop.review.verbs import (
    acknowledge,
    extract,
    fingerprint,
    keygen,
    listing,
    play,
    read,
    rekey,
    reply,
    report,
    restore,
    shares,
    sign,
    verify,
    view,
)
from leakdrop.review.verbs.arguments import Run
from leakdrop.terminal import CommandParser, run_command

PROGRAM = "leakdrop-review"
DESCRIPTION = "Open what was handed over, on a machine without a network."
EXAMPLES = """\
examples:
  leakdrop-review keygen Reviewers -o ~/keys --not-after 2027-06-30
  leakdrop-review fingerprint ~/keys/*.pub
  leakdrop-review list /media/stick/bundle --key ~/keys/Reviewers.key
  leakdrop-review read /media/stick/bundle --key ~/keys/Reviewers.key
  leakdrop-review extract /media/stick/bundle --key ~/keys/Reviewers.key -o ~/opened
  leakdrop-review reply /media/stick/bundle --name 3f0c91ab --key ~/keys/Reviewers.key --received
  leakdrop-review acknowledge ~/copies/bundle -o /media/stick/bundle
  leakdrop-review report /media/stick/bundle --key ~/keys/Reviewers.key -o ~/case
  leakdrop-review verify ~/case/3f0c.report.html --pub ~/keys/Reviewers.pub
  leakdrop-review view /media/stick/bundle --key ~/keys/Reviewers.key
  leakdrop-review play /media/stick/bundle/3f0c….envelope --key ~/keys/Reviewers.key
  leakdrop-review rekey ~/keys/Reviewers.key
  leakdrop-review shares ~/keys/Reviewers.key --need 2 --of 3
  leakdrop-review restore Reviewers -o ~/keys --pub Reviewers.pub
  leakdrop-review sign /media/stick/leakdrop.json --key ~/keys/Reviewers.key

“leakdrop-review VERB --help” tells more of one verb.
"""


def main() -> int:
    return run_command(lambda: review_command(sys.argv[1:]), PROGRAM)


def review_command(arguments: Sequence[str]) -> int:
    """Do what the arguments ask for, and return the exit code. Raises LeakdropError and OSError."""
    given = make_parser().parse_args(arguments)
    verb: Run = given.verb
    return verb(given)


def make_parser() -> CommandParser:
    parser = CommandParser(prog=PROGRAM, description=DESCRIPTION, epilog=EXAMPLES)
    verbs = parser.add_subparsers(metavar="VERB", required=True)
    # In this order they are shown.
    for verb in (
        keygen,
        fingerprint,
        rekey,
        shares,
        restore,
        listing,
        read,
        extract,
        reply,
        acknowledge,
        report,
        verify,
        sign,
        view,
        play,
    ):
        verb.add(verbs)
    return parser
