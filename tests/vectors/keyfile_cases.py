"""Key files: what a reader must take, and what it must refuse."""

from collections.abc import Iterator
from dataclasses import dataclass

from good_cases import KEYS, POINTS
from index_cases import loosen, over_modulus
from writer import base64url, close_root, draw

ALICE, BOB = KEYS["alice"], KEYS["bob"]
KEY_TEXT, SIGN_TEXT = base64url(ALICE.public), base64url(ALICE.sign_public)
BARE = f"leakdrop public key 1\nname: Alice\nkey: {KEY_TEXT}\n".encode()
FULL = (
    f"leakdrop public key 1\nname: Alice\nnot-after: 2027-06-30\nkey: {KEY_TEXT}\nsign: {SIGN_TEXT}\n"
).encode()
OTHER = f"leakdrop public key 1\nname: Bob\nkey: {base64url(BOB.public)}\n".encode()
PASSPHRASE = "correct horse battery staple"
SECRET = close_root("Alice", ALICE, PASSPHRASE)
SALT_TEXT, ROOT_TEXT = (line.partition(b": ")[2].decode() for line in SECRET.splitlines()[-2:])


@dataclass(frozen=True)
class KeyFileCase:
    """One case. `kind` is `public` or `secret`; a passphrase stands where the key opens with it."""

    name: str
    why: str
    kind: str
    text: bytes
    good: bool = False
    passphrase: str | None = None


def edit(before: str | bytes, after: str | bytes, text: bytes = FULL) -> bytes:
    """The file with one edit, where `before` stands once."""
    before = before.encode() if isinstance(before, str) else before
    after = after.encode() if isinstance(after, str) else after
    if text.count(before) != 1:
        raise ValueError(f"{before!r} does not stand once in this file")
    return text.replace(before, after)


def keyfile_cases() -> list[KeyFileCase]:
    public = (*good_public(), *bad_lines(), *bad_fields(), *bad_public_keys())
    return [*public, *good_secret(), *bad_secret()]


def good_public() -> Iterator[KeyFileCase]:
    def good(name: str, why: str, text: bytes) -> KeyFileCase:
        return KeyFileCase(name, why, "public", text, good=True)

    yield good("bare", "A name and a key.", BARE)
    yield good("full", "With a last day and a key for signatures.", FULL)
    yield good("only-not-after", "With a last day.", edit(f"sign: {SIGN_TEXT}\n", ""))
    yield good("only-sign", "With a key for signatures.", edit("not-after: 2027-06-30\n", ""))
    yield good("cr-lf", "Lines end in CR LF.", FULL.replace(b"\n", b"\r\n"))
    yield good("last-line-end-missing", "An editor took it off.", FULL.removesuffix(b"\n"))
    yield good("cr-lf-last-line-end-missing", "Both.", FULL.replace(b"\n", b"\r\n").removesuffix(b"\r\n"))
    yield good("two-keys", "Two keys, one after another.", FULL + OTHER)
    yield good(
        "two-keys-last-line-end-missing", "The last line alone has no end.", FULL + OTHER.removesuffix(b"\n")
    )
    yield good("expired", "Its last day is long gone; a parser has no clock.", edit("2027", "1999"))
    yield good("leap-day", "29 February of a leap year.", edit("2027-06-30", "2028-02-29"))
    yield good("name-in-arabic", "A name in Arabic script.", edit("Alice", "المراجعون ٢٠٢٦"))
    yield good("name-with-colon", "A colon and a space within a name.", edit("Alice", "Reviewers: 2026"))
    yield good("name-200-letters", "The longest name, in 400 bytes.", edit("Alice", "é" * 200))
    yield good("coefficient-3328", "The largest coefficient of ML-KEM.", with_key(largest_coefficient()))


def with_key(public: bytes) -> bytes:
    return edit(KEY_TEXT, base64url(public))


def largest_coefficient() -> bytes:
    pair = 3328 | 3328 << 12
    return ALICE.public[:32] + pair.to_bytes(3, "little") + ALICE.public[35:]


