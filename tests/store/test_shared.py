"""What several machines share, in a real PostgreSQL and a real object store (Ceph's)."""

import dataclasses
import datetime
import hashlib
import io
import json
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from sqlalchemy import text

from leakdrop.envelope.opening import open_envelope
from leakdrop.envelope.sealing import seal
from leakdrop.errors import ConfigError, NoRoomError, StoreError
from leakdrop.store.claims import TakenOverError
from leakdrop.store.database import connect_postgresql
from leakdrop.store.shared.drops import SharedDrops
from leakdrop.store.shared.objects import Bucket, Objects
from leakdrop.store.shared.parts import parse_list
from leakdrop.store.shared.rows import Rows
from leakdrop.store.shared.uploads import SharedUploads
from leakdrop.store.shared.writing import PART_BYTES
from leakdrop.store.unfinished import BARELY_BYTES, IDLE_SECONDS, MOST_UNFINISHED, PROGRESS_BYTES
from leakdrop.store.uploads import FinishedError, OffsetError, UnknownUploadError
from tests.keys import label_key_pair, public_key_file
from tests.services import ask, settings
from tests.site import BROKEN, PATIENCE, Site, assert_one_line, leakdrop, make_test_site, run, wait_until
from tests.tus import MIB, TusClient, make_envelope

pytestmark = pytest.mark.needs("postgres", "radosgw", "ceph-mon", "ceph-osd")
TODAY = datetime.datetime.now(datetime.UTC).date()
MUCH = 2**40


@pytest.fixture
def drops(places) -> Iterator[SharedDrops]:
    with SharedDrops(*places) as drops:
        yield drops


@pytest.fixture
def objects(places) -> Objects:
    return Objects(places[1])


def keep(drops: SharedDrops, message: str = "hello", size: int = 0):
    with drops.receive(size + MIB) as incoming:
        seal([label_key_pair("alice").public], incoming, sealed="server", message=message)
        return drops.keep(incoming)


def read(drops: SharedDrops, drop) -> bytes:
    with drops.open(drop) as file:
        return file.read()


def put(uploads, upload_id: str, offset: int, piece: bytes) -> None:
    with uploads.append(upload_id, offset, TODAY, lambda: None, length=len(piece)) as writing:
        writing.write(piece)
        if writing.offset == writing.upload.length:
            uploads.finish(writing)


def test_what_one_machine_keeps_another_lists_and_reads(drops, places):
    drop = keep(drops, "what I saw")
    with SharedDrops(*places) as other:
        assert other.all() == [drop]
        envelope = open_envelope(io.BytesIO(read(other, drop)), [label_key_pair("alice")])
        envelope.check()
        assert envelope.index.message == "what I saw"


def test_what_is_not_kept_leaves_nothing(drops, objects, postgresql, places):
    with drops.receive(2 * PART_BYTES) as incoming:
        incoming.write(bytes(PART_BYTES + 1))
        assert objects.keys("parts/")
    assert drops.all() == []
    assert ask(postgresql, places, "SELECT count(*) FROM uploads") == "0"
    wait_for_empty(objects)


def wait_for_empty(objects: Objects) -> None:
    wait_until(lambda: objects.keys("") == [])


def test_a_row_holds_name_size_and_week_and_no_link_to_the_upload(drops, postgresql, places):
    uploads = drops.uploads(MUCH)
    envelope = make_envelope()
    upload = uploads.create(len(envelope), TODAY)
    put(uploads, upload.id, 0, envelope)
    (drop,) = drops.all()
    # The last is the week of the acknowledgement, which none has been taken for.
    assert ask(postgresql, places, "SELECT * FROM drops") == f"{drop.name}|{drop.size}|{drop.week}|"
    row = ask(postgresql, places, "SELECT * FROM uploads")
    assert row.startswith(f"{upload.id}|{len(envelope)}|")
    assert drop.name not in row
    assert ask(postgresql, places, "SELECT count(*) FROM parts") == "0"


def test_machines_take_turns_with_one_upload_and_it_arrives_whole(drops, places):
    envelope = make_envelope(20 * MIB)
    with SharedDrops(*places) as other:
        machines = [drops.uploads(MUCH), other.uploads(MUCH)]
        upload_id = machines[0].create(len(envelope), TODAY).id
        for number, offset in enumerate(range(0, len(envelope), 3 * MIB)):
            machine = machines[number % 2]
            assert machine.find(upload_id).offset == offset
            put(machine, upload_id, offset, envelope[offset : offset + 3 * MIB])
        assert machines[0].find(upload_id).is_finished
    (drop,) = drops.all()
    assert read(drops, drop) == envelope


