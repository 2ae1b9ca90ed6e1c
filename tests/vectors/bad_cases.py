"""The envelopes that every reader refuses, each for one reason.

Where a stanza or the mac was changed, the chunks are those of the base: they cannot fit, since the body key
depends on every byte of the header, and a reader must not get so far.
"""

import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from good_cases import BROKEN, KEYS, Good
from index_cases import index_cases
from writer import CHUNK, STANZA, draw, make_envelope, make_plaintext, make_stanza

Goods = Mapping[str, Good]
KEM, SEALED, WRAPPED = 16, 16 + 1088, 16 + 1088 + 80
MAX_INDEX = 16 * 1024 * 1024


@dataclass(frozen=True)
class Bad:
    """One case. `base` names the good envelope that it was made from, `keys` those to open it with."""

    name: str
    why: str
    base: str
    envelope: bytes
    keys: tuple[str, ...] = ("alice",)


def bad_cases(goods: Goods) -> list[tuple[str, Bad]]:
    """Each case with its kind, in the reader's order."""
    return [(kind, bad) for kind, make in KINDS.items() for bad in make(goods)]


def flip(envelope: bytes, offset: int, mask: int = 1) -> bytes:
    """The envelope with some bits of one byte turned over; a negative offset counts from its end."""
    changed = bytearray(envelope)
    changed[offset] ^= mask
    return bytes(changed)


def put(envelope: bytes, offset: int, octets: bytes) -> bytes:
    """The envelope with other bytes at an offset."""
    return envelope[:offset] + octets + envelope[offset + len(octets) :]


def stanza_at(number: int) -> int:
    return 10 + number * STANZA


def find_stanza(good: Good, name: str) -> int:
    """The offset of a recipient's stanza."""
    ids = [stanza.key_id for stanza in good.envelope.stanzas]
    return stanza_at(ids.index(KEYS[name].key_id))


def resealed(good: Good, plaintext: bytes) -> bytes:
    """The envelope with another plaintext, its chunks valid."""
    return bytes(replace(good.envelope, plaintext=plaintext))


def with_trailer(good: Good, offset: int, length: int) -> bytes:
    plaintext = good.envelope.plaintext
    return resealed(good, plaintext[:-16] + struct.pack(">QQ", offset, length))


def not_an_envelope(goods: Goods) -> Iterator[Bad]:
    base = "one-byte-file"
    whole = bytes(goods[base].envelope)
    yield Bad("no-bytes", "An empty file.", base, b"")
    yield Bad("one-byte", "One byte.", base, whole[:1])
    yield Bad("magic-alone", "Cut off after the magic.", base, whole[:8])
    yield Bad("nine-bytes", "Cut off before the count.", base, whole[:9])
    for offset in range(8):
        name, why = f"magic-byte-{offset}", "One letter of the magic in lower case."
        yield Bad(name, why, base, flip(whole, offset, 0x20))


def unknown_version(goods: Goods) -> Iterator[Bad]:
    base = "one-byte-file"
    for version in (0, 2, ord("1"), 255):
        envelope = put(bytes(goods[base].envelope), 8, bytes([version]))
        yield Bad(f"version-{version}", "Another version.", base, envelope)


def bad_count(goods: Goods) -> Iterator[Bad]:
    base = "one-byte-file"
    for count in (0, 17, 128, 255):
        envelope = put(bytes(goods[base].envelope), 9, bytes([count]))
        yield Bad(f"count-{count}", "The count is not 1 to 16.", base, envelope)


def cut_header(goods: Goods) -> Iterator[Bad]:
    base = "three-recipients"
    whole = bytes(goods[base].envelope)
    for name, length in (
        ("after-count", 10),
        ("in-key-id", 10 + 15),
        ("after-key-id", 10 + KEM),
        ("after-kem", 10 + SEALED),
        ("after-sealed", 10 + WRAPPED),
        ("after-first-stanza", stanza_at(1)),
        ("after-second-stanza", stanza_at(2)),
        ("before-mac", stanza_at(3)),
        ("in-mac", stanza_at(3) + 31),
    ):
        yield Bad(f"cut-{name}", "The file ends within its header.", base, whole[:length])


