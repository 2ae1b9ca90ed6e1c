"""What is done with a submission, on its page: marks, the note, the reply, the extraction."""

from collections.abc import Iterator

from leakdrop.review.replying import WHAT_NEXT
from leakdrop.review.viewer.desk import Desk, Line
from leakdrop.review.viewer.extraction import Extraction
from leakdrop.review.viewer.markup import Child, Element, Own, element
from leakdrop.review.viewer.notes import MAX_NOTE
from leakdrop.review.viewer.pages import FORGED, bdi, link, make_notice
from leakdrop.review.viewer.reply import MAX_TEXT
from leakdrop.terminal import human_size

ADVICE = (
    "A file can attack the program that opens it. Open what is not shown here only after it has been made "
    "harmless with Dangerzone, or in a disposable virtual machine without a network, and never on a machine "
    "that goes online."
)


def _make_form(address: str, *body: Child, **hidden: str) -> Element:
    fields = [element("input", type="hidden", name=name, value=value) for name, value in hidden.items()]
    return element("form", *fields, *body, method="post", action=address)


def make_buttons(desk: Desk, here: str, line: Line) -> Element:
    is_marked = desk.note(line).marked
    return element(
        "div",
        _make_form(
            f"{here}/mark",
            element("button", "Remove the mark" if is_marked else "Mark"),
            marked="no" if is_marked else "yes",
        ),
        _make_form(f"{here}/new", element("button", "Back to the inbox as new")),
        class_="buttons",
        id="mark",
    )


def make_note(desk: Desk, here: str, line: Line) -> Element:
    # A parser of HTML drops a line end at the beginning.
    text = element("textarea", Own("\n" + desk.note(line).note), name="note", id="text", rows="5", dir="auto")
    text.set("maxlength", str(MAX_NOTE))
    return element(
        "section",
        element("h2", element("label", "Your note", for_="text")),
        _make_form(f"{here}/note", text, element("button", "Keep the note")),
        element("p", "Notes are kept on this machine, sealed to your own key.", class_="facts"),
        id="note",
    )


def make_reply(desk: Desk, here: str, line: Line) -> Element:
    return element(
        "section",
        element("h2", element("label", "Reply", for_="reply-text") if _takes_reply(desk, line) else "Reply"),
        *_tell_reply(desk, here, line),
        id="reply",
    )


def _takes_reply(desk: Desk, line: Line) -> bool:
    return bool(line.receipt and desk.inbox.bundle)


def _tell_reply(desk: Desk, here: str, line: Line) -> Iterator[Child]:
    """How the source is answered: by a form, whose text is never lost."""
    reply = desk.find_reply(line)
    if reply.sealed:
        yield element("p", reply.sealed.sentence, role="status")
        yield element("p", WHAT_NEXT)
    if reply.warning:
        yield make_notice("One thing more", element("p", reply.warning))
    if reply.failure:
        yield element("p", f"It was not sealed. {reply.failure}", role="status")
    if not line.receipt:
        yield element("p", "This source left no way to reply.")
        return
    if not _takes_reply(desk, line):
        yield element("p", "This envelope lies in no bundle that could take a reply. On the terminal:")
        yield element("pre", f"leakdrop-review reply {line.item.path} --key … --message FILE -o BUNDLE")
        return
    if line in desk.forged:
        yield element("p", FORGED)
    # A parser of HTML drops a line end at the beginning.
    text = element("textarea", Own("\n" + reply.text), name="text", id="reply-text", rows="7", dir="auto")
    text.set("maxlength", str(MAX_TEXT))
    yield _make_form(
        f"{here}/reply",
        text,
        element(
            "div",
            element("button", "Seal the reply"),
            element("button", "Put in “Received, thank you”", name="received", value="yes"),
            class_="buttons",
        ),
    )
    yield element(
        "p",
        "It is sealed to this source alone and written onto the stick, for the operator. Files go along with "
        "the command ",
        element("code", "leakdrop-review reply"),
        "; a text is enough. What you have not sealed is lost when you leave this page.",
        class_="facts",
    )


def make_extraction(desk: Desk, here: str, line: Line) -> Element:
    extraction = desk.find_extraction(line)
    return element(
        "section",
        element("h2", "Extract"),
        element("p", ADVICE),
        *_tell_extraction(desk, here, line, extraction),
        id="extract",
    )


def _tell_extraction(desk: Desk, here: str, line: Line, extraction: Extraction | None) -> Iterator[Child]:
    if desk.output is None:
        yield element("p", "To extract from here, start the viewer with -o and a folder; or on the terminal:")
        yield element("pre", f"leakdrop-review extract {line.item.path} --key … -o …")
        return
    if extraction and extraction.is_under_way:
        share = extraction.done * 100 // extraction.total
        yield element("p", f"Extracting: {share} % of {human_size(extraction.total)}.", role="status")
        yield element("p", link("Look again", f"{here}/?again={extraction.done}#extract"))
        yield _make_form(f"{here}/stop", element("button", "Stop"))
        return
    if extraction and extraction.extracted:
        yield element("p", "Extracted, and every byte checked, into ", bdi(str(extraction.extracted.folder)))
        if not extraction.extracted.is_as_listed:
            yield element("p", "It opens, but has another SHA-256 than bundle.json says.")
        if extraction.failure:
            yield element("p", f"The custody log does not tell of it. {extraction.failure}")
        return
    if extraction:
        yield element("p", f"It was not extracted. {extraction.failure}", role="status")
    yield element("p", "Into ", bdi(str(desk.output)), ", in a folder of its own, under safe names.")
    yield _make_form(f"{here}/extract", element("button", "Extract this submission"))
