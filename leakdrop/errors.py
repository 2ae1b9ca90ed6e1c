"""Everything that leakdrop refuses, or cannot do, on purpose.

One base, few leaves. The text of an error is the sentence that its reader sees: it names the
field or the file and says what to do, and never carries a byte of a submission. A command prints
that sentence and exits with `exit_code`; any other exception is a mistake of ours.
"""

from enum import StrEnum
from typing import ClassVar


class LeakdropError(Exception):
    """leakdrop could not do what was asked."""

    exit_code: ClassVar[int] = 1

    def __init__(self, sentence: str | None = None) -> None:
        super().__init__(sentence or type(self).__doc__)


class UsageError(LeakdropError):
    """That is not how this command is used; see its --help."""

    exit_code = 2


class ConfigError(LeakdropError):
    """The configuration file is not right."""


class KeyFileError(LeakdropError):
    """This is not a leakdrop key file."""


class PublicKeyError(LeakdropError):
    """This is not a valid leakdrop public key."""


class PassphraseError(LeakdropError):
    """The passphrase does not open this key."""


class SubmissionError(LeakdropError):
    """This submission cannot be sealed."""


class ReceiptError(LeakdropError):
    """These are not the twelve words of a receipt."""


class AnswerError(LeakdropError):
    """The answer did not come whole: ask again."""


class BundleError(LeakdropError):
    """This folder is not a leakdrop bundle."""


class ReportError(LeakdropError):
    """This is not a report as it was signed."""


class ManifestError(LeakdropError):
    """This is not a leakdrop manifest."""


class StoreError(LeakdropError):
    """The data folder cannot be used."""


class NoRoomError(LeakdropError):
    """There is not enough free space."""


class Kind(StrEnum):
    """The fourteen ways in which bytes are not an envelope, in the order in which a reader looks.

    Source: docs/envelope.md, "The reader". The first six need no key.
    """

    NOT_AN_ENVELOPE = "not-an-envelope"
    UNKNOWN_VERSION = "unknown-version"
    BAD_COUNT = "bad-count"
    CUT_HEADER = "cut-header"
    STANZA_ORDER = "stanza-order"
    BAD_LENGTH = "bad-length"
    NOT_FOR_THIS_KEY = "not-for-this-key"
    STANZA_DAMAGED = "stanza-damaged"
    HEADER_DAMAGED = "header-damaged"
    CHUNK_DAMAGED = "chunk-damaged"
    BAD_TRAILER = "bad-trailer"
    BAD_BUCKET = "bad-bucket"
    BAD_INDEX = "bad-index"
    BAD_PADDING = "bad-padding"


SENTENCES = {
    Kind.NOT_AN_ENVELOPE: "This is not a leakdrop envelope.",
    Kind.UNKNOWN_VERSION: "This envelope was made by a newer leakdrop: update leakdrop to open it.",
    Kind.BAD_COUNT: "This envelope is damaged: it does not name 1 to 16 keys.",
    Kind.CUT_HEADER: "This envelope is cut off within its header: copy it again.",
    Kind.STANZA_ORDER: "This envelope is damaged: its keys are not in order.",
    Kind.BAD_LENGTH: "This envelope has a length that no envelope has: copy it again.",
    Kind.NOT_FOR_THIS_KEY: "This envelope is not sealed to any of these keys.",
    Kind.STANZA_DAMAGED: "This envelope's part for this key is damaged; "
    "another reviewer may be able to open it.",
    Kind.HEADER_DAMAGED: "This envelope's header is damaged; another reviewer may be able to open it.",
    Kind.CHUNK_DAMAGED: "This envelope is damaged: a piece of it was changed, moved or cut off.",
    Kind.BAD_TRAILER: "This envelope was made wrongly: its last bytes do not point to an index.",
    Kind.BAD_BUCKET: "This envelope was made wrongly: it is not padded as it should be.",
    Kind.BAD_INDEX: "This envelope was made wrongly: its index breaks the rules.",
    Kind.BAD_PADDING: "This envelope was made wrongly: its padding is not zero.",
}


class EnvelopeError(LeakdropError):
    """These bytes are not an envelope, or not one for these keys; `kind` says why."""

    def __init__(self, kind: Kind) -> None:
        super().__init__(SENTENCES[kind])
        self.kind = kind
