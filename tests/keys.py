"""Keys made from labels, so that no secret is kept in the repository but a word."""

from functools import cache
from hashlib import sha256
from pathlib import Path

from leakdrop.envelope.keyfile import PublicKeyFile, close_root, encode_public_key, encode_secret_key
from leakdrop.envelope.keys import KeyPair, derive_key_pair

PASSPHRASE = "a passphrase for tests"


def label_root(label: str) -> bytes:
    return sha256(f"leakdrop test root: {label}".encode()).digest()


@cache
def label_key_pair(label: str) -> KeyPair:
    return derive_key_pair(label_root(label))


def public_key_file(label: str, not_after=None) -> PublicKeyFile:
    return PublicKeyFile(label, label_key_pair(label).public, not_after)


def write_key_files(folder: Path, label: str) -> Path:
    """LABEL.pub, LABEL.key (cheap to open) and a file with its passphrase; returns the .key file."""
    folder.mkdir(parents=True, exist_ok=True)
    secret = close_root(label_root(label), label, PASSPHRASE, passes=1, memory=8 * 1024 * 1024)
    (folder / f"{label}.pub").write_text(encode_public_key(public_key_file(label)))
    (folder / f"{label}.key").write_text(encode_secret_key(secret))
    (folder / "passphrase").write_text(PASSPHRASE)
    return folder / f"{label}.key"
