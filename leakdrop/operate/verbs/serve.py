"""`leakdrop serve`: until a signal comes."""

import argparse
from pathlib import Path

from leakdrop.config import load_config
from leakdrop.errors import UsageError
from leakdrop.operate.verbs.arguments import Verbs, add_config, add_verb


def add(verbs: Verbs) -> None:
    verb = add_verb(
        verbs, "serve", run, "serve the site", "leakdrop serve --config /srv/leakdrop/config.toml"
    )
    add_config(verb)
    verb.add_argument(
        "--bind", metavar="ADDR", help="listen on ADDRESS:PORT or unix:/PATH, not as configured"
    )
    verb.add_argument(
        "--onion", action="store_true", help="for a trial: be an onion service, with a tor of its own"
    )
    verb.add_argument(
        "--torrc", type=Path, metavar="FILE", help="with --onion: more lines for tor, such as bridges"
    )


def run(given: argparse.Namespace) -> int | None:
    if given.onion:
        from leakdrop.operate.onion import serve_onion

        if given.bind:
            raise UsageError("--onion has a socket of its own: leave --bind out.")
        return serve_onion(load_config(given.config), given.config.parent, given.torrc)
    if given.torrc:
        raise UsageError("--torrc is for --onion.")
    # Here, so that the other verbs need not load the web server.
    from leakdrop.operate.server import serve

    serve(load_config(given.config), given.bind)
    return None
