"""What holds for every envelope: opened it is the same, and any bytes open or end in one of the kinds."""

import io
import tracemalloc
from dataclasses import replace

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nacl.bindings import crypto_box_seal_open

from leakdrop.envelope.filekey import compute_mac, derive_wrap_key
from leakdrop.envelope.header import CHUNK, NONCE, Header, envelope_length, header_length, read_header
from leakdrop.envelope.index import (
    MAX_NAME,
    FileEntry,
    Index,
    clean_message,
    clean_name,
    clean_text,
    clip,
    decode_index,
    encode_index,
)
from leakdrop.envelope.keys import KeyPair
from leakdrop.envelope.opening import open_envelope
from leakdrop.envelope.padding import PIECE, padded
from leakdrop.envelope.sealing import Sealer, SourceFile, seal, seal_file_key
from leakdrop.errors import EnvelopeError, SubmissionError
from tests.keys import label_key_pair

ALICE, BOB = label_key_pair("alice"), label_key_pair("bob")
SLOW = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.large_base_example])


def make_envelope(contents: list[bytes], message: str = "", recipients=(ALICE,)) -> bytes:
    sink = io.BytesIO()
    files = [SourceFile(f"file {number}", "", io.BytesIO(content)) for number, content in enumerate(contents)]
    seal([pair.public for pair in recipients], sink, sealed="offline", message=message, files=files)
    return sink.getvalue()


