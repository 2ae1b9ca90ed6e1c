"""The operator's command: parses, calls one thing, prints. Design: docs/architecture.md, "Commands"."""

import argparse
import datetime
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from leakdrop.config import load_config
from leakdrop.errors import UsageError
from leakdrop.operate.export import export
from leakdrop.operate.init import ORGANISATION, make_site, read_public_keys
from leakdrop.operate.status import read_status
from leakdrop.store.drops import Drops
from leakdrop.terminal import CommandParser, Progress, count, encode_json, human_size, run_command, say


def main() -> int:
    return run_command(run, "leakdrop")


def run() -> int | None:
    given = build_parser().parse_args()
    code: int | None = given.verb(given)
    return code


def build_parser() -> CommandParser:
    parser = CommandParser(
        prog="leakdrop",
        description="Runs an anonymous, end-to-end encrypted drop.",
        epilog="Begin with: leakdrop init DIR",
    )
    verbs = parser.add_subparsers(title="verbs", required=True, metavar="VERB")

    verb = _add(verbs, "init", run_init, "make the folder of a new site", "leakdrop init /srv/leakdrop")
    verb.add_argument("folder", type=Path, metavar="DIR", help="the folder to make")
    verb.add_argument("--yes", action="store_true", help="ask nothing: take the defaults")
    verb.add_argument("--organisation", metavar="NAME", help="what visitors read at the top of every page")
    verb.add_argument("--key", type=Path, action="append", default=[], metavar="NAME.pub", dest="keys",
                      help="a reviewers' public key, to copy into DIR/keys (repeatable)")  # fmt: skip

    verb = _add(
        verbs, "serve", run_serve, "serve the site", "leakdrop serve --config /srv/leakdrop/config.toml"
    )
    _add_config(verb)
    verb.add_argument(
        "--bind", metavar="ADDR", help="listen on ADDRESS:PORT or unix:/PATH, not as configured"
    )

    verb = _add(verbs, "status", run_status, "tell what is there", "leakdrop status --json")
    _add_config(verb)
    verb.add_argument("--json", action="store_true", help="for a script")

    verb = _add(
        verbs, "export", run_export, "copy new drops to a bundle", "leakdrop export /media/stick/bundle"
    )
    _add_config(verb)
    verb.add_argument(
        "dest", type=Path, metavar="DEST", help="the bundle: a folder, new or exported to before"
    )
    verb.add_argument("--json", action="store_true", help="for a script")
    verb.add_argument("--verify", action="store_true", help="read all that lies there already, and compare")

    verb = _add(
        verbs,
        "manifest",
        run_manifest,
        "list the hashes of all that the site serves, for the reviewers to sign",
        "leakdrop manifest leakdrop.json --config /srv/leakdrop/config.toml",
    )
    _add_config(verb)
    verb.add_argument("output", type=Path, metavar="FILE", help="the manifest to write")

    verb = _add(
        verbs,
        "verify",
        run_verify,
        "compare a live site, over Tor, with its signed manifest and with this release",
        "leakdrop verify http://….onion/ --by Reviewers.pub",
    )
    verb.add_argument("url", metavar="URL", help="the site's onion address")
    verb.add_argument("--by", type=Path, action="append", required=True, metavar="NAME.pub", dest="keys",
                      help="a reviewers' public key, not taken from the site (repeatable)")  # fmt: skip
    verb.add_argument("--tor", default="127.0.0.1:9050", metavar="ADDRESS:PORT",
                      help="where Tor listens; Tor Browser listens on 127.0.0.1:9150")  # fmt: skip
    verb.add_argument("--json", action="store_true", help="for a script")
    return parser


def _add(
    verbs: "argparse._SubParsersAction[CommandParser]",
    name: str,
    function: Callable[[argparse.Namespace], int | None],
    what: str,
    example: str,
) -> CommandParser:
    description = f"{what[0].upper()}{what[1:]}."
    verb = verbs.add_parser(name, help=what, description=description, epilog=f"Example: {example}")
    verb.set_defaults(verb=function)
    return verb


def _add_config(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--config", type=Path, default=Path("config.toml"), metavar="FILE", help="default: ./config.toml"
    )


def today() -> datetime.date:
    return datetime.datetime.now(datetime.UTC).date()


def run_init(given: argparse.Namespace) -> None:
    organisation, keys = given.organisation, given.keys
    if not given.yes:
        organisation = organisation or ask(f"Name of the organisation [{ORGANISATION}]: ")
        path = "" if keys else ask("A reviewers' .pub file (Enter: later): ")
        keys = [Path(path)] if path else keys
    site = make_site(given.folder, organisation or ORGANISATION, keys)
    say(f"Made {site.config}.")
    for key in site.keys:
        say(f"Key “{key.name}”: {key.key.fingerprint}")
        say("Compare this fingerprint with the reviewers', by voice or on paper, before you go on.")
    if not site.keys:
        say(f"Next: copy the reviewers' .pub file into {site.folder / 'keys'}, and compare its fingerprint.")
    say(f"Then: leakdrop serve --config {site.config}")


def ask(question: str) -> str:
    """The operator's answer. Raises UsageError if nobody is there to give one."""
    try:
        return input(question).strip()
    except EOFError:
        raise UsageError("Nobody answers: add --yes to take the defaults.") from None


def run_serve(given: argparse.Namespace) -> None:
    # Here, so that the other verbs need not load the web server.
    from leakdrop.operate.server import serve

    serve(load_config(given.config), given.bind)


def run_status(given: argparse.Namespace) -> None:
    config = load_config(given.config)
    with Drops(config.data_dir) as drops:
        status = read_status(config, drops, today())
    if given.json:
        say(encode_json(asdict(status)))
        return
    say(f"Organisation: {status.organisation}")
    for key in status.keys:
        until = f", until {key.not_after}" if key.not_after else ""
        say(f"Key: {key.name}{until}{'' if key.usable else ' (expired)'}\n     {key.fingerprint}")
    say(f"Drops: {status.drops} ({human_size(status.bytes)}); free: {human_size(status.free_bytes)}")
    for week in status.weeks:
        say(f"  {week.week}: {week.drops} ({human_size(week.bytes)})")


def run_export(given: argparse.Namespace) -> None:
    config = load_config(given.config)
    with Drops(config.data_dir) as drops:
        done = export(drops, given.dest, lambda total: Progress(total, "Copying"), verify=given.verify)
    if given.json:
        say(encode_json(asdict(done)))
        return
    if done.present:
        say(f"{count(done.present, 'drop')} lay there already.")
    say(f"{count(done.copied, 'drop')} copied ({human_size(done.bytes)}), read back and compared.")
    say(f"The bundle is {given.dest}: take it to the reviewers.")


def run_manifest(given: argparse.Namespace) -> None:
    from leakdrop.operate.manifest import make_manifest, write_manifest

    manifest = make_manifest(load_config(given.config), today())
    write_manifest(manifest, given.output)
    say(f"{given.output}: {count(len(manifest.days[0].pages), 'page')} of leakdrop {manifest.version}.")
    for day in manifest.days[1:]:
        say(f"From {day.since} on, when a key is used no more, the pages change, and are listed too.")
    say("Next: the reviewers sign it (leakdrop-review sign), and the configuration names it (manifest).")


def run_verify(given: argparse.Namespace) -> int:
    # Here, since the other verbs speak to nobody.
    from leakdrop.operate.verify import connect_to, verify

    keys = [key for path in given.keys for key in read_public_keys(path)]
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


if __name__ == "__main__":
    sys.exit(main())
