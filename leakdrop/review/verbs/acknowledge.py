"""`leakdrop-review acknowledge`: tell the server what you hold whole."""

import argparse
from pathlib import Path

from leakdrop.review.acknowledge import acknowledge
from leakdrop.review.verbs.arguments import Verbs, add_verb


def add(verbs: Verbs) -> None:
    verb = add_verb(
        verbs,
        "acknowledge",
        run,
        "tell the server what you hold whole",
        "leakdrop-review acknowledge ~/copies/bundle -o /media/stick/bundle",
        "Give your own copy of the bundle, on the laptop: every envelope in it is read. What is whole there\n"
        "is listed in acknowledged.json on the stick; when the operator has taken that in, it leaves the\n"
        "server some weeks later.",
    )
    verb.add_argument("source", metavar="COPY", type=Path, help="your own copy of a bundle, which you keep")
    verb.add_argument(
        "-o", "--output", metavar="BUNDLE", type=Path, required=True, help="the bundle on the stick"
    )
    verb.add_argument(
        "--here", action="store_true", help="both lie on one disk, and the copy stays with you all the same"
    )


def run(given: argparse.Namespace) -> int:
    return acknowledge(given.source, given.output, here=given.here)
