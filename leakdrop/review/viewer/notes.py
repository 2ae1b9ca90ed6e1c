"""What a reviewer noted of each submission, in a file that is sealed to their own keys.

The file is an envelope (docs/envelope.md) with one file in it, `notes.json`:

    {"format":"leakdrop notes 1","submissions":{H:{"read":bool,"marked":bool,"note":text},…}}

H is the SHA-256 of an envelope's header in hex: that is read at once, while summing an envelope of 4 GiB
takes seconds. Every change writes the file anew, beside the old one, and puts it in that one's place; so
what is there is always whole. Times are not kept.
"""

import io
import json
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from leakdrop.envelope.header import MAX_STANZAS
from leakdrop.envelope.opening import open_envelope
from leakdrop.envelope.sealing import SourceFile, seal
from leakdrop.errors import BundleError, EnvelopeError, Kind, LeakdropError, UsageError
from leakdrop.folders import sync_folder
from leakdrop.review.inbox import Item, open_file
from leakdrop.review.keys import KeySet
from leakdrop.seal.files import PRIVATE_FILE, PRIVATE_FOLDER, create_file, naming

try:
    import fcntl
except ImportError:  # Windows, where two viewers at once are the reviewer's own care
    fcntl = None  # type: ignore[assignment]

FORMAT = "leakdrop notes 1"
FILE_NAME = "notes.json"
MAX_NOTE = 65_536  # characters
_SUM = re.compile("[0-9a-f]{64}")


class NotesError(LeakdropError):
    """The notes cannot be read."""


@dataclass(frozen=True)
class Note:
    """What is noted of one submission."""

    read: bool = False
    marked: bool = False
    note: str = ""


def default_path() -> Path:
    """Where notes lie unless the reviewer says otherwise: in their own folder for such files."""
    if os.name == "nt":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home()) / "leakdrop" / "notes.envelope"
    state = os.environ.get("XDG_STATE_HOME", "")
    # The XDG Base Directory Specification: a relative path is to be ignored.
    base = Path(state) if state.startswith("/") else Path.home() / ".local" / "state"
    return base / "leakdrop" / "notes.envelope"


class Notebook:
    """The notes of one file, while it is open. See `open_notebook`."""

    def __init__(self, path: Path, keys: KeySet, notes: dict[str, Note]) -> None:
        self._path, self._keys, self._notes = path, keys, notes

    def find(self, header_sum: str) -> Note:
        return self._notes.get(header_sum, Note())

    def write(self, header_sum: str, note: Note) -> None:
        """Keep a note. When it returns, it is on the disk; if it raises OSError, nothing has changed."""
        if note == self.find(header_sum):
            return
        notes = {**self._notes, header_sum: note}
        if note == Note():
            del notes[header_sum]
        unfinished = self._path.with_name(f".{self._path.name}-{secrets.token_hex(8)}.partial")
        with naming(self._path, instead_of=unfinished):
            self._replace(unfinished, encode_notes(notes))
        self._notes = notes

    def _replace(self, unfinished: Path, encoded: bytes) -> None:
        recipients = [pair.public for pair in self._keys.pairs[:MAX_STANZAS]]
        with create_file(unfinished, PRIVATE_FILE) as file:
            source = SourceFile(FILE_NAME, "application/json", io.BytesIO(encoded))
            seal(recipients, file, sealed="review", kind="notes", files=[source])
        try:
            unfinished.replace(self._path)
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise
        sync_folder(self._path.parent)


@contextmanager
def open_notebook(path: Path, keys: KeySet) -> Iterator[Notebook]:
    """The notes in a file, or none if there is no such file yet.

    Raises NotesError (the file is damaged or sealed to other keys), UsageError (another viewer holds it) and
    OSError.
    """
    path.parent.mkdir(PRIVATE_FOLDER, parents=True, exist_ok=True)
    with _alone(path):
        for leftover in path.parent.glob(f".{path.name}-*.partial"):
            with suppress(OSError):
                leftover.unlink()
        yield Notebook(path, keys, _load(path, keys))


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold the file's lock: a second viewer would write over what the first one noted."""
    with path.with_name(f".{path.name}.lock").open("ab") as lock:
        if fcntl is not None:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UsageError(
                    f"Another viewer has the notes in {path} open: close it first, "
                    "or name another file with --notes."
                ) from None
        yield


def _load(path: Path, keys: KeySet) -> dict[str, Note]:
    if not os.path.lexists(path):
        return {}
    try:
        with open_file(Item(path)) as (source, _):
            envelope = open_envelope(source, keys.pairs)
            if [file.name for file in envelope.index.files] != [FILE_NAME]:
                raise NotesError
            return decode_notes(envelope.read_file(0))
    except EnvelopeError as error:
        if error.kind == Kind.NOT_FOR_THIS_KEY:
            raise NotesError(
                f"The notes in {path} are sealed to another key: name that key too with --key, "
                "or another file with --notes."
            ) from None
        raise _damaged(path) from None
    except NotesError:
        raise _damaged(path) from None
    except BundleError as error:
        raise NotesError(str(error)) from None


def _damaged(path: Path) -> NotesError:
    return NotesError(
        f"The notes in {path} are damaged: put a copy of them there, or move the file away "
        "to begin with new ones."
    )


def encode_notes(notes: dict[str, Note]) -> bytes:
    submissions = {header_sum: asdict(note) for header_sum, note in sorted(notes.items())}
    return json.dumps({"format": FORMAT, "submissions": submissions}, ensure_ascii=False).encode()


def decode_notes(encoded: bytes) -> dict[str, Note]:
    """The notes in these bytes, by the sum of a header. Raises NotesError."""
    try:
        fields = json.loads(encoded.decode())
    except (ValueError, RecursionError):
        raise NotesError from None
    if type(fields) is not dict or set(fields) != {"format", "submissions"} or fields["format"] != FORMAT:
        raise NotesError
    if type(fields["submissions"]) is not dict:
        raise NotesError
    return {header_sum: _parse_note(header_sum, found) for header_sum, found in fields["submissions"].items()}


def _parse_note(header_sum: str, fields: Any) -> Note:
    types = {"read": bool, "marked": bool, "note": str}
    if not _SUM.fullmatch(header_sum) or type(fields) is not dict:
        raise NotesError
    if {name: type(value) for name, value in fields.items()} != types:
        raise NotesError
    return Note(**fields)
