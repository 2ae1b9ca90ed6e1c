"""A reply that a reviewer writes on a submission's page. What is not sealed yet is kept in memory."""

from dataclasses import dataclass, replace

from leakdrop.envelope.index import clean_message
from leakdrop.envelope.opening import Envelope
from leakdrop.errors import LeakdropError, UsageError
from leakdrop.review.custody import CustodyLog
from leakdrop.review.inbox import Inbox, Item
from leakdrop.review.keys import KeySet
from leakdrop.review.replying import RECEIVED, Sealed, find_bundle, name_forged, seal_reply
from leakdrop.seal.offline import draft
from leakdrop.terminal import describe_os_error

# So that a form with it is read whole, in any script: each takes up to 9 bytes there.
MAX_TEXT = 100_000  # UTF-16 code units, as browsers count


@dataclass(frozen=True)
class Reply:
    """The text that is still to be sealed, and why it was not; or what was sealed, and what to know of it."""

    text: str = ""
    failure: str = ""
    sealed: Sealed | None = None
    warning: str = ""

    def add_received(self) -> "Reply":
        """The template, behind what stands there already, if there is room."""
        between = "\n\n" if self.text.strip() else ""
        text = f"{self.text.rstrip()}{between}{RECEIVED}"
        if len(text) > MAX_TEXT:
            return replace(self, failure="“Received, thank you” has no room behind so long a text.")
        return replace(self, text=text, failure="")


def seal_text(
    text: str, item: Item, envelope: Envelope, inbox: Inbox, keys: KeySet, log: CustodyLog | None
) -> Reply:
    """Seal a text to the source of an open envelope, and lay it into the inbox's bundle.

    Raises LeakdropError and OSError; then nothing of it is there.
    """
    answer = draft("review", "", clean_message(text), ())
    if not answer.message.strip():
        raise UsageError("There is nothing to say: write something, or put in “Received, thank you”.")
    bundle = find_bundle(inbox)
    # The inbox is the whole bundle mostly, and then its pages tell.
    warning = name_forged(item, inbox, keys) if inbox.path != inbox.bundle else ""
    sealed = seal_reply(item, envelope, answer, bundle)
    return Reply(sealed=sealed, warning=" ".join(filter(None, (warning, _tell(log, sealed)))))


def _tell(log: CustodyLog | None, sealed: Sealed) -> str:
    """Write it into the custody log; a sentence if that was in vain, since the reply is there already."""
    try:
        if log:
            log.append(sealed.act)
    except OSError as error:
        return f"The custody log does not tell of it. {describe_os_error(error)}"
    return ""


def describe_failure(error: LeakdropError | OSError) -> str:
    return describe_os_error(error) if isinstance(error, OSError) else str(error)