def stanza_order(goods: Goods) -> Iterator[Bad]:
    base = "three-recipients"
    good = goods[base]
    whole = bytes(good.envelope)
    first, second, third = map(bytes, good.envelope.stanzas)
    yield Bad("first-two-exchanged", "Descending.", base, put(whole, 10, second + first))
    yield Bad("last-two-exchanged", "Descending.", base, put(whole, stanza_at(1), third + second))
    yield Bad("stanza-twice", "The same stanza twice.", base, put(whole, stanza_at(1), first))
    name, why = "key-id-twice", "Two stanzas for one key id."
    yield Bad(name, why, base, put(whole, stanza_at(1), first[:KEM]))
    name, why = "last-key-id-twice", "Two stanzas for one key id."
    yield Bad(name, why, base, put(whole, stanza_at(2), second[:KEM]))


def bad_length(goods: Goods) -> Iterator[Bad]:
    base = "one-byte-file"
    whole = bytes(goods[base].envelope)
    header = len(goods[base].envelope.header)
    yield Bad("header-alone", "No chunk.", base, whole[:header])
    yield Bad("one-byte-of-nonce", "A chunk of one byte.", base, whole[: header + 1])
    yield Bad("chunk-of-27-bytes", "A chunk without room for its tag.", base, whole[: header + 27])
    yield Bad("empty-chunk-alone", "A chunk without a piece.", base, whole[: header + 28])
    yield Bad("half", "Half of the chunk.", base, whole[: header + CHUNK // 2])
    yield Bad("one-byte-short", "The last byte is missing.", base, whole[:-1])
    yield Bad("tag-missing", "The last tag is missing.", base, whole[:-16])
    yield Bad("padme-step-short", "The chunk's last 8,192 bytes are missing.", base, whole[:-8192])
    for extra in (1, 27, 29, CHUNK - 1):
        name, why = f"{extra}-bytes-more", "Bytes follow the last chunk."
        yield Bad(name, why, base, whole + bytes(extra))
    yield Bad("empty-last-chunk", "A chunk without a piece follows.", base, whole + bytes(28))
    base = "one-byte-more"
    whole = bytes(goods[base].envelope)
    yield Bad("short-chunk-cut", "The short last chunk ends early.", base, whole[:-1])
    yield Bad("short-chunk-emptied", "The short last chunk has no piece.", base, whole[:-8192])
    name, why = "chunk-more", "A whole chunk more, and no envelope is so long."
    yield Bad(name, why, base, whole + bytes(CHUNK))
    base = "index-straddles"
    name, why = "finer-step", "A length that would do below 524,288 bytes, but not above."
    yield Bad(name, why, base, bytes(goods[base].envelope)[:-8192])


def not_for_this_key(goods: Goods) -> Iterator[Bad]:
    base = "three-recipients"
    good = goods[base]
    whole = bytes(good.envelope)
    yield Bad("stranger", "Nothing is sealed to this key.", base, whole, ("stranger",))
    yield Bad("two-strangers", "Nothing is sealed to these keys.", base, whole, ("stranger", "source"))
    ids = [stanza.key_id for stanza in good.envelope.stanzas]
    offset = 10 + ids.index(KEYS["alice"].key_id) * STANZA + 15
    yield Bad("key-id-changed", "The last bit of the key id differs.", base, flip(whole, offset))
    base = "reply-to"
    why = "A key in the index is nobody's key to the envelope."
    yield Bad("key-for-replies", why, base, bytes(goods[base].envelope), ("source",))


def stanza_damaged(goods: Goods) -> Iterator[Bad]:
    base = "one-byte-file"
    whole = bytes(goods[base].envelope)
    for name, offset in (
        ("kem-first-byte", KEM),
        ("kem-last-byte", SEALED - 1),
        ("ephemeral-key-first-byte", SEALED),
        ("sealed-tag", SEALED + 32),
        ("sealed-last-byte", WRAPPED - 1),
        ("wrapped-first-byte", WRAPPED),
        ("wrapped-tag", STANZA - 1),
    ):
        yield Bad(name, "One bit is turned over.", base, flip(whole, 10 + offset))
    for name, offset, length in (("kem", KEM, 1088), ("sealed", SEALED, 80), ("wrapped", WRAPPED, 48)):
        yield Bad(f"{name}-zero", "All of it is zero.", base, put(whole, 10 + offset, bytes(length)))
    yield from parts_of_another(goods["three-recipients"])
    base = "broken-stanzas"
    whole = bytes(goods[base].envelope)
    for key, (name, _) in BROKEN.items():
        if name != "other-file-key":
            why = "All else about this envelope is right, and others can open it."
            yield Bad(name, why, base, whole, (key,))
    name, why = "stranger-and-broken-stanza", "One key is not there, the other one's stanza is broken."
    yield Bad(name, why, base, whole, ("stranger", "bob"))
    name, why = "two-refusals", "Two keys, refused for different reasons: the first one counts."
    yield Bad(name, why, base, whole, ("bob", "kim"))


def parts_of_another(good: Good) -> Iterator[Bad]:
    """A part of another recipient's stanza in the stanza of alice."""
    whole = bytes(good.envelope)
    mine, theirs = find_stanza(good, "alice"), find_stanza(good, "bob")
    for name, start, end in (
        ("kem", KEM, SEALED),
        ("sealed", SEALED, WRAPPED),
        ("wrapped", WRAPPED, STANZA),
        ("stanza-but-key-id", KEM, STANZA),
    ):
        envelope = put(whole, mine + start, whole[theirs + start : theirs + end])
        yield Bad(f"{name}-of-another-recipient", "It was made for another recipient.", good.name, envelope)


def header_damaged(goods: Goods) -> Iterator[Bad]:
    base = "three-recipients"
    good = goods[base]
    whole = bytes(good.envelope)
    mac = stanza_at(3)
    yield Bad("mac-first-bit", "One bit is turned over.", base, flip(whole, mac, 0x80))
    yield Bad("mac-last-bit", "One bit is turned over.", base, flip(whole, mac + 31))
    yield Bad("mac-zero", "The mac is zero.", base, put(whole, mac, bytes(32)))
    other_mac = goods["one-byte-file"].envelope.mac
    yield Bad("mac-of-another-envelope", "The mac is another envelope's.", base, put(whole, mac, other_mac))
    bobs = find_stanza(good, "bob")
    for name, offset in (("key-id", 15), ("kem", KEM), ("sealed", SEALED), ("wrapped", WRAPPED)):
        why = "One bit of another recipient's stanza is turned over."
        yield Bad(f"other-{name}-changed", why, base, flip(whole, bobs + offset))
    stanza = bytes(make_stanza("foreign stanza", KEYS["bob"], draw("foreign file key", 32)))
    name, why = "other-stanza-exchanged", "Another recipient's stanza is one from another envelope."
    yield Bad(name, why, base, put(whole, bobs, stanza))
    yield from recipients_changed(good)
    base, name = "broken-stanzas", "other-file-key"
    why = "This recipient was given another file key; others can open it."
    yield Bad(name, why, base, bytes(goods[base].envelope), ("kim",))
    name, why = "two-refusals-exchanged", "Two keys, refused for different reasons: the first one counts."
    yield Bad(name, why, base, bytes(goods[base].envelope), ("kim", "bob"))


def recipients_changed(good: Good) -> Iterator[Bad]:
    """A header with a stanza more or less, under the old mac."""
    envelope, whole = good.envelope, bytes(good.envelope)
    fewer = tuple(s for s in envelope.stanzas if s.key_id != KEYS["bob"].key_id)
    stranger = make_stanza("added stanza", KEYS["stranger"], envelope.file_key)
    more = tuple(sorted((*envelope.stanzas, stranger), key=bytes))
    for name, why, stanzas in (
        ("stanza-removed", "A recipient was taken out.", fewer),
        ("stanza-added", "A recipient was put in, who has the file key.", more),
    ):
        header = replace(envelope, stanzas=stanzas).authenticated + envelope.mac
        length = len(whole) + len(header) - len(envelope.header)
        yield Bad(
            name, why, good.name, header + whole[len(header) : length].ljust(length - len(header), b"\0")
        )


def chunk_damaged(goods: Goods) -> Iterator[Bad]:
    yield from bits_of_chunks(goods["index-straddles"])
    yield from wrong_aad(goods["index-straddles"])
    yield from moved_chunks(goods["index-straddles"])
    yield from spliced_chunks(goods["one-byte-more"])
    base = "one-byte-file"
    whole = bytes(goods[base].envelope)
    name, why = "short-zero-chunk-more", "Zeros follow, as long as a short last chunk."
    yield Bad(name, why, base, whole + bytes(28 + 8192))
    yield Bad("zero-chunk-more", "Zeros follow, as long as a whole chunk.", base, whole + bytes(CHUNK))
    base = "index-straddles"
    name, why = "last-chunk-cut-off", "It ends after a whole chunk that is not the last one."
    yield Bad(name, why, base, bytes(goods[base].envelope)[: -(28 + 16_384)])


def bits_of_chunks(good: Good) -> Iterator[Bad]:
    """One bit turned over in each part of the first, the middle and the last chunk."""
    whole, header = bytes(good.envelope), len(good.envelope.header)
    ends = [header + CHUNK, header + 2 * CHUNK, len(whole)]
    for chunk, start, end in zip(("first", "middle", "last"), [header, *ends], ends, strict=False):
        for part, offset in (("nonce", start), ("piece", start + 12), ("tag", end - 1)):
            name, why = f"{chunk}-{part}-changed", f"One bit of the {chunk} chunk's {part} is turned over."
            yield Bad(name, why, good.name, flip(whole, offset))


def wrong_aad(good: Good) -> Iterator[Bad]:
    """Chunks whose number or last flag the sender got wrong."""
    for name, why, number, aad in (
        ("last-flag-missing", "The last chunk says that more follow.", 2, struct.pack(">QB", 2, 0)),
        ("last-flag-2", "The last flag is 0x02.", 2, struct.pack(">QB", 2, 2)),
        ("last-flag-early", "The first chunk says that it is the last.", 0, struct.pack(">QB", 0, 1)),
        ("first-number-1", "Chunks are counted from one.", 0, struct.pack(">QB", 1, 0)),
        ("number-little-endian", "Its bytes are turned round.", 2, struct.pack("<QB", 2, 1)),
        ("number-of-32-bits", "It has four bytes.", 2, struct.pack(">IB", 2, 1)),
        ("flag-before-number", "The flag stands first.", 2, struct.pack(">BQ", 1, 2)),
        ("number-missing", "The associated bytes are the flag alone.", 2, b"\x01"),
        ("aad-missing", "There are no associated bytes.", 2, b""),
    ):
        envelope = put(bytes(good.envelope), chunk_at(good, number), good.envelope.chunk(number, aad=aad))
        yield Bad(name, why, good.name, envelope)


def chunk_at(good: Good, number: int) -> int:
    return len(good.envelope.header) + number * CHUNK


def moved_chunks(good: Good) -> Iterator[Bad]:
    """Whole chunks of one envelope, each valid where it came from.

    Where it can be, the envelope that they came from is not the base but one that differs in the order of
    its pieces: so few bytes differ from the base.
    """
    header, (zero, one, two) = good.envelope.header, good.envelope.chunks()
    was_one = good.envelope.chunk(0, aad=struct.pack(">Q?", 1, False))
    was_zero = good.envelope.chunk(1, aad=struct.pack(">Q?", 0, False))
    name, why = "chunks-exchanged", "The first two chunks stand in each other's place."
    yield Bad(name, why, good.name, header + was_one + was_zero + two)
    was_three = good.envelope.chunk(2, aad=struct.pack(">Q?", 3, True))
    name, why = "chunk-left-out", "The chunk before the last is missing, and the length is legal."
    yield Bad(name, why, good.name, header + zero + one + was_three)
    name, why = "chunk-twice", "The second chunk is the first one again."
    yield Bad(name, why, good.name, header + zero + zero + two)


def spliced_chunks(good: Good) -> Iterator[Bad]:
    """Chunks of another sealing. The last chunk of the base is short."""
    envelope, last = good.envelope, chunk_at(good, 1)
    whole = bytes(envelope)
    other = make_envelope("another sealing", [KEYS["alice"]], envelope.plaintext)
    name, why = "chunk-of-another-envelope", "The last chunk is another envelope's, for the same key."
    yield Bad(name, why, good.name, put(whole, last, other.chunk(1)))
    again = envelope.chunk(1, nonce=draw("sealed again", 12))
    name, why = "chunk-sealed-twice", "The second half of the last chunk is from a second sealing of it."
    yield Bad(name, why, good.name, put(whole, last + len(again) // 2, again[len(again) // 2 :]))


def bad_trailer(goods: Goods) -> Iterator[Bad]:
    base = "one-byte-file"
    good = goods[base]
    offset, length, end = 1, len(good.index), len(good.envelope.plaintext) - 16
    for name, why, wrong_offset, wrong_length in (
        ("zero", "Offset and length are zero.", 0, 0),
        ("length-zero", "The index has no bytes.", offset, 0),
        ("length-over-16-mib", "The index is longer than any.", offset, MAX_INDEX + 1),
        ("length-2^32-more", "Its lower 32 bits are right.", offset, 2**32 + length),
        ("length-2^53+1", "A float cannot tell it from 2^53.", offset, 2**53 + 1),
        ("length-2^63", "The least of a signed integer.", offset, 2**63),
        ("length-2^64-1", "Minus one, as a signed integer.", offset, 2**64 - 1),
        ("index-reaches-trailer", "The index ends one byte within the trailer.", offset, end),
        ("index-with-trailer", "The index ends with the plaintext.", offset, end + 15),
        ("index-beyond-end", "The index ends one byte beyond the plaintext.", offset, end + 16),
        ("offset-at-end", "The index begins with the trailer.", end, 1),
        ("offset-beyond-end", "The index begins beyond the plaintext.", end + 17, length),
        ("offset-2^32-more", "Its lower 32 bits are right.", 2**32 + offset, length),
        ("offset-2^53+1", "A float cannot tell it from 2^53.", 2**53 + 1, length),
        ("offset-2^63", "The least of a signed integer.", 2**63, length),
        ("offset-2^64-1", "Minus one, as a signed integer.", 2**64 - 1, length),
        ("sum-2^64", "Offset, length and 16 add up to 2^64.", 2**64 - length - 16, length),
        ("sum-wraps", "Offset and length add up to 2^64 + 1.", 2**64 - length + 1, length),
    ):
        yield Bad(f"trailer-{name}", why, base, with_trailer(good, wrong_offset, wrong_length))
    plaintext = good.envelope.plaintext[:-16] + struct.pack("<QQ", offset, length)
    yield Bad("trailer-little-endian", "Its bytes are turned round.", base, resealed(good, plaintext))


def bad_bucket(goods: Goods) -> Iterator[Bad]:
    base = "one-byte-more"
    good = goods[base]
    plaintext = good.envelope.plaintext
    end = len(plaintext) - 16
    offset, length = len(good.files[0]), len(good.index)
    longer = plaintext[:end] + bytes(8192) + plaintext[end:]
    yield Bad("step-too-large", "Padded to the length after the next.", base, resealed(good, longer))
    index = good.index.replace(str(offset).encode(), str(offset - 1).encode())
    fits = good.files[0][:-1] + index + bytes(end - offset - length + 1)
    fits += struct.pack(">QQ", offset - 1, length)
    why = "Two chunks, and one would have done."
    yield Bad("chunk-too-many", why, base, resealed(good, fits))
    base = "empty"
    plaintext = goods[base].envelope.plaintext
    longer = plaintext[:-16] + bytes(8192) + plaintext[-16:]
    why = "Next to nothing in two chunks."
    yield Bad("text-in-two-chunks", why, base, resealed(goods[base], longer))
    base = "index-straddles"
    good = goods[base]
    why = "The trailer points to the beginning, where a file is."
    yield Bad("trailer-points-to-file", why, base, with_trailer(good, 0, len(good.index)))


def bad_index(goods: Goods) -> Iterator[Bad]:
    for case in index_cases():
        if case.in_envelope:
            base = "one-byte-file"
            contents = goods[base].files[0] * case.size
            plaintext = make_plaintext(contents, case.index)
            yield Bad(f"index-{case.name}", case.why, base, resealed(goods[base], plaintext))
    base = "longest-message"
    index = goods[base].index.replace(b"aa", b"aaa", 1)
    why = "A message of one byte too many, in 1,048,576 letters."
    yield Bad("index-message-too-long", why, base, resealed(goods[base], make_plaintext(b"", index)))


def bad_padding(goods: Goods) -> Iterator[Bad]:
    for base in ("empty", "one-byte-more"):
        good = goods[base]
        plaintext = good.envelope.plaintext
        first, end = sum(map(len, good.files)) + len(good.index), len(plaintext) - 16
        for name, offset in (("first", first), ("middle", (first + end) // 2), ("last", end - 1)):
            why = f"The {name} byte of padding is not zero."
            yield Bad(f"{base}-{name}", why, base, resealed(good, flip(plaintext, offset)))
        spaces = plaintext[: end - 16] + b" " * 16 + plaintext[end:]
        yield Bad(f"{base}-spaces", "It ends in spaces.", base, resealed(good, spaces))
    good = goods["one-byte-more"]
    end = len(good.envelope.plaintext) - 16
    again = good.index + good.envelope.plaintext[end:]
    plaintext = good.envelope.plaintext[: end - len(good.index)] + again
    name, why = "index-again", "A second index stands before the trailer."
    yield Bad(name, why, "one-byte-more", resealed(good, plaintext))


KINDS: dict[str, Callable[[Goods], Iterator[Bad]]] = {
    "not-an-envelope": not_an_envelope,
    "unknown-version": unknown_version,
    "bad-count": bad_count,
    "cut-header": cut_header,
    "stanza-order": stanza_order,
    "bad-length": bad_length,
    "not-for-this-key": not_for_this_key,
    "stanza-damaged": stanza_damaged,
    "header-damaged": header_damaged,
    "chunk-damaged": chunk_damaged,
    "bad-trailer": bad_trailer,
    "bad-bucket": bad_bucket,
    "bad-index": bad_index,
    "bad-padding": bad_padding,
}


def patches(base: bytes, envelope: bytes) -> list[tuple[int, str]]:
    """What to write over the base, after it was cut or extended with zeros to the same length."""
    before = base[: len(envelope)].ljust(len(envelope), b"\0")
    spans: list[list[int]] = []
    for offset in differing(before, envelope):
        # A patch costs some twelve characters of its own.
        if spans and offset - spans[-1][1] < 8:
            spans[-1][1] = offset + 1
        else:
            spans.append([offset, offset + 1])
    return [(start, envelope[start:end].hex()) for start, end in spans]


def differing(before: bytes, after: bytes) -> Iterator[int]:
    """The offsets at which two strings of equal length differ."""
    for start in range(0, len(after), 4096):
        if before[start : start + 4096] != after[start : start + 4096]:
            for offset in range(start, min(start + 4096, len(after))):
                if before[offset] != after[offset]:
                    yield offset
