"""The form without JavaScript: its parts are sealed while they arrive. Design: docs/architecture.md.

No byte of a submission is written anywhere but through a `Sealer`. One thing is taken as it is: an envelope
that is the only file, without a message. Whether it will stay the only one is known at the end, so until then
such a file is written both ways.

What is sealed here gets a receipt made here: its words are shown once, and forgotten with the request.
"""

import secrets
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from leakdrop.envelope.header import MAGIC, envelope_length, parse_header, plaintext_length
from leakdrop.envelope.index import (
    MAX_KIND,
    MAX_MESSAGE,
    MAX_TYPE,
    clean_message,
    clean_name,
    clean_text,
    clip,
)
from leakdrop.envelope.keys import PublicKey
from leakdrop.envelope.receipt import ENTROPY, derive_receipt
from leakdrop.envelope.sealing import Sealer
from leakdrop.errors import EnvelopeError, NoRoomError, SubmissionError
from leakdrop.intake.bodies import Stream, check_head
from leakdrop.intake.forms import Part, read_boundary, read_parts
from leakdrop.intake.refusals import Refusal, Refused, refusal_for
from leakdrop.intake.words import encode_words
from leakdrop.store.places import DropPlace, Incoming

# A browser sends two bytes for each end of a line.
MAX_FIELD = {"kind": 4 * 1024, "message": 2 * MAX_MESSAGE}
# What an index holds beside a form's own bytes: names of fields, brackets.
SLACK = 64 * 1024


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


def take_form(
    stream: Stream, content_type: str, length: int, recipients: Sequence[PublicKey], desk: Desk
) -> tuple[str, ...]:
    """Store what a form of `length` bytes brings, sealed to the recipients.

    Returns the twelve words of its receipt, which stand nowhere else; none if an envelope was taken as it is.
    Raises Refused; then nothing of it is left.
    """
    boundary = read_boundary(content_type)
    if length > desk.largest_envelope(len(desk.key_ids)) + SLACK:
        raise Refused(Refusal.TOO_LARGE)
    with ExitStack() as files:
        try:
            arrival = Arrival(desk, recipients, length) if desk.sealing else SealedArrival(desk, length)
            files.callback(arrival.close)
            for item in read_parts(stream, boundary, length):
                if isinstance(item, Part):
                    arrival.begin(item)
                else:
                    arrival.write(item)
            arrived = arrival.finish()
            desk.drops.keep(arrived.incoming)
            return arrived.words
        except NoRoomError:
            raise Refused(Refusal.FULL) from None


def measure_most(length: int) -> int:
    """How many bytes of files and index a form can give at most: JSON writes some letters as six."""
    return length + 5 * min(length, MAX_FIELD["message"]) + SLACK


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

    def looks_sealed(self) -> bool:
        """Whether the file begins as an envelope does, as far as it is there."""
        return self._incoming is not None or self._head[: len(MAGIC)] == MAGIC[: len(self._head)]

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


class Arrival:
    """A form that is sealed while it arrives."""

    def __init__(self, desk: Desk, recipients: Sequence[PublicKey], length: int) -> None:
        self._desk = desk
        self._length = length
        self._largest = desk.largest_envelope(len(recipients))
        if not recipients:
            raise Refused(Refusal.CLOSED)
        self._files = ExitStack()
        announced = envelope_length(len(recipients), measure_most(length))
        self._incoming = self._files.enter_context(desk.drops.receive(announced))
        self._sealer = Sealer(recipients, self._incoming)
        self._fields: dict[str, bytearray] = {}
        self._field: str | None = None  # the field that bytes go to; None: a file
        self._unnamed: Part | None = None  # an empty file field sends one, without a byte
        self._candidate: Candidate | None = None

    def begin(self, part: Part) -> None:
        """A part begins. Raises Refused."""
        if part.field == "files":
            self._field, self._unnamed = None, part
            if part.filename:
                self._begin_file(part)
        elif part.field not in MAX_FIELD:
            raise Refused(Refusal.UNKNOWN_FIELD)
        elif part.field in self._fields:
            raise Refused(Refusal.BAD_FORM)
        else:
            self._field = part.field
            self._fields[part.field] = bytearray()

    def _begin_file(self, part: Part) -> None:
        self._unnamed = None
        if self._sealer.files:
            self._drop_candidate()
        else:
            self._candidate = Candidate(self._desk, self._length)
        try:
            self._sealer.begin_file(clean_name(part.filename), clip(clean_text(part.type), MAX_TYPE))
        except SubmissionError:
            raise Refused(Refusal.TOO_MANY_FILES) from None

    def write(self, piece: bytes) -> None:
        """Bytes of the part that began last. Raises Refused."""
        if self._field:
            self._write_field(self._field, piece)
            return
        if self._unnamed:
            self._begin_file(self._unnamed)
        self._sealer.write(piece)
        if self._candidate:
            self._candidate.write(piece)
            if not self._candidate.looks_sealed():
                self._drop_candidate()

    def _write_field(self, field: str, piece: bytes) -> None:
        self._fields[field] += piece
        if len(self._fields[field]) > MAX_FIELD[field]:
            raise Refused(Refusal.MESSAGE_TOO_LONG)
        if field == "message":
            self._drop_candidate()

    def _drop_candidate(self) -> None:
        if self._candidate:
            self._candidate.close()
            self._candidate = None

    def finish(self) -> Arrived:
        """The envelope: the one that arrived, or else the one that was made of the form. Raises Refused."""
        message = clean_message(self._text("message"))
        if message:
            self._drop_candidate()
        if self._candidate and self._candidate.looks_sealed() and self._sealer.files[0].size:
            return Arrived(self._candidate.finish())
        if not message and not self._sealer.files:
            raise Refused(Refusal.NOTHING_SENT)
        if len(message.encode()) > MAX_MESSAGE:
            raise Refused(Refusal.MESSAGE_TOO_LONG)
        entropy = secrets.token_bytes(ENTROPY)
        kind = clip(clean_text(self._text("kind")), MAX_KIND)
        try:
            self._sealer.finish("server", kind, message, derive_receipt(entropy).reply_to)
        except SubmissionError:
            raise Refused(Refusal.TOO_MANY_FILES) from None
        if self._incoming.written > self._largest:
            raise Refused(Refusal.TOO_LARGE)
        return Arrived(self._incoming, tuple(encode_words(entropy)))

    def _text(self, field: str) -> str:
        return self._fields.get(field, bytearray()).decode(errors="replace")

    def close(self) -> None:
        self._drop_candidate()
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
        if not self._is_file or not self._candidate.looks_sealed():
            raise Refused(Refusal.ONLY_SEALED)

    def finish(self) -> Arrived:
        """The envelope. Raises Refused."""
        if not self._has_file:
            raise Refused(Refusal.NOTHING_SENT)
        return Arrived(self._candidate.finish())

    def close(self) -> None:
        self._candidate.close()
