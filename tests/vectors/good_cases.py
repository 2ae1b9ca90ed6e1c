"""The envelopes that every reader opens."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from writer import (
    PIECE,
    Envelope,
    Key,
    Stanza,
    draw,
    draw_secrets,
    make_envelope,
    make_index,
    make_key,
    make_plaintext,
    make_stanza,
    seal_share,
    seal_share_to_nobody,
    wrap_file_key,
)

RECIPIENTS = (
    *("alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi"),
    *("ivan", "judy", "kim", "laila", "mona", "noor", "omar", "priya"),
)
# `source` is the key that replies are sealed to; nothing is sealed to `stranger`.
KEYS = {name: make_key(name) for name in (*RECIPIENTS, "source", "stranger")}
MAILBOX = hashlib.sha256(b"leakdrop test mailbox").digest()

MAX_MESSAGE = 1_048_576


@dataclass(frozen=True)
class Good:
    """One case. `keys` are those that open it."""

    name: str
    why: str
    keys: tuple[str, ...]
    envelope: Envelope
    index: bytes
    files: tuple[bytes, ...] = ()


def contents_of(name: str, *sizes: int) -> tuple[bytes, ...]:
    return tuple(draw(f"{name} file {number}", size) for number, size in enumerate(sizes))


def make_good(
    name: str, why: str, index: bytes, files: Sequence[bytes] = (), keys: Sequence[str] = ("alice",)
) -> Good:
    plaintext = make_plaintext(b"".join(files), index)
    envelope = make_envelope(name, [KEYS[key] for key in keys], plaintext)
    return Good(name, why, tuple(keys), envelope, index, tuple(files))


def good_cases() -> dict[str, Good]:
    return {good.name: good for good in (*small_cases(), *length_cases(), *recipient_cases(), *text_cases())}


def small_cases() -> Iterator[Good]:
    yield make_good("empty", "Neither message nor file.", make_index("browser", "", ""))
    yield make_good(
        "one-byte-file",
        "One byte; docs/envelope.md takes this one apart.",
        make_index("offline", "other", "Hello", [("a.txt", "text/plain", 1)]),
        [b"A"],
    )
    sizes = (1000, 0, 3, 70_000)
    names = ("slides.pdf", "empty.txt", "notes.txt", "slides.pdf")
    entries = [(name, "", size) for name, size in zip(names, sizes, strict=True)]
    yield make_good(
        "several-files",
        "Two files have the same name, and one is empty.",
        make_index("server", "training", "", entries),
        contents_of("several-files", *sizes),
    )
    yield make_good(
        "reply-to",
        "It says where replies go.",
        make_index("browser", "training", "Write to me.", (), (MAILBOX, KEYS["source"].public)),
    )
    yield make_good(
        "reply",
        "What a reviewer seals to a source.",
        make_index("review", "", "Thank you.\nWas it in November?"),
        keys=["source"],
    )


def length_cases() -> Iterator[Good]:
    """Lengths at the borders of chunks and of Padmé."""
    yield filled("full-chunk", "One chunk without a byte of padding.", PIECE)
    yield filled("one-byte-more", "One byte more than fits into one chunk; the next one is short.", PIECE + 1)
    file_at_border = make_index("browser", "", "", [("talk.m4a", "audio/mp4", PIECE)])
    yield make_good(
        "file-ends-at-border",
        "The file is the first chunk, the index begins the second.",
        file_at_border,
        contents_of("file-ends-at-border", PIECE),
    )
    size = 2 * PIECE - 50
    yield make_good(
        "index-straddles",
        "The index begins in the second chunk and ends in the third.",
        make_index("browser", "training", "", [("talk.m4a", "audio/mp4", size)]),
        contents_of("index-straddles", size),
    )
    # One letter has two bytes: who counts letters takes one byte too many (see the bad cases).
    message = "é" + "a" * (MAX_MESSAGE - 2)
    yield make_good("longest-message", "A message of 1 MiB.", make_index("browser", "", message))


def filled(name: str, why: str, used: int) -> Good:
    """One file, so long that with index and trailer `used` bytes are filled."""
    size = used - 16 - len(make_index("browser", "", "", [("talk.m4a", "audio/mp4", 100_000)]))
    index = make_index("browser", "", "", [("talk.m4a", "audio/mp4", size)])
    return make_good(name, why, index, contents_of(name, size))


def recipient_cases() -> Iterator[Good]:
    index = make_index("browser", "training", "To all of you.")
    yield make_good("three-recipients", "Each of three opens it.", index, keys=RECIPIENTS[:3])
    yield make_good("sixteen-recipients", "As many recipients as there can be.", index, keys=RECIPIENTS)
    whole = make_good("broken-stanzas", "", index)
    stanzas = [*whole.envelope.stanzas, *broken_stanzas(whole.envelope.file_key)]
    envelope = replace(whole.envelope, stanzas=tuple(sorted(stanzas, key=bytes)))
    why = "One recipient opens it, whatever the sender did to the other stanzas; the mac is right."
    yield replace(whole, why=why, envelope=envelope)


def broken_stanzas(file_key: bytes) -> Iterator[Stanza]:
    """A stanza for each of BROKEN, all else about the envelope being right."""
    for name, (_, breaking) in BROKEN.items():
        yield breaking(KEYS[name], file_key)


Breaking = Callable[[Key, bytes], Stanza]


def with_point(point: bytes) -> Breaking:
    """A stanza whose sealed box was made with an ephemeral key of low order."""

    def breaking(key: Key, file_key: bytes) -> Stanza:
        share, shared, kem = draw_secrets("broken-stanzas", key)
        sealed = seal_share_to_nobody(share, key.x25519, point)
        wrapped = wrap_file_key(file_key, share, shared, kem, sealed, key.public, key.key_id)
        return Stanza(key.key_id, kem, sealed, wrapped)

    return breaking


def with_part(*, box_for: str = "", kem_for: str = "", aad: bytes | None = None) -> Breaking:
    """A stanza of which one part was made for somebody else."""

    def breaking(key: Key, file_key: bytes) -> Stanza:
        share, shared, kem = draw_secrets("broken-stanzas", KEYS[kem_for] if kem_for else key)
        sealed = seal_share(share, KEYS[box_for].x25519 if box_for else key.x25519)
        bound = key.key_id if aad is None else aad
        wrapped = wrap_file_key(file_key, share, shared, kem, sealed, key.public, bound)
        return Stanza(key.key_id, kem, sealed, wrapped)

    return breaking


def with_stanza_for(name: str) -> Breaking:
    """A whole stanza for somebody else, under this key id."""
    return lambda key, file_key: replace(
        make_stanza("broken-stanzas", KEYS[name], file_key), key_id=key.key_id
    )


def with_other_file_key(key: Key, _: bytes) -> Stanza:
    return make_stanza("broken-stanzas", key, draw("other file key", 32))


# Points of the curve that give an all-zero secret: of order 1, 2, 4, 8 and 8, and not canonical.
POINTS = {
    "zero": bytes(32),
    "one": b"\x01" + bytes(31),
    "order-8": bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
    "other-order-8": bytes.fromhex("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
    "p-minus-1": b"\xec" + b"\xff" * 30 + b"\x7f",
    "p": b"\xed" + b"\xff" * 30 + b"\x7f",
    "p-plus-1": b"\xee" + b"\xff" * 30 + b"\x7f",
    "zero-with-top-bit": bytes(31) + b"\x80",
}

# By the recipient who finds it: what is wrong, and how the stanza is made.
BROKEN: dict[str, tuple[str, Breaking]] = {
    "bob": ("ephemeral-point-zero", with_point(POINTS["zero"])),
    "carol": ("ephemeral-point-one", with_point(POINTS["one"])),
    "dave": ("ephemeral-point-of-order-8", with_point(POINTS["order-8"])),
    "erin": ("ephemeral-point-p", with_point(POINTS["p"])),
    "frank": ("sealed-for-another-key", with_part(box_for="alice")),
    "grace": ("kem-for-another-key", with_part(kem_for="alice")),
    "heidi": ("wrapped-for-another-key-id", with_part(aad=KEYS["alice"].key_id)),
    "ivan": ("wrapped-without-key-id", with_part(aad=b"")),
    "judy": ("stanza-for-another-key", with_stanza_for("alice")),
    "kim": ("other-file-key", with_other_file_key),
}


def text_cases() -> Iterator[Good]:
    entries = [
        ("تسجيل ورشة العمل.m4a", "audio/mp4", 10),
        ("ورکشاپ کی ریکارڈنگ.mp4", "video/mp4", 20),
    ]
    yield make_good(
        "arabic-and-urdu",
        "Names and message in Arabic script; one letter has two bytes.",
        make_index("browser", "تدريب", "سجّلت الورشة.\nمیں نے ورکشاپ ریکارڈ کی۔", entries),
        contents_of("arabic-and-urdu", 10, 20),
    )
    low = "".join(map(chr, range(1, 32)))
    odd = "\x7f\x85\xa0\u200d\u202e\u2028\u2029\ufeff\ufffd\ufffe\uffff\U0001f469\u200d\u2695\ufe0f\U0010ffff"
    names = (low, odd, "../../etc/passwd", 'C:\\con\\"<&>.txt', "\u00e9 e\u0301")
    yield make_good(
        "odd-characters",
        "All control characters but U+0000, line separators, marks of direction, and names that are paths.",
        make_index("browser", low, low.replace("\r", "") + odd, [(name, odd, 0) for name in names]),
        [b""] * len(names),
    )
    yield make_good(
        "longest-fields",
        "Kind, name and type have as many bytes as they can; four of them are one letter.",
        make_index("browser", "\U0001f3a4" * 16, "", [("\U0001f3a4" * 256, "\U0001f3a4" * 63 + "abc", 0)]),
        [b""],
    )
