"""`leakdrop verify`: whether a live site is what it should be."""

import argparse
from dataclasses import asdict
from pathlib import Path

from leakdrop.operate.init import read_keys
from leakdrop.operate.verbs.arguments import Verbs, add_json, add_verb, today
from leakdrop.terminal import count, encode_json, say


def add(verbs: Verbs) -> None:
    verb = add_verb(
        verbs,
        "verify",
        run,
        "compare a live site, over Tor, with its signed manifest and with this release",
        "leakdrop verify http://….onion/ --by Reviewers.pub",
    )
    verb.add_argument("url", metavar="URL", help="the site's onion address")
    verb.add_argument("--by", type=Path, action="append", required=True, metavar="NAME.pub", dest="keys",
                      help="a reviewers' public key, not taken from the site (repeatable)")  # fmt: skip
    verb.add_argument("--tor", default="127.0.0.1:9050", metavar="ADDRESS:PORT",
                      help="where Tor listens; Tor Browser listens on 127.0.0.1:9150")  # fmt: skip
    add_json(verb)


def run(given: argparse.Namespace) -> int:
    # Here, since the other verbs speak to nobody.
    from leakdrop.operate.verify import connect_to, verify

    keys = read_keys(given.keys)
    found = verify(connect_to(given.url, given.tor), keys, today())
    if given.json:
        say(encode_json(asdict(found)))
    else:
        say(f"Signed by {', '.join(found.signers)}, for leakdrop {found.version}, from {found.since} on.")
        say(f"{count(found.pages, 'page')} compared; {count(len(found.problems), 'difference')}.")
        for problem in found.problems:
            say(f"DIFFERENT: {problem}")
        if found.problems:
            say("Do not send anything to this site, and tell its organisation by another way.")
    return 1 if found.problems else 0
