"""The data folder, and how a file in it becomes durable.

data/drops/<32 hex>.envelope      a drop
data/incoming/<32 hex>.part       an envelope that is not whole yet
data/uploads/<32 hex>.part        an envelope that comes in piece by piece
data/replies/<64 hex>.<64 hex>.envelope    a reply: its mailbox, its SHA-256
data/leakdrop.sqlite              the rows
data/settling/<32 hex>.part       a drop that is being copied to a new file
data/settling/2026-W47            a mark: the drops of this week settle once more
data/week                         the week that is remembered: a leap of the clock deletes no drop
data/lock                         held by the one server that may write here
data/upkeep.lock                  held by the one process that settles, removes or imports drops
"""

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from leakdrop import folders
from leakdrop.errors import StoreError

ENVELOPE = ".envelope"
PART = ".part"


@dataclass(frozen=True)
class Layout:
    """Where things lie below the data folder."""

    root: Path

    @property
    def drops(self) -> Path:
        return self.root / "drops"

    @property
    def incoming(self) -> Path:
        return self.root / "incoming"

    @property
    def uploads(self) -> Path:
        return self.root / "uploads"

    @property
    def replies(self) -> Path:
        return self.root / "replies"

    @property
    def settling(self) -> Path:
        return self.root / "settling"

    @property
    def database(self) -> Path:
        return self.root / "leakdrop.sqlite"

    @property
    def week(self) -> Path:
        return self.root / "week"

    def drop(self, name: str) -> Path:
        return self.drops / f"{name}{ENVELOPE}"

    def part(self, name: str) -> Path:
        return self.incoming / f"{name}{PART}"

    def upload(self, upload_id: str) -> Path:
        return self.uploads / f"{upload_id}{PART}"

    def copy(self, name: str) -> Path:
        return self.settling / f"{name}{PART}"

    def mark(self, week: str) -> Path:
        return self.settling / week

    def reply(self, mailbox: str, sha256: str) -> Path:
        return self.replies / f"{mailbox}.{sha256}{ENVELOPE}"

    def make(self) -> None:
        """Make a new data folder, for this user alone. Raises StoreError."""
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"The data folder {self.root} cannot be made: {error.strerror}.") from None

    def check(self) -> None:
        """Make what is missing in the data folder. Raises StoreError if the folder itself is not there.

        An encrypted disk that is not mounted must not look like a site without drops.
        """
        if not self.root.is_dir():
            raise StoreError(
                f"There is no data folder {self.root}: is its disk mounted? `init` makes a new one."
            )
        if not os.access(self.root, os.W_OK | os.X_OK):
            raise StoreError(f"The data folder {self.root} is read-only for this user.")
        try:
            for folder in (self.drops, self.incoming, self.uploads, self.replies):
                folder.mkdir(mode=0o700, exist_ok=True)
            self.database.touch(mode=0o600)
        except OSError as error:
            raise StoreError(f"The data folder {self.root} cannot be used: {error.strerror}.") from None


def lock(layout: Layout) -> BinaryIO:
    """Hold the data folder until the file that is returned is closed, or this process ends.

    Raises StoreError if another server holds it.
    """
    return _hold(layout.root / "lock", f"Another leakdrop is serving {layout.root} already.")


def is_served(layout: Layout) -> bool:
    """Whether a server holds the data folder, in whichever container. Raises OSError.

    A server that starts at the very same moment would be refused.
    """
    try:
        with (layout.root / "lock").open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def lock_upkeep(layout: Layout) -> BinaryIO:
    """As `lock`, for whoever replaces, removes or imports drops; a server may be running.

    Raises StoreError if another process holds it.
    """
    sentence = (
        f"Another leakdrop is settling or removing drops in {layout.root}, or importing some: "
        "try again when it is done."
    )
    return _hold(layout.root / "upkeep.lock", sentence)


@contextmanager
def lock_import(layout: Layout) -> Iterator[None]:
    """Hold the folder of replies, for whoever brings some. Raises StoreError if another process holds it."""
    descriptor = os.open(layout.replies, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise StoreError(f"Another import into {layout.root} is under way: wait until it is done.") from None
    finally:
        os.close(descriptor)


def _hold(path: Path, sentence: str) -> BinaryIO:
    file = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "wb")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise StoreError(sentence) from None
    return file


def forget_times(path: Path) -> None:
    """Set a file's or a folder's times of reading and writing to the epoch."""
    os.utime(path, ns=(0, 0))


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable, and its times say nothing."""
    forget_times(folder)
    folders.sync_folder(folder)


def create_private(path: Path) -> BinaryIO:
    """A new file, without a buffer, for this user alone."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb", buffering=0)


def free_bytes(folder: Path) -> int:
    """How many bytes a process without privileges can still write there."""
    status = os.statvfs(folder)
    return status.f_bavail * status.f_frsize


def is_full(error: OSError) -> bool:
    """Whether an error says that the disk, or this user's share of it, is full."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)
