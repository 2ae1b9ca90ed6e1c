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
        "Give the folder where you keep your own copy: every envelope in it is read. What is whole is\n"
        "listed in acknowledged.json, which goes back on the stick; it leaves the server some weeks later.",
    )
    verb.add_argument("source", metavar="BUNDLE", type=Path, help="the folder of a bundle")
    verb.add_argument(
        "-o", "--output", metavar="DIR", type=Path, help="where to write (default: into the bundle)"
    )


def run(given: argparse.Namespace) -> int:
    return acknowledge(given.source, given.output or given.source)
