"""tus uploads to a site that really serves: an envelope becomes a drop whole, or nothing does."""

import contextlib
import datetime
import http.client
import os
import random
import signal
import sqlite3
import threading
import time
from pathlib import Path

import pytest

from leakdrop.envelope.header import CHUNK, MAX_STANZAS, envelope_length, header_length
from leakdrop.envelope.padding import PIECE
from leakdrop.errors import NoRoomError
from leakdrop.intake.refusals import Refusal
from leakdrop.store.claims import TakenOverError
from leakdrop.store.uploads import OffsetError, UnknownUploadError, Uploads
from tests.keys import public_key_file
from tests.site import BROKEN, PATIENCE, Site, make_test_site, open_drops, run, temporary_mount, wait_until
from tests.tus import BYTES, MIB, TUS, TusClient, make_envelope

SMALLEST = make_envelope()
SMALL = make_envelope(700_000)
HALF = len(SMALL) // 2


@pytest.fixture
def site(site):
    """Whatever is done to it, it logs nothing."""
    yield site
    assert site.log.read_text() == ""


@pytest.fixture
def client(site) -> TusClient:
    return TusClient.direct(site.port)


def part(site: Site, path: str) -> Path:
    return site.data / "uploads" / f"{path.rpartition('/')[2]}.part"


def received(site: Site, path: str) -> int:
    return part(site, path).stat().st_size


def drops(site: Site) -> list[bytes]:
    return [path.read_bytes() for path in site.envelopes()]


def changed(envelope: bytes, offset: int, value: int) -> bytes:
    return envelope[:offset] + bytes([value]) + envelope[offset + 1 :]


class TestAsked:
    """What the server tells of itself and of an upload."""

    def test_options_tells_version_extensions_and_the_largest_envelope(self, start_site):
        site = start_site(largest_plaintext_bytes=MIB)
        for path in ("/uploads", "/uploads/x"):
            answer = TusClient.direct(site.port).request("OPTIONS", path)
            assert answer.status == 204
            assert answer.headers["tus-resumable"] == answer.headers["tus-version"] == "1.0.0"
            assert set(answer.headers["tus-extension"].split(",")) == {
                "creation",
                "termination",
                "expiration",
            }
            assert answer.headers["tus-max-size"] == str(envelope_length(MAX_STANZAS, MIB))

    def test_a_new_upload_has_its_length_and_nothing_yet(self, client):
        answer = client.request("POST", "/uploads", {**TUS, "Upload-Length": str(len(SMALL))})
        assert (answer.status, answer.headers["tus-resumable"]) == (201, "1.0.0")
        head = client.head(answer.headers["location"])
        assert (head.status, head.offset, head.length) == (200, 0, len(SMALL))
        assert head.headers["cache-control"] == "no-store"
        assert head.headers["upload-expires"] == answer.headers["upload-expires"]

    def test_an_unfinished_upload_is_kept_for_two_to_three_days_and_expires_at_midnight(self, client):
        before = datetime.datetime.now(datetime.UTC)
        expires = client.head(client.create(len(SMALL))).headers["upload-expires"]
        day = datetime.datetime.strptime(expires, "%a, %d %b %Y 00:00:00 GMT").replace(tzinfo=datetime.UTC)
        assert datetime.timedelta(days=2) < day - before <= datetime.timedelta(days=4)

    def test_uploads_do_not_share_ids_and_an_id_cannot_be_guessed(self, client):
        paths = {client.create(len(SMALL)) for _ in range(3)}
        assert len(paths) == 3
        assert all(len(bytes.fromhex(path.removeprefix("/uploads/"))) == 16 for path in paths)

    @pytest.mark.parametrize("method", ["HEAD", "PATCH", "DELETE"])
    @pytest.mark.parametrize("name", ["0" * 32, "x", "..", "%00"])
    def test_an_unknown_upload_is_not_found(self, client, method, name):
        answer = client.request(method, f"/uploads/{name}", {**BYTES, "Upload-Offset": "0"})
        assert answer.status == 404

    @pytest.mark.parametrize(("method", "status"), [("GET", 404), ("PUT", 405), ("POST", 405)])
    def test_an_upload_cannot_be_read_or_replaced(self, client, method, status):
        path = client.create(len(SMALL))
        client.patch(path, 0, SMALL[:HALF])
        answer = client.request(method, path, TUS)
        assert answer.status == status
        assert SMALL[:20] not in answer.body
        assert client.offset(path) == HALF

    def test_uploads_cannot_be_listed(self, client):
        assert client.request("GET", "/uploads", TUS).status == 404