def test_of_two_machines_with_the_same_bytes_one_is_refused_and_nothing_is_there_twice(drops, places):
    envelope = make_envelope(2 * MIB)
    with SharedDrops(*places) as other:
        machines = [drops.uploads(MUCH), other.uploads(MUCH)]
        upload_id = machines[0].create(len(envelope), TODAY).id
        with machines[0].append(upload_id, 0, TODAY, lambda: None) as first:
            first.write(envelope[:MIB])
            with ExitStack() as late:
                second = late.enter_context(machines[1].append(upload_id, 0, TODAY, lambda: None))
                second.write(envelope[: MIB + 7])
                first.flush()
                with pytest.raises(OffsetError):
                    second.flush()
        assert machines[1].find(upload_id).offset == MIB
        put(machines[1], upload_id, MIB, envelope[MIB:])
        assert machines[0].find(upload_id).is_finished
    (drop,) = drops.all()
    assert read(drops, drop) == envelope


def test_bytes_that_come_late_to_a_finished_upload_are_refused_and_leave_nothing(drops, places, objects):
    envelope = make_envelope()
    with SharedDrops(*places) as other:
        late, uploads = other.uploads(MUCH), drops.uploads(MUCH)
        upload_id = uploads.create(len(envelope), TODAY).id
        with late.append(upload_id, 0, TODAY, lambda: None) as writing:
            writing.write(envelope)
            put(uploads, upload_id, 0, envelope)
            with pytest.raises(OffsetError):
                writing.flush()
    (drop,) = drops.all()
    assert read(drops, drop) == envelope
    assert len(objects.keys("parts/")) == 1


def test_a_newer_request_stops_an_older_one_and_what_that_had_received_counts(drops):
    uploads = drops.uploads(MUCH)
    envelope = make_envelope(MIB)
    upload_id = uploads.create(len(envelope), TODAY).id
    hung_up = threading.Event()
    has_written = threading.Event()

    def hang() -> None:
        with uploads.append(upload_id, 0, TODAY, hung_up.set) as writing:
            writing.write(envelope[:1000])
            has_written.set()
            hung_up.wait(PATIENCE)
            with pytest.raises(TakenOverError):
                writing.write(b"more")

    older = threading.Thread(target=hang)
    older.start()
    has_written.wait(PATIENCE)
    assert uploads.find(upload_id).offset == 1000
    older.join(PATIENCE)
    assert hung_up.is_set()


def test_the_head_of_an_envelope_is_read_across_parts(drops):
    uploads = drops.uploads(MUCH)
    envelope = make_envelope()
    upload_id = uploads.create(len(envelope), TODAY).id
    for offset in range(0, 3000, 1000):
        put(uploads, upload_id, offset, envelope[offset : offset + 1000])
    with uploads.append(upload_id, 3000, TODAY, lambda: None) as writing:
        assert writing.read_head(2500) == envelope[:2500]
        assert writing.read_head(9000) == envelope[:3000]


