"""What sealing and opening do at their borders: batches, names, progress, sixteen keys."""

import io

import pytest

from leakdrop.envelope.header import Source
from leakdrop.envelope.index import (
    MAX_INDEX,
    MAX_NAME,
    FileEntry,
    Index,
    clean_message,
    clean_name,
    clean_text,
    clip,
    encode_index,
)
from leakdrop.envelope.opening import open_envelope
from leakdrop.envelope.padding import PIECE
from leakdrop.envelope.sealing import Sealer, SourceFile, seal
from leakdrop.errors import EnvelopeError, SubmissionError
from tests.keys import label_key_pair

ALICE = label_key_pair("alice")
CONTENT = bytes(range(251)) * (5 * PIECE // 251)


@pytest.mark.parametrize("batch", [1, 2, 3])
@pytest.mark.parametrize("step", [PIECE, 3 * PIECE + 1, 700_001], ids=["pieces", "more", "odd"])
def test_what_arrives_in_any_steps_opens_to_the_same(batch, step):
    sink = io.BytesIO()
    sealer = Sealer([ALICE.public], sink, batch=batch)
    sealer.begin_file("talk.m4a", "audio/mp4")
    for start in range(0, len(CONTENT), step):
        sealer.write(CONTENT[start : start + step])
    assert sealer.files == (FileEntry("talk.m4a", "audio/mp4", len(CONTENT)),)
    sealer.finish("server", "", "")
    envelope = open_envelope(sink, [ALICE])
    envelope.check()
    assert envelope.read_file(0) == CONTENT
    assert envelope.read(3, PIECE + 5) == CONTENT[3 : PIECE + 5]
    assert envelope.read(envelope.length - 8, envelope.length + 8) == envelope.read(
        envelope.length - 8, envelope.length
    )
    assert envelope.key is ALICE


def test_a_large_file_is_sealed_in_batches_and_told_of():
    sink, told, checked = io.BytesIO(), [], []
    files = [SourceFile("a", "", io.BytesIO(CONTENT * 3)), SourceFile("b", "", io.BytesIO(b"b"))]
    seal([ALICE.public], sink, sealed="offline", files=files, progress=told.append)
    assert sum(told) == 3 * len(CONTENT) + 1
    envelope = open_envelope(sink, [ALICE])
    envelope.check(checked.append)
    assert sum(checked) == envelope.length - 16
    assert (envelope.index.kind, envelope.index.message) == ("", "")
    assert envelope.read_file(0) == CONTENT * 3
    assert envelope.read_file(1) == b"b"
    assert envelope.read_file(1, 1, 1) == b""


def test_an_envelope_can_be_sealed_to_sixteen_keys():
    pairs = [label_key_pair(f"key {number}") for number in range(16)]
    sink = io.BytesIO()
    seal([pair.public for pair in pairs], sink, sealed="offline")
    for pair in (pairs[0], pairs[15]):
        assert len(open_envelope(sink, [pair]).header.stanzas) == 16


def test_the_ten_thousand_and_first_file_is_refused():
    sealer = Sealer([ALICE.public], io.BytesIO())
    for _ in range(10_000):
        sealer.begin_file("a", "")
    with pytest.raises(SubmissionError) as refusal:
        sealer.begin_file("a", "")
    assert str(refusal.value) == "There are more than 10,000 files: put them into an archive."


@pytest.mark.parametrize("more", [0, 1], ids=["16 MiB", "a byte more"])
def test_an_index_is_written_up_to_16_mib(more):
    files = tuple(FileEntry("\x01" * MAX_NAME, "", 0) for _ in range(2_700))
    rest = MAX_INDEX + more - len(encode_index(Index("browser", "", "", files)))
    index = Index("browser", "", "a" * rest, files)
    if more:
        with pytest.raises(SubmissionError) as refusal:
            encode_index(index)
        assert str(refusal.value) == (
            "The files' names are too long together: put the files into an archive."
        )
    else:
        assert len(encode_index(index)) == MAX_INDEX


def test_too_long_a_message_is_refused_with_this_sentence():
    with pytest.raises(SubmissionError) as refusal:
        encode_index(Index("browser", "", "x" * 1_048_577))
    assert str(refusal.value) == "The message is longer than 1 MiB: attach it as a file."


def test_texts_are_cleaned():
    assert clean_text("a\0b\ud800c") == "a\ufffdb\ufffdc"
    assert clean_message("a\r\nb\rc\nd") == "a\nb\nc\nd"
    assert clean_name("") == "file"
    assert clip("aéé", 4) == "aé"


def test_a_name_loses_its_middle_only_if_it_must():
    assert clean_name("x" * MAX_NAME) == "x" * MAX_NAME
    long = clean_name("a" * 1_100 + "b" * 64)
    assert long == "a" * (MAX_NAME - 64 - 3) + "…" + "b" * 64
    # A letter of two bytes is not cut in two, at neither place.
    assert clean_name("é" * 2_000 + "x") == "é" * 478 + "…" + "é" * 31 + "x"


def test_a_file_that_has_become_shorter_is_a_damaged_chunk():
    class Shrinking(io.BytesIO):
        def readinto(self, buffer) -> int:
            return 0 if self.tell() < PIECE else super().readinto(buffer)

    sink = io.BytesIO()
    seal([ALICE.public], sink, sealed="offline", files=[SourceFile("a", "", io.BytesIO(CONTENT))])
    source: Source = Shrinking(sink.getvalue())
    envelope = open_envelope(source, [ALICE])
    with pytest.raises(EnvelopeError) as refusal:
        envelope.read_file(0)
    assert refusal.value.kind == "chunk-damaged"
