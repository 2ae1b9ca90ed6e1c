"""Receipts, their words, and answers: what a reader must take, and what it must refuse.

The words are encoded here bit by bit, as BIP39 says; its list of words is read from the package `mnemonic`,
and its sum compared.
"""

import hashlib
import importlib.util
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from writer import Key, draw, hkdf, make_key_of_root

UNIT = 1_048_576
LIST_SHA256 = "2f5eed53a4727b4bf8880d8f3f199efc90e58503646d9ff8eff3a2ed3b24dbda"

# BIP39's published vectors of 128 bits, English: entropy, and under it its words.
# Source: trezor/python-mnemonic, vectors.json, in two of its versions.
PUBLISHED_LINES = """
00000000000000000000000000000000
abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon about
7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f
legal winner thank year wave sausage worth useful legal winner thank yellow
80808080808080808080808080808080
letter advice cage absurd amount doctor acoustic avoid letter advice cage above
ffffffffffffffffffffffffffffffff
zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo wrong
9e885d952ad362caeb4efe34a8e91bd2
ozone drill grab fiber curtain grace pudding thank cruise elder eight picnic
c0ba5a8e914111210f2bd131f3d5e08d
scheme spot photo card baby mountain device kick cradle pact join borrow
23db8160a31d3e0dca3688ed941adbf3
cat swing flag economy stadium alone churn speed unique patch report train
f30f8c1da665478f49b001d94c5fc452
vessel ladder alter error federal sibling chat ability sun glass valve picture
7dce4ed2284c9134d026608ab684c05c
lava include region explain simple omit dog slot melt reflect copy reward
5baf069620eff15c71dd97c9a6ee328f
forum join pitch dove yellow purchase shuffle real situate danger million bunker
63deb1e7f0c3de56f4ab43c9d2ae6c86
glow void ketchup thunder digital clock sport half six nice open artefact
00641669f095b433a304ed0f953f28eb
about camera omit thrive forget border metal oval auto prepare sketch stomach
""".strip().splitlines()
PUBLISHED = dict(zip(PUBLISHED_LINES[::2], PUBLISHED_LINES[1::2], strict=True))


def read_list() -> list[str]:
    package = importlib.util.find_spec("mnemonic")
    if not package or not package.origin:
        raise SystemExit("There is no package mnemonic.")
    octets = (Path(package.origin).parent / "wordlist" / "english.txt").read_bytes()
    if hashlib.sha256(octets).hexdigest() != LIST_SHA256:
        raise SystemExit("This is not BIP39's English list.")
    return octets.decode().split()


LIST = read_list()


def make_words(entropy: bytes, checksum: int | None = None) -> list[str]:
    """The twelve words: 128 bits and the first four of their SHA-256, eleven for each; or other four."""
    check = hashlib.sha256(entropy).digest()[0] >> 4 if checksum is None else checksum
    bits = f"{int.from_bytes(entropy, 'big'):0128b}{check:04b}"
    return [LIST[int(bits[start : start + 11], 2)] for start in range(0, 132, 11)]


@dataclass(frozen=True)
class Receipt:
    """A receipt, with all that follows from it."""

    name: str
    entropy: bytes

    @property
    def words(self) -> str:
        return " ".join(make_words(self.entropy))

    @property
    def root(self) -> bytes:
        return hkdf(self.entropy, b"", b"leakdrop/1 receipt", 32)

    @property
    def token(self) -> bytes:
        return hkdf(self.root, b"", b"leakdrop/1 token", 32)

    @property
    def mailbox(self) -> bytes:
        return hashlib.sha256(b"leakdrop/1 mailbox" + self.token).digest()

    @property
    def key(self) -> Key:
        return make_key_of_root(self.root)


def receipts() -> list[Receipt]:
    """Some that were drawn, and those of BIP39's own vectors."""
    drawn = [Receipt(name, draw(f"receipt {name}", 16)) for name in ("amina", "ben", "chi")]
    return [*drawn, *(Receipt(f"bip39-{digits}", bytes.fromhex(digits)) for digits in PUBLISHED)]


