"""The reviewer's desk: the envelopes of an inbox, open where they are looked at, and what is done with them.

Of each envelope a line is kept, whose length does not depend on what stands in it. What else is shown is
read out of the envelope when it is asked for; the last few that were looked at stay open.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic, TypeVar

from leakdrop.envelope.opening import Envelope, open_envelope
from leakdrop.errors import BundleError, EnvelopeError, LeakdropError
from leakdrop.review.custody import CustodyLog
from leakdrop.review.extracting import find_leftovers
from leakdrop.review.inbox import Inbox, Item, Sight, look_at, open_file
from leakdrop.review.keys import KeySet
from leakdrop.review.places import is_on_this_machine
from leakdrop.review.receipts import Receipt, find_forged, get_receipt, group_by_receipt
from leakdrop.review.replying import MAY_READ, ForgedError, describe_forged, find_bundle, name_forged
from leakdrop.review.twins import group_twins
from leakdrop.review.viewer.extraction import Extraction
from leakdrop.review.viewer.kinds import DAMAGED, Kind, find_kind
from leakdrop.review.viewer.notes import Note, Notebook
from leakdrop.review.viewer.reply import Reply, seal_text
from leakdrop.terminal import Progress, describe_failure, show_number

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")

EXCERPT = 120  # characters of a message that the inbox shows
MOST_OPEN = 4  # an index takes up to some 30 MB of memory
MOST_KINDS = 4096


@dataclass(frozen=True)
class Line:
    """An envelope in the inbox. It opens with the key `opened_with` (an id), or `refusal` says why not.

    `receipt` is the same for two submissions if, and only if, their mailboxes and their keys are equal byte
    for byte.
    """

    number: int
    item: Item
    size: int
    key_ids: tuple[bytes, ...]
    header_sha256: str
    length: int = 0
    refusal: LeakdropError | None = None
    opened_with: bytes | None = None
    sealed: str = ""
    kind: str = ""
    excerpt: str = ""
    characters: int = 0
    files: int = 0
    receipt: Receipt | None = None


def make_line(number: int, sight: Sight) -> Line:
    line = Line(number, sight.item, sight.size, sight.key_ids, sight.header_sha256, refusal=sight.refusal)
    index, opened_with = sight.index, sight.opened_with
    if index is None or opened_with is None:
        return line
    return replace(
        line,
        length=sight.length,
        opened_with=opened_with.public.key_id,
        sealed=index.sealed,
        kind=index.kind,
        excerpt=" ".join(index.message[: 4 * EXCERPT].split())[:EXCERPT],
        characters=len(index.message),
        files=len(index.files),
        receipt=get_receipt(index),
    )


def shares_mailbox(one: Line, other: Line) -> bool:
    return bool(one.receipt and other.receipt and one.receipt[0] == other.receipt[0])


class Desk:
    """What the viewer shows, and what the reviewer does with it. Safe to use from many threads."""

    def __init__(
        self,
        inbox: Inbox,
        keys: KeySet,
        notebook: Notebook | None = None,
        output: Path | None = None,
        log: CustodyLog | None = None,
        replies: Path | None = None,
    ) -> None:
        self.inbox, self.keys, self.output = inbox, keys, output
        # The bundle that takes replies, if any, and whether that is on no stick: asked while it is there.
        self.reply_bundle = replies or inbox.bundle
        self.replies_stay = bool(self.reply_bundle and is_on_this_machine(self.reply_bundle))
        self.lines = tuple(_look(inbox, keys))
        newest_first = sorted(self.lines, key=lambda line: line.item.week, reverse=True)
        self._senders = {group[0].receipt: group for group in group_by_receipt(newest_first)}
        self.twins = [line for group in group_twins(self.lines) for line in group]
        self.forged = [line for group in find_forged(self.lines) for line in group]
        # Looked for once: what is extracted from here has such a folder, too, while it is under way.
        self._leftovers = find_leftovers(output) if output else []
        self._notebook, self._log = notebook, log
        self._open: _Kept[int, Envelope] = _Kept(MOST_OPEN)
        self._kinds: _Kept[tuple[int, int], Kind] = _Kept(MOST_KINDS)
        self._extractions: dict[int, Extraction] = {}
        self._replies: dict[int, Reply] = {}
        self._lock = threading.Lock()
        self._notes_lock = threading.Lock()
        self._typed_notes: dict[int, str] = {}
        self._sealed_forms: set[str] = set()
        self._reply_lock = threading.Lock()

    @contextmanager
    def open(self, number: int) -> Iterator[Envelope]:
        """An envelope that reads from a file of its own. Raises EnvelopeError and BundleError."""
        with open_file(self.lines[number].item) as (source, _):
            envelope = self._open.find(number, lambda: open_envelope(source, self.keys.pairs))
            # Nothing in a file that is no longer the same one opens with the key of the first.
            yield replace(envelope, body=replace(envelope.body, source=source))

    def find_kind(self, number: int, envelope: Envelope, file: int) -> Kind:
        """What a file is by its own bytes; a damaged one hides nothing else of its envelope.

        Raises BundleError.
        """
        try:
            return self._kinds.find(
                (number, file), lambda: find_kind(lambda start, end: envelope.read_file(file, start, end))
            )
        except EnvelopeError:
            return DAMAGED

    def find_leftovers(self) -> list[Path]:
        """What extractions left that were cut off before, and nobody has removed since."""
        return [folder for folder in self._leftovers if folder.exists()]

    def find_sender(self, line: Line) -> list[Line]:
        """All that carry the same receipt as this one; none if it carries none, or alone."""
        return self._senders.get(line.receipt, [])

    def note(self, line: Line) -> Note:
        return self._notebook.find(line.header_sha256) if self._notebook else Note()

    def write_note(self, line: Line, **changes: bool | str) -> None:
        """Change what is noted of a submission. Raises OSError; then nothing has changed."""
        if self._notebook:
            with self._notes_lock:
                self._notebook.write(line.header_sha256, replace(self.note(line), **changes))  # type: ignore[arg-type]

    def extract(self, line: Line) -> None:
        """Begin to extract an envelope into the folder `output`, unless that is under way or done."""
        with self._lock:
            before = self._extractions.get(line.number)
            if self.output and (before is None or before.is_in_vain):
                job = (line.item, self.keys, self.output, line.length, self._log)
                self._extractions[line.number] = Extraction(*job)

    def find_extraction(self, line: Line) -> Extraction | None:
        return self._extractions.get(line.number)

    def stop_extraction(self, line: Line) -> None:
        if extraction := self.find_extraction(line):
            extraction.stop()

    def find_reply(self, line: Line) -> Reply:
        return self._replies.get(line.number, Reply())

    def keep_typed(self, line: Line, note: str | None, reply: str | None) -> None:
        """Keep in memory what stands in the fields of a submission's page; None is left as it was."""
        if note is not None:
            self._typed_notes[line.number] = note
        if reply is not None:
            self._replies[line.number] = replace(self.find_reply(line), text=reply)

    def find_typed_note(self, line: Line) -> str | None:
        """A note that was typed and not kept yet."""
        typed = self._typed_notes.get(line.number)
        return None if typed == self.note(line).note else typed

    def draft_reply(self, line: Line, text: str) -> None:
        """Put “Received, thank you” behind the text of a reply."""
        self._replies[line.number] = Reply(text).add_received()

    def find_forged(self, line: Line) -> list[Line]:
        """All with this one's mailbox, if not all of them have its key; else none."""
        if line not in self.forged:
            return []
        return [other for other in self.forged if shares_mailbox(other, line)]

    def reply(self, line: Line, text: str, once: str = "", *, anyway: bool = False) -> None:
        """Seal a reply to a submission's source. If that is not possible, the text stays.

        With `anyway` one is answered that may be forged. What was sealed for the form with the number `once`
        is not sealed again.
        """
        with self._reply_lock:
            if once not in self._sealed_forms:
                self._seal_reply(line, text, anyway=anyway)
                if once and self.find_reply(line).sealed:
                    self._sealed_forms.add(once)

    def _seal_reply(self, line: Line, text: str, *, anyway: bool) -> None:
        try:
            with self.open(line.number) as envelope:
                # What was read is what is answered, whatever has been laid in its place.
                if get_receipt(envelope.index) != line.receipt:
                    raise BundleError(f"{line.item.path} is not what it was: start the viewer again.")
                bundle, forged = find_bundle(self.inbox, self.reply_bundle), self._tell_forged(line)
                if forged and not anyway:
                    raise ForgedError(f"{forged} {MAY_READ}")
                self._replies[line.number] = seal_text(text, line.item, envelope, bundle, forged, self._log)
        except (LeakdropError, OSError) as error:
            may_be_forged = isinstance(error, ForgedError)
            self._replies[line.number] = Reply(text, describe_failure(error), may_be_forged=may_be_forged)

    def _tell_forged(self, line: Line) -> str:
        """A sentence if a submission may be forged: of those in the inbox, or in the bundle around it."""
        if self.inbox.path != self.inbox.bundle:
            return name_forged(line.item, self.inbox, self.keys)
        forged = self.find_forged(line)
        return describe_forged([other.item.short_name for other in forged]) if forged else ""

    def close(self) -> None:
        """Stop what is under way; nothing half-written stays."""
        for extraction in list(self._extractions.values()):
            extraction.stop()


def _look(inbox: Inbox, keys: KeySet) -> Iterator[Line]:
    with Progress(len(inbox.items), "Opening", show=show_number) as progress:
        for number, item in enumerate(inbox.items):
            yield make_line(number, look_at(item, keys.pairs))
            progress(1)


class _Kept(Generic[Key, Value]):
    """The values that were asked for last, and no more than `most` of them."""

    def __init__(self, most: int) -> None:
        self._values: OrderedDict[Key, Value] = OrderedDict()
        self._most = most
        self._lock = threading.Lock()

    def find(self, key: Key, make: Callable[[], Value]) -> Value:
        """The value that is kept, or else a new one; while that is made, others are found."""
        with self._lock:
            value = self._values.get(key)
        if value is None:
            value = make()
        with self._lock:
            self._values[key] = value
            self._values.move_to_end(key)
            if len(self._values) > self._most:
                self._values.popitem(last=False)
        return value
