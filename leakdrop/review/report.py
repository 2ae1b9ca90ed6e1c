"""The verb `report`: docs/reports.md. What an envelope held, signed, for people and for programs.

    DIR/<stem>.report.html      for people: no script, nothing loaded
    DIR/<stem>.report.json      the same for programs
    DIR/custody.jsonl           what was done when

Every byte of the envelope is checked first, its padding too. A report holds no byte of a file and no word
of the message, but their sums, and nothing of other envelopes: it is for handing on.
"""

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from leakdrop.errors import BundleError, EnvelopeError, LeakdropError
from leakdrop.review.custody import (
    Act,
    CustodyLog,
    check_log,
    name_tool,
    open_log,
    select_lines,
    sum_lines,
    tell_time,
)
from leakdrop.review.done import REMARK, Written, find_done
from leakdrop.review.extracting import get_stem
from leakdrop.review.facts import describe_opened, sum_files
from leakdrop.review.inbox import Inbox, Item, explain, look_at, open_inbox, open_item
from leakdrop.review.keys import KeyOptions, KeySet
from leakdrop.review.listing import Findings, describe_inbox, describe_refusal
from leakdrop.review.media import LEFT_OUT, MISSING, SLOW, MediaReader
from leakdrop.review.reportpage import FORMAT, write_page
from leakdrop.review.signing import sign_report
from leakdrop.seal.files import PRIVATE_FOLDER, create_whole_file
from leakdrop.terminal import Progress, count, encode_json, note, say, warn


@dataclass(frozen=True)
class Reported:
    """A report that was written: its two files and their SHA-256 sums in hex, and what it says."""

    item: Item
    page: Path
    record: Path
    sums: tuple[str, str]
    content: dict[str, Any]

    @property
    def is_as_listed(self) -> bool:
        """Whether the envelope has the sum that bundle.json names, if that names one."""
        envelope = self.content["envelope"]
        return envelope["listed_sha256"] in (None, envelope["sha256"])


def report(
    path: Path, destination: Path, options: KeyOptions, *, here: bool = False, as_json: bool = False
) -> int:
    """Write a report of each envelope; 1 if one does not open or the bundle is not complete, else 0.

    1, too, if there is a report on another envelope of the same name, or one has a twin.

    Raises UsageError (the place will not do, or holds that report), BundleError, KeyFileError,
    PassphraseError, ReportError and OSError.
    """
    inbox = open_inbox(path)
    log = open_log(destination, inbox.bundle, here=here, option="-o")
    before = find_done(inbox, lambda item: _find_reported(destination, item))
    keys = options.open()
    findings = Findings(keys, inbox)
    destination.mkdir(PRIVATE_FOLDER, parents=True, exist_ok=True)
    done: list[Reported] = []
    refused = list(before.refused)
    for item, _ in refused:
        log.append(Act("report", item.name, remark=f"Not reported: {REMARK}"))
    done_before, items, total = before.items, [], 0
    for item in inbox.items:
        sight = look_at(item, keys.pairs)
        findings.add(sight, done_before=item in done_before)
        if item not in done_before:
            items.append(item)
            total += sight.length
    try:
        with MediaReader() as media, Progress(total, "Checking") as progress:
            if media.is_missing:
                note(MISSING)
            for item in items:
                try:
                    progress.rename(f"Checking {item.short_name}")
                    twins = findings.find_twins(item)
                    done.append(report_item(item, keys, log, media, progress, progress.rename, twins=twins))
                except (EnvelopeError, BundleError) as refusal:
                    refused.append((item, refusal))
                    log.append(Act("report", item.name, remark=f"Not opened: {explain(item, refusal)}"))
    finally:
        _tell(inbox, destination, done, before.same, refused, findings, as_json=as_json)
    code = findings.conclude(inbox)
    return 1 if refused or not all(one.is_as_listed for one in done) else code


