"""The verbs `list` and `read`: what stands in the envelopes, without their files' bytes.

What an envelope says of itself is a claim of whoever sealed it, and is shown as one.
"""

import textwrap
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from leakdrop.envelope.index import Index
from leakdrop.errors import EnvelopeError, LeakdropError
from leakdrop.review.inbox import Inbox, Item, Sight, compare_sums, find_beside, look_at, open_inbox
from leakdrop.review.keys import KeyOptions, KeySet
from leakdrop.review.receipts import Named, find_forged, group_by_receipt, make_named
from leakdrop.review.twins import WHY, group_twins
from leakdrop.terminal import Progress, count, encode_json, human_size, note, say, show_number, visible, warn

MOST_NAMED = 5
MOST_FILES = 50
NOT_COMPARED = (
    "Compared with bundle.json: names and sizes. With --sums every byte is read, and the SHA-256 sums too."
)
SEALED_WORDS = {
    "browser": "in a browser",
    "server": "by the server",
    "offline": "with leakdrop-seal",
    "review": "by a reviewer",
}
HEADINGS: tuple[str, ...] = ("envelope", "week", "size", "files", "message", "sealed (claim)", "kind (claim)")
# What comes last may be written from right to left, so nothing stands behind it.
FORM = "{:<{width}}  {:<8}  {:>10}  {:>12}  {:>18}  {:<17}  {}"
REFUSED_FORM = "{:<{width}}  {:<8}  {:>10}  {}"


def list_envelopes(path: Path, options: KeyOptions, *, sums: bool = False, as_json: bool = False) -> int:
    """Print one line for each envelope; 1 if one did not open or the bundle is not complete, else 0.

    With `sums` every byte of the bundle is read, and compared with bundle.json.
    """
    inbox, keys = open_inbox(path), options.open()
    inbox = compare_sums(inbox) if sums else inbox
    records, rows, told = [], [HEADINGS], Findings(keys, inbox)
    with Progress(len(inbox.items), "Opening", show=show_number) as progress:
        for sight in _look(inbox, keys, told):
            if as_json:
                records.append(describe(sight, keys))
            else:
                rows.append(_make_row(sight))
            progress(1)
    receipts = told.group_receipts()
    if as_json:
        numbers = {named.name: number for number, group in enumerate(receipts, 1) for named in group}
        envelopes = [{**record, "receipt": numbers.get(record["name"])} for record in records]
        twins = told.describe_twins()
        say(
            encode_json(
                {**describe_inbox(inbox), "sums_compared": sums, "twins": twins, "envelopes": envelopes}
            )
        )
    else:
        _say_table(rows)
        for group in receipts:
            say(f"From the same receipt: {', '.join(named.short_name for named in group)}")
        if not sums and any(item.entry for item in inbox.items):
            say(NOT_COMPARED)
    return told.conclude(inbox)


def _say_table(rows: Sequence[tuple[str, ...]]) -> None:
    width = max(len(row[0]) for row in rows)
    for row in rows:
        form = FORM if len(row) == len(HEADINGS) else REFUSED_FORM
        say(form.format(*row, width=width).rstrip())


def read_envelopes(
    path: Path, options: KeyOptions, *, every_name: bool = False, as_json: bool = False
) -> int:
    """Print what each envelope says; 1 if one did not open or the bundle is not complete, else 0.

    The sums are compared last, since that reads every byte and the texts need not wait for it.
    """
    inbox, keys = open_inbox(path), options.open()
    records, told = [], Findings(keys, inbox)
    for sight in _look(inbox, keys, told):
        if as_json:
            records.append({**describe(sight, keys), **_describe_texts(sight)})
        else:
            _say_envelope(sight, keys, None if every_name else MOST_FILES)
    inbox = compare_sums(inbox)
    if as_json:
        twins = told.describe_twins()
        say(
            encode_json(
                {**describe_inbox(inbox), "sums_compared": True, "twins": twins, "envelopes": records}
            )
        )
    return told.conclude(inbox)


