"""Everything that a visitor can be told instead of "it arrived": status, title, and what to do."""

from enum import Enum

from leakdrop.errors import SENTENCES, Kind, LeakdropError

_NOTHING_KEPT = "Nothing was kept."


class Refusal(Enum):
    """A refusal: the HTTP status, a title, and the sentences of its page."""

    NOTHING_SENT = (
        400,
        "Nothing to send",
        "The message was empty and no file was chosen. "
        "Go back, write a message or choose a file, and send again.",
    )
    NOT_A_FORM = (415, "Not a form", "This address takes only what the form on the first page sends.")
    BAD_FORM = (
        400,
        "The form did not arrive whole",
        f"What arrived was not put together as a form. {_NOTHING_KEPT} Go back and send it again.",
    )
    BAD_QUESTION = (
        400,
        "Not a question for replies",
        "What was sent does not name a token, or a reply, as the page “Replies” does. "
        "Open that page again and enter your words.",
    )
    WORDS_NOT_TAKEN = (
        403,
        "Words are not taken here",
        "This site opens replies on your own device only, and for that JavaScript must be on. "
        "Your words were not looked at. Switch to “Safer”, and open the page “Replies” again.",
    )
    UNKNOWN_FIELD = (
        400,
        "Unknown field",
        "The form had a field that this site does not know, so something of it would have been lost. "
        f"{_NOTHING_KEPT} The fields are “kind”, “message” and “files”.",
    )
    CUT_OFF = (
        400,
        "The connection broke",
        f"The connection broke before everything had arrived. {_NOTHING_KEPT} Go back and send it again.",
    )
    NO_LENGTH = (411, "Length required", f"What was sent did not say how long it is. {_NOTHING_KEPT}")
    MESSAGE_TOO_LONG = (
        413,
        "The message is too long",
        f"A message can have about one million letters. {_NOTHING_KEPT} "
        "Save the text as a file, go back, and choose that file instead.",
    )
    TOO_MANY_FILES = (
        413,
        "Too many files",
        f"One submission can have 10,000 files, or fewer if their names are long. {_NOTHING_KEPT} "
        "Put the files into one archive (a ZIP file), or send them in parts.",
    )
    TOO_LARGE = (
        413,
        "Too large",
        f"This is more than this site can take at once. {_NOTHING_KEPT} Go back and send the files in parts.",
    )
    ONLY_SEALED = (
        415,
        "Only sealed files",
        f"This site takes only files that were sealed beforehand, one at a time. {_NOTHING_KEPT} "
        "Seal your files with leakdrop-seal, or open this page with JavaScript switched on.",
    )
    FOREIGN_KEY = (
        400,
        "Sealed to another key",
        f"This sealed file is meant for somebody else: it names a key that is not ours. {_NOTHING_KEPT} "
        "Get our key from the page “Our key”, and seal your files again.",
    )
    NOT_AN_ENVELOPE = (400, "Not a sealed file", f"{SENTENCES[Kind.NOT_AN_ENVELOPE]} {_NOTHING_KEPT}")
    UNKNOWN_VERSION = (400, "Another version", f"{SENTENCES[Kind.UNKNOWN_VERSION]} {_NOTHING_KEPT}")
    BAD_COUNT = (400, "Damaged", f"{SENTENCES[Kind.BAD_COUNT]} {_NOTHING_KEPT} Seal your files again.")
    CUT_HEADER = (400, "Cut off", f"{SENTENCES[Kind.CUT_HEADER]} {_NOTHING_KEPT} Then send it again.")
    STANZA_ORDER = (400, "Damaged", f"{SENTENCES[Kind.STANZA_ORDER]} {_NOTHING_KEPT} Seal your files again.")
    BAD_LENGTH = (400, "Cut off", f"{SENTENCES[Kind.BAD_LENGTH]} {_NOTHING_KEPT} Then send it again.")
    UNKNOWN_UPLOAD = (404, "No such upload", "This upload was ended, or it is too long ago. Start anew.")
    WRONG_OFFSET = (
        409,
        "Wrong offset",
        "These bytes do not follow those that are there. Ask for the offset.",
    )
    ARRIVED = (
        409,
        "It has arrived already",
        "This upload has arrived already and is kept: it cannot be taken back from here.",
    )
    TOO_MUCH = (413, "Too much", "This is more than was announced for this upload.")
    NOT_TUS = (412, "Other protocol", "This address speaks tus 1.0.0.")
    NOT_BYTES = (415, "Not bytes of an upload", "The Content-Type must be application/offset+octet-stream.")
    BAD_NUMBER = (400, "Not a number", "A header that must be a whole number is not one.")
    CROSS_SITE = (
        403,
        "Sent from another site",
        f"This was sent by a page of another site, not by ours. {_NOTHING_KEPT} Open this site yourself.",
    )
    GATEWAY = (
        403,
        "You are not safe here",
        "You came here through somebody else's server, and not by Tor alone. It can see who you are and all "
        "that you do here. Nothing can be sent this way. Close this page. Get Tor Browser from "
        "torproject.org, and open our onion address in it. Take that address from our own web site, and from "
        "nowhere else.",
    )
    FOREIGN_HOST = (
        421,
        "This is not our address",
        "You asked for this site under a name that is not ours, so somebody else's server may stand between "
        "you and us. It can see who you are and all that you do here. Nothing can be sent this way. "
        "Close this page. Get Tor Browser from torproject.org, and open our onion address in it.",
    )
    NOT_FOUND = (404, "No such page", "There is no page at this address.")
    WRONG_METHOD = (405, "Not possible", "This address does not take that kind of request.")
    TOO_OFTEN = (
        429,
        "Too many at once",
        f"Too much came from your connection in a short time. {_NOTHING_KEPT} Wait ten minutes, or choose "
        "“New Tor circuit for this site” in Tor Browser's menu. Then go back and send again.",
    )
    BUSY = (
        503,
        "Too busy",
        f"Many people are sending at this moment. {_NOTHING_KEPT} Wait ten minutes, go back and send again. "
        "Your turn will come: keep what you have, and keep trying.",
    )
    ASKED_OFTEN = (
        503,
        "Too many questions",
        "Many people are asking for replies at this moment. Nothing of yours is lost. "
        "Wait ten minutes and ask again.",
    )
    FULL = (
        507,
        "No room",
        f"This site has no room for this at the moment. {_NOTHING_KEPT} Try again tomorrow, or send less.",
    )
    CLOSED = (
        503,
        "Closed for now",
        f"Our keys are too old, so nothing can be sealed to them. {_NOTHING_KEPT} Come back in a few days.",
    )
    AWAY = (
        503,
        "Not possible for now",
        "A part of this site cannot be reached at the moment. "
        "You were not told that it arrived, so take it that it did not. Try again in an hour.",
    )
    FAULT = (
        500,
        "Our mistake",
        "Something went wrong on our side, not on yours. "
        "You were not told that it arrived, so take it that it did not. Try again later.",
    )

    def __init__(self, status: int, title: str, text: str) -> None:
        self.status = status
        self.title = title
        self.text = text

    @property
    def text_for_question(self) -> str:
        """The sentences for whoever asked for replies, and is not to send anything in this visit."""
        return _TO_A_QUESTION.get(self.name, self.text)

    @property
    def tab(self) -> str:
        """What the tab shows: whoever looks over a shoulder learns nothing from it."""
        if self in (Refusal.NOT_FOUND, Refusal.WRONG_METHOD):
            return self.title
        return "Not sent" if self.is_about_here else "Not possible"

    @property
    def empties_form(self) -> bool:
        """Whether the form on the first page is to be filled in once more."""
        return self.is_about_here and self not in _NO_FORM

    @property
    def is_about_here(self) -> bool:
        """Whether the visitor may stay: nobody is to go on at an address that is not ours."""
        return self not in (Refusal.GATEWAY, Refusal.FOREIGN_HOST)


