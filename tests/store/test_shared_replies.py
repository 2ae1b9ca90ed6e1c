"""Replies that several machines share, in a real PostgreSQL and a real object store (Ceph's)."""

import dataclasses
import datetime
from collections.abc import Iterator
from hashlib import sha256

import pytest
from sqlalchemy import update

from leakdrop.envelope.receipt import MAX_ANSWER, UNIT, answer_length
from leakdrop.errors import StoreError
from leakdrop.store import mailboxes
from leakdrop.store.drop import iso_week
from leakdrop.store.mailboxes import MailboxFullError
from leakdrop.store.models import ReplyRow
from leakdrop.store.shared.drops import SharedDrops
from leakdrop.store.shared.objects import Objects
from leakdrop.store.shared.replies import SharedReplies
from tests.keys import public_key_file
from tests.replies import Stick, delete, read_replies, receipt_of
from tests.replies import ask as ask_site
from tests.services import ask, settings
from tests.site import make_test_site

pytestmark = pytest.mark.needs("postgres", "radosgw", "ceph-mon", "ceph-osd")
AMINA, BEN = sha256(b"amina").digest(), sha256(b"ben").digest()
TODAY = datetime.datetime.now(datetime.UTC).date()
WEEK = datetime.timedelta(weeks=1)


@pytest.fixture
def replies(places) -> Iterator[SharedReplies]:
    with SharedDrops(*places) as drops:
        yield drops.replies(8)


@pytest.fixture
def others(places) -> Iterator[SharedReplies]:
    """The same replies, as another machine sees them."""
    with SharedDrops(*places) as drops:
        yield drops.replies(8)


@pytest.fixture
def objects(places) -> Objects:
    return Objects(places[1])


@pytest.fixture
def rows(postgresql, places):
    """Asks the database; without a statement, what its rows of replies are."""
    fields = "SELECT mailbox, sha256, size, week FROM replies"
    return lambda statement=fields: ask(postgresql, places, statement)


def keep(replies: SharedReplies, mailbox: bytes, content: bytes) -> str:
    """Keep some bytes, which need not be an envelope here, and return their sum."""
    assert replies.keep(mailbox, content)
    return sha256(content).hexdigest()


def key(mailbox: bytes, content: bytes) -> str:
    return f"replies/{mailbox.hex()}.{sha256(content).hexdigest()}"


def read(replies: SharedReplies, mailbox: bytes, today: datetime.date = TODAY) -> set[bytes]:
    with replies.reading(mailbox, today) as found:
        return {file.read() for _, file in found}


def set_week(replies: SharedReplies, week: str, digest: str) -> None:
    with replies._begin() as session:
        session.execute(update(ReplyRow).where(ReplyRow.sha256 == digest).values(week=week))


def test_what_one_machine_keeps_another_reads_from_its_own_mailbox_only(replies, others):
    keep(replies, AMINA, b"to amina")
    keep(others, AMINA, b"to amina, too")
    keep(replies, BEN, b"to ben")
    for machine in (replies, others):
        assert read(machine, AMINA) == {b"to amina", b"to amina, too"}
        assert read(machine, BEN) == {b"to ben"}
        assert read(machine, bytes(32)) == set()


def test_a_row_and_a_key_hold_mailbox_sum_size_and_week_and_nothing_else(replies, rows, objects):
    digest = keep(replies, AMINA, b"to amina")
    assert rows() == f"{AMINA.hex()}|{digest}|8|{iso_week(TODAY)}"
    assert objects.keys("") == [key(AMINA, b"to amina")]
    assert rows("TABLE drops") == rows("TABLE uploads") == rows("TABLE parts") == ""


def test_a_reply_is_kept_once_whichever_machine_imports_it(replies, others, rows, objects):
    keep(replies, AMINA, b"to amina")
    rows("UPDATE replies SET week = '2020-W01'")
    assert not others.keep(AMINA, b"to amina")
    assert rows("SELECT week FROM replies") == "2020-W01"
    assert len(objects.keys("")) == 1


