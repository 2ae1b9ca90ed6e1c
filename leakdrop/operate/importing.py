"""`leakdrop import`: replies from the reviewers' stick to the mailboxes that they are for.

Each is read whole and checked: its name, its sum, that its header is an envelope's for one key. Nothing else
can be checked without a key. It becomes a reply whole or not at all, so an import that was broken off can be
repeated. Nothing is kept of the bundle that it came in.
"""

import hashlib
import io
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from leakdrop.bundle import MAX_REPLY, REPLIES_NAME, open_regular, parse_reply_name
from leakdrop.envelope.header import read_header
from leakdrop.errors import BundleError, EnvelopeError, LeakdropError, NoRoomError
from leakdrop.store.places import ReplyPlace
from leakdrop.store.replies import MailboxFullError

Tell = Callable[[int], object]


@dataclass(frozen=True)
class Refused:
    """A file that is not taken, and why."""

    name: str
    sentence: str


@dataclass(frozen=True)
class Import:
    """What an import did: how many replies it took, how many were there already, and what it refused."""

    taken: int
    present: int
    refused: tuple[Refused, ...]


def import_replies(
    replies: ReplyPlace, folder: Path, progress: Callable[[int], AbstractContextManager[Tell]]
) -> Import:
    """Take every reply that lies in a bundle's `replies/`; `progress` is told how many files there are.

    Raises BundleError if there is no such folder, and LeakdropError if the stick or the disk fails: then what
    was taken before is whole.
    """
    paths = _list(folder)
    taken = present = 0
    refused = []
    with progress(len(paths)) as tell:
        for path in paths:
            try:
                is_new = _take(replies, path)
                taken, present = taken + is_new, present + (not is_new)
            except (BundleError, EnvelopeError, MailboxFullError) as error:
                refused.append(Refused(path.name, str(error)))
            except NoRoomError:
                raise NoRoomError(f"There is no room for {path.name}. {_so_far(taken)}") from None
            except OSError as error:
                raise LeakdropError(
                    f"{path}: {error.strerror}. Is the stick still in? {_so_far(taken)} Then import again."
                ) from None
            tell(1)
    return Import(taken, present, tuple(refused))


def _so_far(taken: int) -> str:
    return f"What was imported before is whole ({taken})."


def _list(folder: Path) -> list[Path]:
    """All that lies in the folder of replies, but what other systems hide there. Raises BundleError."""
    if not folder.is_dir():
        raise BundleError(f"There is no folder {folder}: is the stick in?")
    source = folder / REPLIES_NAME
    if source.is_symlink() or not source.is_dir():
        raise BundleError(f"There are no replies in {folder}: it has no folder “{REPLIES_NAME}”.")
    try:
        return sorted(path for path in source.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise BundleError(f"{source}: {error.strerror}. Is the stick still in?") from None


def _take(replies: ReplyPlace, path: Path) -> bool:
    """Take one reply; False if it was there already.

    Raises BundleError, EnvelopeError and MailboxFullError for what is refused, NoRoomError and OSError.
    """
    named = parse_reply_name(path.name)
    if not named:
        raise BundleError("its name is not that of a reply.")
    mailbox, beginning = named
    with open_regular(path) as file:
        envelope = file.read(MAX_REPLY + 1)
    if len(envelope) > MAX_REPLY:
        raise BundleError("it is larger than a reply can be.")
    if not hashlib.sha256(envelope).hexdigest().startswith(beginning):
        raise BundleError("it is damaged: its sum is not the one in its name.")
    header, _ = read_header(io.BytesIO(envelope), len(envelope))
    if len(header.stanzas) != 1:
        raise BundleError("it is sealed to several keys, and a reply is sealed to one.")
    return replies.keep(mailbox, envelope)
