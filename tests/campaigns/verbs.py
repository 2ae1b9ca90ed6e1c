"""The operator's verbs, ended next to each of their calls that change the disk, one after another."""

import hashlib
import shutil
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from leakdrop.terminal import say
from tests.campaigns.faults import KILL, build_layer
from tests.campaigns.house import House, check_bundle
from tests.campaigns.proof import Row
from tests.campaigns.sources import Ledger
from tests.keys import public_key_file
from tests.site import BIN, Site, leakdrop, make_test_site, open_drops
from tests.tus import make_envelope

DROPS = 3
MOVED_WEEK = "2026-W02"


@dataclass(frozen=True)
class Verb:
    """A verb: how its stage is set, the words of its command, and what is wrong after it was ended, or done.

    `others` is a folder beside the site for what the verb reads or writes.
    """

    name: str
    prepare: Callable[[Site, Path], None]
    words: Callable[[Path], tuple[object, ...]]
    wrong: Callable[[Site, Path, bool], list[str]]
    hours: int = 0  # by which the clock is ahead


def crash_verb(verb: Verb, folder: Path) -> Row:
    """End a verb at its first change of the disk, its second, …, and let it run again each time."""
    if leakdrop(verb.words(folder)[0], "--help").returncode:
        return (f"`leakdrop {verb.words(folder)[0]}`", 0, "there is no such verb", "", 0)
    stage = folder / f"stage of {verb.name}"
    make_stage(stage, verb)
    scene = folder / "scene"
    layer = build_layer(folder, scene)
    layer.set_clock(verb.hours)
    wrong, number, is_done = [], 0, False
    while not is_done:
        number += 1
        shutil.rmtree(scene, ignore_errors=True)
        shutil.copytree(stage, scene)
        site, others = Site(scene / "site", 0), scene / "others"
        layer.plan(number, number, KILL)
        ended = _run(layer.prefix, verb.words(others), site)
        is_done = ended == 0
        wrong += verb.wrong(site, others, is_done)
        layer.heal()
        if not is_done:
            if (again := _run(layer.prefix, verb.words(others), site)) != 0:
                wrong.append(f"{verb.name}: after call {number} it cannot be repeated: {again}")
            wrong += verb.wrong(site, others, True)
    for sentence in wrong[:10]:
        say(f"WRONG: {sentence}")
    say(f"{verb.name}: {number - 1} kills")
    return (
        f"`leakdrop {verb.name}`",
        number - 1,
        "next to each change of the disk",
        f"{DROPS} drops",
        len(wrong),
    )


def _run(prefix: tuple[str, ...], words: tuple[object, ...], site: Site) -> int:
    command = [*prefix, BIN / "leakdrop", *words, "--config", site.config]
    return subprocess.run(
        [str(word) for word in command],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # so that only it is killed
        timeout=120,
    ).returncode


def make_stage(stage: Path, verb: Verb) -> None:
    """A site with some drops, and what the verb needs beside it."""
    site = make_test_site(stage / "site", [public_key_file("alice")])
    (stage / "others").mkdir()
    with open_drops(site.data) as drops:
        for size in range(DROPS):
            envelope = make_envelope(size * 100_000)
            with drops.receive(len(envelope)) as incoming:
                incoming.write(envelope)
                drops.keep(incoming)
    verb.prepare(site, stage / "others")


def look(site: Site) -> House:
    """The site's drops, all of which count as sent."""
    ledger = Ledger(sent={hashlib.sha256(path.read_bytes()).hexdigest() for path in site.envelopes()})
    return House(site, ledger)


def all_drops_open(site: Site, count: int = DROPS) -> list[str]:
    house = look(site)
    wrong = house._check_drops()
    return (
        wrong if len(house.messages) == count else [*wrong, f"{len(house.messages)} drops open, not {count}"]
    )


def nothing(_site: Site, _others: Path) -> None:
    return


def export_wrong(site: Site, others: Path, is_done: bool) -> list[str]:
    bundle = others / "bundle"
    wrong = all_drops_open(site) + check_bundle(bundle, look(site))
    if is_done:
        left = [path.name for path in bundle.iterdir() if path.name.startswith(".")]
        there = {path.name for path in bundle.glob("*.envelope")}
        wrong += [f"{name} was left in the bundle" for name in left]
        wrong += [f"{path.name} was not exported" for path in site.envelopes() if path.name not in there]
    return wrong


def prepare_migration(site: Site, _others: Path) -> None:
    """A database as the first release left it: drops and nothing else."""
    with open_drops(site.data) as drops:
        tables = _tables(site) - {"drops", "alembic_version"}
        with drops.engine.begin() as connection:
            for table in tables:
                connection.exec_driver_sql(f"DROP TABLE {table}")
            columns = [row[1] for row in connection.exec_driver_sql("PRAGMA table_info(drops)")]
            for column in set(columns) - {"name", "size", "week"}:
                connection.exec_driver_sql(f"ALTER TABLE drops DROP COLUMN {column}")
            connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0001'")