def _look(inbox: Inbox, keys: KeySet, told: "Findings") -> Iterator[Sight]:
    for item in inbox.items:
        sight = look_at(item, keys.pairs)
        told.add(sight)
        yield sight


class Findings:
    """What is told once, at the end: keys that nobody knows, and what is not as it should be."""

    def __init__(self, keys: KeySet, inbox: Inbox) -> None:
        self._keys = keys
        self._unknown: dict[bytes, list[str]] = defaultdict(list)
        self._refused = 0
        self._named: list[Named] = []
        # Of what lies beside the one envelope that was asked for, headers are read, and may be its twins'.
        self._beside = [make_named(look_at(item, ())) for item in find_beside(inbox)]

    def add(self, sight: Sight, *, done_before: bool = False) -> None:
        """Take in what opening told. Of what was `done_before` it is no failure if it opens no more."""
        self._named.append(make_named(sight))
        self._refused += sight.refusal is not None and not done_before
        for key_id in self._keys.find_unknown(sight.key_ids):
            self._unknown[key_id].append(sight.item.short_name)

    def group_receipts(self) -> list[list[Named]]:
        """The envelopes that come from one receipt, where several do."""
        return group_by_receipt(self._named)

    def find_twins(self, item: Item) -> list[str]:
        """The names of the envelopes that share this one's header, and are not equal to it."""
        groups = (group for group in self.describe_twins() if item.name in group)
        return [name for group in groups for name in group if name != item.name]

    def describe_twins(self) -> list[list[str]]:
        """The names of those that share a header, for programs."""
        return [[named.name for named in twins] for twins in self._group_twins()]

    def _group_twins(self) -> list[list[Named]]:
        headers = {named.header_sha256 for named in self._named}
        return group_twins(
            [*self._named, *(named for named in self._beside if named.header_sha256 in headers)]
        )

    def conclude(self, inbox: Inbox) -> int:
        """Tell it, and return the exit code: 1 if one was refused, is missing, has changed or has a twin."""
        tell_differences(inbox)
        for key_id, names in sorted(self._unknown.items()):
            verb = "is" if len(names) == 1 else "are"
            warn(f"{enumerate_names(names)} {verb} also sealed to a key you do not know: {key_id.hex()}")
        for forged in find_forged(self._named):
            names = [named.short_name for named in forged]
            warn(
                f"{enumerate_names(names)} have the same mailbox and different keys: one of them is forged. "
                "Do not take them for one source's, and do not answer."
            )
        twins = self._group_twins()
        for group in twins:
            names = [named.short_name for named in group]
            warn(
                f"{enumerate_names(names)} have the same header and are not equal. {WHY} "
                "Compare their SHA-256 with those in a second bundle."
            )
        comparison = inbox.comparison
        return 1 if self._refused or twins or comparison.missing or comparison.changed else 0


def tell_differences(inbox: Inbox) -> None:
    """Say which files of a bundle are missing, changed or extra."""
    comparison = inbox.comparison
    if inbox.unlisted:
        warn(inbox.unlisted)
    if comparison.missing:
        warn(f"The bundle is not complete. Missing: {enumerate_names(comparison.missing)}.")
    if comparison.changed:
        warn(f"Not as bundle.json says: {enumerate_names(comparison.changed)}.")
    if comparison.extra:
        note(f"Not named in bundle.json, and left alone: {enumerate_names(comparison.extra)}.")


def enumerate_names(names: Sequence[str]) -> str:
    """The first few names, and how many more there are."""
    shown = ", ".join(names[:MOST_NAMED])
    more = len(names) - MOST_NAMED
    return f"{shown} and {more:,} more" if more > 0 else shown


