"""Replies asked for and deleted at a running site: one size, one answer, nothing kept."""

import http.client
import io
import re
import secrets
import statistics
import threading
import time

import pytest

from leakdrop.envelope.header import envelope_length
from leakdrop.envelope.index import MAX_MESSAGE, encode_base64url
from leakdrop.envelope.receipt import UNIT, decode_answer, derive_mailbox
from leakdrop.envelope.sealing import seal
from leakdrop.intake.forms import MAX_SMALL_FORM
from leakdrop.intake.refusals import Refusal
from leakdrop.intake.words import decode_words, encode_words
from tests.keys import label_key_pair
from tests.replies import (
    URLENCODED,
    ask,
    delete,
    label_receipt,
    post,
    read_replies,
    read_words,
    receipt_of,
    seal_reply,
    store_reply,
)
from tests.review.inboxes import seal_bytes

QUESTION_REFUSALS = (
    Refusal.BAD_QUESTION, Refusal.WORDS_NOT_TAKEN, Refusal.CUT_OFF, Refusal.NO_LENGTH, Refusal.NOT_A_FORM,
    Refusal.BAD_FORM, Refusal.TOO_LARGE, Refusal.CROSS_SITE, Refusal.AWAY,
)  # fmt: skip
AMINA, BEN = label_receipt("amina"), label_receipt("ben")
WORDS = " ".join(encode_words(bytes(range(16))))


@pytest.fixture
def site(site):
    """A site without replies, where nobody has asked too often."""
    for path in (site.data / "replies").iterdir():
        path.unlink()
    return site


@pytest.fixture
def open_site(start_site):
    return start_site(no_script_replies=True)


def test_each_source_gets_their_own_replies_and_no_others(site):
    store_reply(site, AMINA.mailbox, seal_reply(AMINA.key_pair.public, "to amina"))
    store_reply(site, AMINA.mailbox, seal_reply(AMINA.key_pair.public, "to amina again"))
    store_reply(site, BEN.mailbox, seal_reply(BEN.key_pair.public, "to ben"))
    assert read_replies(site, AMINA) == ["to amina", "to amina again"]
    assert read_replies(site, BEN) == ["to ben"]
    assert ask(site, label_receipt("nobody").token) == []


@pytest.mark.parametrize("replies", [0, 1, 3])
def test_an_answer_to_none_to_three_text_replies_has_one_size_and_the_same_headers(site, replies):
    for number in range(replies):
        store_reply(site, AMINA.mailbox, seal_reply(AMINA.key_pair.public, f"{number}"))
    status, body, headers = post(site, "/replies", token=encode_base64url(AMINA.token))
    nobody = post(site, "/replies", token=encode_base64url(secrets.token_bytes(32)))
    assert (status, len(body), headers) == (nobody[0], len(nobody[1]), nobody[2])
    assert (len(body), headers["Cache-Control"]) == (UNIT, "no-store")
    assert "Content-Encoding" not in headers
    assert len(decode_answer(body)) == replies


def test_more_or_larger_replies_grow_the_answer_by_whole_units(site):
    large = seal_reply(AMINA.key_pair.public, files=(("a.pdf", bytes(3 * UNIT)),))
    store_reply(site, AMINA.mailbox, large)
    _, body, _ = post(site, "/replies", token=encode_base64url(AMINA.token))
    assert len(body) == 4 * UNIT
    assert decode_answer(body) == [large]


def test_an_answer_is_never_the_same_bytes_twice(site):
    token = encode_base64url(AMINA.token)
    first, second = (post(site, "/replies", token=token)[1] for _ in range(2))
    assert first != second


@pytest.mark.parametrize("write", ["multipart", "urlencoded"])
def test_a_question_may_be_written_in_either_way(site, write):
    store_reply(site, AMINA.mailbox, seal_reply(AMINA.key_pair.public))
    token = encode_base64url(AMINA.token)
    if write == "multipart":
        _, body, _ = post(site, "/replies", token=token)
    else:
        _, body, _ = site.request("POST", "/replies", f"token={token}", URLENCODED)
    assert len(decode_answer(body)) == 1


