"""The operator's command: parses, calls one thing, prints. Design: docs/architecture.md, "Commands"."""

import argparse
import datetime
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from random import SystemRandom

from leakdrop.config import Config, load_config
from leakdrop.envelope.keyfile import PublicKeyFile
from leakdrop.errors import UsageError
from leakdrop.operate.doctor.findings import TORRC
from leakdrop.operate.export import export
from leakdrop.operate.importing import Import, import_replies
from leakdrop.operate.init import ORGANISATION, Wishes, make_site, next_steps, read_keys
from leakdrop.operate.status import read_status
from leakdrop.operate.upkeep import purge, say_taken, settle_drops, take_acknowledgement
from leakdrop.store.layout import Layout, as_owner, lock_import
from leakdrop.store.places import DropPlace, open_drops
from leakdrop.terminal import (
    CommandParser,
    Progress,
    count,
    encode_json,
    group_fingerprint,
    human_size,
    run_command,
    say,
    show_number,
    warn,
)


def main() -> int:
    return run_command(run, "leakdrop")


def run() -> int | None:
    given = build_parser().parse_args()
    verb: Callable[[argparse.Namespace], int | None] = given.verb
    return verb(given)


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
    verb.add_argument("--fingerprint", metavar="HEX", action="append", default=[], dest="fingerprints",
                      help="what a key's fingerprint must be, instead of asking")  # fmt: skip
    verb.add_argument("--only-sealed", action="store_true",
                      help="without JavaScript, take only files that were sealed beforehand")  # fmt: skip

    verb = _add(
        verbs, "serve", run_serve, "serve the site", "leakdrop serve --config /srv/leakdrop/config.toml"
    )
    _add_config(verb)
    verb.add_argument(
        "--bind", metavar="ADDR", help="listen on ADDRESS:PORT or unix:/PATH, not as configured"
    )

    verb.add_argument(
        "--onion", action="store_true", help="for a trial: be an onion service, with a tor of its own"
    )
    verb.add_argument(
        "--torrc", type=Path, metavar="FILE", help="with --onion: more lines for tor, such as bridges"
    )

    verb = _add(
        verbs,
        "check",
        run_check,
        "look for what is wrong, and tell how to mend it",
        "leakdrop check --config /srv/leakdrop/config.toml",
        "Changes nothing. As root it sees more. Ends with 1 if anything is wrong.",
    )
    _add_config(verb)
    verb.add_argument("--torrc", type=Path, metavar="FILE", default=TORRC, help=f"default: {TORRC}")
    verb.add_argument("--json", action="store_true", help="for a script")

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
        "import",
        run_import,
        "take the replies and the acknowledgement in a bundle",
        "leakdrop import /media/stick/bundle",
    )
    _add_config(verb)
    verb.add_argument("source", type=Path, metavar="SRC", help="the bundle, as the reviewers gave it back")
    verb.add_argument("--json", action="store_true", help="for a script")

    verb = _add(
        verbs,
        "settle",
        run_settle,
        "let the file system forget when and in which order drops came",
        "leakdrop settle --config /srv/leakdrop/config.toml",
        "Once a day, by a timer; a server may be running. Says nothing, for a journal would keep it.",
    )
    _add_config(verb)

    verb = _add(
        verbs,
        "purge",
        run_purge,
        "show which drops are due to leave, and remove them with --yes",
        "leakdrop purge --acknowledged /media/stick/bundle",
        "Drops leave some weeks after the reviewers' acknowledgement, and without one some weeks later.",
    )
    _add_config(verb)
    verb.add_argument("--acknowledged", type=Path, metavar="FILE",
                      help="take the reviewers' acknowledgement first: the file, or its bundle")  # fmt: skip
    verb.add_argument("--yes", action="store_true", help="remove what is due")
    verb.add_argument("--quiet", action="store_true", help="say nothing that a journal should not keep")
    verb.add_argument("--json", action="store_true", help="for a script")

    verb = _add(
        verbs,
        "digest",
        run_digest,
        "print a text of one size for a mail, the same whether or not anything came",
        "leakdrop digest --to Reviewers.pub | mail -s digest reviewers@example.org",
        "With --to it is sealed, and says how many drops there are; leakdrop-review reads it.",
    )
    _add_config(verb)
    verb.add_argument("--to", type=Path, action="append", default=[], metavar="NAME.pub", dest="recipients",
                      help="seal it to this key (repeatable)")  # fmt: skip
    verb.add_argument(
        "-o", "--output", type=Path, metavar="FILE", help="with --to: write the envelope to a file"
    )

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
    more: str = "",
) -> CommandParser:
    description = f"{what[0].upper()}{what[1:]}.{more and f' {more}'}"
    verb = verbs.add_parser(name, help=what, description=description, epilog=f"Example: {example}")
    verb.set_defaults(verb=function)
    return verb


def _add_config(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--config", type=Path, default=Path("config.toml"), metavar="FILE", help="default: ./config.toml"
    )


def today() -> datetime.date:
    return datetime.datetime.now(datetime.UTC).date()


def open_site(config: Config) -> DropPlace:
    """The drops; what is missing in the data folder is made as its owner."""
    with as_owner(config.data_dir):
        return open_drops(config)