def migration_wrong(site: Site, _others: Path, is_done: bool) -> list[str]:
    wrong = all_drops_open(site)
    if is_done:
        with closing(sqlite3.connect(site.data / "leakdrop.sqlite")) as database:
            (rows,) = database.execute("SELECT count(*) FROM drops").fetchone()
            (verdict,) = database.execute("PRAGMA integrity_check").fetchone()
        wrong += [] if (rows, verdict) == (DROPS, "ok") else [f"after the migration: {rows} rows, {verdict}"]
        wrong += [] if "uploads" in _tables(site) else ["the migration is not whole"]
    return wrong


def _tables(site: Site) -> set[str]:
    with closing(sqlite3.connect(site.data / "leakdrop.sqlite")) as database:
        return {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def prepare_replies(_site: Site, others: Path) -> None:
    """A bundle with replies: envelopes for one key, named for a mailbox and their own sums."""
    replies = others / "bundle" / "replies"
    replies.mkdir(parents=True)
    for number in range(DROPS):
        envelope = make_envelope(number)
        mailbox, digest = hashlib.sha256(bytes([number])).hexdigest(), hashlib.sha256(envelope).hexdigest()
        (replies / f"{mailbox}.{digest[:32]}.envelope").write_bytes(envelope)


def import_wrong(site: Site, others: Path, is_done: bool) -> list[str]:
    """Each reply is there whole or not at all; and all are, when the import is done."""
    brought = {path.name[:64]: path.read_bytes() for path in (others / "bundle" / "replies").iterdir()}
    there = {path.name[:64]: path.read_bytes() for path in (site.data / "replies").glob("*.envelope")}
    wrong = all_drops_open(site)
    wrong += [f"reply {name} is not what was brought" for name in there if there[name] != brought.get(name)]
    if is_done:
        wrong += [f"reply {name} was not imported" for name in brought.keys() - there.keys()]
    return wrong


def prepare_move(site: Site, others: Path) -> None:
    """A bundle that another machine exported: drops of an older week, and so is one that is here."""
    other = make_test_site(others / "machine", [public_key_file("alice")])
    with open_drops(other.data) as drops:
        for size in range(DROPS):
            envelope = make_envelope(size * 700_000)
            with drops.receive(len(envelope)) as incoming:
                incoming.write(envelope)
                drops.keep(incoming)
    for each, most in ((other, DROPS), (site, 1)):
        names = [path.name.partition(".")[0] for path in each.envelopes()[:most]]
        with closing(sqlite3.connect(each.data / "leakdrop.sqlite")) as database, database:
            rows = [(MOVED_WEEK, name) for name in names]
            database.executemany("UPDATE drops SET week = ? WHERE name = ?", rows)
    done = leakdrop("export", others / "bundle", "--config", other.config)
    if done.returncode:
        raise RuntimeError(done.stderr)


def move_wrong(site: Site, others: Path, is_done: bool) -> list[str]:
    """Each drop of the bundle is here whole and of its week, or not at all; and all are, when it is done."""
    bundle = others / "bundle"
    brought = {path.name: path.read_bytes() for path in bundle.glob("*.envelope")}
    there = {path.name: path.read_bytes() for path in site.envelopes() if path.name in brought}
    wrong = all_drops_open(site, DROPS + len(there))
    wrong += [f"{name} is not what was brought" for name in there if there[name] != brought[name]]
    with closing(sqlite3.connect(site.data / "leakdrop.sqlite")) as database:
        weeks = {f"{name}.envelope": week for name, week in database.execute("SELECT name, week FROM drops")}
    wrong += [f"{name} is of the week {weeks.get(name)}" for name in there if weeks.get(name) != MOVED_WEEK]
    if is_done:
        wrong += [f"{name} was not imported" for name in brought.keys() - there.keys()]
        wrong += [
            f"{name} has a row and no file" for name in weeks.keys() - {it.name for it in site.envelopes()}
        ]
        wrong += [f"{path.name} was left behind" for path in site.data.rglob("*.part")]
        wrong += [] if (site.data / "settling" / MOVED_WEEK).exists() else ["its week is not marked"]
    return wrong


def purge_wrong(site: Site, _others: Path, is_done: bool) -> list[str]:
    """What is left is whole; and nothing is, when the purge is done."""
    left = len(site.envelopes())
    wrong = all_drops_open(site, left)
    if is_done:
        with closing(sqlite3.connect(site.data / "leakdrop.sqlite")) as database:
            (rows,) = database.execute("SELECT count(*) FROM drops").fetchone()
        wrong += [] if (left, rows) == (0, 0) else [f"after the purge: {left} drops, {rows} rows"]
    return wrong


VERBS = (
    Verb("export", nothing, lambda others: ("export", others / "bundle"), export_wrong),
    Verb("status, which migrates", prepare_migration, lambda _: ("status",), migration_wrong),
    Verb("import", prepare_replies, lambda others: ("import", others / "bundle"), import_wrong),
    Verb(
        "import --drops",
        prepare_move,
        lambda others: ("import", "--drops", others / "bundle"),
        move_wrong,
    ),
    Verb("settle", nothing, lambda _: ("settle",), lambda site, _others, _is_done: all_drops_open(site)),
    # In two years all are due.
    Verb("purge", nothing, lambda _: ("purge", "--yes"), purge_wrong, hours=2 * 365 * 24),
)
