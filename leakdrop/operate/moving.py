"""`leakdrop import --drops`: the drops that another machine exported. Why so: docs/adr/0029.

Each is checked: its name, its size and its sum as bundle.json has them, its week, that its header is an
envelope's for keys of ours. It becomes a drop whole or not at all, under its own name and with its own week,
so an import that was broken off goes on where it stopped. What is here already is compared, and left as it
is. The stick stays as it is, too.
"""

import datetime
import hashlib
import io
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path

from leakdrop.bundle import BundleEntry, compare, load_bundle, open_regular, reading
from leakdrop.envelope.header import read_header
from leakdrop.errors import BundleError, EnvelopeError, LeakdropError, NoRoomError
from leakdrop.operate.importing import Refused, Tell, so_far
from leakdrop.store.drop import Drop, iso_week
from leakdrop.store.layout import ENVELOPE
from leakdrop.store.moving import Bring, NameTakenError
from leakdrop.store.owner import as_caller
from leakdrop.store.places import DropPlace
from leakdrop.store.settle import monday_after
from leakdrop.terminal import count, human_size

READ = 1024 * 1024


@dataclass(frozen=True)
class Moved:
    """What an import of drops did: which it took, of how many bytes, how many were here already, and what it
    left out."""

    taken: tuple[Drop, ...]
    bytes: int
    present: int
    refused: tuple[Refused, ...]


class Mover:
    """One import from one bundle."""

    def __init__(self, drops: DropPlace, folder: Path, key_ids: Collection[bytes], today: datetime.date):
        self._drops = drops
        self._folder = folder
        self._key_ids = key_ids
        self._today = today
        self._taken: list[Drop] = []
        self._refused: list[Refused] = []

    def move(self, progress: Callable[[int], AbstractContextManager[Tell]]) -> Moved:
        """Take every drop that is not here yet; `progress` is told how many bytes these have.

        Raises BundleError if there is no bundle; NoRoomError, before anything was changed, if it does not
        fit; StoreError, NoRoomError and LeakdropError if the server's disk fails: what was taken before is
        whole.
        """
        entries = self._read_bundle()
        with self._at_home(), self._drops.moving() as bring:
            here = {f"{drop.name}{ENVELOPE}": drop for drop in self._drops.all()}
            known = [entry for entry in entries if entry.name in here]
            present = sum(self._is_present(here[entry.name], entry) for entry in known)
            # Week by week: of an import that was broken off, at most one week settles once more.
            missing = sorted(
                (entry for entry in entries if entry.name not in here and self._is_of_a_week(entry)),
                key=lambda entry: (entry.week, entry.name),
            )
            size = sum(entry.size for entry in missing)
            if not self._drops.has_room(size):
                raise NoRoomError(
                    f"There is no room for {count(len(missing), 'drop')} ({human_size(size)}) above "
                    "disk_reserve_bytes. Nothing was taken: make room, or use a larger disk."
                )
            with progress(size) as tell:
                for entry in missing:
                    self._take(bring, entry, tell)
        refused = sorted(self._refused, key=lambda one: one.name)
        return Moved(tuple(self._taken), sum(drop.size for drop in self._taken), present, tuple(refused))

    @contextmanager
    def _at_home(self) -> Iterator[None]:
        """An OSError is this server's: those of the stick are told where it is read. Raises LeakdropError."""
        try:
            yield
        except OSError as error:
            raise LeakdropError(
                f"This server's data folder: {error.strerror}. {so_far(len(self._taken))} "
                "Look at it with “leakdrop check”, then import again."
            ) from None

    def _refuse(self, name: str, sentence: object) -> None:
        self._refused.append(Refused(name, str(sentence)))

    def _read_bundle(self) -> list[BundleEntry]:
        """What bundle.json names and the folder holds, in that size. Raises BundleError."""
        with as_caller(), reading(self._folder):
            bundle = load_bundle(self._folder)
            differs = compare(self._folder, bundle)
        for name in differs.missing:
            self._refuse(name, "bundle.json names it, and it is not there. Export once more.")
        for name in differs.changed:
            self._refuse(name, "it is no file of the size that bundle.json says. Export once more.")
        for name in differs.extra:
            if name.endswith(ENVELOPE) and not name.startswith("."):
                self._refuse(name, "bundle.json does not name it. Export once more, to the end.")
        return [entry for entry in bundle.entries if entry.name not in {*differs.missing, *differs.changed}]

    def _is_present(self, drop: Drop, entry: BundleEntry) -> bool:
        """Whether the drop that has an entry's name is what the entry says; if not, that is told."""
        try:
            with self._drops.open(drop) as file:
                is_same = hashlib.file_digest(file, "sha256").hexdigest() == entry.sha256
        except OSError:
            self._refuse(entry.name, "a drop of this name is here, and this server's disk does not give it.")
            return False
        if not is_same:
            self._refuse(entry.name, "a drop of this name is here, and has other bytes: it is left as it is.")
        return is_same

    def _is_of_a_week(self, entry: BundleEntry) -> bool:
        """Whether a drop can have come in an entry's week; if not, that is told.

        A week that there is not would stop `settle` and `purge`; a later one would keep the drop for ever.
        """
        try:
            monday_after(entry.week)
            has_begun = entry.week <= iso_week(self._today)
        except (ValueError, OverflowError):
            self._refuse(entry.name, f"there is no week {entry.week}.")
            return False
        if not has_begun:
            self._refuse(entry.name, f"its week, {entry.week}, has not begun: is this machine's clock right?")
        return has_begun

    def _take(self, bring: Bring, entry: BundleEntry, tell: Tell) -> None:
        path = self._folder / entry.name
        drop = Drop(entry.name.removesuffix(ENVELOPE), entry.size, entry.week)
        try:
            with reading(path), as_caller():
                file = open_regular(path)
            with file:
                bring(drop, self._read(file, path, entry, tell))
        except (BundleError, EnvelopeError, NameTakenError) as error:
            self._refuse(entry.name, error)
        except NoRoomError:
            raise NoRoomError(f"There is no room for {entry.name}. {so_far(len(self._taken))}") from None
        else:
            self._taken.append(drop)

    def _read(self, file: BufferedReader, path: Path, entry: BundleEntry, tell: Tell) -> Iterator[bytes]:
        """An envelope's bytes; none is trusted before the last. Raises BundleError and EnvelopeError."""
        digest = hashlib.sha256()
        size = 0
        piece = _read_piece(file, path)
        self._check_head(piece, entry.size)
        while piece and size + len(piece) <= entry.size:
            size += len(piece)
            digest.update(piece)
            yield piece
            tell(len(piece))
            piece = _read_piece(file, path)
        if piece or size != entry.size or digest.hexdigest() != entry.sha256:
            raise BundleError("it is damaged: its sum is not the one in bundle.json. Export once more.")

    def _check_head(self, head: bytes, size: int) -> None:
        """Raises EnvelopeError, and BundleError for a key that is not ours."""
        header, _ = read_header(io.BytesIO(head), size)
        if not set(self._key_ids).issuperset(header.key_ids):
            raise BundleError(
                "it is sealed to a key that is not in keys_dir. If it was one of yours, put its .pub file "
                "there, and import again."
            )


def _read_piece(file: BufferedReader, path: Path) -> bytes:
    with reading(path):
        return file.read(READ)
