"""Drops in a real SQLite and on a real disk: durable, without order, and whole after every crash."""

import contextlib
import datetime
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from leakdrop.envelope.header import read_header
from leakdrop.envelope.opening import open_envelope
from leakdrop.envelope.sealing import seal
from leakdrop.errors import NoRoomError, StoreError
from leakdrop.store.drop import Drop, iso_week
from leakdrop.store.drops import Drops
from leakdrop.store.layout import free_bytes, lock_upkeep
from tests.keys import label_key_pair
from tests.site import PATIENCE, open_drops, run, temporary_mount

MIB = 1024 * 1024
SMALL = 300_000  # room for the smallest envelope


@pytest.fixture
def drops(tmp_path):
    with open_drops(tmp_path / "data") as drops:
        yield drops


def drop_message(drops: Drops, message: str = "hello") -> Drop:
    with drops.receive(SMALL) as incoming:
        seal([label_key_pair("alice").public], incoming, sealed="server", message=message)
        return drops.keep(incoming)


def read_message(path: Path) -> str:
    with path.open("rb") as file:
        return open_envelope(file, [label_key_pair("alice")]).index.message


def query(drops: Drops, statement: str) -> list[tuple]:
    connection = sqlite3.connect(drops.layout.database)
    try:
        return connection.execute(statement).fetchall()
    finally:
        connection.close()


def test_a_kept_envelope_is_listed_and_opens(drops):
    drop = drop_message(drops, "what I saw")
    assert drops.all() == [drop]
    assert read_message(drops.path(drop)) == "what I saw"
    assert list(drops.layout.incoming.iterdir()) == []


def test_an_envelope_that_is_not_kept_leaves_nothing(drops):
    with drops.receive(SMALL) as incoming:
        incoming.write(b"half of an envelope")
    assert drops.all() == []
    assert list(drops.layout.incoming.iterdir()) == []


def test_files_and_folders_carry_no_time_of_writing(drops):
    drop = drop_message(drops)
    layout = drops.layout
    for path in (drops.path(drop), layout.drops, layout.incoming, layout.database, layout.root):
        assert path.stat().st_mtime_ns == path.stat().st_atime_ns == 0, path


def test_everything_is_for_this_user_alone(drops):
    drop = drop_message(drops)
    for file in (drops.path(drop), drops.layout.database):
        assert file.stat().st_mode & 0o777 == 0o600
    for folder in (drops.layout.root, drops.layout.drops, drops.layout.incoming):
        assert folder.stat().st_mode & 0o777 == 0o700


def test_the_name_of_a_drop_is_not_that_of_the_file_it_came_in(drops):
    with drops.receive(SMALL) as incoming:
        seal([label_key_pair("alice").public], incoming, sealed="server")
        assert drops.keep(incoming).name != incoming.name


def test_no_table_has_rowids_and_there_is_no_write_ahead_log(drops):
    drop_message(drops)
    tables = query(drops, "SELECT name, sql FROM sqlite_master WHERE type = 'table'")
    assert {name for name, _ in tables} == {"drops", "uploads", "parts", "replies", "alembic_version"}
    assert all("WITHOUT ROWID" in sql for _, sql in tables)
    assert query(drops, "PRAGMA journal_mode") == [("delete",)]
    names = {path.name for path in drops.layout.root.iterdir()}
    assert names == {"drops", "incoming", "uploads", "replies", "leakdrop.sqlite"}


def test_a_row_holds_name_size_and_weeks_and_nothing_else(drops):
    drop = drop_message(drops)
    assert query(drops, "SELECT * FROM drops") == [(drop.name, drop.size, drop.week, None)]


def name_everything(drops: Drops) -> tuple[set[str], set[str], set[str]]:
    """What came by the form, by uploads and as a reply: names of drops, what they came as, a mailbox."""
    with drops.receive(SMALL) as incoming:
        seal([label_key_pair("alice").public], incoming, sealed="server")
        came_as = {incoming.name}
        drops.keep(incoming)
    uploads, today = drops.uploads(2**40), datetime.date(2026, 11, 24)
    envelope = drops.path(drops.all()[0]).read_bytes()
    for size in (len(envelope), 5_000):  # the second one is not finished
        upload = uploads.create(len(envelope), today)
        came_as.add(upload.id)
        with uploads.append(upload.id, 0, today, lambda: None) as writing:
            writing.write(envelope[:size])
            if size == len(envelope):
                uploads.finish(writing)
    drops.replies(8).keep(mailbox := bytes(range(32)), envelope)
    return {drop.name for drop in drops.all()}, came_as, {mailbox.hex()}