def test_what_all_machines_have_unfinished_stays_below_the_cap(drops, places):
    with SharedDrops(*places) as other:
        machines = [drops.uploads(MIB), other.uploads(MIB)]
        upload_id = machines[0].create(MIB, TODAY).id
        put(machines[0], upload_id, 0, bytes(MIB // 2))
        with pytest.raises(NoRoomError):
            machines[1].create(MIB, TODAY)


@pytest.fixture
def shared_uploads(places):
    """Makes what one machine knows of the uploads, with other bounds than a site has."""

    def make(most: int = MOST_UNFINISHED, idle_seconds: float = IDLE_SECONDS) -> SharedUploads:
        return SharedUploads(Rows(places[0]), Objects(places[1]), MUCH, most, idle_seconds)

    return make


def begin(uploads: SharedUploads, received: int) -> str:
    """The id of a new upload that has so many bytes."""
    upload_id = uploads.create(2 * BARELY_BYTES, TODAY).id
    if received:
        put(uploads, upload_id, 0, bytes(received))
    return upload_id


def is_there(uploads: SharedUploads, upload_id: str) -> bool:
    try:
        return bool(uploads.find(upload_id))
    except UnknownUploadError:
        return False


def test_a_flood_of_creations_at_several_machines_at_once_stays_at_the_bound(
    shared_uploads, postgresql, places
):
    machines = [shared_uploads(most=20) for _ in range(2)]
    made: list[str] = []
    refused: list[str] = []

    def flood(machine: SharedUploads) -> None:
        for _ in range(8):
            try:
                made.append(machine.create(MIB, TODAY).id)
            except NoRoomError:
                refused.append("")

    floods = [threading.Thread(target=flood, args=(machines[number % 2],)) for number in range(6)]
    for each in floods:
        each.start()
    for each in floods:
        each.join()
    assert (len(made), len(refused)) == (20, 28)
    assert ask(postgresql, places, "SELECT count(*) FROM uploads") == "20"
    machines[1].end(made[0])
    assert is_there(machines[0], machines[0].create(MIB, TODAY).id)


def test_uploads_without_a_byte_are_forgotten_by_any_machine_and_others_stay(shared_uploads):
    one, other = shared_uploads(), shared_uploads(idle_seconds=0)
    begun, empty = begin(one, 1), begin(one, 0)
    begin(one, 0)
    assert is_there(one, empty)
    begin(other, 0)
    assert (is_there(one, begun), is_there(one, empty)) == (True, False)


def test_a_machine_forgets_only_what_it_saw_left_alone_for_long(shared_uploads):
    one, other = shared_uploads(), shared_uploads(most=2, idle_seconds=3)
    going, left_alone = begin(one, 1), begin(one, 20)
    # It looks.
    with pytest.raises(NoRoomError):
        begin(other, 0)
    time.sleep(3)
    put(one, going, 1, bytes(PROGRESS_BYTES))
    put(one, left_alone, 20, bytes(10))
    begin(other, 0)
    assert (is_there(one, going), is_there(one, left_alone)) == (True, False)


def test_of_too_many_uploads_the_one_that_has_barely_begun_makes_room_and_leaves_no_object(
    shared_uploads, objects
):
    uploads = shared_uploads(most=2, idle_seconds=0)
    first, second = begin(uploads, 20), begin(uploads, 10)
    third = begin(uploads, BARELY_BYTES)
    wait_until(lambda: len(objects.keys("parts/")) == 2)
    assert [is_there(uploads, one) for one in (first, second, third)] == [True, False, True]
    fourth = begin(uploads, 30)
    with (
        uploads.append(first, 20, TODAY, lambda: None),
        uploads.append(fourth, 30, TODAY, lambda: None),
        pytest.raises(NoRoomError),
    ):
        begin(uploads, 0)
    assert [is_there(uploads, one) for one in (first, third, fourth)] == [True] * 3


def test_an_upload_that_goes_on_while_it_is_chosen_to_go_stays(shared_uploads, postgresql, places):
    """Another machine has its row, and adds a part, between the look and the removal."""
    uploads = shared_uploads(most=1, idle_seconds=0)
    upload_id = begin(uploads, 10)
    (name,) = ask(postgresql, places, "SELECT name FROM parts").splitlines()
    outcome: list[object] = []

    def create() -> None:
        try:
            outcome.append(uploads.create(MIB, TODAY))
        except NoRoomError:
            outcome.append(None)

    with connect_postgresql(places[0]).begin() as other:
        other.execute(text("SELECT 1 FROM uploads FOR UPDATE"))
        creation = threading.Thread(target=create)
        creation.start()
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'transactionid'"
        wait_until(lambda: ask(postgresql, places, waiting) == "1")
        add = text("INSERT INTO parts (upload_id, start, size, name) VALUES (:id, 10, 5, :name)")
        other.execute(add, {"id": upload_id, "name": name})
    creation.join(PATIENCE)
    assert outcome == [None]
    assert uploads.find(upload_id).offset == 15


def test_bytes_that_come_slowly_are_put_before_they_look_left_alone(shared_uploads):
    uploads = shared_uploads(idle_seconds=0)
    upload_id = uploads.create(MIB, TODAY).id
    with uploads.append(upload_id, 0, TODAY, lambda: None) as writing:
        writing.write(bytes(PROGRESS_BYTES))
        assert writing.upload.offset == PROGRESS_BYTES


def test_what_has_expired_goes_and_what_goes_on_stays(drops, objects):
    uploads = drops.uploads(MUCH)
    ended, going = (uploads.create(MIB, TODAY - datetime.timedelta(days=9)).id for _ in range(2))
    uploads.find(ended)
    put(uploads, going, 0, bytes(1000))
    assert uploads.expire(TODAY) == 1
    assert uploads.find(going).offset == 1000
    with pytest.raises(UnknownUploadError):
        uploads.find(ended)


def test_an_upload_that_is_thrown_away_leaves_no_object(drops, objects):
    uploads = drops.uploads(MUCH)
    upload_id = uploads.create(MIB, TODAY).id
    put(uploads, upload_id, 0, bytes(1000))
    uploads.end(upload_id)
    wait_for_empty(objects)


def test_a_finished_upload_cannot_be_thrown_away(drops):
    uploads = drops.uploads(MUCH)
    upload_id = uploads.create(1000, TODAY).id
    put(uploads, upload_id, 0, bytes(1000))
    with pytest.raises(FinishedError):
        uploads.end(upload_id)
    assert uploads.find(upload_id).is_finished
    assert len(drops.all()) == 1


def test_a_list_without_a_row_gets_one_with_its_own_week(drops, objects, postgresql, places):
    drop = keep(drops)
    (key,) = objects.keys("drops/")
    old = {**json.loads(objects.get(key)), "week": "2026-W01"}
    objects.put(key, json.dumps(old).encode())
    ask(postgresql, places, "DELETE FROM drops")
    assert [found.name for found in drops.all()] == [drop.name]
    assert drops.recover().listed == (drop.name,)
    assert ask(postgresql, places, "SELECT week FROM drops") == "2026-W01"


def test_a_row_without_a_list_goes(drops, objects, postgresql, places):
    keep(drops)
    objects.remove(objects.keys("drops/"))
    drops.recover()
    assert drops.all() == []
    assert ask(postgresql, places, "SELECT count(*) FROM drops") == "0"


def test_a_crash_between_the_list_and_its_rows_makes_one_drop_and_not_two(drops, objects, postgresql, places):
    """The list is there; the rows say that the upload is whole and has not become a drop."""
    uploads = drops.uploads(MUCH)
    envelope = make_envelope()
    upload_id = uploads.create(len(envelope), TODAY).id
    ask(postgresql, places, "ALTER TABLE drops ADD CONSTRAINT broken CHECK (size < 0)")
    with pytest.raises(StoreError):
        put(uploads, upload_id, 0, envelope)
    assert len(objects.keys("drops/")) == 1
    ask(postgresql, places, "ALTER TABLE drops DROP CONSTRAINT broken")
    with SharedDrops(*places) as other:
        other.recover()
        other.uploads(MUCH).recover(TODAY)
        assert other.uploads(MUCH).find(upload_id).is_finished
        (drop,) = other.all()
        assert read(other, drop) == envelope
    assert ask(postgresql, places, "SELECT count(*) FROM parts") == "0"


def test_leftover_parts_go_and_those_of_an_upload_that_goes_on_stay(drops, objects):
    uploads = drops.uploads(MUCH)
    upload_id = uploads.create(MIB, TODAY).id
    put(uploads, upload_id, 0, bytes(1000))
    kept = keep(drops)
    objects.put(f"parts/{'0' * 32}/{'1' * 32}", b"of a machine that crashed")
    assert drops.recover().removed == ("0" * 32,)
    assert uploads.find(upload_id).offset == 1000
    assert {key.split("/")[0] for key in objects.keys("")} == {"drops", "parts"}
    assert len(objects.keys("parts/")) == 2
    read(drops, kept)


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"{}", b"\xff", b"[" * 100_000,
     b'{"format":"leakdrop drop 2","size":1,"week":"w","parts":[]}',
     b'{"format":"leakdrop drop 1","size":"1","week":"w","parts":[]}',
     b'{"format":"leakdrop drop 1","size":1,"week":"w","parts":["../../x"]}'],
    ids=["nothing", "list", "empty", "no-text", "deep", "newer", "size-is-text", "part-is-a-path"],
)  # fmt: skip
def test_a_damaged_list_is_refused(content):
    with pytest.raises(StoreError):
        parse_list(content)


