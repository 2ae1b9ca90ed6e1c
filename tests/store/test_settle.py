"""Settling: after it, neither change time, birth time nor inode tells when or in which order drops came."""

import datetime
import errno
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from leakdrop.envelope.sealing import seal
from leakdrop.errors import StoreError
from leakdrop.store.drop import Drop
from leakdrop.store.drops import Drops
from leakdrop.store.layout import lock_upkeep
from leakdrop.store.settle import Settled, day_of_change, monday_after, needs_settling, settle
from tests.campaigns.faults import build_layer
from tests.keys import label_key_pair, public_key_file
from tests.site import (
    BIN,
    PATIENCE,
    assert_one_line,
    leakdrop,
    make_test_site,
    open_drops,
    run,
    temporary_mount,
)
from tests.tus import TusClient, make_envelope

SMALL = 300_000
MANY = 12


@pytest.fixture
def drops(tmp_path):
    with open_drops(tmp_path / "data") as drops:
        yield drops


def fill(drops: Drops, count: int) -> list[Drop]:
    """Drops in the order in which they came."""
    kept = []
    for number in range(count):
        with drops.receive(SMALL) as incoming:
            seal([label_key_pair("alice").public], incoming, sealed="server", message=str(number))
            kept.append(drops.keep(incoming))
    return kept


@pytest.mark.needs("gcc")
def test_a_drop_that_cannot_be_read_does_not_keep_the_others_from_settling(tmp_path):
    site = make_test_site(tmp_path / "site", [public_key_file("alice")])
    with Drops(site.data) as drops:
        kept = fill(drops, 4)
        before = [inode(path) for path in paths(drops, kept)]
    layer = build_layer(tmp_path, site.data / "drops", ("read",))
    layer.plan(1, 1, errno.EIO)
    done = run(*layer.prefix, BIN / "leakdrop", "settle", "--config", site.config)
    assert (done.returncode, done.stdout) == (0, "")
    assert "does not give every drop" in done.stderr
    assert not re.search("[0-9]|drops", done.stderr), "a journal keeps it"
    after = [inode(site.data / "drops" / f"{drop.name}.envelope") for drop in kept]
    assert sum(new == old for new, old in zip(after, before, strict=True)) == 1
    assert not list((site.data / "settling").iterdir())


def paths(drops: Drops, kept: list[Drop]) -> list[Path]:
    return [drops.path(drop) for drop in kept]


def born(path: Path) -> str:
    """A file's birth time, to the nanosecond; "-" where the file system has none."""
    return run("stat", "-c", "%w", path).stdout.strip()


def changed(path: Path) -> int:
    return path.stat().st_ctime_ns


def inode(path: Path) -> int:
    return path.stat().st_ino


def test_what_is_settled_has_the_same_bytes_in_a_new_file(drops):
    (path,) = paths(drops, fill(drops, 1))
    content, before = path.read_bytes(), inode(path)
    assert settle(drops) == Settled(1, 0)
    assert path.read_bytes() == content
    assert inode(path) != before
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(drops.layout.settling.iterdir()) == []


def test_after_it_every_file_was_born_and_changed_after_the_last_drop_had_come(drops):
    kept = paths(drops, fill(drops, MANY))
    last = max(changed(path) for path in kept)
    last_birth = max(born(path) for path in kept)
    settle(drops)
    layout = drops.layout
    for path in (*kept, layout.drops, layout.incoming, layout.uploads, layout.database, layout.root):
        assert changed(path) > last
        assert path.stat().st_mtime_ns == path.stat().st_atime_ns == 0
    if last_birth != "-":
        assert all(born(path) > last_birth for path in kept)


@pytest.mark.parametrize("trace", [changed, born, inode], ids=["change times", "birth times", "inodes"])
def test_no_trace_keeps_the_order_of_arrival(drops, trace):
    kept = paths(drops, fill(drops, MANY))
    if trace(kept[0]) == "-":
        pytest.skip("to run it: use a file system that keeps birth times, such as ext4")

    def order() -> list[Path]:
        """By the trace; what it does not tell apart by name, which is random."""
        return sorted(kept, key=lambda path: (trace(path), path.name))

    for _ in range(3):
        settle(drops)
        assert order() != kept


def test_no_drop_gets_the_inode_that_another_one_had(drops):
    """It would tell which one was copied before it, and so on back to the order of arrival."""
    kept = paths(drops, fill(drops, MANY))
    before = {inode(path) for path in kept}
    settle(drops)
    assert before.isdisjoint(inode(path) for path in kept)


def test_the_database_keeps_no_order_and_the_rows_stay(drops):
    kept = fill(drops, MANY)
    settle(drops)
    assert drops.all() == sorted(kept, key=lambda drop: drop.name)
    raw = drops.layout.database.read_bytes()
    names = [drop.name for drop in kept]
    lying = sorted(names, key=lambda name: raw.rfind(name.encode()), reverse=True)
    assert lying == sorted(names)