def test_no_row_has_both_a_drop_and_what_it_came_as_or_a_mailbox(drops):
    kinds = name_everything(drops)
    assert [len(names) for names in kinds] == [2, 3, 1]
    tables = query(drops, "SELECT name FROM sqlite_master WHERE type = 'table'")
    rows = [row for (table,) in tables for row in query(drops, f"SELECT * FROM {table}")]  # noqa: S608 - our own names
    told = [[names & {str(cell) for cell in row} for names in kinds] for row in rows]
    assert all(sum(map(len, found)) <= 1 for found in told)
    # Two drops, two uploads (of the form nothing is told), one mailbox; and nothing joins their tables.
    assert [len(set().union(*column)) for column in zip(*told, strict=True)] == [2, 2, 1]
    for (table,) in tables:
        assert query(drops, f"PRAGMA foreign_key_list({table})") == []


def test_rows_lie_in_the_order_of_their_names_in_the_database_file(drops):
    """SQLite puts a new cell below those before it, which would tell the order of arrival."""
    names = [drop_message(drops).name for _ in range(12)]
    raw = drops.layout.database.read_bytes()
    lying = sorted(names, key=lambda name: raw.rfind(name.encode()), reverse=True)
    assert names != sorted(names)
    assert lying == sorted(names)


def test_secure_delete_and_full_synchronisation_are_on(drops):
    with drops.engine.connect() as connection:
        pragma = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("secure_delete", "synchronous", "temp_store")
        }
    assert pragma == {"secure_delete": 1, "synchronous": 2, "temp_store": 2}


@pytest.mark.parametrize(
    ("day", "week"), [((2026, 11, 22), "2026-W47"), ((2027, 1, 3), "2026-W53"), ((2027, 1, 4), "2027-W01")]
)
def test_weeks_are_iso_weeks(day, week):
    assert iso_week(datetime.date(*day)) == week


def test_weeks_count_what_is_there_with_rows_and_without(drops):
    sizes = [drop_message(drops, "m" * length).size for length in (1, 2)]
    (week,) = drops.weeks()
    assert (week.week, week.drops, week.bytes) == (
        iso_week(datetime.datetime.now(datetime.UTC).date()),
        2,
        sum(sizes),
    )
    lost = drops.all()[0]
    with contextlib.closing(sqlite3.connect(drops.layout.database)) as connection, connection:
        connection.execute("DELETE FROM drops WHERE name = ?", [lost.name])
    assert [(week.drops, week.bytes) for week in drops.weeks()] == [(2, sum(sizes))]
    drops.path(lost).unlink()
    assert [(week.drops, week.bytes) for week in drops.weeks()] == [(1, sum(sizes) - lost.size)]


def test_a_file_without_a_row_is_listed_even_before_the_next_start(drops):
    drop = drop_message(drops)
    query_delete(drops)
    assert [found.name for found in drops.all()] == [drop.name]


def query_delete(drops: Drops) -> None:
    connection = sqlite3.connect(drops.layout.database)
    with connection:
        connection.execute("DELETE FROM drops")
    connection.close()


def test_a_file_without_a_row_gets_one_at_the_next_start(drops):
    drop = drop_message(drops)
    query_delete(drops)
    assert drops.recover().listed == (drop.name,)
    assert query(drops, "SELECT name, size FROM drops") == [(drop.name, drop.size)]


def test_a_row_without_a_file_is_removed_at_the_next_start(drops):
    drops.path(drop_message(drops)).unlink()
    drops.recover()
    assert query(drops, "SELECT * FROM drops") == []


def test_what_can_never_become_a_drop_is_removed_at_the_next_start(drops):
    (drops.layout.incoming / "00.part").write_bytes(b"half")
    assert drops.recover().removed == ("00.part",)
    assert list(drops.layout.incoming.iterdir()) == []


def test_a_foreign_file_is_named_and_left_alone(drops):
    foreign = drops.layout.drops / f"{'0' * 32}.envelope"
    foreign.write_bytes(b"not an envelope")
    assert drops.recover().foreign == (foreign.name,)
    assert drops.all() == []
    assert foreign.exists()


