"""The page of one submission: who can read it, what it says, its files."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack

from leakdrop.envelope.opening import Envelope
from leakdrop.errors import BundleError, EnvelopeError, Kind
from leakdrop.review.listing import SEALED_WORDS
from leakdrop.review.twins import WHY
from leakdrop.review.viewer.acts import (
    ADVICE,
    make_buttons,
    make_extraction,
    make_form,
    make_note,
    make_reply,
)
from leakdrop.review.viewer.desk import Desk, Line
from leakdrop.review.viewer.kinds import Kind as FileKind
from leakdrop.review.viewer.markup import Child, Element, Lines, element
from leakdrop.review.viewer.pages import (
    FORGED,
    bdi,
    link,
    link_to,
    link_to_inbox,
    make_notice,
    make_pager,
    show_name,
    write,
)
from leakdrop.terminal import count, human_size

FILES_PER_PAGE = 50

BACK_IN = "If the stick was pulled out, put it in again. The text of your reply is still here."
UNDRAWN = (
    "If there is only grey here, the browser cannot draw it: it is damaged, too large, or only begins as a "
    "picture does. Extract it, and open it as safely as a document."
)


def write_submission(desk: Desk, base: str, line: Line, page: int) -> bytes:
    """The page of an envelope. Raises EnvelopeError and BundleError if it does not open any more.

    Then, too, the text of a reply that could not be sealed is shown.
    """
    here = f"{base}/{line.number}"
    title = f"Envelope {line.item.short_name}"
    top = [link_to_inbox(base), element("h1", title), make_form(here)]
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
            return write(base, title, *top, notice, make_reply(desk, here, line))
        return write(
            base,
            title,
            *top,
            failure,
            make_buttons(desk, here, line),
            *_tell_readers(desk, base, line),
            _make_message(envelope),
            _make_files(desk, here, line, envelope, page),
            _make_facts(desk, base, line, envelope),
            make_note(desk, here, line),
            make_reply(desk, here, line),
            make_extraction(desk, here, line),
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
        element("p", UNDRAWN, class_="facts") if kind.element == "img" else None,
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


def _tell_readers(desk: Desk, base: str, line: Line) -> Iterator[Child]:
    if desk.keys.find_unknown(line.key_ids):
        yield make_notice(
            "Also sealed to a key that you do not know",
            element("p", "Whoever holds it can read the same."),
            _name_keys(desk, line),
        )
    if forged := desk.find_forged(line):
        others = [other for other in forged if other is not line]
        yield make_notice(
            "Another submission has the same mailbox, and another key",
            element("p", f"{FORGED} Beside this one: ", *link_to(base, others)),
        )
    if line in desk.twins:
        others = [
            other for other in desk.twins if other is not line and other.header_sha256 == line.header_sha256
        ]
        yield make_notice(
            "Another envelope has the same header",
            element(
                "p",
                f"{WHY} Beside this one: ",
                *link_to(base, others),
            ),
        )


def _name_keys(desk: Desk, line: Line) -> Element:
    return element("ul", *(element("li", bdi(desk.keys.name_key(key_id))) for key_id in line.key_ids))


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


def _warn() -> Element:
    return make_notice("This file is not shown", element("p", ADVICE))
