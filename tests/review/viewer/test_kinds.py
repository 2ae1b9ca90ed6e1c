"""What a file is by its first bytes: real files, and such as only pretend."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leakdrop.review.viewer.kinds import HEAD, find_kind
from tests.site import run

pytestmark = pytest.mark.needs("ffmpeg")

PICTURES = {"a.jpg": "image/jpeg", "a.png": "image/png", "a.gif": "image/gif", "a.webp": "image/webp"}
SOUNDS = {
    "a.m4a": "audio/mp4",
    "a.mp3": "audio/mpeg",
    "a.wav": "audio/wav",
    "a.flac": "audio/flac",
    "a.opus": "audio/ogg",
    "a.ogg": "audio/ogg",
    "a.aac": "audio/aac",
}
VIDEOS = {
    "a.mp4": "video/mp4",
    "a.mov": "video/mp4",
    "a.3gp": "video/mp4",
    "a.webm": "video/webm",
    "a.mkv": "",
}


@pytest.mark.parametrize(("name", "expected"), (PICTURES | SOUNDS | VIDEOS).items())
def test_a_real_file_is_told_by_its_bytes(tmp_path, name, expected):
    if name in PICTURES:
        source = ["-f", "lavfi", "-i", "testsrc=size=64x64", "-frames:v", "1"]
    elif name in SOUNDS:
        source = ["-f", "lavfi", "-i", "sine=duration=1"]
    else:
        source = ["-f", "lavfi", "-i", "testsrc=size=128x96:duration=1"]
    made = run("ffmpeg", "-nostdin", "-loglevel", "error", *source, tmp_path / name)
    assert made.returncode == 0, made.stderr
    kind = find_kind((tmp_path / name).read_bytes()[:HEAD])
    assert kind.type == expected
    assert (kind.element == "img") == (name in PICTURES)


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
    kind = find_kind(head)
    assert (kind.type, kind.element) == ("", None)
    assert kind.words


def test_an_avif_may_hide_behind_a_common_brand():
    assert find_kind(b"\x00\x00\x00\x18ftypmif1\x00\x00\x00\x00mif1avif").type == "image/avif"


SHOWN = {
    *("image/jpeg", "image/png", "image/gif", "image/webp", "image/avif"),
    *("audio/mp4", "audio/mpeg", "audio/ogg", "audio/wav", "audio/flac", "audio/aac"),
    *("video/mp4", "video/webm", "video/ogg"),
}


BEGINNINGS = [b"RIFF", b"OggS", b"\x1a\x45\xdf\xa3", b"\x00\x00\x00\x18ftyp", b"\xff", b"ID3", b"GIF8"]


@given(st.builds(bytes.__add__, st.sampled_from([*BEGINNINGS, b""]), st.binary(max_size=HEAD)))
def test_any_bytes_are_something_and_shown_only_as_a_listed_type(head):
    kind = find_kind(head)
    assert kind.words
    assert kind.type in SHOWN if kind.element else kind.type == ""