def test_the_mailbox_in_the_place_of_the_token_gets_nothing_and_deletes_nothing(site):
    digest = store_reply(site, AMINA.mailbox, seal_reply(AMINA.key_pair.public))
    assert ask(site, AMINA.mailbox) == []
    assert delete(site, AMINA.mailbox, digest) == 200
    assert len(ask(site, AMINA.token)) == 1


def test_a_deleted_reply_is_gone_and_the_others_stay(site):
    first = store_reply(site, AMINA.mailbox, seal_reply(AMINA.key_pair.public, "first"))
    store_reply(site, AMINA.mailbox, seal_reply(AMINA.key_pair.public, "second"))
    assert delete(site, AMINA.token, first) == 200
    assert read_replies(site, AMINA) == ["second"]


def test_a_deletion_answers_the_same_whether_there_was_such_a_reply_or_not(site):
    digest = store_reply(site, AMINA.mailbox, seal_reply(AMINA.key_pair.public))
    token = encode_base64url(AMINA.token)
    answers = [post(site, "/replies/delete", token=token, reply=name) for name in (digest, digest, "0" * 64)]
    assert answers[0] == answers[1] == answers[2]


def test_a_token_deletes_nothing_of_anybody_else(site):
    digest = store_reply(site, AMINA.mailbox, seal_reply(AMINA.key_pair.public))
    delete(site, BEN.token, digest)
    assert len(ask(site, AMINA.token)) == 1


GOOD = encode_base64url(AMINA.token)


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/replies", {"token": encode_base64url(AMINA.token[:31])}),
        ("/replies", {"token": encode_base64url(AMINA.token + b"\0")}),
        ("/replies", {"token": GOOD + "="}),
        ("/replies", {"token": GOOD[:-1] + "~"}),
        ("/replies", {"token": AMINA.token.hex()}),
        ("/replies", {"token": ""}),
        ("/replies", {"token": "é" * 43}),
        ("/replies", {"mailbox": GOOD}),
        ("/replies", {"token": GOOD, "reply": "0" * 64}),
        ("/replies", {}),
        ("/replies/delete", {"token": GOOD}),
        ("/replies/delete", {"reply": "0" * 64}),
        ("/replies/delete", {"token": GOOD, "reply": "0" * 63}),
        ("/replies/delete", {"token": GOOD, "reply": "../" + "0" * 61}),
        ("/replies/delete", {"token": GOOD, "reply": "A" * 64}),
        ("/replies/delete", {"token": GOOD[:-1], "reply": "0" * 64}),
        ("/replies/delete", {"words": WORDS, "reply": "0" * 64}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, dict) else value,
)
def test_what_is_no_question_is_refused(site, path, fields):
    digest = store_reply(site, AMINA.mailbox, seal_reply(AMINA.key_pair.public))
    status, page, _ = post(site, path, **fields)
    assert (status, Refusal.BAD_QUESTION.title in page.decode()) == (400, True)
    assert digest.encode() not in page
    assert len(ask(site, AMINA.token)) == 1


@pytest.mark.parametrize(
    ("body", "headers", "refusal"),
    [
        (b"token=" + b"a" * MAX_SMALL_FORM, URLENCODED, Refusal.TOO_LARGE),
        (b"token=a&token=b", URLENCODED, Refusal.BAD_FORM),
        (b"token", URLENCODED, Refusal.BAD_FORM),
        (b"&".join([b"a=b"] * 9), URLENCODED, Refusal.BAD_FORM),
        (b"token=\xff", URLENCODED, Refusal.BAD_FORM),
        (b'{"token": ""}', {"Content-Type": "application/json"}, Refusal.NOT_A_FORM),
        (b"token=a", {}, Refusal.NOT_A_FORM),
        (b"token=a", {**URLENCODED, "Sec-Fetch-Site": "cross-site"}, Refusal.CROSS_SITE),
    ],
    ids=["too long", "twice", "no value", "many", "not ascii", "json", "no type", "from another site"],
)
def test_what_is_no_small_form_is_refused(site, body, headers, refusal):
    status, page, _ = site.request("POST", "/replies", body, headers)
    assert (status, refusal.title in page.decode()) == (refusal.status, True)


