"""The text of key files: docs/envelope.md, "Key files".

    leakdrop public key 1                          leakdrop secret key 1
    name: Reviewers 2026                           name: Reviewers 2026
    not-after: 2027-06-30                          fingerprint: <64 hex digits>
    key: <base64url of the 1216 bytes>             argon2id: 3 268435456
    sign: <base64url of 32 bytes>                  salt: <base64url of 16 bytes>
                                                   root: <base64url of nonce (24) ‖ secretbox(root) (48)>

`not-after` and `sign` may be missing. A public file may hold several keys, one after another. Fields stand
in this order, each once; lines end in LF, and a reader accepts CRLF and a missing last line end.
"""

import datetime
import re
from collections.abc import Sequence
from dataclasses import dataclass

from nacl.exceptions import CryptoError
from nacl.exceptions import RuntimeError as SodiumError
from nacl.pwhash import argon2id
from nacl.secret import SecretBox
from nacl.utils import random

from leakdrop.envelope.index import decode_base64url, encode_base64url
from leakdrop.envelope.keys import PUBLIC_KEY, ROOT, PublicKey, derive_key_pair, parse_public_key
from leakdrop.errors import KeyFileError, PassphraseError, PublicKeyError

PUBLIC_TITLE = "leakdrop public key 1"
SECRET_TITLE = "leakdrop secret key 1"  # noqa: S105 - a title, no secret
MAX_FILE = 1_048_576
MAX_NAME = 200
SIGN_KEY = 32
SALT = argon2id.SALTBYTES
BOXED_ROOT = SecretBox.NONCE_SIZE + SecretBox.MACBYTES + ROOT
PASSES, MEMORY = 3, 256 * 1024 * 1024
MAX_PASSES, MAX_MEMORY = 10, 1024 * 1024 * 1024


@dataclass(frozen=True)
class PublicKeyFile:
    """One key of a .pub file. `not_after` is the last day (UTC) on which anything is sealed to it."""

    name: str
    key: PublicKey
    not_after: datetime.date | None = None
    sign: bytes | None = None

    def is_usable(self, today: datetime.date) -> bool:
        return self.not_after is None or today <= self.not_after


@dataclass(frozen=True, repr=False)
class SecretKeyFile:
    """A root, closed with a passphrase: `boxed` is nonce (24) ‖ secretbox (48); memory in bytes."""

    name: str
    fingerprint: str
    passes: int
    memory: int
    salt: bytes
    boxed: bytes


def is_name(name: str) -> bool:
    """Whether a key can have this name: 1 to 200 printable characters without a space at either end."""
    return 0 < len(name) <= MAX_NAME and name.isprintable() and name == name.strip()


def encode_public_key(file: PublicKeyFile) -> str:
    """The text of a public key."""
    fields = {
        "name": file.name,
        "not-after": file.not_after.isoformat() if file.not_after else None,
        "key": encode_base64url(file.key.encoded),
        "sign": encode_base64url(file.sign) if file.sign else None,
    }
    return _write(PUBLIC_TITLE, fields)


def encode_secret_key(file: SecretKeyFile) -> str:
    """The text of a secret key."""
    fields: dict[str, str | None] = {
        "name": file.name,
        "fingerprint": file.fingerprint,
        "argon2id": f"{file.passes} {file.memory}",
        "salt": encode_base64url(file.salt),
        "root": encode_base64url(file.boxed),
    }
    return _write(SECRET_TITLE, fields)


def _write(title: str, fields: dict[str, str | None]) -> str:
    lines = [title, *(f"{field}: {value}" for field, value in fields.items() if value is not None)]
    return "".join(f"{line}\n" for line in lines)


def parse_public_keys(text: bytes) -> tuple[PublicKeyFile, ...]:
    """The keys of a .pub file, one at least. Raises KeyFileError."""
    lines = _split(text)
    if lines[0] == SECRET_TITLE:
        raise KeyFileError("This is a secret key: it stays with the reviewers. Use the .pub file.")
    if lines[0] != PUBLIC_TITLE:
        raise KeyFileError(f"This is not a public key file: its first line is not “{PUBLIC_TITLE}”.")
    starts = [number for number, line in enumerate(lines) if line == PUBLIC_TITLE]
    return tuple(
        _parse_public_key(lines[start + 1 : end])
        for start, end in zip(starts, [*starts[1:], len(lines)], strict=True)
    )


def parse_secret_key(text: bytes) -> SecretKeyFile:
    """The secret key in a .key file, still closed. Raises KeyFileError."""
    title, *lines = _split(text)
    if title == PUBLIC_TITLE:
        raise KeyFileError("This is a public key, which opens nothing. Use the .key file.")
    if title != SECRET_TITLE:
        raise KeyFileError(f"This is not a secret key file: its first line is not “{SECRET_TITLE}”.")
    fields = _parse_fields(lines, ("name", "fingerprint", "argon2id", "salt", "root"), ())
    if not re.fullmatch("[0-9a-f]{64}", fields["fingerprint"]):
        raise KeyFileError("The field “fingerprint” of this key file is not 64 hex digits.")
    passes, memory = _parse_cost(fields["argon2id"])
    return SecretKeyFile(
        _parse_name(fields["name"]),
        fields["fingerprint"],
        passes,
        memory,
        _parse_bytes("salt", fields["salt"], SALT),
        _parse_bytes("root", fields["root"], BOXED_ROOT),
    )


