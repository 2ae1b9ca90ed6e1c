"""Plaintext in, envelope out: docs/envelope.md, "Sealing".

The header goes out first and the index last, so a stream of unknown length is sealed as it arrives, in
constant memory. A chunk is sealed once, under a nonce of its own; the file key is never stored.
"""

import os
import secrets
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from nacl.bindings import crypto_box_seal

from leakdrop.envelope.filekey import (
    FILE_KEY,
    SHARE,
    chunk_aad,
    compute_mac,
    derive_body_key,
    derive_wrap_key,
)
from leakdrop.envelope.header import CHUNK, MAC, MAX_STANZAS, NONCE, TAG, Header, Stanza
from leakdrop.envelope.index import MAX_FILES, FileEntry, Index, ReplyTo, encode_index
from leakdrop.envelope.keys import PublicKey
from leakdrop.envelope.padding import PIECE, padded
from leakdrop.errors import SubmissionError

# How many pieces are sealed at once: of what arrives over a network, and of files.
BATCH = 1
LARGE_BATCH = 8


class Sink(Protocol):
    """A binary file that can be written; it tells how many bytes it took, which may be fewer."""

    def write(self, data: bytes | memoryview, /) -> int: ...


class Readable(Protocol):
    """A binary file, opened without a buffer of its own or with one."""

    def readinto(self, buffer: memoryview, /) -> int | None: ...


@dataclass(frozen=True)
class SourceFile:
    """A file to be sealed: its name and type, as claimed, and where its bytes are read."""

    name: str
    type: str
    source: Readable


def seal_file_key(file_key: bytes, public: PublicKey) -> Stanza:
    """The stanza that gives one recipient the file key (32 bytes)."""
    share = secrets.token_bytes(SHARE)
    sealed = crypto_box_seal(share, public.x25519)
    shared, kem = public.mlkem.encapsulate()
    wrap_key = derive_wrap_key(share, shared, kem, sealed, public)
    wrapped = AESGCM(wrap_key).encrypt(bytes(NONCE), file_key, public.key_id)
    return Stanza(public.key_id, kem, sealed, wrapped)


def seal_header(file_key: bytes, recipients: Iterable[PublicKey]) -> Header:
    """The header for these recipients, in ascending order of key id.

    Raises SubmissionError if there are not 1 to 16 of them.
    """
    public_keys = sorted(set(recipients), key=lambda public: public.key_id)
    if not 1 <= len(public_keys) <= MAX_STANZAS:
        raise SubmissionError(f"An envelope is sealed to 1 to {MAX_STANZAS} keys, not {len(public_keys)}.")
    stanzas = tuple(seal_file_key(file_key, public) for public in public_keys)
    unfinished = Header(stanzas, bytes(MAC))
    return replace(unfinished, mac=compute_mac(file_key, unfinished))


