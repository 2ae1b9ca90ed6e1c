"""`leakdrop settle`: what a timer does every day. It says nothing, for a journal would keep it with the time:
how many drops were settled on which day would tell when they came."""

import argparse

from leakdrop.config import load_config
from leakdrop.operate.upkeep import settle_drops
from leakdrop.operate.verbs.arguments import Verbs, add_config, add_verb, today
from leakdrop.terminal import warn


def add(verbs: Verbs) -> None:
    verb = add_verb(
        verbs,
        "settle",
        run,
        "let the file system forget when and in which order drops came",
        "leakdrop settle --config /srv/leakdrop/config.toml",
        "Once a day, by a timer; a server may be running. Says nothing, for a journal would keep it.",
    )
    add_config(verb)


def run(given: argparse.Namespace) -> None:
    settled = settle_drops(load_config(given.config), today())
    if settled.unreadable:
        warn("This server's disk does not give every drop: “leakdrop export” names what it does not give.")
    if settled.waiting:
        warn("Not every drop could be settled: the disk has too little room for a copy. Make room.")
