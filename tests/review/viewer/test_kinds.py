"""What a file is by its own bytes: real files, and such as only pretend."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leakdrop.review.viewer.kinds import Kind, find_kind
from tests.review.viewer.hostile_media import ID3, PRETENDERS, RECORDINGS, make_recording
from tests.site import run

pytestmark = pytest.mark.needs("ffmpeg")


def find(content: bytes) -> Kind:
    return find_kind(lambda start, end: content[start:end])


PICTURES = {"a.jpg": "image/jpeg", "a.png": "image/png", "a.gif": "image/gif", "a.webp": "image/webp"}
TYPES = {
    **{".m4a": "audio/mp4", ".mp3": "audio/mpeg", ".wav": "audio/wav", ".flac": "audio/flac"},
    **{".opus": "audio/ogg", ".ogg": "audio/ogg", ".aac": "audio/aac", ".ogv": "video/ogg"},
    **{".mp4": "video/mp4", ".mov": "video/mp4", ".3gp": "video/mp4", ".webm": "video/webm"},
}


@pytest.mark.parametrize(("name", "expected"), PICTURES.items())
def test_a_real_picture_is_told_by_its_bytes(tmp_path, name, expected):
    source = ["-f", "lavfi", "-i", "testsrc=size=64x64", "-frames:v", "1"]
    made = run("ffmpeg", "-nostdin", "-loglevel", "error", *source, tmp_path / name)
    assert made.returncode == 0, made.stderr
    kind = find((tmp_path / name).read_bytes())
    assert (kind.type, kind.element) == (expected, "img")


@pytest.mark.parametrize("name", RECORDINGS)
def test_a_real_recording_is_told_by_its_bytes(tmp_path, name):
    kind = find(make_recording(tmp_path, name))
    assert kind.type == TYPES[Path(name).suffix]
    assert kind.is_recording


def test_a_film_that_browsers_do_not_play_is_named(tmp_path):
    source = ["-f", "lavfi", "-i", "testsrc=size=64x64:duration=1"]
    run("ffmpeg", "-nostdin", "-loglevel", "error", *source, tmp_path / "a.mkv")
    kind = find((tmp_path / "a.mkv").read_bytes())
    assert (kind.words, kind.element) == ("Matroska video, which browsers do not play", None)


@pytest.mark.parametrize("name", PRETENDERS)
def test_what_only_begins_as_a_recording_is_none(name):
    assert find(PRETENDERS[name]("http://127.0.0.1:9")).element is None


FRAME = {"MP3": b"\xff\xfb\x90\x64" + bytes(413), "AAC": b"\xff\xf1\x50\x80\x02\x1f\xfc" + bytes(9)}


@pytest.mark.parametrize("kind", FRAME)
def test_sound_is_seven_frames_of_one_sort_one_after_another(kind):
    frame, other = FRAME[kind], FRAME["AAC" if kind == "MP3" else "MP3"]
    assert find(frame * 7).words == f"{kind} sound"
    assert find(ID3 + frame * 7).words == f"{kind} sound"
    for broken in (
        frame * 6,
        frame * 6 + other,
        frame * 3 + b"\n" + frame * 7,
        frame[:-1] * 7,
        ID3 + ID3 + frame * 7,
    ):
        assert find(broken).words == "unknown kind"


NOT_SHOWN = {
    "SVG": b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>',
    "SVG with a declaration": b'<?xml version="1.0"?><svg/>',
    "HTML": b"<!DOCTYPE html><script>alert(1)</script>",
    "HTML behind a byte order mark": b"\xef\xbb\xbf<html>",
    "PDF": b"%PDF-1.4",
    "playlist": b"#EXTM3U\nhttp://example.org/",
    "Word": b"PK\x03\x04",
    "old Word": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
    "program": b"MZ\x90\x00",
    "UTF-16": b"\xff\xfea\x00",
    "HEIC": b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic",
    "unknown brand": b"\x00\x00\x00\x18ftypxxxx\x00\x00\x00\x00isomxxxx",
    "a brand that is cut off": b"\x00\x00\x00\x18ftyp",
    "TIFF": b"II*\x00",
    "BMP": b"BM",
    "empty": b"",
    "not at its beginning": b" GIF89a",
}


@pytest.mark.parametrize("head", NOT_SHOWN.values(), ids=NOT_SHOWN)
def test_what_could_run_or_fetch_is_not_shown(head):
    kind = find(head)
    assert (kind.type, kind.element) == ("", None)
    assert kind.words


def test_an_avif_may_hide_behind_a_common_brand():
    assert find(b"\x00\x00\x00\x18ftypmif1\x00\x00\x00\x00mif1avif").type == "image/avif"


SHOWN = {
    *("image/jpeg", "image/png", "image/gif", "image/webp", "image/avif"),
    *("audio/mp4", "audio/mpeg", "audio/ogg", "audio/wav", "audio/flac", "audio/aac"),
    *("video/mp4", "video/webm", "video/ogg"),
}


BEGINNINGS = [b"RIFF", b"OggS", b"\x1a\x45\xdf\xa3", b"\x00\x00\x00\x18ftyp", b"\xff", b"ID3", b"GIF8"]


@given(st.builds(bytes.__add__, st.sampled_from([*BEGINNINGS, b""]), st.binary(max_size=256)))
def test_any_bytes_are_something_and_shown_only_as_a_listed_type(head):
    kind = find(head)
    assert kind.words
    assert kind.type in SHOWN if kind.element else kind.type == ""
