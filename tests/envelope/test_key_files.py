"""Key files: each refusal says which field is wrong, and what closes a root opens it again."""

import datetime

import pytest

from leakdrop.envelope.index import encode_base64url
from leakdrop.envelope.keyfile import (
    MAX_FILE,
    MAX_NAME,
    MEMORY,
    PASSES,
    SecretKeyFile,
    close_root,
    encode_public_key,
    encode_secret_key,
    is_name,
    open_root,
    parse_public_keys,
    parse_secret_key,
)
from leakdrop.envelope.keys import PUBLIC_KEY, derive_sign_key, parse_public_key
from leakdrop.errors import KeyFileError, PassphraseError, PublicKeyError
from tests.keys import label_key_pair, label_root, public_key_file

ROOT = label_root("alice")
CHEAP = {"passes": 1, "memory": 8192}
PUBLIC = encode_public_key(public_key_file("alice", datetime.date(2027, 6, 30)))
SIGNED = PUBLIC + f"sign: {encode_base64url(bytes(32))}\n"
CLOSED = close_root(ROOT, "alice", "a passphrase", **CHEAP)
SECRET = encode_secret_key(CLOSED)
KEY = encode_base64url(label_key_pair("alice").public.encoded)
DAMAGED = "The field “{}” of this key file is damaged."


def without(text: str, field: str) -> str:
    return "".join(line for line in text.splitlines(keepends=True) if not line.startswith(f"{field}:"))


def with_field(text: str, field: str, value: str) -> str:
    lines = text.splitlines(keepends=True)
    return "".join(f"{field}: {value}\n" if line.startswith(f"{field}:") else line for line in lines)


PUBLIC_REFUSALS = {
    "This is a secret key: it stays with the reviewers. Use the .pub file.": SECRET,
    "This is not a public key file: its first line is not “leakdrop public key 1”.": "nonsense",
    "This key file has a line that does not belong there.": PUBLIC + "more: 1\n",
    "The field “name” stands twice in this key file.": PUBLIC + "name: bob\n",
    "The field “name” is missing in this key file.": without(PUBLIC, "name"),
    "The field “key” is missing in this key file.": without(PUBLIC, "key"),
    "The fields of this key file are not in order.": without(PUBLIC, "name") + "name: alice\n",
    "The field “name” of this key file is not 1 to 200 printable characters.": with_field(
        PUBLIC, "name", " "
    ),
    DAMAGED.format("key"): with_field(PUBLIC, "key", KEY[:-1]),
    DAMAGED.format("sign"): with_field(SIGNED, "sign", "x"),
    "The field “not-after” of this key file is not a date like 2027-06-30.": with_field(
        PUBLIC, "not-after", "20270630"
    ),
    f"{DAMAGED.format('key')} The X25519 half of this public key is not valid.": with_field(
        PUBLIC, "key", encode_base64url(bytes(32) + label_key_pair("alice").public.encoded[32:])
    ),
}
SECRET_REFUSALS = {
    "This is a public key, which opens nothing. Use the .key file.": PUBLIC,
    "This is not a secret key file: its first line is not “leakdrop secret key 1”.": "nonsense",
    "This key file has a line that does not belong there.": SECRET + "nonsense\n",
    "The field “fingerprint” of this key file is not 64 hex digits.": with_field(SECRET, "fingerprint", "0"),
    DAMAGED.format("salt"): with_field(SECRET, "salt", "x"),
    DAMAGED.format("root"): with_field(SECRET, "root", "x"),
    "The field “argon2id” of this key file is not 1 to 10 passes and 8192 to 1073741824 bytes.": with_field(
        SECRET, "argon2id", "11 8192"
    ),
    "This is not a key file: it is longer than 1 MiB.": SECRET + "x" * MAX_FILE,
}


@pytest.mark.parametrize(("sentence", "text"), PUBLIC_REFUSALS.items(), ids=range(len(PUBLIC_REFUSALS)))
def test_what_is_no_public_key_is_refused_with_this_sentence(sentence, text):
    with pytest.raises(KeyFileError) as refusal:
        parse_public_keys(text.encode())
    assert str(refusal.value) == sentence


@pytest.mark.parametrize(("sentence", "text"), SECRET_REFUSALS.items(), ids=range(len(SECRET_REFUSALS)))
def test_what_is_no_secret_key_is_refused_with_this_sentence(sentence, text):
    with pytest.raises(KeyFileError) as refusal:
        parse_secret_key(text.encode())
    assert str(refusal.value) == sentence


def test_what_is_no_text_is_no_key_file():
    with pytest.raises(KeyFileError) as refusal:
        parse_secret_key(b"\xff")
    assert str(refusal.value) == "This is not a key file: it is not text."


