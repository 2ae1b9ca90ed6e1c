"""Indexes alone: what a reader must take, and what it must refuse.

Most of the bad ones are a good one with one edit. `in_envelope` marks those that are sealed into an envelope
as well: one for each thing that a reader can leave out.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from good_cases import KEYS, MAILBOX, POINTS, good_cases
from writer import base64url, make_index

SIZE = 1
INDEX = good_cases()["one-byte-file"].index
LIMIT = 2**53 - 1

PUBLIC = KEYS["source"].public
REPLY = make_index("browser", "", "", (), (MAILBOX, PUBLIC))
MAILBOX_TEXT, KEY_TEXT = base64url(MAILBOX), base64url(PUBLIC)


@dataclass(frozen=True)
class IndexCase:
    """One case. `size` is what the files' sizes must add up to."""

    name: str
    why: str
    index: bytes
    size: int = SIZE
    good: bool = False
    in_envelope: bool = False


def edit(before: str | bytes, after: str | bytes, index: bytes = INDEX) -> bytes:
    """The index with one edit, where `before` stands once."""
    before = before.encode() if isinstance(before, str) else before
    after = after.encode() if isinstance(after, str) else after
    if index.count(before) != 1:
        raise ValueError(f"{before!r} does not stand once in this index")
    return index.replace(before, after)


def sizes(*values: int) -> bytes:
    return make_index("browser", "", "", [("a", "", value) for value in values])


def loosen(text: str) -> str:
    """The same base64url with a bit set in the last digit that no byte has."""
    digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return text[:-1] + digits[digits.index(text[-1]) + 1]


def over_modulus(public: bytes, coefficient: int = 0) -> bytes:
    """The key with a coefficient of 3329, which FIPS 203 reads as 0 and refuses."""
    at = 32 + coefficient // 2 * 3
    pair = int.from_bytes(public[at : at + 3], "little")
    shift = 12 * (coefficient % 2)
    pair = pair & ~(0xFFF << shift) | 3329 << shift
    return public[:at] + pair.to_bytes(3, "little") + public[at + 3 :]


def index_cases() -> list[IndexCase]:
    bad = (*coding(), *json_text(), *structure(), *texts(), *numbers(), *replies())
    return [*good_indexes(), *bad]


def good_indexes() -> Iterator[IndexCase]:
    def good(name: str, why: str, index: bytes, size: int = 0) -> IndexCase:
        return IndexCase(name, why, index, size, good=True)

    yield good("plain", "The index that most of the others were edited from.", INDEX, SIZE)
    for sealed in ("browser", "server", "offline", "review"):
        yield good(f"sealed-{sealed}", "One of four words.", make_index(sealed, "", ""))
    yield good("size-2^53-1", "The largest size.", sizes(LIMIT), LIMIT)
    yield good("10000-files", "As many files as there can be.", sizes(*[0] * 10_000))
    yield good("name-1024-bytes", "The longest name.", make_index("browser", "", "", [("é" * 512, "", 0)]))
    yield good(
        "type-255-bytes", "The longest type.", make_index("browser", "", "", [("a", "é" * 127 + "a", 0)])
    )
    yield good("kind-64-bytes", "The longest kind.", make_index("browser", "é" * 32, ""))
    yield good("reply-to", "Mailbox and key.", REPLY)
    yield good(
        "line-ends-in-name", "Only a message has no CR.", make_index("browser", "", "", [("a\r\nb", "", 0)])
    )
    yield good("noncharacter", "U+FFFE is a character like others.", make_index("browser", "", "\ufffe"))
    yield good("byte-order-mark-in-text", "U+FEFF within a text.", make_index("browser", "", "\ufeff"))
    yield good("delete-raw", "U+007F and U+2028 stand as they are.", make_index("browser", "", "\x7f\u2028"))
    yield good(
        "short-escapes", "Five controls have short escapes.", make_index("browser", "", "\b\t\n\f\x01\x1f")
    )
    yield good("slash-raw", "A slash is not escaped.", make_index("browser", "", 'a/b\\c"'))


