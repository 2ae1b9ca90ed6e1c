"""Where nothing is written: a bundle's stick, which goes back to the server.

What was opened, and keys that open, must never come near the server; a slip of the hand with -o is how
they would.
"""

import os
from pathlib import Path

from leakdrop.bundle import LIST_NAME
from leakdrop.errors import UsageError
from leakdrop.seal.files import nearest_folder


def refuse_file_system_of(bundle: Path, destination: Path, option: str = "-o") -> None:
    """Raises UsageError if a bundle and the place to write to lie on one file system.

    `option` is the one that chooses another place.
    """
    if bundle.stat().st_dev == nearest_folder(destination).stat().st_dev:
        raise UsageError(
            f"{destination} is on the same file system as the bundle, and the stick goes back to the server: "
            f"choose another place with {option}, or add --here."
        )


def refuse_stick(destination: Path, option: str = "-o") -> None:
    """Raises UsageError if a folder is, or lies in, a bundle, or is on a stick that holds one.

    `option` is the one that chooses another place.
    """
    folder = nearest_folder(destination)
    above = folders_of_mount(folder)
    # The root of the whole machine is no stick, and holds what has nothing to do with one.
    beside = [] if above[-1] == above[-1].parent else [above[-1], *_subfolders(above[-1])]
    for candidate in (*above, *beside):
        if os.path.lexists(candidate / LIST_NAME):
            raise UsageError(
                f"{destination} is where the bundle {candidate} is, and that goes back to the server: "
                f"choose another place with {option}, or add --here."
            )


def folders_of_mount(folder: Path) -> list[Path]:
    """A folder and the folders above it, up to the root of the file system that they lie on."""
    found = [folder]
    while not found[-1].is_mount() and found[-1] != found[-1].parent:
        found.append(found[-1].parent)
    return found


def _subfolders(folder: Path) -> list[Path]:
    try:
        return [path for path in folder.iterdir() if path.is_dir()]
    except PermissionError:
        return []
