"""Drops of another machine come into what several machines share, in a real PostgreSQL and object store."""

import dataclasses
import datetime
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from leakdrop.errors import StoreError
from leakdrop.store.drop import Drop
from leakdrop.store.drops import Drops
from leakdrop.store.moving import NameTakenError
from leakdrop.store.shared.drops import SharedDrops
from leakdrop.store.shared.objects import Objects
from leakdrop.store.shared.writing import PART_BYTES
from tests.keys import public_key_file
from tests.services import ask, settings
from tests.site import leakdrop, make_test_site, run, wait_until
from tests.tus import MIB, make_envelope

pytestmark = pytest.mark.needs("postgres", "radosgw", "ceph-mon", "ceph-osd")
TODAY = datetime.datetime.now(datetime.UTC).date()
LATER = TODAY + datetime.timedelta(days=9)
WEEK = "2026-W02"
DROP = Drop("a" * 32, 2 * PART_BYTES + 1, WEEK)


@pytest.fixture
def drops(places) -> Iterator[SharedDrops]:
    with SharedDrops(*places) as drops:
        yield drops


@pytest.fixture
def objects(places) -> Objects:
    return Objects(places[1])


def pieces(fails: type[Exception] | None = None) -> Iterator[bytes]:
    yield from (b"x" * PART_BYTES, b"y" * PART_BYTES, b"z")
    if fails:
        raise fails


def read(drops: SharedDrops, drop: Drop) -> bytes:
    with drops.open(drop) as file:
        return file.read()


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_from_a_machine_alone_to_several_and_out_again_the_same_drops_of_the_same_weeks(places, tmp_path):
    kept = {"keep_at_most_weeks": 520}
    old = make_test_site(tmp_path / "old", [public_key_file("alice")])
    with Drops(old.data) as drops:
        for size in (0, 9 * MIB):
            envelope = make_envelope(size)
            with drops.receive(len(envelope)) as incoming:
                incoming.write(envelope)
                drops.keep(incoming)
        with drops.engine.begin() as connection:
            connection.exec_driver_sql("UPDATE drops SET week = ?", (WEEK,))
    assert leakdrop("export", tmp_path / "stick", "--config", old.config).returncode == 0
    one, two = (
        make_test_site(tmp_path / name, [public_key_file("alice")], **settings(*places), **kept)
        for name in ("one", "two")
    )
    done = leakdrop("import", "--drops", tmp_path / "stick", "--config", one.config)
    assert (done.returncode, done.stderr, done.stdout.split(" (")[0]) == (0, "", "2 drops imported")
    done = leakdrop("import", "--drops", tmp_path / "stick", "--config", two.config)
    assert done.stdout == "2 drops lay here already.\n0 drops imported (0 bytes).\n"
    assert leakdrop("export", tmp_path / "out", "--config", two.config).returncode == 0
    assert contents(tmp_path / "out") == contents(tmp_path / "stick")


def test_a_database_in_postgresql_and_files_take_drops_with_their_weeks_too(postgresql, places, tmp_path):
    site = make_test_site(tmp_path / "site", [public_key_file("alice")])
    envelope = make_envelope()
    drop = Drop("b" * 32, len(envelope), WEEK)
    with Drops(site.data, database_url=places[0]) as drops:
        with drops.moving() as bring:
            bring(drop, [envelope])
        assert drops.all() == [drop]
    assert ask(postgresql, places, "SELECT name, week FROM drops") == f"{drop.name}|{WEEK}"


def test_what_is_brought_has_its_week_and_what_fails_leaves_nothing(drops, objects, postgresql, places):
    with drops.moving() as bring:
        with pytest.raises(ZeroDivisionError):
            bring(DROP, pieces(ZeroDivisionError))
        wait_until(lambda: objects.keys("") == [])
        bring(DROP, pieces())
        with pytest.raises(NameTakenError):
            bring(DROP, pieces())
    assert drops.all() == [DROP]
    assert read(drops, DROP) == b"".join(pieces())
    assert ask(postgresql, places, "SELECT name, size, week FROM drops") == f"{DROP.name}|{DROP.size}|{WEEK}"
    assert ask(postgresql, places, "SELECT count(*) FROM uploads") == "0"
    assert len(objects.keys("parts/")) == 3


KILLED = f"""
import os, signal, sys
from leakdrop.store.drop import Drop
from leakdrop.store.shared.objects import Bucket
from leakdrop.store.shared.drops import SharedDrops
from leakdrop.store.shared.writing import PART_BYTES

def pieces():
    yield bytes(2 * PART_BYTES)
    os.kill(os.getpid(), signal.SIGKILL)

with SharedDrops(sys.argv[1], Bucket(*sys.argv[2:])) as drops, drops.moving() as bring:
    bring(Drop({DROP.name!r}, 2 * PART_BYTES, {DROP.week!r}), pieces())
"""


def test_after_a_kill_no_machine_makes_a_drop_of_it_and_the_next_import_does(objects, places):
    """The kill comes when all was put, and before its sum was compared."""
    bucket = dataclasses.astuple(places[1])
    assert run(sys.executable, "-c", KILLED, places[0], *bucket).returncode == -signal.SIGKILL
    assert len(objects.keys("parts/")) == 2
    with SharedDrops(*places) as other:
        other.recover()
        other.uploads(2**40).recover(TODAY)
        assert other.all() == []
        with other.moving() as bring:
            bring(DROP, pieces())
        # What was left goes when it has expired, and the drop stays whole.
        other.uploads(2**40).expire(LATER)
        wait_until(lambda: len(objects.keys("parts/")) == 3)
        assert other.all() == [DROP]
        assert read(other, DROP) == b"".join(pieces())


def test_a_crash_after_the_list_was_put_costs_neither_the_drop_nor_its_week(
    drops, objects, postgresql, places
):
    ask(postgresql, places, "ALTER TABLE drops ADD CONSTRAINT broken CHECK (size < 0)")
    with drops.moving() as bring, pytest.raises(StoreError):
        bring(DROP, pieces())
    ask(postgresql, places, "ALTER TABLE drops DROP CONSTRAINT broken")
    with SharedDrops(*places) as other:
        other.uploads(2**40).expire(LATER)
        other.recover()
        assert other.all() == [DROP]
        assert read(other, DROP) == b"".join(pieces())


def test_of_two_machines_one_imports(drops, places):
    with (
        SharedDrops(*places) as other,
        drops.moving(),
        pytest.raises(StoreError, match="Another import of drops is under way"),
        other.moving(),
    ):
        pass
    with SharedDrops(*places) as other, other.moving():
        pass
