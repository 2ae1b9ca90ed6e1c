"""`leakdrop init`: asks, has each key's fingerprint compared, and makes the folder of a new site.

With --system it writes what tor and systemd need of a site that is there."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from random import SystemRandom

from leakdrop.envelope.keyfile import PublicKeyFile
from leakdrop.errors import UsageError
from leakdrop.operate.init import (
    ORGANISATION,
    Wishes,
    find_hidden,
    make_site,
    next_steps,
    read_keys,
    renew_system,
)
from leakdrop.operate.verbs.arguments import Verbs, add_verb
from leakdrop.terminal import group_fingerprint, say, warn


def add(verbs: Verbs) -> None:
    verb = add_verb(verbs, "init", run, "make the folder of a new site", "leakdrop init /srv/leakdrop")
    verb.add_argument("folder", type=Path, metavar="DIR", help="the folder to make")
    verb.add_argument("--yes", action="store_true", help="ask nothing: take the defaults")
    verb.add_argument("--organisation", metavar="NAME", help="what visitors read at the top of every page")
    verb.add_argument("--key", type=Path, action="append", default=[], metavar="NAME.pub", dest="keys",
                      help="a reviewers' public key, to copy into DIR/keys (repeatable)")  # fmt: skip
    verb.add_argument("--fingerprint", metavar="HEX", action="append", default=[], dest="fingerprints",
                      help="what a key's fingerprint must be, instead of asking")  # fmt: skip
    verb.add_argument("--only-sealed", action="store_true",
                      help="without JavaScript, take only files that were sealed beforehand")  # fmt: skip
    verb.add_argument("--system", action="store_true",
                      help="of a site that is there, write DIR/system anew, and nothing else")  # fmt: skip


def run(given: argparse.Namespace) -> None:
    if given.system:
        renew(given)
        return
    organisation, keys, sealing = given.organisation, given.keys, not given.only_sealed
    if not given.yes:
        organisation = organisation or ask(f"Name of the organisation [{ORGANISATION}]: ")
        path = "" if keys else ask("A reviewers' .pub file (Enter: later): ")
        keys = [Path(path)] if path else keys
        sealing = sealing and ask("Take messages of people who have JavaScript off? [Y/n]: ").lower() != "n"
    if given.fingerprints and not keys:
        raise UsageError("--fingerprint is that of a key: name its file with --key, too. Made nothing.")
    for key in read_keys(keys):
        confirm_key(key, given.fingerprints, asks=not given.yes)
    site = make_site(given.folder, Wishes(organisation or ORGANISATION, sealing), keys)
    say(f"Made {site.config}, and what tor and systemd need in {site.system}.\n")
    say(next_steps(site))
    warn_of_hidden(given.folder)


def renew(given: argparse.Namespace) -> None:
    """Raises UsageError if there is no site, or if anything else is asked for as well."""
    if given.organisation or given.keys or given.fingerprints or given.only_sealed:
        raise UsageError("--system writes DIR/system anew and changes nothing else: give DIR alone.")
    system = renew_system(given.folder).resolve()
    say(f"Wrote {system} anew. Read the files in it, then, as root:\n\n  sh {system}/install")
    warn_of_hidden(given.folder)


def warn_of_hidden(folder: Path) -> None:
    for place in find_hidden(folder):
        warn(
            f"The service cannot start from {place}: its unit hides that folder from it. For real use, "
            "leakdrop belongs in a folder like /opt/leakdrop, and its site in one like /srv/leakdrop."
        )


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
