"""The verb `extract`: envelopes become folders, as `leakdrop.review.extracting` makes them.

What is there already is left as it is, so an extraction that was stopped can be repeated.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from leakdrop.envelope.index import Index
from leakdrop.errors import BundleError, EnvelopeError, LeakdropError
from leakdrop.review.clean import CLEAN_NAME, find_mat2
from leakdrop.review.custody import Act, CustodyLog, open_log
from leakdrop.review.done import REMARK, Done, find_done
from leakdrop.review.extracting import (
    LEFT_OVER,
    Extracted,
    NotTakenError,
    describe_act,
    extract_item,
    find_extracted,
    find_leftovers,
)
from leakdrop.review.inbox import Inbox, Item, explain, look_at, open_inbox
from leakdrop.review.keys import KeyOptions, KeySet
from leakdrop.review.listing import Findings, describe_inbox, describe_refusal
from leakdrop.review.places import refuse_stick
from leakdrop.seal.files import PRIVATE_FOLDER, check_room
from leakdrop.terminal import (
    Progress,
    count,
    describe_contents,
    encode_json,
    human_size,
    note,
    say,
    show_number,
    warn,
)

BLOCK = 4096  # bytes: what a file takes on a disk is a multiple of it
PER_FILE = 2 * BLOCK  # bytes: a file's part of the folder and of the manifest


@dataclass(frozen=True)
class Job:
    """An envelope to extract: the length of its padded plaintext, and the room that it takes, in bytes."""

    item: Item
    length: int
    room: int


@dataclass(frozen=True)
class Outcome:
    """What became of each envelope; it grows while they are extracted."""

    skipped: tuple[Item, ...]
    extracted: list[Extracted] = field(default_factory=list)
    refused: list[tuple[Item, LeakdropError]] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        return not self.refused and all(done.is_as_listed and not done.unclean for done in self.extracted)


def extract(
    path: Path,
    destination: Path,
    options: KeyOptions,
    *,
    case: Path | None = None,
    clean: bool = False,
    here: bool = False,
    as_json: bool = False,
) -> int:
    """Extract a bundle's envelopes, or one; 1 if one could not be or the bundle is not complete, else 0.

    1, too, if another envelope of the same name was extracted there before, or one has a twin.
    `case` is the folder of a custody log, if one is kept; with `clean`, 1 too if a file could not be
    cleaned. Raises UsageError (the destination is on a bundle's stick, or holds that envelope already;
    mat2 is missing), NoRoomError, BundleError, KeyFileError, PassphraseError, ReportError
    and OSError.
    """
    mat2 = find_mat2() if clean else None
    inbox = open_inbox(path)
    if not here:
        refuse_stick(destination, bundle=inbox.bundle)
    log = open_log(case, inbox.bundle, here=here) if case else None
    done = find_done(inbox, lambda item: find_extracted(destination, item))
    keys = options.open()
    outcome, findings = Outcome(done.same), Findings(keys, inbox)
    _tell_refused(done, outcome, log)
    jobs = _plan(inbox.items, done.items, keys, outcome, findings)
    room = sum(job.room for job in jobs) * (2 if clean else 1)
    check_room(destination, room, f"Extracting {count(len(jobs), 'envelope')}")
    destination.mkdir(PRIVATE_FOLDER, parents=True, exist_ok=True)
    for leftover in find_leftovers(destination):
        note(f"{leftover} {LEFT_OVER}")
    try:
        _work(jobs, keys, destination, outcome, log, mat2)
    finally:
        # When the work is stopped, too: what has been extracted stays.
        _report(inbox, destination, outcome, findings, as_json=as_json)
    code = findings.conclude(inbox)
    return code if outcome.is_clean else 1


def _tell_refused(done: Done, outcome: Outcome, log: CustodyLog | None) -> None:
    """Those whose place another envelope has."""
    for item, refusal in done.refused:
        outcome.refused.append((item, refusal))
        if log:
            log.append(Act("extract", item.name, remark=f"Not extracted: {REMARK}"))


def _plan(
    items: Sequence[Item], done: Collection[Item], keys: KeySet, outcome: Outcome, findings: Findings
) -> list[Job]:
    """The envelopes that open and are not `done`, and the room that they take.

    Those that do not open are noted in `outcome`.
    """
    jobs = []
    with Progress(len(items), "Opening", show=show_number) as progress:
        for item in items:
            sight = look_at(item, keys.pairs)
            findings.add(sight, done_before=item in done)
            if sight.refusal and item not in done:
                outcome.refused.append((item, sight.refusal))
            elif sight.index and item not in done:
                jobs.append(Job(item, sight.length, _measure_room(sight.index)))
            progress(1)
    return jobs


def _measure_room(index: Index) -> int:
    """How many bytes the folder of an envelope takes on a disk, at most."""
    sizes = [len(index.message.encode()), *(file.size for file in index.files)]
    return sum(-(-size // BLOCK) * BLOCK + PER_FILE for size in sizes) + PER_FILE


def _work(
    jobs: Sequence[Job],
    keys: KeySet,
    destination: Path,
    outcome: Outcome,
    log: CustodyLog | None,
    mat2: str | None,
) -> None:
    """Extract each; one that is refused stops no other."""
    with Progress(sum(job.length for job in jobs), "Extracting") as progress:
        for job in jobs:
            try:
                done = extract_item(job.item, keys, destination, progress, mat2=mat2)
            except (EnvelopeError, BundleError, NotTakenError) as refusal:
                outcome.refused.append((job.item, refusal))
                if log:
                    log.append(
                        Act("extract", job.item.name, remark=f"Not extracted: {explain(job.item, refusal)}")
                    )
            else:
                outcome.extracted.append(done)
                if log:
                    log.append(describe_act(done, keys))


def _report(inbox: Inbox, destination: Path, outcome: Outcome, findings: Findings, *, as_json: bool) -> None:
    """What was done, on standard output; what was not, on standard error."""
    for item, refusal in outcome.refused:
        warn(f"{item.short_name} was not extracted. {refusal}")
    for done in outcome.extracted:
        if not done.is_as_listed:
            warn(f"{done.item.short_name} opens, but has another SHA-256 than bundle.json says.")
        for name, reason in done.unclean:
            warn(f"{done.folder / name} has no clean copy: {reason}")
        for name, fields in done.left:
            note(f"mat2 still finds in {done.folder / CLEAN_NAME / name}: {'; '.join(fields)}")
    if outcome.skipped:
        number = count(len(outcome.skipped), "envelope")
        note(f"{number} had been extracted into {destination} before; nothing of it was changed.")
    if as_json:
        say(encode_json(_describe_outcome(inbox, destination, outcome, findings)))
    else:
        for done in outcome.extracted:
            _say_extracted(done)


def _say_extracted(done: Extracted) -> None:
    files = done.manifest["files"]
    what = describe_contents(len(files), bool(done.manifest["message"]["size"]))
    size = human_size(sum(file["size"] for file in files) + done.manifest["message"]["size"])
    say(f"{done.item.short_name}: {what}, {size}, in {done.folder}")
    say(f"  SHA-256 of the envelope: {done.manifest['envelope']['sha256']}")


def _describe_outcome(
    inbox: Inbox, destination: Path, outcome: Outcome, findings: Findings
) -> dict[str, Any]:
    return {
        **describe_inbox(inbox),
        "twins": findings.describe_twins(),
        "destination": str(destination),
        "extracted": [
            {
                "name": done.item.name,
                "copies": done.item.copies,
                "folder": str(done.folder),
                "sha256": done.manifest["envelope"]["sha256"],
                "as_listed": done.is_as_listed,
                "unknown_key_ids": done.manifest["unknown_key_ids"],
                "file_count": len(done.manifest["files"]),
            }
            for done in outcome.extracted
        ],
        "skipped": [item.name for item in outcome.skipped],
        "refused": [{"name": item.name, **describe_refusal(refusal)} for item, refusal in outcome.refused],
    }
