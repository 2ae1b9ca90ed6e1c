"""Recordings as ffmpeg makes them, and files that only begin as recordings do."""

from collections.abc import Callable
from pathlib import Path

from tests.site import run

# How each is made, beside its name.
SOUNDS: dict[str, list[str]] = {
    "a.m4a": [],
    "a.mp3": [],
    "a.wav": [],
    "a.flac": [],
    "a.opus": [],
    "a.ogg": [],
    "a.aac": [],
    "mpeg2.mp3": ["-ar", "22050"],
    "mpeg25.mp3": ["-ar", "8000", "-b:a", "8k"],
    "untagged.mp3": ["-id3v2_version", "0", "-write_xing", "0"],
    "long tag.mp3": ["-metadata", f"comment={'a long comment, ' * 7000}"],
    "variable.mp3": ["-q:a", "0"],
    "sound.webm": ["-c:a", "libopus"],
    "broadcast.wav": ["-write_bext", "1", "-metadata", "description=x"],
}
VIDEOS: dict[str, list[str]] = {
    "a.mp4": [],
    "a.mov": [],
    "a.3gp": [],
    "a.webm": [],
    "a.ogv": ["-c:v", "libtheora"],
}
RECORDINGS = SOUNDS | VIDEOS


def make_recording(folder: Path, name: str) -> bytes:
    """A second of a sound or of a picture."""
    source = "sine=duration=1" if name in SOUNDS else "testsrc=size=176x144:duration=1"
    made = run(
        "ffmpeg",
        "-nostdin",
        "-loglevel",
        "error",
        "-f",
        "lavfi",
        "-i",
        source,
        *RECORDINGS[name],
        folder / name,
    )
    assert made.returncode == 0, made.stderr
    return (folder / name).read_bytes()


ID3 = b"ID3\x03\0\0\0\0\0\x0aTIT2\0\0\0\0\0\0"
ADTS = b"\xff\xf1\x50\x80"
MP3 = b"\xff\xfb\x90\x64"
PADDING = b"\n" * 4000


def hls(address: str) -> bytes:
    lines = (
        "#EXTM3U",
        "#EXT-X-TARGETDURATION:10",
        "#EXTINF:10,",
        f"{address}/segment.ts",
        "#EXT-X-ENDLIST",
        "",
    )
    return "\n".join(lines).encode()


def dash(address: str) -> bytes:
    return (
        '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
        'profiles="urn:mpeg:dash:profile:isoff-on-demand:2011" mediaPresentationDuration="PT10S">'
        f'<BaseURL>{address}/dash/</BaseURL><Period><AdaptationSet mimeType="audio/mp4">'
        '<Representation id="1" bandwidth="1000"><BaseURL>a.mp4</BaseURL></Representation>'
        "</AdaptationSet></Period></MPD>"
    ).encode()


def sdp(address: str) -> bytes:
    """Binds UDP ports."""
    return b"\nv=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 18998 RTP/AVP 0\n"


def ffconcat(address: str) -> bytes:
    return b"ffconcat version 1.0\nfile 'x.ts'\n"


def behind(head: bytes, make: Callable[[str], bytes]) -> Callable[[str], bytes]:
    return lambda address: head + make(address) + PADDING


PRETENDERS: dict[str, Callable[[str], bytes]] = {
    "HLS": behind(b"", hls),
    "DASH": behind(b"", dash),
    "SDP": behind(b"", sdp),
    "ffconcat": behind(b"", ffconcat),
    "HLS behind ID3": behind(ID3, hls),
    "DASH behind ID3": behind(ID3, dash),
    "SDP behind ID3": behind(ID3, sdp),
    "ffconcat behind ID3": behind(ID3, ffconcat),
    "SDP behind ADTS": behind(ADTS, sdp),
    "SDP behind a frame of MP3": behind(MP3, sdp),
    "DASH behind a frame of MP3": behind(MP3, dash),
    "SDP behind Ogg": behind(b"OggS\1\xff" + b"A" * 22 + b"OpusHead", sdp),
    "SDP behind FLAC": behind(b"fLaC", sdp),
    "DASH behind WAV": behind(b"RIFFAAAAWAVE", dash),
    "SDP behind MP4": behind(b"\0\0\0\4ftypM4A ", sdp),
    "DASH behind WebM": behind(b"\x1a\x45\xdf\xa3\x80\x42\x82\x84webm", dash),
    "SDP behind WebM": behind(b"\x1a\x45\xdf\xa3\x80\x42\x82\x84webm", sdp),
}
