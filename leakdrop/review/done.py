"""What was done before, for `extract` and `report`: known by an envelope's SHA-256, and not by its name.

Two bundles may hold two envelopes under one name, and to find that is what two of them are kept for. So the
file is summed, whatever bundle.json says, which is not signed; and another envelope is never taken for the
one that something was written of.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from leakdrop.bundle import compute_sha256
from leakdrop.errors import BundleError, LeakdropError, UsageError
from leakdrop.review.inbox import Inbox, Item
from leakdrop.terminal import Progress

# Without the other one's sum: a custody log's line on this envelope is shown in reports on it.
REMARK = "another envelope of this name was done there before."


@dataclass(frozen=True)
class Written:
    """What was written before for an envelope's name, and the SHA-256 in hex that it names, if it does."""

    path: Path
    sha256: str | None


@dataclass(frozen=True)
class Done:
    """Those that were done before, and those that cannot be, because another one has their place."""

    same: tuple[Item, ...]
    refused: tuple[tuple[Item, LeakdropError], ...]

    @property
    def items(self) -> set[Item]:
        return {*self.same, *(item for item, _ in self.refused)}


def find_done(inbox: Inbox, find_written: Callable[[Item], Written | None]) -> Done:
    """What of an inbox was done before. All that has a place already is read whole.

    Raises UsageError if one envelope was asked for, and that one was done before or cannot be compared.
    """
    found = {item: written for item in inbox.items if (written := find_written(item))}
    is_one = inbox.path != inbox.bundle
    same, refused = [], []
    with Progress(sum(_measure(item) for item in found), "Comparing") as progress:
        for item, written in found.items():
            refusal = _compare(item, written, progress)
            if is_one and (refusal is None or written.sha256 is None):
                raise UsageError(
                    f"{written.path} exists already, and nothing is overwritten: "
                    "choose another place with -o."
                )
            if refusal:
                refused.append((item, refusal))
            else:
                same.append(item)
    return Done(tuple(same), tuple(refused))


def _measure(item: Item) -> int:
    return item.entry.size if item.entry else item.path.stat().st_size


def _compare(item: Item, written: Written, progress: Callable[[int], object]) -> LeakdropError | None:
    """Why an envelope is not the one that something was written of."""
    if written.sha256 is None:
        return LeakdropError(f"{written.path} exists already, and does not say of which envelope it is.")
    try:
        found = compute_sha256(item.path, progress)
    except BundleError as refusal:
        return refusal
    if found == written.sha256:
        return None
    return LeakdropError(
        f"{written.path} is of another envelope with the same name, whose SHA-256 is {written.sha256}; that "
        f"of this one is {found}. Nothing was overwritten: keep both, and choose another place with -o."
    )
