"""`leakdrop import --drops`: drops move to another machine by a stick, whole, once, and with their weeks."""

import datetime
import hashlib
import json
import os
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable
from contextlib import closing, nullcontext
from pathlib import Path

import pytest

from leakdrop.acknowledgement import Acknowledged, encode_acknowledgement
from leakdrop.bundle import Bundle, encode_bundle, load_bundle
from leakdrop.errors import BundleError
from leakdrop.operate.moving import Moved, Mover
from leakdrop.store.drop import this_week
from leakdrop.store.drops import Drops
from leakdrop.store.health import examine
from leakdrop.store.layout import Layout, lock_upkeep
from leakdrop.store.settle import settle
from tests.keys import label_key_pair, public_key_file
from tests.replies import label_receipt, seal_reply
from tests.site import BIN, PATIENCE, Site, assert_one_line, damage, leakdrop, make_test_site, run
from tests.tus import MIB, make_envelope

TODAY = datetime.datetime.now(datetime.UTC).date()
OLD, OLDER = "2026-W02", "2026-W01"
KEPT = {"keep_at_most_weeks": 520}


def fill(site: Site, week: str, envelope: bytes) -> str:
    """A drop of some week; its name."""
    with Drops(site.data) as drops, drops.receive(len(envelope)) as incoming:
        incoming.write(envelope)
        drop = drops.keep(incoming)
        with drops.engine.begin() as connection:
            connection.exec_driver_sql("UPDATE drops SET week = ? WHERE name = ?", (week, drop.name))
    return drop.name


def export(site: Site, stick: Path) -> Path:
    done = leakdrop("export", stick, "--config", site.config)
    assert done.returncode == 0, done
    return stick


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    """A machine with five drops of three weeks, and beside it the stick that it exported to."""
    folder = tmp_path_factory.mktemp("model")
    site = make_test_site(folder / "old", [public_key_file("alice")], **KEPT)
    for week, size in ((OLDER, 0), (OLD, 0), (OLD, 3 * MIB), (OLD, 100_000), (this_week(), 0)):
        fill(site, week, make_envelope(size))
    export(site, folder / "stick")
    return folder


@pytest.fixture
def old(model, tmp_path) -> Site:
    shutil.copytree(model / "old", tmp_path / "old")
    return Site(tmp_path / "old", 0)


@pytest.fixture
def stick(model, tmp_path) -> Path:
    shutil.copytree(model / "stick", tmp_path / "stick")
    return tmp_path / "stick"


@pytest.fixture
def new(tmp_path) -> Site:
    return make_test_site(tmp_path / "new", [public_key_file("alice")], **KEPT)


def bring(site: Site, stick: Path, *words: object) -> subprocess.CompletedProcess:
    return leakdrop("import", "--drops", stick, "--config", site.config, *words)


def bring_watched(site: Site, stick: Path, *options: object) -> subprocess.CompletedProcess:
    """The same, with calls that fail as strace is told."""
    watch = ("strace", "-f", "-qq", "-o", "/dev/null", *options)
    return run(*watch, BIN / "leakdrop", "import", "--drops", stick, "--config", site.config)


def take(site: Site, stick: Path) -> Moved:
    """The same within this process, for cases that are many."""
    with Drops(site.data) as drops:
        mover = Mover(drops, stick, [label_key_pair("alice").public.key_id], TODAY)
        return mover.move(lambda _total: nullcontext(lambda size: None))


def rows(site: Site) -> dict[str, tuple[int, str]]:
    """Size and week by name."""
    with closing(sqlite3.connect(site.data / "leakdrop.sqlite")) as database:
        found = database.execute("SELECT name, size, week FROM drops")
        return {name: (size, week) for name, size, week in found}


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def drops_of(site: Site) -> dict[str, bytes]:
    return contents(site.data / "drops")


def assert_moved(old: Site, new: Site) -> None:
    """Both machines have the same drops of the same weeks, and the new one has nothing else."""
    assert drops_of(new) == drops_of(old)
    assert rows(new) == rows(old)
    assert_tidy(new)


def assert_tidy(site: Site) -> None:
    """Each drop has its row, each row its drop, and nothing else is left."""
    assert {f"{name}.envelope" for name in rows(site)} == set(drops_of(site))
    assert list(site.data.rglob("*.part")) == []


def test_from_one_machine_by_a_stick_to_another_the_same_drops_of_the_same_weeks(old, new, stick, tmp_path):
    before = contents(stick)
    done = bring(new, stick)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("5 drops imported (")
    assert_moved(old, new)
    assert {week for _, week in rows(new).values()} == {OLDER, OLD, this_week()}
    assert contents(stick) == before
    # The reviewers get the same from the new machine as from the old one.
    assert contents(export(new, tmp_path / "other stick")) == before
    assert "5 drops lay there already" in leakdrop("export", stick, "--config", new.config).stdout