def coding() -> Iterator[IndexCase]:
    """UTF-8."""
    yield IndexCase(
        "byte-ff", "A byte that UTF-8 does not have.", edit("Hello", b"Hell\xff"), in_envelope=True
    )
    yield IndexCase("latin-1", "é in Latin-1.", edit("Hello", b"H\xe9llo"))
    yield IndexCase("overlong", "A in two bytes.", edit("Hello", b"\xc1\x81ello"))
    yield IndexCase("overlong-nul", "U+0000 in two bytes.", edit("Hello", b"\xc0\x80ello"))
    yield IndexCase(
        "surrogate-in-utf-8", "A lone half of a pair.", edit("Hello", b"\xed\xa0\x80"), in_envelope=True
    )
    yield IndexCase("cesu-8", "A pair in six bytes.", edit("Hello", b"\xed\xa0\xbd\xed\xb8\x80"))
    yield IndexCase("above-u+10ffff", "No such character.", edit("Hello", b"\xf4\x90\x80\x80"))
    yield IndexCase("cut-letter", "Two of a letter's three bytes.", edit("Hello", b"Hell\xe2\x80"))
    yield IndexCase("cut-last-letter", "It ends within a letter.", INDEX + b"\xe2\x80")
    yield IndexCase("byte-order-mark", "U+FEFF before the index.", b"\xef\xbb\xbf" + INDEX, in_envelope=True)
    yield IndexCase("utf-16", "Big-endian UTF-16.", INDEX.decode().encode("utf-16-be"))


def json_text() -> Iterator[IndexCase]:
    """JSON, in the one way of writing it."""
    yield IndexCase("nothing", "No bytes.", b"")
    yield IndexCase("zeros", "The index is zeros.", bytes(len(INDEX)), in_envelope=True)
    yield IndexCase("cut", "The last bracket is missing.", INDEX[:-1], in_envelope=True)
    yield IndexCase("two", "Another index follows.", INDEX + INDEX)
    yield IndexCase("trailing-newline", "A line end follows.", INDEX + b"\n", in_envelope=True)
    yield IndexCase("trailing-nul", "A zero follows.", INDEX + b"\0", in_envelope=True)
    yield IndexCase("leading-space", "A space before the index.", b" " + INDEX)
    yield IndexCase("space-after-colon", "White space.", edit('"v":1', '"v": 1'), in_envelope=True)
    yield IndexCase("no-break-space", "No white space of JSON.", edit('"v":1', '"v":\u00a01'))
    yield IndexCase("trailing-comma", "A comma after the last file.", edit("}]", "},]"))
    yield IndexCase("comment", "JSON has none.", edit('"v":1', '"v":1/**/'))
    yield IndexCase("single-quotes", "JSON has none.", edit('"Hello"', "'Hello'"))
    yield IndexCase("bare-key", "A key without quotation marks.", edit('"v"', "v"))
    yield IndexCase("letter-escaped", "H as an escape.", edit("Hello", "\\u0048ello"), in_envelope=True)
    yield IndexCase("key-escaped", "A key's letter as an escape.", edit('"message"', '"m\\u0065ssage"'))
    yield IndexCase(
        "slash-escaped", "A slash as an escape.", edit("text/plain", "text\\/plain"), in_envelope=True
    )
    yield IndexCase("newline-long-escape", "\\u000a where \\n belongs.", edit("Hello", "\\u000aello"))
    yield IndexCase("escape-upper-case", "\\u001F where \\u001f belongs.", edit("Hello", "\\u001Fello"))
    yield IndexCase("delete-escaped", "U+007F stands as it is.", edit("Hello", "\\u007fello"))
    yield IndexCase("u+2028-escaped", "U+2028 stands as it is.", edit("Hello", "\\u2028ello"))
    yield IndexCase(
        "accent-escaped", "As a writer with ASCII only does.", edit("Hello", "h\\u00e9"), in_envelope=True
    )
    yield IndexCase("pair-escaped", "An emoji as a pair of escapes.", edit("Hello", "\\ud83d\\ude00"))
    yield IndexCase("raw-newline", "A control character without an escape.", edit("Hello", "Hel\nlo"))
    yield IndexCase("raw-tab", "A control character without an escape.", edit("Hello", "Hel\tlo"))
    yield IndexCase("raw-nul", "A control character without an escape.", edit("Hello", "Hel\0lo"))
    yield IndexCase("unknown-escape", "JSON has no \\x.", edit("Hello", "\\x48ello"))
    yield IndexCase("nesting", "100,000 brackets.", edit('"other"', "[" * 100_000 + "]" * 100_000))
    yield IndexCase("nesting-open", "20,000 brackets, and no end.", b"[" * 20_000)


