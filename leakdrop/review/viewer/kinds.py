"""What a file is by its first bytes, and whether a browser or a player is given it.

Names and types are claims of whoever sealed, and decide nothing here. What is shown is what browsers only
draw or play: pictures of dots, sound and video. All else may run, fetch or ask for something (SVG, HTML,
PDF, archives, playlists), and is for extraction only.
"""

import re
from dataclasses import dataclass
from typing import Literal

HEAD = 256  # bytes that are looked at

Element = Literal["img", "audio", "video"]


@dataclass(frozen=True)
class Kind:
    """What a file is, in words; and, if it is shown, its type and the element that shows it."""

    words: str
    type: str = ""
    element: Element | None = None

    @property
    def is_recording(self) -> bool:
        return self.element in ("audio", "video")


UNKNOWN = Kind("unknown kind")
DAMAGED = Kind("damaged at its beginning")

# What a file begins with (a pattern), and what it is.
_BEGINNINGS: tuple[tuple[bytes, Kind], ...] = (
    (rb"\xff\xd8\xff", Kind("JPEG picture", "image/jpeg", "img")),
    (rb"\x89PNG\r\n\x1a\n", Kind("PNG picture", "image/png", "img")),
    (rb"GIF8[79]a", Kind("GIF picture", "image/gif", "img")),
    (rb"RIFF....WEBP", Kind("WebP picture", "image/webp", "img")),
    (rb"RIFF....WAVE", Kind("WAV sound", "audio/wav", "audio")),
    (rb"fLaC", Kind("FLAC sound", "audio/flac", "audio")),
    # An ID3 tag, or the header of a frame of layer III (ISO 11172-3, section 2.4.1.3).
    (rb"ID3[\x02-\x04]|\xff[\xe2\xe3\xf2\xf3\xfa\xfb][\x00-\xef]", Kind("MP3 sound", "audio/mpeg", "audio")),
    (rb"\xff[\xf0\xf1\xf8\xf9]", Kind("AAC sound", "audio/aac", "audio")),
    # The first packet of the first page tells the codec (RFC 3533, section 6).
    (rb"OggS.{24}(OpusHead|\x01vorbis|\x7fFLAC|Speex {3})", Kind("Ogg sound", "audio/ogg", "audio")),
    (rb"OggS.{24}\x80theora", Kind("Ogg video", "video/ogg", "video")),
    (rb"\x1a\x45\xdf\xa3.{0,60}\x42\x82\x84webm", Kind("WebM video", "video/webm", "video")),
    (rb"\x1a\x45\xdf\xa3", Kind("Matroska video, which browsers do not play")),
    (rb"%PDF-", Kind("PDF document")),
    (rb"PK\x03\x04", Kind("ZIP archive or office document")),
    (rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", Kind("old office document")),
)
_PATTERNS = tuple((re.compile(pattern, re.DOTALL), kind) for pattern, kind in _BEGINNINGS)

# ISO 14496-12, section 4.3: size (4) ‖ "ftyp" ‖ brand (4) ‖ version (4) ‖ compatible brands (4 each)
_AVIF = {b"avif", b"avis"}
_HEIF = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
_SOUND = {b"M4A ", b"M4B ", b"M4P "}
_VIDEO = {b"isom", b"mp41", b"mp42", b"avc1", b"M4V ", b"M4VH", b"M4VP", b"MSNV", b"dash", b"qt  ", b"f4v "}
_VIDEO |= {b"iso%d" % number for number in range(2, 10)}
_VIDEO |= {b"3gp%d" % number for number in range(4, 10)} | {b"3g2a", b"3g2b", b"3g2c"}


def find_kind(head: bytes) -> Kind:
    """What begins with these bytes: the first 256 of a file, or all that it has."""
    if head[4:8] == b"ftyp":
        return _find_brand(head)
    return next((kind for pattern, kind in _PATTERNS if pattern.match(head)), UNKNOWN)


def _find_brand(head: bytes) -> Kind:
    end = min(int.from_bytes(head[:4], "big"), len(head))
    brand, compatible = head[8:12], {head[start : start + 4] for start in range(16, end - 3, 4)}
    if brand in _AVIF or (brand in _HEIF and compatible & _AVIF):
        return Kind("AVIF picture", "image/avif", "img")
    if brand in _HEIF:
        return Kind("HEIC picture, which browsers do not draw")
    if brand in _SOUND:
        return Kind("MP4 sound", "audio/mp4", "audio")
    if brand in _VIDEO:
        return Kind("MP4 recording", "video/mp4", "video")
    return UNKNOWN
