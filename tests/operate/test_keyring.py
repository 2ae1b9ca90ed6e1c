"""The folder of public keys: what cannot be right stops the server before it takes anything."""

import datetime
from pathlib import Path

import pytest

from leakdrop.envelope.keyfile import PublicKeyFile, encode_public_key
from leakdrop.envelope.keys import parse_public_key
from leakdrop.errors import KeyFileError
from leakdrop.keyring import EXAMPLE_FINGERPRINT, load_keyring
from tests.keys import label_key_pair, public_key_file, write_key_files

TODAY = datetime.date(2026, 11, 22)
YESTERDAY = TODAY - datetime.timedelta(days=1)
EXAMPLE = Path(__file__).parents[2] / "keys" / "example.pub"


def put(folder: Path, file: PublicKeyFile, name: str | None = None) -> None:
    (folder / f"{name or file.name}.pub").write_text(encode_public_key(file))


def test_all_keys_are_known_and_only_unexpired_ones_are_sealed_to(tmp_path):
    put(tmp_path, public_key_file("alice", TODAY))
    put(tmp_path, public_key_file("bob", YESTERDAY))
    keyring = load_keyring(tmp_path, TODAY)
    assert keyring.recipients(TODAY) == (label_key_pair("alice").public,)
    assert keyring.key_ids == {label_key_pair(label).public.key_id for label in ("alice", "bob")}


def test_no_key_is_refused(tmp_path):
    with pytest.raises(KeyFileError, match="holds no public key"):
        load_keyring(tmp_path, TODAY)


def test_only_expired_keys_are_refused(tmp_path):
    put(tmp_path, public_key_file("alice", YESTERDAY))
    with pytest.raises(KeyFileError, match="can be used today"):
        load_keyring(tmp_path, TODAY)


@pytest.mark.parametrize("name", ["alice.key", "notes.txt", "alice.pub", "below/alice"])
def test_a_secret_key_is_refused_under_any_name(tmp_path, name):
    keys = tmp_path / "keys"
    (keys / "below").mkdir(parents=True)
    put(keys, public_key_file("bob"))
    (keys / name).write_bytes(write_key_files(tmp_path / "reviewers", "alice").read_bytes())
    with pytest.raises(KeyFileError, match="is a secret key"):
        load_keyring(keys, TODAY)


def test_a_key_that_is_there_twice_is_refused(tmp_path):
    put(tmp_path, public_key_file("alice"))
    put(tmp_path, PublicKeyFile("alice again", label_key_pair("alice").public))
    with pytest.raises(KeyFileError, match="“alice again” and “alice” are the same key: keep one"):
        load_keyring(tmp_path, TODAY)


def test_two_keys_of_one_name_are_refused(tmp_path):
    put(tmp_path, public_key_file("alice"))
    put(tmp_path, PublicKeyFile("alice", label_key_pair("bob").public), "bob")
    with pytest.raises(KeyFileError, match="Two different keys are named “alice”"):
        load_keyring(tmp_path, TODAY)


def test_two_keys_that_share_an_x25519_half_are_refused(tmp_path):
    alice, bob = label_key_pair("alice").public, label_key_pair("bob").public
    put(tmp_path, PublicKeyFile("alice", alice))
    put(tmp_path, PublicKeyFile("chimera", parse_public_key(alice.x25519 + bob.encoded[32:])))
    with pytest.raises(KeyFileError, match="“alice” and “chimera” are different keys with the same X25519"):
        load_keyring(tmp_path, TODAY)


def test_the_example_key_is_refused_outside_the_demonstration(tmp_path):
    (tmp_path / "example.pub").write_bytes(EXAMPLE.read_bytes())
    with pytest.raises(KeyFileError, match="example key"):
        load_keyring(tmp_path, TODAY)
    keyring = load_keyring(tmp_path, TODAY, demo=True)
    assert keyring.files[0].key.fingerprint == EXAMPLE_FINGERPRINT


def test_a_damaged_key_is_told_with_its_name(tmp_path):
    (tmp_path / "alice.pub").write_text(encode_public_key(public_key_file("alice"))[:-9])
    with pytest.raises(KeyFileError, match=r"alice\.pub: "):
        load_keyring(tmp_path, TODAY)


def test_more_keys_than_an_envelope_holds_are_refused(tmp_path):
    for number in range(17):
        put(tmp_path, public_key_file(f"key{number}"))
    with pytest.raises(KeyFileError, match="17 keys"):
        load_keyring(tmp_path, TODAY)


@pytest.mark.parametrize("name", ["all", "All"])
def test_a_key_that_would_take_the_place_of_all_keys_is_refused(tmp_path, name):
    put(tmp_path, public_key_file("alice"))
    put(tmp_path, PublicKeyFile(name, label_key_pair("bob").public))
    with pytest.raises(KeyFileError, match="cannot be named"):
        load_keyring(tmp_path, TODAY)