def test_a_key_file_of_one_mebibyte_is_read_and_a_byte_more_is_not():
    keys = SIGNED * (MAX_FILE // len(SIGNED.encode()))
    longest = keys + "\r\n" * 0 + " " * (MAX_FILE - len(keys.encode()))
    for text, sentence in ((longest, "does not belong"), (longest + " ", "longer than 1 MiB")):
        with pytest.raises(KeyFileError, match=sentence):
            parse_public_keys(text.encode())


@pytest.mark.parametrize(
    "cost", ["0 8192", "1 8191", "11 8192", "1 1073741825", "١ 8192", "1 8192 "], ids=range(6)
)
def test_a_cost_that_could_only_hang_this_machine_is_refused(cost):
    with pytest.raises(KeyFileError, match="argon2id"):
        parse_secret_key(with_field(SECRET, "argon2id", cost).encode())


@pytest.mark.parametrize("cost", ["1 8192", "10 1073741824"])
def test_the_least_and_the_greatest_cost_are_taken(cost):
    assert parse_secret_key(with_field(SECRET, "argon2id", cost).encode())


def test_what_closes_a_root_opens_it_again():
    assert parse_secret_key(SECRET.encode()) == CLOSED
    assert open_root(CLOSED, "a passphrase") == ROOT
    assert CLOSED.name == "alice"
    assert CLOSED.fingerprint == label_key_pair("alice").public.fingerprint
    again = close_root(ROOT, "alice", "a passphrase", **CHEAP)
    assert (again.name, again.fingerprint) == (CLOSED.name, CLOSED.fingerprint)
    assert open_root(again, "a passphrase") == ROOT
    assert again.salt != CLOSED.salt
    assert again.boxed != CLOSED.boxed


def test_a_root_is_closed_at_the_cost_of_the_specification():
    closed = close_root(ROOT, "alice", "a passphrase")
    assert (closed.passes, closed.memory) == (PASSES, MEMORY) == (3, 268_435_456)
    assert open_root(closed, "a passphrase") == ROOT


def test_another_passphrase_is_refused():
    with pytest.raises(PassphraseError) as refusal:
        open_root(CLOSED, "another")
    assert str(refusal.value) == "This passphrase does not open the key “alice”."


def test_the_root_of_another_key_is_refused():
    other = close_root(label_root("bob"), "alice", "a passphrase", **CHEAP)
    swapped = SecretKeyFile("alice", CLOSED.fingerprint, 1, 8192, other.salt, other.boxed)
    with pytest.raises(KeyFileError) as refusal:
        open_root(swapped, "a passphrase")
    assert str(refusal.value) == "The key in this file is not the one that its fingerprint names."


@pytest.mark.parametrize("name", ["x", "x" * MAX_NAME, "مراجعون"], ids=["one", "most", "Urdu"])
def test_a_name(name):
    assert is_name(name)


@pytest.mark.parametrize("name", ["", " x", "x ", "x" * (MAX_NAME + 1), "a\nb"], ids=range(5))
def test_no_name(name):
    assert not is_name(name)


def test_a_key_is_sealed_to_on_its_last_day_and_not_on_the_next():
    (file,) = parse_public_keys(PUBLIC.encode())
    assert file.is_usable(datetime.date(2027, 6, 30))
    assert not file.is_usable(datetime.date(2027, 7, 1))
    assert public_key_file("alice").is_usable(datetime.date(9999, 1, 1))


def test_the_sign_key_is_that_of_the_specification():
    """Made by the specification's words with another library: HKDF by hand, Ed25519 by `cryptography`."""
    import hashlib
    import hmac

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    extracted = hmac.digest(bytes(32), ROOT, hashlib.sha256)
    seed = hmac.digest(extracted, b"leakdrop/1 sign\x01", hashlib.sha256)
    expected = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
    assert derive_sign_key(ROOT).verify_key.encode() == expected


GOOD = label_key_pair("alice").public.encoded


@pytest.mark.parametrize(
    ("encoded", "sentence"),
    [
        (GOOD[:-1], f"A public key has {PUBLIC_KEY} bytes, not {PUBLIC_KEY - 1}."),
        (bytes(32) + GOOD[32:], "The X25519 half of this public key is not valid."),
        (GOOD[:32] + b"\xff" * 1184, "The ML-KEM half of this public key is not valid."),
    ],
    ids=["cut", "low order", "not reduced"],
)
def test_what_is_no_public_key_says_which_half(encoded, sentence):
    with pytest.raises(PublicKeyError) as refusal:
        parse_public_key(encoded)
    assert str(refusal.value) == sentence