def bad_lines() -> Iterator[KeyFileCase]:
    """Titles and lines."""

    def bad(name: str, why: str, text: bytes) -> KeyFileCase:
        return KeyFileCase(name, why, "public", text)

    yield bad("nothing", "No bytes.", b"")
    yield bad("line-end", "An empty line.", b"\n")
    yield bad("title-only", "No fields.", b"leakdrop public key 1\n")
    yield bad("title-missing", "It begins with the name.", edit("leakdrop public key 1\n", ""))
    yield bad("title-version-2", "Another version.", edit("key 1", "key 2"))
    yield bad("title-in-capitals", "Another title.", edit("leakdrop", "Leakdrop"))
    yield bad("title-space", "A space after the title.", edit("key 1\n", "key 1 \n"))
    yield bad("secret-key", "A secret key, where a public key belongs.", SECRET)
    yield bad("secret-key-follows", "A secret key after a public one.", FULL + SECRET)
    yield bad("byte-order-mark", "U+FEFF before the title.", b"\xef\xbb\xbf" + FULL)
    yield bad("utf-16", "Not UTF-8.", FULL.decode().encode("utf-16"))
    yield bad("byte-ff", "Not UTF-8.", edit("Alice", b"Ali\xff"))
    yield bad("leading-line", "An empty line before the title.", b"\n" + FULL)
    yield bad("empty-line-within", "An empty line between fields.", edit("Alice\n", "Alice\n\n"))
    yield bad("empty-line-between-keys", "An empty line between two keys.", FULL + b"\n" + OTHER)
    yield bad("empty-line-at-the-end", "An empty line after the last field.", FULL + b"\n")
    yield bad("cr", "Lines end in CR.", FULL.replace(b"\n", b"\r"))
    yield bad("cr-at-the-end", "CR after the last line, without LF.", FULL.removesuffix(b"\n") + b"\r")
    yield bad("cr-cr-lf", "Lines end in CR CR LF.", FULL.replace(b"\n", b"\r\r\n"))
    yield bad("comment", "Key files have no comments.", edit("name", "# mine\nname"))
    yield bad("quoted", "As a mail quotes it.", b"> " + FULL.replace(b"\n", b"\n> "))
    yield bad(
        "second-key-cut", "The second of two keys has no key.", FULL + b"leakdrop public key 1\nname: Bob\n"
    )


def bad_fields() -> Iterator[KeyFileCase]:
    """Fields, names and dates."""

    def bad(name: str, why: str, text: bytes) -> KeyFileCase:
        return KeyFileCase(name, why, "public", text)

    yield bad("name-missing", "A field is missing.", edit("name: Alice\n", ""))
    yield bad("key-missing", "A field is missing.", edit(f"key: {KEY_TEXT}\n", ""))
    yield bad("name-twice", "A field stands twice.", edit("name: Alice\n", "name: Alice\nname: Bob\n"))
    yield bad("key-twice", "A field stands twice.", edit("sign:", f"key: {KEY_TEXT}\nsign:"))
    yield bad("unknown-field", "No such field.", edit("sign:", "mail: a@example.org\nsign:"))
    yield bad(
        "field-of-a-secret-key", "No such field in a public key.", FULL + b"salt: AAAAAAAAAAAAAAAAAAAAAA\n"
    )
    yield bad("field-in-capitals", "No such field.", edit("name:", "Name:"))
    yield bad(
        "order", "The key before the name.", f"leakdrop public key 1\nkey: {KEY_TEXT}\nname: Alice\n".encode()
    )
    yield bad("not-after-last", "Out of order.", BARE + b"not-after: 2027-06-30\n")
    yield bad("space-missing", "No space after the colon.", edit("name: ", "name:"))
    yield bad("space-before-colon", "No such field.", edit("name: ", "name : "))
    yield bad("field-indented", "No such field.", edit("name: ", " name: "))
    yield bad("name-empty", "1 to 200 characters.", edit("Alice", ""))
    yield bad("name-201-letters", "1 to 200 characters.", edit("Alice", "a" * 201))
    yield bad("name-space-before", "A space before the name.", edit("Alice", " Alice"))
    yield bad("name-space-after", "A space after the name.", edit("Alice", "Alice "))
    yield bad("name-tab", "Not printable.", edit("Alice", "Ali\tce"))
    yield bad(
        "name-escape", "Not printable: it would move a terminal's cursor.", edit("Alice", "\x1b[2JAlice")
    )
    yield bad("name-nul", "Not printable.", edit("Alice", "Alice\0"))
    yield bad("name-right-to-left-override", "Not printable.", edit("Alice", "\u202ecilA"))
    yield bad("name-line-separator", "Not printable.", edit("Alice", "Ali\u2028ce"))
    yield bad("name-no-break-space", "Not printable.", edit("Alice", "Ali\u00a0ce"))
    for name, date in (
        ("empty", ""),
        ("impossible", "2027-02-30"),
        ("no-leap-year", "2027-02-29"),
        ("without-hyphens", "20270630"),
        ("short-month", "2027-6-30"),
        ("day-first", "30-06-2027"),
        ("week", "2027-W26-3"),
        ("with-time", "2027-06-30T00:00"),
        ("year-0", "0000-01-01"),
        ("other-digits", "٢٠٢٧-٠٦-٣٠"),
        ("space-after", "2027-06-30 "),
    ):
        yield bad(f"not-after-{name}", "Not a date like 2027-06-30.", edit("2027-06-30", date))


