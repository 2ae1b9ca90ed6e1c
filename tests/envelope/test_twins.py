"""Python and JavaScript seal, open and refuse the same: leakdrop/envelope and its twin in the browser."""

import ast
import importlib
import io
import json
import re
import struct
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from leakdrop.envelope.header import CHUNK, plaintext_length
from leakdrop.envelope.index import (
    MAX_KIND,
    MAX_SIZE,
    MAX_TYPE,
    FileEntry,
    Index,
    ReplyTo,
    clean_message,
    clean_name,
    clean_text,
    clip,
    decode_index,
    encode_base64url,
    encode_index,
)
from leakdrop.envelope.keys import parse_public_key
from leakdrop.envelope.opening import open_envelope
from leakdrop.envelope.padding import PIECE, padded
from leakdrop.envelope.sealing import SourceFile, seal
from leakdrop.errors import SENTENCES, EnvelopeError, Kind, PublicKeyError
from tests.keys import label_key_pair, label_root

ROOT = Path(__file__).parents[2]
NODE = Path(sys.executable).with_name("node")
BROWSER_TESTS = ROOT / "tests" / "browser"
MODULES = ["errors", "padding", "header", "keys", "filekey", "index", "receipt", "sealing", "opening"]


class Twin:
    """The JavaScript twin in one process, which answers line by line: tests/browser/answer.js."""

    def __init__(self) -> None:
        command = [NODE, BROWSER_TESTS / "answer.js"]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask(self, **question):
        self.process.stdin.write(json.dumps(question).encode() + b"\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        assert answer, "the twin ended in an error, which stands above"
        return json.loads(answer)

    def end(self) -> None:
        self.process.communicate()


@pytest.fixture(scope="module")
def twin():
    twin = Twin()
    yield twin
    twin.end()


def run_node(script: str, *words: object, **options) -> str:
    command = [NODE, BROWSER_TESTS / script, *map(str, words)]
    return subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True, **options).stdout


