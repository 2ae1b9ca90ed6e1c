"""The bundle: docs/bundle.md. A folder of envelopes that goes from the server to the reviewers.

    <32 hex digits>.envelope    one drop each, under a random name
    bundle.json                 {"format":"leakdrop bundle 1","envelopes":[E,…]}, sorted by name
    replies/                    what the reviewers send back, an envelope each:
        <mailbox in hex>.<first 32 hex digits of the envelope's SHA-256>.envelope
    acknowledged.json           what they hold whole (leakdrop.acknowledgement)

    E = {"name":"<32 hex digits>.envelope","size":n,"sha256":"<64 hex digits>","week":"2026-W47"}

bundle.json is not signed: it tells what got lost or was changed by accident, and not who made it. Nothing
here opens an envelope, and nothing looks at a clock.
"""

import hashlib
import os
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path

from leakdrop.envelope.header import envelope_length
from leakdrop.envelope.index import MAX_MESSAGE
from leakdrop.errors import BundleError
from leakdrop.lists import MAX_LIST, ListReader, encode_list

FORMAT = "leakdrop bundle 1"
LIST_NAME = "bundle.json"
REPLIES_NAME = "replies"
ACKNOWLEDGEMENT_NAME = "acknowledged.json"
MAX_SIZE = 2**53 - 1
# What a reply may hold, in bytes: files together; beside them a message, and names to spare.
MAX_REPLY_FILES = 10 * 1024 * 1024
MAX_REPLY = envelope_length(1, MAX_REPLY_FILES + 2 * MAX_MESSAGE)

NAME = re.compile(r"[0-9a-f]{32}\.envelope")
SHA256 = re.compile("[0-9a-f]{64}")
_REPLY_NAME = re.compile(r"([0-9a-f]{64})\.([0-9a-f]{32})\.envelope")
_WEEK = re.compile("[0-9]{4}-W(0[1-9]|[1-4][0-9]|5[0-3])")
_ANY_FORMAT = re.compile("leakdrop bundle [1-9][0-9]*")
_READER = ListReader(LIST_NAME, {"name": NAME, "sha256": SHA256, "week": _WEEK, "size": MAX_SIZE})


@dataclass(frozen=True)
class BundleEntry:
    """One envelope: its file's name, its size in bytes, its SHA-256 in hex, and the ISO week it came in."""

    name: str
    size: int
    sha256: str
    week: str


@dataclass(frozen=True)
class Bundle:
    """What bundle.json names, sorted by name."""

    entries: tuple[BundleEntry, ...]


@dataclass(frozen=True)
class Comparison:
    """How a folder differs from its bundle.json: names of files, sorted."""

    missing: tuple[str, ...]
    changed: tuple[str, ...]
    extra: tuple[str, ...]


def encode_bundle(bundle: Bundle) -> bytes:
    """The bytes of bundle.json."""
    return encode_list(FORMAT, bundle.entries)


def parse_bundle(encoded: bytes) -> Bundle:
    """The bundle in these bytes. Raises BundleError."""
    fields = _READER.parse_json(encoded)
    _check_format(fields.get("format"))
    return Bundle(tuple(BundleEntry(**entry) for entry in _READER.parse_entries(fields)))


def _check_format(found: object) -> None:
    if found == FORMAT:
        return
    if type(found) is str and _ANY_FORMAT.fullmatch(found):
        raise BundleError("This bundle was made by a newer leakdrop: update leakdrop to read it.")
    raise BundleError(f"This {LIST_NAME} is not that of a leakdrop bundle.")


def name_reply(mailbox: bytes, sha256: str) -> str:
    """The file name of a reply, from its mailbox (32 bytes) and its envelope's SHA-256 in hex."""
    return f"{mailbox.hex()}.{sha256[:32]}.envelope"


def parse_reply_name(name: str) -> tuple[bytes, str] | None:
    """The mailbox (32 bytes) and the first 32 hex digits of the SHA-256 in a reply's name, if it is one."""
    match = _REPLY_NAME.fullmatch(name)
    return (bytes.fromhex(match[1]), match[2]) if match else None


def open_regular(path: Path, *, follow: bool = False) -> BufferedReader:
    """Open a file to be read, and nothing that only looks like one: device, pipe or, unless `follow`, link.

    Raises BundleError, or OSError if there is none.
    """
    # Without O_NONBLOCK a pipe would wait for its writer, perhaps for ever.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    if not follow and path.is_symlink():
        raise BundleError(f"{path} is a link, not a file.")
    descriptor = os.open(path, flags if follow else flags | getattr(os, "O_NOFOLLOW", 0))
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise BundleError(f"{path} is not a file.")
    return os.fdopen(descriptor, "rb")


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Raises BundleError for an OSError: a failing stick must not stop the work on other envelopes."""
    try:
        yield
    except OSError as error:
        raise BundleError(f"{path} cannot be read: {error.strerror}.") from None


def load_bundle(folder: Path) -> Bundle:
    """The bundle in a folder. Raises BundleError."""
    path = folder / LIST_NAME
    try:
        with open_regular(path) as file, reading(path):
            encoded = file.read(MAX_LIST + 1)
        return parse_bundle(encoded)
    except FileNotFoundError:
        raise BundleError(f"{folder} is not a bundle: it holds no {LIST_NAME}.") from None
    except BundleError as error:
        raise BundleError(f"{folder}: {error}") from None


def compare(
    folder: Path,
    bundle: Bundle,
    *,
    sums: bool = False,
    progress: Callable[[int], object] = lambda size: None,
) -> Comparison:
    """How a folder differs from its bundle: by names and sizes, and by the SHA-256 sums if asked.

    Links are not followed. What `progress` is told are the bytes that were summed.
    """
    sizes = _measure(folder)
    missing, changed = [], []
    for entry in bundle.entries:
        if entry.name not in sizes:
            missing.append(entry.name)
        elif sizes[entry.name] != entry.size or (
            sums and compute_sha256(folder / entry.name, progress) != entry.sha256
        ):
            changed.append(entry.name)
    extra = (
        set(sizes)
        - {entry.name for entry in bundle.entries}
        - {
            LIST_NAME,
            REPLIES_NAME,
            ACKNOWLEDGEMENT_NAME,
        }
    )
    return Comparison(tuple(missing), tuple(changed), tuple(sorted(extra)))


def _measure(folder: Path) -> dict[str, int | None]:
    """Name and size in bytes of all that lies in a folder; None for what is no file, links among them."""
    with os.scandir(folder) as found:
        return {
            item.name: item.stat(follow_symlinks=False).st_size
            if item.is_file(follow_symlinks=False)
            else None
            for item in found
        }


def compute_sha256(path: Path, progress: Callable[[int], object] = lambda size: None) -> str:
    """The SHA-256 of a file, 64 lower-case hex digits. Raises BundleError."""
    digest = hashlib.sha256()
    buffer = memoryview(bytearray(1 << 20))
    with reading(path), open_regular(path) as file:
        while size := file.readinto(buffer):
            digest.update(buffer[:size])
            progress(size)
    return digest.hexdigest()