def bad_public_keys() -> Iterator[KeyFileCase]:
    """Keys."""

    def bad(name: str, why: str, text: bytes) -> KeyFileCase:
        return KeyFileCase(name, why, "public", text)

    yield bad("key-empty", "1216 bytes.", with_key(b""))
    yield bad("key-1215-bytes", "1216 bytes.", with_key(ALICE.public[:-1]))
    yield bad("key-1217-bytes", "1216 bytes.", with_key(ALICE.public + b"\0"))
    yield bad("key-32-bytes", "X25519 alone is not enough.", with_key(ALICE.public[:32]))
    yield bad("key-padded", "base64url without padding.", edit(KEY_TEXT, KEY_TEXT + "=="))
    yield bad(
        "key-base64", "base64url, not base64.", edit(KEY_TEXT, KEY_TEXT.replace("-", "+").replace("_", "/"))
    )
    yield bad("key-loose", "A bit too many is set.", edit(KEY_TEXT, loosen(KEY_TEXT)))
    yield bad("key-space", "No white space.", edit(KEY_TEXT, KEY_TEXT[:500] + " " + KEY_TEXT[500:]))
    yield bad("key-two-lines", "One line.", edit(KEY_TEXT, KEY_TEXT[:500] + "\n" + KEY_TEXT[500:]))
    yield bad("key-hex", "base64url, not hex.", edit(KEY_TEXT, ALICE.public.hex()))
    for point, x25519 in POINTS.items():
        why = "An X25519 key that gives an all-zero secret."
        yield bad(f"x25519-{point}", why, with_key(x25519 + ALICE.public[32:]))
    why = "An ML-KEM key with a coefficient of 3329."
    yield bad("mlkem-first-coefficient", why, with_key(over_modulus(ALICE.public)))
    yield bad("mlkem-last-coefficient", why, with_key(over_modulus(ALICE.public, 767)))
    yield bad("sign-empty", "32 bytes.", edit(SIGN_TEXT, ""))
    yield bad("sign-31-bytes", "32 bytes.", edit(SIGN_TEXT, base64url(ALICE.sign_public[:31])))
    yield bad("sign-33-bytes", "32 bytes.", edit(SIGN_TEXT, base64url(ALICE.sign_public + b"\0")))
    yield bad("sign-padded", "base64url without padding.", edit(SIGN_TEXT, SIGN_TEXT + "="))