def _find_reported(destination: Path, item: Item) -> Written | None:
    """What has the place of a report, and of which envelope it says that it is."""
    there = [path for path in _name_files(destination, item) if os.path.lexists(path)]
    if not there:
        return None
    try:
        sha256 = json.loads(there[-1].read_bytes())["report"]["envelope"]["sha256"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return Written(there[0], None)
    return Written(there[0], str(sha256))


def _name_files(destination: Path, item: Item) -> tuple[Path, Path]:
    stem = get_stem(item)
    return destination / f"{stem}.report.html", destination / f"{stem}.report.json"


def report_item(
    item: Item,
    keys: KeySet,
    log: CustodyLog,
    media: MediaReader,
    progress: Callable[[int], object] = lambda size: None,
    rename: Callable[[str], object] = lambda label: None,
    *,
    twins: Sequence[str] = (),
) -> Reported:
    """Write the report of one envelope beside the log. `rename` is told which file is looked at; `twins` are
    those that share its header.

    Raises EnvelopeError (any kind), BundleError and OSError; then there is no report of it.
    """
    with open_item(item, keys.pairs) as (source, envelope):
        opened = describe_opened(item, envelope, source, keys, sum_files(envelope, source, progress))
        total = len(opened["files"])
        facts = media.read_all(
            envelope, lambda number: rename(f"{item.short_name}: file {number + 1:,} of {total:,}")
        )
        for file, found in zip(opened["files"], facts, strict=True):
            file["media"] = asdict(found)
    key = envelope.key.public
    sha256, size = opened["envelope"]["sha256"], opened["envelope"]["size"]
    log.append(
        Act("check", item.name, sha256, size, key.fingerprint, remark="Every byte opened, for a report.")
    )
    content = describe_report(opened, keys, key.fingerprint, log, twins)
    page, record = _name_files(log.path.parent, item)
    signer = keys.signers[key.key_id]
    record_text = sign_report(
        f'{{"report":\n{encode_json(content, ascii_only=False)},\n'.encode(),
        key.key_id,
        signer,
        is_html=False,
    )
    record_sum = hashlib.sha256(record_text).hexdigest()
    page_text = sign_report(
        write_page(content, record.name, record_sum).encode(), key.key_id, signer, is_html=True
    )
    _write_both((page, page_text), (record, record_text))
    sums = (hashlib.sha256(page_text).hexdigest(), record_sum)
    wrote = tuple(zip((page.name, record.name), sums, strict=True))
    log.append(Act("report", item.name, sha256, size, key.fingerprint, wrote))
    return Reported(item, page, record, sums, content)


def describe_report(
    opened: dict[str, Any], keys: KeySet, fingerprint: str, log: CustodyLog, twins: Sequence[str]
) -> dict[str, Any]:
    """What a report says: the SHA-256 of the envelope first."""
    key_id = bytes.fromhex(opened["opened_with"])
    envelope = opened.pop("envelope")
    custody, mailbox = log.read(), opened["reply_to"]["mailbox"] if opened["reply_to"] else ""
    return {
        "format": FORMAT,
        "envelope": {"sha256": envelope["sha256"], **envelope, "twins": list(twins)},
        **opened,
        "recipients": [
            {"key_id": known, "name": keys.names.get(bytes.fromhex(known))} for known in opened["key_ids"]
        ],
        "signer": {
            "name": keys.names[key_id],
            "fingerprint": fingerprint,
            "sign": keys.signers[key_id].verify_key.encode().hex(),
        },
        "made": {"at": tell_time(), "tool": name_tool()},
        "custody": {
            "sha256": hashlib.sha256(custody).hexdigest(),
            "line_count": len(sum_lines(custody)),
            "wrong_lines": check_log(custody),
            "lines": select_lines(
                custody, {envelope["name"], *envelope["copies"]}, envelope["sha256"], mailbox
            ),
        },
    }


def _write_both(*files: tuple[Path, bytes]) -> None:
    """Both files, or none."""
    made: list[Path] = []
    try:
        for path, text in files:
            with create_whole_file(path) as file:
                file.write(text)
            made.append(path)
    except BaseException:
        for path in made:
            path.unlink(missing_ok=True)
        raise


def _tell(
    inbox: Inbox,
    destination: Path,
    done: list[Reported],
    skipped: tuple[Item, ...],
    refused: list[tuple[Item, LeakdropError]],
    findings: Findings,
    *,
    as_json: bool,
) -> None:
    for item, refusal in refused:
        warn(f"There is no report of {item.short_name}. {refusal}")
    for one in done:
        if not one.is_as_listed:
            warn(f"{one.item.short_name} opens, but has another SHA-256 than bundle.json says.")
        if late := sum(file["media"]["failure"] in (SLOW, LEFT_OUT) for file in one.content["files"]):
            note(f"Media facts of {count(late, 'file')} of {one.item.short_name} were left out: too slow.")
    if skipped:
        note(f"{count(len(skipped), 'envelope')} had a report in {destination} before; nothing was changed.")
    if as_json:
        say(encode_json(_describe_outcome(inbox, done, skipped, refused, findings)))
        return
    for one in done:
        say(f"{one.item.short_name}: {one.page}\n  and, for programs, {one.record.name}")
        say(f"  SHA-256 of the envelope: {one.content['envelope']['sha256']}")


def _describe_outcome(
    inbox: Inbox,
    done: list[Reported],
    skipped: tuple[Item, ...],
    refused: list[tuple[Item, LeakdropError]],
    findings: Findings,
) -> dict[str, Any]:
    return {
        **describe_inbox(inbox),
        "twins": findings.describe_twins(),
        "reported": [
            {
                "name": one.item.name,
                "sha256": one.content["envelope"]["sha256"],
                "as_listed": one.is_as_listed,
                "html": str(one.page),
                "json": str(one.record),
            }
            for one in done
        ],
        "skipped": [item.name for item in skipped],
        "refused": [{"name": item.name, **describe_refusal(refusal)} for item, refusal in refused],
    }