class TestCreated:
    """An upload is created only for what can become a drop."""

    @pytest.mark.parametrize("count", [1, 2, 15, 16])
    @pytest.mark.parametrize("plaintext", [1, PIECE, PIECE + 1, 30 * MIB])
    def test_every_length_that_an_envelope_has_is_taken(self, client, count, plaintext):
        assert client.head(client.create(envelope_length(count, plaintext))).offset == 0

    @pytest.mark.parametrize(
        "length",
        [
            0,
            1,
            header_length(1),
            len(SMALLEST) - 1,
            len(SMALLEST) + 1,
            len(SMALLEST) + CHUNK - PIECE,
            header_length(17) + CHUNK,
            len(SMALL) + 1_000,
        ],
        ids=[
            "none",
            "one",
            "header-only",
            "a-byte-short",
            "a-byte-long",
            "an-empty-last-chunk",
            "seventeen-keys",
            "not-padded",
        ],
    )
    def test_a_length_that_no_envelope_has_is_refused(self, client, length):
        answer = client.request("POST", "/uploads", {**TUS, "Upload-Length": str(length)})
        assert answer.status == 400
        assert "location" not in answer.headers

    @pytest.mark.parametrize(
        "length", [None, "", "-1", "+263456", "1e6", "0x40", " ", "²", "9" * 17, "263456, 1"]
    )
    def test_a_length_that_is_no_number_is_refused(self, client, length):
        headers = {} if length is None else {"Upload-Length": length.encode()}
        assert client.request("POST", "/uploads", {**TUS, **headers}).status == 400

    def test_the_largest_envelope_is_taken_and_one_class_above_it_is_too_large(self, start_site):
        client = TusClient.direct(start_site(largest_plaintext_bytes=MIB).port)
        client.create(envelope_length(1, MIB))
        client.create(envelope_length(16, MIB))
        for length in (envelope_length(1, MIB + 1), envelope_length(16, 2**50)):
            answer = client.request("POST", "/uploads", {**TUS, "Upload-Length": str(length)})
            assert answer.status == 413

    def test_what_does_not_fit_above_the_reserve_is_refused(self, start_site):
        client = TusClient.direct(start_site(disk_reserve_bytes=2**50).port)
        assert client.request("POST", "/uploads", {**TUS, "Upload-Length": str(len(SMALL))}).status == 507

    def test_the_bytes_of_unfinished_uploads_are_capped_and_those_of_finished_ones_do_not_count(
        self, start_site
    ):
        whole = make_envelope(900_000)
        half = len(whole) // 2
        client = TusClient.direct(start_site(unfinished_bytes=3 * half, largest_plaintext_bytes=MIB).port)
        first = client.create(len(whole))
        client.patch(first, 0, whole[: half + 100])
        another = {**TUS, "Upload-Length": str(len(whole))}
        assert client.request("POST", "/uploads", another).status == 507
        client.patch(first, half + 100, whole[half + 100 :])
        second = client.create(len(whole))
        client.patch(second, 0, whole[: half + 100])
        assert client.request("POST", "/uploads", another).status == 507
        client.end(second)
        wait_until(lambda: client.request("POST", "/uploads", another).status == 201)

    def test_metadata_is_not_read_or_kept(self, site, client):
        headers = {**TUS, "Upload-Length": str(len(SMALL)), "Upload-Metadata": "filename Y2FuYXJ5LTdmM2E="}
        path = client.request("POST", "/uploads", headers).headers["location"]
        assert client.request("HEAD", path, TUS).headers.get("upload-metadata") is None
        kept = b"".join(file.read_bytes() for file in site.data.rglob("*") if file.is_file())
        assert b"canary" not in kept
        assert b"Y2FuYXJ5" not in kept