def test_importing_again_heals_what_a_crash_left(replies, others, rows, objects):
    """An object without a row gets one, and a row without an object gets its object."""
    keep(replies, AMINA, b"to amina")
    rows("DELETE FROM replies")
    assert read(replies, AMINA) == set()
    assert not others.keep(AMINA, b"to amina")
    assert read(replies, AMINA) == {b"to amina"}
    objects.remove(objects.keys(""))
    assert read(replies, AMINA) == set()
    assert others.keep(AMINA, b"to amina")
    assert read(replies, AMINA) == {b"to amina"}


def test_the_newest_week_comes_first(replies):
    digests = [keep(replies, AMINA, b"%d" % number) for number in range(6)]
    for number, digest in enumerate(digests):
        set_week(replies, iso_week(TODAY - (number % 3) * WEEK), digest)
    with replies.reading(AMINA, TODAY) as found:
        assert [reply.sha256 for reply, _ in found] == [
            *sorted(digests[0::3]), *sorted(digests[1::3]), *sorted(digests[2::3])
        ]  # fmt: skip


def test_a_mailbox_takes_no_more_than_one_answer_holds(replies, others):
    large = [bytes([number]) * (8 * UNIT) for number in range(4)]
    for content in large[:3]:
        keep(replies, AMINA, content)
    with pytest.raises(MailboxFullError):
        others.keep(AMINA, large[3])
    assert not others.keep(AMINA, large[0])
    keep(others, AMINA, b"a small one")
    assert len(read(replies, AMINA)) == 4
    keep(others, BEN, large[3])
    replies.delete(AMINA, sha256(large[0]).hexdigest())
    keep(others, AMINA, large[3])


def test_a_mailbox_takes_no_more_replies_than_an_answer_can_count(replies, monkeypatch):
    monkeypatch.setattr(mailboxes, "MAX_REPLIES", 2)
    keep(replies, AMINA, b"1")
    keep(replies, AMINA, b"2")
    with pytest.raises(MailboxFullError):
        replies.keep(AMINA, b"3")


def test_what_two_imports_brought_at_once_is_still_one_answer(replies, objects):
    for number in range(5):
        content = bytes([number]) * (8 * UNIT)
        objects.put(key(AMINA, content), content)
    replies.recover(TODAY)
    with replies.reading(AMINA, TODAY) as found:
        assert len(found) == 3
        assert answer_length(reply.size for reply, _ in found) <= MAX_ANSWER


def test_what_is_deleted_on_one_machine_is_gone_on_all_and_stays_deleted(replies, others, rows, objects):
    first = keep(replies, AMINA, b"to amina")
    keep(replies, AMINA, b"to amina, too")
    others.delete(BEN, first)
    others.delete(AMINA, "0" * 64)
    assert len(read(replies, AMINA)) == 2
    others.delete(AMINA, first)
    for machine in (replies, others):
        machine.recover(TODAY)
        assert read(machine, AMINA) == {b"to amina, too"}
    assert first not in rows()
    assert objects.keys("") == [key(AMINA, b"to amina, too")]


def test_a_reply_that_is_deleted_while_it_is_read_spoils_no_answer(replies, others, monkeypatch):
    """Between the list of a mailbox and the reading of its objects, another machine deletes one."""
    first, _ = keep(replies, AMINA, b"to amina"), keep(replies, AMINA, b"to amina, too")
    listed = replies._sizes

    def list_and_lose(mailbox: bytes) -> dict[str, int]:
        sizes = listed(mailbox)
        others.delete(AMINA, first)
        return sizes

    monkeypatch.setattr(replies, "_sizes", list_and_lose)
    assert read(replies, AMINA) == {b"to amina, too"}


@pytest.mark.parametrize(("weeks", "waits"), [(0, True), (8, True), (9, False), (60, False)])
def test_a_reply_waits_for_whole_weeks(replies, rows, objects, weeks, waits):
    digest = keep(replies, AMINA, b"to amina")
    set_week(replies, iso_week(TODAY - weeks * WEEK), digest)
    assert read(replies, AMINA) == ({b"to amina"} if waits else set())
    assert bool(objects.keys("")) == waits
    assert bool(rows()) == waits


def test_nobody_reads_what_has_expired_even_if_deleting_it_is_still_due(replies, rows):
    keep(replies, AMINA, b"to amina")
    read(replies, BEN)  # today's deleting is done
    rows("UPDATE replies SET week = '2020-W01'")
    assert read(replies, AMINA) == set()
    assert replies.expire(TODAY) == 1
    assert replies.all() == []


