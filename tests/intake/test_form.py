"""The form without JavaScript, sent to a site that really serves: it is sealed, or nothing is kept."""

import datetime
import hashlib
import io
import os
import socket
import threading

import pytest

from leakdrop.envelope.opening import open_envelope
from leakdrop.envelope.sealing import SourceFile, seal
from leakdrop.intake.refusals import Refusal
from tests.keys import label_key_pair, public_key_file
from tests.site import PATIENCE, encode_form, make_test_site, wait_until


def make_envelope(*labels: str, message: str = "sealed at home", files=()) -> bytes:
    sink = io.BytesIO()
    recipients = [label_key_pair(label).public for label in labels]
    seal(recipients, sink, sealed="offline", message=message, files=files)
    return sink.getvalue()


def assert_refused(answer: tuple[int, str], refusal: Refusal) -> None:
    status, page = answer
    assert status == refusal.status
    assert refusal.title in page
    assert 'data-state="failed"' in page


def test_a_message_and_files_arrive_sealed(site, alice):
    files = [("a.txt", b"first"), ("b.bin", os.urandom(700_000)), ("empty", b"")]
    status, page = site.send(
        ("kind", "WRAP training"), ("message", "what I saw"), *(("files", name, data) for name, data in files)
    )
    assert status == 200
    assert 'data-state="done"' in page
    envelope = site.open_only(alice)
    assert (envelope.index.sealed, envelope.index.kind, envelope.index.message) == (
        "server",
        "WRAP training",
        "what I saw",
    )
    assert [(file.name, file.size) for file in envelope.index.files] == [(n, len(d)) for n, d in files]
    assert [envelope.read_file(number) for number in range(3)] == [data for _, data in files]


def test_files_that_come_before_the_message_arrive_too(site, alice):
    site.send(("files", "a", b"1"), ("message", "after"))
    envelope = site.open_only(alice)
    assert (envelope.index.message, envelope.read_file(0)) == ("after", b"1")


def test_a_message_alone_and_files_alone_arrive(site, alice):
    assert site.send(("message", "only words"), ("files", "", b""))[0] == 200
    assert site.open_only(alice).index.files == ()
    assert site.send(("message", ""), ("files", "only.txt", b"a file"))[0] == 200
    assert len(site.envelopes()) == 2


def test_text_only_submissions_look_alike(site):
    site.send(("message", "yes"))
    site.send(("message", "a long story. " * 5_000))
    assert len({path.stat().st_size for path in site.envelopes()}) == 1


def test_the_line_ends_of_a_message_are_lf(site, alice):
    site.send(("message", "one\r\ntwo\rthree\nfour"))
    assert site.open_only(alice).index.message == "one\ntwo\nthree\nfour"


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("شهادة.txt", "شهادة.txt"),
        ("بیان — میری گواہی.pdf", "بیان — میری گواہی.pdf"),
        ("a%22quoted%22.txt", 'a"quoted".txt'),
        ("../../etc/passwd", "../../etc/passwd"),
        ("tab\there.txt", "tab\there.txt"),
        ("nul\0.txt", "nul\ufffd.txt"),
        ("x" * 2_000 + ".m4a", "x" * (1_024 - 64 - 3) + "…" + "x" * 60 + ".m4a"),
    ],
    ids=["arabic", "urdu", "quotation-mark", "path", "tab", "nul", "too-long"],
)
def test_names_are_kept_as_claimed(site, alice, sent, kept):
    assert site.send(("files", sent, b"x"))[0] == 200
    assert site.open_only(alice).index.files[0].name == kept


def test_a_name_that_is_not_utf8_does_not_lose_the_file(site, alice):
    body, content_type = encode_form([("files", "caf\u00e9.txt", b"x")])
    body = body.replace("caf\u00e9".encode(), "caf\u00e9".encode("latin-1"))
    assert site.request("POST", "/submit", body, {"Content-Type": content_type})[0] == 200
    assert site.open_only(alice).index.files[0].name == "caf\ufffd.txt"


@pytest.mark.parametrize("letter", ['"', "\t", "\x01", "\n"], ids=["quotes", "tabs", "controls", "lines"])
def test_a_message_that_grows_in_the_index_has_room(site, alice, letter):
    message = letter * 300_000
    assert site.send(("message", message.encode()))[0] == 200
    assert site.open_only(alice).index.message == message


