"""The verb `acknowledge`: a file for the server, which says what the reviewers hold whole.

It names envelopes by their random names and sums, and tells nothing of what is in them: no key is needed.
"""

from pathlib import Path

from leakdrop.acknowledgement import Acknowledged, write_acknowledgement
from leakdrop.bundle import compare, load_bundle
from leakdrop.terminal import Progress, count, say, warn


def acknowledge(bundle_folder: Path, folder: Path) -> int:
    """Read every envelope of a bundle, and write into a folder which of them are whole; 1 if not all are.

    Raises BundleError.
    """
    bundle = load_bundle(bundle_folder)
    with Progress(sum(entry.size for entry in bundle.entries), "Reading") as progress:
        found = compare(bundle_folder, bundle, sums=True, progress=progress)
    lacking = {*found.missing, *found.changed}
    whole = tuple(
        Acknowledged(entry.name, entry.sha256) for entry in bundle.entries if entry.name not in lacking
    )
    path = write_acknowledgement(folder, whole)
    say(f"{count(len(whole), 'envelope')} acknowledged in {path}.")
    if lacking:
        warn(f"{count(len(lacking), 'envelope')} missing or damaged here, and not acknowledged.")
    say("When the operator takes it in, these will leave the server after the weeks that were agreed.")
    return 1 if lacking else 0
