"""The whole way of a reply: send, export, reply, import, read, delete, add; and what the server knows."""

import hashlib
import io
import re
import sqlite3
import threading
from pathlib import Path

import pytest

from leakdrop.bundle import parse_reply_name
from leakdrop.envelope.index import encode_base64url
from leakdrop.envelope.keys import KeyPair
from leakdrop.envelope.opening import open_envelope
from leakdrop.envelope.receipt import Receipt
from leakdrop.intake.words import decode_words
from tests.intake.wire import Relay
from tests.keys import label_key_pair
from tests.replies import Stick, ask, delete, label_receipt, read_replies, read_words, receipt_of
from tests.review.inboxes import seal_bytes
from tests.site import BROKEN, Site, wait_until


def send_sealed(site: Site, message: str, receipt: Receipt) -> None:
    """What the page in the browser sends: an envelope, by tus, whose index says where replies go."""
    envelope = seal_bytes([label_key_pair("alice").public], message, reply_to=receipt.reply_to)
    tus = {"Tus-Resumable": "1.0.0"}
    _, _, headers = site.request("POST", "/uploads", headers={**tus, "Upload-Length": str(len(envelope))})
    status, _, _ = site.request(
        "PATCH",
        headers["Location"],
        envelope,
        {**tus, "Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"},
    )
    assert status == 204


def names_by_message(stick: Stick, key: KeyPair) -> dict[str, list[str]]:
    """The envelopes of a bundle, by what they say."""
    found: dict[str, list[str]] = {}
    for path in sorted(stick.bundle.glob("*.envelope")):
        message = open_envelope(io.BytesIO(path.read_bytes()), [key]).index.message
        found.setdefault(message, []).append(path.name)
    return found


def spellings(octets: bytes) -> list[bytes]:
    """Bytes in every way in which they could stand in a file."""
    return [octets, octets.hex().encode(), octets.hex().upper().encode(), encode_base64url(octets).encode()]


def secrets_of(receipt: Receipt) -> list[bytes]:
    """What must stand nowhere on the server, whatever comes."""
    key = receipt.key_pair
    return [
        *spellings(receipt.token),
        *spellings(key.x25519),
        *spellings(key.public.encoded),
        *spellings(key.public.encoded[:32]),
    ]


def files_of(site: Site) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in site.folder.rglob("*") if path.is_file()}


def find_marks(site: Site, marks: list[bytes]) -> list[Path]:
    """The files of the site that hold one of the marks, in their names or in their bytes."""
    return [
        path
        for path, content in files_of(site).items()
        if any(mark in content or mark in str(path).encode() for mark in marks)
    ]


@pytest.mark.parametrize("way", ["form", "sealed"])
def test_a_source_comes_back_reads_deletes_and_adds(start_site, tmp_path, alice, way):
    site = start_site()
    stick = Stick(site, tmp_path)
    if way == "form":
        receipt = receipt_of(site.send(("message", "first"))[1])
    else:
        receipt = label_receipt("amina")
        send_sealed(site, "first", receipt)
    assert read_replies(site, receipt) == []

    stick.export()
    done = stick.review("reply", "--text", "Thank you. Who else was there?")
    assert done.returncode == 0, done.stderr
    assert stick.review("reply", "--received").returncode == 0
    assert stick.bring().returncode == 0
    texts = read_replies(site, receipt)
    assert len(texts) == 2
    assert "Thank you. Who else was there?" in texts

    for envelope in ask(site, receipt.token):
        assert delete(site, receipt.token, hashlib.sha256(envelope).hexdigest()) == 200
    assert read_replies(site, receipt) == []
    assert list((site.data / "replies").iterdir()) == []

    send_sealed(site, "second", receipt)
    stick.export()
    names = names_by_message(stick, alice)
    listed = stick.review("list").stdout
    together = ", ".join(sorted(name[:8] for name in names["first"] + names["second"]))
    assert f"From the same receipt: {together}" in listed


def test_two_sources_never_see_each_others_replies(start_site, tmp_path, alice):
    site = start_site()
    stick = Stick(site, tmp_path)
    receipts = {}
    for name in ("amina", "ben"):
        receipts[name] = receipt_of(site.send(("message", f"from {name}"))[1])
    stick.export()
    names = names_by_message(stick, alice)
    for name in receipts:
        done = stick.review("reply", "--name", names[f"from {name}"][0][:8], "--text", f"to {name}")
        assert done.returncode == 0, done.stderr
    mailboxes = {parse_reply_name(path.name)[0] for path in stick.replies}
    assert stick.bring().returncode == 0
    for name, receipt in receipts.items():
        assert read_replies(site, receipt) == [f"to {name}"]
    assert mailboxes == {receipt.mailbox for receipt in receipts.values()}


