"""`leakdrop export`: drops to a bundle on a stick.

What is copied is read back from the stick and compared before it gets its name; `bundle.json` is written
last. So an export that was broken off leaves no file that looks whole and is not, and the next one goes on
where it stopped.
"""

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from leakdrop.bundle import (
    LIST_NAME,
    Bundle,
    BundleEntry,
    encode_bundle,
    open_regular,
    parse_bundle,
)
from leakdrop.errors import BundleError, LeakdropError, NoRoomError
from leakdrop.folders import sync_folder
from leakdrop.lists import MAX_LIST
from leakdrop.store.drop import Drop
from leakdrop.store.layout import ENVELOPE, free_bytes, is_full
from leakdrop.store.places import DropPlace

READ = 1024 * 1024
# For bundle.json and the folder itself.
MARGIN_BYTES = 1024 * 1024
PARTIAL = ".partial"


@dataclass(frozen=True)
class Export:
    """What an export did: how many drops it copied, of how many bytes, how many were there already, and the
    names of the files that this server's disk did not give whole."""

    copied: int
    bytes: int
    present: int
    unreadable: tuple[str, ...]


class UnreadableDropError(LeakdropError):
    """This server's disk does not give a drop whole."""


Tell = Callable[[int], object]


def _in_silence(_total: int) -> AbstractContextManager[Tell]:
    return nullcontext(lambda size: None)


def export(
    drops: DropPlace,
    folder: Path,
    progress: Callable[[int], AbstractContextManager[Tell]] = _in_silence,
    *,
    verify: bool = False,
) -> Export:
    """Copy every drop that the bundle does not hold yet.

    What a bundle lists is taken to lie there if its size is right; `verify` reads it all and compares its
    sums. `progress` is told how many bytes will be copied, and gives what is told of each piece. Raises
    BundleError or NoRoomError before anything was changed if the folder cannot take the bundle. A drop that
    cannot be read here stops no other.
    """
    bundle = _read_bundle(folder)
    listed = {entry.name: entry for entry in bundle.entries}
    present: list[BundleEntry] = []
    copied: list[BundleEntry] = []
    missing: list[Drop] = []
    unreadable: list[str] = []
    for drop in drops.all():
        with _noting(drop, unreadable):
            entry = _find(drop, drops, folder, None if verify else listed.get(_name(drop)))
            if entry:
                present.append(entry)
            else:
                missing.append(drop)
    _check_room(folder, missing)
    _make(folder)
    _remove_partials(folder)
    with progress(sum(drop.size for drop in missing)) as tell:
        for drop in missing:
            with _noting(drop, unreadable):
                copied.append(_copy(drop, drops, folder, tell))
    entries = listed | {entry.name: entry for entry in [*present, *copied]}
    if copied or entries != listed or not (folder / LIST_NAME).exists():
        _write_bundle(folder, entries.values())
    return Export(
        len(copied), sum(entry.size for entry in copied), len(present), tuple(dict.fromkeys(unreadable))
    )


@contextmanager
def _noting(drop: Drop, unreadable: list[str]) -> Iterator[None]:
    """Note a drop that cannot be read, and go on. One that has left meanwhile is none."""
    try:
        yield
    except UnreadableDropError:
        unreadable.append(_name(drop))
    except _GoneError:
        return


class _GoneError(Exception):
    pass


def _read(drop: Drop, drops: DropPlace) -> Iterator[bytes]:
    """A drop's bytes, in pieces. What this server's disk refuses must not pass for the stick's fault.

    Raises UnreadableDropError, and _GoneError if the drop has left meanwhile.
    """
    try:
        with drops.open(drop) as file:
            while piece := file.read(READ):
                yield piece
    except FileNotFoundError:
        raise _GoneError from None
    except OSError:
        raise UnreadableDropError from None


def _make(folder: Path) -> None:
    """Make the folder, if it is not there; its own name is to survive, too."""
    if folder.exists():
        return
    folder.mkdir()
    with _blaming_the_stick(folder):
        sync_folder(folder.absolute().parent)


def _name(drop: Drop) -> str:
    return f"{drop.name}{ENVELOPE}"


