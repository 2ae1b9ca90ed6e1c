"""Copies without metadata, made by the program mat2 where it is installed.

mat2 goes by a file's ending, and knows some kinds of files only. What it leaves out, it leaves out whole: a
file of a kind that it does not know gets no copy. What mat2 still finds in a copy is told.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from leakdrop.bundle import compute_sha256
from leakdrop.errors import UsageError
from leakdrop.seal.files import PRIVATE_FILE, PRIVATE_FOLDER

CLEAN_NAME = "clean"
WORK = ".clean-work"
BATCH = 50  # files: mat2 takes longer to start than to clean most of them
SECONDS = 3600  # for a batch: a film is written anew
NO_ENDING = "mat2 goes by a file's ending, and it has none."
HEADING = re.compile(r"\[\+\] Metadata for (.*):")
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


def clean_files(folder: Path, names: Sequence[str], mat2: str) -> list[Cleaned]:
    """Make `clean` in `folder`, with a copy of each of these files that mat2 can clean. Raises OSError."""
    work, copies = folder / WORK, folder / CLEAN_NAME
    copies.mkdir(PRIVATE_FOLDER)
    cleaned: list[Cleaned] = []
    for start in range(0, len(names), BATCH):
        work.mkdir(PRIVATE_FOLDER)
        try:
            cleaned += _clean([folder / name for name in names[start : start + BATCH]], copies, work, mat2)
        finally:
            shutil.rmtree(work)
    return cleaned


def _clean(paths: Sequence[Path], copies: Path, work: Path, mat2: str) -> list[Cleaned]:
    """Let mat2 see nothing of a file but its ending: the name was chosen by somebody else."""
    stems = [str(number) for number in range(len(paths))]
    endings = [SAME_AS.get(path.suffix.lower(), path.suffix.lower()) for path in paths]
    for path, stem, ending in zip(paths, stems, endings, strict=True):
        _link(path, work / f"{stem}{ending}")
    said = _run(
        mat2, work, *(f"{stem}{ending}" for stem, ending in zip(stems, endings, strict=True) if ending)
    )
    made = [f"{stem}.cleaned{ending}" for stem, ending in zip(stems, endings, strict=True)]
    there = [name for name in made if (work / name).is_file()]
    left = _parse_left(_run(mat2, work, "--show", *there)) if there else {}
    return [
        _take(work / name, copies / path.name, left.get(name, ()))
        if name in there
        else Cleaned(refusal=_explain(said, f"{stem}{ending}") if ending else NO_ENDING)
        for path, name, stem, ending in zip(paths, made, stems, endings, strict=True)
    ]


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


def _explain(said: str | None, name: str) -> str:
    """Why there is no copy of a file, from what mat2 said."""
    if said is None:
        return "mat2 took too long."
    # mat2 works on several files at once, and the end of a line may come after the next one's beginning.
    for piece in said.split("[-] ")[1:]:
        line = piece.partition("\n")[0]
        if line.startswith(f"{name}'s format"):
            return "mat2 does not know files of this kind."
        if name in re.split("[ :']", line):
            # It knows the file by our number, which tells the reviewer nothing.
            return f"mat2 failed on it: {line.replace(name, 'it').strip(' :')[:MOST_LINE]}."
    return "mat2 failed on it, and does not say why."


def _parse_left(shown: str | None) -> dict[str, tuple[str, ...]]:
    """The fields that mat2 still finds, by the copy's name.

    mat2 takes line ends and other control characters out of what it shows: no field passes for a heading.
    """
    left: dict[str, list[str]] = {}
    found: list[str] = []
    for line in (shown or "").splitlines():
        if heading := HEADING.fullmatch(line):
            found = left.setdefault(heading[1], [])
        elif line.startswith("    ") and len(found) < MOST_LINES:
            found.append(line.strip()[:MOST_LINE])
    return {name: tuple(fields) for name, fields in left.items()}


def _take(copy: Path, target: Path, left: tuple[str, ...]) -> Cleaned:
    """Give a copy its name, on the disk."""
    copy.chmod(PRIVATE_FILE)
    with copy.open("rb") as file:
        os.fsync(file.fileno())
    copy.rename(target)
    return Cleaned(compute_sha256(target), left)
