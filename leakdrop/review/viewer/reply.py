"""A reply that a reviewer writes on a submission's page. What is not sealed yet is kept in memory."""

from dataclasses import dataclass, replace
from pathlib import Path

from leakdrop.envelope.index import clean_message
from leakdrop.envelope.opening import Envelope
from leakdrop.errors import UsageError
from leakdrop.review.custody import CustodyLog
from leakdrop.review.inbox import Item
from leakdrop.review.replying import RECEIVED, Sealed, seal_reply
from leakdrop.seal.offline import draft
from leakdrop.terminal import describe_os_error

# So that a form with it is read whole, in any script: each takes up to 9 bytes there.
MAX_TEXT = 100_000  # UTF-16 code units, as browsers count


@dataclass(frozen=True)
class Reply:
    """The text that is still to be sealed, and why it was not; or what was sealed, and what to know of it.

    `may_be_forged` if it was not sealed for that reason.
    """

    text: str = ""
    failure: str = ""
    sealed: Sealed | None = None
    warning: str = ""
    may_be_forged: bool = False

    def add_received(self) -> "Reply":
        """The template, behind what stands there already, if there is room."""
        between = "\n\n" if self.text.strip() else ""
        text = f"{self.text.rstrip()}{between}{RECEIVED}"
        if len(text) > MAX_TEXT:
            return replace(self, failure="“Received, thank you” has no room behind so long a text.")
        return replace(self, text=text, failure="")


def seal_text(
    text: str, item: Item, envelope: Envelope, bundle: Path, forged: str, log: CustodyLog | None
) -> Reply:
    """Seal a text to the source of an open envelope, and lay it into a bundle.

    `forged` is a sentence if the envelope may be forged, and is answered all the same. Raises LeakdropError
    and OSError; then nothing of it is there.
    """
    answer = draft("review", "", clean_message(text), ())
    if not answer.message.strip():
        raise UsageError("There is nothing to say: write something, or put in “Received, thank you”.")
    sealed = seal_reply(item, envelope, answer, bundle, may_be_forged=bool(forged))
    return Reply(sealed=sealed, warning=" ".join(filter(None, (forged, _tell(log, sealed)))))


def _tell(log: CustodyLog | None, sealed: Sealed) -> str:
    """Write it into the custody log; a sentence if that was in vain, since the reply is there already."""
    try:
        if log:
            log.append(sealed.act)
    except OSError as error:
        return f"The custody log does not tell of it. {describe_os_error(error)}"
    return ""