def _read_bundle(folder: Path) -> Bundle:
    if folder.exists() and not folder.is_dir():
        raise BundleError(f"{folder} is not a folder.")
    try:
        with open_regular(folder / LIST_NAME) as file:
            return parse_bundle(file.read(MAX_LIST + 1))
    except FileNotFoundError:
        return Bundle(())
    except BundleError as error:
        raise BundleError(f"{folder / LIST_NAME}: {error} Export into an empty folder instead.") from None


def _find(drop: Drop, drops: DropPlace, folder: Path, entry: BundleEntry | None) -> BundleEntry | None:
    """The entry of a drop that lies in the folder whole.

    A file that is not listed is one that an export was broken off after: it is compared.
    """
    path = folder / _name(drop)
    if path.is_symlink() or not path.is_file() or path.stat().st_size != drop.size:
        return None
    if entry and entry.size == drop.size:
        return entry
    sha256 = hashlib.sha256()
    for piece in _read(drop, drops):
        sha256.update(piece)
    same = _hash(path) == sha256.hexdigest()
    return BundleEntry(path.name, drop.size, sha256.hexdigest(), drop.week) if same else None


def _check_room(folder: Path, missing: Iterable[Drop]) -> None:
    """Raises BundleError or NoRoomError if the folder cannot take these drops."""
    existing = folder if folder.exists() else folder.parent
    if not existing.is_dir():
        raise BundleError(f"There is no folder {existing}: is the stick in?")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise BundleError(f"{existing} is read-only: use another stick, or unlock this one.")
    needed = sum(drop.size for drop in missing) + MARGIN_BYTES
    free = free_bytes(existing)
    if needed > free:
        raise NoRoomError(
            f"{existing} has {free >> 20} MiB free, and the export needs {-(-needed >> 20)} MiB. "
            "Nothing was changed. Use a larger stick."
        )


def _remove_partials(folder: Path) -> None:
    for path in folder.glob(f".*{PARTIAL}"):
        path.unlink()


def _copy(drop: Drop, drops: DropPlace, folder: Path, tell: Tell) -> BundleEntry:
    """Copy one drop, read it back and compare.

    Raises NoRoomError, BundleError and UnreadableDropError; then it is not there.
    """
    path = folder / _name(drop)
    partial = folder / f".{path.name}{PARTIAL}"
    try:
        with _blaming_the_stick(folder):
            size, sha256 = _write(_read(drop, drops), partial, tell)
            if _hash(partial) != sha256:
                raise BundleError(f"{folder} gave back other bytes than were written: use another stick.")
            partial.rename(path)
            sync_folder(folder)
    finally:
        _remove_quietly(partial)
    return BundleEntry(path.name, size, sha256, drop.week)


@contextmanager
def _blaming_the_stick(folder: Path) -> Iterator[None]:
    """Raises NoRoomError and LeakdropError for what the stick refuses."""
    try:
        yield
    except OSError as error:
        if is_full(error):
            raise NoRoomError(
                f"{folder} is full. What was copied before is whole; use a larger stick."
            ) from None
        raise LeakdropError(f"{folder}: {error.strerror}. Is the stick still in?") from None


def _write(pieces: Iterable[bytes], target: Path, tell: Tell) -> tuple[int, str]:
    """Write pieces durably, and return how many bytes they have, and their SHA-256 in hex."""
    size, sha256 = 0, hashlib.sha256()
    with target.open("xb", buffering=0) as writer:
        for piece in pieces:
            size += len(piece)
            sha256.update(piece)
            rest = memoryview(piece)
            while rest:
                rest = rest[writer.write(rest) :]
            tell(len(piece))
        os.fsync(writer.fileno())
        # So that reading back asks the stick, not this machine's memory.
        os.posix_fadvise(writer.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return size, sha256.hexdigest()


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write_bundle(folder: Path, entries: Iterable[BundleEntry]) -> None:
    bundle = Bundle(tuple(sorted(entries, key=lambda entry: entry.name)))
    partial = folder / f".{LIST_NAME}{PARTIAL}"
    try:
        with _blaming_the_stick(folder):
            with partial.open("xb") as file:
                file.write(encode_bundle(bundle))
                file.flush()
                os.fsync(file.fileno())
            partial.rename(folder / LIST_NAME)
            sync_folder(folder)
    finally:
        _remove_quietly(partial)


def _remove_quietly(path: Path) -> None:
    """Remove a file, unless it is gone, or the stick is."""
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return
