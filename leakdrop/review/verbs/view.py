"""`leakdrop-review view`: read, look and listen in the browser."""

import argparse
from pathlib import Path

from leakdrop.review.verbs.arguments import Verbs, add_here, add_source, add_verb, key_options
from leakdrop.review.viewer.verbs import view


def add(verbs: Verbs) -> None:
    verb = add_verb(
        verbs,
        "view",
        run,
        "read, look and listen in the browser",
        "leakdrop-review view /media/stick/bundle --key ~/keys/Reviewers.key -o ~/opened",
        "Serves pages on 127.0.0.1 until the browser is closed or Ctrl-C is pressed. Recordings play\n"
        "straight out of their envelopes; nothing that was sealed is written to a disk.",
    )
    add_source(verb)
    verb.add_argument("-o", "--output", metavar="DIR", type=Path, help="where “Extract” writes")
    verb.add_argument("--case", metavar="DIR", type=Path, help="tell of it in the custody log in this folder")
    verb.add_argument(
        "--notes", metavar="FILE", type=Path, help="where notes and marks are kept, sealed to your keys"
    )
    verb.add_argument(
        "--replies",
        metavar="BUNDLE",
        type=Path,
        help="the bundle on the stick that takes replies (default: the same)",
    )
    verb.add_argument("--no-browser", action="store_true", help="print the address, and start nothing")
    add_here(verb)


def run(given: argparse.Namespace) -> int:
    return view(
        given.source,
        key_options(given),
        notes=given.notes,
        output=given.output,
        case=given.case,
        replies=given.replies,
        here=given.here,
        browser=not given.no_browser,
    )
