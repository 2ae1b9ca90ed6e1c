"""Upgrades, ways back, and moves to another machine: no drop and no unfinished upload is lost."""

import datetime
import shutil
import sqlite3
from pathlib import Path

import alembic.command
import pytest
from alembic.config import Config as AlembicConfig

from leakdrop.envelope.keyfile import encode_public_key
from leakdrop.store.database import connect, migrations_folder
from leakdrop.store.drop import iso_week, this_week
from leakdrop.store.uploads import Uploads
from tests.keys import public_key_file
from tests.site import Site, free_port, leakdrop, make_test_site, open_drops
from tests.tus import MIB, TusClient, make_envelope

TODAY = datetime.datetime.now(datetime.UTC).date()
OLD_WEEK = "2026-W01"
REVISIONS = sorted(path.name.partition("_")[0] for path in (migrations_folder() / "versions").glob("*.py"))


def make_old_site(data: Path, revision: str) -> list[str]:
    """A data folder as an older version left it, with two drops; the drops' names."""
    for name in ("drops", "incoming", "uploads"):
        (data / name).mkdir(parents=True, mode=0o700)
    config = AlembicConfig()
    config.set_main_option("script_location", str(migrations_folder()))
    config.set_main_option("path_separator", "os")
    engine = connect(data / "leakdrop.sqlite")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        alembic.command.upgrade(config, revision)
    names = ["0" * 32, "f" * 32]
    database = sqlite3.connect(data / "leakdrop.sqlite")
    with database:
        for name in names:
            envelope = make_envelope()
            (data / "drops" / f"{name}.envelope").write_bytes(envelope)
            row = (name, len(envelope), OLD_WEEK)
            database.execute("INSERT INTO drops (name, size, week) VALUES (?, ?, ?)", row)
    database.close()
    return names


@pytest.mark.parametrize("revision", REVISIONS)
def test_a_site_of_any_older_version_keeps_its_drops_and_their_weeks(tmp_path, revision):
    names = make_old_site(tmp_path / "data", revision)
    with open_drops(tmp_path / "data") as drops:
        drops.recover()
        assert [(drop.name, drop.week) for drop in drops.all()] == [(name, OLD_WEEK) for name in names]
    database = sqlite3.connect(tmp_path / "data" / "leakdrop.sqlite")
    assert database.execute("SELECT version_num FROM alembic_version").fetchall() == [(REVISIONS[-1],)]
    tables = database.execute("SELECT sql FROM sqlite_master WHERE type = 'table'").fetchall()
    assert all("WITHOUT ROWID" in sql for (sql,) in tables)
    database.close()


@pytest.mark.parametrize("revision", [revision for revision in REVISIONS if revision >= "0002"])
def test_an_upload_that_began_before_an_upgrade_arrives_after_it(tmp_path, revision):
    make_old_site(tmp_path / "data", revision)
    envelope, upload_id = make_envelope(), "a" * 32
    (tmp_path / "data" / "uploads" / f"{upload_id}.part").write_bytes(envelope[:1000])
    database = sqlite3.connect(tmp_path / "data" / "leakdrop.sqlite")
    with database:
        expires = (TODAY + datetime.timedelta(days=2)).isoformat()
        row = (upload_id, len(envelope), expires)
        database.execute("INSERT INTO uploads (id, length, expires) VALUES (?, ?, ?)", row)
    database.close()
    with open_drops(tmp_path / "data") as drops:
        uploads = Uploads(drops, 2**40)
        uploads.recover(TODAY)
        assert uploads.find(upload_id).offset == 1000
        with uploads.append(upload_id, 1000, TODAY, lambda: None) as writing:
            writing.write(envelope[1000:])
            uploads.finish(writing)
        assert len(drops.all()) == 3


def test_after_a_way_back_drops_that_came_since_are_listed_by_themselves(tmp_path):
    """The database of before the upgrade is put back; envelopes stay where they are."""
    data, kept = tmp_path / "data", tmp_path / "before the upgrade.sqlite"
    names = make_old_site(data, REVISIONS[-1])
    shutil.copyfile(data / "leakdrop.sqlite", kept)
    (data / "drops" / f"{'5' * 32}.envelope").write_bytes(make_envelope())
    with open_drops(data) as drops:
        drops.recover()
    shutil.copyfile(kept, data / "leakdrop.sqlite")
    with open_drops(data) as drops:
        assert drops.recover().listed == ("5" * 32,)
        weeks = {drop.name: drop.week for drop in drops.all()}
    assert weeks == {names[0]: OLD_WEEK, "5" * 32: this_week(), names[1]: OLD_WEEK}


def test_without_any_database_every_drop_is_listed_in_this_week(tmp_path):
    names = make_old_site(tmp_path / "data", REVISIONS[-1])
    (tmp_path / "data" / "leakdrop.sqlite").unlink()
    with open_drops(tmp_path / "data") as drops:
        drops.recover()
        assert [(drop.name, drop.week) for drop in drops.all()] == [(name, iso_week(TODAY)) for name in names]


@pytest.fixture
def old_machine(tmp_path):
    site = make_test_site(tmp_path / "old", [public_key_file("alice")])
    site.start()
    yield site
    site.stop()


def test_a_site_that_was_copied_to_another_machine_goes_on_with_everything(old_machine, tmp_path):
    assert old_machine.send(("message", "before the move"))[0] == 200
    envelope = make_envelope(MIB)
    client = TusClient.direct(old_machine.port)
    path = client.create(len(envelope))
    client.patch(path, 0, envelope[:5000])
    old_machine.stop()
    shutil.copytree(old_machine.folder, tmp_path / "new")
    new = Site(tmp_path / "new", free_port())
    text = new.config.read_text().replace(str(old_machine.port), str(new.port))
    new.config.write_text(text)
    new.start()
    try:
        client = TusClient.direct(new.port)
        assert client.offset(path) == 5000
        assert client.patch(path, 5000, envelope[5000:]).status == 204
        assert len(new.envelopes()) == 2
        assert leakdrop("export", tmp_path / "stick", "--config", new.config).returncode == 0
        assert (tmp_path / "new" / "keys" / "alice.pub").read_text() == encode_public_key(
            public_key_file("alice")
        )
    finally:
        new.stop()
