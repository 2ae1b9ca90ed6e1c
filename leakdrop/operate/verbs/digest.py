"""`leakdrop digest`: a text for a mail."""

import argparse
from pathlib import Path

from leakdrop.config import load_config
from leakdrop.errors import UsageError
from leakdrop.operate.site import open_site
from leakdrop.operate.verbs.arguments import Verbs, add_config, add_verb, today
from leakdrop.terminal import say


def add(verbs: Verbs) -> None:
    verb = add_verb(
        verbs,
        "digest",
        run,
        "print a text of one size for a mail, the same whether or not anything came",
        "leakdrop digest --to Reviewers.pub | mail -s digest reviewers@example.org",
        "With --to it is sealed, and says how many drops there are; leakdrop-review reads it.",
    )
    add_config(verb)
    verb.add_argument("--to", type=Path, action="append", default=[], metavar="NAME.pub", dest="recipients",
                      help="seal it to this key (repeatable)")  # fmt: skip
    verb.add_argument(
        "-o", "--output", type=Path, metavar="FILE", help="with --to: write the envelope to a file"
    )


def run(given: argparse.Namespace) -> None:
    # Here, so that no other verb can seal.
    from leakdrop.operate.digest import armour, make_digest, read_recipients, seal_digest

    config = load_config(given.config)
    if not given.recipients:
        if given.output:
            raise UsageError("-o is for a digest that is sealed: add --to NAME.pub.")
        say(make_digest(config, today()).removesuffix("\n"))
        return
    recipients = read_recipients(given.recipients)
    with open_site(config) as drops:
        envelope = seal_digest(config, drops.all(), today(), recipients)
    if given.output:
        given.output.write_bytes(envelope)
    else:
        say(armour(envelope))