def test_a_question_that_is_cut_off_is_not_answered(site):
    connection = http.client.HTTPConnection("127.0.0.1", site.port, timeout=30)
    connection.putrequest("POST", "/replies")
    connection.putheader("Content-Type", URLENCODED["Content-Type"])
    connection.putheader("Content-Length", "49")
    connection.endheaders(f"token={GOOD}"[:-5].encode())
    connection.sock.shutdown(1)
    response = connection.getresponse()
    assert (response.status, Refusal.CUT_OFF.title in response.read().decode()) == (400, True)
    connection.close()


@pytest.mark.parametrize("path", ["/replies/delete", "/replies/other"])
def test_only_the_page_can_be_looked_at(site, path):
    assert site.get("/replies")[0] == 200
    assert site.get(path)[0] == 404


def test_questions_are_limited_for_all_together_and_pages_are_not(start_site):
    site = start_site(replies_in_all="2 per hour")
    assert [ask(site, secrets.token_bytes(32)) for _ in range(2)] == [[], []]
    status, page, _ = post(site, "/replies", token=GOOD)
    assert (status, Refusal.ASKED_OFTEN.title in page.decode()) == (503, True)
    assert delete(site, AMINA.token, "0" * 64) == 503
    assert site.get("/replies")[0] == site.get("/")[0] == 200
    assert site.send(("message", "still open"))[0] == 200


def test_answers_that_are_read_slowly_hold_no_more_than_their_places(start_site):
    site = start_site(threads=8, submissions_at_once=4)
    for number in range(3):
        large = seal_reply(AMINA.key_pair.public, f"{number}", (("a", bytes(8 * UNIT)),))
        store_reply(site, AMINA.mailbox, large)
    slow = []
    for _ in range(2):
        connection = http.client.HTTPConnection("127.0.0.1", site.port, timeout=60)
        connection.request("POST", "/replies", f"token={GOOD}", URLENCODED)
        slow.append((connection, connection.getresponse()))
    assert post(site, "/replies", token=GOOD)[0] == 503
    assert site.get("/")[0] == 200
    assert [len(decode_answer(response.read())) for _, response in slow] == [3, 3]
    for connection, _ in slow:
        connection.close()
    assert len(ask(site, AMINA.token)) == 3


def test_a_place_is_free_again_after_an_answer_that_nobody_read_to_its_end(start_site):
    site = start_site(threads=4, submissions_at_once=2)
    store_reply(site, AMINA.mailbox, seal_reply(AMINA.key_pair.public, files=(("a", bytes(8 * UNIT)),)))
    for _ in range(3):
        connection = http.client.HTTPConnection("127.0.0.1", site.port, timeout=60)
        connection.request("POST", "/replies", f"token={GOOD}", URLENCODED)
        connection.getresponse().read(1)
        connection.sock.close()
        connection.close()
        deadline = time.monotonic() + 60
        while post(site, "/replies", token=encode_base64url(BEN.token))[0] == 503:
            assert time.monotonic() < deadline
            time.sleep(0.1)


def test_the_time_of_an_answer_does_not_tell_whether_the_mailbox_exists(start_site):
    """Medians of many questions that take turns; which of the two comes first takes turns, too."""
    site = start_site(replies_in_all="")
    for number in range(3):
        store_reply(site, AMINA.mailbox, seal_reply(AMINA.key_pair.public, f"{number}"))
    for number in range(20):
        other = label_receipt(f"{number}")
        store_reply(site, other.mailbox, seal_reply(other.key_pair.public))
    connection = http.client.HTTPConnection("127.0.0.1", site.port, timeout=60)

    def time_of(token: bytes) -> float:
        started = time.perf_counter()
        connection.request("POST", "/replies", f"token={encode_base64url(token)}", URLENCODED)
        assert len(connection.getresponse().read()) == UNIT
        return time.perf_counter() - started

    exists, missing = [], []
    for number in range(150):
        pair = [(AMINA.token, exists), (secrets.token_bytes(32), missing)]
        for token, times in pair[:: 1 if number % 2 else -1]:
            times.append(time_of(token))
    connection.close()
    ratio = statistics.median(exists) / statistics.median(missing)
    assert 0.8 < ratio < 1.25, ratio


