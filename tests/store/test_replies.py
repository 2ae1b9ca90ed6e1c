"""Replies in a real SQLite and on a real disk: durable, deleted for good, and without a link to a drop."""

import datetime
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from hashlib import sha256
from pathlib import Path

import pytest

from leakdrop.envelope.receipt import MAX_ANSWER, UNIT, answer_length
from leakdrop.errors import StoreError
from leakdrop.store import mailboxes
from leakdrop.store import replies as module
from leakdrop.store.drop import iso_week
from leakdrop.store.drops import Drops
from leakdrop.store.mailboxes import MAX_REPLIES, MailboxFullError
from leakdrop.store.replies import Replies
from tests.site import PATIENCE, open_drops
from tests.store.test_drops import without_patience

AMINA, BEN = sha256(b"amina").digest(), sha256(b"ben").digest()
TODAY = datetime.datetime.now(datetime.UTC).date()
WEEK = datetime.timedelta(weeks=1)


@pytest.fixture
def drops(tmp_path):
    with open_drops(tmp_path / "data") as drops:
        yield drops


@pytest.fixture
def replies(drops):
    return Replies(drops, 8)


def keep(replies: Replies, mailbox: bytes, content: bytes) -> str:
    """Keep some bytes, which need not be an envelope here, and return their sum."""
    replies.keep(mailbox, content)
    return sha256(content).hexdigest()


def read(replies: Replies, mailbox: bytes, today: datetime.date = TODAY) -> set[bytes]:
    with replies.reading(mailbox, today) as found:
        return {file.read() for _, file in found}


def rows(drops: Drops) -> list[tuple]:
    connection = sqlite3.connect(drops.layout.database)
    try:
        return connection.execute("SELECT mailbox, sha256, size, week FROM replies").fetchall()
    finally:
        connection.close()


def set_week(drops: Drops, week: str) -> None:
    connection = sqlite3.connect(drops.layout.database)
    with connection:
        connection.execute("UPDATE replies SET week = ?", (week,))
    connection.close()


def test_a_mailbox_gives_its_own_replies_and_no_others(drops, replies):
    keep(replies, AMINA, b"to amina")
    keep(replies, AMINA, b"to amina, too")
    keep(replies, BEN, b"to ben")
    assert read(replies, AMINA) == {b"to amina", b"to amina, too"}
    assert read(replies, BEN) == {b"to ben"}
    assert read(replies, bytes(32)) == set()


def test_a_row_holds_mailbox_sum_size_and_week_and_nothing_else(drops, replies):
    digest = keep(replies, AMINA, b"to amina")
    assert rows(drops) == [(AMINA.hex(), digest, 8, iso_week(TODAY))]


def test_the_table_has_no_rowid(drops):
    connection = sqlite3.connect(drops.layout.database)
    with pytest.raises(sqlite3.OperationalError, match="rowid"):
        connection.execute("SELECT rowid FROM replies")
    connection.close()


def test_a_reply_is_kept_once(drops, replies):
    keep(replies, AMINA, b"to amina")
    set_week(drops, "2020-W01")
    assert not replies.keep(AMINA, b"to amina")
    assert [week for *_, week in rows(drops)] == ["2020-W01"]


def test_files_and_folders_carry_no_time_of_writing_or_reading(drops, replies):
    digest = keep(replies, AMINA, b"to amina")
    read(replies, AMINA)
    layout = drops.layout
    for path in (replies.path(AMINA, digest), layout.replies, layout.incoming, layout.root):
        assert path.stat().st_mtime_ns == path.stat().st_atime_ns == 0, path
    assert replies.path(AMINA, digest).stat().st_mode & 0o777 == 0o600
    assert layout.replies.stat().st_mode & 0o777 == 0o700


def test_a_deleted_reply_is_gone_from_the_disk_and_the_others_stay(drops, replies):
    first = keep(replies, AMINA, b"to amina")
    second = keep(replies, AMINA, b"to amina, too")
    replies.delete(AMINA, first)
    assert read(replies, AMINA) == {b"to amina, too"}
    assert [digest for _, digest, *_ in rows(drops)] == [second]
    assert first.encode() not in drops.layout.database.read_bytes()
    replies.delete(AMINA, second)
    assert AMINA.hex().encode() not in drops.layout.database.read_bytes()
    assert list(drops.layout.replies.iterdir()) == []


def test_deleting_needs_mailbox_and_sum(drops, replies):
    digest = keep(replies, AMINA, b"to amina")
    replies.delete(BEN, digest)
    replies.delete(AMINA, "0" * 64)
    assert read(replies, AMINA) == {b"to amina"}


