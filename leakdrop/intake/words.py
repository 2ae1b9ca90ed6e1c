"""The twelve words of a receipt: docs/envelope.md, "The receipt".

They are BIP39's encoding of 16 bytes, English list, with its checksum of 4 bits. Nothing else of BIP39 is
used: no seed, no PBKDF2. Twin of the same functions in browser/envelope/receipt.js.
"""

import re
from functools import cache

from mnemonic import Mnemonic

from leakdrop.errors import ReceiptError

WORDS = 12


@cache
def _list() -> Mnemonic:
    return Mnemonic("english")


def encode_words(entropy: bytes) -> list[str]:
    """The twelve words of 16 bytes."""
    return _list().to_mnemonic(entropy).split(" ")


def split_words(text: str) -> list[str]:
    """The words of a text, as somebody may have copied them: in any case, numbered, any signs between."""
    return re.findall("[a-z]+", text.lower())


def decode_words(text: str) -> bytes:
    """The 16 bytes of twelve words.

    Raises ReceiptError: there are more or fewer, one is not on the list, or they do not fit together.
    """
    words = split_words(text)
    if len(words) != WORDS:
        these = "This is one word" if len(words) == 1 else f"These are {len(words)} words"
        raise ReceiptError(f"{these}, and a receipt has {WORDS}.")
    known = set(_list().wordlist)
    for number, word in enumerate(words, 1):
        if word not in known:
            # By its number: what somebody typed by mistake belongs in no error.
            raise ReceiptError(f"Word {number} is not a word of any receipt: compare it with your copy.")
    try:
        return bytes(_list().to_entropy(words))
    except ValueError:
        # Number and words are right, so this is the one refusal left.
        raise ReceiptError(
            "These words do not fit together: one is another, or two have changed places."
        ) from None
