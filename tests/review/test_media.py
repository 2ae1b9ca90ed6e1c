"""The process that reads media: what it may do, and what is believed of it."""

import io
import os
import subprocess
import sys
import time

import pytest

from leakdrop.envelope.opening import open_envelope
from leakdrop.review import media
from leakdrop.review.media import FAILED, LEFT_OUT, SLOW, Facts, MediaReader, check_facts
from leakdrop.review.mediareader import ANSWER
from tests.keys import label_key_pair
from tests.review.inboxes import seal_bytes
from tests.site import run


@pytest.fixture
def envelope():
    """An envelope with one file, 300,000 bytes long."""
    sealed = seal_bytes([label_key_pair("alice").public], "", [("a", os.urandom(300_000))])
    return open_envelope(io.BytesIO(sealed), [label_key_pair("alice")])


def answer(what: bytes, offset: int, length: int, text: bytes = b"") -> bytes:
    return ANSWER.pack(what, offset, length) + text


HOSTILE_ANSWERS = {
    "nothing": b"",
    "half a header": b"R\0\0",
    "an unknown word": answer(b"X", 0, 0),
    "bytes behind the file": answer(b"R", 299_999, 2),
    "an offset beyond 64 bits' half": answer(b"R", 2**64 - 1, 1),
    "more bytes than a piece": answer(b"R", 0, 65_537),
    "an answer that never ends": answer(b"D", 0, 2**32 - 1),
    "half an answer": answer(b"D", 0, 100, b"{}"),
    "no JSON": answer(b"D", 0, 3, b"abc"),
    "no UTF-8": answer(b"D", 0, 2, b"\xff\xfe"),
    "a list": answer(b"D", 0, 2, b"[]"),
    "JSON without a bottom": answer(b"D", 0, 60_000, b"[" * 60_000),
}


def play_hostile(reader: MediaReader, answers: bytes) -> None:
    """In place of the reading process, one that was taken over and says this."""
    reader._process = subprocess.Popen(
        [sys.executable, "-c", f"import os; os.write(1, {answers!r}); os.close(1)"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )


@pytest.mark.parametrize("answers", HOSTILE_ANSWERS.values(), ids=HOSTILE_ANSWERS)
def test_a_reader_that_was_taken_over_is_ended_and_told(envelope, answers):
    with MediaReader() as reader:
        play_hostile(reader, answers)
        assert reader.read(envelope, 0) == Facts(failure=FAILED)
        assert reader.read(envelope, 0) == Facts(), "the next file gets a new process"


def test_a_reader_that_asks_for_ever_is_ended(envelope, monkeypatch):
    monkeypatch.setattr(media, "MOST_READ", 1_000_000)
    with MediaReader() as reader:
        play_hostile(reader, answer(b"R", 0, 60_000) * 1000)
        assert reader.read(envelope, 0) == Facts(failure=FAILED)


def test_a_reader_that_hangs_is_ended(envelope, monkeypatch):
    monkeypatch.setattr(media, "SECONDS", 0.2)
    monkeypatch.setattr(media, "_start", hang)
    with MediaReader() as reader:
        started = time.monotonic()
        assert reader.read(envelope, 0) == Facts(failure=SLOW)
        assert time.monotonic() - started < 600


def hang() -> "subprocess.Popen[bytes]":
    """A reading process that a file keeps busy for ever."""
    return subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(3600)"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )


def test_the_files_of_one_envelope_take_no_longer_than_they_may(monkeypatch):
    """However many of them keep the reader busy; the next envelope has its own time."""
    monkeypatch.setattr(media, "SECONDS", 0.2)
    monkeypatch.setattr(media, "SECONDS_IN_ALL", 0.5)
    monkeypatch.setattr(media, "_start", hang)
    contents = [(f"{number}.tiff", os.urandom(100)) for number in range(3000)]
    sealed = seal_bytes([label_key_pair("alice").public], "", contents)
    envelope = open_envelope(io.BytesIO(sealed), [label_key_pair("alice")])
    with MediaReader() as reader:
        for _ in range(2):
            told: list[int] = []
            found = [facts.failure for facts in reader.read_all(envelope, told.append)]
            assert told == list(range(3000)), "who waits sees which file it is"
            slow = found.count(SLOW)
            assert 1 <= slow <= 3
            assert found == [SLOW] * slow + [LEFT_OUT] * (3000 - slow)


WRONG_FACTS = {
    "a number for a text": {"format": 1},
    "a long text": {"format": "x" * 101},
    "no number of seconds": {"duration": float("nan")},
    "endless": {"duration": float("inf")},
    "a whole number of seconds": {"duration": 4},
    "less than nothing": {"duration": -1.0},
    "a text for a list": {"codecs": "abc"},
    "numbers for texts": {"codecs": [1]},
    "negative pixels": {"width": -1},
    "a flag for pixels": {"width": True},
    "a list of dates": {"dates": ["x"]},
    "a date that is a list": {"dates": {"EXIF": []}},
    "a text for a flag": {"has_place": "no"},
}


@pytest.mark.parametrize("found", WRONG_FACTS.values(), ids=WRONG_FACTS)
def test_facts_of_another_form_are_refused(found):
    with pytest.raises(ValueError, match=r"^$"):
        check_facts(found)


def test_facts_of_the_right_form_are_taken():
    found = {
        "format": "MP4",
        "duration": 4.0,
        "codecs": ["avc1"],
        "width": 1,
        "height": 2,
        "dates": {"a": "b"},
    }
    assert check_facts(found | {"has_place": True}) == Facts("MP4", 4.0, ("avc1",), 1, 2, {"a": "b"}, True)


@pytest.mark.skipif(sys.platform != "linux", reason="to run it: use Linux")
@pytest.mark.parametrize(
    "attempt", ["open('/etc/hostname')", "__import__('socket').socket()", "bytes(2**30)"]
)
def test_the_reader_can_open_no_file_and_no_socket_and_fill_no_memory(attempt):
    source = (
        f"import socket; from leakdrop.review import mediareader as m; m.warm_up(); m.confine(); {attempt}"
    )
    allowed = run(sys.executable, "-c", source.replace("m.confine()", "pass"))
    assert allowed.returncode == 0, allowed.stderr
    assert run(sys.executable, "-c", source).returncode == 1


def test_libraries_of_strangers_bytes_are_never_imported_here():
    source = (
        "import sys, leakdrop.review.cli, leakdrop.review.mediareader\n"
        "print({'exifread', 'imagesize', 'mutagen'} & set(sys.modules))"
    )
    assert run(sys.executable, "-c", source).stdout == "set()\n"


@pytest.mark.needs("ffmpeg", "espeak-ng", "exiftool")
def test_any_bytes_give_facts_or_a_failure(recordings):
    """Cut and changed recordings, file after file; none takes the reader's place with something else."""
    contents = [b"", b"\0" * 99]
    for path in (recordings.photo, recordings.video):
        whole = path.read_bytes()[:100_000]
        contents += [whole[:cut] for cut in (20, 40, 300, 3_000, 30_000)]
        for offset in range(0, 600, 13):
            contents.append(whole[:offset] + b"\xff" + whole[offset + 1 :])
    sealed = seal_bytes([label_key_pair("alice").public], "", [("a", content) for content in contents])
    envelope = open_envelope(io.BytesIO(sealed), [label_key_pair("alice")])
    with MediaReader() as reader:
        found = [reader.read(envelope, number) for number in range(len(contents))]
    assert {facts.format for facts in found} >= {"JPEG", "MP4"}
    assert all(facts.failure in ("", FAILED) for facts in found)
