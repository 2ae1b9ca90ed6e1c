"""tus 1.0 for sealed envelopes: core, creation, termination, expiration (https://tus.io/protocols/resumable-upload).

`Upload-Metadata` is not read and method override is not supported: an envelope says all that there is to
say. A request for an upload stops any older one for it; see `leakdrop.store.uploads`.
"""

import datetime
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from leakdrop.envelope.header import MAX_HEADER, MAX_STANZAS, envelope_length, header_length, plaintext_length
from leakdrop.errors import EnvelopeError, NoRoomError
from leakdrop.intake.bodies import Stream, check_head, read_body
from leakdrop.intake.refusals import Refusal, Refused
from leakdrop.store.claims import TakenOverError
from leakdrop.store.places import UploadPlace, Writing
from leakdrop.store.upload import FinishedError, OffsetError, UnknownUploadError, Upload

VERSION = "1.0.0"
EXTENSIONS = "creation,termination,expiration"
UNSUPPORTED = 415
MEDIA_TYPE = "application/offset+octet-stream"


@dataclass(frozen=True)
class Dock:
    """What an upload meets: where it goes, which keys it may name, how long an envelope may be in bytes."""

    uploads: UploadPlace
    key_ids: frozenset[bytes]
    largest_plaintext: int


def largest_envelope(dock: Dock) -> int:
    """How many bytes the largest envelope has that is taken."""
    return envelope_length(MAX_STANZAS, dock.largest_plaintext)


def create(dock: Dock, length: int, today: datetime.date) -> Upload:
    """A new upload. Raises Refused: no envelope has this length, it is too large, or there is no room."""
    lengths = {plaintext for count in range(1, MAX_STANZAS + 1) if (plaintext := _plaintext(length, count))}
    if not lengths:
        raise Refused(Refusal.BAD_LENGTH)
    if min(lengths) > dock.largest_plaintext:
        raise Refused(Refusal.TOO_LARGE)
    try:
        return dock.uploads.create(length, today)
    except NoRoomError:
        raise Refused(Refusal.FULL) from None


def _plaintext(length: int, count: int) -> int:
    """The length of the padded plaintext in an envelope of this length for `count` keys, or 0."""
    try:
        return plaintext_length(max(length - header_length(count), 0))
    except EnvelopeError:
        return 0


def find(dock: Dock, upload_id: str) -> Upload:
    """An upload, with its offset. Raises Refused."""
    try:
        return dock.uploads.find(upload_id)
    except UnknownUploadError:
        raise Refused(Refusal.UNKNOWN_UPLOAD) from None


def append(
    dock: Dock,
    upload_id: str,
    offset: int,
    stream: Stream,
    length: int,
    today: datetime.date,
    hang_up: Callable[[], object],
) -> Upload:
    """Append `length` bytes of a body, and return the upload; all up to its new offset is durable.

    Raises Refused. What is not an envelope for our keys ends the upload; for every other reason what was
    written stays, and the upload can go on.
    """
    if not length:
        return _append_nothing(dock, upload_id, offset)
    try:
        with dock.uploads.append(upload_id, offset, today, hang_up, length=length) as writing:
            if offset + length > writing.upload.length:
                raise Refused(Refusal.TOO_MUCH)
            _write(dock, writing, stream, length)
            if writing.offset == writing.upload.length:
                dock.uploads.finish(writing)
        return writing.upload
    except UnknownUploadError:
        raise Refused(Refusal.UNKNOWN_UPLOAD) from None
    except (OffsetError, TakenOverError):
        raise Refused(Refusal.WRONG_OFFSET) from None
    except NoRoomError:
        raise Refused(Refusal.FULL) from None
    except ForeignError as foreign:
        with suppress(UnknownUploadError, FinishedError):  # a newer request has ended it, or finished it
            dock.uploads.end(upload_id)
        raise Refused(foreign.refusal, UNSUPPORTED) from None


def _append_nothing(dock: Dock, upload_id: str, offset: int) -> Upload:
    """An empty PATCH: some clients send one when the answer to their last bytes was lost. Raises Refused."""
    upload = find(dock, upload_id)
    if upload.offset != offset:
        raise Refused(Refusal.WRONG_OFFSET)
    return upload


class ForeignError(Refused):
    """This upload can never become a drop."""


def _write(dock: Dock, writing: Writing, stream: Stream, length: int) -> None:
    head = writing.read_head(MAX_HEADER)
    for piece in _read_body(stream, length):
        if len(head) < MAX_HEADER:
            head += piece[: MAX_HEADER - len(head)]
            _check(dock, head, writing.upload.length)
        writing.write(piece)


def _read_body(stream: Stream, length: int) -> Iterator[bytes]:
    """As `read_body`; but whoever hears that the connection was cut is to ask for the offset, and go on."""
    try:
        yield from read_body(stream, length)
    except Refused:
        raise Refused(Refusal.WRONG_OFFSET) from None


def _check(dock: Dock, head: bytes, length: int) -> None:
    """Raises ForeignError, before the bytes in question are written."""
    try:
        header = check_head(head, dock.key_ids)
        if header and not _plaintext(length, len(header.stanzas)):
            raise Refused(Refusal.BAD_LENGTH)
    except Refused as refused:
        raise ForeignError(refused.refusal) from None


def end(dock: Dock, upload_id: str) -> None:
    """Throw an upload away. Raises Refused; ARRIVED if it cannot be taken back any more."""
    try:
        dock.uploads.end(upload_id)
    except FinishedError:
        raise Refused(Refusal.ARRIVED) from None
    except UnknownUploadError:
        raise Refused(Refusal.UNKNOWN_UPLOAD) from None