class TestAppended:
    """PATCH, one after another."""

    def test_an_envelope_becomes_a_drop_byte_for_byte(self, site, client, alice):
        path = client.create(len(SMALL))
        answer = client.patch(path, 0, SMALL[:HALF])
        assert (answer.status, answer.offset, answer.body) == (204, HALF, b"")
        assert site.envelopes() == []
        assert client.patch(path, HALF, SMALL[HALF:]).offset == len(SMALL)
        assert drops(site) == [SMALL]
        assert site.open_only(alice).index.sealed == "browser"
        assert not part(site, path).exists()

    def test_an_envelope_in_one_piece_and_one_in_many_arrive(self, site, client):
        client.upload(SMALL, part=len(SMALL))
        client.upload(SMALLEST, part=7_001)
        assert sorted(drops(site)) == sorted([SMALL, SMALLEST])

    def test_an_envelope_whose_first_bytes_come_one_by_one_arrives(self, site, client):
        path = client.create(len(SMALLEST))
        for offset in range(12):
            assert client.patch(path, offset, SMALLEST[offset : offset + 1]).status == 204
        assert client.patch(path, 12, SMALLEST[12:]).status == 204
        assert drops(site) == [SMALLEST]

    def test_an_envelope_for_several_of_our_keys_arrives(self, tmp_path):
        site = make_test_site(tmp_path / "site", [public_key_file(name) for name in ("alice", "bob")])
        site.start()
        try:
            envelope = make_envelope(10_000, ("alice", "bob"))
            TusClient.direct(site.port).upload(envelope)
            assert drops(site) == [envelope]
        finally:
            site.stop()

    def test_an_envelope_for_an_expired_key_of_ours_arrives(self, tmp_path):
        keys = [public_key_file("alice"), public_key_file("former", datetime.date(2020, 1, 1))]
        site = make_test_site(tmp_path / "site", keys)
        site.start()
        try:
            envelope = make_envelope(10_000, ("former",))
            TusClient.direct(site.port).upload(envelope)
            assert drops(site) == [envelope]
        finally:
            site.stop()

    def test_an_empty_patch_changes_nothing(self, site, client):
        """tuspy sends one when the answer to its last bytes was lost."""
        path = client.create(len(SMALL))
        client.patch(path, 0, SMALL[:HALF])
        assert client.patch(path, HALF, b"").offset == HALF
        assert client.patch(path, HALF - 1, b"").status == client.patch(path, len(SMALL), b"").status == 409
        client.patch(path, HALF, SMALL[HALF:])
        assert client.patch(path, len(SMALL), b"").offset == len(SMALL)
        assert client.patch(path, 0, b"").status == 409
        assert drops(site) == [SMALL]

    @pytest.mark.parametrize("offset", [0, HALF - 1, HALF + 1, len(SMALL)])
    def test_a_wrong_offset_is_a_conflict_and_changes_nothing(self, site, client, offset):
        path = client.create(len(SMALL))
        client.patch(path, 0, SMALL[:HALF])
        assert client.patch(path, offset, SMALL[HALF:]).status == 409
        assert part(site, path).read_bytes() == SMALL[:HALF]

    @pytest.mark.parametrize("offset", [None, "", "-1", "1.0", "9" * 17])
    def test_an_offset_that_is_no_number_is_refused(self, client, offset):
        path = client.create(len(SMALL))
        headers = BYTES if offset is None else {**BYTES, "Upload-Offset": offset}
        assert client.request("PATCH", path, headers, SMALL).status == 400
        assert client.offset(path) == 0

    @pytest.mark.parametrize(
        "content_type", ["", "application/octet-stream", "application/offset+octet-stream; x=1", "text/plain"]
    )
    def test_a_wrong_content_type_is_refused_and_the_upload_goes_on(self, site, client, content_type):
        path = client.create(len(SMALL))
        headers = {**TUS, "Upload-Offset": "0", "Content-Type": content_type}
        assert client.request("PATCH", path, headers, SMALL).status == 415
        assert client.patch(path, 0, SMALL).status == 204
        assert drops(site) == [SMALL]

    def test_more_than_was_announced_is_refused_and_not_kept(self, site, client):
        path = client.create(len(SMALL))
        client.patch(path, 0, SMALL[:HALF])
        assert client.patch(path, HALF, SMALL[HALF:] + b"x").status == 413
        assert client.offset(path) == HALF
        client.patch(path, HALF, SMALL[HALF:])
        assert drops(site) == [SMALL]

    @pytest.mark.parametrize("version", [None, "0.2.2", "1.0.1"])
    @pytest.mark.parametrize("method", ["POST", "HEAD", "PATCH", "DELETE"])
    def test_another_version_of_the_protocol_is_refused(self, client, method, version):
        path = "/uploads" if method == "POST" else client.create(len(SMALL))
        headers = {**BYTES, "Upload-Offset": "0", "Upload-Length": str(len(SMALL))}
        headers |= {"Tus-Resumable": version or ""}
        if version is None:
            del headers["Tus-Resumable"]
        answer = client.request(method, path, headers)
        assert (answer.status, answer.headers["tus-version"]) == (412, "1.0.0")

    def test_a_body_without_a_length_is_refused(self, client):
        path = client.create(len(SMALL))
        with client.open() as connection:
            connection.announce(
                "PATCH", path, {**BYTES, "Upload-Offset": "0", "Transfer-Encoding": "chunked"}
            )
            connection.send(b"5\r\nLEAKD\r\n0\r\n\r\n")
            assert connection.answer().status == 411
        with client.open() as connection:
            connection.announce("PATCH", path, {**BYTES, "Upload-Offset": "0"})
            assert connection.answer().status == 411
        assert client.offset(path) == 0

    def test_what_another_site_sends_is_refused(self, client):
        path = client.create(len(SMALL))
        headers = {**BYTES, "Upload-Offset": "0", "Sec-Fetch-Site": "cross-site"}
        assert client.request("PATCH", path, headers, SMALL).status == 403
        assert client.request("DELETE", path, {**TUS, "Sec-Fetch-Site": "cross-site"}).status == 403
        assert client.offset(path) == 0

    def test_the_method_cannot_be_overridden(self, client):
        path = client.create(len(SMALL))
        override = {**BYTES, "Upload-Offset": "0", "X-HTTP-Method-Override": "PATCH"}
        assert client.request("POST", path, override, SMALL).status == 405
        assert client.request("HEAD", path, {**TUS, "X-HTTP-Method-Override": "DELETE"}).offset == 0
        assert client.offset(path) == 0

    def test_an_upload_that_is_ended_is_gone(self, site, client):
        path = client.create(len(SMALL))
        client.patch(path, 0, SMALL[:HALF])
        assert client.end(path).status == 204
        assert client.head(path).status == client.patch(path, HALF, SMALL[HALF:]).status == 404
        assert client.end(path).status == 404
        wait_until(lambda: not part(site, path).exists())
        assert site.envelopes() == []

    def test_a_finished_upload_cannot_be_ended_and_is_told_to_have_arrived(self, site, client):
        path = client.upload(SMALL)
        answer = client.end(path)
        assert (answer.status, answer.body) == (
            409,
            f"{Refusal.ARRIVED.title}. {Refusal.ARRIVED.text}\n".encode(),
        )
        assert client.offset(path) == len(SMALL)
        assert drops(site) == [SMALL]

    def test_a_finished_upload_takes_no_more(self, site, client):
        path = client.upload(SMALL)
        assert client.patch(path, len(SMALL), b"x").status == 409
        assert client.patch(path, 0, SMALL).status == 409
        assert drops(site) == [SMALL]