@pytest.mark.parametrize(
    ("week", "day", "needed"),
    [
        ("2026-W47", (2026, 11, 16), True),
        ("2026-W47", (2026, 11, 22), True),
        ("2026-W47", (2026, 11, 23), False),
        ("2026-W47", (2026, 12, 24), False),
        ("2026-W53", (2027, 1, 3), True),
        ("2026-W53", (2027, 1, 4), False),
    ],
    ids=["Monday", "Sunday", "Monday after", "later", "last day of a long year", "after a long year"],
)
def test_a_drop_settles_daily_in_its_week_and_once_more_after_it(week, day, needed):
    assert needs_settling(Drop("0" * 32, 1, week), datetime.date(*day)) is needed


def test_a_drop_of_an_ended_week_that_settled_since_is_left_alone(drops):
    (drop,) = fill(drops, 1)
    set_week(drops, drop, datetime.date.fromordinal(1_000))
    before = inode(drops.path(drop))
    assert settle(drops) == Settled(0, 0)
    assert inode(drops.path(drop)) == before
    assert day_of_change(drops.path(drop)) >= monday_after(drops.all()[0].week)


def set_week(drops: Drops, drop: Drop, day: datetime.date) -> None:
    year, week, _ = day.isocalendar()
    with drops.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE drops SET week = ?", (f"{year:04}-W{week:02}",))


def test_two_cannot_settle_at_once(drops):
    fill(drops, 1)
    with lock_upkeep(drops.layout), pytest.raises(StoreError, match="settling or removing"):
        settle(drops)
    assert settle(drops) == Settled(1, 0)


def test_a_drop_that_was_removed_by_hand_does_not_come_back(drops):
    first, second = fill(drops, 2)
    drops.path(first).unlink()
    assert settle(drops) == Settled(1, 0)
    assert drops.all() == [second]


def test_a_full_disk_leaves_every_drop_whole_and_says_how_many_wait(tmp_path):
    if not temporary_mount(tmp_path / "small", "4M"):
        pytest.skip("to run it: be root, who can mount a small file system")
    try:
        with open_drops(tmp_path / "small" / "data") as drops:
            kept = paths(drops, fill(drops, 5))
            contents = [path.read_bytes() for path in kept]
            free = shutil.disk_usage(tmp_path / "small").free
            (tmp_path / "small" / "other").write_bytes(bytes(free - 100_000))
            assert settle(drops) == Settled(0, 5)
            assert [path.read_bytes() for path in kept] == contents
            assert list(drops.layout.settling.iterdir()) == []
            # Room for one copy is enough: what the old files held is given back when it is needed.
            (tmp_path / "small" / "other").write_bytes(bytes(free - 400_000))
            assert settle(drops) == Settled(5, 0)
            assert [path.read_bytes() for path in kept] == contents
    finally:
        run("umount", tmp_path / "small")


SETTLER = """
import sys
from pathlib import Path
from leakdrop.store.drops import Drops
from leakdrop.store.settle import settle
with Drops(Path(sys.argv[1])) as drops:
    while True:
        print("again", flush=True)
        settle(drops)
"""


def test_a_kill_at_any_moment_leaves_every_drop_whole_and_the_next_settling_cleans_up(drops):
    kept = paths(drops, fill(drops, MANY))
    contents = [path.read_bytes() for path in kept]
    chance = random.Random(20261122)
    for _ in range(8):
        settler = subprocess.Popen(
            [sys.executable, "-c", SETTLER, drops.layout.root],
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[2],
        )
        settler.stdout.readline()
        for _ in range(chance.randrange(1_500_000)):
            pass
        os.kill(settler.pid, signal.SIGKILL)
        settler.communicate(timeout=PATIENCE)
        assert [path.read_bytes() for path in kept] == contents
    assert settle(drops) == Settled(MANY, 0)
    assert [path.read_bytes() for path in kept] == contents
    assert list(drops.layout.settling.iterdir()) == []


def test_beside_a_running_server_nothing_that_comes_in_is_lost(start_site, alice):
    site = start_site()
    stop = threading.Event()
    done: list[int] = []

    def keep_settling() -> None:
        while not stop.is_set():
            done.append(leakdrop("settle", "--config", site.config).returncode)

    settling = threading.Thread(target=keep_settling)
    settling.start()
    for number in range(10):
        assert site.send(("message", f"form {number}"))[0] == 200
        TusClient.direct(site.port).upload(make_envelope(100_000))
    stop.set()
    settling.join()
    assert set(done) == {0}
    assert len(site.envelopes()) == 20
    with Drops(site.data) as drops:
        assert drops.recover().listed == ()
        assert len(drops.all()) == 20
    assert site.log.read_text() == ""


def test_the_command_says_nothing_that_a_journal_could_keep(start_site):
    site = start_site()
    site.send(("message", "hello"))
    before = inode(site.envelopes()[0])
    done = leakdrop("settle", "--config", site.config)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert inode(site.envelopes()[0]) != before
    with lock_upkeep(Drops(site.data).layout):
        assert_one_line(leakdrop("settle", "--config", site.config), "try again when it is done")
