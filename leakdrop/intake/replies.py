"""Replies are asked for, and deleted, with a token: docs/envelope.md, "The answer".

A token is hashed, and forgotten with the request. Whether its mailbox exists, the answer has one size and is
the same work. Against guessing stand the limits of `limits`, and that there are 2^128 receipts.
"""

import datetime
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass

from leakdrop.envelope.index import decode_base64url
from leakdrop.envelope.receipt import TOKEN, answer_length, derive_mailbox, encode_answer
from leakdrop.intake.bodies import READ
from leakdrop.intake.refusals import Refusal, Refused
from leakdrop.intake.slots import Slots
from leakdrop.store.places import ReplyFile, ReplyPlace

MEDIA_TYPE = "application/octet-stream"


@dataclass(frozen=True)
class Hatch:
    """What a question for replies meets: where they lie, how many are answered at once, if it takes words."""

    replies: ReplyPlace
    slots: Slots
    takes_words: bool


@dataclass(frozen=True)
class Answer:
    """An answer: its length in bytes, and its bytes, which are read from files while they are sent."""

    length: int
    pieces: Iterator[bytes]


def answer_question(hatch: Hatch, fields: Mapping[str, str], today: datetime.date, held: ExitStack) -> Answer:
    """The answer to a token; its files stay open as long as `held` does. Raises Refused."""
    mailbox = derive_mailbox(_parse_token(fields, {"token"}))
    found = held.enter_context(hatch.replies.reading(mailbox, today))
    envelopes = [(reply.size, _read(file, reply.size)) for reply, file in found]
    return Answer(answer_length(length for length, _ in envelopes), encode_answer(envelopes))


def delete_reply(hatch: Hatch, fields: Mapping[str, str]) -> None:
    """Delete a reply that a token may delete, if it is there. Raises Refused."""
    mailbox = derive_mailbox(_parse_token(fields, {"token", "reply"}))
    if not re.fullmatch("[0-9a-f]{64}", fields["reply"]):
        raise Refused(Refusal.BAD_QUESTION)
    hatch.replies.delete(mailbox, fields["reply"])


def _parse_token(fields: Mapping[str, str], expected: Iterable[str]) -> bytes:
    """The token (32 bytes) in a form with exactly these fields. Raises Refused."""
    if set(fields) != set(expected):
        raise Refused(Refusal.BAD_QUESTION)
    try:
        return decode_base64url(fields["token"], TOKEN)
    except ValueError:
        raise Refused(Refusal.BAD_QUESTION) from None


def _read(file: ReplyFile, length: int) -> Iterator[bytes]:
    """The first `length` bytes of a file; fewer if it has become shorter."""
    while length and (piece := file.read(min(READ, length))):
        length -= len(piece)
        yield piece