def describe_inbox(inbox: Inbox) -> dict[str, Any]:
    """A bundle, for programs."""
    comparison = inbox.comparison
    return {
        "path": str(inbox.path),
        "missing": comparison.missing,
        "changed": comparison.changed,
        "extra": comparison.extra,
    }


def describe(sight: Sight, keys: KeySet) -> dict[str, Any]:
    """An envelope without its texts, for programs."""
    item, index = sight.item, sight.index
    return {
        "name": item.name,
        "copies": item.copies,
        "week": item.week or None,
        "size": sight.size,
        "listed_sha256": item.entry.sha256 if item.entry else None,
        "key_ids": [key_id.hex() for key_id in sight.key_ids],
        "unknown_key_ids": [key_id.hex() for key_id in keys.find_unknown(sight.key_ids)],
        "refusal": describe_refusal(sight.refusal) if sight.refusal else None,
        "opened_with": sight.opened_with.public.key_id.hex() if sight.opened_with else None,
        "sealed": index.sealed if index else None,
        "kind": index.kind if index else None,
        "file_count": len(index.files) if index else None,
        "message_characters": len(index.message) if index else None,
    }


def describe_refusal(refusal: LeakdropError) -> dict[str, Any]:
    """Why an envelope was refused, for programs. The kind is null if its own bytes are not the reason."""
    kind = refusal.kind.value if isinstance(refusal, EnvelopeError) else None
    return {"kind": kind, "sentence": str(refusal)}


def _describe_texts(sight: Sight) -> dict[str, Any]:
    index = sight.index
    files = (
        [{"name": file.name, "type": file.type, "size": file.size} for file in index.files] if index else None
    )
    reply_to = index.reply_to.mailbox.hex() if index and index.reply_to else None
    return {"message": index.message if index else None, "files": files, "mailbox": reply_to}


def _make_row(sight: Sight) -> tuple[str, ...]:
    item, index = sight.item, sight.index
    name = visible(item.short_name) + (f" ×{len(item.copies) + 1}" if item.copies else "")
    size = human_size(sight.size)
    if index is None:
        return name, item.week, size, visible(str(sight.refusal))
    files = count(len(index.files), "file") if index.files else "no files"
    sealed = SEALED_WORDS[index.sealed]
    return name, item.week, size, files, _measure_message(index), sealed, visible(index.kind)


def _measure_message(index: Index) -> str:
    return count(len(index.message), "character") if index.message else "no message"


def _say_envelope(sight: Sight, keys: KeySet, most: int | None) -> None:
    """What an envelope says, with the names of so many files, or all."""
    _say_heading(sight.item, sight.size)
    if sight.index is None or sight.opened_with is None:
        say(f"  {sight.refusal}\n")
        return
    index = sight.index
    say(f"  Opened with  {visible(keys.name_key(sight.opened_with.public.key_id))}")
    for key_id in sight.key_ids:
        say(f"  Sealed to    {visible(keys.name_key(key_id))}")
    say("Whoever sealed it claims:")
    say(f"  Sealed       {SEALED_WORDS[index.sealed]}")
    say(f"  Kind         {visible(index.kind) or 'none'}")
    say(f"  Replies      {'asked for' if index.reply_to else 'not asked for'}")
    say(f"  Files        {len(index.files):,}")
    for file in index.files[:most]:
        say(f"    {human_size(file.size):>10}  {visible(file.type) or 'no type':<24}  {visible(file.name)}")
    if most and len(index.files) > most:
        say(f"    and {len(index.files) - most:,} more: --all shows them")
    say(f"  Message      {_measure_message(index)}")
    if index.message:
        # Indented, so that no line of the message passes for one of ours.
        say(textwrap.indent(visible(index.message.rstrip("\n"), newlines=True), "    "))
    say()


def _say_heading(item: Item, size: int) -> None:
    week = f", {item.week}" if item.week else ""
    say(f"Envelope {visible(item.name)} ({human_size(size)}{week})")
    for copy in item.copies:
        say(f"  The same again: {copy}")