def test_a_reply_that_is_being_read_is_read_to_its_end(drops, replies):
    digest = keep(replies, AMINA, b"to amina")
    with replies.reading(AMINA, TODAY) as ((reply, file),):
        replies.delete(AMINA, digest)
        assert (reply.size, file.read()) == (8, b"to amina")
    assert read(replies, AMINA) == set()


@pytest.mark.parametrize(("weeks", "waits"), [(0, True), (8, True), (9, False), (60, False)])
def test_a_reply_waits_for_whole_weeks(drops, replies, weeks, waits):
    keep(replies, AMINA, b"to amina")
    set_week(drops, iso_week(TODAY - weeks * WEEK))
    assert read(replies, AMINA) == ({b"to amina"} if waits else set())
    assert bool(list(drops.layout.replies.iterdir())) == waits
    assert bool(rows(drops)) == waits


def test_the_week_lasts_until_its_sunday(drops, replies):
    keep(replies, AMINA, b"to amina")
    set_week(drops, "2026-W39")
    sunday = datetime.date(2026, 11, 22)
    assert iso_week(sunday) == "2026-W47"
    assert read(replies, AMINA, sunday) == {b"to amina"}
    assert read(replies, AMINA, sunday + datetime.timedelta(days=1)) == set()


def test_nobody_reads_what_has_expired_even_if_deleting_it_is_still_due(drops, replies):
    keep(replies, AMINA, b"to amina")
    read(replies, BEN)  # today's deleting is done
    set_week(drops, "2020-W01")
    assert read(replies, AMINA) == set()


def test_a_mailbox_takes_no_more_than_one_answer_holds(drops, replies):
    large = [bytes([number]) * (8 * UNIT) for number in range(4)]
    for content in large[:3]:
        keep(replies, AMINA, content)
    with pytest.raises(MailboxFullError):
        keep(replies, AMINA, large[3])
    keep(replies, AMINA, b"a small one")
    assert len(read(replies, AMINA)) == 4
    keep(replies, BEN, large[3])
    replies.delete(AMINA, sha256(large[0]).hexdigest())
    keep(replies, AMINA, large[3])


def test_a_mailbox_takes_no_more_replies_than_an_answer_can_count(drops, replies, monkeypatch):
    assert MAX_REPLIES == 255
    monkeypatch.setattr(mailboxes, "MAX_REPLIES", 2)  # 255 of them would take half a minute
    keep(replies, AMINA, b"1")
    keep(replies, AMINA, b"2")
    with pytest.raises(MailboxFullError):
        keep(replies, AMINA, b"3")


def test_the_newest_week_comes_first(drops, replies):
    digests = [keep(replies, AMINA, b"%d" % number) for number in range(6)]
    connection = sqlite3.connect(drops.layout.database)
    with connection:
        for number, digest in enumerate(digests):
            week = iso_week(TODAY - (number % 3) * WEEK)
            connection.execute("UPDATE replies SET week = ? WHERE sha256 = ?", (week, digest))
    connection.close()
    with replies.reading(AMINA, TODAY) as found:
        assert [reply.sha256 for reply, _ in found] == [
            *sorted(digests[0::3]), *sorted(digests[1::3]), *sorted(digests[2::3])
        ]  # fmt: skip


def test_what_two_imports_brought_at_once_is_still_one_answer(drops, replies):
    for number in range(5):
        content = bytes([number]) * (8 * UNIT)
        replies.path(AMINA, sha256(content).hexdigest()).write_bytes(content)
    replies.recover(TODAY)
    with replies.reading(AMINA, TODAY) as found:
        assert len(found) == 3
        assert answer_length(reply.size for reply, _ in found) <= MAX_ANSWER


def test_a_file_without_a_row_is_listed_and_a_row_without_a_file_forgotten_at_the_next_start(drops, replies):
    first = keep(replies, AMINA, b"to amina")
    keep(replies, BEN, b"to ben")
    replies.path(AMINA, first).unlink()
    late = b"a crash came before its row"
    replies.path(AMINA, sha256(late).hexdigest()).write_bytes(late)
    assert read(replies, AMINA) == set()
    replies.recover(TODAY)
    assert read(replies, AMINA) == {late}
    assert read(replies, BEN) == {b"to ben"}
    assert len(rows(drops)) == 2


def test_an_answer_has_no_more_replies_than_it_can_count(drops, replies, monkeypatch):
    for content in (b"1", b"2", b"3"):
        keep(replies, AMINA, content)
    monkeypatch.setattr(mailboxes, "MAX_REPLIES", 2)
    assert len(read(replies, AMINA)) == 2


