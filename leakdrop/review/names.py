"""File names that can be written on any system, made of the names that envelopes claim.

Letters of every script stay. What leads elsewhere, hides, moves text, or means something to a shell's
options, to Windows or to a file system does not.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence

from leakdrop.terminal import is_deceptive

MAX_NAME = 100  # bytes in UTF-8: whole paths are short on Windows
MAX_ENDING = 16  # bytes of “.jpeg” and the like
NAMELESS = "file"

_FORBIDDEN = frozenset('/\\<>:"|?*')
# FAT and NTFS give a file a second, short name, as AVERYL~1.TXT: another file of that name would be the same.
_SHORT_FORM = re.compile("~(?=[0-9])")
_JOINERS = str.maketrans("", "", "\u200c\u200d")
_DEVICES = frozenset(
    ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"]
    + [f"{port}{digit}" for port in ("COM", "LPT") for digit in range(10)]
)


def safe_name(name: str) -> str:
    """A name of 1 to 100 bytes, without a path, that keeps its ending."""
    name = unicodedata.normalize("NFC", name)
    name = "".join("_" if char in _FORBIDDEN or is_deceptive(char) else char for char in name)
    name = _SHORT_FORM.sub("_", name)
    name = _trim(name)
    if name.startswith((".", "-")) or is_device(name):
        name = f"_{name}"
    return _shorten(name) or NAMELESS


def safe_names(names: Sequence[str], reserved: Iterable[str] = ()) -> list[str]:
    """A safe name for each name, none of them reserved, and no two the same for any file system."""
    taken = {_fold(name) for name in reserved}
    # Where counting goes on, so that ten thousand equal names do not count from the start each time.
    next_number: dict[str, int] = {}
    safe = []
    for name in map(safe_name, names):
        base, distinct = _fold(name), name
        while _fold(distinct) in taken:
            next_number[base] = next_number.get(base, 1) + 1
            distinct = _shorten(name, f"-{next_number[base]}")
        taken.add(_fold(distinct))
        safe.append(distinct)
    return safe


def safe_name_with(name: str, mark: str) -> str:
    """A safe name with a mark before its ending; what makes it too long is cut off before the mark."""
    return _shorten(safe_name(name), mark)


def is_device(name: str) -> bool:
    """Whether Windows takes this for a device: COM1, nul.txt, and the like with superscript digits."""
    stem = unicodedata.normalize("NFKC", name).partition(".")[0]
    return stem.strip().upper() in _DEVICES


def _trim(name: str) -> str:
    """Windows drops dots and spaces at the end, and nobody sees those at the start."""
    return re.sub(r"[\s.]+$", "", name.strip())


def _fold(name: str) -> str:
    """What two names have in common if some file system takes them for one, or some reader could."""
    folded = unicodedata.normalize("NFKC", name).translate(_JOINERS).upper().casefold()
    return unicodedata.normalize("NFKC", folded)


def _shorten(name: str, mark: str = "") -> str:
    """The name with a mark before its ending, in at most 100 bytes; what is lost stood before the mark."""
    stem, dot, ending = name.rpartition(".")
    if not stem or len(f"{dot}{ending}".encode()) > MAX_ENDING:
        stem, dot, ending = name, "", ""
    room = MAX_NAME - len(f"{mark}{dot}{ending}".encode())
    if len(stem.encode()) > room:
        stem = stem.encode()[:room].decode(errors="ignore")
    return _trim(f"{stem}{mark}{dot}{ending}")
