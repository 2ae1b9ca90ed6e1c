"""A bundle or one envelope, as a reviewer gets it, and what opening each envelope tells.

Listing opens a header, the last chunk and the index, and no more. Extracting reads an envelope once from
its first byte to its last: what is summed is what was opened.
"""

import hashlib
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from io import BufferedReader
from pathlib import Path

from leakdrop.bundle import (
    LIST_NAME,
    BundleEntry,
    Comparison,
    compare,
    compute_sha256,
    load_bundle,
    open_regular,
    reading,
)
from leakdrop.envelope.header import read_header
from leakdrop.envelope.index import Index
from leakdrop.envelope.keys import KeyPair
from leakdrop.envelope.opening import TRAILER, Envelope, open_envelope
from leakdrop.errors import BundleError, EnvelopeError, Kind, LeakdropError
from leakdrop.review.summing import Summing
from leakdrop.terminal import Progress

ENDING = ".envelope"
NO_DIFFERENCE = Comparison((), (), ())


@dataclass(frozen=True)
class Item:
    """One envelope: where it lies, what bundle.json says of it, and the names of its equals in the bundle."""

    path: Path
    entry: BundleEntry | None = None
    copies: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def short_name(self) -> str:
        """The first 8 hex digits of a bundle's random name; a lone envelope's name as it is."""
        return self.name[:8] if self.entry else self.name

    @property
    def week(self) -> str:
        return self.entry.week if self.entry else ""


@dataclass(frozen=True)
class Inbox:
    """What there is to review. `bundle` is the folder that goes back to the server, if any.

    `unlisted` says why one envelope of a bundle could not be compared with bundle.json.
    """

    path: Path
    bundle: Path | None
    items: tuple[Item, ...]
    comparison: Comparison
    unlisted: str = ""


@dataclass(frozen=True)
class Sight:
    """What opening an envelope tells without reading its files. Either it is open, or it was refused.

    `size` is that of the envelope in bytes, `length` that of the padded plaintext. The key ids (16 bytes
    each) are the header's, if it has one, and `header_sha256` is its sum in hex.
    """

    item: Item
    size: int
    key_ids: tuple[bytes, ...] = ()
    length: int = 0
    index: Index | None = None
    opened_with: KeyPair | None = None
    refusal: LeakdropError | None = None
    header_sha256: str = ""


class EnvelopeFile:
    """An envelope's file: read at any offset, and summed as it is read in order. Raises BundleError."""

    def __init__(self, path: Path, file: BufferedReader, summing: Summing) -> None:
        self._path, self._file, self._summing = path, file, summing
        self._summed = 0

    def seek(self, offset: int, whence: int = 0, /) -> int:
        with reading(self._path):
            return self._file.seek(offset, whence)

    def read(self, size: int = -1, /) -> bytes:
        with reading(self._path):
            return self._file.read(size)

    def readinto(self, buffer: memoryview, /) -> int:
        # The buffer may be the one that is still being summed.
        self._summing.wait()
        with reading(self._path):
            position = self._file.tell()
            size = self._file.readinto(buffer)
        if self._summed and position == self._summed:
            self._summing.update(buffer[:size])
            self._summed += size
        return size

    def begin_sum(self, head: bytes) -> None:
        """Sum the envelope's first bytes, which were read before; what follows is summed as it is read."""
        self._summing.update(head)
        self._summed = len(head)

    def finish_sum(self) -> tuple[int, str]:
        """How many bytes were summed, and their SHA-256 in hex."""
        return self._summed, self._summing.finish()


def open_inbox(path: Path) -> Inbox:
    """The envelopes of a bundle, equal ones folded, or one envelope. Raises BundleError and OSError."""
    if not path.is_dir():
        return _open_one(path)
    entries = load_bundle(path)
    comparison = compare(path, entries)
    there = [entry for entry in entries.entries if entry.name not in comparison.missing]
    return Inbox(path, path, tuple(_fold_equals(path, there)), comparison)


def _open_one(path: Path) -> Inbox:
    """One envelope; if it lies in a bundle, it is compared with bundle.json by its name and size."""
    found = path.resolve(strict=True)
    if not (found.parent / LIST_NAME).exists():
        return Inbox(path, None, (Item(path),), NO_DIFFERENCE)
    try:
        entries = load_bundle(found.parent).entries
    except BundleError as error:  # what is in the envelope can be read all the same
        unlisted = f"{found.name} was not compared with {LIST_NAME}. {error}"
        return Inbox(path, found.parent, (Item(path),), NO_DIFFERENCE, unlisted)
    entry = next((entry for entry in entries if entry.name == found.name), None)
    if entry is None:
        unlisted = f"{found.name} is not named in the {LIST_NAME} beside it: it is no part of that bundle."
        return Inbox(path, found.parent, (Item(path),), NO_DIFFERENCE, unlisted)
    changed = (entry.name,) if found.stat().st_size != entry.size else ()
    return Inbox(path, found.parent, (Item(found, entry),), Comparison((), changed, ()))


