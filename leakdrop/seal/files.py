"""Writing files that replace nothing, and that are whole or not there.

A file is made under a name of its own, brought to the disk, and only then gets its final name.
"""

import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from leakdrop.errors import NoRoomError
from leakdrop.folders import sync_folder
from leakdrop.terminal import human_size

PRIVATE_FILE, PRIVATE_FOLDER, PUBLIC_FILE = 0o600, 0o700, 0o644


@contextmanager
def naming(path: Path, instead_of: Path | None = None) -> Iterator[None]:
    """Name `path` in an OSError that names nothing, as those of reading and writing, or that names
    something in a place which will be gone when the error is read.
    """
    try:
        yield
    except OSError as error:
        if error.filename is None or (instead_of and Path(error.filename).is_relative_to(instead_of)):
            error.filename = str(path)
        raise


@contextmanager
def create_file(path: Path, mode: int = PRIVATE_FILE) -> Iterator[BinaryIO]:
    """A file that was not there before, on the disk at the end. If anything fails, it is removed.

    Raises FileExistsError, and any other OSError.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, flags, mode)
    try:
        with naming(path), os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        path.unlink(missing_ok=True)
        raise


@contextmanager
def create_whole_file(path: Path, mode: int = PRIVATE_FILE) -> Iterator[BinaryIO]:
    """A file that has its name only when it is whole. Raises FileExistsError, and any other OSError."""
    unfinished = path.with_name(f".leakdrop-{secrets.token_hex(8)}.partial")
    with naming(path, instead_of=unfinished):
        with create_file(unfinished, mode) as file:
            yield file
        try:
            _move(unfinished, path)
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)


def _move(unfinished: Path, path: Path) -> None:
    """Give a file its name in one step, but never that of a file that is there. Raises OSError."""
    try:
        os.link(unfinished, path)
    except FileExistsError:
        raise
    except OSError:
        # FAT, as on most sticks, knows no links. A name taken first for an empty file would be one step more,
        # and a stick that is pulled out between them would hold a file that is not whole.
        if os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from None
        unfinished.rename(path)
    else:
        unfinished.unlink()


def check_room(folder: Path, size: int, what: str) -> None:
    """Raises NoRoomError if `size` bytes are not free where `folder` is, or is going to be."""
    free = shutil.disk_usage(nearest_folder(folder)).free
    if size > free:
        raise NoRoomError(f"{what} takes {human_size(size)}, and {folder} has {human_size(free)} free.")


def nearest_folder(path: Path) -> Path:
    """The path with links resolved, or the nearest of the folders above it that exists."""
    path = path.resolve()
    return next(folder for folder in (path, *path.parents) if folder.exists())