def test_a_damaged_list_is_named_and_left_alone(drops, objects):
    drop = keep(drops)
    key = f"drops/{'a' * 32}.json"
    objects.put(key, b"{}")
    objects.put("drops/README", b"somebody was here")
    assert set(drops.recover().foreign) == {key, "drops/README"}
    assert drops.all() == [drop]
    assert key in objects.keys("drops/")


def test_a_drop_that_is_removed_is_gone_with_all_its_parts(drops, objects, postgresql, places):
    first, second = keep(drops, "first"), keep(drops, "second")
    drops.remove([first])
    assert drops.all() == [second]
    assert all(second.name in key for key in objects.keys(""))
    assert ask(postgresql, places, "SELECT name FROM drops") == second.name


def test_a_bucket_that_is_not_there_is_told(places):
    wrong = Bucket(places[1].url, "no-such-bucket", places[1].region, places[1].key, places[1].secret)
    with pytest.raises(StoreError, match="refuses: 404"):
        SharedDrops(places[0], wrong)


def test_a_wrong_secret_is_told_without_it(places):
    wrong = Bucket(places[1].url, places[1].name, places[1].region, places[1].key, "guessed-secret")
    with pytest.raises(StoreError, match="refuses: 403") as told:
        SharedDrops(places[0], wrong)
    assert "guessed" not in str(told.value)


