"""Where nothing is written: a bundle's stick, which goes back to the server.

What was opened, and keys that open, must never come near the server; a slip of the hand with -o is how
they would.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from leakdrop.bundle import LIST_NAME
from leakdrop.errors import UsageError
from leakdrop.seal.files import nearest_folder

DEPTH = 5


def refuse_stick(destination: Path, option: str = "-o", bundle: Path | None = None) -> None:
    """Raises UsageError if a folder is, or lies in, a bundle, or is on a stick that holds one.

    It may not lie on the file system of `bundle` either: the one that is worked on, if any. Other bundles are
    found up to `DEPTH` folders below the stick's top. `option` is the one that chooses another place.
    """
    folder = nearest_folder(destination)
    if bundle and bundle.stat().st_dev == folder.stat().st_dev:
        raise UsageError(
            f"{destination} is on the same file system as the bundle, and the stick goes back to the server: "
            f"choose another place with {option}, or add --here."
        )
    above = folders_of_mount(folder)
    beside = () if _is_of_this_machine(above[-1]) else _find_folders(above[-1])
    for candidate in (*above, *beside):
        if os.path.lexists(candidate / LIST_NAME):
            raise UsageError(
                f"{destination} is where the bundle {candidate} is, and that goes back to the server: "
                f"choose another place with {option}, or add --here."
            )


def is_on_this_machine(folder: Path) -> bool:
    """Whether a folder that exists is on no stick: nobody takes to the operator what is written there."""
    return _is_of_this_machine(folders_of_mount(folder.resolve())[-1])


def folders_of_mount(folder: Path) -> list[Path]:
    """A folder and the folders above it, up to the root of the file system that they lie on."""
    found = [folder]
    # Not Path.is_mount, which Windows has only since Python 3.12.
    while not os.path.ismount(found[-1]) and found[-1] != found[-1].parent:
        found.append(found[-1].parent)
    return found


def _is_of_this_machine(mount: Path) -> bool:
    """Whether a file system is no stick: the machine's own, the one with the user's home folder, or one
    inside of that, as Tails' Persistent. Copies of bundles that are kept lie there, beside keys.
    """
    if mount == mount.parent and os.name != "nt":  # where each drive is one
        return True
    try:
        home = Path.home().resolve()
    except RuntimeError:  # whoever runs this has none
        return False
    return home != home.parent and (home.is_relative_to(mount) or mount.is_relative_to(home))


def _find_folders(top: Path) -> Iterator[Path]:
    """A folder and those below it, but for what may not be read, links, and what lies too deep."""
    for found, names, _ in os.walk(top):
        folder = Path(found)
        yield folder
        if len(folder.relative_to(top).parts) == DEPTH:
            names.clear()