def test_a_large_file_is_stored_byte_for_byte(site, alice):
    content = os.urandom(20_000_001)
    assert site.send(("files", "talk.m4a", content))[0] == 200
    envelope = site.open_only(alice)
    assert hashlib.sha256(envelope.read_file(0)).digest() == hashlib.sha256(content).digest()


def test_an_envelope_that_is_the_only_file_is_taken_as_it_is(site):
    sealed = make_envelope("alice", files=[SourceFile("a", "", io.BytesIO(os.urandom(3_000_000)))])
    assert site.send(("kind", "x"), ("message", ""), ("files", "mine.envelope", sealed))[0] == 200
    (path,) = site.envelopes()
    assert path.read_bytes() == sealed


def test_an_envelope_with_a_message_is_sealed_like_any_file(site, alice):
    sealed = make_envelope("alice")
    site.send(("files", "mine.envelope", sealed), ("message", "see the file"))
    envelope = site.open_only(alice)
    assert (envelope.index.message, envelope.read_file(0)) == ("see the file", sealed)


def test_an_envelope_beside_another_file_is_sealed_like_any_file(site, alice):
    sealed = make_envelope("alice")
    site.send(("files", "mine.envelope", sealed), ("files", "b", b"2"))
    envelope = site.open_only(alice)
    assert [envelope.read_file(number) for number in (0, 1)] == [sealed, b"2"]


def test_a_file_that_ends_before_it_says_that_it_is_an_envelope_is_sealed_like_any_file(site, alice):
    site.send(("files", "a letter", b"LEAKDRO"))
    assert site.open_only(alice).read_file(0) == b"LEAKDRO"


def changed(envelope: bytes, offset: int, value: int) -> bytes:
    return envelope[:offset] + bytes([value]) + envelope[offset + 1 :]


SEALED = make_envelope("alice")


@pytest.mark.parametrize(
    ("envelope", "refusal"),
    [
        (b"LEAKDROP", Refusal.NOT_AN_ENVELOPE),
        (changed(SEALED, 8, 2), Refusal.UNKNOWN_VERSION),
        (changed(SEALED, 9, 0), Refusal.BAD_COUNT),
        (SEALED[:1000], Refusal.CUT_HEADER),
        (changed(SEALED[: 10 + 1232] + SEALED[10:], 9, 2), Refusal.STANZA_ORDER),
        (SEALED[:-1], Refusal.BAD_LENGTH),
        (SEALED + b"\0", Refusal.BAD_LENGTH),
        (SEALED[: 10 + 1232 + 32], Refusal.BAD_LENGTH),
        (make_envelope("mallory"), Refusal.FOREIGN_KEY),
        (make_envelope("alice", "mallory"), Refusal.FOREIGN_KEY),
    ],
    ids=[
        "magic-only",
        "newer-version",
        "no-keys",
        "cut-in-the-header",
        "stanza-twice",
        "one-byte-short",
        "one-byte-long",
        "header-only",
        "for-another-key",
        "also-for-another-key",
    ],
)
def test_what_begins_as_an_envelope_and_is_none_of_ours_is_refused_with_the_reason(site, envelope, refusal):
    assert_refused(site.send(("files", "mine.envelope", envelope)), refusal)
    assert site.is_empty()


def test_expired_keys_are_not_sealed_to_but_envelopes_for_them_are_taken(tmp_path, alice):
    keys = [public_key_file("alice"), public_key_file("former", datetime.date(2020, 1, 1))]
    site = make_test_site(tmp_path / "site", keys)
    site.start()
    try:
        assert site.send(("files", "old.envelope", make_envelope("former")))[0] == 200
        (old,) = site.envelopes()
        old.unlink()
        assert site.send(("message", "new"))[0] == 200
        assert [id.hex() for id in site.open_only(alice).header.key_ids] == [alice.public.key_id.hex()]
    finally:
        site.stop()