FOREIGN = {
    "not-an-envelope": b"GIF89a" + bytes(2_000),
    "almost-the-magic": b"LEAKDROQ" + bytes(2_000),
    "another-version": changed(SMALL, 8, 2),
    "no-keys": changed(SMALL, 9, 0),
    "seventeen-keys": changed(SMALL, 9, 17),
    "two-keys-in-a-length-for-one": make_envelope(700_000, ("alice", "bob")),
    "a-key-that-is-not-ours": make_envelope(700_000, ("mallory",)),
    "one-bit-of-the-key-id": changed(SMALL, 10, SMALL[10] ^ 1),
    "a-key-twice": changed(SMALL[: 10 + 1232] + SMALL[10:], 9, 2),
}
# The byte at which each is known to be foreign.
TELLING = {
    "not-an-envelope": 1,
    "almost-the-magic": 8,
    "another-version": 9,
    "no-keys": 10,
    "seventeen-keys": 10,
    "two-keys-in-a-length-for-one": header_length(2),
    "a-key-that-is-not-ours": header_length(1),
    "one-bit-of-the-key-id": header_length(1),
    "a-key-twice": header_length(2),
}


class TestForeign:
    """What is not an envelope for our keys ends the upload, and never enters the store."""

    def assert_ended(self, site: Site, client: TusClient, path: str) -> None:
        assert client.head(path).status == 404
        wait_until(lambda: not part(site, path).exists())
        assert site.envelopes() == []

    @pytest.mark.parametrize("foreign", FOREIGN.values(), ids=FOREIGN.keys())
    def test_it_is_refused_when_it_comes_at_once(self, site, client, foreign):
        path = client.create(len(SMALL))
        assert client.patch(path, 0, foreign[: len(SMALL)]).status == 415
        self.assert_ended(site, client, path)

    @pytest.mark.parametrize("name", FOREIGN)
    def test_it_is_refused_at_the_byte_that_tells(self, site, client, name):
        foreign, telling = FOREIGN[name], TELLING[name]
        path = client.create(len(SMALL))
        if telling > 10:
            assert client.patch(path, 0, foreign[: telling - 1]).status == 204
        else:
            for offset in range(telling - 1):
                assert client.patch(path, offset, foreign[offset : offset + 1]).status == 204
        assert client.patch(path, telling - 1, foreign[telling - 1 : telling]).status == 415
        self.assert_ended(site, client, path)

    def test_a_header_that_does_not_fit_the_announced_length_is_refused(self, site, client):
        two_keys = envelope_length(2, 700_000)
        path = client.create(two_keys)
        assert client.patch(path, 0, SMALL[: header_length(1)]).status == 415
        self.assert_ended(site, client, path)

    def test_it_is_refused_although_the_connection_breaks_behind_it(self, site, client):
        path = client.create(len(SMALL))
        with client.begin_patch(path, 0, len(SMALL), FOREIGN["not-an-envelope"]):
            pass
        wait_until(lambda: client.head(path).status == 404)
        self.assert_ended(site, client, path)


