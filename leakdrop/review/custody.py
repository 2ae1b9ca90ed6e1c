"""The custody log of a case: what was done when, one line of JSON for each act, in a folder's custody.jsonl.

    {"at":"2026-11-22T04:50:12Z","did":"extract","envelope":{…},…,"before":"<64 hex digits>"}

`before` is the SHA-256 of all bytes of the file before this line, so that no earlier line can be changed,
removed or put between without breaking a later one. Lines are appended and brought to the disk; nothing is
ever rewritten, and a line that a power cut left unfinished stays where it is. The times are those of this
laptop's clock. Only a signed report, which carries the lines so far, keeps its author from writing a new
log.
"""

import datetime
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from leakdrop.errors import ReportError
from leakdrop.review.places import refuse_file_system_of
from leakdrop.seal.files import PRIVATE_FILE, PRIVATE_FOLDER, naming, sync_folder
from leakdrop.terminal import warn

LOG_NAME = "custody.jsonl"
MAX_LOG = 64 * 1024 * 1024  # bytes


@dataclass(frozen=True)
class Act:
    """What was done to an envelope: the verb; if it was read whole its SHA-256 in hex and its size in bytes;
    the fingerprint of the key that opened it; what was written (path and SHA-256); what else is to say.
    """

    did: str
    envelope: str
    sha256: str | None = None
    size: int | None = None
    opened_with: str | None = None
    wrote: tuple[tuple[str, str], ...] = ()
    remark: str = ""


class CustodyLog:
    """The custody log in a case's folder. Raises OSError."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / LOG_NAME

    def append(self, act: Act) -> None:
        """Add a line, on the disk when this returns."""
        self.path.parent.mkdir(PRIVATE_FOLDER, parents=True, exist_ok=True)
        with naming(self.path), _open_locked(self.path) as descriptor:
            written = self.path.read_bytes()
            # What a power cut left is ended, so that it stays a line of its own.
            torn = b"\n" if written and not written.endswith(b"\n") else b""
            line = encode_line(act, hashlib.sha256(written + torn).hexdigest())
            _write_fully(descriptor, torn + line)
            os.fsync(descriptor)
        sync_folder(self.path.parent)

    def read(self) -> bytes:
        """All bytes of the log; none if there is no log yet. Raises ReportError if it is too long."""
        try:
            with self.path.open("rb") as file:
                written = file.read(MAX_LOG + 1)
        except FileNotFoundError:
            return b""
        if len(written) > MAX_LOG:
            raise ReportError(f"{self.path} is longer than {MAX_LOG >> 20} MiB: begin a new case's folder.")
        return written


@contextmanager
def _open_locked(path: Path) -> Iterator[int]:
    """A descriptor that appends, held by one process at a time where the system can do that."""
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, flags, PRIVATE_FILE)
    try:
        try:
            import fcntl
        except ImportError:  # Windows
            pass
        else:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


def _write_fully(descriptor: int, line: bytes) -> None:
    while line:
        line = line[os.write(descriptor, line) :]


def encode_line(act: Act, before: str) -> bytes:
    """A line of the log, its LF with it."""
    fields: dict[str, Any] = {
        "at": tell_time(),
        "tool": name_tool(),
        "did": act.did,
        "envelope": {"name": act.envelope, "sha256": act.sha256, "size": act.size},
        "opened_with": act.opened_with,
        "wrote": [{"file": path, "sha256": sum_} for path, sum_ in act.wrote],
        "remark": act.remark,
        "before": before,
    }
    return json.dumps(fields, separators=(",", ":")).encode() + b"\n"


def tell_time() -> str:
    """This laptop's clock, in UTC."""
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def name_tool() -> str:
    """The program and its version, as far as it is installed."""
    try:
        return f"leakdrop-review {version('leakdrop')}"
    except PackageNotFoundError:
        return "leakdrop-review"


def check_log(written: bytes) -> list[int]:
    """The numbers (from 1) of the lines that do not fit what stands before them."""
    wrong = []
    digest = hashlib.sha256()
    for number, line in enumerate(written.splitlines(keepends=True), 1):
        if _parse_before(line) != digest.hexdigest():
            wrong.append(number)
        digest.update(line)
    return wrong


def _parse_before(line: bytes) -> str | None:
    try:
        fields = json.loads(line) if line.endswith(b"\n") else None
    except (ValueError, RecursionError):
        return None
    return fields.get("before") if isinstance(fields, dict) else None


def open_log(folder: Path, bundle: Path | None, *, here: bool, option: str = "--case") -> CustodyLog:
    """The log of a case; a line that does not fit is told. `option` is the one that named its folder.

    Raises UsageError and ReportError.
    """
    if bundle and not here:
        refuse_file_system_of(bundle, folder, option)
    log = CustodyLog(folder)
    if wrong := check_log(log.read()):
        warn(f"{log.path}: line {wrong[0]} does not fit those before it: it was changed, or cut off.")
    return log