def test_a_drop_survives_a_database_that_is_locked(drops, monkeypatch):
    monkeypatch.setattr(drops, "engine", without_patience(drops))
    other = sqlite3.connect(drops.layout.database, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with drops.receive(SMALL) as incoming:
        seal([label_key_pair("alice").public], incoming, sealed="server")
        drop = drops.keep(incoming)
    other.execute("ROLLBACK")
    other.close()
    assert drops.recover().listed == (drop.name,)


def test_a_server_that_starts_amid_an_import_leaves_the_row_of_the_drop_that_comes(drops):
    """An import writes the row, and then gives the drop its name."""
    coming = Drop("1" * 32, SMALL, "2026-W30")
    with lock_upkeep(drops.layout):
        drops.add_rows([coming])
        drops.recover()
        assert drops._weeks() == {coming.name: coming.week}
    drops.recover()
    assert drops._weeks() == {}, "without an import it is what a kill has left"


def without_patience(drops: Drops):
    """The same database, by connections that do not wait for a lock."""
    return create_engine(
        f"sqlite:///{drops.layout.database}", poolclass=NullPool, connect_args={"timeout": 0}
    )


def test_the_reserve_is_kept_free(tmp_path):
    free = shutil.disk_usage(tmp_path).free
    with open_drops(tmp_path / "data", reserve_bytes=free * 2) as drops, pytest.raises(NoRoomError):
        drop_message(drops)


@pytest.fixture
def small_drops(tmp_path):
    """On a disk of 64 MiB, of which 8 are to stay free."""
    if not temporary_mount(tmp_path / "disk", "64M"):
        pytest.skip("to run it: be root, who can mount a small file system")
    with open_drops(tmp_path / "disk" / "data", reserve_bytes=8 * MIB) as drops:
        yield drops
    run("umount", "-l", tmp_path / "disk")


def test_to_announce_much_keeps_nobody_out(small_drops):
    with contextlib.ExitStack() as idle:
        for _ in range(6):
            idle.enter_context(small_drops.receive(20 * MIB)).write(b"hello")
        with small_drops.receive(15 * MIB) as incoming:
            incoming.write(bytes(15 * MIB))
            small_drops.keep(incoming)
    assert [drop.size for drop in small_drops.all()] == [15 * MIB]


def test_room_is_kept_for_as_much_again_as_a_form_has_brought(small_drops):
    with small_drops.receive(50 * MIB) as incoming:
        incoming.write(bytes(25 * MIB))
        with pytest.raises(NoRoomError), small_drops.receive(10 * MIB):
            pass
        incoming.write(bytes(22 * MIB))
        small_drops.keep(incoming)
    assert [drop.size for drop in small_drops.all()] == [47 * MIB]


def test_of_two_forms_that_do_not_both_fit_the_one_further_along_finishes(small_drops):
    with small_drops.receive(40 * MIB) as first:
        first.write(bytes(10 * MIB))
        with small_drops.receive(34 * MIB) as second, contextlib.suppress(NoRoomError):
            second.write(bytes(10 * MIB))
            first.write(bytes(10 * MIB))
            while True:
                second.write(bytes(MIB))
                assert free_bytes(small_drops.layout.root) >= 8 * MIB
        assert second.written < 34 * MIB
        for _ in range(20):
            first.write(bytes(MIB))
        small_drops.keep(first)
    assert [drop.size for drop in small_drops.all()] == [40 * MIB]


def test_more_than_was_announced_is_refused(drops):
    with drops.receive(10) as incoming, pytest.raises(NoRoomError):
        incoming.write(bytes(11))


def test_a_start_on_a_full_disk_loses_nothing_and_the_next_one_writes_the_row(small_drops):
    drop = drop_message(small_drops)
    with small_drops.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM drops")
    filler = small_drops.layout.root.parent / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    small_drops.recover()
    assert small_drops.all() == [drop]
    assert query(small_drops, "SELECT count(*) FROM drops") == [(0,)]
    filler.unlink()
    assert small_drops.recover().listed == (drop.name,)
    assert query(small_drops, "SELECT name FROM drops") == [(drop.name,)]


def test_a_full_disk_is_told_and_leaves_nothing(tmp_path):
    if not temporary_mount(tmp_path / "small", "2M"):
        pytest.skip("to run it: be root, who can mount a small file system")
    try:
        with open_drops(tmp_path / "small" / "data") as drops:
            kept = drop_message(drops)
            with drops.receive(1_000_000) as incoming:
                (tmp_path / "small" / "other").write_bytes(bytes(900_000))
                with pytest.raises(NoRoomError):
                    incoming.write(bytes(1_000_000))
            assert drops.all() == [kept]
            assert list(drops.layout.incoming.iterdir()) == []
    finally:
        run("umount", tmp_path / "small")


def test_a_read_only_data_folder_is_told(tmp_path):
    if not temporary_mount(tmp_path / "small", "2M"):
        pytest.skip("to run it: be root, who can mount a small file system")
    try:
        open_drops(tmp_path / "small" / "data").close()
        run("mount", "-o", "remount,ro", tmp_path / "small")
        with pytest.raises(StoreError, match="is read-only"):
            Drops(tmp_path / "small" / "data")
    finally:
        run("umount", tmp_path / "small")


def test_a_data_folder_that_is_not_there_is_told_and_not_made(tmp_path):
    with pytest.raises(StoreError, match="is its disk mounted"):
        Drops(tmp_path / "data")
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("name", ["mine.envelope", f"{'0' * 31}.envelope", f"{'A' * 32}.envelope"])
def test_a_file_that_is_not_named_as_a_drop_is_none(drops, name):
    drop = drop_message(drops)
    (drops.layout.drops / name).write_bytes(drops.path(drop).read_bytes())
    assert drops.recover().foreign == (name,)
    assert drops.all() == [drop]


def test_a_link_among_the_drops_is_not_followed(drops, tmp_path):
    drop = drop_message(drops)
    elsewhere = drops.path(drop).rename(tmp_path / "elsewhere")
    drops.path(drop).symlink_to(elsewhere)
    assert drops.all() == []


def test_a_database_of_a_newer_version_is_told_and_not_touched(tmp_path):
    Drops(tmp_path).close()
    connection = sqlite3.connect(tmp_path / "leakdrop.sqlite")
    with connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    before = (tmp_path / "leakdrop.sqlite").read_bytes()
    with pytest.raises(StoreError, match="newer leakdrop"):
        Drops(tmp_path)
    assert (tmp_path / "leakdrop.sqlite").read_bytes() == before


def test_a_file_that_is_no_database_is_told(tmp_path):
    Drops(tmp_path).close()
    (tmp_path / "leakdrop.sqlite").write_bytes(b"this is not a database" * 1000)
    with pytest.raises(StoreError, match="cannot be used"):
        Drops(tmp_path)


# Writes drops without end, and tells of each one as soon as it is kept.
WRITER = """
import sys
from pathlib import Path
from leakdrop.envelope.sealing import seal
from leakdrop.store.drops import Drops
from tests.keys import label_key_pair
drops = Drops(Path(sys.argv[1]))
drops.recover()
key = label_key_pair("alice").public
for number in range(10_000):
    with drops.receive(300_000) as incoming:
        seal([key], incoming, sealed="server", message=str(number))
        print(drops.keep(incoming).name, flush=True)
"""


def test_after_a_kill_at_any_moment_every_acknowledged_drop_is_whole_and_nothing_else_is_left(tmp_path):
    chance = random.Random(20261122)
    acknowledged: list[str] = []
    for _ in range(8):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, tmp_path],
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )
        wanted = len(acknowledged) + chance.randint(1, 12)
        while len(acknowledged) < wanted:
            acknowledged.append(writer.stdout.readline().strip())
        # Somewhere within the next drop.
        for _ in range(chance.randrange(200_000)):
            pass
        os.kill(writer.pid, signal.SIGKILL)
        acknowledged += writer.stdout.read().split()
        writer.wait(PATIENCE)
        writer.stdout.close()
    with Drops(tmp_path) as drops:
        drops.recover()
        names = {drop.name for drop in drops.all()}
        assert names.issuperset(acknowledged)
        assert {name for (name,) in query(drops, "SELECT name FROM drops")} == names
        assert len(list(drops.layout.drops.iterdir())) == len(names)
        assert list(drops.layout.incoming.iterdir()) == []
        for drop in drops.all():
            with drops.path(drop).open("rb") as file:
                read_header(file, drop.size)
                open_envelope(file, [label_key_pair("alice")]).check()