class TestBroken:
    """Connections that break, fall silent or come back."""

    @pytest.mark.parametrize("cut", [0, 1, 9, 1_000, 300_000, len(SMALL) - 1])
    def test_a_patch_that_is_cut_keeps_what_arrived_and_is_resumed(self, site, client, cut):
        path = client.create(len(SMALL))
        with client.begin_patch(path, 0, len(SMALL), SMALL[:cut]):
            pass
        wait_until(lambda: received(site, path) == cut)
        assert client.offset(path) == cut
        assert client.patch(path, cut, SMALL[cut:]).offset == len(SMALL)
        assert drops(site) == [SMALL]

    def test_a_patch_that_is_reset_is_resumed_from_what_the_server_tells(self, site, client):
        path = client.create(len(SMALL))
        client.begin_patch(path, 0, len(SMALL), SMALL[:HALF]).hang_up_rudely()
        answer = client.patch(path, offset := client.offset(path), SMALL[offset:])
        if answer.status == 409:
            # The server came to the broken request only after it had told the offset; not a second time.
            offset = client.offset(path)
            answer = client.patch(path, offset, SMALL[offset:])
        assert 0 <= offset <= HALF
        assert answer.status == 204
        assert drops(site) == [SMALL]

    def test_after_the_last_answer_was_lost_the_upload_is_told_to_be_finished(self, site, client):
        path = client.create(len(SMALL))
        with client.begin_patch(path, 0, len(SMALL), SMALL):
            pass
        wait_until(lambda: len(site.envelopes()) == 1)
        head = client.head(path)
        assert (head.status, head.offset, head.length) == (200, len(SMALL), len(SMALL))
        assert drops(site) == [SMALL]

    @pytest.mark.parametrize("newer", ["HEAD", "PATCH", "DELETE"])
    def test_a_newer_request_stops_an_older_silent_one_and_does_not_wait_for_it(self, site, client, newer):
        """The older one would be given up only after twice the client's patience."""
        path = client.create(len(SMALL))
        with client.begin_patch(path, 0, len(SMALL), SMALL[:HALF]) as older:
            wait_until(lambda: received(site, path) > 0)
            written = received(site, path)
            answer = client.request(
                newer,
                path,
                {**BYTES, "Upload-Offset": str(written)},
                SMALL[written:] if newer == "PATCH" else b"",
            )
            if newer == "PATCH" and answer.status == 409:
                # More had been written meanwhile; from now on it is not.
                written = client.offset(path)
                answer = client.patch(path, written, SMALL[written:])
            assert answer.status == {"HEAD": 200, "PATCH": 204, "DELETE": 204}[newer]
            if newer == "HEAD":
                assert written <= answer.offset <= HALF
            assert_hung_up(older)
        assert drops(site) == ([SMALL] if newer == "PATCH" else [])

    def test_an_older_request_that_wakes_up_writes_nothing_more(self, site, client):
        path = client.create(len(SMALL))
        with client.begin_patch(path, 0, len(SMALL), SMALL[:HALF]) as older:
            wait_until(lambda: received(site, path) > 0)
            offset = client.offset(path)
            with contextlib.suppress(OSError):
                older.send(b"x" * (len(SMALL) - HALF))
            assert client.patch(path, offset, SMALL[offset:]).status == 204
        assert drops(site) == [SMALL]

    def test_a_silent_request_is_told_to_ask_for_the_offset_and_what_it_brought_is_kept(self, start_site):
        """Any other refusal would make a client that wakes up throw the upload away."""
        site = start_site(silence_seconds=1)
        client = TusClient.direct(site.port)
        path = client.create(len(SMALL))
        with client.begin_patch(path, 0, len(SMALL), SMALL[:HALF]) as silent:
            assert silent.answer().status == 409
            offset = client.offset(path)
            assert 0 < offset <= HALF
        assert client.patch(path, offset, SMALL[offset:]).status == 204
        assert drops(site) == [SMALL]
        assert site.log.read_text() == ""

    def test_many_at_once_on_one_upload_cannot_corrupt_it(self, site, client):
        chance = random.Random(1)
        envelopes = [make_envelope(900_000) for _ in range(6)]
        for envelope in envelopes:
            path = client.create(len(envelope))
            senders = [
                threading.Thread(target=send_wildly, args=(client, path, envelope, chance.randrange(1 << 30)))
                for _ in range(4)
            ]
            for sender in senders:
                sender.start()
            for sender in senders:
                sender.join(2 * PATIENCE)
            # One that was hung up on may be read only now, and take the upload over once more.
            wait_until(lambda path=path, envelope=envelope: is_finished(client, path, envelope))
        assert sorted(drops(site)) == sorted(envelopes)

    def test_more_silent_requests_than_places_leave_the_pages_and_the_questions_answered(self, start_site):
        site = start_site(threads=6, submissions_at_once=3)
        client = TusClient.direct(site.port)
        paths = [client.create(len(SMALL)) for _ in range(4)]
        silent = [client.begin_patch(path, 0, len(SMALL), SMALL[:HALF]) for path in paths[:3]]
        wait_until(lambda: all(received(site, path) for path in paths[:3]))
        assert client.patch(paths[3], 0, SMALL).status == 503
        assert site.get("/")[0] == 200
        assert client.offset(paths[3]) == 0
        # A question for an upload ends the silent request for it, and so makes a place.
        offset = client.offset(paths[0])
        wait_until(lambda: client.patch(paths[0], offset, SMALL[offset:]).status == 204)
        for connection in silent:
            connection.close()
        wait_until(lambda: client.patch(paths[3], 0, SMALL).status == 204)
        assert drops(site) == [SMALL, SMALL]
        assert site.log.read_text() == ""


def assert_hung_up(connection: http.client.HTTPConnection) -> None:
    """The server has ended a connection: an answer comes, or its end, within the client's patience."""
    connection.sock.settimeout(PATIENCE)
    with contextlib.suppress(ConnectionError):
        while connection.sock.recv(65_536):
            pass


def is_finished(client: TusClient, path: str, envelope: bytes) -> bool:
    offset = client.offset(path)
    return offset == len(envelope) or client.patch(path, offset, envelope[offset:]).status == 204


def send_wildly(client: TusClient, path: str, envelope: bytes, seed: int) -> None:
    """Ask, send some, stop at any byte, fall silent, until the upload is finished or a while has passed."""
    chance = random.Random(seed)
    silent = []
    for _ in range(30):
        with contextlib.suppress(*BROKEN):
            head = client.head(path)
            if head.offset == len(envelope):
                break
            size = chance.randint(1, 400_000)
            piece = envelope[head.offset : head.offset + size]
            way = chance.choice(("whole", "whole", "cut", "silent", "reset"))
            if way == "whole":
                client.patch(path, head.offset, piece)
                continue
            sent = piece[: chance.randrange(len(piece) + 1)]
            connection = client.begin_patch(path, head.offset, len(piece), sent)
            if way == "silent":
                silent.append(connection)
            elif way == "cut":
                connection.close()
            else:
                connection.hang_up_rudely()
    for connection in silent:
        connection.close()


