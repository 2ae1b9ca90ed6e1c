"""`leakdrop status`: what is there."""

import argparse
from dataclasses import asdict

from leakdrop.config import load_config
from leakdrop.operate.site import open_site
from leakdrop.operate.status import read_status
from leakdrop.operate.verbs.arguments import Verbs, add_config, add_json, add_verb, today
from leakdrop.terminal import encode_json, human_size, say


def add(verbs: Verbs) -> None:
    verb = add_verb(verbs, "status", run, "tell what is there", "leakdrop status --json")
    add_config(verb)
    add_json(verb)


def run(given: argparse.Namespace) -> None:
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