def test_a_question_and_its_answer_leave_no_trace(site):
    store_reply(site, AMINA.mailbox, seal_reply(AMINA.key_pair.public))
    site.request("POST", "/replies", f"token={GOOD}", {**URLENCODED, "User-Agent": "CANARY"})
    post(site, "/replies", token=GOOD[:-1])
    delete(site, AMINA.token, "0" * 64)
    marks = (AMINA.token, AMINA.token.hex().encode(), GOOD[:-1].encode(), b"CANARY")
    for path in (path for path in site.folder.rglob("*") if path.is_file()):
        content = path.read_bytes()
        assert not any(mark in content for mark in marks), path
    assert site.log.read_text() == ""


@pytest.mark.parametrize("path", ["/replies", "/replies/delete"])
def test_a_refused_question_leads_nowhere_where_one_could_send(site, path):
    status, body, _ = site.request("POST", path, b"token=a&reply=b&c=d", URLENCODED)
    page = body.decode()
    assert (status, "<title>Replies: not possible now</title>" in page) == (400, True)
    assert re.findall('href="(/[^"]*)"', page)[1:] == ["/replies", "/safety", "/key"]
    assert "Send something" not in page


def test_no_refusal_of_a_question_speaks_of_sending():
    reachable = [*QUESTION_REFUSALS, Refusal.TOO_OFTEN, Refusal.BUSY, Refusal.ASKED_OFTEN, Refusal.FAULT]
    for refusal in reachable:
        assert not re.search(r"\b(send|Nothing was kept|Go back)\b", refusal.text_for_question), refusal


# Without JavaScript.


def test_the_form_gives_twelve_words_once_and_their_address_goes_into_the_envelope(site, alice):
    status, page = site.send(("message", "write to me"))
    receipt = receipt_of(page)
    assert (status, len(read_words(page))) == (200, 12)
    index = site.open_only(alice).index
    assert index.reply_to == receipt.reply_to
    assert (index.message, index.sealed) == ("write to me", "server")


def test_every_submission_gets_other_words(site):
    pages = [site.send(("message", "a"))[1] for _ in range(3)]
    assert len({tuple(read_words(page)) for page in pages}) == 3


def test_a_page_with_words_has_one_length_and_is_not_compressed(site):
    lengths = set()
    for _ in range(3):
        status, page = site.send(("message", "a"), headers={"Accept-Encoding": "gzip"})
        assert status == 200
        lengths.add(len(page.encode()))
    assert lengths == {65_536}


def test_words_of_the_form_are_kept_nowhere(site):
    words = read_words(site.send(("message", "a"))[1])
    receipt = receipt_of(" ".join(f"<li>{word}</li>" for word in words))
    marks = [
        decode_words(" ".join(words)),
        " ".join(words).encode(),
        receipt.token,
        receipt.token.hex().encode(),
        encode_base64url(receipt.token).encode(),
        receipt.mailbox,
        receipt.mailbox.hex().encode(),
        encode_base64url(receipt.mailbox).encode(),
        receipt.key_pair.public.encoded,
        receipt.key_pair.public.key_id,
    ]
    for path in (path for path in site.folder.rglob("*") if path.is_file()):
        content = path.read_bytes()
        assert not any(mark in content for mark in marks), path


def test_an_envelope_that_is_taken_as_it_is_gets_no_words(site, alice):
    envelope = seal_bytes([alice.public], "sealed at home")
    status, page = site.send(("files", "mine.envelope", envelope))
    assert (status, read_words(page), 'id="receipt"' in page) == (200, [], False)
    assert site.envelopes()[0].read_bytes() == envelope


