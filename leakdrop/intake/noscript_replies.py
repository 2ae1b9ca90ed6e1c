"""Replies for those who have JavaScript off, if the operator allows it: opened here, in memory.

This is the one place on the server that is told a receipt's words, and the one that opens an envelope. Both
are forgotten with the request. Files of a reply are named, and not handed out: without JavaScript they could
only be written to the source's device.
"""

import datetime
from collections.abc import Mapping
from dataclasses import dataclass

from leakdrop.envelope.index import FileEntry, encode_base64url
from leakdrop.envelope.opening import open_envelope
from leakdrop.envelope.receipt import Receipt, derive_receipt
from leakdrop.errors import EnvelopeError, Kind, ReceiptError
from leakdrop.intake.refusals import Refusal, Refused
from leakdrop.intake.replies import Hatch
from leakdrop.intake.words import decode_words
from leakdrop.store.places import ReplyFile


@dataclass(frozen=True, repr=False)
class OpenedReply:
    """One reply: the SHA-256 of its envelope in hex, its text and files; or neither, if it does not open."""

    sha256: str
    message: str = ""
    files: tuple[FileEntry, ...] = ()
    is_open: bool = True


@dataclass(frozen=True, repr=False)
class Opened:
    """What twelve words gave: replies, and the token (base64url) that deletes them; or why they gave none."""

    replies: tuple[OpenedReply, ...] = ()
    token: str = ""
    problem: str = ""


def open_replies(hatch: Hatch, fields: Mapping[str, str], today: datetime.date) -> Opened:
    """The replies for the words in a form, opened. Raises Refused."""
    if not hatch.takes_words:
        raise Refused(Refusal.WORDS_NOT_TAKEN)
    if set(fields) != {"words"}:
        raise Refused(Refusal.BAD_QUESTION)
    try:
        receipt = derive_receipt(decode_words(fields["words"]))
    except ReceiptError as error:
        return Opened(problem=str(error))
    with hatch.replies.reading(receipt.mailbox, today) as found:
        opened = tuple(_open(reply.sha256, file, receipt) for reply, file in found)
    return Opened(opened, encode_base64url(receipt.token))


def _open(sha256: str, file: ReplyFile, receipt: Receipt) -> OpenedReply:
    try:
        envelope = open_envelope(file, [receipt.key_pair])
        index = envelope.index
        # A submission of the source's own, played back to them, is no reply.
        if len(envelope.header.stanzas) != 1 or index.sealed != "review" or index.reply_to:
            raise EnvelopeError(Kind.NOT_FOR_THIS_KEY)
        envelope.check()
    except EnvelopeError:
        return OpenedReply(sha256, is_open=False)
    return OpenedReply(sha256, index.message, index.files)
