"""`leakdrop import`: replies from the reviewers' stick to the mailboxes that they are for.

Each is read whole and checked: its name, its sum, that its header is an envelope's for one key. Nothing else
can be checked without a key. It becomes a reply whole or not at all, so an import that was broken off can be
repeated. Nothing is kept of the bundle that it came in, and what was taken is removed from the stick: a reply
that its source has deleted would come back with it.
"""

import hashlib
import io
import os
import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from leakdrop.bundle import (
    ACKNOWLEDGEMENT_NAME,
    LIST_NAME,
    MAX_REPLY,
    REPLIES_NAME,
    open_regular,
    parse_reply_name,
)
from leakdrop.envelope.header import read_header
from leakdrop.errors import BundleError, EnvelopeError, LeakdropError, NoRoomError, StoreError
from leakdrop.folders import sync_folder
from leakdrop.store.owner import as_caller
from leakdrop.store.replies import MailboxFullError

Tell = Callable[[int], object]
# Makes an envelope the reply of a mailbox; False if it was one already.
Keep = Callable[[bytes, bytes], bool]


@dataclass(frozen=True)
class Refused:
    """A file that is not taken, and why. In a name, of a mailbox and a sum, stand the first eight digits."""

    name: str
    sentence: str


@dataclass(frozen=True)
class Import:
    """What an import did: how many replies it took, how many were there already, what it refused, and how
    many of the first two kinds still lie on the stick."""

    taken: int
    present: int
    refused: tuple[Refused, ...]
    left: int


def shorten(name: str) -> str:
    """A file's name for people and logs: what names a mailbox whole stays on the stick."""
    return re.sub("([0-9A-Fa-f]{8})[0-9A-Fa-f]{24,}", r"\1…", name)


def import_replies(
    keep: Keep, folder: Path, progress: Callable[[int], AbstractContextManager[Tell]]
) -> Import:
    """Take every reply that lies in a bundle's `replies/`; `progress` is told how many files there are.

    Raises BundleError if there is no such folder, and LeakdropError if the stick or the disk fails: then what
    was taken before is whole.
    """
    with as_caller():
        paths = _list(folder)
    taken = present = left = 0
    refused = []
    with progress(len(paths)) as tell:
        for path in paths:
            try:
                with as_caller():
                    mailbox, envelope = _read(path, taken)
                is_new = _keep(keep, mailbox, envelope, path, taken)
                taken, present = taken + is_new, present + (not is_new)
                with as_caller():
                    left += not _take_off(path)
            except (BundleError, EnvelopeError, MailboxFullError) as error:
                refused.append(Refused(shorten(path.name), str(error)))
            tell(1)
    return Import(taken, present, tuple(refused), left)


def so_far(taken: int) -> str:
    return f"What was imported before is whole ({taken})."


def _list(folder: Path) -> list[Path]:
    """All that lies in the folder of replies, but what other systems hide there. Raises BundleError.

    A bundle may come back without replies.
    """
    if not folder.is_dir():
        raise BundleError(f"There is no folder {folder}: is the stick in?")
    source = folder / REPLIES_NAME
    is_bundle = any((folder / name).is_file() for name in (LIST_NAME, ACKNOWLEDGEMENT_NAME))
    if is_bundle and not os.path.lexists(source):
        return []
    if source.is_symlink() or not source.is_dir():
        raise BundleError(f"There are no replies in {folder}: it has no folder “{REPLIES_NAME}”.")
    try:
        return sorted(path for path in source.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise BundleError(f"{source}: {error.strerror}. Is the stick still in?") from None


def _read(path: Path, taken: int) -> tuple[bytes, bytes]:
    """A reply's mailbox (32 bytes) and its envelope.

    Raises BundleError and EnvelopeError for what is refused, LeakdropError if the stick fails.
    """
    named = parse_reply_name(path.name)
    if not named:
        raise BundleError("its name is not that of a reply.")
    mailbox, beginning = named
    try:
        with open_regular(path) as file:
            envelope = file.read(MAX_REPLY + 1)
    except OSError as error:
        raise LeakdropError(
            f"{path.parent / shorten(path.name)}: {error.strerror}. Is the stick still in? "
            f"{so_far(taken)} Then import again."
        ) from None
    if len(envelope) > MAX_REPLY:
        raise BundleError("it is larger than a reply can be.")
    if not hashlib.sha256(envelope).hexdigest().startswith(beginning):
        raise BundleError("it is damaged: its sum is not the one in its name.")
    header, _ = read_header(io.BytesIO(envelope), len(envelope))
    if len(header.stanzas) != 1:
        raise BundleError("it is sealed to several keys, and a reply is sealed to one.")
    return mailbox, envelope


def _keep(keep: Keep, mailbox: bytes, envelope: bytes, path: Path, taken: int) -> bool:
    """Raises MailboxFullError; NoRoomError, StoreError or LeakdropError if the server's own disk fails."""
    try:
        return keep(mailbox, envelope)
    except NoRoomError:
        raise NoRoomError(f"There is no room for {shorten(path.name)}. {so_far(taken)}") from None
    except StoreError as error:
        raise StoreError(f"{error} {so_far(taken)} Then import again.") from None
    except OSError as error:
        raise LeakdropError(
            f"This server's data folder: {error.strerror}. {so_far(taken)} "
            "Look at it with “leakdrop check”, then import again."
        ) from None


def _take_off(path: Path) -> bool:
    """Remove from the stick what is safe here; False if the stick cannot be written."""
    try:
        path.unlink()
        sync_folder(path.parent)
    except OSError:
        return False
    return True
