"""What the verbs have in common: how one is added, and the arguments that several of them take."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from leakdrop.review.keys import KeyOptions
from leakdrop.terminal import CommandParser

Verbs: TypeAlias = "argparse._SubParsersAction[CommandParser]"
Run: TypeAlias = Callable[[argparse.Namespace], int]


def add_verb(verbs: Verbs, name: str, run: Run, what: str, example: str, more: str) -> CommandParser:
    """A verb, told in a few words, with an example and a sentence or two."""
    verb = verbs.add_parser(name, help=what, description=more, epilog=f"example:\n  {example}\n")
    verb.set_defaults(verb=run)
    return verb


def add_source(verb: CommandParser) -> None:
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


def key_options(given: argparse.Namespace) -> KeyOptions:
    return KeyOptions(tuple(given.key), given.known, tuple(given.passphrase_file))


def add_here(verb: CommandParser) -> None:
    verb.add_argument("--here", action="store_true", help="write even where a bundle lies")


def add_json(verb: CommandParser) -> None:
    verb.add_argument("--json", action="store_true", help="print JSON, for programs")
