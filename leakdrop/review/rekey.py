"""The verb `rekey`: another passphrase for a secret key.

The key stays the same. The old file is replaced only when the new one has been read back from the disk and
has opened, so that a full disk or a power cut leaves a key that opens with one passphrase or the other.
"""

import hmac
import secrets
from pathlib import Path

from leakdrop.envelope.keyfile import close_root, encode_secret_key
from leakdrop.errors import KeyFileError, UsageError
from leakdrop.folders import sync_folder
from leakdrop.review.keys import load_secret_key, open_secret_key
from leakdrop.review.passphrases import choose_passphrase, gather_passphrases
from leakdrop.seal.files import create_file, naming
from leakdrop.terminal import note, say


def change_passphrase(
    path: Path, *, passphrase_file: Path | None = None, new_passphrase_file: Path | None = None
) -> int:
    """Give NAME.key a new passphrase. Raises KeyFileError, PassphraseError, UsageError and OSError."""
    closed = load_secret_key(path)
    (old,) = gather_passphrases([closed.name], [passphrase_file] if passphrase_file else [])
    root = open_secret_key(path, closed, old)
    new = choose_passphrase(new_passphrase_file, "New passphrase")
    if hmac.compare_digest(new.encode(), old.encode()):
        raise UsageError("The new passphrase is the old one: nothing was changed.")
    replace_secret_key(path.resolve(), root, closed.name, new)
    say(f"{path} opens with the new passphrase now.")
    note("Copies of the old file still open with the old passphrase: replace them too.")
    return 0


def replace_secret_key(path: Path, root: bytes, name: str, passphrase: str) -> None:
    """Write a root (32 bytes), closed anew, over a key file. Raises KeyFileError and OSError."""
    unfinished = path.with_name(f".leakdrop-{secrets.token_hex(8)}.partial")
    with naming(path, instead_of=unfinished):
        with create_file(unfinished) as file:
            file.write(encode_secret_key(close_root(root, name, passphrase)).encode())
        try:
            prove_secret_key(unfinished, root, passphrase)
            unfinished.replace(path)
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)


def prove_secret_key(path: Path, root: bytes, passphrase: str) -> None:
    """Raises KeyFileError or PassphraseError unless the file gives this root."""
    if not hmac.compare_digest(open_secret_key(path, load_secret_key(path), passphrase), root):
        raise KeyFileError(f"{path} does not hold the key that was written: this disk is failing.")