def test_an_envelope_in_company_is_sealed_and_gets_words(site, alice):
    envelope = seal_bytes([alice.public], "sealed at home")
    _, page = site.send(("message", "see this"), ("files", "mine.envelope", envelope))
    assert len(read_words(page)) == 12
    assert site.open_only(alice).index.reply_to == receipt_of(page).reply_to


def test_no_words_come_from_a_site_that_does_not_seal(start_site, alice):
    site = start_site(no_script_sealing=False)
    status, page = site.send(("files", "mine.envelope", seal_bytes([alice.public], "x")))
    assert (status, read_words(page)) == (200, [])


def test_a_field_for_words_is_not_taken_with_a_submission(site):
    """The server would see the words of earlier replies, too: docs/adr/0012."""
    status, page = site.send(("message", "more"), ("words", WORDS))
    assert (status, Refusal.UNKNOWN_FIELD.title in page) == (400, True)
    assert site.is_empty()


def test_words_are_not_looked_at_unless_the_operator_allows_it(site):
    status, page, _ = post(site, "/replies", words=WORDS)
    assert (status, Refusal.WORDS_NOT_TAKEN.title in page.decode()) == (403, True)
    assert b'name="words"' not in site.get("/replies")[1]


def words_of(site) -> tuple[str, object]:
    page = site.send(("message", "hello"))[1]
    return " ".join(read_words(page)), receipt_of(page)


def test_replies_are_opened_for_those_without_javascript(open_site):
    words, receipt = words_of(open_site)
    files = (("plan <1>.pdf", b"x" * 2000), ("\u202efdp.exe", b""))
    envelope = seal_reply(receipt.key_pair.public, "Thanks.\n<b>Who & when?</b>", files)
    store_reply(open_site, receipt.mailbox, envelope)
    status, page, headers = post(open_site, "/replies", words=words.upper().replace(" ", "\r\n"))
    text = page.decode()
    assert (status, len(page) % 65_536, headers["Cache-Control"]) == (200, 0, "no-store")
    assert "Thanks.\n&lt;b&gt;Who &amp; when?&lt;/b&gt;" in text
    assert "<bdi>plan &lt;1&gt;.pdf</bdi> (2.0 KiB)" in text
    assert "<bdi>\u202efdp.exe</bdi> (0 bytes)" in text  # it turns round nothing but itself
    assert "Content-Encoding" not in headers
    assert words not in text


def test_pages_with_and_without_replies_have_one_length(open_site):
    words, receipt = words_of(open_site)
    before = post(open_site, "/replies", words=words)
    store_reply(open_site, receipt.mailbox, seal_reply(receipt.key_pair.public))
    after = post(open_site, "/replies", words=words)
    assert len(before[1]) == len(after[1]) == 65_536
    assert b'id="none"' in before[1]
    assert b"Compare each word with your paper once more" in before[1]
    assert b'id="none"' not in after[1]


def test_a_long_reply_is_shown_whole_on_a_longer_page(open_site):
    words, receipt = words_of(open_site)
    store_reply(open_site, receipt.mailbox, seal_reply(receipt.key_pair.public, "&" * MAX_MESSAGE))
    page = post(open_site, "/replies", words=words)[1]
    assert page.count(b"&amp;") >= MAX_MESSAGE
    assert len(page) % 65_536 == 0


def test_a_reply_can_be_deleted_without_javascript(open_site):
    words, receipt = words_of(open_site)
    store_reply(open_site, receipt.mailbox, seal_reply(receipt.key_pair.public))
    page = post(open_site, "/replies", words=words)[1].decode()
    fields = dict(re.findall('type="hidden" name="(token|reply)" value="([^"]+)"', page))
    status, told, _ = post(open_site, "/replies/delete", **fields)
    assert (status, b"not there any more" in told) == (200, True)
    assert ask(open_site, receipt.token) == []