def test_an_import_can_be_repeated_and_takes_what_is_new(old, new, stick):
    bring(new, stick)
    inodes = {path.name: path.stat().st_ino for path in new.envelopes()}
    done = bring(new, stick)
    assert (done.returncode, done.stdout) == (0, "5 drops lay here already.\n0 drops imported (0 bytes).\n")
    assert {path.name: path.stat().st_ino for path in new.envelopes()} == inodes
    fill(old, OLD, make_envelope())
    told = json.loads(bring(new, export(old, stick), "--json").stdout)
    assert (told["taken"], told["present"], told["refused"], told["leaving"]) == (1, 5, [], 0)
    assert_moved(old, new)


def test_a_stick_that_the_reviewers_gave_back_brings_no_drop_without_being_asked(new, stick):
    done = leakdrop("import", stick, "--config", new.config)
    assert (done.returncode, done.stdout, new.envelopes()) == (0, "0 replies imported.\n", [])
    assert "For the drops of another machine: --drops." in done.stderr
    (stick / "replies").mkdir()
    receipt = label_receipt("amina")
    reply = seal_reply(receipt.key_pair.public)
    name = f"{receipt.mailbox.hex()}.{hashlib.sha256(reply).hexdigest()[:32]}.envelope"
    (stick / "replies" / name).write_bytes(reply)
    assert leakdrop("import", stick, "--config", new.config).stdout == "1 reply imported.\n"
    assert drops_of(new) == {}


def test_beside_the_drops_nothing_of_the_stick_is_taken(old, new, stick):
    (stick / "replies").mkdir()
    for name in ("replies/x", ".DS_Store", "._a.envelope", "acknowledged.json"):
        (stick / name).write_text("x")
    assert take(new, stick).refused == ()
    assert_moved(old, new)
    assert (stick / "replies" / "x").exists()


def test_the_reviewers_acknowledgement_counts_on_the_new_machine(new, stick):
    take(new, stick)
    entries = tuple(Acknowledged(entry.name, entry.sha256) for entry in load_bundle(stick).entries)
    (stick / "acknowledged.json").write_bytes(encode_acknowledgement(entries))
    assert "5 drops acknowledged" in leakdrop("import", stick, "--config", new.config).stdout


def rewrite(stick: Path, name: str, **fields: object) -> None:
    """Change what bundle.json says of one envelope."""
    listed = json.loads((stick / "bundle.json").read_text())
    next(entry for entry in listed["envelopes"] if entry["name"] == name).update(fields)
    (stick / "bundle.json").write_text(json.dumps(listed))


def replace(stick: Path, name: str, content: bytes) -> None:
    """Put other bytes in an envelope's place, and let bundle.json say so."""
    (stick / name).write_bytes(content)
    rewrite(stick, name, size=len(content), sha256=hashlib.sha256(content).hexdigest())


def link(stick: Path, name: str) -> None:
    (stick / name).rename(stick / "elsewhere")
    (stick / name).symlink_to(stick / "elsewhere")


def pipe(stick: Path, name: str) -> None:
    (stick / name).unlink()
    os.mkfifo(stick / name)


def empty_pipe(stick: Path, name: str) -> None:
    pipe(stick, name)
    rewrite(stick, name, size=0)


def fold(stick: Path, name: str) -> None:
    (stick / name).unlink()
    (stick / name).mkdir()


def shorten(stick: Path, name: str) -> None:
    replace(stick, name, (stick / name).read_bytes()[:-1])


def lengthen(stick: Path, name: str) -> None:
    replace(stick, name, (stick / name).read_bytes() + b"\0")


