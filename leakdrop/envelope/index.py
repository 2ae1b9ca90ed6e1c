"""The index of an envelope, as canonical JSON: docs/envelope.md, "The index".

    {"v":1,"sealed":S,"kind":K,"message":M,"files":[{"name":N,"type":T,"size":Z},…],
     "reply_to":{"mailbox":B,"key":B}}

Exactly these keys in this order; `reply_to` alone may be missing. The reader parses, checks, writes the
index again and compares: duplicate keys, white space, other spellings of a number or a letter all
fail that comparison, so that Python and JavaScript cannot disagree about what was said.
"""

import base64
import binascii
import json
import re
from dataclasses import dataclass
from typing import Any

from leakdrop.envelope.keys import PUBLIC_KEY, PublicKey, parse_public_key
from leakdrop.errors import EnvelopeError, Kind, PublicKeyError, SubmissionError

MAX_INDEX = 16 * 1024 * 1024
MAX_FILES = 10_000
MAX_MESSAGE = 1_048_576
MAX_KIND = 64
MAX_NAME = 1_024
MAX_TYPE = 255
MAX_SIZE = 2**53 - 1
MAILBOX = 32
SEALED_BY = ("browser", "server", "offline", "review")

_UNWRITABLE = re.compile("[\x00\ud800-\udfff]")


@dataclass(frozen=True)
class FileEntry:
    """One file: its name (1..1,024 bytes) and type (0..255 bytes) as its sender claims, its size in bytes."""

    name: str
    type: str
    size: int


@dataclass(frozen=True)
class ReplyTo:
    """Where replies go: the mailbox (32 bytes) and the key that they are sealed to."""

    mailbox: bytes
    key: PublicKey


@dataclass(frozen=True)
class Index:
    """What stands in an envelope. `sealed` names who claims to have sealed it."""

    sealed: str
    kind: str
    message: str
    files: tuple[FileEntry, ...] = ()
    reply_to: ReplyTo | None = None


def clean_text(text: str) -> str:
    """The text as an index can hold it: U+FFFD for U+0000 and for halves of surrogate pairs."""
    return _UNWRITABLE.sub("\ufffd", text)


def clean_message(text: str) -> str:
    """A message as an index can hold it: clean, and with LF at the ends of lines."""
    return clean_text(text.replace("\r\n", "\n").replace("\r", "\n"))


def clip(text: str, limit: int) -> str:
    """The longest beginning of a clean text that has at most `limit` bytes in UTF-8."""
    return text.encode()[:limit].decode(errors="ignore")


def clean_name(name: str) -> str:
    """A file name as an index can hold it: never empty; a long one loses its middle and keeps its ending."""
    name = clean_text(name) or "file"
    if len(name.encode()) <= MAX_NAME:
        return name
    ending = name.encode()[-64:].decode(errors="ignore")
    return clip(name, MAX_NAME - 64 - len("…".encode())) + "…" + ending


def encode_base64url(data: bytes) -> str:
    """base64url without padding (RFC 4648, section 5)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decode_base64url(text: str, length: int) -> bytes:
    """The `length` bytes of a canonical base64url text without padding; ValueError for any other text."""
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, UnicodeEncodeError):
        raise ValueError("not base64url") from None
    if len(data) != length or encode_base64url(data) != text:
        raise ValueError("not canonical base64url of this length")
    return data


def encode_index(index: Index) -> bytes:
    """The canonical bytes of an index, as a writer makes them.

    Raises SubmissionError for a message, a number of files or names that are too much, and for any other
    text that was not cleaned before.
    """
    if len(index.message.encode(errors="replace")) > MAX_MESSAGE:
        raise SubmissionError("The message is longer than 1 MiB: attach it as a file.")
    if len(index.files) > MAX_FILES:
        raise SubmissionError(f"There are more than {MAX_FILES:,} files: put them into an archive.")
    try:
        _check(index, sum(file.size for file in index.files))
    except ValueError as error:
        raise SubmissionError(f"The field “{error}” cannot stand in an envelope.") from None
    encoded = _write(index)
    if len(encoded) > MAX_INDEX:
        raise SubmissionError("The files' names are too long together: put the files into an archive.")
    return encoded


def _write(index: Index) -> bytes:
    fields: dict[str, Any] = {
        "v": 1,
        "sealed": index.sealed,
        "kind": index.kind,
        "message": index.message,
        "files": [{"name": f.name, "type": f.type, "size": f.size} for f in index.files],
    }
    if index.reply_to:
        fields["reply_to"] = {
            "mailbox": encode_base64url(index.reply_to.mailbox),
            "key": encode_base64url(index.reply_to.key.encoded),
        }
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()


def decode_index(encoded: bytes, size: int) -> Index:
    """The index in these bytes; `size` is its offset, which its files' sizes must add up to.

    Raises EnvelopeError (bad-index).
    """
    try:
        index = _parse(json.loads(encoded.decode()))
        # The bounds come first: what is written again is no larger than what was read.
        _check(index, size)
        if _write(index) != encoded:
            raise ValueError("not canonical")
    except (ValueError, KeyError, TypeError, RecursionError, PublicKeyError):
        raise EnvelopeError(Kind.BAD_INDEX) from None
    return index


def _parse(fields: dict[str, Any]) -> Index:
    """An Index of these JSON values. Too few or odd fields raise; too many fail the comparison."""
    if type(fields["v"]) is not int or fields["v"] != 1:
        raise ValueError("v")
    return Index(
        fields["sealed"],
        fields["kind"],
        fields["message"],
        tuple(FileEntry(file["name"], file["type"], file["size"]) for file in fields["files"]),
        _parse_reply_to(fields["reply_to"]) if "reply_to" in fields else None,
    )


def _parse_reply_to(fields: dict[str, Any]) -> ReplyTo:
    return ReplyTo(
        decode_base64url(fields["mailbox"], MAILBOX),
        parse_public_key(decode_base64url(fields["key"], PUBLIC_KEY)),
    )


def _check(index: Index, size: int) -> None:
    """Raises ValueError, with the name of the field that breaks its rule."""
    if index.sealed not in SEALED_BY:
        raise ValueError("sealed")
    _check_text("kind", index.kind, 0, MAX_KIND)
    _check_text("message", index.message, 0, MAX_MESSAGE)
    if "\r" in index.message:
        raise ValueError("message")
    if len(index.files) > MAX_FILES:
        raise ValueError("files")
    for file in index.files:
        _check_text("name", file.name, 1, MAX_NAME)
        _check_text("type", file.type, 0, MAX_TYPE)
        if type(file.size) is not int or not 0 <= file.size <= MAX_SIZE:
            raise ValueError("size")
    if sum(file.size for file in index.files) != size:
        raise ValueError("size")


def _check_text(field: str, text: object, least: int, most: int) -> None:
    """A str of `least` to `most` bytes without U+0000 and without halves of surrogate pairs."""
    if type(text) is not str or _UNWRITABLE.search(text) or not least <= len(text.encode()) <= most:
        raise ValueError(field)