def find_beside(inbox: Inbox) -> list[Item]:
    """What lies beside the one envelope that was asked for, in its bundle; what equals it is left out.

    Raises BundleError and OSError.
    """
    if not inbox.bundle or inbox.path == inbox.bundle or inbox.unlisted:
        return []
    (own,) = inbox.items
    return [item for item in open_inbox(inbox.bundle).items if own.name not in (item.name, *item.copies)]


def compare_sums(inbox: Inbox) -> Inbox:
    """The inbox, with the envelopes among the changed that have another SHA-256 than bundle.json says.

    Every byte is read. Equals that were folded have been summed before.
    """
    listed = [(item, item.entry) for item in inbox.items if item.entry]
    with Progress(sum(entry.size for _, entry in listed), "Comparing") as progress:
        changed = {
            item.name for item, entry in listed if not _is_as_listed(item.path.parent, entry, progress)
        }
    comparison = inbox.comparison
    return replace(
        inbox, comparison=replace(comparison, changed=tuple(sorted({*comparison.changed, *changed})))
    )


def _fold_equals(folder: Path, entries: Sequence[BundleEntry]) -> Iterator[Item]:
    """The envelopes in order, those that equal an earlier one left out and named with it.

    bundle.json is not signed, so a sum in it hides nothing until the file has been summed too. Files whose
    sums differ there are not summed: that would read the whole stick, and an equal shown twice does no harm.
    """
    times = Counter((entry.size, entry.sha256) for entry in entries)
    doubtful = [entry for entry in entries if times[entry.size, entry.sha256] > 1]
    with Progress(sum(entry.size for entry in doubtful), "Comparing") as progress:
        equal = {entry.name for entry in doubtful if _is_as_listed(folder, entry, progress)}
    groups: dict[str, list[BundleEntry]] = defaultdict(list)
    for entry in entries:
        groups[entry.sha256 if entry.name in equal else entry.name].append(entry)
    for first, *others in groups.values():
        yield Item(folder / first.name, first, tuple(entry.name for entry in others))


def _is_as_listed(folder: Path, entry: BundleEntry, progress: Callable[[int], object]) -> bool:
    try:
        return compute_sha256(folder / entry.name, progress) == entry.sha256
    except BundleError:
        return False


def explain(item: Item, refusal: LeakdropError) -> str:
    """Why an envelope was refused, without its place: that names folders of the laptop, and who uses it."""
    return str(refusal).replace(str(item.path), item.name)


@contextmanager
def open_item(item: Item, keys: Sequence[KeyPair]) -> Iterator[tuple[EnvelopeFile, Envelope]]:
    """Open an envelope. Raises EnvelopeError (any kind but bad-padding) and BundleError."""
    with open_file(item) as (source, _):
        yield source, open_envelope(source, keys)


@contextmanager
def open_file(item: Item) -> Iterator[tuple[EnvelopeFile, int]]:
    """An envelope's file, and its size in bytes. Raises BundleError."""
    with reading(item.path):
        # A link in a bundle could lead anywhere; one that was named by hand leads where it should.
        file = open_regular(item.path, follow=item.entry is None)
    with file, Summing() as summing:
        source = EnvelopeFile(item.path, file, summing)
        yield source, source.seek(0, os.SEEK_END)


def look_at(item: Item, keys: Sequence[KeyPair]) -> Sight:
    """What opening tells. An envelope that does not open is no error here."""
    size, header_sha256 = 0, ""
    key_ids: tuple[bytes, ...] = ()
    try:
        with open_file(item) as (source, size):
            header, _ = read_header(source, size)
            key_ids, header_sha256 = header.key_ids, hashlib.sha256(bytes(header)).hexdigest()
            envelope = open_envelope(source, keys)
            return Sight(
                item, size, key_ids, envelope.length, envelope.index, envelope.key, None, header_sha256
            )
    except (EnvelopeError, BundleError) as refusal:
        return Sight(item, size, key_ids, refusal=refusal, header_sha256=header_sha256)


def read_all(
    envelope: Envelope, source: EnvelopeFile, progress: Callable[[int], object] = lambda size: None
) -> Iterator[tuple[int, memoryview]]:
    """Every byte of an envelope, once and in order, while `source` sums it.

    Gives (number of the file, piece of it), for each file once at least; a piece is valid until the next is
    asked for. Whoever stops before the end has checked nothing. Raises EnvelopeError (chunk-damaged,
    bad-padding).
    """
    source.begin_sum(bytes(envelope.header))
    number, position = 0, 0
    for piece in envelope.body.pieces(0, envelope.length):
        end = position + len(piece)
        while number < len(envelope.offsets) and envelope.offsets[number] < end:
            start = envelope.offsets[number]
            stop = start + envelope.index.files[number].size
            yield number, piece[max(start, position) - position : min(stop, end) - position]
            if stop > end:
                break
            number += 1
        first = max(envelope.used - TRAILER - position, 0)
        padding = piece[first : max(envelope.length - TRAILER - position, first)].tobytes()
        if padding.count(0) != len(padding):
            raise EnvelopeError(Kind.BAD_PADDING)
        position = end
        progress(len(piece))
