"""`leakdrop check`: what is wrong, and how to mend it."""

import argparse
from pathlib import Path

from leakdrop.operate.doctor.findings import TORRC
from leakdrop.operate.verbs.arguments import Verbs, add_config, add_json, add_verb, today


def add(verbs: Verbs) -> None:
    verb = add_verb(
        verbs,
        "check",
        run,
        "look for what is wrong, and tell how to mend it",
        "leakdrop check --config /srv/leakdrop/config.toml",
        "Changes nothing. As root it sees more. Ends with 1 if anything is wrong.",
    )
    add_config(verb)
    verb.add_argument("--torrc", type=Path, metavar="FILE", default=TORRC, help=f"default: {TORRC}")
    add_json(verb)


def run(given: argparse.Namespace) -> int:
    # Here, since it knows what the server knows.
    from leakdrop.operate.check import check

    return check(given.config, today(), torrc=given.torrc, as_json=given.json)
