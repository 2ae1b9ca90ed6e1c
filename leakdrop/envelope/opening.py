"""Envelope in, plaintext out: docs/envelope.md, "The reader".

Any bytes open, or raise one EnvelopeError; the order of the checks is the specification's. The last chunk
is opened before any other, so that a cut envelope is never believed. After that any byte of any file is
had by opening the chunks that it lies in, and no others.
"""

import hmac
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from nacl.bindings import crypto_box_seal_open
from nacl.exceptions import CryptoError

from leakdrop.envelope.filekey import chunk_aad, compute_mac, derive_body_key, derive_wrap_key
from leakdrop.envelope.header import CHUNK, NONCE, Header, Source, Stanza, count_chunks, read_header
from leakdrop.envelope.index import MAX_INDEX, Index, decode_index
from leakdrop.envelope.keys import KeyPair
from leakdrop.envelope.padding import PIECE, padded
from leakdrop.errors import EnvelopeError, Kind

# Large reads and writes cost less than the cipher does; more than this brings nothing.
BATCH = 2
TRAILER = 16


@dataclass(frozen=True, repr=False)
class Envelope:
    """An envelope whose header, last chunk and index are checked; its other chunks are, as they are read.

    `length` is that of the padded plaintext in bytes, `used` what of it is not padding, `offsets` where
    each file begins. `source` stays the caller's: it is read from, and not closed.
    """

    header: Header
    index: Index
    key: KeyPair
    length: int
    used: int
    offsets: tuple[int, ...]
    body: "Body" = field(repr=False)

    def read(self, start: int, end: int) -> bytes:
        """Bytes `start` to `end` of the plaintext. Raises EnvelopeError (chunk-damaged)."""
        return self.body.read(start, min(end, self.length))

    def read_file(self, number: int, start: int = 0, end: int | None = None) -> bytes:
        """Bytes `start` to `end` of a file, held in memory. Raises EnvelopeError (chunk-damaged)."""
        return b"".join(map(bytes, self.stream_file(number, start, end)))

    def stream_file(self, number: int, start: int = 0, end: int | None = None) -> Iterator[memoryview]:
        """Bytes `start` to `end` of a file, in pieces; each is valid until the next one is asked for.

        Raises EnvelopeError (chunk-damaged).
        """
        offset, size = self.offsets[number], self.index.files[number].size
        end = size if end is None else min(end, size)
        return self.body.pieces(offset + start, offset + max(start, end))

    def check_padding(self, progress: Callable[[int], object] = lambda size: None) -> None:
        """Check what no file and no index covers. Raises EnvelopeError (chunk-damaged, bad-padding)."""
        for piece in self.body.pieces(self.used - TRAILER, self.length - TRAILER):
            if piece.tobytes().count(0) != len(piece):
                raise EnvelopeError(Kind.BAD_PADDING)
            progress(len(piece))

    def check(self, progress: Callable[[int], object] = lambda size: None) -> None:
        """Check every byte. Raises EnvelopeError (chunk-damaged, bad-padding)."""
        for piece in self.body.pieces(0, self.used - TRAILER):
            progress(len(piece))
        self.check_padding(progress)


@dataclass(frozen=True, repr=False)
class Body:
    """The chunks of an envelope: where they lie in `source`, and the cipher that opens them."""

    source: Source
    start: int  # of the first chunk in `source`, in bytes
    length: int  # of the padded plaintext, in bytes
    cipher: AESGCM

    def pieces(self, start: int, end: int) -> Iterator[memoryview]:
        """Bytes `start` to `end` of the plaintext, in views that are valid until the next is asked for.

        Raises EnvelopeError (chunk-damaged).
        """
        first, last = start // PIECE, count_chunks(end) if start < end else 0
        batch = max(min(BATCH, last - first), 1)
        sealed, plain = memoryview(bytearray(batch * CHUNK)), memoryview(bytearray(batch * PIECE))
        for number in range(first, last, batch):
            size = self._open_batch(number, min(number + batch, last), sealed, plain)
            offset = number * PIECE
            yield plain[max(start - offset, 0) : min(end - offset, size)]

    def _open_batch(self, first: int, end: int, sealed: memoryview, plain: memoryview) -> int:
        """Open chunks `first` to `end` into `plain`, and return how many bytes they hold."""
        size = min(end * PIECE, self.length) - first * PIECE
        read = size + (end - first) * (CHUNK - PIECE)
        self.source.seek(self.start + first * CHUNK)
        _read_fully(self.source, sealed[:read])
        last = count_chunks(self.length) - 1
        for i in range(end - first):
            chunk = sealed[i * CHUNK : min((i + 1) * CHUNK, read)]
            piece = plain[i * PIECE : min((i + 1) * PIECE, size)]
            aad = chunk_aad(first + i, first + i == last)
            try:
                self.cipher.decrypt_into(chunk[:NONCE], chunk[NONCE:], aad, piece)
            except InvalidTag:
                raise EnvelopeError(Kind.CHUNK_DAMAGED) from None
        return size

    def read(self, start: int, end: int) -> bytes:
        # Copied one by one: join alone would hold views that later pieces overwrite.
        return b"".join(map(bytes, self.pieces(start, end)))