def good_secret() -> Iterator[KeyFileCase]:
    def good(name: str, why: str, text: bytes, passphrase: str | None = None) -> KeyFileCase:
        return KeyFileCase(name, why, "secret", text, good=True, passphrase=passphrase)

    yield good("secret", "A secret key.", SECRET, PASSPHRASE)
    yield good("secret-cr-lf", "Lines end in CR LF.", SECRET.replace(b"\n", b"\r\n"), PASSPHRASE)
    yield good(
        "secret-last-line-end-missing", "An editor took it off.", SECRET.removesuffix(b"\n"), PASSPHRASE
    )
    yield good(
        "secret-passphrase-in-urdu",
        "A passphrase is its bytes in UTF-8, and is not normalised.",
        close_root("Alice", ALICE, "صحیح گھوڑا e\u0301"),
        "صحیح گھوڑا e\u0301",
    )
    yield good("secret-most-passes", "Ten passes.", edit("1 8192", "10 8192", SECRET))
    yield good("secret-most-memory", "1 GiB.", edit("1 8192", "1 1073741824", SECRET))


def bad_secret() -> Iterator[KeyFileCase]:
    def bad(name: str, why: str, before: str, after: str) -> KeyFileCase:
        return KeyFileCase(f"secret-{name}", why, "secret", edit(before, after, SECRET))

    yield KeyFileCase("secret-nothing", "No bytes.", "secret", b"")
    yield KeyFileCase("secret-public-key", "A public key, where a secret key belongs.", "secret", FULL)
    yield KeyFileCase("secret-two-keys", "One key in a file.", "secret", SECRET + SECRET)
    yield KeyFileCase("secret-empty-line", "An empty line at the end.", "secret", SECRET + b"\n")
    yield bad("title-version-2", "Another version.", "key 1", "key 2")
    fingerprint = ALICE.fingerprint.hex()
    yield bad("fingerprint-in-capitals", "Lower-case hex.", fingerprint, fingerprint.upper())
    yield bad("fingerprint-63-digits", "64 hex digits.", fingerprint, fingerprint[:63])
    yield bad("fingerprint-grouped", "No white space.", fingerprint, f"{fingerprint[:4]} {fingerprint[4:]}")
    yield bad("fingerprint-missing", "A field is missing.", f"fingerprint: {fingerprint}\n", "")
    yield bad("salt-missing", "A field is missing.", f"salt: {SALT_TEXT}\n", "")
    yield bad("root-missing", "A field is missing.", f"root: {ROOT_TEXT}\n", "")
    yield bad(
        "field-of-a-public-key", "No such field in a secret key.", "salt:", "not-after: 2027-06-30\nsalt:"
    )
    swapped = f"root: {ROOT_TEXT}\nsalt: {SALT_TEXT}\n"
    yield bad("order", "The root before the salt.", f"salt: {SALT_TEXT}\nroot: {ROOT_TEXT}\n", swapped)
    yield bad("salt-15-bytes", "16 bytes.", SALT_TEXT, base64url(draw("short salt", 15)))
    yield bad("root-71-bytes", "72 bytes.", ROOT_TEXT, base64url(draw("short root", 71)))
    yield bad("root-padded", "base64url without padding.", ROOT_TEXT, ROOT_TEXT + "=")
    for name, cost in (
        ("0-passes", "0 8192"),
        ("11-passes", "11 8192"),
        ("8191-bytes", "1 8191"),
        ("1-gib-and-1", "1 1073741825"),
        ("2^32-passes", "4294967297 8192"),
        ("2^64-bytes", "1 18446744073709559808"),
        ("leading-zero", "01 8192"),
        ("plus", "+1 8192"),
        ("minus", "-1 8192"),
        ("exponent", "1 8e6"),
        ("underscore", "1 8_192"),
        ("unit", "1 8KiB"),
        ("one-number", "8192"),
        ("three-numbers", "1 8192 1"),
        ("two-spaces", "1  8192"),
        ("space-after", "1 8192 "),
        ("other-digits", "١ ٨١٩٢"),
        ("empty", ""),
    ):
        yield bad(f"argon2id-{name}", "Not 1 to 10 passes and 8192 to 2^30 bytes.", "1 8192", cost)
