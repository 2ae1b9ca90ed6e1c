"""Receipts and answers in Python against the vectors in tests/vectors, which other code wrote."""

import json
from itertools import chain
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leakdrop.bundle import MAX_REPLY, MAX_REPLY_FILES
from leakdrop.envelope.header import envelope_length, read_header
from leakdrop.envelope.index import MAX_MESSAGE, encode_base64url
from leakdrop.envelope.receipt import (
    MAX_ANSWER,
    UNIT,
    answer_length,
    decode_answer,
    derive_mailbox,
    derive_receipt,
    encode_answer,
)
from leakdrop.errors import AnswerError, ReceiptError
from leakdrop.intake.words import decode_words, encode_words, split_words
from tests.envelope.test_vectors import SPECIFICATION, VECTORS, each, good_bytes, read_cases

WORDS_CASES, RECEIPTS, ANSWERS = read_cases("words"), read_cases("receipts"), read_cases("answers")


@each([case for case in WORDS_CASES if "entropy" in case])
def test_words_are_read_however_they_were_copied(case: dict[str, Any]) -> None:
    assert decode_words(case["text"]).hex() == case["entropy"]
    assert encode_words(bytes.fromhex(case["entropy"])) == split_words(case["text"])


@each([case for case in WORDS_CASES if "refusal" in case])
def test_words_that_are_not_a_receipt_are_refused_for_the_right_reason(case: dict[str, Any]) -> None:
    with pytest.raises(ReceiptError) as caught:
        decode_words(case["text"])
    beginning = {
        "count": f"These are {len(split_words(case['text']))} words",
        "unknown": f"Word {case.get('number')} is not",
        "checksum": "These words do not fit together",
    }
    assert str(caught.value).startswith(beginning[case["refusal"]])


def test_all_published_vectors_of_bip39_are_there() -> None:
    assert sum(case["name"].startswith("bip39-") for case in WORDS_CASES) == 12


@pytest.mark.parametrize("refusal", ["count", "unknown", "checksum"])
def test_every_refusal_has_several_vectors(refusal: str) -> None:
    assert sum(case.get("refusal") == refusal for case in WORDS_CASES) >= 3


@given(entropy=st.binary(min_size=16, max_size=16), between=st.text("\n\t .,-_0123456789–•", min_size=1))
def test_words_come_back_with_any_signs_between_them(entropy: bytes, between: str) -> None:
    assert decode_words(between.join(encode_words(entropy))) == entropy


@given(entropy=st.binary(min_size=16, max_size=16), text=st.text())
def test_any_text_gives_sixteen_bytes_or_a_refusal(entropy: bytes, text: str) -> None:
    for candidate in (text, text.join(encode_words(entropy))):
        try:
            assert len(decode_words(candidate)) == 16
        except ReceiptError:
            continue


@given(st.text("abcdefgh ", min_size=5))
def test_a_refusal_repeats_no_word(text: str) -> None:
    with pytest.raises(ReceiptError) as caught:
        decode_words(f"{text} qqq " + "zoo " * (11 - len(split_words(text))))
    assert "qqq" not in str(caught.value)


@each(RECEIPTS)
def test_a_receipt_gives_what_the_vectors_say(case: dict[str, Any]) -> None:
    entropy = decode_words(case["words"])
    assert " ".join(encode_words(entropy)) == case["words"]
    receipt = derive_receipt(entropy)
    public = receipt.key_pair.public
    assert {
        "entropy": entropy.hex(),
        "token": receipt.token.hex(),
        "mailbox": receipt.mailbox.hex(),
        "public": encode_base64url(public.encoded),
        "fingerprint": public.fingerprint,
        "key_id": public.key_id.hex(),
    }.items() <= case.items()
    assert derive_mailbox(receipt.token) == receipt.mailbox
    assert (receipt.reply_to.mailbox, receipt.reply_to.key) == (receipt.mailbox, public)


def test_a_receipt_does_not_show_itself() -> None:
    assert "token" not in repr(derive_receipt(bytes(16)))


@pytest.mark.parametrize("field", ["entropy", "words", "root", "token", "mailbox", "fingerprint", "key_id"])
def test_the_worked_example_of_a_receipt_has_this_value(field: str) -> None:
    assert f"`{RECEIPTS[0][field]}`" in SPECIFICATION.read_text("utf-8")


def build(parts: list[list[Any]]) -> bytes:
    makers = {
        "hex": bytes.fromhex,
        "envelope": good_bytes,
        "fill": lambda fill: bytes([fill[1]]) * fill[0],
    }
    return b"".join(makers[what](value) for what, value in parts)


@each(ANSWERS)
def test_an_answer_is_taken_apart_or_refused(case: dict[str, Any]) -> None:
    answer = build(case["parts"])
    if case["lengths"] is None:
        with pytest.raises(AnswerError):
            decode_answer(answer)
        return
    envelopes = decode_answer(answer)
    assert [len(envelope) for envelope in envelopes] == case["lengths"]
    if ["envelope", "reply"] in case["parts"]:
        assert set(envelopes) == {good_bytes("reply")}


def test_vectors_hold_good_and_bad_answers() -> None:
    assert len(json.loads((VECTORS / "answers.json").read_text())) == len(ANSWERS)
    assert sum(case["lengths"] is None for case in ANSWERS) >= 10


@given(st.lists(st.binary(max_size=400_000), max_size=6), st.integers(1, 70_000))
def test_what_an_answer_is_made_of_comes_out_again(envelopes: list[bytes], piece: int) -> None:
    given_pieces = [
        (len(envelope), [envelope[at : at + piece] for at in range(0, len(envelope), piece)])
        for envelope in envelopes
    ]
    answer = b"".join(encode_answer(given_pieces))
    assert len(answer) == answer_length(map(len, envelopes))
    assert len(answer) % UNIT == 0
    assert decode_answer(answer) == envelopes


@given(answer=st.binary(max_size=40), units=st.integers(0, 2))
def test_any_bytes_are_an_answer_or_are_refused(answer: bytes, units: int) -> None:
    for candidate in (answer, answer + bytes(units * UNIT - len(answer)) if units else answer):
        try:
            envelopes = decode_answer(candidate)
        except AnswerError:
            continue
        assert len(candidate) == answer_length(map(len, envelopes))


def test_nothing_to_three_text_replies_are_one_unit() -> None:
    text = envelope_length(1, 1)
    assert [answer_length([text] * count) // UNIT for count in range(5)] == [1, 1, 1, 1, 2]


def test_the_filling_is_never_the_same() -> None:
    first, second = (b"".join(encode_answer([])) for _ in range(2))
    assert first[0] == second[0] == 0
    assert first != second
    assert len(set(chain(first[1:5000]))) == 256


def test_the_largest_reply_is_what_the_specification_says() -> None:
    assert envelope_length(1, MAX_REPLY_FILES + MAX_MESSAGE) <= MAX_REPLY
    assert f"{MAX_REPLY:,} bytes in all" in SPECIFICATION.read_text("utf-8")
    assert f"{MAX_ANSWER:,}" in SPECIFICATION.read_text("utf-8")


def test_a_reply_has_one_stanza() -> None:
    with (VECTORS / "good" / "reply.envelope").open("rb") as file:
        assert len(read_header(file, len(good_bytes("reply")))[0].stanzas) == 1
