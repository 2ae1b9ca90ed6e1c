"""The form without JavaScript: its parts are sealed while they arrive. Design: docs/architecture.md.

No byte of a submission is written anywhere but through a `Sealer`. One thing is taken as it is: an envelope
that is the only file, without a message (`sealed`). Whether it will stay the only one is known at the end, so
until then such a file is written both ways.

What is sealed here gets a receipt made here: its words are shown once, and forgotten with the request.
"""

import secrets
from collections.abc import Sequence
from contextlib import ExitStack

from leakdrop.envelope.header import envelope_length
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
from leakdrop.errors import NoRoomError, SubmissionError
from leakdrop.intake.bodies import Stream
from leakdrop.intake.forms import Part, read_boundary, read_parts
from leakdrop.intake.refusals import Refusal, Refused
from leakdrop.intake.sealed import MAX_FIELD, Arrived, Candidate, Desk, SealedArrival
from leakdrop.intake.words import encode_words

# What an index holds beside a form's own bytes: names of fields, brackets.
SLACK = 64 * 1024
# Names and types of all files together: beside its fields, all of a form that memory holds until its end.
MAX_NAMES = 512 * 1024


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
        self._names = 0  # bytes

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
        name, type = clean_name(part.filename), clip(clean_text(part.type), MAX_TYPE)
        self._names += len(name.encode()) + len(type.encode())
        if self._names > MAX_NAMES:
            raise Refused(Refusal.TOO_MANY_FILES)
        try:
            self._sealer.begin_file(name, type)
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
            if not self._candidate.may_be_sealed():
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
        if self._candidate and self._candidate.is_sealed():
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
        """A field's text. Raises Refused."""
        try:
            return self._fields.get(field, bytearray()).decode()
        except UnicodeDecodeError:
            raise Refused(Refusal.BAD_FORM) from None

    def close(self) -> None:
        self._drop_candidate()
        self._files.close()