def _read_fully(source: Source, buffer: memoryview) -> None:
    """Fill the buffer; a source that ends too early has become shorter since it was measured."""
    filled = 0
    while filled < len(buffer):
        size = source.readinto(buffer[filled:])
        if not size:
            raise EnvelopeError(Kind.CHUNK_DAMAGED)
        filled += size


def open_envelope(source: Source, keys: Sequence[KeyPair]) -> Envelope:
    """Open an envelope with the first of these key pairs that can.

    Everything is checked but the chunks that hold neither index nor trailer, and the padding. Raises
    EnvelopeError (any kind but bad-padding).
    """
    header, length = read_header(source, source.seek(0, os.SEEK_END))
    key, file_key = _open_header(header, keys)
    body = Body(source, len(header), length, derive_body_key(file_key, header))
    offset, index_length = _read_trailer(body)
    index = decode_index(body.read(offset, offset + index_length), offset)
    offsets, start = [], 0
    for file in index.files:
        offsets.append(start)
        start += file.size
    return Envelope(header, index, key, length, offset + index_length + TRAILER, tuple(offsets), body)


def _open_header(header: Header, keys: Sequence[KeyPair]) -> tuple[KeyPair, bytes]:
    """The file key (32 bytes), and the key pair that gave it.

    Raises EnvelopeError (not-for-this-key, stanza-damaged, header-damaged): the first refusal, if there
    are several key pairs and none opens it.
    """
    refusal = EnvelopeError(Kind.NOT_FOR_THIS_KEY)
    for key in keys:
        for stanza in header.stanzas:
            if stanza.key_id != key.public.key_id:
                continue
            try:
                return key, _open_stanza(stanza, key, header)
            except EnvelopeError as error:
                if refusal.kind == Kind.NOT_FOR_THIS_KEY:
                    refusal = error
    raise refusal


def _open_stanza(stanza: Stanza, key: KeyPair, header: Header) -> bytes:
    """The file key. Raises EnvelopeError (stanza-damaged, header-damaged)."""
    try:
        share = crypto_box_seal_open(stanza.sealed, key.public.x25519, key.x25519)
        # ML-KEM never refuses: a changed ciphertext gives another secret (FIPS 203, section 6.3).
        shared = key.mlkem.decapsulate(stanza.kem)
        wrap_key = derive_wrap_key(share, shared, stanza.kem, stanza.sealed, key.public)
        file_key = AESGCM(wrap_key).decrypt(bytes(NONCE), stanza.wrapped, stanza.key_id)
    except (CryptoError, InvalidTag):
        raise EnvelopeError(Kind.STANZA_DAMAGED) from None
    if not hmac.compare_digest(header.mac, compute_mac(file_key, header)):
        raise EnvelopeError(Kind.HEADER_DAMAGED)
    return file_key


def _read_trailer(body: Body) -> tuple[int, int]:
    """The offset and the length of the index, from the plaintext's last 16 bytes.

    They lie in the last chunk, since every padded length is a multiple of 8,192: so that one is opened
    first, with its last flag. Raises EnvelopeError (chunk-damaged, bad-trailer, bad-bucket).
    """
    trailer = body.read(body.length - TRAILER, body.length)
    offset, length = int.from_bytes(trailer[:8], "big"), int.from_bytes(trailer[8:], "big")
    if not 1 <= length <= MAX_INDEX or offset + length + TRAILER > body.length:
        raise EnvelopeError(Kind.BAD_TRAILER)
    if padded(offset + length + TRAILER) != body.length:
        raise EnvelopeError(Kind.BAD_BUCKET)
    return offset, length