class TestCrashed:
    """Kills, restarts and a full disk."""

    def test_an_unfinished_upload_survives_a_kill_and_goes_on(self, start_site):
        site = start_site()
        client = TusClient.direct(site.port)
        path = client.create(len(SMALL))
        client.patch(path, 0, SMALL[:HALF])
        with client.begin_patch(path, HALF, len(SMALL) - HALF, SMALL[HALF : HALF + 300_000]):
            wait_until(lambda: received(site, path) > HALF)
            site.stop(signal.SIGKILL)
        site.start()
        assert part(site, path).stat().st_mtime_ns == 0
        offset = client.offset(path)
        assert HALF < offset <= HALF + 300_000
        assert client.patch(path, offset, SMALL[offset:]).status == 204
        assert drops(site) == [SMALL]
        assert site.log.read_text() == ""

    def test_a_finished_upload_is_known_after_a_restart(self, start_site):
        site = start_site()
        client = TusClient.direct(site.port)
        path = client.upload(SMALL)
        site.stop(signal.SIGKILL)
        site.start()
        assert client.offset(path) == len(SMALL)
        assert drops(site) == [SMALL]

    def test_a_kill_at_any_moment_of_the_end_loses_nothing(self, start_site):
        """Afterwards the upload is finished and the drop there, or the upload goes on: never neither."""
        site = start_site()
        client = TusClient.direct(site.port)
        chance = random.Random(3)
        envelopes = [make_envelope(100_000) for _ in range(10)]
        for number, envelope in enumerate(envelopes):
            path = client.create(len(envelope))
            client.patch(path, 0, envelope[:-1])
            with client.begin_patch(path, len(envelope) - 1, 1) as last:
                last.send(envelope[-1:])
                time.sleep(chance.random() * 0.02)
                site.stop(signal.SIGKILL)
            site.start()
            if client.offset(path) < len(envelope):
                assert client.patch(path, len(envelope) - 1, envelope[-1:]).status == 204
            assert sorted(drops(site)) == sorted(envelopes[: number + 1])
        assert site.log.read_text().count("\n") <= len(envelopes)  # that a drop was listed again

    def test_a_full_disk_is_told_and_loses_nothing_and_the_upload_goes_on_when_there_is_room(self, tmp_path):
        site = make_test_site(tmp_path / "site", [public_key_file("alice")])
        if not temporary_mount(site.data, "4M"):
            pytest.skip("to run it: be root, who can mount a small file system")
        try:
            site.start()
            client = TusClient.direct(site.port)
            done = client.upload(SMALLEST)
            path = client.create(len(SMALL))
            client.patch(path, 0, SMALL[:HALF])
            filler = site.data / "other"
            with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
                while file.write(bytes(4_096)):
                    pass
            assert client.patch(path, HALF, SMALL[HALF:]).status == 507
            offset = client.offset(path)
            assert HALF <= offset < len(SMALL)
            assert part(site, path).read_bytes() == SMALL[:offset]
            another = {**TUS, "Upload-Length": str(len(SMALLEST))}
            assert client.request("POST", "/uploads", another).status == 507
            assert client.offset(done) == len(SMALLEST)
            filler.unlink()
            assert client.patch(path, offset, SMALL[offset:]).status == 204
            assert sorted(drops(site)) == sorted([SMALLEST, SMALL])
            assert site.log.read_text() == ""
        finally:
            site.stop()
            run("umount", site.data)

    def test_an_upload_is_finished_on_a_disk_that_its_last_byte_fills(self, tmp_path):
        site = make_test_site(tmp_path / "site", [public_key_file("alice")])
        if not temporary_mount(site.data, "4M"):
            pytest.skip("to run it: be root, who can mount a small file system")
        try:
            site.start()
            client = TusClient.direct(site.port)
            path = client.create(len(SMALL))
            client.patch(path, 0, SMALL[:-1])
            with contextlib.suppress(OSError), (site.data / "other").open("wb", buffering=0) as file:
                while file.write(bytes(4_096)):
                    pass
            assert client.patch(path, len(SMALL) - 1, SMALL[-1:]).status == 204
            assert client.offset(path) == len(SMALL)
            assert drops(site) == [SMALL]
            assert site.log.read_text() == ""
        finally:
            site.stop()
            run("umount", site.data)


def query(site: Site, statement: str) -> list[tuple]:
    connection = sqlite3.connect(site.data / "leakdrop.sqlite")
    try:
        return connection.execute(statement).fetchall()
    finally:
        connection.close()


class TestKept:
    """What an upload leaves: no time, no order, no link between an upload and its drop."""

    @pytest.fixture
    def site(self, site):
        os.utime(site.data / "drops", (0, 0))  # the drops of the test before were removed
        return site

    def assert_timeless(self, site: Site) -> None:
        for path in (site.data, *site.data.rglob("*")):
            if path.name not in ("lock", "upkeep.lock"):  # of the server's start
                assert path.stat().st_mtime_ns == 0, path

    def test_nothing_tells_when_an_upload_was_made_written_to_finished_or_ended(self, site, client):
        path, ended = client.create(len(SMALL)), client.create(len(SMALL))
        self.assert_timeless(site)
        for upload in (path, ended):
            client.patch(upload, 0, SMALL[:HALF])
        self.assert_timeless(site)
        client.patch(path, HALF, SMALL[HALF:])
        self.assert_timeless(site)
        client.end(ended)
        wait_until(lambda: not part(site, ended).exists())
        wait_until(lambda: (site.data / "uploads").stat().st_mtime_ns == 0)
        self.assert_timeless(site)

    def test_nothing_tells_when_a_foreign_upload_was_refused(self, site, client):
        path = client.create(len(SMALL))
        assert client.patch(path, 0, b"GIF89a").status == 415
        wait_until(lambda: not part(site, path).exists())
        wait_until(lambda: (site.data / "uploads").stat().st_mtime_ns == 0)
        self.assert_timeless(site)

    def test_parts_are_for_this_user_alone(self, site, client):
        path = client.create(len(SMALL))
        assert part(site, path).stat().st_mode & 0o777 == 0o600
        assert part(site, path).parent.stat().st_mode & 0o777 == 0o700

    def test_a_finished_upload_is_a_row_without_a_link_to_its_drop(self, site, client):
        path = client.upload(SMALL)
        upload_id = path.rpartition("/")[2]
        (row,) = [row for row in query(site, "SELECT * FROM uploads") if row[0] == upload_id]
        assert row[:2] == (upload_id, len(SMALL))
        assert datetime.date.fromisoformat(row[2]) > datetime.datetime.now(datetime.UTC).date()
        (drop,) = site.envelopes()
        assert upload_id not in drop.name
        assert drop.name.partition(".")[0] not in str(query(site, "SELECT * FROM uploads"))
        assert upload_id not in str(query(site, "SELECT * FROM drops"))
        assert not [file for file in site.data.rglob("*") if upload_id in file.name]

    def test_rows_lie_in_the_order_of_their_ids_in_the_database_file(self, start_site):
        site = start_site()
        client = TusClient.direct(site.port)
        ids = [client.create(len(SMALL)).rpartition("/")[2] for _ in range(10)]
        client.patch(f"/uploads/{ids[4]}", 0, SMALL)
        client.end(f"/uploads/{ids.pop(7)}")
        raw = (site.data / "leakdrop.sqlite").read_bytes()
        assert sorted(ids, key=lambda name: raw.rfind(name.encode()), reverse=True) == sorted(ids)