def run_init(given: argparse.Namespace) -> None:
    organisation, keys, sealing = given.organisation, given.keys, not given.only_sealed
    if not given.yes:
        organisation = organisation or ask(f"Name of the organisation [{ORGANISATION}]: ")
        path = "" if keys else ask("A reviewers' .pub file (Enter: later): ")
        keys = [Path(path)] if path else keys
        sealing = sealing and ask("Take messages of people who have JavaScript off? [Y/n]: ").lower() != "n"
    for key in read_keys(keys):
        confirm_key(key, given.fingerprints, asks=not given.yes)
    site = make_site(given.folder, Wishes(organisation or ORGANISATION, sealing), keys)
    say(f"Made {site.config}, and what tor and systemd need in {site.system}.\n")
    say(next_steps(site))


def ask(question: str) -> str:
    """The operator's answer. Raises UsageError if nobody is there to give one."""
    try:
        return input(question).strip()
    except EOFError:
        raise UsageError("Nobody answers: add --yes to take the defaults.") from None


def confirm_key(key: PublicKeyFile, fingerprints: Sequence[str], *, asks: bool) -> None:
    """Show a key's fingerprint and have it compared. Raises UsageError if it is another one.

    Who is asked for some groups has to look at the reviewers' paper: a glance and “yes” will not do.
    """
    if fingerprints:
        wanted = {"".join(fingerprint.lower().split()) for fingerprint in fingerprints}
        if key.key.fingerprint not in wanted:
            raise UsageError(
                f"Key “{key.name}” has another fingerprint: {key.key.fingerprint}. Made nothing."
            )
        say(f"Key “{key.name}” has the fingerprint that you gave.")
        return
    groups = group_fingerprint(key.key.fingerprint).split()
    if not asks:
        say(f"Key “{key.name}”: {key.key.fingerprint}")
        say("Compare this fingerprint with the reviewers', by voice or on paper, before you go on.\n")
        return
    hidden = sorted(SystemRandom().sample(range(len(groups)), 2))
    shown = " ".join("????" if number in hidden else group for number, group in enumerate(groups))
    say(f"Key “{key.name}”: {shown}")
    answer = ask(
        "Compare it with the reviewers' own, by voice or on paper. The two groups that are hidden here: "
    )
    if "".join(answer.lower().split()) != "".join(groups[number] for number in hidden):
        raise UsageError(
            f"That is not the fingerprint of “{key.name}”: ask the reviewers again. Made nothing."
        )


def run_serve(given: argparse.Namespace) -> int | None:
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


def run_check(given: argparse.Namespace) -> int:
    # Here, since it knows what the server knows.
    from leakdrop.operate.check import check

    return check(given.config, today(), torrc=given.torrc, as_json=given.json)


def run_status(given: argparse.Namespace) -> None:
    config = load_config(given.config)
    with open_site(config) as drops:
        status = read_status(config, drops, drops.replies(config.reply_weeks), today())
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
    say(f"Replies that wait for their sources: {status.replies} ({human_size(status.reply_bytes)})")


def run_settle(given: argparse.Namespace) -> None:
    settle_drops(load_config(given.config), today())


def run_purge(given: argparse.Namespace) -> None:
    purge(
        load_config(given.config),
        today(),
        given.acknowledged,
        yes=given.yes,
        quiet=given.quiet,
        as_json=given.json,
    )


def run_digest(given: argparse.Namespace) -> None:
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


def run_export(given: argparse.Namespace) -> None:
    config = load_config(given.config)
    with open_site(config) as drops:
        done = export(drops, given.dest, lambda total: Progress(total, "Copying"), verify=given.verify)
    if given.json:
        say(encode_json(asdict(done)))
        return
    if done.present:
        say(f"{count(done.present, 'drop')} lay there already.")
    say(f"{count(done.copied, 'drop')} copied ({human_size(done.bytes)}), read back and compared.")
    say(f"The bundle is {given.dest}: take it to the reviewers.")


def run_import(given: argparse.Namespace) -> int:
    config = load_config(given.config)
    done = take_replies(config, given.source)
    taken, problem = take_acknowledgement(config, given.source, today())
    if given.json:
        say(encode_json({**asdict(done), "acknowledgement": asdict(taken) if taken else None}))
    else:
        if taken:
            say_taken(taken, config)
        if done.present:
            say(f"{count(done.present, 'reply')} lay here already.")
        say(f"{count(done.taken, 'reply')} imported.")
    for refused in done.refused:
        warn(f"{refused.name} is left out: {refused.sentence}")
    if done.left:
        warn(
            f"{count(done.left, 'reply')} could not be removed from the stick: remove its folder “replies”, "
            "or what a source deletes comes back with the next import."
        )
    if problem:
        warn(problem)
    return 1 if done.refused or problem else 0


def take_replies(config: Config, source: Path) -> Import:
    """Read the stick as whoever calls, and write as the data folder's owner."""
    with open_site(config) as drops:
        replies = drops.replies(config.reply_weeks)

        def keep(mailbox: bytes, envelope: bytes) -> bool:
            with as_owner(config.data_dir):
                return replies.keep(mailbox, envelope)

        # In an object store rows and bounds hold by themselves.
        with nullcontext() if config.object_store_url else lock_import(Layout(config.data_dir)):
            with as_owner(config.data_dir):
                replies.expire(today())
            return import_replies(keep, source, lambda total: Progress(total, "Importing", show=show_number))


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


if __name__ == "__main__":
    sys.exit(main())