def test_an_object_without_a_row_is_listed_and_a_row_without_an_object_forgotten(replies, rows, objects):
    keep(replies, AMINA, b"to amina")
    keep(replies, BEN, b"to ben")
    objects.remove([key(AMINA, b"to amina")])
    late = b"a crash came before its row"
    objects.put(key(AMINA, late), late)
    assert read(replies, AMINA) == set()
    replies.recover(TODAY)
    assert read(replies, AMINA) == {late}
    assert read(replies, BEN) == {b"to ben"}
    assert sorted(reply.size for reply in replies.all()) == [6, len(late)]
    assert rows("SELECT count(*) FROM replies") == "2"


@pytest.mark.parametrize(
    "name", ["a", f"{'A' * 64}.{'b' * 64}", f"{'a' * 64}.{'b' * 64}.part", f"x/{'a' * 64}"]
)
def test_an_object_that_is_not_named_as_a_reply_is_none_and_stays(replies, rows, objects, name):
    objects.put(f"replies/{name}", b"x")
    replies.recover(TODAY)
    assert rows() == ""
    assert objects.keys("") == [f"replies/{name}"]


def test_drops_and_replies_leave_each_other_alone(places, replies, objects):
    keep(replies, AMINA, b"to amina")
    with SharedDrops(*places) as drops:
        drops.recover()
        assert drops.all() == []
    assert read(replies, AMINA) == {b"to amina"}


DEEDS = {
    "keep": lambda replies: replies.keep(AMINA, b"to amina"),
    "read": lambda replies: read(replies, AMINA),
    "delete": lambda replies: replies.delete(AMINA, "0" * 64),
    "expire": lambda replies: (replies.expire(TODAY + 9 * WEEK), replies.recover(TODAY)),
    "recover": lambda replies: replies.recover(TODAY),
}


@pytest.mark.parametrize("deed", DEEDS.values(), ids=DEEDS)
def test_an_object_store_that_is_away_is_told(places, ceph, deed):
    with ceph.another_gateway() as url:
        drops = SharedDrops(places[0], dataclasses.replace(places[1], url=url))
    with drops, pytest.raises(StoreError, match="cannot be reached"):
        deed(drops.replies(8))


@pytest.mark.parametrize("deed", DEEDS.values(), ids=DEEDS)
def test_a_database_that_cannot_be_used_is_told_without_its_values(replies, rows, deed):
    rows("ALTER TABLE replies RENAME TO away")
    with pytest.raises(StoreError, match="database cannot be reached or used") as told:
        deed(replies)
    assert AMINA.hex() not in str(told.value)


def test_a_reply_that_one_machine_imported_is_given_out_and_deleted_by_another(machines, tmp_path):
    one, two = machines
    receipt = receipt_of(one.send(("message", "by the form"))[1])
    stick = Stick(two, tmp_path)
    stick.export()
    assert stick.review("reply", "--text", "Thank you.").returncode == 0
    done = stick.bring()
    assert (done.returncode, "1 reply" in done.stdout) == (0, True), done
    assert read_replies(one, receipt) == read_replies(two, receipt) == ["Thank you."]
    assert ask_site(one, bytes(32)) == []
    # Nothing of it lies on the machines.
    for site in machines:
        assert list((site.data / "replies").iterdir()) == []
    (envelope,) = ask_site(one, receipt.token)
    assert delete(one, receipt.token, sha256(envelope).hexdigest()) == 200
    assert ask_site(two, receipt.token) == []


def test_while_the_object_store_is_away_who_asks_for_replies_is_told_to_wait(places, ceph, tmp_path):
    with ceph.another_gateway() as url:
        shared = settings(places[0], dataclasses.replace(places[1], url=url))
        site = make_test_site(tmp_path / "site", [public_key_file("alice")], **shared)
        site.start()
    try:
        body = "token=" + "A" * 43
        fields = {"Content-Type": "application/x-www-form-urlencoded"}
        assert site.request("POST", "/replies", body, fields)[0] == 503
    finally:
        site.stop()