def content(name: str, size: int) -> bytes:
    """Bytes that differ everywhere, so that none can stand in another's place."""
    block = b"".join(sha256(f"{name} {number}".encode()).digest() for number in range(997))
    return (block * (size // len(block) + 1))[:size]


# By name: texts, then names and sizes of files.
SUBMISSIONS = {
    "nothing": ("", []),
    "text alone": ("مرحبا بالعالم\r\nورکشاپ کی ریکارڈنگ\r🎙️ 👩‍👩‍👧\n", []),
    "odd characters": (
        "".join(map(chr, range(0x20))) + "\x7f\x85\u2028\u2029\ufeff\ufffd\ud800 \udc00\U0010ffff",
        [("\ufeff\ud800\0\r\n/\\\"'", 3), ("", 1)],
    ),
    "no bytes": ("m", [("a", 0), ("a", 0)]),
    "one byte": ("m", [("a", 1)]),
    "borders": ("m", [("a", PIECE - 1), ("b", 1), ("c", PIECE), ("d", PIECE + 1), ("e", 0)]),
    "a chunk's end": ("m", [("a", PIECE)]),
    "many": ("", [(f"{number} تسجيل.m4a", number * 1000) for number in range(60)]),
    "a long name": ("", [("ض" * 2000 + ".mp4", 2 * PIECE - 1)]),
}
RECIPIENTS = {"one key": ["alice"], "three keys": ["alice", "bob", "carol"]}
submissions = pytest.mark.parametrize(("message", "files"), SUBMISSIONS.values(), ids=SUBMISSIONS)
recipients = pytest.mark.parametrize("labels", RECIPIENTS.values(), ids=RECIPIENTS)


def utf16(text: str) -> str:
    """The text as a browser holds it: two halves of a surrogate pair, side by side, are one letter."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


@recipients
@submissions
def test_python_opens_what_javascript_sealed(tmp_path, message, files, labels):
    contents = [content(name.encode("utf-8", "replace").decode(), size) for name, size in files]
    for number, piece in enumerate(contents):
        (tmp_path / str(number)).write_bytes(piece)
    mailbox, reply_key = bytes(range(32)), label_key_pair("source").public
    submission = {
        "kind": "تدريب",
        "message": message,
        "files": [
            {"name": name, "type": "audio/mp4", "path": str(tmp_path / str(number))}
            for number, (name, _) in enumerate(files)
        ],
        "reply_to": {"mailbox": encode_base64url(mailbox), "key": encode_base64url(reply_key.encoded)},
    }
    sealed = tmp_path / "sealed.envelope"
    public_keys = [encode_base64url(label_key_pair(label).public.encoded) for label in labels]
    run_node("seal.js", sealed, *public_keys, input=json.dumps(submission))

    entries = [FileEntry(clean_name(name), "audio/mp4", size) for name, size in files]
    reply_to = ReplyTo(mailbox, reply_key)
    for label in labels:
        with sealed.open("rb") as source:
            envelope = open_envelope(source, [label_key_pair(label)])
            envelope.check()
            expected = Index("browser", "تدريب", clean_message(message), tuple(entries), reply_to)
            assert envelope.index == expected
            assert [envelope.read_file(number) for number in range(len(files))] == contents


@recipients
@submissions
def test_javascript_opens_what_python_sealed(tmp_path, message, files, labels):
    contents = [content(name.encode("utf-8", "replace").decode(), size) for name, size in files]
    sources = [
        SourceFile(clean_name(name), "video/mp4", io.BytesIO(piece))
        for (name, _), piece in zip(files, contents, strict=True)
    ]
    sealed = tmp_path / "sealed.envelope"
    public_keys = [label_key_pair(label).public for label in labels]
    with sealed.open("wb") as sink:
        seal(public_keys, sink, sealed="offline", kind="ورشة", message=clean_message(message), files=sources)

    entries = tuple(FileEntry(clean_name(name), "video/mp4", size) for name, size in files)
    index = Index("offline", "ورشة", clean_message(message), entries)
    for label in labels:
        assert json.loads(run_node("open.js", sealed, label_root(label).hex())) == {
            "index": encode_index(index).decode(),
            "files": [sha256(piece).hexdigest() for piece in contents],
        }
    stranger = json.loads(run_node("open.js", sealed, label_root("stranger").hex()))
    assert stranger == {"kind": Kind.NOT_FOR_THIS_KEY}


# Letters that languages treat differently, and letters of each length in UTF-8 and UTF-16.
SURROGATES = [0xD800, 0xD83D, 0xDC00, 0xDE00]
UNITS = st.sampled_from([*range(0x20), *map(ord, '"\\/ aض…\x7f\u2028\ufeff\ufffd'), *SURROGATES])
TEXTS = st.lists(UNITS | st.integers(0, 0xFFFF), max_size=40).map(
    lambda units: struct.pack(f"<{len(units)}H", *units).decode("utf-16-le", "surrogatepass")
)
LONG_TEXTS = st.builds(lambda text, times, end: utf16(text * times + end), TEXTS, st.integers(1, 200), TEXTS)


@settings(max_examples=400, deadline=None)
@given(text=TEXTS | LONG_TEXTS)
@example(text="\ufeff" * 500)  # dropped by decoders that take it for a byte order mark
def test_both_clean_a_text_alike(twin, text):
    assert twin.ask(clean=text) == {
        "text": clean_text(text),
        "message": clean_message(text),
        "name": clean_name(text),
        "clip": clip(clean_text(text), 255),
    }


@settings(max_examples=400, deadline=None)
@given(
    kind=TEXTS,
    message=TEXTS | LONG_TEXTS,
    files=st.lists(st.tuples(TEXTS | LONG_TEXTS, TEXTS, st.integers(0, MAX_SIZE)), max_size=4),
    mailbox=st.none() | st.binary(min_size=32, max_size=32),
)
def test_both_write_the_same_index(twin, kind, message, files, mailbox):
    fields = {
        "sealed": "browser",
        "kind": clip(clean_text(kind), MAX_KIND),
        "message": clean_message(message),
        "files": [
            {"name": clean_name(name), "type": clip(clean_text(type), MAX_TYPE), "size": size}
            for name, type, size in files
        ],
    }
    key = label_key_pair("source").public
    index = Index(
        **{**fields, "files": tuple(FileEntry(**file) for file in fields["files"])},
        reply_to=mailbox and ReplyTo(mailbox, key),
    )
    reply_to = mailbox and {"mailbox": encode_base64url(mailbox), "key": encode_base64url(key.encoded)}
    encoded = encode_index(index)
    assert twin.ask(encode={**fields, "reply_to": reply_to}) == {"index": encoded.hex()}
    size = sum(file.size for file in index.files)
    if size <= MAX_SIZE:
        assert decode_index(encoded, size) == index
        assert twin.ask(decode=encoded.hex(), size=size) == {"good": True}


REPLY_TO = ReplyTo(bytes(range(200, 232)), label_key_pair("source").public)
FILES = (FileEntry("a", "b/c", 2), FileEntry("ا", "", 3))
GOOD_INDEXES = [
    encode_index(Index("browser", "", "")),
    encode_index(Index("server", "k", 'm "\\\n\u0001\x7f ض😀', FILES)),
    encode_index(Index("review", "k", "m", (FileEntry("a", "", 5),), REPLY_TO)),
]
SNIPPETS = [
    *(b"", b" ", b"\n", b"\r", b"\0", b"a" * 65, b"a" * 256, b"a" * 1025, b"9" * 5000, b"[" * 2000),
    *rb"""
        " \ \\ / , : { } [ ] {} [] "" null true NaN Infinity - -0 0 1 01 1.0 1e0 1E2 1e400 5 6 = _ A
        9007199254740991 9007199254740993 \n \r \/ \u000a \u001F \u0061 \u0000 \ud800 \ud83d\ude00
        "__proto__":{}, "0":1, "v":1, "size":5, "reply_to":null, ,"reply_to":null "kind": "files": "name":
    """.split(),
    *(bytes.fromhex(octets) for octets in ["7f", "80", "ff", "c080", "eda080", "efbbbf", "f09f9880"]),
]


@st.composite
def spoiled_indexes(draw):
    encoded = draw(st.sampled_from(GOOD_INDEXES))
    for _ in range(draw(st.integers(0, 3))):
        # Most of the bytes are in the key: where else a change goes is drawn as often.
        start = draw(st.integers(0, min(len(encoded), 200)) | st.integers(0, len(encoded)))
        end = draw(st.integers(start, min(start + 3, len(encoded))))
        encoded = encoded[:start] + draw(st.sampled_from(SNIPPETS) | st.binary(max_size=2)) + encoded[end:]
    return encoded


def is_good(encoded: bytes, size: int) -> bool:
    try:
        decode_index(encoded, size)
    except EnvelopeError as error:
        if error.kind != Kind.BAD_INDEX:
            raise
        return False
    return True


@settings(max_examples=1000, deadline=None)
@given(encoded=spoiled_indexes(), size=st.sampled_from([0, 5, 5, 5, 6, 2**53 - 1]))
def test_both_refuse_the_same_indexes(twin, encoded, size):
    assert twin.ask(decode=encoded.hex(), size=size) == {"good": is_good(encoded, size)}


@pytest.mark.parametrize("snippet", SNIPPETS, ids=lambda snippet: repr(snippet[:20]))
def test_both_refuse_the_same_snippet_at_every_place(twin, snippet):
    encoded = GOOD_INDEXES[1]
    for place in range(len(encoded) + 1):
        spoiled = encoded[:place] + snippet + encoded[place:]
        assert twin.ask(decode=spoiled.hex(), size=5) == {"good": is_good(spoiled, 5)}, spoiled


def test_both_refuse_a_sum_that_only_rounding_makes_right(twin):
    sizes = [MAX_SIZE, 2, 2]
    encoded = encode_index(Index("browser", "", "", tuple(FileEntry("a", "", size) for size in sizes)))
    rounded = int(float(sum(sizes)))
    assert sum(sizes) != rounded
    assert not is_good(encoded, rounded)
    assert twin.ask(decode=encoded.hex(), size=rounded) == {"good": False}


def is_key(encoded: bytes) -> bool:
    try:
        parse_public_key(encoded)
    except PublicKeyError:
        return False
    return True


# X25519: of low order, in every encoding, and its neighbours. Source: https://cr.yp.to/ecdh.html#validate.
P = 2**255 - 19
ORDER_8 = [
    325606250916557431795983626356110631294008115727848805560023387167927233504,
    39382357235489614581723060781553021112529911719440698176882885853963445705823,
]
NEAR = [special + step for special in [0, P, *ORDER_8] for step in range(-2, 3)]
POINTS = [point for point in NEAR if 0 <= point < 2**255]


@pytest.mark.parametrize("top", [0, 2**255], ids=["clear top bit", "set top bit"])
@pytest.mark.parametrize("point", POINTS, ids=hex)
def test_both_refuse_the_same_points(twin, point, top):
    encoded = (point + top).to_bytes(32, "little") + label_key_pair("alice").public.encoded[32:]
    assert twin.ask(key=encoded.hex()) == {"good": is_key(encoded)}


@settings(max_examples=200, deadline=None)
@given(place=st.integers(0, 1216 - 3), patch=st.binary(min_size=3, max_size=3))
def test_both_refuse_the_same_keys(twin, place, patch):
    public = label_key_pair("alice").public.encoded
    encoded = public[:place] + patch + public[place + 3 :]
    assert twin.ask(key=encoded.hex()) == {"good": is_key(encoded)}


def body_plaintext(body: int) -> int | None:
    try:
        return plaintext_length(body)
    except EnvelopeError:
        return None


def neighbours(length: int) -> list[int]:
    return [near for near in range(length - 2, length + 3) if 0 < near < 2**53]


@settings(max_examples=300, deadline=None)
@given(exact=st.integers(1, 2**53 - 1) | st.integers(0, 52).map(lambda e: 2**e))
def test_both_know_the_same_lengths(twin, exact):
    # Of a legal length, its body, and all that lies next to them.
    length = padded(exact)
    body = length + -(-length // PIECE) * (CHUNK - PIECE)
    for near in [*neighbours(exact), *neighbours(length), *neighbours(body)]:
        answer = twin.ask(lengths=near)
        assert answer == {"padded": padded(near), "plaintext": body_plaintext(near)}, near


def test_both_say_the_same_of_each_kind(twin):
    spelled = twin.ask(spell=True)["kinds"]
    assert list(spelled.items()) == [(str(kind), sentence) for kind, sentence in SENTENCES.items()]
    assert list(SENTENCES) == list(Kind)


@pytest.mark.parametrize("module", ["padding", "header", "keys", "filekey", "index", "receipt"])
def test_both_have_the_same_constants(twin, module):
    ours = vars(importlib.import_module(f"leakdrop.envelope.{module}"))
    numbers = {name: ours[name] for name in python_names(module) if type(ours[name]) is int}
    theirs = twin.ask(spell=True)["constants"][module]
    assert numbers
    assert {name: theirs.get(name) for name in numbers} == numbers


# What stands in one of the two alone, and why.
ONLY_PYTHON = {
    "header": {"Source"},  # a Blob
    "keys": {"derive_sign_key"},  # reports are signed on reviewers' laptops
    "receipt": {"derive_mailbox", "answer_length", "encode_answer"},  # servers answer
    "opening": {"BATCH"},  # the browser reads one chunk at a time
    "sealing": {"BATCH", "LARGE_BATCH", "Sink", "Readable", "Sealer"},  # nothing arrives as a stream
}
ONLY_JAVASCRIPT = {
    "errors": {"FileChangedError", "KindName"},
    "header": {"Bytes"},
    "keys": {"sha256"},  # hashlib
    "receipt": {"deriveReplyTo"},  # the page's need alone: the public half, the secret wiped
    # Upload-Length comes first; a browser gives memory up late by itself.
    "sealing": {"Submission", "SealingPlan", "PlannedFile", "planSealing", "giveUp", "Reading"},
}


def python_names(module: str) -> list[str]:
    """The public names that a module defines, in their order."""
    path = ROOT / "leakdrop" / ("errors.py" if module == "errors" else f"envelope/{module}.py")
    names: list[str] = []
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            names.append(node.name)
        elif isinstance(node, ast.Assign):
            parts = [part for target in node.targets for part in ast.walk(target)]
            names += [part.id for part in parts if isinstance(part, ast.Name)]
    return [name for name in names if not name.startswith("_")]


def javascript_names(module: str) -> list[str]:
    source = (ROOT / "leakdrop" / "intake" / "browser" / "envelope" / f"{module}.js").read_text()
    export = r"^export (?:async )?(?:function\*? |class |const )(\w+)"
    typedef = r"@typedef \{.*?\} (\w+)(?:\n| \*/)"
    return ["".join(names) for names in re.findall(f"{export}|{typedef}", source, re.M | re.S)]


def camel(name: str) -> str:
    return name if name[0].isupper() else re.sub("_(.)", lambda match: match[1].upper(), name)


@pytest.mark.parametrize("module", MODULES)
def test_both_have_the_same_names_in_the_same_order(module):
    python = [camel(name) for name in python_names(module)]
    javascript = javascript_names(module)
    assert set(javascript) - set(python) == ONLY_JAVASCRIPT.get(module, set())
    if module != "errors":  # most errors are those of commands and servers
        assert set(python) - set(javascript) == set(map(camel, ONLY_PYTHON.get(module, set())))
    assert [name for name in javascript if name in python] == [name for name in python if name in javascript]
