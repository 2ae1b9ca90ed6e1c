"""Frames of MP3 and AAC sound that follow each other, from the first byte on or behind an ID3 tag.

One header is two bytes that may stand before anything. libavformat takes a file for MP3 for certain from
seven frames on, and for AAC from three on; fewer are no recording here either. Free bit rates are left out.
"""

import re
from collections.abc import Callable

FRAMES = 7

# ID3v2.4, section 3.1: "ID3" ‖ version (1) ‖ revision (1) ‖ flags (1) ‖ size (4, seven bits in each byte)
_TAG = re.compile(rb"ID3[\x02-\x04]\x00([\x00-\xff])([\x00-\x7f]{4})")
TAG_HEADER = 10  # bytes, and as many for the footer
HAS_FOOTER = 0x10

# ISO 11172-3, section 2.4.2.3, and ISO 13818-3, of layer III.
KILOBITS = {
    True: (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),  # MPEG-1
    False: (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),  # MPEG-2 and 2.5
}
HERTZ = (44_100, 48_000, 32_000)
HALVED = {3: 0, 2: 1, 0: 2}  # how often the rates of MPEG-1, 2 and 2.5 are halved
SAME_IN_MP3 = 0xFFFE0C00  # sync word, version, layer, rate

HEADER = 7  # bytes, the shorter one of AAC; that of MP3 has 4
RATES = 13  # ISO 13818-7, table 35
SAME_IN_AAC = 0xFFFFFFF0  # the fixed header, 28 bits (ISO 13818-7, table 8)


def measure_tag(head: bytes) -> int:
    """How many bytes the ID3 tag has with which a file begins; 0 if there is none."""
    if not (found := _TAG.match(head)):
        return 0
    size = 0
    for septet in found[2]:
        size = size << 7 | septet
    return TAG_HEADER + size + (TAG_HEADER if found[1][0] & HAS_FOOTER else 0)


def is_mp3(sound: bytes) -> bool:
    return _are_frames(sound, _measure_mp3, SAME_IN_MP3)


def is_aac(sound: bytes) -> bool:
    return _are_frames(sound, _measure_aac, SAME_IN_AAC)


def _are_frames(sound: bytes, measure: Callable[[bytes], int], same: int) -> bool:
    """Whether as many frames of one sort follow each other as it takes."""
    offset, sorts = 0, set()
    for _ in range(FRAMES):
        header = sound[offset : offset + HEADER]
        length = measure(header) if len(header) == HEADER else 0
        if not length:
            return False
        sorts.add(int.from_bytes(header[:4], "big") & same)
        offset += length
    return len(sorts) == 1


def _measure_mp3(header: bytes) -> int:
    """How long a frame is that begins so; 0 if none does.

    sync (11 bits) ‖ version (2) ‖ layer (2) ‖ 1 ‖ bit rate (4) ‖ rate (2) ‖ padding (1) ‖ 9 more
    """
    sync, version, layer = header[0] << 3 | header[1] >> 5, header[1] >> 3 & 3, header[1] >> 1 & 3
    bit_rate, rate, padding = header[2] >> 4, header[2] >> 2 & 3, header[2] >> 1 & 1
    if sync != 0x7FF or version not in HALVED or layer != 1 or bit_rate in (0, 15) or rate == 3:
        return 0
    is_first = version == 3
    kilobits, hertz = KILOBITS[is_first][bit_rate - 1], HERTZ[rate] >> HALVED[version]
    return (144 if is_first else 72) * kilobits * 1000 // hertz + padding


def _measure_aac(header: bytes) -> int:
    """How long an ADTS frame is that begins so; 0 if none does.

    sync (12 bits) ‖ version (1) ‖ layer (2) ‖ no sum (1) ‖ profile (2) ‖ rate (4) ‖ 8 more ‖ length (13) ‖ …
    """
    if header[0] != 0xFF or header[1] & 0xF6 != 0xF0 or header[2] >> 2 & 15 >= RATES:
        return 0
    length = (header[3] & 3) << 11 | header[4] << 3 | header[5] >> 5
    return length if length >= HEADER else 0