_NO_FORM = (
    Refusal.NOTHING_SENT,
    Refusal.NOT_FOUND,
    Refusal.WRONG_METHOD,
    Refusal.UNKNOWN_UPLOAD,
    Refusal.WRONG_OFFSET,
    Refusal.ARRIVED,
    Refusal.TOO_MUCH,
    Refusal.NOT_TUS,
    Refusal.NOT_BYTES,
    Refusal.BAD_NUMBER,
)
_TO_A_QUESTION = {
    "TOO_OFTEN": "Too much came from your connection in a short time. Nothing of yours is lost. Wait ten "
    "minutes, or choose “New Tor circuit for this site” in Tor Browser's menu. Then ask again.",
    "BUSY": "Many people are here at this moment. Nothing of yours is lost. Wait ten minutes and ask again.",
    "CUT_OFF": "The connection broke before your question had arrived. Ask again.",
    "AWAY": "A part of this site cannot be reached at the moment. Nothing of yours is lost. "
    "Ask again in an hour.",
    "FAULT": "Something went wrong on our side, not on yours. Ask again later. If you wanted to delete a "
    "reply, look then whether it is still there.",
    "CROSS_SITE": "This was asked by a page of another site, not by ours. Open this site yourself.",
    **dict.fromkeys(("NO_LENGTH", "NOT_A_FORM", "BAD_FORM", "TOO_LARGE"), Refusal.BAD_QUESTION.text),
}


class Refused(LeakdropError):
    """A request is refused."""

    def __init__(self, refusal: Refusal, status: int | None = None) -> None:
        super().__init__(refusal.text)
        self.refusal = refusal
        self.status = status or refusal.status


def refusal_for(kind: Kind) -> Refusal:
    """The refusal of an envelope that fails one of the first six checks."""
    return Refusal[kind.name]