class Sealer:
    """Seals one submission into `sink` while it arrives.

        sealer = Sealer(recipients, sink)
        sealer.begin_file("talk.m4a", "audio/mp4")
        sealer.write(some_bytes)          # as often as there are some
        sealer.finish("server", kind, message)

    Nothing but the sealed form is ever written, and `batch` pieces are held in memory, with twice as many
    chunks: what was written last stays as it is until the next is written, so that a sink can take its time.
    """

    def __init__(self, recipients: Iterable[PublicKey], sink: Sink, *, batch: int = BATCH) -> None:
        file_key = secrets.token_bytes(FILE_KEY)
        header = seal_header(file_key, recipients)
        self._body_key = derive_body_key(file_key, header)
        self._sink = sink
        self._files: list[FileEntry] = []
        self._plain = memoryview(bytearray(batch * PIECE))
        self._filled = 0  # bytes of `_plain` that wait to be sealed
        self._chunks = 0  # chunks that are sealed
        self._sealed, self._written = (memoryview(bytearray(batch * CHUNK)) for _ in range(2))
        self._write(memoryview(bytes(header)))

    @property
    def files(self) -> tuple[FileEntry, ...]:
        """The files so far, with their sizes so far."""
        return tuple(self._files)

    def begin_file(self, name: str, type: str) -> None:
        """What is written from now on belongs to a new file. Name and type are cleaned already.

        Raises SubmissionError above 10,000 files.
        """
        if len(self._files) == MAX_FILES:
            raise SubmissionError(f"There are more than {MAX_FILES:,} files: put them into an archive.")
        self._files.append(FileEntry(name, type, 0))

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Add bytes to the file that was begun last."""
        self._grow(len(data))
        self._append(memoryview(data))

    def read_from(self, source: Readable, progress: Callable[[int], object] = lambda size: None) -> None:
        """Add all that a binary file still gives to the file that was begun last."""
        while size := source.readinto(self._plain[self._filled :]):
            self._grow(size)
            self._filled += size
            self._seal_full_batch()
            progress(size)

    def finish(self, sealed: str, kind: str, message: str, reply_to: ReplyTo | None = None) -> None:
        """Write the index, the padding and the last chunk. The texts are cleaned already.

        Raises SubmissionError if the index breaks a bound.
        """
        index = encode_index(Index(sealed, kind, message, tuple(self._files), reply_to))
        offset = sum(file.size for file in self._files)
        used = offset + len(index) + 16
        self._append(memoryview(index))
        self._append_zeros(padded(used) - used)
        self._append(memoryview(offset.to_bytes(8, "big") + len(index).to_bytes(8, "big")))
        self._seal(final=True)

    def _grow(self, size: int) -> None:
        self._files[-1] = replace(self._files[-1], size=self._files[-1].size + size)

    def _append(self, data: memoryview) -> None:
        while data:
            # Not before there is more: the last chunk is sealed as the last one.
            self._seal_full_batch()
            size = min(len(data), len(self._plain) - self._filled)
            self._plain[self._filled : self._filled + size] = data[:size]
            self._filled += size
            data = data[size:]

    def _append_zeros(self, count: int) -> None:
        zeros = memoryview(bytes(min(count, PIECE)))
        while count:
            self._append(zeros[:count])
            count -= min(count, PIECE)

    def _seal_full_batch(self) -> None:
        if self._filled == len(self._plain):
            self._seal(final=False)

    def _seal(self, final: bool) -> None:
        """Seal and write what waits, in pieces: whole ones, and a shorter one if it is the last."""
        written = 0
        for start in range(0, self._filled, PIECE):
            end = min(start + PIECE, self._filled)
            is_last = final and end == self._filled
            nonce = os.urandom(NONCE)
            size = NONCE + end - start + TAG
            chunk = self._sealed[written : written + size]
            chunk[:NONCE] = nonce
            aad = chunk_aad(self._chunks, is_last)
            self._body_key.encrypt_into(nonce, self._plain[start:end], aad, chunk[NONCE:])
            self._chunks += 1
            written += size
        self._write(self._sealed[:written])
        self._sealed, self._written = self._written, self._sealed
        self._filled = 0

    def _write(self, data: memoryview) -> None:
        """Write all bytes: a file without a buffer may take fewer at once."""
        while data:
            data = data[int(self._sink.write(data)) :]


def seal(
    recipients: Iterable[PublicKey],
    sink: Sink,
    *,
    sealed: str,
    kind: str = "",
    message: str = "",
    files: Sequence[SourceFile] = (),
    reply_to: ReplyTo | None = None,
    progress: Callable[[int], object] = lambda size: None,
) -> None:
    """Seal a message and files into `sink`, in constant memory. All texts are cleaned already.

    `progress` is told how many bytes were read. Raises SubmissionError if a bound is broken; then
    what was written is no envelope, and is to be thrown away.
    """
    sealer = Sealer(recipients, sink, batch=LARGE_BATCH)
    for file in files:
        sealer.begin_file(file.name, file.type)
        sealer.read_from(file.source, progress)
    sealer.finish(sealed, kind, message, reply_to)
