"""The verbs `keygen` and `fingerprint`: new keys, and what keys are told apart by."""

import datetime
import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from leakdrop.envelope.keyfile import (
    SECRET_TITLE,
    PublicKeyFile,
    close_root,
    encode_public_key,
    encode_secret_key,
    is_name,
    parse_public_keys,
    parse_secret_key,
)
from leakdrop.envelope.keys import ROOT, derive_key_pair, derive_sign_key
from leakdrop.errors import KeyFileError, UsageError
from leakdrop.folders import sync_folder
from leakdrop.keyring import ALL
from leakdrop.review.keys import read_key_file
from leakdrop.review.names import is_device
from leakdrop.review.passphrases import choose_passphrase
from leakdrop.review.places import refuse_stick
from leakdrop.seal.files import PRIVATE_FOLDER, PUBLIC_FILE, create_file
from leakdrop.terminal import encode_json, group_fingerprint, say, visible

MAX_FILE_NAME = 255  # bytes
KEY_ID_DIGITS = 32


def make_key(
    name: str,
    folder: Path,
    *,
    not_after: datetime.date | None = None,
    passphrase_file: Path | None = None,
    here: bool = False,
) -> int:
    """Make NAME.key and NAME.pub in a folder, and print what comes next.

    Raises UsageError (the name, the place or the passphrase will not do) and OSError.
    """
    check_name(name)
    if not_after and not_after < datetime.datetime.now(datetime.UTC).date():
        raise UsageError(f"--not-after {not_after} is over: nothing would ever be sealed to this key.")
    if not here:
        refuse_stick(folder)
    secret_path, public_path = folder / f"{name}.key", folder / f"{name}.pub"
    for path in (secret_path, public_path):
        if os.path.lexists(path):
            raise UsageError(f"{path} exists already, and nothing is overwritten: choose another name.")
    passphrase = choose_passphrase(passphrase_file)
    root = secrets.token_bytes(ROOT)
    public = derive_key_pair(root).public
    sign = derive_sign_key(root).verify_key.encode()
    folder.mkdir(PRIVATE_FOLDER, parents=True, exist_ok=True)
    _write_pair(
        secret_path,
        encode_secret_key(close_root(root, name, passphrase)),
        public_path,
        encode_public_key(PublicKeyFile(name, public, not_after, sign)),
    )
    _say_next_steps(secret_path, public_path, public.fingerprint)
    return 0


def check_name(name: str) -> None:
    """Raises UsageError unless this can be a key's name, and the name of its files on any system."""
    if not is_name(name) or name.startswith(("-", ".")):
        raise UsageError(
            "A key's NAME is 1 to 200 printable characters, without “-” or “.” at its beginning."
        )
    if name.casefold() == ALL:
        raise UsageError(
            f"A key cannot be named “{ALL}”: on the server that is the file of all keys. Choose another NAME."
        )
    if is_device(name):
        raise UsageError(f"“{name}” is the name of a device on Windows: choose another NAME.")
    if any(character in '/\\<>:"|?*' for character in name):
        raise UsageError(
            "NAME is a file's name too, on every system: choose one without / \\ < > : \" | ? *."
        )
    if len(f"{name}.pub".encode()) > MAX_FILE_NAME:
        raise UsageError("NAME is too long to be a file's name.")


def parse_not_after(text: str) -> datetime.date:
    """The date in a text like 2027-06-30. Raises UsageError."""
    try:
        date = datetime.date.fromisoformat(text)
    except ValueError:
        date = None
    if date is None or date.isoformat() != text:
        raise UsageError("--not-after takes a date like 2027-06-30.")
    return date


def _write_pair(secret_path: Path, secret: str, public_path: Path, public: str) -> None:
    """Both files, or none."""
    with create_file(secret_path) as file:
        file.write(secret.encode())
    try:
        with create_file(public_path, PUBLIC_FILE) as file:
            file.write(public.encode())
        sync_folder(secret_path.parent)
    except BaseException:
        secret_path.unlink()
        raise


def _say_next_steps(secret_path: Path, public_path: Path, fingerprint: str) -> None:
    say(f"Made {secret_path} and {public_path}. The fingerprint is\n")
    say(f"  {group_fingerprint(fingerprint)}\n")
    say(f"Next: give {public_path.name} to the operator, and compare the fingerprint by voice.")
    say(f"{secret_path.name} stays with you. Copy it to a second safe place: without it and its passphrase")
    say("nothing that is sealed to this key can ever be opened.")


def show_fingerprints(paths: Sequence[Path], *, as_json: bool = False) -> int:
    """Print what the keys in these files are told apart by. Raises KeyFileError and OSError."""
    found = [key for path in paths for key in _describe_keys(path)]
    if as_json:
        say(encode_json(found))
        return 0
    for key in found:
        which = "secret" if key["secret"] else "public"
        say(f"{visible(key['name'])} ({which} key in {visible(key['path'])})")
        say(f"  fingerprint  {key['fingerprint']}")
        say(f"               {group_fingerprint(key['fingerprint'])}")
        say(f"  key id       {key['key_id']}")
        if not key["secret"]:
            say(f"  not after    {key['not_after'] or 'no last day'}")
            say(f"  sign key     {key['sign'] or 'none'}")
    return 0


def _describe_keys(path: Path) -> list[dict[str, Any]]:
    """The keys of a file. A secret key's fingerprint is compared with the key when that is opened."""
    text = read_key_file(path)
    try:
        if text.startswith(SECRET_TITLE.encode()):
            secret = parse_secret_key(text)
            return [_describe_key(path, secret.name, secret.fingerprint, secret=True)]
        return [
            _describe_key(path, file.name, file.key.fingerprint, not_after=file.not_after, sign=file.sign)
            for file in parse_public_keys(text)
        ]
    except KeyFileError as error:
        raise KeyFileError(f"{path}: {error}") from None


def _describe_key(
    path: Path,
    name: str,
    fingerprint: str,
    *,
    not_after: datetime.date | None = None,
    sign: bytes | None = None,
    secret: bool = False,
) -> dict[str, Any]:
    return {
        "path": str(path),
        "name": name,
        "secret": secret,
        "fingerprint": fingerprint,
        "key_id": fingerprint[:KEY_ID_DIGITS],
        "not_after": not_after.isoformat() if not_after else None,
        "sign": sign.hex() if sign else None,
    }