def test_a_damaged_and_a_foreign_reply_are_told_and_the_others_shown(open_site):
    words, receipt = words_of(open_site)
    public = receipt.key_pair.public
    damaged = bytearray(seal_reply(public, "damaged"))
    damaged[-1] ^= 1
    store_reply(open_site, receipt.mailbox, bytes(damaged))
    store_reply(open_site, receipt.mailbox, seal_reply(label_key_pair("stranger").public, "foreign"))
    store_reply(open_site, receipt.mailbox, seal_reply(public, "this one is whole"))
    text = post(open_site, "/replies", words=words)[1].decode()
    assert text.count("This reply cannot be opened") == 2
    assert "this one is whole" in text
    assert "foreign" not in text


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (WORDS.rsplit(" ", 1)[0], "These are 11 words, and a receipt has 12."),
        (WORDS.replace("liar", "lier"), "Word 3 is not a word of any receipt"),
        (WORDS.replace("liar", "zoo"), "These words do not fit together"),
        ("", "These are 0 words"),
        (WORDS.replace(" ", ""), "This is one word, and a receipt has 12."),
        ("<b>" * 12, "Word 1 is not"),
    ],
    ids=["eleven", "misspelt", "checksum", "none", "glued", "markup"],
)
def test_words_that_are_not_right_are_told_why(open_site, words, sentence):
    status, page, _ = post(open_site, "/replies", words=words)
    assert (status, len(page)) == (400, 65_536)
    assert sentence in page.decode()
    assert "lier" not in page.decode()
    assert b'name="words"' in page


def test_what_is_not_a_whole_reply_of_reviewers_is_not_shown(open_site):
    words, receipt = words_of(open_site)
    public, others = receipt.key_pair.public, label_key_pair("stranger").public
    damaged = bytearray(seal_reply(public, "DAMAGED", (("a", bytes(2 * UNIT)),)))
    damaged[UNIT] ^= 1  # neither in the header nor in the last chunk
    played_back, to_two, answerable = (io.BytesIO() for _ in range(3))
    seal([public], played_back, sealed="browser", message="PLAYED BACK")
    seal([public, others], to_two, sealed="review", message="TO TWO")
    seal([public], answerable, sealed="review", message="ANSWERABLE", reply_to=AMINA.reply_to)
    for envelope in (bytes(damaged), *(sink.getvalue() for sink in (played_back, to_two, answerable))):
        store_reply(open_site, receipt.mailbox, envelope)
    text = post(open_site, "/replies", words=words)[1].decode()
    assert text.count("This reply cannot be opened") == 4
    for message in ("DAMAGED", "PLAYED BACK", "TO TWO", "ANSWERABLE"):
        assert message not in text


def test_opening_here_leaves_no_word_and_no_text_behind(open_site):
    words, receipt = words_of(open_site)
    store_reply(open_site, receipt.mailbox, seal_reply(receipt.key_pair.public, "CANARY-OF-A-REPLY"))
    assert b"CANARY-OF-A-REPLY" in post(open_site, "/replies", words=words)[1]
    post(open_site, "/replies", words=words + " zoo")
    for path in (path for path in open_site.folder.rglob("*") if path.is_file()):
        content = path.read_bytes()
        assert b"CANARY-OF-A-REPLY" not in content, path
        assert words.encode() not in content, path
        assert receipt.token not in content, path


def test_two_questions_at_once_get_each_their_own(site):
    for receipt, name in ((AMINA, "amina"), (BEN, "ben")):
        store_reply(site, receipt.mailbox, seal_reply(receipt.key_pair.public, name))
    wrong = []

    def ask_often(receipt, name) -> None:
        wrong.extend(texts for _ in range(5) if (texts := read_replies(site, receipt)) != [name])

    threads = [threading.Thread(target=ask_often, args=pair) for pair in ((AMINA, "amina"), (BEN, "ben")) * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_mailbox_is_another_hash_than_the_token():
    assert derive_mailbox(AMINA.token) == AMINA.mailbox != AMINA.token
    assert derive_mailbox(AMINA.mailbox) != AMINA.mailbox
    assert envelope_length(1, 1) * 3 < UNIT
