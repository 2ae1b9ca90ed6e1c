"""What follows from a receipt, and how replies are answered: docs/envelope.md, "The receipt", "The answer".

    entropy = 16 random bytes; what people copy are its twelve words (leakdrop.intake.words)
    root    = HKDF(entropy, "", "leakdrop/1 receipt", 32), which gives the key pair of replies
    token   = HKDF(root, "", "leakdrop/1 token", 32)
    mailbox = SHA-256("leakdrop/1 mailbox" ‖ token)                                     = 32 bytes

    answer  = count (1) ‖ count × (length (4) ‖ envelope) ‖ random bytes; a multiple of 1,048,576 bytes

Only the token reads and deletes; the mailbox, which reviewers and the server know, gives no right.
"""

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from leakdrop.envelope.index import ReplyTo
from leakdrop.envelope.keys import KeyPair, derive_key_pair, hkdf
from leakdrop.errors import AnswerError

ENTROPY, TOKEN = 16, 32
UNIT = 1_048_576
MAX_ANSWER = 32 * UNIT

_LENGTH = 4


@dataclass(frozen=True, repr=False)
class Receipt:
    """What twelve words give: the token that asks (32 bytes), the mailbox (32), the key pair that opens."""

    token: bytes
    mailbox: bytes
    key_pair: KeyPair

    @property
    def reply_to(self) -> ReplyTo:
        """What travels in an envelope. It gives no right to read or to delete."""
        return ReplyTo(self.mailbox, self.key_pair.public)


def derive_receipt(entropy: bytes) -> Receipt:
    """The receipt of 16 random bytes."""
    root = hkdf(entropy, b"", b"leakdrop/1 receipt", 32)
    token = hkdf(root, b"", b"leakdrop/1 token", TOKEN)
    return Receipt(token, derive_mailbox(token), derive_key_pair(root))


def derive_mailbox(token: bytes) -> bytes:
    """The mailbox (32 bytes) that a token (32 bytes) asks for."""
    return hashlib.sha256(b"leakdrop/1 mailbox" + token).digest()


def answer_length(lengths: Iterable[int]) -> int:
    """The length in bytes of the answer with envelopes of these lengths."""
    used = 1 + sum(_LENGTH + length for length in lengths)
    return -(-used // UNIT) * UNIT


def encode_answer(envelopes: Sequence[tuple[int, Iterable[bytes]]]) -> Iterator[bytes]:
    """The answer with at most 255 envelopes, in units; each is given as its length and its bytes, in pieces.

    Every unit is drawn at random first and then written over, so that an answer without a reply is as much
    work as one with some.
    """
    content = _join(envelopes)
    rest = b""
    for _ in range(0, answer_length(length for length, _ in envelopes), UNIT):
        unit, filled = bytearray(os.urandom(UNIT)), 0
        while filled < UNIT and (piece := rest or next(content, b"")):
            size = min(len(piece), UNIT - filled)
            unit[filled : filled + size] = piece[:size]
            filled, rest = filled + size, piece[size:]
        yield bytes(unit)


def _join(envelopes: Sequence[tuple[int, Iterable[bytes]]]) -> Iterator[bytes]:
    yield len(envelopes).to_bytes(1, "big")
    for length, pieces in envelopes:
        yield length.to_bytes(_LENGTH, "big")
        yield from pieces


def decode_answer(answer: bytes) -> list[bytes]:
    """The envelopes in an answer, as they are. Raises AnswerError."""
    if not 0 < len(answer) <= MAX_ANSWER:
        raise AnswerError
    envelopes: list[bytes] = []
    offset = 1
    for _ in range(answer[0]):
        start = offset + _LENGTH
        offset = start + int.from_bytes(answer[offset:start], "big")
        if offset > len(answer):
            raise AnswerError
        envelopes.append(answer[start:offset])
    if len(answer) != answer_length(map(len, envelopes)):
        raise AnswerError
    return envelopes