@dataclass(frozen=True)
class WordsCase:
    """A text that somebody enters: the entropy in it, or why it is refused, and at which word."""

    name: str
    why: str
    text: str
    entropy: bytes | None = None
    refusal: str | None = None
    number: int | None = None


def words_cases() -> Iterator[WordsCase]:
    for digits, words in PUBLISHED.items():
        if make_words(bytes.fromhex(digits)) != words.split():
            raise SystemExit(f"The words of {digits} are not those that BIP39 publishes.")
        yield WordsCase(f"bip39-{digits}", "Published with BIP39.", words, bytes.fromhex(digits))
    entropy = receipts()[0].entropy
    words = make_words(entropy)
    numbered = enumerate(words, 1)
    for name, why, text in (
        ("capitals", "In capitals.", " ".join(words).upper()),
        ("title-case", "Each with a capital, as phones write.", " ".join(words).title()),
        ("lines", "A line for each.", "\n".join(words)),
        (
            "windows-lines",
            "Ends of lines of two bytes, blanks around.",
            " \t" + " \r\n ".join(words) + "\r\n",
        ),
        ("hyphens", "Hyphens.", "-".join(words)),
        ("commas", "Commas and a full stop.", ", ".join(words) + "."),
        ("numbered", "As the page shows them.", "\n".join(f"{n}. {word}" for n, word in numbered)),
        ("numbers-close", "Numbers without a blank.", " ".join(f"{n}.{w}" for n, w in enumerate(words, 1))),
        ("brackets", "Numbers in brackets.", " ".join(f"({n}) {w}" for n, w in enumerate(words, 1))),
        ("no-break-space", "Blanks that do not break.", "\u00a0".join(words)),
        ("ideographic-space", "A blank of another script.", "\u3000".join(words)),
        ("dashes", "Dashes of typography, a byte order mark.", "\ufeff" + " – ".join(words)),
        ("quotes", "Marks around them.", "“" + " ".join(words) + "”"),
        ("underscores", "Underscores.", "_".join(words)),
    ):
        yield WordsCase(name, why, text, entropy)
    yield from bad_words(entropy, words)


def bad_words(entropy: bytes, words: Sequence[str]) -> Iterator[WordsCase]:
    def changed(number: int, word: str) -> str:
        return " ".join([*words[: number - 1], word, *words[number:]])

    yield WordsCase("nothing", "No word.", "", refusal="count")
    yield WordsCase("digits", "Numbers alone.", "1. 2. 3.", refusal="count")
    yield WordsCase("eleven", "The last one is missing.", " ".join(words[:11]), refusal="count")
    yield WordsCase("thirteen", "One too many.", " ".join([*words, words[0]]), refusal="count")
    yield WordsCase("twice", "All of them twice.", " ".join([*words, *words]), refusal="count")
    fifteen = "abandon " * 14 + "address"
    yield WordsCase("fifteen", "Fifteen that BIP39 takes, and a receipt does not.", fifteen, refusal="count")
    together = " ".join(words).replace(" ", "", 1)
    yield WordsCase("together", "No blank between the first two.", together, refusal="count")
    yield WordsCase(
        "eleven-and-unknown",
        "Too few, and one misspelt.",
        changed(3, "abuot")[: -len(words[-1])],
        None,
        "count",
    )
    accent = changed(2, words[1][:1] + "\u0301" + words[1][1:])
    yield WordsCase("accent", "An accent within a word cuts it in two.", accent, refusal="count")
    for name, why, number, word in (
        ("misspelt-first", "The first one is misspelt.", 1, "abuot"),
        ("misspelt-last", "The last one is misspelt.", 12, "abuot"),
        ("plural", "One letter more.", 5, "zoos"),
        ("four-letters", "The first four letters of a word are not enough.", 4, "aban"),
        ("another-language", "A word of BIP39's French list.", 7, "abaisser"),
    ):
        yield WordsCase(name, why, changed(number, word), refusal="unknown", number=number)
    two = changed(2, "abuot").replace(words[8], "wrods")
    yield WordsCase("two-misspelt", "Two are misspelt: the first one is told.", two, None, "unknown", 2)
    for checksum in range(16):
        text = " ".join(make_words(entropy, checksum))
        if text != " ".join(words):
            yield WordsCase(f"checksum-{checksum}", "Other bits to check.", text, refusal="checksum")
    exchanged = " ".join([words[1], words[0], *words[2:]])
    yield WordsCase("exchanged", "The first two have changed places.", exchanged, refusal="checksum")
    other = LIST[LIST.index(words[6]) ^ 1]
    yield WordsCase("another-word", "Another word of the list.", changed(7, other), refusal="checksum")
    yield WordsCase("all-the-same", "Twelve times one word.", "abandon " * 12, refusal="checksum")


