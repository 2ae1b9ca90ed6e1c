"""The folder of public keys that submissions are sealed to.

The server takes envelopes for every key in it, so that an upload which began before a rotation still
arrives, and seals only to those that have not expired. What cannot be right stops it at once.
"""

import datetime
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from leakdrop.envelope.header import MAX_STANZAS
from leakdrop.envelope.keyfile import SECRET_TITLE, PublicKeyFile, parse_public_keys
from leakdrop.envelope.keys import PublicKey
from leakdrop.errors import KeyFileError

# keys/example.pub shows the form of a key. Its root is SHA-256 of
# "leakdrop example key: everybody can open it", so everybody can open what is sealed to it.
EXAMPLE_FINGERPRINT = "6ed8622b747bbba9b4c948e9c95d34ffdabe4023b81f53cb56359fc1a64be717"


# /key/all.pub holds every key; a key of that name would take its place.
ALL = "all"


@dataclass(frozen=True)
class Keyring:
    """The keys of an organisation, in the order of their files' names."""

    files: tuple[PublicKeyFile, ...]

    @property
    def key_ids(self) -> frozenset[bytes]:
        """The ids (16 bytes each) that an envelope may name: expired keys' too."""
        return frozenset(file.key.key_id for file in self.files)

    def usable(self, today: datetime.date) -> tuple[PublicKeyFile, ...]:
        """What is sealed to on this day (UTC)."""
        return tuple(file for file in self.files if file.is_usable(today))

    def recipients(self, today: datetime.date) -> tuple[PublicKey, ...]:
        return tuple(file.key for file in self.usable(today))


def load_keyring(folder: Path, today: datetime.date, *, demo: bool = False) -> Keyring:
    """The keys in a folder's .pub files.

    Raises KeyFileError if a secret key lies there, if two keys are one or share a half, if the example
    key is among them outside the demo, or if no key can be used.
    """
    _refuse_secret_keys(folder)
    files: list[PublicKeyFile] = []
    for path in sorted(folder.glob("*.pub")):
        try:
            files += parse_public_keys(path.read_bytes())
        except KeyFileError as error:
            raise KeyFileError(f"{path}: {error}") from None
    keyring = Keyring(tuple(files))
    _refuse_twins(keyring)
    if any(file.name.casefold() == ALL for file in files):
        raise KeyFileError(
            f"A key cannot be named “{ALL}”: that is the file of all keys on the page “Our key”."
        )
    if not demo and any(file.key.fingerprint == EXAMPLE_FINGERPRINT for file in files):
        raise KeyFileError(f"{folder} holds leakdrop's example key, which everybody can open: remove it.")
    usable = keyring.usable(today)
    if not usable:
        raise KeyFileError(
            f"{folder} holds no public key that can be used today: copy the reviewers' .pub file there."
        )
    if len(usable) > MAX_STANZAS:
        raise KeyFileError(f"{folder} holds {len(usable)} keys; an envelope has room for {MAX_STANZAS}.")
    return keyring


def _refuse_secret_keys(folder: Path) -> None:
    for path in sorted(folder.rglob("*")):
        if not path.is_file():
            continue
        with path.open("rb") as file:
            is_secret = SECRET_TITLE.encode() in file.read(4096)
        if is_secret or path.suffix == ".key":
            raise KeyFileError(
                f"{path} is a secret key. It must never be on this machine: remove it, "
                "tell the reviewers, and ask them for a new key."
            )


def _refuse_twins(keyring: Keyring) -> None:
    """Raises KeyFileError, which names both and says what they have in common."""
    for one, other in combinations(keyring.files, 2):
        if one.key.key_id == other.key.key_id:
            raise KeyFileError(f"“{one.name}” and “{other.name}” are the same key: keep one of the two.")
        if one.key.x25519 == other.key.x25519:
            raise KeyFileError(
                f"“{one.name}” and “{other.name}” are different keys with the same X25519 half, which no "
                "honest keys have: compare both fingerprints with the reviewers, and remove the wrong one."
            )
        if one.name == other.name:
            raise KeyFileError(
                f"Two different keys are named “{one.name}”: ask the reviewers to make one with another name."
            )