def test_nothing_on_the_server_holds_a_word_or_links_a_drop_to_a_mailbox(start_site, tmp_path, alice):
    """All that the server receives and keeps is looked through after each step of the whole way."""
    site = start_site()
    stick = Stick(site, tmp_path)
    amina = label_receipt("amina")
    with Relay(site.port) as relay:
        through = Site(site.folder, int(re.search(":([0-9]+)/", relay.url)[1]))
        page = through.send(("message", "by the form"))[1]
        ben, words = receipt_of(page), " ".join(read_words(page))
        before_import = [*spellings(amina.mailbox), *spellings(ben.mailbox)]
        everywhere = [*secrets_of(amina), *secrets_of(ben), words.encode(), *spellings(decode_words(words))]

        send_sealed(through, "by the page", amina)
        assert find_marks(site, [*everywhere, *before_import]) == []
        # What came in from the page has neither words nor token nor mailbox; the form has not even asked.
        assert not any(mark in relay.sent for mark in [*everywhere, *before_import])

        stick.export()
        names = names_by_message(stick, alice)
        for message in ("by the form", "by the page"):
            done = stick.review("reply", "--name", names[message][0][:8], "--received")
            assert done.returncode == 0, done.stderr
        assert find_marks(site, [*everywhere, *before_import]) == []

        assert stick.bring().returncode == 0
        assert find_marks(site, everywhere) == []
        drops = [path.stem for path in site.envelopes()]
        assert_no_link(site, drops, [amina, ben])

        relay.sent.clear()
        assert len(read_replies(through, amina)) == len(read_replies(through, ben)) == 1
        # Only the token leaves the device.
        asked = bytes(relay.sent)
        assert encode_base64url(amina.token).encode() in asked
        kept = [*before_import, words.encode(), *spellings(amina.key_pair.x25519)]
        assert not any(mark in asked for mark in kept)
        assert find_marks(site, everywhere) == []

        (digest,) = (hashlib.sha256(envelope).hexdigest() for envelope in ask(through, amina.token))
        delete(through, amina.token, digest)
        assert find_marks(site, [*everywhere, *spellings(amina.mailbox), digest.encode()]) == []

        send_sealed(through, "more", amina)
        assert find_marks(site, [*everywhere, *spellings(amina.mailbox)]) == []
        assert_no_link(site, [path.stem for path in site.envelopes()], [ben])
    site.stop()
    site.start()
    assert find_marks(site, [*everywhere, *spellings(amina.mailbox)]) == []
    assert site.log.read_text() == ""


def assert_no_link(site: Site, drops: list[str], receipts: list[Receipt]) -> None:
    """No row and no file name has anything of both a drop and a mailbox; weeks are all that rows share."""
    connection = sqlite3.connect(site.data / "leakdrop.sqlite")
    try:
        drop_rows = connection.execute("SELECT * FROM drops").fetchall()
        reply_rows = connection.execute("SELECT * FROM replies").fetchall()
    finally:
        connection.close()
    assert {row[0] for row in drop_rows} == set(drops)
    assert {row[0] for row in reply_rows} == {receipt.mailbox.hex() for receipt in receipts}
    weeks = {row[2] for row in drop_rows} | {row[3] for row in reply_rows}
    of_drops = {str(value) for row in drop_rows for value in row}
    of_replies = {str(value) for row in reply_rows for value in row}
    sizes = {str(row[2]) for row in reply_rows}  # of text alone they are all the same
    assert of_drops & of_replies <= weeks | sizes
    replies = [path.name for path in (site.data / "replies").iterdir()]
    assert not any(drop in name for drop in drops for name in replies)
    sums = {hashlib.sha256(path.read_bytes()).hexdigest() for path in site.envelopes()}
    assert not any(digest[:32] in name for digest in sums for name in replies)


def test_the_search_for_marks_finds_what_is_there(start_site, tmp_path):
    """The test above can fail: a mailbox with a reply is found, in every place where one stands."""
    site = start_site()
    stick = Stick(site, tmp_path)
    receipt = receipt_of(site.send(("message", "hello"))[1])
    stick.export()
    assert stick.review("reply", "--received").returncode == 0
    stick.bring()
    found = {path.name.split(".")[-1] for path in find_marks(site, spellings(receipt.mailbox))}
    assert found == {"sqlite", "envelope"}


def test_replies_survive_a_kill_while_they_are_read_and_deleted(start_site, tmp_path):
    site = start_site()
    stick = Stick(site, tmp_path)
    receipt = receipt_of(site.send(("message", "hello"))[1])
    stick.export()
    for number in range(4):
        assert stick.review("reply", "--text", f"{number}").returncode == 0
    assert stick.bring().returncode == 0
    digests = [hashlib.sha256(envelope).hexdigest() for envelope in ask(site, receipt.token)]
    deleted: list[str] = []

    def delete_all() -> None:
        for digest in digests[:2]:
            try:
                if delete(site, receipt.token, digest) == 200:
                    deleted.append(digest)
            except BROKEN:
                return

    deleting = threading.Thread(target=delete_all)
    deleting.start()
    wait_until(lambda: deleted)
    site.stop(9)
    deleting.join()
    site.start()
    left = {hashlib.sha256(envelope).hexdigest() for envelope in ask(site, receipt.token)}
    assert not left & set(deleted)
    assert set(digests[2:]) <= left
