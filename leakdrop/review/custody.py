"""The custody log of a case: what was done when, one line of JSON for each act, in a folder's custody.jsonl.

    {"at":"2026-11-22T04:50:12Z","did":"extract","envelope":{…},…,"before":"<64 hex digits>"}

`before` is the SHA-256 of all bytes of the file before this line, so that no earlier line can be changed,
removed or put between without breaking a later one. Lines are appended and brought to the disk; nothing is
ever rewritten, and a line that a power cut left unfinished stays where it is. The times are those of this
laptop's clock. Only a signed report, which carries the sum of the lines so far, keeps its author from
writing a new log. Of the lines themselves it has those on its own envelope.
"""

import datetime
import hashlib
import json
import os
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from leakdrop.bundle import parse_reply_name
from leakdrop.errors import ReportError
from leakdrop.folders import sync_folder
from leakdrop.review.places import refuse_stick
from leakdrop.seal.files import PRIVATE_FILE, PRIVATE_FOLDER, naming
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
    return [number for number, line, before, _ in _walk(written) if _parse(line).get("before") != before]


def sum_lines(written: bytes) -> list[str]:
    """The SHA-256 in hex of all bytes up to the end of each line: what the next line names as `before`."""
    return [after for *_, after in _walk(written)]


def select_lines(written: bytes, names: Collection[str], sha256: str, mailbox: str) -> list[dict[str, Any]]:
    """What the lines on one envelope say, for a report. Lines on others tell nothing here.

    `names` are the file names of the envelope, and `mailbox` (hex) is where its replies go. `line` is the
    number from 1, `before` and `after` are sums of the log; of what was written stands the name alone.
    """
    selected = []
    for number, line, before, after in _walk(written):
        fields = _parse(line)
        if fields.get("before") == before and _is_act(fields) and _is_on(fields, names, sha256, mailbox):
            wrote = [{"file": _last_part(one["file"]), "sha256": one["sha256"]} for one in fields["wrote"]]
            told = {name: fields[name] for name in ("at", "tool", "did", "opened_with", "remark")}
            selected.append({"line": number, **told, "wrote": wrote, "before": before, "after": after})
    return selected


def _is_on(fields: dict[str, Any], names: Collection[str], sha256: str, mailbox: str) -> bool:
    """Whether a line is on this envelope. One that was not read whole has no sum in the log, only a name,
    and envelopes outside of bundles may share one: so a reply must lie in the right mailbox, too.
    """
    envelope = fields["envelope"]
    if envelope["sha256"] is not None:
        return bool(envelope["sha256"] == sha256)
    replies = [parse_reply_name(_last_part(one["file"])) for one in fields["wrote"]]
    return envelope["name"] in names and all(reply and reply[0].hex() == mailbox for reply in replies)


def _is_act(fields: dict[str, Any]) -> bool:
    """Whether these are the fields that `encode_line` writes."""
    match fields:
        case {
            "at": str(),
            "tool": str(),
            "did": str(),
            "envelope": {"name": str(), "sha256": str() | None},
            "opened_with": str() | None,
            "wrote": list(wrote),
            "remark": str(),
        }:
            return all(_is_written(one) for one in wrote)
    return False


def _is_written(one: object) -> bool:
    match one:
        case {"file": str(), "sha256": str()}:
            return True
    return False


def _last_part(path: str) -> str:
    return re.split(r"[/\\]", path)[-1]


def _walk(written: bytes) -> Iterator[tuple[int, bytes, str, str]]:
    """Number (from 1) and bytes of each line, and the SHA-256 in hex of the log before it and after it."""
    digest = hashlib.sha256()
    for number, line in enumerate(written.splitlines(keepends=True), 1):
        before = digest.hexdigest()
        digest.update(line)
        yield number, line, before, digest.hexdigest()


def _parse(line: bytes) -> dict[str, Any]:
    """The fields of a whole line; none if it is not JSON, or no record."""
    try:
        fields = json.loads(line) if line.endswith(b"\n") else None
    except (ValueError, RecursionError):
        return {}
    return fields if isinstance(fields, dict) else {}


def open_log(folder: Path, bundle: Path | None, *, here: bool, option: str = "--case") -> CustodyLog:
    """The log of a case; a line that does not fit is told. `option` is the one that named its folder.

    Raises UsageError and ReportError.
    """
    if not here:
        refuse_stick(folder, option, bundle)
    log = CustodyLog(folder)
    if wrong := check_log(log.read()):
        warn(f"{log.path}: line {wrong[0]} does not fit those before it: it was changed, or cut off.")
    return log
