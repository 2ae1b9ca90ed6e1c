"""What is done with a submission, on its page: marks, the note, the reply, the extraction.

All buttons belong to one form: whichever is pressed, what was typed into the note and the reply goes along,
and stands there again. The form has a number that is good for one reply: sent twice, it seals once.
"""

import secrets
from collections.abc import Iterator

from leakdrop.review.viewer.desk import Desk, Line
from leakdrop.review.viewer.extraction import Extraction
from leakdrop.review.viewer.markup import Child, Element, Own, element
from leakdrop.review.viewer.notes import MAX_NOTE
from leakdrop.review.viewer.pages import FORGED, bdi, make_notice
from leakdrop.review.viewer.reply import MAX_TEXT
from leakdrop.terminal import human_size

ADVICE = (
    "A file can attack the program that opens it. Open what is not shown here only after it has been made "
    "harmless with Dangerzone, or in a disposable virtual machine without a network, and never on a machine "
    "that goes online."
)


FORM = "typed"


def make_form(here: str) -> Element:
    """The form to which the fields and buttons of a page belong, wherever they stand."""
    once = element("input", type="hidden", name="once", value=secrets.token_urlsafe(16))
    return element("form", once, method="post", action=f"{here}/keep", id=FORM)


def _make_button(label: str, here: str, act: str, **more: str) -> Element:
    return element("button", label, form=FORM, formaction=f"{here}/{act}", **more)


def _make_area(text: str, **more: str) -> Element:
    # A parser of HTML drops a line end at the beginning.
    return element("textarea", Own("\n" + text), form=FORM, dir="auto", **more)


def make_buttons(desk: Desk, here: str, line: Line) -> Element:
    is_marked = desk.note(line).marked
    return element(
        "div",
        _make_button(
            "Remove the mark" if is_marked else "Mark",
            here,
            "mark",
            name="marked",
            value="no" if is_marked else "yes",
        ),
        _make_button("Back to the inbox as new", here, "new"),
        class_="buttons",
        id="mark",
    )


def make_note(desk: Desk, here: str, line: Line) -> Element:
    typed = desk.find_typed_note(line)
    text = _make_area(
        desk.note(line).note if typed is None else typed,
        name="note",
        id="text",
        rows="5",
        maxlength=str(MAX_NOTE),
    )
    return element(
        "section",
        element("h2", element("label", "Your note", for_="text")),
        text,
        element("p", "This is not kept yet.", role="status") if typed is not None else None,
        element("div", _make_button("Keep the note", here, "note"), class_="buttons"),
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
    return bool(line.receipt and desk.reply_bundle)


def _tell_reply(desk: Desk, here: str, line: Line) -> Iterator[Child]:
    """How the source is answered: by a form, whose text is never lost."""
    reply = desk.find_reply(line)
    if reply.sealed:
        yield element("p", reply.sealed.sentence, role="status")
        yield element("p", reply.sealed.what_next)
    if reply.warning:
        yield make_notice("One thing more", element("p", reply.warning))
    if reply.failure:
        yield element("p", f"It was not sealed. {reply.failure}", role="status")
    if not line.receipt:
        yield element("p", "This source left no way to reply.")
        return
    if not _takes_reply(desk, line):
        yield element(
            "p",
            "This envelope lies in no bundle that could take a reply. To answer here, start the viewer with "
            "--replies and the bundle on the stick; or on the terminal:",
        )
        yield element("pre", f"leakdrop-review reply {line.item.path} --key … --message FILE -o BUNDLE")
        return
    yield _make_area(reply.text, name="text", id="reply-text", rows="7", maxlength=str(MAX_TEXT))
    may_be_forged = line in desk.forged or reply.may_be_forged
    if may_be_forged:
        yield from _ask_whether_anyway()
    yield element(
        "div",
        _make_button("Seal the reply", here, "reply"),
        _make_button("Put in “Received, thank you”", here, "reply", name="received", value="yes"),
        class_="buttons",
    )
    yield element(
        "p",
        f"It is sealed to {'whoever made this submission' if may_be_forged else 'this source'} alone, and ",
        *_tell_where(desk),
        " Files go along with the command ",
        element("code", "leakdrop-review reply"),
        "; a text is enough. Every button of this page keeps what you typed; a link away from it does not.",
        class_="facts",
    )


def _ask_whether_anyway() -> Iterator[Child]:
    """What is to be confirmed, each time, before a submission is answered that may be forged."""
    yield element("p", FORGED)
    box = element("input", type="checkbox", name="anyway", value="yes", form=FORM, id="anyway")
    yield element(
        "p", box, " ", element("label", "Seal it all the same: the forger may read it", for_="anyway")
    )


def _tell_where(desk: Desk) -> Iterator[Child]:
    """Where a reply lies then, and how it gets to the operator."""
    yield "written into "
    yield bdi(str(desk.reply_bundle))
    if desk.replies_stay:
        yield (
            ", which is on this machine's own disk, and not on the stick: start the viewer with --replies "
            "and the bundle on the stick, or copy what you seal into the folder “replies” there."
        )
    else:
        yield ", for the operator."


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
        yield element(
            "div",
            _make_button("Look again", here, "look"),
            _make_button("Stop", here, "stop"),
            class_="buttons",
        )
        return
    if extraction and extraction.extracted:
        yield element("p", "Extracted, and every byte checked, into ", bdi(str(extraction.extracted.folder)))
        if not extraction.extracted.is_as_listed:
            yield element("p", "It opens, but has another SHA-256 than bundle.json says.")
        yield from _tell_untold(extraction)
        return
    if extraction:
        yield element("p", f"It was not extracted. {extraction.failure}", role="status")
        yield from _tell_untold(extraction)
    yield element("p", "Into ", bdi(str(desk.output)), ", in a folder of its own, under safe names.")
    yield element("div", _make_button("Extract this submission", here, "extract"), class_="buttons")


def _tell_untold(extraction: Extraction) -> Iterator[Child]:
    if extraction.untold:
        yield make_notice("The custody log is not whole", element("p", extraction.untold))
