"""What a file is by its own bytes, and whether a browser or a player is given it.

Names and types are claims of whoever sealed, and decide nothing here. What is shown is what browsers only
draw or play: pictures of dots, sound and video. All else may run, fetch or ask for something (SVG, HTML,
PDF, archives, playlists), and is for extraction only.

A player guesses for itself what a file is, and may find a playlist or the description of a session behind
the first bytes of a recording. So these bytes must leave as little room as they can for anything else, and
the player is bound to the readers of recordings (`programs.py`).
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from leakdrop.review.viewer.frames import is_aac, is_mp3, measure_tag

HEAD = 65_536  # bytes that are looked at: some frames, however long

Element = Literal["img", "audio", "video"]
# The bytes of a file from an offset to another one, or to its end if that comes first.
Read = Callable[[int, int], bytes]


@dataclass(frozen=True)
class Kind:
    """What a file is, in words; and, if it is shown, its type and the element that shows it.

    `reader` is what libavformat calls its reader of such recordings.
    """

    words: str
    type: str = ""
    element: Element | None = None
    reader: str = ""

    @property
    def is_recording(self) -> bool:
        return self.element in ("audio", "video")


UNKNOWN = Kind("unknown kind")
DAMAGED = Kind("damaged at its beginning")

# What a file begins with (a pattern), and what it is. In recordings a zero byte comes early: for readers
# that look for words (a manifest of DASH, say) the text ends there.
_BEGINNINGS: tuple[tuple[bytes, Kind], ...] = (
    (rb"\xff\xd8\xff", Kind("JPEG picture", "image/jpeg", "img")),
    (rb"\x89PNG\r\n\x1a\n", Kind("PNG picture", "image/png", "img")),
    (rb"GIF8[79]a", Kind("GIF picture", "image/gif", "img")),
    (rb"RIFF....WEBP", Kind("WebP picture", "image/webp", "img")),
    # The name (4) and the size (4, little-endian, below 16 MiB) of the first chunk.
    (rb"RIFF....WAVE[ -~]{4}...\x00", Kind("WAV sound", "audio/wav", "audio", "wav")),
    # STREAMINFO, which has 34 bytes and may be the last block (RFC 9639, section 8.1).
    (rb"fLaC[\x00\x80]\x00\x00\x22", Kind("FLAC sound", "audio/flac", "audio", "flac")),
    # Version 0, flags (RFC 3533, section 6). The first packet of the first page tells the codec.
    (
        rb"OggS\x00[\x00-\x07].{22}(OpusHead|\x01vorbis|\x7fFLAC|Speex {3})",
        Kind("Ogg sound", "audio/ogg", "audio", "ogg"),
    ),
    (rb"OggS\x00[\x00-\x07].{22}\x80theora", Kind("Ogg video", "video/ogg", "video", "ogg")),
    (rb"%PDF-", Kind("PDF document")),
    (rb"PK\x03\x04", Kind("ZIP archive or office document")),
    (rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", Kind("old office document")),
)
_PATTERNS = tuple((re.compile(pattern, re.DOTALL), kind) for pattern, kind in _BEGINNINGS)

_MP3 = Kind("MP3 sound", "audio/mpeg", "audio", "mp3")
_AAC = Kind("AAC sound", "audio/aac", "audio", "aac")

# RFC 8794, section 11.2: id (4) ‖ size (1 or 8) ‖ elements, one of which names the type of document.
_EBML = re.compile(rb"\x1a\x45\xdf\xa3(?:\x01\x00{6}(.)|([\x80-\xfe]))", re.DOTALL)
_WEBM = Kind("WebM video", "video/webm", "video", "matroska")
_MATROSKA = Kind("Matroska video, which browsers do not play")

# ISO 14496-12, section 4.3: size (4) ‖ "ftyp" ‖ brand (4) ‖ version (4) ‖ compatible brands (4 each)
_LEAST, _MOST = 16, 65_535
_AVIF = {b"avif", b"avis"}
_HEIF = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
_SOUND = {b"M4A ", b"M4B ", b"M4P "}
_VIDEO = {b"isom", b"mp41", b"mp42", b"avc1", b"M4V ", b"M4VH", b"M4VP", b"MSNV", b"dash", b"qt  ", b"f4v "}
_VIDEO |= {b"iso%d" % number for number in range(2, 10)}
_VIDEO |= {b"3gp%d" % number for number in range(4, 10)} | {b"3g2a", b"3g2b", b"3g2c"}


def find_kind(read: Read) -> Kind:
    """What the file is whose bytes these are."""
    head = read(0, HEAD)
    if head[4:8] == b"ftyp":
        return _find_brand(head)
    if found := _EBML.match(head):
        size = found[1][0] if found[1] else found[2][0] & 0x7F
        return _WEBM if b"\x42\x82\x84webm" in head[found.end() : found.end() + size] else _MATROSKA
    found_kind = next((kind for pattern, kind in _PATTERNS if pattern.match(head)), None)
    return found_kind or _find_frames(head, read)


def _find_brand(head: bytes) -> Kind:
    size = int.from_bytes(head[:4], "big")
    if not _LEAST <= size <= _MOST:
        return UNKNOWN
    end = min(size, len(head))
    brand, compatible = head[8:12], {head[start : start + 4] for start in range(16, end - 3, 4)}
    if brand in _AVIF or (brand in _HEIF and compatible & _AVIF):
        return Kind("AVIF picture", "image/avif", "img")
    if brand in _HEIF:
        return Kind("HEIC picture, which browsers do not draw")
    if brand in _SOUND:
        return Kind("MP4 sound", "audio/mp4", "audio", "mov")
    if brand in _VIDEO:
        return Kind("MP4 recording", "video/mp4", "video", "mov")
    return UNKNOWN


def _find_frames(head: bytes, read: Read) -> Kind:
    """Sound that is frames and nothing else, behind its tag."""
    tag = measure_tag(head)
    sound = read(tag, tag + HEAD) if tag else head
    if is_mp3(sound):
        return _MP3
    return _AAC if is_aac(sound) else UNKNOWN
