"""The page of one submission: who can read it, what it says, its files, and what is done with it."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack

from leakdrop.envelope.opening import Envelope
from leakdrop.errors import BundleError, EnvelopeError, Kind
from leakdrop.review.listing import SEALED_WORDS
from leakdrop.review.replying import WHAT_NEXT
from leakdrop.review.viewer.desk import Desk, Line
from leakdrop.review.viewer.extraction import Extraction
from leakdrop.review.viewer.kinds import Kind as FileKind
from leakdrop.review.viewer.markup import Child, Element, Lines, Own, element
from leakdrop.review.viewer.notes import MAX_NOTE
from leakdrop.review.viewer.pages import (
    FORGED,
    bdi,
    link,
    link_to_inbox,
    make_notice,
    make_pager,
    show_name,
    write,
)
from leakdrop.review.viewer.reply import MAX_TEXT
from leakdrop.terminal import count, human_size

FILES_PER_PAGE = 50

ADVICE = (
    "A file can attack the program that opens it. Open what is not shown here only after it has been made "
    "harmless with Dangerzone, or in a disposable virtual machine without a network, and never on a machine "
    "that goes online."
)


BACK_IN = "If the stick was pulled out, put it in again. The text of your reply is still here."


def write_submission(desk: Desk, base: str, line: Line, page: int) -> bytes:
    """The page of an envelope. Raises EnvelopeError and BundleError if it does not open any more.

    Then, too, the text of a reply that could not be sealed is shown.
    """
    here = f"{base}/{line.number}"
    title = f"Envelope {line.item.short_name}"
    top = [link_to_inbox(base), element("h1", title)]
    if line.refusal:
        return write(base, title, *top, *_tell_refusal(desk, line))
    failure = _mark_read(desk, line)
    with ExitStack() as kept:
        try:
            envelope = kept.enter_context(desk.open(line.number))
        except (EnvelopeError, BundleError) as refusal:
            if not desk.find_reply(line).text:
                raise
            notice = make_notice("This envelope does not open any more", element("p", f"{refusal} {BACK_IN}"))
            return write(base, title, *top, notice, _make_reply(desk, here, line))
        return write(
            base,
            title,
            *top,
            failure,
            _make_buttons(desk, here, line),
            *_tell_readers(desk, line),
            _make_message(envelope),
            _make_files(desk, here, line, envelope, page),
            _make_facts(desk, base, line, envelope),
            _make_note(desk, here, line),
            _make_reply(desk, here, line),
            _make_extraction(desk, here, line),
        )


def write_file(desk: Desk, base: str, line: Line, number: int) -> bytes:
    """The page of one file: a picture or a recording, as large as the window."""
    with desk.open(line.number) as envelope:
        if number >= len(envelope.index.files):
            return write(base, "No such file", element("h1", "There is no such file"), link_to_inbox(base))
        file, kind = envelope.index.files[number], desk.find_kind(line.number, envelope, number)
    page = number // FILES_PER_PAGE + 1
    back = f"{base}/{line.number}/?page={page}#file-{number}"
    return write(
        base,
        f"File {number + 1}",
        element("p", link(f"Back to envelope {line.item.short_name}", back)),
        element("h1", f"File {number + 1}: ", show_name(file.name), class_="file-name"),
        element("p", f"{kind.words} · {human_size(file.size)}", class_="facts"),
        _show(f"{base}/{line.number}/{number}/bytes", number, kind, preload="metadata")
        if kind.element
        else _warn(),
    )


def _mark_read(desk: Desk, line: Line) -> Element | None:
    try:
        desk.write_note(line, read=True)
    except OSError as error:
        return make_notice("That you read this could not be noted", element("p", f"{error.strerror}."))
    return None


def _tell_refusal(desk: Desk, line: Line) -> Iterator[Child]:
    yield make_notice("This envelope cannot be opened here", element("p", str(line.refusal)))
    is_for_others = isinstance(line.refusal, EnvelopeError) and line.refusal.kind == Kind.NOT_FOR_THIS_KEY
    if line.key_ids:
        yield element("h2", "Only these keys open it" if is_for_others else "It names these keys")
        yield _name_keys(desk, line)


def _tell_readers(desk: Desk, line: Line) -> Iterator[Child]:
    if desk.keys.find_unknown(line.key_ids):
        yield make_notice(
            "Also sealed to a key that you do not know",
            element("p", "Whoever holds it can read the same."),
            _name_keys(desk, line),
        )
    if line in desk.forged:
        yield make_notice("Another submission has the same mailbox, and another key", element("p", FORGED))
    if line in desk.twins:
        yield make_notice(
            "Another envelope has the same header",
            element(
                "p", "Somebody who can open one of them made the other: it does not come from its source."
            ),
        )


def _name_keys(desk: Desk, line: Line) -> Element:
    return element("ul", *(element("li", bdi(desk.keys.name_key(key_id))) for key_id in line.key_ids))


def make_form(address: str, *body: Child, **hidden: str) -> Element:
    fields = [element("input", type="hidden", name=name, value=value) for name, value in hidden.items()]
    return element("form", *fields, *body, method="post", action=address)


def _make_buttons(desk: Desk, here: str, line: Line) -> Element:
    is_marked = desk.note(line).marked
    return element(
        "div",
        make_form(
            f"{here}/mark",
            element("button", "Remove the mark" if is_marked else "Mark"),
            marked="no" if is_marked else "yes",
        ),
        make_form(f"{here}/new", element("button", "Back to the inbox as new")),
        class_="buttons",
        id="mark",
    )


def _make_message(envelope: Envelope) -> Element:
    message = envelope.index.message
    return element(
        "section",
        element("h2", "Message"),
        element("div", Lines(message), class_="message", dir="auto")
        if message
        else element("p", "No message."),
    )


def _make_files(desk: Desk, here: str, line: Line, envelope: Envelope, page: int) -> Element | None:
    total = len(envelope.index.files)
    if not total:
        return None
    numbers = range(total)[max(page - 1, 0) * FILES_PER_PAGE : page * FILES_PER_PAGE]
    entries = [_make_file(desk, here, line, envelope, number) for number in numbers]
    return element(
        "section",
        element("h2", count(total, "file")),
        element("p", "Names are claims. What a file is, is told by its first bytes.", class_="facts"),
        element("ol", *entries, class_="files", start=str(numbers.start + 1)),
        make_pager(f"{here}/", page, total, FILES_PER_PAGE),
    )


def _make_file(desk: Desk, here: str, line: Line, envelope: Envelope, number: int) -> Element:
    file, kind = envelope.index.files[number], desk.find_kind(line.number, envelope, number)
    claimed = (" · claimed type: ", bdi(file.type)) if file.type else ()
    address = f"{here}/{number}/"
    return element(
        "li",
        element("p", show_name(file.name), class_="file-name"),
        element("p", f"{kind.words} · {human_size(file.size)}", *claimed, class_="facts"),
        _show(f"{address}bytes", number, kind, preload="none") if kind.is_recording else None,
        element("p", link(f"Show picture {number + 1}", address)) if kind.element == "img" else None,
        element("p", "Not shown here; see “Extract” below.", class_="facts") if not kind.element else None,
        id=f"file-{number}",
    )


def _show(address: str, number: int, kind: FileKind, *, preload: str) -> Element:
    label = f"File {number + 1}"
    if kind.element == "img":
        return element("img", src=address, alt=f"{label}, as its source made it", class_="shown")
    return element(
        kind.element or "",
        src=address,
        controls=True,
        preload=preload,
        aria_label=label,
        class_="shown",
    )


def _make_facts(desk: Desk, base: str, line: Line, envelope: Envelope) -> Element:
    item, index = line.item, envelope.index
    others = [other for other in desk.find_sender(line) if other is not line]
    rows: list[tuple[str, Sequence[Child]]] = [
        ("Envelope", [element("code", item.name)]),
        ("Week", [item.week or "not known"]),
        ("Size of the envelope", [human_size(line.size)]),
        ("Opened with", [bdi(desk.keys.name_key(envelope.key.public.key_id))]),
        ("Sealed to", [_name_keys(desk, line)]),
        ("Equal copies in the bundle", [", ".join(item.copies)] if item.copies else ["none"]),
        ("Sealed (claim)", [SEALED_WORDS[index.sealed]]),
        ("Kind (claim)", [bdi(index.kind or "none")]),
        ("Replies", ["asked for" if index.reply_to else "not asked for"]),
        ("From the same receipt", _link_others(base, others) or ["nothing else"]),
    ]
    terms = [part for term, said in rows for part in (element("dt", term), element("dd", *said))]
    return element("section", element("h2", "About this envelope"), element("dl", *terms))


def _link_others(base: str, others: Sequence[Line], most: int = 20) -> list[Child]:
    linked: list[Child] = []
    for other in others[:most]:
        linked += [", " if linked else "", link(other.item.short_name, f"{base}/{other.number}/")]
    return [*linked, f" and {len(others) - most:,} more"] if len(others) > most else linked


def _make_note(desk: Desk, here: str, line: Line) -> Element:
    # A parser of HTML drops a line end at the beginning.
    text = element("textarea", Own("\n" + desk.note(line).note), name="note", id="text", rows="5", dir="auto")
    text.set("maxlength", str(MAX_NOTE))
    return element(
        "section",
        element("h2", element("label", "Your note", for_="text")),
        make_form(f"{here}/note", text, element("button", "Keep the note")),
        element("p", "Notes are kept on this machine, sealed to your own key.", class_="facts"),
        id="note",
    )


def _make_reply(desk: Desk, here: str, line: Line) -> Element:
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
    yield make_form(
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


def _make_extraction(desk: Desk, here: str, line: Line) -> Element:
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
        yield make_form(f"{here}/stop", element("button", "Stop"))
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
    yield make_form(f"{here}/extract", element("button", "Extract this submission"))


def _warn() -> Element:
    return make_notice("This file is not shown", element("p", ADVICE))
