"""The envelope in Python against the vectors in tests/vectors, which other code wrote."""

import base64
import hashlib
import importlib.util
import io
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from leakdrop.envelope.header import read_header
from leakdrop.envelope.index import decode_index, encode_base64url, encode_index
from leakdrop.envelope.keyfile import (
    encode_public_key,
    encode_secret_key,
    open_root,
    parse_public_keys,
    parse_secret_key,
)
from leakdrop.envelope.keys import KeyPair, derive_key_pair, hkdf
from leakdrop.envelope.opening import Envelope, open_envelope
from leakdrop.envelope.padding import padded
from leakdrop.errors import EnvelopeError, KeyFileError, Kind

VECTORS = Path(__file__).parent.parent / "vectors"
SPECIFICATION = Path(__file__).parents[2] / "docs" / "envelope.md"
KEYLESS = tuple(Kind)[:6]


def read_cases(name: str) -> Any:
    return json.loads((VECTORS / f"{name}.json").read_text("utf-8"))


GOOD, BAD = read_cases("good"), read_cases("bad")
INDEXES, KEYFILES = read_cases("indexes"), read_cases("keyfiles")
KEYS, EXAMPLE = read_cases("keys"), read_cases("example")


def each(cases: list[dict[str, Any]]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", [pytest.param(case, id=case["name"]) for case in cases])


def key_pairs(names: list[str]) -> list[KeyPair]:
    return [derive_key_pair(bytes.fromhex(KEYS[name]["root"])) for name in names]


def good_bytes(name: str) -> bytes:
    return (VECTORS / "good" / f"{name}.envelope").read_bytes()


def bad_bytes(case: dict[str, Any]) -> bytes:
    envelope = bytearray(good_bytes(case["base"])[: case["length"]].ljust(case["length"], b"\0"))
    for offset, digits in case["patches"]:
        patch = bytes.fromhex(digits)
        envelope[offset : offset + len(patch)] = patch
    assert len(envelope) == case["length"]
    return bytes(envelope)


def open_bytes(envelope: bytes | bytearray, keys: list[str]) -> Envelope:
    return open_envelope(io.BytesIO(envelope), key_pairs(keys))


def refusal_of(envelope: bytes | bytearray, keys: list[str]) -> Kind:
    """The kind in which opening, and then checking all of it, ends."""
    with pytest.raises(EnvelopeError) as caught:
        open_bytes(envelope, keys).check()
    return caught.value.kind


@each(GOOD)
def test_a_good_envelope_opens_with_each_of_its_keys(case: dict[str, Any]) -> None:
    envelope = good_bytes(case["name"])
    assert len(envelope) == case["length"]
    assert hashlib.sha256(envelope).hexdigest() == case["sha256"]
    for key in case["keys"]:
        opened = open_bytes(envelope, [key])
        opened.check()
        assert encode_index(opened.index).decode() == case["index"]
        files = [opened.read_file(number) for number in range(len(opened.index.files))]
        assert [hashlib.sha256(file).hexdigest() for file in files] == case["files"]
        assert [len(file) for file in files] == [file.size for file in opened.index.files]


@each(GOOD)
def test_a_good_envelope_passes_what_a_server_checks(case: dict[str, Any]) -> None:
    header, length = read_header(io.BytesIO(good_bytes(case["name"])), case["length"])
    assert length == case["plaintext_length"]
    assert {bytes.fromhex(KEYS[key]["key_id"]) for key in case["keys"]} <= set(header.key_ids)


@each(GOOD)
def test_a_stranger_opens_no_good_envelope(case: dict[str, Any]) -> None:
    assert refusal_of(good_bytes(case["name"]), ["stranger"]) == Kind.NOT_FOR_THIS_KEY


def test_one_good_key_is_enough_whatever_the_other_one_ends_in() -> None:
    for broken in ("stranger", "bob", "kim"):
        assert open_bytes(good_bytes("broken-stanzas"), [broken, "alice"]).index.message == "To all of you."


@each(BAD)
def test_a_bad_envelope_ends_in_its_kind(case: dict[str, Any]) -> None:
    assert refusal_of(bad_bytes(case), case["keys"]) == case["kind"]


@each(BAD)
def test_a_server_refuses_exactly_what_needs_no_key(case: dict[str, Any]) -> None:
    envelope = io.BytesIO(bad_bytes(case))
    if case["kind"] in KEYLESS:
        with pytest.raises(EnvelopeError) as caught:
            read_header(envelope, case["length"])
        assert caught.value.kind == case["kind"]
    else:
        read_header(envelope, case["length"])


@each(BAD)
def test_only_chunks_and_padding_are_left_for_later(case: dict[str, Any]) -> None:
    """A damaged chunk may hold a part of a file alone; all else is refused when an envelope is opened."""
    if case["kind"] not in (Kind.CHUNK_DAMAGED, Kind.BAD_PADDING):
        with pytest.raises(EnvelopeError):
            open_bytes(bad_bytes(case), case["keys"])
    if case["kind"] == Kind.BAD_PADDING:
        open_bytes(bad_bytes(case), case["keys"])


@pytest.mark.parametrize("kind", list(Kind))
def test_every_kind_has_several_vectors(kind: Kind) -> None:
    assert Counter(case["kind"] for case in BAD)[kind] >= 3


def test_bad_envelopes_stand_in_the_order_of_the_reader() -> None:
    assert list(dict.fromkeys(case["kind"] for case in BAD)) == list(Kind)


@pytest.mark.parametrize("cases", [GOOD, BAD, INDEXES, KEYFILES], ids=["good", "bad", "indexes", "keyfiles"])
def test_no_two_cases_have_the_same_name(cases: list[dict[str, Any]]) -> None:
    assert Counter(case["name"] for case in cases).most_common(1)[0][1] == 1


def test_every_bad_envelope_is_another_one() -> None:
    made = Counter((hashlib.sha256(bad_bytes(case)).digest(), *case["keys"]) for case in BAD)
    assert made.most_common(1)[0][1] == 1


@pytest.mark.parametrize("sealed", ["browser", "server", "offline", "review"])
def test_a_good_envelope_claims_this_sealer(sealed: str) -> None:
    assert any(json.loads(case["index"])["sealed"] == sealed for case in GOOD)


@pytest.mark.parametrize("name", KEYS)
def test_a_root_gives_the_keys_that_the_vectors_say(name: str) -> None:
    root = bytes.fromhex(KEYS[name]["root"])
    assert root == hashlib.sha256(f"leakdrop test root: {name}".encode()).digest()
    key = derive_key_pair(root)
    assert {
        "root": root.hex(),
        "secret": hkdf(root, b"", b"leakdrop/1 key", 96).hex(),
        "public": encode_base64url(key.public.encoded),
        "fingerprint": key.public.fingerprint,
        "key_id": key.public.key_id.hex(),
    } == KEYS[name]
    assert (key.x25519 + key.mlkem.private_bytes_raw()).hex() == KEYS[name]["secret"]


def test_lengths_are_padded_as_the_vectors_say() -> None:
    table = read_cases("padding")
    assert [[length, padded(length)] for length, _ in table] == table


@each(INDEXES)
def test_an_index_is_taken_or_refused(case: dict[str, Any]) -> None:
    encoded = base64.b64decode(case["index"])
    if case["good"]:
        assert encode_index(decode_index(encoded, case["size"])) == encoded
    else:
        with pytest.raises(EnvelopeError) as caught:
            decode_index(encoded, case["size"])
        assert caught.value.kind == Kind.BAD_INDEX


@each([case for case in KEYFILES if case["kind"] == "public"])
def test_a_public_key_file_is_taken_or_refused(case: dict[str, Any]) -> None:
    text = base64.b64decode(case["text"])
    if case["good"]:
        keys = parse_public_keys(text)
        assert "".join(map(encode_public_key, keys)).encode() == with_plain_line_ends(text)
    else:
        with pytest.raises(KeyFileError):
            parse_public_keys(text)


@each([case for case in KEYFILES if case["kind"] == "secret"])
def test_a_secret_key_file_is_taken_or_refused(case: dict[str, Any]) -> None:
    text = base64.b64decode(case["text"])
    if case["good"]:
        assert encode_secret_key(parse_secret_key(text)).encode() == with_plain_line_ends(text)
    else:
        with pytest.raises(KeyFileError):
            parse_secret_key(text)


@each([case for case in KEYFILES if "passphrase" in case])
def test_a_secret_key_opens_with_its_passphrase(case: dict[str, Any]) -> None:
    file = parse_secret_key(base64.b64decode(case["text"]))
    assert open_root(file, case["passphrase"]).hex() == KEYS["alice"]["root"]


def with_plain_line_ends(text: bytes) -> bytes:
    return text.replace(b"\r\n", b"\n").removesuffix(b"\n") + b"\n"


def test_the_vectors_are_what_make_py_makes() -> None:
    run = subprocess.run(
        [sys.executable, VECTORS / "make.py", "--check"], capture_output=True, text=True, check=False
    )
    assert (run.returncode, run.stderr) == (0, "")


@pytest.mark.parametrize("what", EXAMPLE)
def test_the_worked_example_has_this_value(what: str) -> None:
    assert f"{EXAMPLE[what]}" in SPECIFICATION.read_text("utf-8")


@pytest.mark.parametrize("kind", list(Kind))
def test_the_specification_names_this_kind(kind: Kind) -> None:
    assert f"`{kind}`" in SPECIFICATION.read_text("utf-8")


@pytest.fixture(scope="module")
def writer() -> ModuleType:
    """The other writer, for envelopes of more than 16 MiB, which are made here and not kept."""
    spec = importlib.util.spec_from_file_location("writer", VECTORS / "writer.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def make_large(writer: ModuleType, plaintext: bytes) -> bytes:
    return bytes(writer.make_envelope("large", [writer.make_key("alice")], plaintext))


@pytest.mark.parametrize("more", [0, 1], ids=["16 MiB", "a byte more"])
def test_an_index_has_at_most_16_mib(writer: ModuleType, more: int) -> None:
    files = [("\x01" * 1024, "", 0)] * 2700
    rest = 16 * 1024 * 1024 + more - len(writer.make_index("browser", "", "", files))
    index = writer.make_index("browser", "", "a" * rest, files)
    envelope = make_large(writer, writer.make_plaintext(b"", index))
    if more:
        assert refusal_of(envelope, ["alice"]) == Kind.BAD_TRAILER
    else:
        open_bytes(envelope, ["alice"]).check()


def test_padding_of_whole_chunks_is_checked(writer: ModuleType) -> None:
    """The index ends in chunk 63; of the 66 chunks number 64 is padding alone."""
    padding = 64 * writer.PIECE
    size = padding - len(writer.make_index("browser", "", "", [("talk.m4a", "audio/mp4", padding)]))
    index = writer.make_index("browser", "", "", [("talk.m4a", "audio/mp4", size)])
    plaintext = writer.make_plaintext(bytes(size), index)
    assert len(plaintext) == 66 * writer.PIECE
    envelope = make_large(writer, plaintext)
    open_bytes(envelope, ["alice"]).check()

    written_on = make_large(writer, plaintext[:padding] + b"\x01" + plaintext[padding + 1 :])
    open_bytes(written_on, ["alice"])
    assert refusal_of(written_on, ["alice"]) == Kind.BAD_PADDING

    damaged = bytearray(envelope)
    damaged[-2 * writer.CHUNK] ^= 1
    open_bytes(damaged, ["alice"])
    assert refusal_of(damaged, ["alice"]) == Kind.CHUNK_DAMAGED
