"""Copies without metadata, made by the program mat2 where it is installed.

mat2 goes by a file's ending, and knows some kinds of files only. What it leaves out, it leaves out whole: a
file of a kind that it does not know gets no copy. What mat2 still finds in a copy is told.
"""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from leakdrop.bundle import compute_sha256
from leakdrop.errors import UsageError
from leakdrop.seal.files import PRIVATE_FILE, PRIVATE_FOLDER

CLEAN_NAME = "clean"
WORK = ".clean-work"
SECONDS = 3600  # for one file: a film is written anew
MOST_LINES, MOST_LINE = 100, 300
# Both hold what .mp4 holds (ISO/IEC 14496-14), which mat2 knows.
SAME_AS = {".m4a": ".mp4", ".m4b": ".mp4"}


@dataclass(frozen=True)
class Cleaned:
    """What became of a file: its copy's SHA-256 in hex and what mat2 still finds there, or why none."""

    sha256: str | None = None
    left: tuple[str, ...] = ()
    refusal: str | None = None


def find_mat2() -> str:
    """Where mat2 is. Raises UsageError, which says what to install."""
    program = shutil.which("mat2")
    if not program:
        raise UsageError(
            "--clean needs the program mat2, which is not installed: “apt install mat2 bubblewrap” on Debian "
            "and Ubuntu (Tails has it), or extract without --clean."
        )
    return program


def clean_files(folder: Path, names: list[str], mat2: str) -> list[Cleaned]:
    """Make `clean` in `folder`, with a copy of each of these files that mat2 can clean. Raises OSError."""
    work = folder / WORK
    work.mkdir(PRIVATE_FOLDER)
    (folder / CLEAN_NAME).mkdir(PRIVATE_FOLDER)
    try:
        return [_clean(folder / name, folder / CLEAN_NAME / name, work, mat2) for name in names]
    finally:
        shutil.rmtree(work)


def _clean(path: Path, target: Path, work: Path, mat2: str) -> Cleaned:
    """Let mat2 see nothing of a file but its ending: the name was chosen by somebody else."""
    ending = SAME_AS.get(path.suffix.lower(), path.suffix.lower())
    if not ending:
        return Cleaned(refusal="mat2 goes by a file's ending, and it has none.")
    original, copy = work / f"file{ending}", work / f"file.cleaned{ending}"
    _link(path, original)
    try:
        done = _run(mat2, work, original.name)
        if done is None:
            return Cleaned(refusal="mat2 took too long.")
        if not copy.is_file():
            known = "not supported" not in done
            return Cleaned(
                refusal="mat2 failed on it." if known else "mat2 does not know files of this kind."
            )
        left = _list_left(_run(mat2, work, "--show", copy.name))
        _bring_to_disk(copy)
        copy.rename(target)
        return Cleaned(compute_sha256(target), left)
    finally:
        for used in (original, copy):
            used.unlink(missing_ok=True)


def _link(path: Path, link: Path) -> None:
    """The same file under another name; a copy where the disk's format knows no links."""
    try:
        os.link(path, link)
    except OSError:
        shutil.copyfile(path, link)


def _run(mat2: str, work: Path, *words: str) -> str | None:
    """What mat2 says, or nothing if it took too long."""
    try:
        done = subprocess.run(  # noqa: S603 - no shell, and names that are ours
            [mat2, *words],
            cwd=work,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            timeout=SECONDS,
        )
    except subprocess.TimeoutExpired:
        return None
    return done.stdout.decode("utf-8", "replace")


def _list_left(shown: str | None) -> tuple[str, ...]:
    """The fields that mat2 still finds: its indented lines “name: value”."""
    if shown is None:
        return ("mat2 took too long to look.",)
    lines = [line.strip() for line in shown.splitlines() if line.startswith("    ")]
    return tuple(line[:MOST_LINE] for line in lines[:MOST_LINES])


def _bring_to_disk(path: Path) -> None:
    path.chmod(PRIVATE_FILE)
    with path.open("rb") as file:
        os.fsync(file.fileno())
