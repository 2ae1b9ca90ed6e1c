"""Whoever holds an envelope and no key cannot make another one of it that opens: not by a bit."""

import io

import pytest

from leakdrop.envelope.header import CHUNK, KEM, KEY_ID, MAC, PREFIX, SEALED, STANZA, WRAPPED, header_length
from leakdrop.envelope.opening import open_envelope
from leakdrop.envelope.padding import PIECE
from leakdrop.envelope.sealing import SourceFile, seal
from leakdrop.errors import EnvelopeError
from tests.keys import label_key_pair

ALICE, BOB = label_key_pair("alice"), label_key_pair("bob")
CONTENT = bytes(range(251)) * 4_000


def make(content: bytes, *recipients) -> bytes:
    sink = io.BytesIO()
    files = [SourceFile("talk.m4a", "", io.BytesIO(content))]
    seal([pair.public for pair in recipients], sink, sealed="offline", message="the message", files=files)
    return sink.getvalue()


ONE, OTHER = make(CONTENT, ALICE), make(CONTENT[::-1], ALICE)
BOTH, OTHER_BOTH = make(CONTENT, ALICE, BOB), make(CONTENT[::-1], ALICE, BOB)
COUNT = 4  # chunks of each


def refuses(envelope: bytes) -> bool:
    """Whether it opens with neither key. What opens must be what was sealed, and is none of these."""
    for pair in (ALICE, BOB):
        try:
            open_envelope(io.BytesIO(envelope), [pair]).check()
        except EnvelopeError:
            continue
        return False
    return True


def chunks(envelope: bytes, stanzas: int = 1) -> list[bytes]:
    body = envelope[header_length(stanzas) :]
    return [body[start : start + CHUNK] for start in range(0, len(body), CHUNK)]


def flip(envelope: bytes, bit: int) -> bytes:
    changed = bytearray(envelope)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def test_the_untouched_envelopes_open():
    assert not any(map(refuses, (ONE, OTHER, BOTH, OTHER_BOTH)))
    assert len(chunks(ONE)) == len(chunks(BOTH, 2)) == COUNT


def test_no_bit_of_a_header_can_be_flipped():
    assert [bit for bit in range(8 * header_length(1)) if not refuses(flip(ONE, bit))] == []


def test_no_byte_of_a_header_for_two_can_be_changed_for_either():
    unnoticed = [byte for byte in range(header_length(2)) if not refuses(flip(BOTH, 8 * byte + byte % 8))]
    assert unnoticed == []


def test_no_bit_of_a_nonce_or_a_tag_can_be_flipped():
    start = header_length(1)
    edges = [
        start + number * CHUNK + offset
        for number in range(COUNT)
        for offset in (*range(12), *range(len(chunks(ONE)[number]) - 16, len(chunks(ONE)[number])))
    ]
    assert [
        bit for byte in edges for bit in range(8 * byte, 8 * byte + 8) if not refuses(flip(ONE, bit))
    ] == []


HEAD, HEAD_BOTH = ONE[: header_length(1)], BOTH[: header_length(2)]
FIRST, SECOND = (BOTH[PREFIX + n * STANZA : PREFIX + (n + 1) * STANZA] for n in range(2))
FOREIGN = [OTHER_BOTH[PREFIX + n * STANZA : PREFIX + (n + 1) * STANZA] for n in range(2)]
PARTS = {
    "key id": (0, KEY_ID),
    "kem": (KEY_ID, KEY_ID + KEM),
    "sealed": (KEY_ID + KEM, KEY_ID + KEM + SEALED),
    "wrapped": (KEY_ID + KEM + SEALED, KEY_ID + KEM + SEALED + WRAPPED),
}
PLAIN, OTHERS = chunks(ONE), chunks(OTHER)
BODY, BODY_BOTH, MAC_BOTH = b"".join(PLAIN), BOTH[header_length(2) :], HEAD_BOTH[-MAC:]


def replace_part(name: str) -> bytes:
    """One part of the first stanza, of another envelope for the same key."""
    start, end = PARTS[name]
    return FIRST[:start] + FOREIGN[0][start:end] + FIRST[end:]


def with_stanzas(*stanzas: bytes, mac: bytes = MAC_BOTH) -> bytes:
    return BOTH[: PREFIX - 1] + bytes([len(stanzas)]) + b"".join(stanzas) + mac + BODY_BOTH


# By name: what somebody without a key can put together of envelopes that they have seen.
PUT_TOGETHER = {
    "stanzas swapped": with_stanzas(SECOND, FIRST),
    "a stanza dropped": with_stanzas(FIRST),
    "the other stanza dropped": with_stanzas(SECOND),
    "a stanza twice": with_stanzas(FIRST, FIRST),
    "a stanza added": with_stanzas(*sorted((FIRST, SECOND, b"\x7f" * KEY_ID + FIRST[KEY_ID:]))),
    "a stanza of another envelope": with_stanzas(FOREIGN[0], SECOND),
    "all stanzas of another envelope": with_stanzas(*FOREIGN),
    "stanzas and mac of another envelope": with_stanzas(*FOREIGN, mac=OTHER_BOTH[: header_length(2)][-MAC:]),
    "the mac of another envelope": with_stanzas(FIRST, SECOND, mac=OTHER_BOTH[: header_length(2)][-MAC:]),
    **{
        f"the {name} of another envelope": with_stanzas(replace_part(name), SECOND)
        for name in ("kem", "sealed", "wrapped")
    },
    "the keys of two stanzas swapped": with_stanzas(
        FIRST[:KEY_ID] + SECOND[KEY_ID:], SECOND[:KEY_ID] + FIRST[KEY_ID:]
    ),
    "the body of another envelope": HEAD + b"".join(OTHERS),
    "the header for one before the body for two": HEAD + BODY_BOTH,
    **{
        f"chunk {number} of another envelope": HEAD
        + b"".join([*PLAIN[:number], OTHERS[number], *PLAIN[number + 1 :]])
        for number in range(COUNT)
    },
    "chunks swapped": HEAD + b"".join([PLAIN[1], PLAIN[0], *PLAIN[2:]]),
    "a chunk twice": HEAD + b"".join([PLAIN[0], PLAIN[0], *PLAIN[2:]]),
    "a chunk in between": HEAD + b"".join([PLAIN[0], *PLAIN]),
    "a chunk dropped": HEAD + b"".join(PLAIN[1:]),
    "cut after a chunk": HEAD + b"".join(PLAIN[:-1]),
    "the last chunk first": HEAD + b"".join([PLAIN[-1], *PLAIN[:-1]]),
    "a byte more": ONE + b"\0",
    "a byte less": ONE[:-1],
    "a chunk of zeros more": ONE + bytes(CHUNK),
    "a padded length more": ONE + bytes(32_768),
    "another envelope behind it": ONE + OTHER,
    "another envelope before it": OTHER + ONE,
    "its own body again": ONE + BODY,
}


@pytest.mark.parametrize("envelope", PUT_TOGETHER.values(), ids=PUT_TOGETHER)
def test_what_is_put_together_of_envelopes_does_not_open(envelope):
    assert envelope not in (ONE, OTHER, BOTH, OTHER_BOTH)
    assert refuses(envelope)


def test_an_envelope_cut_anywhere_does_not_open():
    ends = [*range(0, header_length(1) + 64, 7), *range(0, len(ONE), PIECE // 16)]
    assert [end for end in ends if not refuses(ONE[:end])] == []