@pytest.mark.parametrize(
    ("parts", "refusal"),
    [
        ([("message", "")], Refusal.NOTHING_SENT),
        ([("kind", "x"), ("message", "\r\n".strip()), ("files", "", b"")], Refusal.NOTHING_SENT),
        ([("file", "lost.txt", b"x")], Refusal.UNKNOWN_FIELD),
        ([("message", "a"), ("message", "b")], Refusal.BAD_FORM),
        ([("message", "x" * 1_048_577)], Refusal.MESSAGE_TOO_LONG),
        ([("message", "x" * 3_000_000)], Refusal.MESSAGE_TOO_LONG),
        ([("files", f"{n}", b"") for n in range(10_001)], Refusal.TOO_MANY_FILES),
        ([("files", f"{n:0200}", b"") for n in range(2_700)], Refusal.TOO_MANY_FILES),
        ([("files", "n" * 100_000, b"x")], Refusal.BAD_FORM),
    ],
    ids=[
        "nothing",
        "empty-fields",
        "unknown-field",
        "message-twice",
        "message-one-byte-too-long",
        "message-far-too-long",
        "too-many-files",
        "names-too-long-together",
        "name-of-100-kB",
    ],
)
def test_a_form_that_cannot_be_taken_is_refused_and_nothing_is_kept(site, parts, refusal):
    assert_refused(site.send(*parts), refusal)
    assert site.is_empty()


def test_a_message_of_one_mebibyte_arrives(site, alice):
    message = "ز" * 524_288
    assert site.send(("message", message))[0] == 200
    assert site.open_only(alice).index.message == message


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"", "multipart/form-data; boundary=x"),
        (b"--x\r\nno colon\r\n\r\nx\r\n--x--\r\n", "multipart/form-data; boundary=x"),
        (
            b"--x\r\nContent-Disposition: attachment; name=files\r\n\r\nx\r\n--x--",
            "multipart/form-data; boundary=x",
        ),
        (
            b"--x\r\nContent-Disposition: form-data; name=message\r\n\r\nhello",
            "multipart/form-data; boundary=x",
        ),
        (bytes(range(256)) * 100, "multipart/form-data; boundary=x"),
        (
            b"--x\r\nContent-Disposition: form-data; name=message\r\n\r\n"
            b"--x\r\nContent-Disposition: form-data; name=files; filename=a\r\n\r\na file\r\n--x--\r\n",
            "multipart/form-data; boundary=x",
        ),
        (
            b"--x\r\nContent-Disposition: form-data; name=message\r\n\r\nna\xefve\r\n--x--\r\n",
            "multipart/form-data; boundary=x",
        ),
    ],
    ids=[
        "empty",
        "bad-header",
        "not-form-data",
        "without-its-end",
        "noise",
        "part-without-body",
        "not-utf-8",
    ],
)
def test_what_is_no_whole_form_is_refused(site, body, content_type):
    answer = site.request("POST", "/submit", body, {"Content-Type": content_type})
    assert_refused((answer[0], answer[1].decode()), Refusal.BAD_FORM)
    assert site.is_empty()


@pytest.mark.parametrize(
    "content_type", ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data"]
)
def test_what_is_no_form_is_refused(site, content_type):
    status, page, _ = site.request("POST", "/submit", b"message=hello", {"Content-Type": content_type})
    assert_refused((status, page.decode()), Refusal.NOT_A_FORM)


def test_a_body_without_a_length_is_refused(site):
    status, page, _ = site.request("POST", "/submit", iter([b"x"]), {"Transfer-Encoding": "chunked"})
    assert_refused((status, page.decode()), Refusal.NO_LENGTH)


def test_what_another_site_sends_is_refused_and_a_link_from_it_is_not(site):
    assert_refused(site.send(("message", "x"), headers={"Sec-Fetch-Site": "cross-site"}), Refusal.CROSS_SITE)
    assert site.send(("message", "x"), headers={"Sec-Fetch-Site": "same-origin", "Origin": "null"})[0] == 200
    assert site.get("/", **{"Sec-Fetch-Site": "cross-site"})[0] == 200


def announce(site, length: int, sent: bytes) -> socket.socket:
    """A connection on which a form was announced, and its beginning sent."""
    connection = socket.create_connection(("127.0.0.1", site.port), PATIENCE)
    connection.sendall(
        b"POST /submit HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=x\r\n"
        b"Content-Length: %d\r\n\r\n" % length
    )
    connection.sendall(sent)
    return connection


BEGINNING = (
    b'--x\r\nContent-Disposition: form-data; name="files"; filename="talk.m4a"\r\n\r\n' + b"s" * 100_000
)


def receiving(site) -> int:
    return len(list((site.data / "incoming").iterdir()))


def test_an_upload_that_stops_half_way_leaves_nothing(site):
    connection = announce(site, 10_000_000, BEGINNING)
    wait_until(lambda: receiving(site) == 1)
    connection.close()
    wait_until(lambda: receiving(site) == 0)
    assert site.is_empty()