def noise(size: int) -> bytes:
    return bytes(range(251)) * (size // 251) + bytes(size % 251)


SIZES = st.one_of(
    st.integers(0, 2_000),
    st.sampled_from([PIECE - 1, PIECE, PIECE + 1, 2 * PIECE, 2 * PIECE + 1, 3 * PIECE - 1]),
    st.integers(0, 1_200_000),
)


@SLOW
@given(sizes=st.lists(SIZES, max_size=4), message=st.text().map(clean_message), data=st.data())
def test_what_was_sealed_opens_to_the_same(sizes, message, data):
    contents = [noise(size) for size in sizes]
    sealed = make_envelope(contents, message)
    envelope = open_envelope(io.BytesIO(sealed), [ALICE])
    envelope.check()
    assert envelope.index.message == message
    assert [envelope.read_file(number) for number in range(len(contents))] == contents
    if contents:
        number = data.draw(st.integers(0, len(contents) - 1))
        start = data.draw(st.integers(0, sizes[number]))
        end = data.draw(st.integers(0, sizes[number] + 10))
        assert envelope.read_file(number, start, end) == contents[number][start : max(start, end)]


@SLOW
@given(sizes=st.lists(SIZES, max_size=3))
def test_the_length_depends_on_nothing_but_the_padded_length(sizes):
    sealed = make_envelope([noise(size) for size in sizes])
    envelope = open_envelope(io.BytesIO(sealed), [ALICE])
    used = sum(sizes) + len(encode_index(envelope.index)) + 16
    assert (envelope.used, envelope.length) == (used, padded(used))
    assert len(sealed) == envelope_length(1, used)


def test_reading_a_part_touches_only_the_chunks_that_it_lies_in():
    sealed = bytearray(make_envelope([noise(10 * PIECE)]))
    body = header_length(1)
    for number in (0, 2, 4, 9):
        sealed[body + number * CHUNK + 100] ^= 1
    envelope = open_envelope(io.BytesIO(sealed), [ALICE])
    assert envelope.read_file(0, PIECE, 2 * PIECE) == noise(10 * PIECE)[PIECE : 2 * PIECE]
    assert envelope.read_file(0, 3 * PIECE + 5, 3 * PIECE + 6) == noise(10 * PIECE)[3 * PIECE + 5 :][:1]
    for start, end in [(PIECE - 1, PIECE), (2 * PIECE, 2 * PIECE + 1), (3 * PIECE, 5 * PIECE)]:
        with pytest.raises(EnvelopeError, match="damaged"):
            envelope.read_file(0, start, end)


def test_no_two_envelopes_of_the_same_submission_share_a_chunk():
    first, second = make_envelope([noise(PIECE * 3)]), make_envelope([noise(PIECE * 3)])
    assert len(first) == len(second)
    body = header_length(1)
    nonces = {one[body + n * CHUNK :][:12] for one in (first, second) for n in range(4)}
    assert len(nonces) == 8
    assert first[body:] != second[body:]


def test_any_recipient_opens_it_alone_and_nobody_else():
    sealed = make_envelope([b"for two"], recipients=(ALICE, BOB))
    for pair in (ALICE, BOB):
        assert open_envelope(io.BytesIO(sealed), [pair]).read_file(0) == b"for two"
    with pytest.raises(EnvelopeError) as refusal:
        open_envelope(io.BytesIO(sealed), [label_key_pair("mallory")])
    assert refusal.value.kind == "not-for-this-key"


@pytest.mark.parametrize(
    "half",
    [
        KeyPair(ALICE.x25519, BOB.mlkem, ALICE.public),
        KeyPair(BOB.x25519, ALICE.mlkem, ALICE.public),
    ],
    ids=["only X25519", "only ML-KEM"],
)
def test_one_half_of_a_key_alone_opens_nothing(half):
    sealed = make_envelope([b"until 2045"], recipients=(ALICE,))
    with pytest.raises(EnvelopeError) as refusal:
        open_envelope(io.BytesIO(sealed), [half])
    assert refusal.value.kind == "stanza-damaged"


@pytest.mark.parametrize("broken", ["X25519", "ML-KEM"])
def test_who_breaks_one_of_the_two_still_has_to_guess_the_others_secret(broken):
    """With the ciphertexts, and the one secret that was found out: any guess of the other is refused."""
    sealed = make_envelope([b"until 2045"], recipients=(ALICE,))
    header, _ = read_header(io.BytesIO(sealed), len(sealed))
    (stanza,) = header.stanzas
    share = crypto_box_seal_open(stanza.sealed, ALICE.public.x25519, ALICE.x25519)
    shared = ALICE.mlkem.decapsulate(stanza.kem)

    def unwrap(share: bytes, shared: bytes) -> bytes:
        key = derive_wrap_key(share, shared, stanza.kem, stanza.sealed, ALICE.public)
        return AESGCM(key).decrypt(bytes(NONCE), stanza.wrapped, stanza.key_id)

    assert len(unwrap(share, shared)) == 32
    for guess in (bytes(32), b"", noise(32)):
        with pytest.raises(InvalidTag):
            unwrap(*((share, guess) if broken == "X25519" else (guess, shared)))


def test_one_envelope_cannot_give_two_reviewers_two_texts():
    """A header whose stanzas hold two file keys has a mac that fits one of them."""
    envelope = make_envelope([b"for Alice"], recipients=(ALICE,))
    one, other = bytes(range(32)), bytes(range(1, 33))
    stanzas = sorted(
        (seal_file_key(one, ALICE.public), seal_file_key(other, BOB.public)), key=lambda each: each.key_id
    )
    header = Header(tuple(stanzas), bytes(32))
    header = replace(header, mac=compute_mac(one, header))
    chunks = envelope[header_length(1) :]
    kinds = {}
    for pair in (ALICE, BOB):
        with pytest.raises(EnvelopeError) as refusal:
            open_envelope(io.BytesIO(bytes(header) + chunks), [pair])
        kinds[pair.public.fingerprint] = refusal.value.kind
    # Alice gets as far as the chunks, which are not of her file key here; Bob not even that far.
    assert kinds == {ALICE.public.fingerprint: "chunk-damaged", BOB.public.fingerprint: "header-damaged"}


BASE = make_envelope([noise(5_000), noise(PIECE)], "the message", recipients=(ALICE, BOB))


def open_fully(envelope: bytes) -> None:
    try:
        read_header(io.BytesIO(envelope), len(envelope))
        open_envelope(io.BytesIO(envelope), [ALICE, BOB]).check()
    except EnvelopeError as error:
        assert str(error)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=30_000))
def test_any_bytes_open_or_end_in_one_of_the_kinds(envelope):
    open_fully(envelope)
    open_fully(BASE[:10] + envelope)
    open_fully(BASE[: header_length(2)] + envelope)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, len(BASE) - 1), st.binary(min_size=1, max_size=40)), max_size=4),
    st.integers(0, len(BASE)),
)
def test_a_changed_envelope_opens_or_ends_in_one_of_the_kinds(changes, end):
    changed = bytearray(BASE)
    for offset, content in changes:
        changed[offset : offset + len(content)] = content
    open_fully(bytes(changed))
    open_fully(bytes(changed[:end]))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, len(BASE) * 8 - 1))
def test_no_single_bit_can_change_unnoticed(bit):
    changed = bytearray(BASE)
    changed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(EnvelopeError):
        open_envelope(io.BytesIO(changed), [ALICE, BOB]).check()


