"""The reviewers' secret keys, open, and the public keys that they know."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from nacl.signing import SigningKey

from leakdrop.envelope.keyfile import (
    MAX_FILE,
    PublicKeyFile,
    SecretKeyFile,
    open_root,
    parse_public_keys,
    parse_secret_key,
)
from leakdrop.envelope.keys import KeyPair, derive_key_pair, derive_sign_key
from leakdrop.errors import KeyFileError, PassphraseError, UsageError
from leakdrop.review.passphrases import gather_passphrases
from leakdrop.terminal import note


@dataclass(frozen=True)
class KeySet:
    """The key pairs that open envelopes; by key id (16 bytes) the names of all keys that are known, and
    the keys that sign reports.
    """

    pairs: tuple[KeyPair, ...]
    names: dict[bytes, str]
    signers: dict[bytes, SigningKey] = field(default_factory=dict, repr=False)

    def name_key(self, key_id: bytes) -> str:
        """How a key is shown: its name, if it is known, and its id."""
        name = self.names.get(key_id)
        return f"{name} ({key_id.hex()})" if name else f"{key_id.hex()}, which you do not know"

    def find_unknown(self, key_ids: Iterable[bytes]) -> list[bytes]:
        """Those of the ids that belong to no known key."""
        return [key_id for key_id in key_ids if key_id not in self.names]


def read_key_file(path: Path) -> bytes:
    """The text of a key file, or as much of it as shows that it is none. Raises OSError."""
    with path.open("rb") as file:
        return file.read(MAX_FILE + 1)


def load_secret_key(path: Path) -> SecretKeyFile:
    """A secret key, still closed. Raises KeyFileError, which names the path, and OSError."""
    try:
        return parse_secret_key(read_key_file(path))
    except KeyFileError as error:
        raise KeyFileError(f"{path}: {error}") from None


def load_public_keys(path: Path) -> tuple[PublicKeyFile, ...]:
    """The keys of a .pub file. Raises KeyFileError, which names the path, and OSError."""
    try:
        return parse_public_keys(read_key_file(path))
    except KeyFileError as error:
        raise KeyFileError(f"{path}: {error}") from None


@dataclass(frozen=True)
class KeyOptions:
    """Which keys are to be used: paths of secret ones, a folder of known public ones, passphrases' files."""

    secret_keys: tuple[Path, ...]
    known: Path | None = None
    passphrase_files: tuple[Path, ...] = ()

    def open(self) -> KeySet:
        """Open the secret keys, and learn the public ones beside them and in the folder `known`.

        Raises KeyFileError, PassphraseError, UsageError and OSError.
        """
        closed = [load_secret_key(path) for path in self.secret_keys]
        names = learn_names(self.secret_keys, self.known)
        passphrases = gather_passphrases([file.name for file in closed], self.passphrase_files)
        roots = list(map(open_secret_key, self.secret_keys, closed, passphrases))
        pairs = tuple(map(derive_key_pair, roots))
        ids = [pair.public.key_id for pair in pairs]
        names |= {key_id: file.name for key_id, file in zip(ids, closed, strict=True)}
        return KeySet(pairs, names, dict(zip(ids, map(derive_sign_key, roots), strict=True)))


def open_secret_key(path: Path, file: SecretKeyFile, passphrase: str) -> bytes:
    """The root (32 bytes). Raises KeyFileError and PassphraseError, which name the path."""
    try:
        return open_root(file, passphrase)
    except (KeyFileError, PassphraseError) as error:
        raise type(error)(f"{path}: {error}") from None


def learn_names(secret_keys: Sequence[Path], known: Path | None) -> dict[bytes, str]:
    """The names of the public keys that lie beside these secret keys and in `known`, by key id.

    Raises UsageError if `known` is no folder. A file that is no public key is told and left out.
    """
    if known and not known.is_dir():
        raise UsageError(f"--known {known} is not a folder.")
    folders = {path.resolve().parent for path in secret_keys} | ({known.resolve()} if known else set())
    names = {}
    for path in sorted(path for folder in folders for path in folder.glob("*.pub") if path.is_file()):
        try:
            names.update({file.key.key_id: file.name for file in load_public_keys(path)})
        except KeyFileError as error:
            note(f"{error} It is left out.")
    return names
