"""The header and the lengths of an envelope: docs/envelope.md, "Header". Nothing here needs a key.

    header   = "LEAKDROP" (8) ‖ version 0x01 (1) ‖ count (1, 1..16) ‖ stanza × count ‖ mac (32)
    stanza   = key id (16) ‖ kem (1088) ‖ sealed (80) ‖ wrapped (48)           = 1232 bytes
    chunk    = nonce (12) ‖ ciphertext (1..262,144) ‖ tag (16)

`read_header` makes the first six of the reader's checks; the server makes these and no others.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

from leakdrop.envelope.padding import PIECE, padded
from leakdrop.errors import EnvelopeError, Kind

MAGIC = b"LEAKDROP"
VERSION = 1
PREFIX = len(MAGIC) + 2
MAX_STANZAS = 16

KEY_ID, KEM, SEALED, WRAPPED, MAC = 16, 1088, 80, 48, 32
STANZA = KEY_ID + KEM + SEALED + WRAPPED

NONCE, TAG = 12, 16
CHUNK = NONCE + PIECE + TAG


class Source(Protocol):
    """A binary file that can be read at any offset."""

    def seek(self, offset: int, whence: int = 0, /) -> int: ...

    def read(self, size: int = -1, /) -> bytes: ...

    def readinto(self, buffer: memoryview, /) -> int | None: ...


@dataclass(frozen=True)
class Stanza:
    """The file key, wrapped for one recipient. Bytes: key id 16, kem 1088, sealed 80, wrapped 48."""

    key_id: bytes
    kem: bytes
    sealed: bytes
    wrapped: bytes

    def __bytes__(self) -> bytes:
        return self.key_id + self.kem + self.sealed + self.wrapped


@dataclass(frozen=True)
class Header:
    """A header of good form: 1 to 16 stanzas in ascending order of key id, and their mac (32 bytes)."""

    stanzas: tuple[Stanza, ...]
    mac: bytes

    @property
    def authenticated(self) -> bytes:
        """The bytes that the mac covers: all of the header before it."""
        return MAGIC + bytes([VERSION, len(self.stanzas)]) + b"".join(map(bytes, self.stanzas))

    def __bytes__(self) -> bytes:
        return self.authenticated + self.mac

    def __len__(self) -> int:
        return header_length(len(self.stanzas))

    @property
    def key_ids(self) -> tuple[bytes, ...]:
        return tuple(stanza.key_id for stanza in self.stanzas)


def header_length(count: int) -> int:
    """The length in bytes of a header with `count` stanzas."""
    return PREFIX + count * STANZA + MAC


MAX_HEADER = header_length(MAX_STANZAS)


def count_chunks(plaintext_length: int) -> int:
    """How many chunks hold a padded plaintext of so many bytes."""
    return -(-plaintext_length // PIECE)


def body_length(plaintext_length: int) -> int:
    """The length in bytes of all chunks for a padded plaintext of so many bytes."""
    return plaintext_length + count_chunks(plaintext_length) * (NONCE + TAG)


def envelope_length(count: int, plaintext_length: int) -> int:
    """The length in bytes of an envelope for `count` keys and so many bytes of files, index and trailer."""
    return header_length(count) + body_length(padded(plaintext_length))


def plaintext_length(body: int) -> int:
    """The length in bytes of the padded plaintext in a body of so many bytes, if any has that length.

    Raises EnvelopeError (bad-length).
    """
    chunks = -(-body // CHUNK)
    length = body - chunks * (NONCE + TAG)
    if length < PIECE or padded(length) != length or count_chunks(length) != chunks:
        raise EnvelopeError(Kind.BAD_LENGTH)
    return length


def parse_prefix(head: bytes) -> int:
    """The count of stanzas in an envelope's first ten bytes.

    Raises EnvelopeError (not-an-envelope, unknown-version, bad-count).
    """
    if len(head) < PREFIX or not head.startswith(MAGIC):
        raise EnvelopeError(Kind.NOT_AN_ENVELOPE)
    version, count = head[len(MAGIC)], head[len(MAGIC) + 1]
    if version != VERSION:
        raise EnvelopeError(Kind.UNKNOWN_VERSION)
    if not 1 <= count <= MAX_STANZAS:
        raise EnvelopeError(Kind.BAD_COUNT)
    return count


def parse_header(head: bytes) -> Header:
    """The header at the start of `head`, which may go on behind it.

    Raises EnvelopeError (the first five kinds).
    """
    count = parse_prefix(head)
    length = header_length(count)
    if len(head) < length:
        raise EnvelopeError(Kind.CUT_HEADER)
    stanzas = tuple(
        parse_stanza(head[start : start + STANZA]) for start in range(PREFIX, length - MAC, STANZA)
    )
    if any(a.key_id >= b.key_id for a, b in pairwise(stanzas)):
        raise EnvelopeError(Kind.STANZA_ORDER)
    return Header(stanzas, head[length - MAC : length])


def parse_stanza(stanza: bytes) -> Stanza:
    """Cut 1232 bytes into key id (16), kem (1088), sealed (80) and wrapped (48)."""
    kem, sealed = KEY_ID + KEM, KEY_ID + KEM + SEALED
    return Stanza(stanza[:KEY_ID], stanza[KEY_ID:kem], stanza[kem:sealed], stanza[sealed:])


def read_header(source: Source, length: int) -> tuple[Header, int]:
    """The header of an envelope of `length` bytes, and the length of its padded plaintext.

    Raises EnvelopeError (the first six kinds).
    """
    source.seek(0)
    header = parse_header(_read_head(source, min(length, MAX_HEADER)))
    return header, plaintext_length(length - len(header))


def _read_head(source: Source, size: int) -> bytes:
    """The next `size` bytes, or all that there are: a file without a buffer may give fewer at once."""
    content = b""
    while piece := source.read(size - len(content)):
        content += piece
    return content