@settings(max_examples=400, deadline=None)
@given(st.binary(max_size=400) | st.text(max_size=200).map(str.encode))
def test_any_bytes_are_an_index_or_are_refused(encoded):
    for candidate in (encoded, b'{"v":1,"sealed":"browser","kind":' + encoded + b',"message":"","files":[]}'):
        try:
            index = decode_index(candidate, 0)
        except EnvelopeError as error:
            assert error.kind == "bad-index"
        else:
            assert encode_index(index) == candidate


TEXTS = st.text(st.characters(), max_size=80)


@settings(max_examples=300, deadline=None)
@given(kind=TEXTS, message=TEXTS, names=st.lists(st.tuples(TEXTS, TEXTS, st.integers(0, 2**40)), max_size=3))
def test_every_cleaned_index_is_read_as_it_was_written(kind, message, names):
    files = tuple(FileEntry(clean_name(n), clip(clean_text(t), 255), size) for n, t, size in names)
    index = Index("server", clip(clean_text(kind), 64), clean_message(message), files)
    assert decode_index(encode_index(index), sum(file.size for file in files)) == index


@given(st.text(st.characters(), max_size=3_000))
@settings(max_examples=100, deadline=None)
def test_a_cleaned_name_always_fits(name):
    assert 1 <= len(clean_name(name).encode()) <= MAX_NAME


def test_a_long_name_keeps_its_ending():
    assert clean_name("é" * 2_000 + ".m4a").endswith(".m4a")


@pytest.mark.parametrize(
    ("index", "sentence"),
    [
        (Index("browser", "", "x" * 1_048_577), "longer than 1 MiB"),
        (
            Index("browser", "", "", tuple(FileEntry("f", "", 0) for _ in range(10_001))),
            "more than 10,000 files",
        ),
        (Index("somebody", "", ""), "“sealed”"),
        (Index("browser", "x" * 65, ""), "“kind”"),
        (Index("browser", "", "a\r\nb"), "“message”"),
        (Index("browser", "nul \0", ""), "“kind”"),
        (Index("browser", "", "", (FileEntry("", "", 0),)), "“name”"),
        (Index("browser", "", "", (FileEntry("\ud800", "", 0),)), "“name”"),
    ],
)
def test_an_index_that_nobody_could_read_is_not_written(index, sentence):
    with pytest.raises(SubmissionError, match=sentence):
        encode_index(index)


@pytest.mark.parametrize("count", [0, 17])
def test_an_envelope_is_sealed_to_1_to_16_keys(count):
    recipients = [label_key_pair(f"key {number}").public for number in range(count)]
    with pytest.raises(SubmissionError, match="1 to 16 keys"):
        seal(recipients, io.BytesIO(), sealed="offline")


def test_a_key_that_is_named_twice_gets_one_stanza():
    assert (
        len(open_envelope(io.BytesIO(make_envelope([], recipients=(ALICE, ALICE))), [ALICE]).header.stanzas)
        == 1
    )


class Endless(io.RawIOBase):
    """So many zeros, and no more memory than asked for."""

    def __init__(self, size: int) -> None:
        self._left = size

    def readinto(self, buffer) -> int:
        size = min(len(buffer), self._left)
        self._left -= size
        return size


class Counting(io.RawIOBase):
    """Takes everything and keeps nothing."""

    written = 0

    def write(self, piece) -> int:
        self.written += len(piece)
        return len(piece)


def test_memory_does_not_grow_with_the_size():
    def peak(size: int) -> int:
        tracemalloc.start()
        sealer = Sealer([ALICE.public], Counting())
        sealer.begin_file("large", "")
        sealer.read_from(Endless(size))
        sealer.finish("offline", "", "")
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    assert peak(256 * 1024 * 1024) < peak(8 * 1024 * 1024) * 1.2


class Reluctant(io.BytesIO):
    """A file without a buffer, that takes and gives a few bytes at once."""

    def write(self, piece) -> int:
        return super().write(bytes(piece[:10_007]))

    def read(self, size: int = -1) -> bytes:
        return super().read(min(size, 999) if size >= 0 else 999)

    def readinto(self, buffer) -> int:
        return super().readinto(buffer[:10_007])


def test_files_that_take_and_give_a_few_bytes_at_once_lose_nothing():
    sink = Reluctant()
    seal([ALICE.public], sink, sealed="offline", files=[SourceFile("a", "", Reluctant(noise(700_000)))])
    envelope = open_envelope(sink, [ALICE])
    envelope.check()
    assert envelope.read_file(0) == noise(700_000)
