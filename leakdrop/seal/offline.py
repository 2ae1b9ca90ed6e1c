"""Seal a message and files into a new envelope, in constant memory: docs/envelope.md, "Sealing".

Names and types come from the paths alone; nothing of a file but its bytes, its name and its size goes in.
"""

import mimetypes
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path

from leakdrop.bundle import open_regular
from leakdrop.envelope.header import envelope_length
from leakdrop.envelope.index import MAX_MESSAGE, FileEntry, Index, clean_message, clean_name, encode_index
from leakdrop.envelope.keys import PublicKey
from leakdrop.envelope.sealing import LARGE_BATCH, Sealer, Sink
from leakdrop.errors import BundleError, SubmissionError, UsageError
from leakdrop.seal.behind import WriteBehind
from leakdrop.seal.files import check_room, create_whole_file, naming

TRAILER = 16

# Python's own table, and not the system's: the types must not tell on which system an envelope was sealed.
_TYPES = mimetypes.MimeTypes(())
_TYPES.add_type("audio/mp4", ".m4a")


@dataclass(frozen=True)
class Draft:
    """A submission before it is sealed. Texts are cleaned already; `files` are in the order of `paths`."""

    sealed: str
    kind: str
    message: str
    paths: tuple[Path, ...]
    files: tuple[FileEntry, ...]

    @property
    def size(self) -> int:
        """The sum of the files' sizes in bytes."""
        return sum(file.size for file in self.files)

    def measure(self, recipients: Sequence[PublicKey]) -> int:
        """The length in bytes of the envelope. Raises SubmissionError if the index breaks a bound."""
        index = encode_index(Index(self.sealed, self.kind, self.message, self.files))
        return envelope_length(len(set(recipients)), self.size + len(index) + TRAILER)


def draft(sealed: str, kind: str, message: str, paths: Sequence[Path]) -> Draft:
    """A draft of these texts and files. Raises UsageError for a path that is no file, and OSError."""
    files = tuple(_describe(path) for path in paths)
    return Draft(sealed, kind, message, tuple(paths), files)


def _describe(path: Path) -> FileEntry:
    with _open_input(path) as file:
        return FileEntry(clean_name(path.name), guess_type(path.name), os.fstat(file.fileno()).st_size)


def read_message(path: str) -> str:
    """The clean text in a file, or on standard input for “-”, without a byte order mark.

    Raises SubmissionError and OSError.
    """
    # Line ends of two bytes become one, so twice the limit may still fit.
    limit = 2 * MAX_MESSAGE
    if path == "-":
        encoded = sys.stdin.buffer.read(limit + 1)
    else:
        with Path(path).open("rb") as file:
            encoded = file.read(limit + 1)
    what = "The message" if path == "-" else f"The message in {path}"
    if len(encoded) > limit:
        raise SubmissionError(f"{what} is longer than 1 MiB: attach it as a file.")
    try:
        return clean_message(encoded.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise SubmissionError(
            f"{what} is not UTF-8 text: save it as UTF-8, or attach it as a file."
        ) from None


def guess_type(name: str) -> str:
    """The media type that a name suggests, or nothing."""
    guess, packed = _TYPES.guess_type(name, strict=False)
    return guess if guess and not packed else ""


class _Input:
    """A file to be sealed, which is named if it cannot be read."""

    def __init__(self, path: Path, file: BufferedReader) -> None:
        self._path, self._file = path, file

    def readinto(self, buffer: memoryview, /) -> int:
        with naming(self._path):
            return self._file.readinto(buffer)


def _open_input(path: Path) -> BufferedReader:
    try:
        return open_regular(path, follow=True)
    except BundleError:
        raise UsageError(f"{path} is a folder or a device; name the files themselves.") from None


def seal_draft(
    submission: Draft,
    recipients: Sequence[PublicKey],
    destination: Path,
    progress: Callable[[int], object] = lambda size: None,
) -> None:
    """Seal into a file that is not there yet, and gets its name when it is whole.

    Raises SubmissionError (a bound is broken, a file has changed), NoRoomError and OSError.
    """
    check_room(destination.parent, submission.measure(recipients), "The envelope")
    with create_whole_file(destination) as file, WriteBehind(file) as sink:
        seal_draft_into(sink, submission, recipients, progress)


def seal_draft_into(
    sink: Sink,
    submission: Draft,
    recipients: Sequence[PublicKey],
    progress: Callable[[int], object] = lambda size: None,
) -> None:
    """Seal into `sink`. Raises SubmissionError (a bound is broken, a file has changed) and OSError."""
    sealer = Sealer(recipients, sink, batch=LARGE_BATCH)
    for path, entry in zip(submission.paths, submission.files, strict=True):
        sealer.begin_file(entry.name, entry.type)
        with _open_input(path) as source:
            sealer.read_from(_Input(path, source), progress)
        if sealer.files[-1] != entry:
            raise SubmissionError(f"{path} has changed while it was sealed: seal it again.")
    sealer.finish(submission.sealed, submission.kind, submission.message)
