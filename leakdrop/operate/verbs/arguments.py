"""What the verbs have in common: how one is added, and the arguments that several of them take."""

import argparse
import datetime
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from leakdrop.terminal import CommandParser

Verbs: TypeAlias = "argparse._SubParsersAction[CommandParser]"
Run: TypeAlias = Callable[[argparse.Namespace], int | None]


def add_verb(verbs: Verbs, name: str, run: Run, what: str, example: str, more: str = "") -> CommandParser:
    """A verb, told in a few words, with an example and perhaps a sentence or two."""
    description = f"{what[0].upper()}{what[1:]}.{more and f' {more}'}"
    verb = verbs.add_parser(name, help=what, description=description, epilog=f"Example: {example}")
    verb.set_defaults(verb=run)
    return verb


def add_config(verb: CommandParser) -> None:
    verb.add_argument(
        "--config", type=Path, default=Path("config.toml"), metavar="FILE", help="default: ./config.toml"
    )


def add_json(verb: CommandParser) -> None:
    verb.add_argument("--json", action="store_true", help="for a script")


def today() -> datetime.date:
    return datetime.datetime.now(datetime.UTC).date()