def structure() -> Iterator[IndexCase]:
    """These keys, in this order."""
    yield IndexCase("null", "No object.", b"null")
    yield IndexCase("list", "No object.", b"[" + INDEX + b"]")
    yield IndexCase("string", "No object.", b'"v"')
    yield IndexCase("no-keys", "An object without keys.", b"{}", 0)
    yield IndexCase("v-missing", "A key is missing.", edit('"v":1,', ""))
    yield IndexCase("sealed-missing", "A key is missing.", edit('"sealed":"offline",', ""))
    yield IndexCase("kind-missing", "A key is missing.", edit('"kind":"other",', ""), in_envelope=True)
    yield IndexCase("message-missing", "A key is missing.", edit('"message":"Hello",', ""))
    yield IndexCase(
        "files-missing", "A key is missing.", b'{"v":1,"sealed":"offline","kind":"","message":""}', 0
    )
    yield IndexCase("name-missing", "A key is missing.", edit('"name":"a.txt",', ""))
    yield IndexCase("type-missing", "A key is missing.", edit('"type":"text/plain",', ""))
    yield IndexCase("size-missing", "A key is missing.", edit(',"size":1', ""))
    yield IndexCase("extra-key", "A key too many.", edit('"v":1', '"v":1,"w":1'), in_envelope=True)
    yield IndexCase(
        "extra-key-in-file", "A key too many.", edit('"size":1', '"size":1,"path":"/"'), in_envelope=True
    )
    yield IndexCase("extra-key-proto", "A key too many.", edit('"v":1', '"__proto__":{"kind":""},"v":1'))
    yield IndexCase(
        "proto-for-kind",
        "__proto__ gives what is missing.",
        edit('"kind":"other"', '"__proto__":{"kind":"other"}'),
    )
    yield IndexCase("key-in-capitals", "Another key.", edit('"kind"', '"Kind"'))
    yield IndexCase(
        "key-twice", "The same key twice, with one value.", edit('"v":1', '"v":1,"v":1'), in_envelope=True
    )
    yield IndexCase(
        "key-twice-differs", "Two messages.", edit('"message"', '"message":"Bye","message"'), in_envelope=True
    )
    yield IndexCase("name-twice", "A file has two names.", edit('"name"', '"name":"b.txt","name"'))
    yield IndexCase(
        "order",
        "Kind before sealed.",
        edit('"sealed":"offline","kind":"other"', '"kind":"other","sealed":"offline"'),
        in_envelope=True,
    )
    yield IndexCase(
        "order-in-file",
        "Size first.",
        edit('"name":"a.txt","type":"text/plain","size":1', '"size":1,"name":"a.txt","type":"text/plain"'),
    )
    yield IndexCase(
        "files-object", "No list.", edit('[{"name":"a.txt","type":"text/plain","size":1}]', "{}"), 0
    )
    yield IndexCase(
        "files-like-a-list",
        "No list.",
        edit('[{"name":"a.txt","type":"text/plain","size":1}]', '{"length":0}'),
        0,
    )
    yield IndexCase(
        "files-string",
        "No list.",
        edit('[{"name":"a.txt","type":"text/plain","size":1}]', '""'),
        0,
        in_envelope=False,
    )
    yield IndexCase(
        "files-null", "No list.", edit('[{"name":"a.txt","type":"text/plain","size":1}]', "null"), 0
    )
    yield IndexCase(
        "file-list",
        "A file that is a list.",
        edit('{"name":"a.txt","type":"text/plain","size":1}', '["a.txt","text/plain",1]'),
    )
    yield IndexCase(
        "file-null", "A file that is null.", edit('{"name":"a.txt","type":"text/plain","size":1}', "null"), 0
    )
    yield IndexCase("10001-files", "One file too many.", sizes(*[0] * 10_001), 0)