def close_root(
    root: bytes, name: str, passphrase: str, *, passes: int = PASSES, memory: int = MEMORY
) -> SecretKeyFile:
    """Close a root (32 bytes) with a passphrase, by Argon2id and secretbox. `memory` in bytes."""
    salt = random(SALT)
    box = SecretBox(argon2id.kdf(SecretBox.KEY_SIZE, passphrase.encode(), salt, passes, memory))
    fingerprint = derive_key_pair(root).public.fingerprint
    return SecretKeyFile(name, fingerprint, passes, memory, salt, bytes(box.encrypt(root)))


def open_root(file: SecretKeyFile, passphrase: str) -> bytes:
    """The root (32 bytes) of a secret key.

    Raises PassphraseError, or KeyFileError if another key's root was put into the file.
    """
    try:
        key = argon2id.kdf(SecretBox.KEY_SIZE, passphrase.encode(), file.salt, file.passes, file.memory)
        root = SecretBox(key).decrypt(file.boxed)
    except SodiumError:
        raise KeyFileError(
            f"Opening this key takes {file.memory >> 20} MiB of memory, which are not free."
        ) from None
    except CryptoError:
        raise PassphraseError(f"This passphrase does not open the key “{file.name}”.") from None
    if derive_key_pair(root).public.fingerprint != file.fingerprint:
        raise KeyFileError("The key in this file is not the one that its fingerprint names.")
    return root


def _split(text: bytes) -> list[str]:
    if len(text) > MAX_FILE:
        raise KeyFileError("This is not a key file: it is longer than 1 MiB.")
    try:
        lines = text.decode().replace("\r\n", "\n").removesuffix("\n").split("\n")
    except UnicodeDecodeError:
        raise KeyFileError("This is not a key file: it is not text.") from None
    return lines


def _parse_public_key(lines: Sequence[str]) -> PublicKeyFile:
    fields = _parse_fields(lines, ("name", "not-after", "key", "sign"), ("not-after", "sign"))
    try:
        key = parse_public_key(_parse_bytes("key", fields["key"], PUBLIC_KEY))
    except PublicKeyError as error:
        raise KeyFileError(f"The field “key” of this key file is damaged. {error}") from None
    return PublicKeyFile(
        _parse_name(fields["name"]),
        key,
        _parse_date(fields["not-after"]) if "not-after" in fields else None,
        _parse_bytes("sign", fields["sign"], SIGN_KEY) if "sign" in fields else None,
    )


def _parse_fields(lines: Sequence[str], order: Sequence[str], optional: Sequence[str]) -> dict[str, str]:
    """The values of `field: value` lines in this order, each once; only `optional` ones may be missing."""
    fields = {}
    for line in lines:
        field, colon, value = line.partition(": ")
        if not colon or field not in order:
            raise KeyFileError("This key file has a line that does not belong there.")
        if field in fields:
            raise KeyFileError(f"The field “{field}” stands twice in this key file.")
        fields[field] = value
    missing = [field for field in order if field not in fields and field not in optional]
    if missing:
        raise KeyFileError(f"The field “{missing[0]}” is missing in this key file.")
    if list(fields) != [field for field in order if field in fields]:
        raise KeyFileError("The fields of this key file are not in order.")
    return fields


def _parse_name(name: str) -> str:
    if not is_name(name):
        raise KeyFileError(f"The field “name” of this key file is not 1 to {MAX_NAME} printable characters.")
    return name


def _parse_bytes(field: str, value: str, length: int) -> bytes:
    try:
        return decode_base64url(value, length)
    except ValueError:
        raise KeyFileError(f"The field “{field}” of this key file is damaged.") from None


def _parse_date(value: str) -> datetime.date:
    try:
        date = datetime.date.fromisoformat(value)
    except ValueError:
        date = None
    if date is None or date.isoformat() != value:
        raise KeyFileError("The field “not-after” of this key file is not a date like 2027-06-30.")
    return date


def _parse_cost(value: str) -> tuple[int, int]:
    """Passes and bytes of memory; more than 10 or 1 GiB could only be meant to hang this machine."""
    match = re.fullmatch("([1-9][0-9]?) ([1-9][0-9]{3,9})", value, re.ASCII)
    passes, memory = map(int, match.groups()) if match else (0, 0)
    if not 1 <= passes <= MAX_PASSES or not argon2id.MEMLIMIT_MIN <= memory <= MAX_MEMORY:
        raise KeyFileError(
            f"The field “argon2id” of this key file is not 1 to {MAX_PASSES} passes "
            f"and {argon2id.MEMLIMIT_MIN} to {MAX_MEMORY} bytes."
        )
    return passes, memory