def test_a_reply_that_an_import_lists_while_the_server_starts_stops_nothing(drops, replies):
    class Late(Replies):
        """Read the rows before an import wrote one."""

        def _rows(self, *conditions):
            return super()._rows(*conditions) if conditions else []

    keep(replies, AMINA, b"to amina")
    Late(drops, 8).recover(TODAY)
    assert read(replies, AMINA) == {b"to amina"}


def test_a_file_of_a_crash_gets_its_row_when_it_is_brought_again(drops, replies):
    replies.path(AMINA, sha256(b"to amina").hexdigest()).write_bytes(b"to amina")
    assert not replies.keep(AMINA, b"to amina")
    assert read(replies, AMINA) == {b"to amina"}


@pytest.mark.parametrize(
    "name", ["a.envelope", f"{'a' * 64}.{'b' * 64}.part", f"{'A' * 64}.{'b' * 64}.envelope"]
)
def test_a_file_that_is_not_named_as_a_reply_is_none(drops, replies, name):
    (drops.layout.replies / name).write_bytes(b"x")
    replies.recover(TODAY)
    assert rows(drops) == []


def test_a_link_among_the_replies_is_not_followed(drops, replies, tmp_path):
    (tmp_path / "secret").write_bytes(b"x")
    replies.path(AMINA, "b" * 64).symlink_to(tmp_path / "secret")
    replies.recover(TODAY)
    assert rows(drops) == []


def test_a_reply_is_not_taken_while_the_database_is_locked_and_is_when_it_is_kept_again(drops, monkeypatch):
    monkeypatch.setattr(drops, "engine", without_patience(drops))
    impatient = Replies(drops, 8)
    other = sqlite3.connect(drops.layout.database, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    for _ in range(2):
        with pytest.raises(StoreError, match="database is locked"):
            keep(impatient, AMINA, b"to amina")
    other.execute("ROLLBACK")
    other.close()
    keep(impatient, AMINA, b"to amina")
    assert read(impatient, AMINA) == {b"to amina"}


STORM = """
import hashlib, os, sys
from pathlib import Path
from leakdrop.store.drops import Drops
from leakdrop.store.replies import Replies

drops = Drops(Path(sys.argv[1]))
replies = Replies(drops, 8)
print("ready", flush=True)
for number in range(10_000):
    content = os.urandom(20_000)
    mailbox = hashlib.sha256(b"m").digest()
    sum = hashlib.sha256(content).hexdigest()
    replies.keep(mailbox, content)
    print("kept", sum, flush=True)
    if number % 2:
        replies.delete(mailbox, sum)
        print("deleted", sum, flush=True)
"""


def test_after_a_kill_at_any_moment_replies_are_whole_and_deleted_ones_stay_deleted(tmp_path):
    open_drops(tmp_path / "data").close()
    chance = random.Random(11)
    kept: set[str] = set()
    deleted: set[str] = set()
    mailbox = sha256(b"m").digest()
    for _ in range(6):
        storm = subprocess.Popen(
            [sys.executable, "-c", STORM, tmp_path / "data"], stdout=subprocess.PIPE, text=True
        )
        assert storm.stdout.readline() == "ready\n"
        time.sleep(chance.random() * 0.3)
        storm.send_signal(signal.SIGKILL)
        for line in storm.communicate(timeout=PATIENCE)[0].splitlines():
            if len(line.split()) == 2:
                what, digest = line.split()
                (kept if what == "kept" else deleted).add(digest)
        with Drops(tmp_path / "data") as drops:
            drops.recover()
            replies = Replies(drops, 8)
            replies.recover(TODAY)
            assert list(drops.layout.incoming.iterdir()) == []
            contents = read(replies, mailbox)
            there = {sha256(content).hexdigest() for content in contents}
            assert {name.name.split(".")[1] for name in drops.layout.replies.iterdir()} == there
            assert not there & deleted
            assert {digest for _, digest, *_ in rows(drops)} == there
            # One deletion may have been done and not told of any more.
            assert len((kept - deleted) - there) <= 1
            deleted |= kept - there
    assert kept
    assert deleted


def test_times_of_reading_are_kept_off_by_the_way_of_opening(tmp_path):
    """The test above can fail: on this file system, reading does change the time of access."""
    path = tmp_path / "read"
    path.write_bytes(b"x")
    os.utime(path, ns=(0, 0))
    Path(path).read_bytes()
    if path.stat().st_atime_ns == 0:
        pytest.skip("this file system keeps no times of reading")
    os.utime(path, ns=(0, 0))
    with module._open_unnoticed(path) as file:
        file.read()
    assert path.stat().st_atime_ns == 0