def texts() -> Iterator[IndexCase]:
    """What texts hold, and how long they are."""
    yield IndexCase(
        "sealed-unknown", "Not one of the four words.", edit('"offline"', '"nobody"'), in_envelope=True
    )
    yield IndexCase("sealed-empty", "Not one of the four words.", edit('"offline"', '""'))
    yield IndexCase("sealed-in-capitals", "Not one of the four words.", edit('"offline"', '"Offline"'))
    yield IndexCase("sealed-list", "No text.", edit('"offline"', '["offline"]'))
    yield IndexCase("kind-null", "No text.", edit('"other"', "null"))
    yield IndexCase("kind-number", "No text.", edit('"other"', "7"))
    yield IndexCase(
        "kind-65-bytes",
        "One byte too many, in 33 letters.",
        edit('"other"', '"' + "é" * 32 + 'a"'),
        in_envelope=True,
    )
    yield IndexCase("kind-nul", "U+0000.", edit('"other"', '"\\u0000"'))
    yield IndexCase("kind-lone-surrogate", "Half of a pair, escaped.", edit('"other"', '"\\udc00"'))
    yield IndexCase("message-null", "No text.", edit('"Hello"', "null"))
    yield IndexCase("message-list", "No text.", edit('"Hello"', '["Hello"]'))
    yield IndexCase(
        "message-cr-lf", "A message's lines end in LF.", edit("Hello", "Hel\\r\\nlo"), in_envelope=True
    )
    yield IndexCase("message-cr", "A message's lines end in LF.", edit("Hello", "Hel\\rlo"))
    yield IndexCase("message-nul", "U+0000.", edit("Hello", "Hel\\u0000lo"), in_envelope=True)
    yield IndexCase(
        "message-high-surrogate", "Half of a pair, escaped.", edit("Hello", "\\ud83d"), in_envelope=True
    )
    yield IndexCase("message-low-surrogate", "Half of a pair, escaped.", edit("Hello", "\\ude00"))
    yield IndexCase("message-surrogates-exchanged", "The second half first.", edit("Hello", "\\ude00\\ud83d"))
    yield IndexCase("name-empty", "A file has a name.", edit('"a.txt"', '""'), in_envelope=True)
    yield IndexCase(
        "name-1025-bytes",
        "One byte too many, in 513 letters.",
        edit('"a.txt"', '"' + "é" * 512 + 'a"'),
        in_envelope=True,
    )
    yield IndexCase("name-nul", "U+0000.", edit('"a.txt"', '"a.txt\\u0000.exe"'))
    yield IndexCase("name-lone-surrogate", "Half of a pair, escaped.", edit('"a.txt"', '"\\ud800"'))
    yield IndexCase("name-null", "No text.", edit('"a.txt"', "null"))
    yield IndexCase("name-number", "No text.", edit('"a.txt"', "1"))
    yield IndexCase(
        "type-256-bytes",
        "One byte too many, in 128 letters.",
        edit('"text/plain"', '"' + "é" * 128 + '"'),
        in_envelope=True,
    )
    yield IndexCase("type-nul", "U+0000.", edit('"text/plain"', '"\\u0000"'))
    yield IndexCase("type-null", "No text.", edit('"text/plain"', "null"))


def numbers() -> Iterator[IndexCase]:
    """`v` is 1, and sizes are integers that add up."""
    for name, value in (("true", "true"), ("float", "1.0"), ("exponent", "1e0"), ("text", '"1"')):
        yield IndexCase(f"v-{name}", "Not the integer 1.", edit('"v":1', f'"v":{value}'), in_envelope=True)
    for name, value in (("2", "2"), ("0", "0"), ("null", "null"), ("list", "[1]"), ("minus-1", "-1")):
        yield IndexCase(f"v-{name}", "Not the integer 1.", edit('"v":1', f'"v":{value}'))
    for name, value in (("true", "true"), ("float", "1.0"), ("exponent", "1e0"), ("text", '"1"')):
        yield IndexCase(
            f"size-{name}", "Not an integer.", edit('"size":1', f'"size":{value}'), in_envelope=True
        )
    for name, value in (("null", "null"), ("nan", "NaN"), ("infinity", "Infinity"), ("hex", "0x1")):
        yield IndexCase(f"size-{name}", "Not an integer.", edit('"size":1', f'"size":{value}'))
    for name, value in (("leading-zero", "01"), ("plus", "+1")):
        yield IndexCase(f"size-{name}", "JSON does not write 1 so.", edit('"size":1', f'"size":{value}'))
    yield IndexCase("size-minus-0", "Zero has no sign.", edit('"size":1', '"size":-0'), 0)
    yield IndexCase("size-minus-1", "Less than nothing.", sizes(2, -1), 1)
    yield IndexCase(
        "size-fraction", "Not an integer.", sizes(2, 3).replace(b"2", b"1.5").replace(b"3", b"1.5"), 3
    )
    yield IndexCase("size-2^53", "One more than the largest size.", sizes(2**53), 2**53)
    yield IndexCase("size-2^53+1", "A float cannot tell it from 2^53.", sizes(2**53 + 1), 2**53)
    yield IndexCase("size-1e400", "Infinity, as a float.", edit('"size":1', '"size":1e400'))
    yield IndexCase(
        "size-5000-digits", "More digits than some parsers take.", edit('"size":1', '"size":' + "9" * 5000)
    )
    yield IndexCase("sizes-too-small", "The sizes add up to less than the index offset.", sizes(1, 0), 2)
    yield IndexCase(
        "sizes-too-large",
        "The sizes add up to more than the index offset.",
        edit('"size":1', '"size":2'),
        in_envelope=True,
    )
    yield IndexCase("sizes-wrap-32-bits", "The sizes add up to 2^32 + 1.", sizes(2**32, 1), in_envelope=True)
    yield IndexCase("sizes-wrap-64-bits", "The sizes add up to 2^64 + 1.", sizes(*[LIMIT] * 2048, 2049), 1)
    yield IndexCase("sizes-above-2^53", "A float adds them up to 2^53.", sizes(LIMIT, 2), 2**53)
    yield IndexCase(
        "sizes-without-files",
        "No file, but bytes before the index.",
        make_index("browser", "", ""),
        1,
        in_envelope=True,
    )


