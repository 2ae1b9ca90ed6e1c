"""What recordings and pictures say of themselves, read by libraries in a process of its own.

`media.py` starts this program for a submission's files and asks it of one file after another. It has no
file, no network and little memory; the bytes that it asks for come through a pipe, so that nothing that was
opened reaches a disk. All integers big-endian:

    asked     "F" ‖ size (8)                            of the next file
    answers   "R" ‖ offset (8) ‖ length (4)             these bytes are wanted; they follow on standard input
              "D" ‖ 0 (8) ‖ length (4) ‖ JSON           what was found

Nothing here is trusted by who asked: the file may have taken this process over.
"""

import codecs
import ctypes
import io
import json
import math
import struct
import sys
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, BinaryIO

BUFFER = 65_536  # bytes
MEMORY = 512 * 1024 * 1024  # bytes
HEAD = 32
ASK, ANSWER = struct.Struct(">cQ"), struct.Struct(">cQI")

PICTURES = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"GIF8": "GIF",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
}
PICTURE_BRANDS = {b"heic": "HEIC", b"heix": "HEIC", b"mif1": "HEIF", b"avif": "AVIF"}
# What ISO base media files count their seconds from (ISO/IEC 14496-12, section 8.2.2).
EPOCH_1904 = datetime(1904, 1, 1, tzinfo=UTC)
CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000


class PipedFile(io.RawIOBase):
    """A file whose bytes are asked for through the pipe."""

    def __init__(self, size: int, source: BinaryIO, sink: BinaryIO) -> None:
        self._size, self._source, self._sink, self._position = size, source, sink, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0, /) -> int:
        start = (0, self._position, self._size)[whence]
        self._position = max(start + offset, 0)
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: Any, /) -> int:
        length = max(min(len(buffer), self._size - self._position, BUFFER), 0)
        if length:
            self._sink.write(ANSWER.pack(b"R", self._position, length))
            self._sink.flush()
            buffer[:length] = self._source.read(length)
            self._position += length
        return length


def read_media(file: BinaryIO) -> dict[str, Any]:
    """What a file says of itself; nothing if no library knows its format."""
    head = file.read(HEAD)
    file.seek(0)
    if picture := _name_picture(head):
        return _read_picture(file, picture)
    if head[4:8] == b"ftyp":
        return _read_mp4(file)
    return _read_sound(file, head)


def _name_picture(head: bytes) -> str | None:
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WebP"
    if head[4:8] == b"ftyp":
        return PICTURE_BRANDS.get(head[8:12])
    return next((name for magic, name in PICTURES.items() if head.startswith(magic)), None)


def _read_picture(file: BinaryIO, name: str) -> dict[str, Any]:
    import exifread
    import imagesize

    width, height = imagesize.get(file)
    file.seek(0)
    tags = exifread.process_file(file, details=False)
    dates = {
        f"EXIF {tag.rpartition(' ')[2]}": str(tags[tag])
        for tag in ("EXIF DateTimeOriginal", "EXIF DateTimeDigitized", "Image DateTime")
        if tag in tags
    }
    facts: dict[str, Any] = {"format": name, "dates": dates, "has_place": "GPS GPSLatitude" in tags}
    return facts | ({"width": int(width), "height": int(height)} if width > 0 and height > 0 else {})


def _read_sound(file: BinaryIO, head: bytes) -> dict[str, Any]:
    import mutagen
    from mutagen.mp3 import MP3

    # Without a tag at its beginning an MP3 is known by the sync word of its first frame alone.
    is_frame = head[:1] == b"\xff" and len(head) > 1 and head[1] & 0xE0 == 0xE0
    found: Any = MP3(file) if is_frame else mutagen.File(file)  # type: ignore[no-untyped-call]
    if found is None:
        return {}
    name = type(found).__name__
    return {"format": name, "codecs": [name.removeprefix("Ogg")], **_describe_duration(found.info.length)}