def test_a_form_that_ends_before_its_announced_length_is_refused_although_it_is_well_formed(site):
    body, _ = encode_form([("message", "whole")])
    connection = announce(site, len(body) + 10, body.replace(b"----geckoformboundary0123456789abcdef", b"x"))
    connection.shutdown(socket.SHUT_WR)
    answer = connection.makefile("rb").read()
    connection.close()
    assert answer.startswith(b"HTTP/1.1 400")
    assert Refusal.CUT_OFF.title.encode() in answer
    assert site.is_empty()


def test_a_silent_visitor_does_not_hold_a_place(start_site):
    site = start_site(silence_seconds=1)
    connection = announce(site, 10_000_000, BEGINNING)
    wait_until(lambda: receiving(site) == 1)
    wait_until(lambda: receiving(site) == 0)
    connection.close()
    assert site.is_empty()


def test_pages_are_served_while_all_places_are_taken(start_site):
    site = start_site(threads=6, submissions_at_once=4)  # two of them for forms
    held = [announce(site, 10_000_000, BEGINNING) for _ in range(2)]
    wait_until(lambda: receiving(site) == 2)
    assert_refused(site.send(("message", "one too many")), Refusal.BUSY)
    assert site.get("/")[0] == 200
    for connection in held:
        connection.close()
    wait_until(lambda: site.send(("message", "now"))[0] == 200)


def test_many_at_once_all_arrive(site, alice):
    contents = [os.urandom(1_500_000) for _ in range(16)]
    answers = []
    senders = [
        threading.Thread(target=lambda content=content: answers.append(site.send(("files", "a", content))[0]))
        for content in contents
    ]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join(PATIENCE)
    assert answers == [200] * 16
    arrived = set()
    for path in site.envelopes():
        with path.open("rb") as file:
            arrived.add(open_envelope(file, [alice]).read_file(0))
    assert arrived == set(contents)


def test_more_than_the_largest_submission_is_refused_at_once(start_site):
    site = start_site(largest_plaintext_bytes=1_048_576)
    connection = announce(site, 3_000_000, BEGINNING)
    answer = connection.makefile("rb").read()
    connection.close()
    assert answer.startswith(b"HTTP/1.1 413")
    assert site.is_empty()


def test_the_largest_submission_is_taken_and_one_class_above_it_is_not(start_site):
    site = start_site(largest_plaintext_bytes=1_048_576)
    assert site.send(("files", "a", bytes(1_000_000)))[0] == 200
    assert_refused(site.send(("files", "a", bytes(1_048_576))), Refusal.TOO_LARGE)
    assert len(site.envelopes()) == 1


def test_what_does_not_fit_above_the_reserve_is_refused(start_site):
    site = start_site(disk_reserve_bytes=2**50)
    assert_refused(site.send(("message", "x")), Refusal.FULL)
    assert site.is_empty()


class TestWithSealingSwitchedOff:
    """The form takes one envelope, and nothing that would have to be sealed."""

    @pytest.fixture
    def site(self, start_site):
        return start_site(no_script_sealing=False)

    def test_the_page_offers_one_file_and_no_message(self, site):
        page = site.get("/")[1].decode()
        plain = page.partition("<noscript>")[2].partition("</noscript>")[0]
        assert 'name="files"' in plain
        assert 'name="message"' not in page
        assert "multiple" not in plain

    def test_an_envelope_is_taken_as_it_is(self, site):
        assert site.send(("files", "mine.envelope", SEALED))[0] == 200
        assert site.envelopes()[0].read_bytes() == SEALED

    @pytest.mark.parametrize(
        ("parts", "refusal"),
        [
            ([("files", "talk.m4a", b"plain")], Refusal.ONLY_SEALED),
            ([("files", "mine.envelope", SEALED), ("message", "and words")], Refusal.ONLY_SEALED),
            ([("message", "words")], Refusal.ONLY_SEALED),
            ([("files", "a", SEALED), ("files", "b", SEALED)], Refusal.ONLY_SEALED),
            ([("files", "mine.envelope", SEALED[:-1])], Refusal.BAD_LENGTH),
            ([("files", "", b"")], Refusal.NOTHING_SENT),
            ([("other", "x")], Refusal.UNKNOWN_FIELD),
        ],
        ids=["plain", "message-too", "message-only", "two", "cut", "nothing", "unknown-field"],
    )
    def test_anything_else_is_refused(self, site, parts, refusal):
        assert_refused(site.send(*parts), refusal)
        assert site.is_empty()