DAY = datetime.date(2026, 11, 22)


def days(count: int) -> datetime.date:
    return DAY + datetime.timedelta(days=count)


def nothing() -> None:
    """Hang up on nobody."""


class TestStored:
    """The store without a server: days that pass, crashes at one moment."""

    @pytest.fixture
    def drops(self, tmp_path):
        with open_drops(tmp_path / "data") as drops:
            yield drops

    @pytest.fixture
    def uploads(self, drops):
        return Uploads(drops, 2**40)

    def write(self, uploads: Uploads, upload_id: str, piece: bytes, today=DAY, *, finish=False) -> None:
        offset = uploads.find(upload_id).offset
        with uploads.append(upload_id, offset, today, nothing) as writing:
            writing.write(piece)
            if finish:
                uploads.finish(writing)

    def test_an_unfinished_upload_expires_after_its_last_byte_and_not_before(self, drops, uploads):
        upload = uploads.create(len(SMALL), DAY)
        self.write(uploads, upload.id, SMALL[:HALF], days(2))
        assert uploads.expire(days(4)) == 0
        assert uploads.find(upload.id).offset == HALF
        assert uploads.expire(days(5)) == 1
        with pytest.raises(UnknownUploadError):
            uploads.find(upload.id)
        wait_until(lambda: list(drops.layout.uploads.iterdir()) == [])

    def test_a_finished_upload_is_forgotten_after_a_day_and_its_drop_is_not(self, drops, uploads):
        upload = uploads.create(len(SMALL), DAY)
        self.write(uploads, upload.id, SMALL, finish=True)
        assert uploads.expire(days(1)) == 0
        assert uploads.find(upload.id).is_finished
        assert uploads.expire(days(2)) == 1
        with pytest.raises(UnknownUploadError):
            uploads.find(upload.id)
        assert len(drops.all()) == 1

    def test_the_next_upload_and_the_next_start_clear_what_has_expired(self, drops, uploads):
        first = uploads.create(len(SMALL), DAY)
        second = uploads.create(len(SMALL), days(1))
        uploads.create(len(SMALL), days(3))
        with pytest.raises(UnknownUploadError):
            uploads.find(first.id)
        uploads.recover(days(4))
        with pytest.raises(UnknownUploadError):
            uploads.find(second.id)

    def test_an_upload_that_is_being_written_does_not_expire(self, uploads, drops):
        upload = uploads.create(len(SMALL), DAY)
        with uploads.append(upload.id, 0, DAY, nothing) as writing:
            writing.write(SMALL[:HALF])
            uploads.expire(days(9))
            writing.write(SMALL[HALF:])
            uploads.finish(writing)
        assert uploads.find(upload.id).is_finished
        assert len(drops.all()) == 1

    def test_a_part_without_a_row_is_removed_at_the_next_start(self, drops, uploads):
        (drops.layout.uploads / f"{'0' * 32}.part").write_bytes(b"nobody was told of it")
        uploads.recover(DAY)
        assert list(drops.layout.uploads.iterdir()) == []

    @pytest.mark.parametrize("asked_by", ["find", "start", "append"])
    def test_a_whole_upload_that_a_crash_kept_from_becoming_a_drop_becomes_one(
        self, drops, uploads, asked_by
    ):
        upload = uploads.create(len(SMALL), DAY)
        self.write(uploads, upload.id, SMALL)
        again = Uploads(drops, 2**40)
        if asked_by == "start":
            again.recover(DAY)
        elif asked_by == "append":
            with pytest.raises(OffsetError), again.append(upload.id, len(SMALL), DAY, nothing):
                pass
        else:
            assert again.find(upload.id).is_finished
        (drop,) = drops.all()
        assert drops.path(drop).read_bytes() == SMALL
        assert again.find(upload.id).is_finished
        assert len(drops.all()) == 1

    def test_an_upload_that_is_taken_over_between_its_last_byte_and_its_end_becomes_one_drop(
        self, drops, uploads
    ):
        upload = uploads.create(len(SMALL), DAY)
        with uploads.append(upload.id, 0, DAY, nothing) as writing:
            writing.write(SMALL)
            assert uploads.find(upload.id).is_finished
            with pytest.raises(TakenOverError):
                uploads.finish(writing)
        (drop,) = drops.all()
        assert drops.path(drop).read_bytes() == SMALL

    def test_an_upload_that_somebody_else_made_a_drop_is_finished_all_the_same(self, drops, uploads):
        """An older request may come to measure it only after the last byte of a newer one."""
        upload = uploads.create(len(SMALL), DAY)
        with uploads.append(upload.id, 0, DAY, nothing) as writing:
            writing.write(SMALL)
            assert Uploads(drops, 2**40).find(upload.id).is_finished
            uploads.finish(writing)
        assert len(drops.all()) == 1

    def test_an_upload_that_somebody_else_ended_cannot_be_finished(self, drops, uploads):
        upload = uploads.create(len(SMALL), DAY)
        with uploads.append(upload.id, 0, DAY, nothing) as writing:
            writing.write(SMALL[:-1])
            Uploads(drops, 2**40).end(upload.id)
            writing.write(SMALL[-1:])
            with pytest.raises(UnknownUploadError):
                uploads.finish(writing)
        assert drops.all() == []

    def test_whoever_was_taken_over_cannot_write_and_is_hung_up_on(self, uploads):
        upload = uploads.create(len(SMALL), DAY)
        calls = []
        with uploads.append(upload.id, 0, DAY, lambda: calls.append("hung up")) as older:
            older.write(SMALL[:HALF])
            with uploads.append(upload.id, HALF, DAY, nothing) as newer:
                with pytest.raises(TakenOverError):
                    older.write(SMALL[HALF:])
                newer.write(SMALL[HALF : HALF + 10])
            with pytest.raises(TakenOverError):
                older.write(SMALL[HALF:])
        assert calls == ["hung up"]
        assert uploads.find(upload.id).offset == HALF + 10

    def test_whoever_was_taken_over_sees_only_the_first_bytes_that_were_its_own(self, uploads):
        """Or it would take the newer one's bytes, followed by its own, for a foreign header."""
        upload = uploads.create(len(SMALL), DAY)
        self.write(uploads, upload.id, SMALL[:100])
        with uploads.append(upload.id, 100, DAY, nothing) as older:
            with uploads.append(upload.id, 100, DAY, nothing) as newer:
                newer.write(SMALL[100:1_000])
            assert older.read_head(2_000) == SMALL[:100]

    def test_many_at_once_on_one_upload_make_one_whole_drop(self, drops, uploads):
        def append(upload_id: str, chance: random.Random) -> None:
            while (offset := uploads.find(upload_id).offset) < len(SMALLEST):
                with (
                    contextlib.suppress(OffsetError, TakenOverError),
                    uploads.append(upload_id, offset, DAY, nothing) as writing,
                ):
                    for _ in range(4):
                        writing.write(SMALLEST[writing.offset :][: chance.randint(1, 9_000)])
                    if writing.offset == len(SMALLEST):
                        uploads.finish(writing)

        for number in range(3):
            upload = uploads.create(len(SMALLEST), DAY)
            threads = [
                threading.Thread(target=append, args=(upload.id, random.Random(10 * number + i)))
                for i in range(6)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert [drops.path(drop).read_bytes() for drop in drops.all()] == [SMALLEST] * 3

    def test_uploads_are_created_while_others_are_finished_and_ended(self, drops, uploads):
        failures = []

        def finish_and_end() -> None:
            try:
                for _ in range(20):
                    first, second = uploads.create(len(SMALLEST), DAY), uploads.create(len(SMALLEST), DAY)
                    self.write(uploads, first.id, SMALLEST, finish=True)
                    uploads.end(second.id)
            except Exception as failure:  # noqa: BLE001 - whatever it is, it fails the test
                failures.append(failure)

        threads = [threading.Thread(target=finish_and_end) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        assert len(drops.all()) == 60

    def test_an_upload_that_was_ended_while_a_request_came_in_takes_nothing(self, drops, uploads):
        """The row is read, then the upload ended, then the request goes on."""
        upload = uploads.create(len(SMALL), DAY)
        with uploads.append(upload.id, 0, DAY, nothing) as writing:
            uploads.end(upload.id)
            with pytest.raises(TakenOverError):
                writing.write(SMALL)
        with pytest.raises(UnknownUploadError):
            uploads.find(upload.id)
        assert drops.all() == []

    def test_the_cap_counts_received_bytes_and_the_whole_of_the_new_one(self, drops):
        uploads = Uploads(drops, len(SMALL) + HALF)
        first = uploads.create(len(SMALL), DAY)
        uploads.create(len(SMALL), DAY)
        self.write(uploads, first.id, SMALL[: HALF + 1])
        with pytest.raises(NoRoomError):
            uploads.create(len(SMALL), DAY)

    def test_times_are_forgotten_at_the_next_start(self, drops, uploads):
        upload = uploads.create(len(SMALL), DAY)
        path = drops.layout.upload(upload.id)
        path.write_bytes(SMALL[:HALF])
        os.utime(path)
        uploads.recover(DAY)
        assert path.stat().st_mtime_ns == 0