def _describe_duration(seconds: float) -> dict[str, Any]:
    return {"duration": round(float(seconds), 3)} if math.isfinite(seconds) and seconds > 0 else {}


def _read_mp4(file: BinaryIO) -> dict[str, Any]:
    """Duration, creation, tracks: `mvhd`, `tkhd` and `stsd` of ISO/IEC 14496-12."""
    from mutagen.mp4 import Atoms  # type: ignore[attr-defined]

    movie = next(atom for atom in Atoms(file).atoms if atom.name == b"moov")
    facts: dict[str, Any] = {"format": "MP4", "dates": {}, "codecs": []}
    for header in movie.findall(b"mvhd"):
        facts |= _read_movie_header(_read_atom(header, file))
    for track in movie.findall(b"trak"):
        for header in track.findall(b"tkhd"):
            width, height = struct.unpack(">II", _read_atom(header, file)[-8:])
            if width and height:
                facts |= {"width": width >> 16, "height": height >> 16}
        for table in track.findall(b"stsd", recursive=True):
            facts["codecs"].append(_read_atom(table, file)[12:16].decode("latin-1").strip())
    facts["has_place"] = any(
        _names_place(_read_atom(atom, file)) for atom in movie.children if atom.name in (b"udta", b"meta")
    )
    return facts


def _read_movie_header(header: bytes) -> dict[str, Any]:
    """version (1) ‖ flags (3) ‖ creation ‖ modification ‖ timescale (4) ‖ duration

    Creation, modification and duration have 4 bytes each, and 8 in version 1.
    """
    created, _, scale, duration = struct.unpack_from(">QQIQ" if header[0] == 1 else ">IIII", header, 4)
    facts = _describe_duration(duration / scale) if scale else {}
    if created:
        moment = EPOCH_1904 + timedelta(seconds=created)
        facts["dates"] = {"MP4 creation": moment.strftime("%Y-%m-%dT%H:%M:%SZ")}
    return facts


def _names_place(box: bytes) -> bool:
    return b"\xa9xyz" in box or b"location.ISO6709" in box


def _read_atom(atom: Any, file: BinaryIO) -> bytes:
    """At most 1 MiB of what an atom holds."""
    file.seek(atom._dataoffset)
    return file.read(min(atom.datalength, 1 << 20))


def warm_up() -> None:
    """Load all that reading needs, before the first hostile byte, and while files can still be opened."""
    for encoding in ("ascii", "latin-1", "utf-8", "utf-16", "utf-16-be", "utf-16-le", "cp1252", "shift_jis"):
        codecs.lookup(encoding)
    for magic in (b"", b"\xff\xfb", b"....ftypM4A ", *PICTURES):
        with suppress(Exception):
            read_media(io.BytesIO(magic.ljust(64, b"\0")))


def confine() -> None:
    """Give up what a reader does not need, as far as the system lets it: memory, files, the network."""
    try:
        import resource
    except ImportError:  # Windows
        return
    for limit, most in ((resource.RLIMIT_AS, MEMORY), (resource.RLIMIT_FSIZE, 0), (resource.RLIMIT_CORE, 0)):
        resource.setrlimit(limit, (most, most))
    if sys.platform == "linux":
        # A network of its own, without interfaces. Where the system forbids that, the pipe is still the only
        # thing that this process was given.
        ctypes.CDLL(None).unshare(CLONE_NEWUSER | CLONE_NEWNET)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))


def main() -> None:
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    sys.stdout = sys.stderr  # what a library prints is no answer
    warm_up()
    confine()
    while asked := source.read(ASK.size):
        _, size = ASK.unpack(asked)
        try:
            found = read_media(io.BufferedReader(PipedFile(size, source, sink), BUFFER))
        except Exception as error:  # noqa: BLE001 - a library may fail in any way on hostile bytes
            found = {"failure": type(error).__name__}
        answer = json.dumps(found).encode()
        sink.write(ANSWER.pack(b"D", 0, len(answer)) + answer)
        sink.flush()


if __name__ == "__main__":
    main()