def replies() -> Iterator[IndexCase]:
    """`reply_to`: two texts of canonical base64url, the second a valid public key."""

    def bad(name: str, why: str, before: str, after: str, in_envelope: bool = False) -> IndexCase:
        return IndexCase(name, why, edit(before, after, REPLY), 0, in_envelope=in_envelope)

    def bad_key(name: str, why: str, public: bytes, in_envelope: bool = False) -> IndexCase:
        return bad(name, why, KEY_TEXT, base64url(public), in_envelope)

    whole = f'{{"mailbox":"{MAILBOX_TEXT}","key":"{KEY_TEXT}"}}'
    yield bad("reply-to-null", "It is missing, or an object.", whole, "null", in_envelope=True)
    yield bad("reply-to-list", "It is missing, or an object.", whole, "[]")
    yield bad("reply-to-false", "It is missing, or an object.", whole, "false")
    yield bad("reply-to-empty", "It has two keys.", whole, "{}")
    yield bad("reply-to-without-mailbox", "It has two keys.", f'"mailbox":"{MAILBOX_TEXT}",', "")
    yield bad("reply-to-without-key", "It has two keys.", f',"key":"{KEY_TEXT}"', "")
    yield bad(
        "reply-to-extra-key", "It has two keys.", f'{KEY_TEXT}"', f'{KEY_TEXT}","name":"me"', in_envelope=True
    )
    swapped = f'{{"key":"{KEY_TEXT}","mailbox":"{MAILBOX_TEXT}"}}'
    yield bad("reply-to-order", "The mailbox stands first.", whole, swapped)
    yield IndexCase("reply-to-first", "It stands last.", edit('"v":1', f'"reply_to":{whole},"v":1'), 1)
    yield bad("mailbox-null", "No text.", f'"{MAILBOX_TEXT}"', "null")
    yield bad("mailbox-empty", "It has 32 bytes.", MAILBOX_TEXT, "")
    yield bad("mailbox-31-bytes", "It has 32 bytes.", MAILBOX_TEXT, base64url(MAILBOX[:31]), in_envelope=True)
    yield bad("mailbox-33-bytes", "It has 32 bytes.", MAILBOX_TEXT, base64url(MAILBOX + b"\0"))
    yield bad("mailbox-padded", "base64url without padding.", MAILBOX_TEXT, MAILBOX_TEXT + "=")
    yield bad("mailbox-loose", "A bit too many is set.", MAILBOX_TEXT, loosen(MAILBOX_TEXT), in_envelope=True)
    yield bad("mailbox-hex", "base64url, not hex.", MAILBOX_TEXT, MAILBOX.hex())
    yield bad("mailbox-space", "No white space.", MAILBOX_TEXT, MAILBOX_TEXT[:20] + " " + MAILBOX_TEXT[20:])
    yield bad("mailbox-not-ascii", "No such digit.", MAILBOX_TEXT, MAILBOX_TEXT[:-1] + "é")
    yield bad("key-loose", "A bit too many is set.", KEY_TEXT, loosen(KEY_TEXT))
    yield bad("key-padded", "base64url without padding.", KEY_TEXT, KEY_TEXT + "==")
    standard = KEY_TEXT.replace("-", "+").replace("_", "/")
    yield bad("key-base64", "base64url, not base64.", KEY_TEXT, standard, in_envelope=True)
    yield bad_key("key-1215-bytes", "It has 1216 bytes.", PUBLIC[:-1])
    yield bad_key("key-1217-bytes", "It has 1216 bytes.", PUBLIC + b"\0")
    yield bad_key("key-32-bytes", "X25519 alone is not enough.", PUBLIC[:32])
    for point, x25519 in POINTS.items():
        name, why = f"key-x25519-{point}", "An X25519 key that gives an all-zero secret."
        yield bad_key(name, why, x25519 + PUBLIC[32:], in_envelope=point == "zero")
    why = "An ML-KEM key with a coefficient of 3329."
    yield bad_key("key-mlkem-first-coefficient", why, over_modulus(PUBLIC), in_envelope=True)
    yield bad_key("key-mlkem-last-coefficient", why, over_modulus(PUBLIC, 767))
