"""The verb `reply`: seals an answer to the source of a submission, and lays it into a bundle."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from leakdrop.bundle import MAX_REPLY_FILES
from leakdrop.envelope.index import clean_message
from leakdrop.errors import UsageError
from leakdrop.review.custody import open_log
from leakdrop.review.inbox import Inbox, Item, open_inbox, open_item
from leakdrop.review.keys import KeyOptions
from leakdrop.review.replying import MAY_READ, RECEIVED, ForgedError, find_bundle, name_forged, seal_reply
from leakdrop.seal.offline import Draft, draft, read_message
from leakdrop.terminal import say, warn


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
    *,
    case: Path | None = None,
    here: bool = False,
    anyway: bool = False,
) -> int:
    """Seal a reply to the submission that `source` is, or that `name` begins in it.

    `case` is the folder of a custody log, if one is kept. With `anyway` one is answered that may be forged.
    Raises UsageError, ForgedError, BundleError, EnvelopeError, SubmissionError, NoRoomError, ReportError and
    OSError.
    """
    inbox = open_inbox(source)
    item = _choose(inbox, name)
    bundle = find_bundle(inbox, output)
    answer = draft("review", "", text.read(), files)
    _check(answer)
    log = open_log(case, bundle, here=here) if case else None
    keys = options.open()
    with open_item(item, keys.pairs) as (_, envelope):
        if forged := name_forged(item, inbox, keys):
            if not anyway:
                raise ForgedError(f"{forged} {MAY_READ} Nothing was sealed; with --anyway it is.")
            warn(forged)
        sealed = seal_reply(item, envelope, answer, bundle, may_be_forged=bool(forged))
    say(sealed.sentence)
    say(sealed.what_next)
    if log:
        log.append(sealed.act)
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


def _check(answer: Draft) -> None:
    """Raises UsageError if there is nothing to seal, or more than a reply can hold."""
    if not answer.message.strip() and not answer.paths:
        raise UsageError("There is nothing to say: add --text, --message, --received or --file.")
    if answer.size > MAX_REPLY_FILES:
        raise UsageError(
            f"The files have {answer.size:,} bytes together; a reply takes {MAX_REPLY_FILES:,} (10 MiB)."
        )