def test_a_database_that_cannot_be_reached_is_told_without_its_password(tmp_path, places):
    url = f"postgresql://leakdrop:a-password@/x?host={tmp_path}"
    with pytest.raises(StoreError, match="cannot be used") as told:
        SharedDrops(url, places[1])
    assert "a-password" not in str(told.value)


@pytest.mark.parametrize("url", ["mysql://x/y", "postgresql", "nonsense://", "sqlite:///x"])
def test_a_url_of_another_database_is_refused(url):
    with pytest.raises(ConfigError, match="postgresql://"):
        connect_postgresql(url)


STARTER = """
import sys
from leakdrop.store.database import connect_postgresql, migrate
migrate(connect_postgresql(sys.argv[1]))
"""


def test_machines_that_start_at_once_migrate_once(postgresql):
    url = postgresql.database()
    failures = []

    def start() -> None:
        done = run(sys.executable, "-c", STARTER, url)
        if done.returncode:
            failures.append(done.stderr)

    machines = [threading.Thread(target=start) for _ in range(4)]
    for machine in machines:
        machine.start()
    for machine in machines:
        machine.join()
    assert failures == []
    name = url.partition("@/")[2].partition("?")[0]
    assert postgresql.ask("SELECT count(*) FROM alembic_version", name) == "1"


def export(machine: Site, folder: Path) -> list[bytes]:
    done = leakdrop("export", folder, "--config", machine.config)
    assert done.returncode == 0, done.stderr
    return [path.read_bytes() for path in folder.glob("*.envelope")]


def test_a_form_and_an_upload_over_two_machines_come_out_of_either(machines, tmp_path, alice):
    one, two = machines
    assert one.send(("message", "by the form"), ("files", "a", os.urandom(3 * MIB)))[0] == 200
    envelope = make_envelope(9 * MIB)
    clients = [TusClient.direct(site.port) for site in machines]
    path = clients[0].create(len(envelope))
    for number, offset in enumerate(range(0, len(envelope), MIB)):
        answer = clients[number % 2].patch(path, offset, envelope[offset : offset + MIB])
        assert answer.status == 204, answer
    assert clients[0].head(path).offset == len(envelope)
    found = export(two, tmp_path / "stick")
    assert sorted(map(len, found)) == sorted(map(len, export(one, tmp_path / "other stick")))
    assert envelope in found
    assert len(found) == 2
    messages = {open_envelope(io.BytesIO(each), [alice]).index.message for each in found}
    assert "by the form" in messages
    # Nothing of it lies on the machines.
    for site in machines:
        for folder in ("drops", "incoming", "uploads"):
            assert list((site.data / folder).iterdir()) == []
    again = leakdrop("export", tmp_path / "stick", "--config", one.config)
    assert "2 drops lay there already" in again.stdout
    assert "Drops: 2" in leakdrop("status", "--config", two.config).stdout


