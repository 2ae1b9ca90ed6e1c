"""The verb `reply`: seals an answer to the key in a submission, and lays it on the stick: docs/bundle.md.

Only whoever has the source's twelve words can open it. It names nobody, and nothing in it or around it says
which submission it answers.
"""

import hashlib
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from leakdrop.bundle import LIST_NAME, MAX_REPLY, MAX_REPLY_FILES, REPLIES_NAME, name_reply
from leakdrop.envelope.index import Index, ReplyTo, clean_message
from leakdrop.errors import BundleError, LeakdropError, UsageError
from leakdrop.review.inbox import Inbox, Item, open_inbox, open_item
from leakdrop.review.keys import KeyOptions, KeySet
from leakdrop.review.receipts import find_forged, look_at_all
from leakdrop.seal.files import check_room, create_whole_file, sync_folder
from leakdrop.seal.offline import Draft, draft, read_message, seal_draft_into
from leakdrop.terminal import describe_contents, human_size, say, warn

RECEIVED = (
    "Thank you. What you sent has arrived, it could be opened, and people are reading it.\n\n"
    "It can take some weeks until you hear more. Come back from time to time with your twelve words, "
    "and each time choose New Identity before you do.\n"
)


@dataclass(frozen=True)
class Text:
    """Where a reply's text comes from: one of these, or none if there are files."""

    text: str | None = None
    path: str | None = None
    is_received: bool = False

    def read(self) -> str:
        """The clean text. Raises SubmissionError and OSError."""
        if self.path is not None:
            return read_message(self.path)
        return RECEIVED if self.is_received else clean_message(self.text or "")


def reply(
    source: Path,
    name: str | None,
    text: Text,
    files: Sequence[Path],
    output: Path | None,
    options: KeyOptions,
) -> int:
    """Seal a reply to the submission that `source` is, or that `name` begins in it.

    Raises UsageError, BundleError, EnvelopeError, SubmissionError, NoRoomError and OSError.
    """
    inbox = open_inbox(source)
    item = _choose(inbox, name)
    folder = _find_bundle(inbox, output) / REPLIES_NAME
    answer = draft("review", "", text.read(), files)
    _check(answer)
    keys = options.open()
    reply_to = _find_address(item, keys)
    _warn_of_forgery(item, inbox, keys)
    envelope = _seal(answer, reply_to)
    path = folder / name_reply(reply_to.mailbox, hashlib.sha256(envelope).hexdigest())
    _write(path, envelope)
    what = describe_contents(len(answer.files), bool(answer.message))
    say(f"Sealed {what} into {path} ({human_size(len(envelope))}).")
    say("Only whoever has the source's twelve words can open it. Take the stick back to the operator.")
    return 0


def _choose(inbox: Inbox, name: str | None) -> Item:
    """The one envelope that is meant. Raises UsageError."""
    items = [
        item for item in inbox.items if any(each.startswith(name or "") for each in (item.name, *item.copies))
    ]
    if len(items) == 1:
        return items[0]
    if not items:
        where = f"is called “{name}”" if name else "lies there"
        raise UsageError(f"No envelope in {inbox.path} {where}.")
    raise UsageError(
        f"{len(items):,} envelopes in {inbox.path} could be meant: name one with --name, as `list` shows it."
    )


def _find_bundle(inbox: Inbox, output: Path | None) -> Path:
    """The bundle that takes the reply. Raises UsageError and BundleError."""
    folder = output or inbox.bundle
    if folder is None:
        raise UsageError(f"{inbox.path} lies in no bundle: say with -o which bundle takes the reply.")
    if not (folder / LIST_NAME).exists():
        raise BundleError(f"{folder} is not a bundle: it holds no {LIST_NAME}.")
    replies = folder / REPLIES_NAME
    if replies.is_symlink() or (replies.exists() and not replies.is_dir()):
        raise BundleError(f"{replies} is not a folder.")
    if not os.access(replies if replies.exists() else folder, os.W_OK | os.X_OK):
        raise BundleError(
            f"{folder} is read-only: unlock the stick, or say with -o which bundle takes the reply."
        )
    return folder


def _check(answer: Draft) -> None:
    """Raises UsageError if there is nothing to seal, or more than a reply can hold."""
    if not answer.message and not answer.paths:
        raise UsageError("There is nothing to say: add --text, --message, --received or --file.")
    if answer.size > MAX_REPLY_FILES:
        raise UsageError(
            f"The files have {human_size(answer.size)} together; a reply takes {human_size(MAX_REPLY_FILES)}."
        )


def _find_address(item: Item, keys: KeySet) -> ReplyTo:
    """Where a submission asks for replies. Raises EnvelopeError and LeakdropError."""
    with open_item(item, keys.pairs) as (_, envelope):
        index: Index = envelope.index
    if index.reply_to is None:
        raise LeakdropError(f"{item.name} does not say where replies go: its source has no twelve words.")
    return index.reply_to


def _warn_of_forgery(item: Item, inbox: Inbox, keys: KeySet) -> None:
    """Say that another submission has the same mailbox with another key: one of the two deceives."""
    beside = open_inbox(inbox.bundle) if inbox.bundle else inbox
    for forged in find_forged(look_at_all(beside, keys)):
        if any(sight.item.name == item.name or item.name in sight.item.copies for sight in forged):
            names = ", ".join(sight.item.short_name for sight in forged)
            warn(
                f"{names} have the same mailbox and different keys: one of them is forged, perhaps this one."
            )


def _seal(answer: Draft, reply_to: ReplyTo) -> bytes:
    """The envelope, whose sum is needed for its name. Raises UsageError and SubmissionError."""
    if answer.measure([reply_to.key]) > MAX_REPLY:
        raise UsageError("This is more than a reply can hold: leave something out, or send two.")
    sink = io.BytesIO()
    seal_draft_into(sink, answer, [reply_to.key])
    return sink.getvalue()


def _write(path: Path, envelope: bytes) -> None:
    """Write a file that was not there. Raises NoRoomError and OSError."""
    check_room(path.parent, len(envelope), "The reply")
    path.parent.mkdir(exist_ok=True)
    with create_whole_file(path) as file:
        file.write(envelope)
    sync_folder(path.parent.parent)
