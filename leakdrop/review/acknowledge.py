"""The verb `acknowledge`: a file for the server, which says what the reviewers hold whole.

It names envelopes by their random names and sums, and tells nothing of what is in them: no key is needed.
What lies on the stick alone is not held: it goes back, and can be lost or changed on its way.
"""

from pathlib import Path

from leakdrop.acknowledgement import Acknowledged, write_acknowledgement
from leakdrop.bundle import ACKNOWLEDGEMENT_NAME, LIST_NAME, Bundle, compare, load_bundle
from leakdrop.errors import BundleError, UsageError
from leakdrop.folders import sync_folder
from leakdrop.review.listing import enumerate_names
from leakdrop.seal.files import naming
from leakdrop.terminal import Progress, count, note, say, warn


def acknowledge(copy: Path, folder: Path, *, here: bool = False) -> int:
    """Read every envelope of the reviewers' own copy of a bundle, and write into a folder which of them are
    whole; 1 if not all are, or if the bundle in that folder names others.

    Raises UsageError (both lie on one file system, and not `here`; there is no such folder), BundleError and
    OSError.
    """
    bundle = load_bundle(copy)
    _check_places(copy, folder, here=here)
    with Progress(sum(entry.size for entry in bundle.entries), "Reading") as progress:
        found = compare(copy, bundle, sums=True, progress=progress)
    lacking = {*found.missing, *found.changed}
    whole = tuple(
        Acknowledged(entry.name, entry.sha256) for entry in bundle.entries if entry.name not in lacking
    )
    path = _write(folder, whole)
    say(f"{count(len(whole), 'envelope')} acknowledged in {path}.")
    if lacking:
        warn(f"{count(len(lacking), 'envelope')} missing or damaged here, and not acknowledged.")
    if found.extra:
        note(f"Not named in {copy / LIST_NAME}, and not acknowledged: {enumerate_names(found.extra)}.")
    is_behind = _tell_what_is_not_copied(copy, bundle, folder)
    say(f"Keep {copy}: when the operator has taken this in, they leave the server some weeks later.")
    return 1 if lacking or is_behind else 0


def _tell_what_is_not_copied(copy: Path, bundle: Bundle, folder: Path) -> bool:
    """Warn of envelopes that the folder's own bundle names and the copy's list does not.

    Whether there are any, or that cannot be told.
    """
    if not (folder / LIST_NAME).exists():
        return False
    try:
        on_stick = load_bundle(folder)
    except BundleError as error:
        warn(f"What is acknowledged was not compared with the stick. {error}")
        return True
    known = {(entry.name, entry.sha256) for entry in bundle.entries}
    others = [entry.name for entry in on_stick.entries if (entry.name, entry.sha256) not in known]
    if others:
        warn(
            f"{copy} is not a copy of all that is in {folder}. Not acknowledged: {enumerate_names(others)}. "
            "Copy the bundle again."
        )
    return bool(others)


def _check_places(copy: Path, folder: Path, *, here: bool) -> None:
    """Raises UsageError."""
    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder: is the stick in?")
    if copy.stat().st_dev == folder.stat().st_dev and not here:
        raise UsageError(
            f"{copy} is on the same file system as {folder}. What lies on the stick alone is not yours yet: "
            "copy the bundle to the laptop and give that copy, or add --here if this one stays with you."
        )


def _write(folder: Path, envelopes: tuple[Acknowledged, ...]) -> Path:
    path = folder / ACKNOWLEDGEMENT_NAME
    with naming(path, instead_of=folder):
        write_acknowledgement(folder, envelopes)
        sync_folder(folder)
    return path