def test_kills_of_both_machines_lose_nothing_that_was_acknowledged(machines, tmp_path):
    chance = random.Random(6)
    acknowledged: set[bytes] = set()

    def send(number: int) -> None:
        envelope = make_envelope(3 * MIB)
        path, offset, turn = None, 0, number
        deadline_tries = 400
        while deadline_tries and offset < len(envelope):
            deadline_tries -= 1
            turn += 1
            client = TusClient.direct(machines[turn % 2].port)
            try:
                if path is None:
                    path = client.create(len(envelope))
                answer = client.patch(path, offset, envelope[offset : offset + MIB // 2])
                offset = answer.offset if answer.status == 204 else client.offset(path)
            except (*BROKEN, AssertionError):
                threading.Event().wait(0.1)
                continue
        assert offset == len(envelope)
        acknowledged.add(hashlib.sha256(envelope).digest())

    sources = [threading.Thread(target=send, args=(number,)) for number in range(4)]
    for source in sources:
        source.start()
    for victim in (0, 1, 0):
        threading.Event().wait(chance.uniform(0.2, 0.8))
        machines[victim].stop(signal.SIGKILL)
        machines[victim].start()
    for source in sources:
        source.join(5 * PATIENCE)
    arrived = {hashlib.sha256(each).digest() for each in export(machines[0], tmp_path / "stick")}
    assert len(acknowledged) == 4
    assert arrived == acknowledged


def test_while_the_object_store_is_away_pages_are_shown_and_sources_are_told_to_wait(places, ceph, tmp_path):
    with ceph.another_gateway() as url:
        shared = settings(places[0], dataclasses.replace(places[1], url=url))
        site = make_test_site(tmp_path / "site", [public_key_file("alice")], **shared)
        site.start()
        path = TusClient.direct(site.port).create(len(make_envelope()))
    try:
        assert site.get("/")[0] == 200
        assert TusClient.direct(site.port).patch(path, 0, make_envelope()).status == 503
        status, page = site.send(("message", "is anybody there?"))
        assert status == 503
        assert "Not possible for now" in page
        assert "is anybody there?" not in site.log.read_text()
    finally:
        site.stop()


def test_half_of_an_object_store_is_told_in_one_line(tmp_path):
    site = make_test_site(
        tmp_path / "site", [public_key_file("alice")], object_store_url="https://store.test"
    )
    assert_one_line(leakdrop("status", "--config", site.config), "an object store needs all of them")


def test_a_drop_that_is_due_leaves_the_object_store_by_purge(places, tmp_path, postgresql):
    site = make_test_site(tmp_path / "site", [public_key_file("alice")], **settings(*places))
    with SharedDrops(*places) as drops:
        keep(drops, "old")
        ask(postgresql, places, "UPDATE drops SET week = '2020-W01'")
        stays = keep(drops, "new")
        assert "1 drop" in leakdrop("purge", "--config", site.config).stdout
        assert len(drops.all()) == 2
        assert leakdrop("purge", "--yes", "--config", site.config).returncode == 0
        assert drops.all() == [stays]
    assert leakdrop("settle", "--config", site.config).returncode == 0


@pytest.mark.needs("redis-server")
def test_machines_that_share_redis_count_the_limits_for_all_together(postgresql, redis, tmp_path):
    limits = {"limits_storage": redis, "submissions_in_all": "3 per day"}
    sites = [make_test_site(tmp_path / name, [public_key_file("alice")], **limits) for name in ("a", "b")]
    try:
        for site in sites:
            site.start()
        answers = [sites[number % 2].send(("message", str(number)))[0] for number in range(4)]
        assert answers[:3] == [200, 200, 200]
        assert answers[3] in (429, 503)
    finally:
        for site in sites:
            site.stop()


def test_one_machine_with_postgresql_keeps_envelopes_in_its_folder(postgresql, tmp_path):
    url = postgresql.database()
    site = make_test_site(tmp_path / "site", [public_key_file("alice")], database_url=url)
    site.start()
    try:
        assert site.send(("message", "rows elsewhere"))[0] == 200
        path = TusClient.direct(site.port).upload(make_envelope())
        site.stop(signal.SIGKILL)
        site.start()
        assert TusClient.direct(site.port).head(path).status == 200
        assert len(export(site, tmp_path / "stick")) == 2
        name = url.partition("@/")[2].partition("?")[0]
        assert postgresql.ask("SELECT count(*) FROM drops", name) == "2"
    finally:
        site.stop()
