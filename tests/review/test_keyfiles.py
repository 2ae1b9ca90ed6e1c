"""Key files: any bytes parse or are refused, and what is written is read."""

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leakdrop.envelope.keyfile import (
    MAX_FILE,
    PublicKeyFile,
    SecretKeyFile,
    encode_public_key,
    encode_secret_key,
    is_name,
    parse_public_keys,
    parse_secret_key,
)
from leakdrop.errors import KeyFileError
from tests.keys import label_key_pair, public_key_file

names = st.text(min_size=1, max_size=200).filter(is_name)
public_files = st.builds(
    PublicKeyFile,
    names,
    st.sampled_from([label_key_pair(label).public for label in ("alice", "bob")]),
    st.none() | st.dates(),
    st.none() | st.binary(min_size=32, max_size=32),
)
secret_files = st.builds(
    SecretKeyFile,
    names,
    st.text("0123456789abcdef", min_size=64, max_size=64),
    st.integers(1, 10),
    st.integers(8192, 2**30),
    st.binary(min_size=16, max_size=16),
    st.binary(min_size=72, max_size=72),
)
WHOLE = encode_public_key(public_key_file("alice", datetime.date.max))


@given(st.lists(public_files, min_size=1, max_size=3))
def test_public_keys_that_are_written_are_read(files):
    assert parse_public_keys("".join(map(encode_public_key, files)).encode()) == tuple(files)


@given(secret_files)
def test_a_secret_key_that_is_written_is_read(file):
    assert parse_secret_key(encode_secret_key(file).encode()) == file


@given(public_files)
def test_crlf_and_a_missing_last_line_end_are_taken(file):
    text = encode_public_key(file)
    assert parse_public_keys(text.replace("\n", "\r\n").encode()) == (file,)
    assert parse_public_keys(text.removesuffix("\n").encode()) == (file,)


# Lines that are right, wrong, or almost right, in any order.
lines = st.sampled_from([*WHOLE.splitlines(), "leakdrop secret key 1", "argon2id: 3 268435456", "name:", ""])
texts = st.lists(lines | st.text()).map("\n".join).map(lambda text: text.encode(errors="surrogatepass"))


@pytest.mark.parametrize("parse", [parse_public_keys, parse_secret_key])
@given(st.binary() | texts)
def test_any_bytes_parse_or_are_refused(parse, text):
    try:
        parsed = parse(text)
    except KeyFileError:
        return
    files = parsed if isinstance(parsed, tuple) else (parsed,)
    encode = encode_public_key if parse is parse_public_keys else encode_secret_key
    assert parse("".join(map(encode, files)).encode()) == parsed


@given(st.integers(0, len(WHOLE.encode()) - 1), st.integers(1, 255))
def test_a_changed_byte_never_gives_the_same_key_file(offset, change):
    text = bytearray(WHOLE.encode())
    text[offset] ^= change
    try:
        parsed = parse_public_keys(bytes(text))
    except KeyFileError:
        return
    assert parsed != parse_public_keys(WHOLE.encode())


def test_a_file_that_is_too_long_is_refused():
    with pytest.raises(KeyFileError, match="longer than 1 MiB"):
        parse_public_keys(WHOLE.encode() + b"\n" * MAX_FILE)
