"""A reply on its way: sealed to the key in a submission, and laid on the stick: docs/bundle.md.

Only whoever has the source's twelve words can open it, unless the submission is forged. It names nobody, and
nothing in it or around it says which submission it answers; only the custody log, which stays on the laptop,
does.
"""

import hashlib
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from leakdrop.bundle import LIST_NAME, MAX_REPLY, REPLIES_NAME, name_reply
from leakdrop.envelope.index import ReplyTo
from leakdrop.envelope.opening import Envelope
from leakdrop.envelope.receipt import UNIT, answer_length
from leakdrop.errors import BundleError, LeakdropError, UsageError
from leakdrop.folders import sync_folder
from leakdrop.review.custody import Act
from leakdrop.review.inbox import Inbox, Item, open_inbox
from leakdrop.review.keys import KeySet
from leakdrop.review.listing import enumerate_names
from leakdrop.review.places import is_on_this_machine
from leakdrop.review.receipts import find_forged, look_for_receipts
from leakdrop.seal.files import PUBLIC_FILE, check_room, create_whole_file
from leakdrop.seal.offline import Draft, seal_draft_into
from leakdrop.terminal import describe_contents, human_size

RECEIVED = (
    "Thank you. What you sent has arrived, it could be opened, and people are reading it.\n\n"
    "It can take some weeks until you hear more. Come back from time to time with your twelve words, "
    "and each time choose New Identity before you do.\n"
)
# Every answer with this reply in it has another size than the answers of those for whom there is none.
LARGE = (
    " Its source downloads more than others who ask, and who watches their connection may see that; "
    "a text alone would not show."
)
FOR_SOURCE = "Only whoever has the source's twelve words can open it."
FOR_FORGER = "Whoever made this submission can open it, and that may be the forger."
TAKE_BACK = "Take the stick back to the operator."
CARRY_OVER = (
    "This bundle is on this machine's own disk, and not on the stick: copy the file into the folder "
    "“replies” of the bundle on the stick, or its source never gets it."
)
MAY_READ = "Whoever forged it could read the reply."


class ForgedError(LeakdropError):
    """Another submission has the same mailbox and another key: whoever answers may answer the forger."""


@dataclass(frozen=True)
class Sealed:
    """A reply that lies in a bundle: what it is, who can read it and how it gets to the operator (sentences),
    where, and what the custody log says of it.
    """

    sentence: str
    what_next: str
    path: Path
    act: Act


def find_bundle(inbox: Inbox, other: Path | None = None) -> Path:
    """The bundle that takes replies: the inbox's, or the other one. Raises UsageError and BundleError."""
    folder = other or inbox.bundle
    if folder is None:
        raise UsageError(
            f"{inbox.path} lies in no bundle: `leakdrop-review reply -o` says which bundle takes the reply."
        )
    if not (folder / LIST_NAME).exists():
        raise BundleError(f"{folder} is not a bundle: it holds no {LIST_NAME}.")
    replies = folder / REPLIES_NAME
    if replies.is_symlink() or (replies.exists() and not replies.is_dir()):
        raise BundleError(f"{replies} is not a folder.")
    if not os.access(replies if replies.exists() else folder, os.W_OK | os.X_OK):
        raise BundleError(
            f"{folder} is read-only: unlock the stick, or name another with `reply -o` or `view --replies`."
        )
    return folder


def name_forged(item: Item, inbox: Inbox, keys: KeySet) -> str:
    """A sentence if another submission has the same mailbox with another key: one of the two deceives.

    All that lies in the bundle is looked at, even if one envelope of it is the inbox.
    """
    beside = open_inbox(inbox.bundle) if inbox.bundle else inbox
    for forged in find_forged(look_for_receipts(beside, keys)):
        if any(item.name in (named.name, *named.copies) for named in forged):
            return describe_forged([named.short_name for named in forged])
    return ""


def describe_forged(short_names: Sequence[str]) -> str:
    names = enumerate_names(short_names)
    return f"{names} have the same mailbox and different keys: one of them is forged, perhaps this one."


def seal_reply(
    item: Item, envelope: Envelope, answer: Draft, bundle: Path, *, may_be_forged: bool = False
) -> Sealed:
    """Seal an answer to the submission in an open envelope, and write it into the bundle.

    Raises UsageError (it is too large), LeakdropError (nobody asks for a reply), SubmissionError,
    NoRoomError and OSError; then nothing of it is there.
    """
    reply_to = envelope.index.reply_to
    if reply_to is None:
        raise LeakdropError(f"{item.name} does not say where replies go: its source has no twelve words.")
    sealed = _seal(answer, reply_to)
    sha256 = hashlib.sha256(sealed).hexdigest()
    path = bundle / REPLIES_NAME / name_reply(reply_to.mailbox, sha256)
    _write(path, sealed)
    what = describe_contents(len(answer.files), bool(answer.message))
    sentence = f"Sealed {what} into {path} ({human_size(len(sealed))})."
    if answer_length([len(sealed)]) > UNIT:
        sentence += LARGE
    for_whom = FOR_FORGER if may_be_forged else FOR_SOURCE
    what_next = f"{for_whom} {CARRY_OVER if is_on_this_machine(bundle) else TAKE_BACK}"
    opened_with = envelope.key.public.fingerprint
    act = Act("reply", item.name, opened_with=opened_with, wrote=((str(path), sha256),))
    return Sealed(sentence, what_next, path, act)


def _seal(answer: Draft, reply_to: ReplyTo) -> bytes:
    """The envelope, whose sum is needed for its name. Raises UsageError and SubmissionError."""
    if answer.measure([reply_to.key]) > MAX_REPLY:
        raise UsageError("This is more than a reply can hold: leave something out, or send two.")
    sink = io.BytesIO()
    seal_draft_into(sink, answer, [reply_to.key])
    return sink.getvalue()


def _write(path: Path, envelope: bytes) -> None:
    """Write a file that was not there, and that the operator can read. Raises NoRoomError and OSError."""
    check_room(path.parent, len(envelope), "The reply")
    path.parent.mkdir(exist_ok=True)
    with create_whole_file(path, PUBLIC_FILE) as file:
        file.write(envelope)
    sync_folder(path.parent.parent)