NO_FILE, FOREIGN = (
    "it is no file of the size that bundle.json says",
    "sealed to a key that is not in keys_dir",
)
WRONG_SUM, WRONG_LENGTH = "its sum is not the one in bundle.json", "a length that no envelope has"
HOSTILE: dict[str, tuple[Callable[[Path, str], object], str]] = {
    "changed": (lambda stick, name: damage(stick / name), WRONG_SUM),
    "wrong sum": (lambda stick, name: rewrite(stick, name, sha256="0" * 64), WRONG_SUM),
    "wrong size": (lambda stick, name: rewrite(stick, name, size=300_000), NO_FILE),
    "gone": (lambda stick, name: (stick / name).unlink(), "bundle.json names it, and it is not there"),
    "cut off": (lambda stick, name: os.truncate(stick / name, 1000), NO_FILE),
    "cut off and listed so": (shorten, WRONG_LENGTH),
    "longer": (lengthen, WRONG_LENGTH),
    "no byte": (lambda stick, name: replace(stick, name, b""), "This is not a leakdrop envelope."),
    "no envelope": (lambda stick, name: replace(stick, name, bytes(9)), "This is not a leakdrop envelope."),
    "foreign key": (lambda stick, name: replace(stick, name, make_envelope(labels=("mallory",))), FOREIGN),
    "a key too many": (
        lambda stick, name: replace(stick, name, make_envelope(labels=("alice", "mallory"))),
        FOREIGN,
    ),
    "link": (link, NO_FILE),
    "pipe": (pipe, NO_FILE),
    "pipe of no bytes": (empty_pipe, NO_FILE),
    "folder": (fold, NO_FILE),
    "no such week": (lambda stick, name: rewrite(stick, name, week="2025-W53"), "there is no week 2025-W53"),
    "year nought": (lambda stick, name: rewrite(stick, name, week="0000-W01"), "there is no week 0000-W01"),
    "after all weeks": (lambda stick, name: rewrite(stick, name, week="9999-W52"), "no week 9999-W52"),
    "to come": (lambda stick, name: rewrite(stick, name, week="9998-W52"), "9998-W52, has not begun"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_what_is_no_drop_of_ours_is_left_out_and_the_others_come_in(new, stick, case):
    change, sentence = HOSTILE[case]
    first, *others = sorted(path.name for path in stick.glob("*.envelope"))
    change(stick, first)
    done = take(new, stick)
    assert [refused.name for refused in done.refused] == [first]
    assert sentence in done.refused[0].sentence
    assert sorted(drops_of(new)) == others
    assert_tidy(new)


def test_all_that_is_left_out_is_a_line_each_and_the_command_fails(old, new, stick):
    *names, last = sorted(path.name for path in stick.glob("*.envelope"))
    for name, case in zip(names, ("changed", "foreign key", "link", "no such week"), strict=True):
        HOSTILE[case][0](stick, name)
    done = bring(new, stick)
    assert (done.returncode, done.stdout.split(" (")[0]) == (1, "1 drop imported")
    told = [line.partition(" is left out: ")[0] for line in done.stderr.splitlines()]
    assert told == [f"WARNING: {name}" for name in names]
    told = json.loads(bring(new, stick, "--json").stdout)
    assert (told["taken"], told["present"]) == (0, 1)
    assert [refused["name"] for refused in told["refused"]] == names
    assert drops_of(new) == {last: drops_of(old)[last]}


LISTED = '{"format":"leakdrop bundle 1","envelopes":[%s]}'
ENTRY = '{"name":"%s","size":1,"sha256":"' + 64 * "0" + '","week":"2026-W01"}'
BAD_LISTS = {
    "missing": (None, "it holds no bundle.json"),
    "empty": ("", "it is not JSON"),
    "cut off": (LISTED[:30], "it is not JSON"),
    "deep": ("[" * 100_000, "it has more values than a list of its length"),
    "newer": ('{"format":"leakdrop bundle 2","envelopes":[]}', "made by a newer leakdrop"),
    "path upwards": (LISTED % ENTRY % f"../{'a' * 32}.envelope", "the name of envelope 1"),
    "whole path": (LISTED % ENTRY % "/etc/passwd", "the name of envelope 1"),
    "nought byte": (LISTED % ENTRY % f"{'a' * 32}.envelope\\u0000", "the name of envelope 1"),
    "capitals": (LISTED % ENTRY % f"{'A' * 32}.envelope", "the name of envelope 1"),
    "twice": (LISTED % ",".join([ENTRY % f"{'a' * 32}.envelope"] * 2), "envelope 2 is not in order"),
    "wrong types": (LISTED % '{"name":1,"size":1,"sha256":1,"week":1}', "the name of envelope 1"),
}


@pytest.mark.parametrize("case", BAD_LISTS)
def test_a_bundle_list_that_is_none_is_told_and_nothing_is_taken(new, stick, case):
    content, sentence = BAD_LISTS[case]
    (stick / "bundle.json").unlink()
    if content is not None:
        (stick / "bundle.json").write_text(content)
    with pytest.raises(BundleError, match=re.escape(sentence)):
        take(new, stick)
    assert drops_of(new) == {}


@pytest.mark.parametrize(("kind", "sentence"), [(link, "is a link"), (pipe, "is not a file")])
def test_a_bundle_list_that_is_no_file_is_not_read(new, stick, kind, sentence):
    kind(stick, "bundle.json")
    assert_one_line(bring(new, stick), sentence)
    assert drops_of(new) == {}


def test_what_an_export_that_was_broken_off_did_not_list_is_told(new, stick):
    first, *others = load_bundle(stick).entries
    (stick / "bundle.json").write_bytes(encode_bundle(Bundle(tuple(others))))
    (refused,) = take(new, stick).refused
    assert refused.name == first.name
    assert refused.sentence.startswith("bundle.json does not name it.")
    assert sorted(drops_of(new)) == [entry.name for entry in others]


def test_a_drop_of_the_same_name_and_other_bytes_is_told_and_stays_as_it_is(new, stick):
    take(new, stick)
    path = new.envelopes()[0]
    damage(path)
    before = drops_of(new), rows(new)
    done = take(new, stick)
    assert (done.present, [refused.name for refused in done.refused]) == (4, [path.name])
    assert "a drop of this name is here, and has other bytes" in done.refused[0].sentence
    assert (drops_of(new), rows(new)) == before


@pytest.mark.parametrize("kind", ["text", "link"])
def test_what_was_put_among_the_drops_by_hand_is_not_overwritten(new, stick, kind):
    name = min(path.name for path in stick.glob("*.envelope"))
    path = new.data / "drops" / name
    path.write_text("by hand") if kind == "text" else path.symlink_to("/nowhere")
    (refused,) = take(new, stick).refused
    assert (refused.name, refused.sentence.partition(":")[0]) == (name, "Something else has its name here")
    assert path.is_symlink() if kind == "link" else path.read_text() == "by hand"


def test_drops_for_an_expired_key_of_ours_come_in(old, stick, tmp_path):
    expired = public_key_file("alice", datetime.date(2026, 1, 31))
    site = make_test_site(tmp_path / "later", [public_key_file("bob"), expired], **KEPT)
    assert bring(site, stick).returncode == 0
    assert_moved(old, site)


def test_drops_that_came_too_long_ago_are_taken_and_it_is_told_that_they_leave(stick, tmp_path):
    site = make_test_site(tmp_path / "site", [public_key_file("alice")], keep_at_most_weeks=4)
    done = bring(site, stick)
    assert (done.returncode, done.stdout.split(" (")[0]) == (0, "5 drops imported")
    assert "4 drops of these came so long ago that the next purge removes them" in done.stderr


def test_what_does_not_fit_above_the_reserve_is_not_begun(stick, tmp_path):
    free = shutil.disk_usage(tmp_path).free
    site = make_test_site(tmp_path / "site", [public_key_file("alice")], disk_reserve_bytes=2 * free)
    assert_one_line(bring(site, stick), "There is no room for 5 drops")
    assert drops_of(site) == {}


@pytest.mark.needs("strace")
@pytest.mark.parametrize("call", ["rename", "fsync"])
def test_the_servers_own_disk_is_not_taken_for_the_stick(old, new, stick, call):
    done = bring_watched(new, stick, "-e", f"inject={call}:error=EIO")
    assert_one_line(done, "This server's data folder: Input/output error. What was imported before is whole")
    assert bring(new, stick).returncode == 0
    assert_moved(old, new)


@pytest.mark.needs("strace")
def test_a_disk_that_others_fill_meanwhile_is_told_and_nothing_is_half_there(old, new, stick):
    """The last write of the first envelope fails."""
    size = sorted(load_bundle(stick).entries, key=lambda entry: entry.week)[0].size
    assert size < MIB
    done = bring_watched(new, stick, "-e", "trace=write", "-e", "inject=write:error=ENOSPC:when=1")
    assert_one_line(done, "There is no room for")
    assert drops_of(new) == {}
    assert bring(new, stick).returncode == 0
    assert_moved(old, new)


@pytest.mark.needs("strace")
def test_an_envelope_that_the_stick_does_not_give_back_does_not_stop_the_others(old, new, stick):
    bad = max(stick.glob("*.envelope"), key=lambda path: path.stat().st_size)
    done = bring_watched(new, stick, "-P", bad, "-e", "inject=read:error=EIO:when=2+")
    assert done.returncode == 1
    assert f"{bad.name} is left out: {bad} cannot be read: Input/output error." in done.stderr
    assert len(drops_of(new)) == 4
    assert_tidy(new)
    assert bring(new, stick).returncode == 0
    assert_moved(old, new)


def test_after_a_kill_at_any_moment_an_import_goes_on_and_weeks_stay(old, new, stick):
    for _ in range(8):
        fill(old, OLD, make_envelope())
    export(old, stick)
    chance = random.Random(20261122)
    for _ in range(3):
        process = subprocess.Popen(
            [BIN / "leakdrop", "import", "--drops", stick, "--config", new.config],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        before, deadline = len(new.envelopes()), time.monotonic() + PATIENCE
        while len(new.envelopes()) == before and process.poll() is None:
            assert time.monotonic() < deadline
        time.sleep(chance.uniform(0, 0.02))
        process.kill()
        process.wait(PATIENCE)
        assert drops_of(new).items() <= drops_of(old).items()
        assert rows(new).items() <= rows(old).items()
        # A server that starts now finds every drop listed.
        with Drops(new.data) as drops:
            assert drops.recover().listed == ()
    assert bring(new, stick).returncode == 0
    assert_moved(old, new)


def test_what_a_kill_left_behind_goes_with_the_daily_settling(new):
    """A copy that was not whole, and a row whose drop did not get its name."""
    layout = Layout(new.data)
    layout.settling.mkdir()
    layout.copy("a" * 32).write_bytes(b"half")
    with closing(sqlite3.connect(layout.database)) as database, database:
        database.execute("INSERT INTO drops (name, size, week) VALUES (?, 1, ?)", ("b" * 32, OLD))
    assert leakdrop("settle", "--config", new.config).returncode == 0
    assert_tidy(new)


def test_two_imports_at_once_are_refused(new, stick):
    with lock_upkeep(Layout(new.data)):
        assert_one_line(bring(new, stick), "try again when it is done")
    assert drops_of(new) == {}


def test_beside_a_server_that_crashes_again_and_again_an_import_loses_nothing(old, new, stick):
    for _ in range(10):
        fill(old, OLD, make_envelope())
    export(old, stick)
    new.start()
    try:
        process = subprocess.Popen(
            [BIN / "leakdrop", "import", "--drops", stick, "--config", new.config],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )  # fmt: skip
        sent = 0
        while process.poll() is None:
            assert new.send(("message", "meanwhile"))[0] == 200
            sent += 1
            new.stop(signal.SIGKILL)
            new.start()
        assert (process.returncode, process.communicate()[1]) == (0, b"")
    finally:
        new.stop()
    assert len(new.envelopes()) == 15 + sent
    assert drops_of(old).items() <= drops_of(new).items()
    assert rows(old).items() <= rows(new).items()
    assert_tidy(new)


def test_what_is_imported_says_nothing_of_the_time_and_the_rows_lie_in_no_order(new, stick):
    take(new, stick)
    data = new.data
    for path in (*new.envelopes(), data / "drops", data / "settling", data / "leakdrop.sqlite", data):
        assert path.stat().st_mtime_ns == 0, path
        assert path.stat().st_mode & 0o077 == 0, path
    raw = (data / "leakdrop.sqlite").read_bytes()
    lying = sorted(rows(new), key=lambda name: raw.rfind(name.encode()), reverse=True)
    assert lying == sorted(rows(new))


def test_a_week_that_had_settled_settles_once_more_when_a_drop_of_it_is_imported(new, stick):
    """Otherwise the times of the files would tell which of its drops came by the stick, and which had not."""
    theirs = {fill(new, OLD, make_envelope()) for _ in range(4)}
    alone = fill(new, "2026-W03", make_envelope())

    def look() -> dict[str, os.stat_result]:
        return {path.name.partition(".")[0]: path.stat() for path in new.envelopes()}

    with Drops(new.data) as drops:
        settle(drops)
        take(new, stick)
        before = look()
        settle(drops)
        after = look()
        renewed = {name for name in before if before[name].st_ino != after[name].st_ino}
        weeks = {name: week for name, (_, week) in rows(new).items()}
        of_that_week = {name for name in weeks if weeks[name] == OLD}
        assert theirs < of_that_week
        assert of_that_week < renewed
        assert alone not in renewed
        last = max(status.st_ctime_ns for status in before.values())
        assert all(after[name].st_ctime_ns > last for name in of_that_week)
        settle(drops)
        assert {name for name in of_that_week if look()[name].st_ino != after[name].st_ino} == set()


def test_a_mark_that_no_settling_has_taken_away_is_found_by_the_doctor(new, stick):
    fill(new, OLD, make_envelope())
    take(new, stick)
    health = examine(new.data, TODAY)
    assert (health.unsettled, health.leftovers) == ((), ())
    names = {name for name, (_, week) in rows(new).items() if week == OLD}
    assert names <= set(examine(new.data, TODAY + datetime.timedelta(days=3)).unsettled)
