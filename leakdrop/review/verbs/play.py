"""`leakdrop-review play`: play recordings with mpv, VLC or the desktop's player."""

import argparse

from leakdrop.review.verbs.arguments import Verbs, add_source, add_verb, key_options
from leakdrop.review.viewer.verbs import play


def add(verbs: Verbs) -> None:
    verb = add_verb(
        verbs,
        "play",
        run,
        "play recordings with mpv, VLC or the desktop's player",
        "leakdrop-review play /media/stick/bundle/3f0c….envelope --key ~/keys/Reviewers.key",
        "For machines whose browser reaches no address of their own, as Tails. Plays straight out of the\n"
        "envelope, until the player ends or Ctrl-C is pressed.",
    )
    add_source(verb)
    verb.add_argument("--file", metavar="NUMBER", type=int, help="play this file alone (default: all)")


def run(given: argparse.Namespace) -> int:
    return play(given.source, key_options(given), number=given.file)