@dataclass(frozen=True)
class AnswerCase:
    """An answer, as parts: ("hex", digits), ("envelope", name of a good one), ("fill", [count, byte]).

    `lengths` are those of the envelopes in it; None: it is refused.
    """

    name: str
    why: str
    parts: Sequence[tuple[str, object]]
    lengths: Sequence[int] | None = None


def answer_cases(reply: int) -> Iterator[AnswerCase]:
    """Answers; `reply` is the length in bytes of the good envelope “reply”."""
    part = [("hex", f"{reply:08x}"), ("envelope", "reply")]
    fill = "fill"

    def text_replies(count: int, units: int, said: int | None = None) -> list[tuple[str, object]]:
        used = 1 + count * (4 + reply)
        return [
            ("hex", f"{count if said is None else said:02x}"),
            *part * count,
            (fill, [units * UNIT - used, 0xA5]),
        ]

    def noise(count: str, length: int, filled: int, rest: int) -> list[tuple[str, object]]:
        return [("hex", count), ("hex", f"{length:08x}"), (fill, [filled, 0x11]), (fill, [rest, 0xA5])]

    yield AnswerCase("none", "No reply.", text_replies(0, 1), [])
    for count in (1, 2, 3):
        yield AnswerCase(f"text-{count}", "Fits into one unit.", text_replies(count, 1), [reply] * count)
    yield AnswerCase("text-4", "Takes two units.", text_replies(4, 2), [reply] * 4)
    yield AnswerCase("full", "No byte of filling.", noise("01", UNIT - 5, UNIT - 5, 0), [UNIT - 5])
    yield AnswerCase(
        "a-byte-more", "One byte in the second unit.", noise("01", UNIT - 4, UNIT - 4, UNIT - 1), [UNIT - 4]
    )
    yield AnswerCase(
        "no-envelope", "Bytes that are no envelope come out as they are.", noise("01", 3, 3, UNIT - 8), [3]
    )
    most = 32 * UNIT - 5
    yield AnswerCase("largest", "32 units.", noise("01", most, most, 0), [most])

    yield AnswerCase("empty", "Not a byte.", [])
    yield AnswerCase("one-byte", "The count alone.", [("hex", "00")])
    yield AnswerCase("a-byte-short", "Cut off.", [*text_replies(1, 1)[:-1], (fill, [UNIT - 6 - reply, 0xA5])])
    yield AnswerCase("a-byte-long", "One byte behind it.", [*text_replies(1, 1), ("hex", "00")])
    yield AnswerCase(
        "a-unit-short",
        "Four text replies in one unit.",
        [("hex", "04"), *part * 3, (fill, [UNIT - 1 - 3 * (4 + reply), 0xA5])],
    )
    yield AnswerCase("a-unit-long", "One unit more than is needed.", text_replies(1, 2))
    yield AnswerCase("none-in-two-units", "No reply, and two units.", text_replies(0, 2))
    yield AnswerCase(
        "behind-the-end", "An envelope ends one byte behind the end.", noise("01", UNIT - 4, UNIT - 5, 0)
    )
    yield AnswerCase(
        "longest-length", "The greatest length that there is.", noise("01", 2**32 - 1, UNIT - 5, 0)
    )
    yield AnswerCase(
        "length-cut", "The end lies within a length.", [*noise("02", UNIT - 7, UNIT - 7, 0), ("hex", "0000")]
    )
    yield AnswerCase(
        "count-without-length", "Two are announced, and one fills all.", noise("02", UNIT - 5, UNIT - 5, 0)
    )
    yield AnswerCase("too-large", "33 units.", noise("01", 33 * UNIT - 5, 33 * UNIT - 5, 0))
