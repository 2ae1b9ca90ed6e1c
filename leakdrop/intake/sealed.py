"""Envelopes that come by the form, sealed beforehand. Nothing here seals.

Such an envelope is the only file of its form, without a message, and is taken as it is.
"""

from contextlib import ExitStack
from dataclasses import dataclass

from leakdrop.envelope.header import MAGIC, envelope_length, parse_header, plaintext_length
from leakdrop.envelope.index import MAX_MESSAGE
from leakdrop.errors import EnvelopeError
from leakdrop.intake.bodies import check_head
from leakdrop.intake.forms import Part
from leakdrop.intake.refusals import Refusal, Refused, refusal_for
from leakdrop.store.places import DropPlace, Incoming

# A browser sends two bytes for each end of a line.
MAX_FIELD = {"kind": 4 * 1024, "message": 2 * MAX_MESSAGE}


@dataclass(frozen=True, repr=False)
class Arrived:
    """What became of a form: the envelope, and the words of its receipt if it was sealed here."""

    incoming: Incoming
    words: tuple[str, ...] = ()


@dataclass(frozen=True)
class Desk:
    """What a submission meets: where drops go, which keys an envelope may name, what is taken."""

    drops: DropPlace
    key_ids: frozenset[bytes]
    largest_plaintext: int
    sealing: bool

    def largest_envelope(self, key_count: int) -> int:
        return envelope_length(key_count, self.largest_plaintext)


class Candidate:
    """A file that may be an envelope. From when its header has passed, it is written as it is."""

    def __init__(self, desk: Desk, announced: int) -> None:
        self._desk = desk
        self._announced = announced
        self._files = ExitStack()
        self._head = bytearray()
        self._header_length = 0
        self._incoming: Incoming | None = None
        self._refusal: Refusal | None = None

    def may_be_sealed(self) -> bool:
        """Whether the file begins as an envelope does, as far as it is there."""
        return self._incoming is not None or self._head[: len(MAGIC)] == MAGIC[: len(self._head)]

    def is_sealed(self) -> bool:
        """Whether it claims to be an envelope: all of it is there that says so."""
        return self._incoming is not None or self._head.startswith(MAGIC)

    def write(self, piece: bytes) -> None:
        if self._incoming:
            self._incoming.write(piece)
        elif not self._refusal:
            self._head += piece
            self._check_head()

    def _check_head(self) -> None:
        """Begin to write when the header is there and all its keys are ours. Before that, nothing is."""
        try:
            header = check_head(bytes(self._head), self._desk.key_ids)
        except Refused as refused:
            self._refusal = refused.refusal
            return
        if header is None:
            return
        self._header_length = len(header)
        self._incoming = self._files.enter_context(self._desk.drops.receive(self._announced))
        self._incoming.write(bytes(self._head))
        self._head.clear()

    def finish(self) -> Incoming:
        """The envelope, if that is what it is. Raises Refused."""
        if self._refusal:
            raise Refused(self._refusal)
        try:
            if not self._incoming:
                parse_header(bytes(self._head))  # it ended too early, and this says how
                raise Refused(Refusal.BAD_LENGTH)
            length = plaintext_length(self._incoming.written - self._header_length)
        except EnvelopeError as error:
            raise Refused(refusal_for(error.kind)) from None
        if length > self._desk.largest_plaintext:
            raise Refused(Refusal.TOO_LARGE)
        return self._incoming

    def close(self) -> None:
        self._files.close()


class SealedArrival:
    """A form that may bring an envelope and nothing else: the operator switched sealing on arrival off."""

    def __init__(self, desk: Desk, length: int) -> None:
        self._candidate = Candidate(desk, length)
        self._is_file = False
        self._has_file = False

    def begin(self, part: Part) -> None:
        """A part begins. Raises Refused."""
        self._is_file = part.field == "files"
        if part.field not in ("files", *MAX_FIELD):
            raise Refused(Refusal.UNKNOWN_FIELD)
        if self._is_file and part.filename:
            if self._has_file:
                raise Refused(Refusal.ONLY_SEALED)
            self._has_file = True

    def write(self, piece: bytes) -> None:
        """Bytes of the part that began last: of the envelope. Raises Refused."""
        if self._is_file:
            self._has_file = True
            self._candidate.write(piece)
        if not self._is_file or not self._candidate.may_be_sealed():
            raise Refused(Refusal.ONLY_SEALED)

    def finish(self) -> Arrived:
        """The envelope. Raises Refused."""
        if not self._has_file:
            raise Refused(Refusal.NOTHING_SENT)
        return Arrived(self._candidate.finish())

    def close(self) -> None:
        self._candidate.close()
