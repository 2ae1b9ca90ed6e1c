"""A root in shares, any k of n of which restore it: SLIP-39, by the library `shamir-mnemonic`.

    share = 33 of SLIP-39's 1,024 English words: 256 bits of the share, its number, k, and a checksum

One group, no passphrase of SLIP-39's own. The library belongs to the extra `review` and is imported here
only, when it is needed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from leakdrop.envelope.keys import ROOT
from leakdrop.errors import KeyFileError, UsageError

WORDS = 33
LEAST, MOST = 2, 16  # shares: with 1 of n, each piece of paper would be the key


@dataclass(frozen=True, repr=False)
class Share:
    """One share: its words, what all of its set have in common, its number from 1, how many are needed."""

    words: tuple[str, ...]
    family: tuple[object, ...]
    number: int
    need: int


def _load_library() -> Any:
    try:
        import shamir_mnemonic
    except ImportError:
        raise UsageError(
            "Shares need the Python package shamir-mnemonic, which leakdrop's package for reviewers brings: "
            "install that, or “pip install leakdrop[review]”."
        ) from None
    return shamir_mnemonic


def check_numbers(need: int, number: int) -> None:
    """Raises UsageError unless there can be `number` shares of which `need` restore the root."""
    if not LEAST <= need <= number <= MOST:
        raise UsageError(f"--need K and --of N: {LEAST} ≤ K ≤ N ≤ {MOST}, and not {need} of {number}.")


def split_root(root: bytes, need: int, number: int) -> list[Share]:
    """The shares of a root (32 bytes). Raises UsageError."""
    check_numbers(need, number)
    library = _load_library()
    # Without a passphrase there is nothing that more iterations would protect.
    (words,) = library.generate_mnemonics(1, [(need, number)], root, iteration_exponent=0)
    shares = [parse_share(text) for text in words]
    for start in range(number):
        if combine_shares([shares[(start + step) % number] for step in range(need)]) != root:
            raise KeyFileError("The shares do not restore the key, and none was written: try again.")
    return shares


def parse_share(text: str) -> Share:
    """A share of its words. Raises UsageError, which names no word: it is shown where others may look."""
    library = _load_library()
    words = text.lower().split()
    wrong = [number for number, word in enumerate(words, 1) if word not in library.wordlist.WORD_INDEX_MAP]
    if wrong:
        raise UsageError(f"Word {wrong[0]} of this share is not one of SLIP-39's words: look at it again.")
    if len(words) != WORDS:
        raise UsageError(f"A share has {WORDS} words, and this one {len(words)}.")
    try:
        found = library.Share.from_mnemonic(" ".join(words))
    except library.MnemonicError:
        raise UsageError(
            "The words of this share do not belong together: one is wrong, or stands in another's place."
        ) from None
    if (found.group_threshold, found.group_count) != (1, 1) or found.member_threshold < LEAST:
        raise UsageError("This share was not made by leakdrop-review.")
    return Share(tuple(words), found.group_parameters(), found.index + 1, found.member_threshold)


def check_fits(share: Share, others: Sequence[Share]) -> None:
    """Raises UsageError if a share cannot be put together with the others."""
    if any(share.family != other.family for other in others):
        raise UsageError("This share belongs to another set: shares that were made together fit together.")
    if any(share.number == other.number for other in others):
        raise UsageError("This share was given already: another one is needed.")


def combine_shares(shares: Sequence[Share]) -> bytes:
    """The root (32 bytes) of as many shares as are needed, or more. Raises UsageError and KeyFileError."""
    library = _load_library()
    for number, share in enumerate(shares):
        check_fits(share, shares[:number])
    need = shares[0].need if shares else LEAST
    if len(shares) < need:
        raise UsageError(f"{need} shares are needed, and {len(shares)} given.")
    try:
        root: bytes = library.combine_mnemonics([" ".join(share.words) for share in shares[:need]])
    except library.MnemonicError:
        raise KeyFileError("These shares restore no key: one of them is not what was written.") from None
    if len(root) != ROOT:
        raise KeyFileError("These shares were not made by leakdrop-review.")
    return root
