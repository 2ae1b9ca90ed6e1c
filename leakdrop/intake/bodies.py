"""The body of a request, piece by piece, and what is known of an envelope from its first bytes."""

from collections.abc import Collection, Iterator
from typing import Protocol

from leakdrop.envelope.header import MAGIC, PREFIX, Header, parse_header
from leakdrop.errors import EnvelopeError, Kind
from leakdrop.intake.refusals import Refusal, Refused, refusal_for

# Of 64, 128 and 256 KiB none is slower, and each request holds some of these in memory.
READ = 64 * 1024


class Stream(Protocol):
    """The body of a request."""

    def read(self, size: int, /) -> bytes: ...


def read_body(stream: Stream, length: int) -> Iterator[bytes]:
    """All `length` bytes of a body, in pieces.

    Raises Refused (CUT_OFF): a connection that was cut gives too few bytes, or an error, and neither may
    pass for a whole body.
    """
    while length:
        try:
            piece = stream.read(min(READ, length))
        except OSError:
            piece = b""
        if not piece:
            raise Refused(Refusal.CUT_OFF)
        length -= len(piece)
        yield piece


def check_head(head: bytes, key_ids: Collection[bytes]) -> Header | None:
    """The header at the start of an envelope, once it is there; None while it may still come.

    Raises Refused: it is no envelope, or it names a key that is not ours.
    """
    if MAGIC.startswith(head):
        return None
    try:
        # What is missing of the prefix cannot be wrong yet.
        header = parse_header(head.ljust(PREFIX, b"\1"))
    except EnvelopeError as error:
        if error.kind == Kind.CUT_HEADER:
            return None
        raise Refused(refusal_for(error.kind)) from None
    if not set(key_ids).issuperset(header.key_ids):
        raise Refused(Refusal.FOREIGN_KEY)
    return header
