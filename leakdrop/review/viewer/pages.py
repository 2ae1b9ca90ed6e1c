"""The inbox, and what all pages have in common.

What whoever sealed an envelope says is shown as their claim, inside an element that keeps its direction to
itself. Pages are long lists cut into pieces, so that 10,000 of anything stay quick.
"""

from collections.abc import Iterator, Sequence

from leakdrop.review.extracting import LEFT_OVER
from leakdrop.review.listing import MOST_NAMED, SEALED_WORDS, enumerate_names
from leakdrop.review.twins import WHY
from leakdrop.review.viewer.desk import Desk, Line
from leakdrop.review.viewer.markup import Child, Element, element, write_page
from leakdrop.terminal import count, describe_contents, human_size

PER_PAGE = 100
FORGED = "One of these is forged: do not take them for one source's, and do not answer."
SHOWN = {"": "All", "new": "New", "marked": "Marked"}


def write_inbox(desk: Desk, base: str, page: int, show: str) -> bytes:
    """The page with the envelopes of an inbox."""
    lines = [line for line in _sort(desk) if _is_shown(desk, line, show)]
    kept = cut(lines, page, PER_PAGE)
    new = sum(is_new(desk, line) for line in desk.lines)
    return write(
        base,
        "Inbox",
        element("h1", "Inbox"),
        element("p", f"{count(len(desk.lines), 'envelope')}, {new:,} new. ", bdi(str(desk.inbox.path))),
        *_tell_findings(desk, base),
        _make_choice(base, show),
        element("ol", *_make_entries(desk, base, kept), class_="inbox", role="list")
        if kept
        else element("p", "There is nothing to show here."),
        make_pager(f"{base}/", page, len(lines), PER_PAGE, f"&show={show}" if show in SHOWN and show else ""),
    )


def write_refusal(base: str, sentence: str) -> bytes:
    """A page that says why there is no other."""
    return write(
        base, "Refused", element("h1", "That did not work"), element("p", sentence), link_to_inbox(base)
    )


def write(base: str, title: str, *body: Child) -> bytes:
    """A page with what stands on every page."""
    return write_page(title, f"{base}/style.css", element("main", *body))


def link_to_inbox(base: str) -> Element:
    return element("p", link("Back to the inbox", f"{base}/"))


def link(text: str, address: str, **attributes: str | None) -> Element:
    return element("a", text, href=address, **attributes)


def bdi(text: str) -> Element:
    """A text that does not move what stands around it."""
    return element("bdi", text)


def show_name(name: str) -> Element:
    """A file's name: whatever its script, its ending stands at the right."""
    return element("bdi", name, dir="ltr")


def cut(lines: Sequence[Line], page: int, size: int) -> Sequence[Line]:
    return lines[(page - 1) * size : page * size] if page else ()


def make_pager(address: str, page: int, total: int, size: int, more: str = "") -> Element | None:
    """Links to the neighbouring pieces of a long list."""
    last = -(-total // size)
    if last <= 1:
        return None
    return element(
        "nav",
        link("Previous", f"{address}?page={page - 1}{more}", rel="prev") if page > 1 else None,
        element("span", f"Page {page:,} of {last:,}"),
        link("Next", f"{address}?page={page + 1}{more}", rel="next") if page < last else None,
        class_="pager",
        aria_label="Pages",
    )


def make_notice(title: str, *body: Child, loud: bool = True) -> Element:
    return element("section", element("h2", title), *body, class_="notice loud" if loud else "notice")


def _sort(desk: Desk) -> Iterator[Line]:
    """The newest week first; what carries the same receipt stands together, where its newest stands."""
    done: set[object] = set()
    for line in sorted(desk.lines, key=lambda line: line.item.week, reverse=True):
        group = desk.find_sender(line)
        if not group:
            yield line
        elif line.receipt not in done:
            done.add(line.receipt)
            yield from group


def is_new(desk: Desk, line: Line) -> bool:
    return not line.refusal and not desk.note(line).read


def _is_shown(desk: Desk, line: Line, show: str) -> bool:
    return is_new(desk, line) if show == "new" else desk.note(line).marked if show == "marked" else True


def _make_choice(base: str, show: str) -> Element:
    links = [
        link(
            words,
            f"{base}/?show={word}" if word else f"{base}/",
            aria_current="page" if word == show else None,
        )
        for word, words in SHOWN.items()
    ]
    return element("nav", *links, class_="choice", aria_label="Which envelopes")


def _make_entries(desk: Desk, base: str, lines: Sequence[Line]) -> Iterator[Element]:
    """An entry for each envelope; those from one sender are bound together."""
    before: object = None
    for line in lines:
        group = desk.find_sender(line)
        if group and line.receipt != before:
            yield element("li", f"From the same receipt: {count(len(group), 'submission')}", class_="sender")
        before = line.receipt
        yield _make_entry(desk, base, line, is_grouped=bool(group))


def _make_entry(desk: Desk, base: str, line: Line, *, is_grouped: bool) -> Element:
    note = desk.note(line)
    classes = ["entry", "grouped" if is_grouped else "", "new" if is_new(desk, line) else ""]
    title = link(line.item.short_name, f"{base}/{line.number}/", class_="name")
    badges = [
        element("span", "new", class_="badge") if is_new(desk, line) else None,
        element("span", "marked", class_="badge marked") if note.marked else None,
        element("span", "has a note", class_="badge quiet") if note.note else None,
        element("span", "does not open", class_="badge bad") if line.refusal else None,
        element("span", f"{len(line.item.copies) + 1} equal copies", class_="badge quiet")
        if line.item.copies
        else None,
        element("span", "also for an unknown key", class_="badge bad")
        if desk.keys.find_unknown(line.key_ids) and not line.refusal
        else None,
    ]
    facts = [line.item.week, human_size(line.size)]
    if line.refusal:
        return element(
            "li",
            element("div", title, *badges, class_="top"),
            element("p", str(line.refusal), class_="excerpt"),
            element("p", join(facts), class_="facts"),
            class_=" ".join(filter(None, classes)),
        )
    facts += [
        describe_contents(line.files, bool(line.characters)),
        f"sealed {SEALED_WORDS[line.sealed]} (claim)",
    ]
    return element(
        "li",
        element("div", title, *badges, class_="top"),
        element("p", line.excerpt or "No message.", class_="excerpt", dir="auto"),
        element("p", join(facts), *(_name_kind(line) if line.kind else ()), class_="facts"),
        class_=" ".join(filter(None, classes)),
    )


def _name_kind(line: Line) -> tuple[Child, ...]:
    return " · kind (claim): ", bdi(line.kind)


def join(facts: Sequence[str]) -> str:
    return " · ".join(filter(None, facts))


def _tell_findings(desk: Desk, base: str) -> Iterator[Element]:
    """What is not as it should be, and who else can read something; what weighs little comes last."""
    comparison = desk.inbox.comparison
    if comparison.missing:
        yield make_notice(
            "The bundle is not complete",
            element(
                "p", f"Missing: {enumerate_names(comparison.missing)}. Ask the operator for a new export."
            ),
        )
    if comparison.changed:
        yield make_notice(
            "Not as the list of the bundle says",
            element("p", f"Changed: {enumerate_names(comparison.changed)}."),
        )
    yield from _tell_readers(desk, base)
    yield from _tell_forgers(desk, base)
    if leftovers := desk.find_leftovers():
        yield make_notice(
            "Opened files that nobody looks after",
            *(element("p", bdi(str(folder)), f" {LEFT_OVER}") for folder in leftovers[:MOST_NAMED]),
        )
    if refused := [line for line in desk.lines if line.refusal]:
        yield make_notice(
            f"{count(len(refused), 'envelope')} cannot be opened here",
            element("p", *link_to(base, refused)),
            loud=False,
        )
    if comparison.extra:
        yield make_notice(
            "Files that the bundle does not list",
            element("p", f"They are left alone: {enumerate_names(comparison.extra)}."),
            loud=False,
        )


def _tell_readers(desk: Desk, base: str) -> Iterator[Element]:
    unknown = sorted({key_id for line in desk.lines for key_id in desk.keys.find_unknown(line.key_ids)})
    lines = {key_id: [line for line in desk.lines if key_id in line.key_ids] for key_id in unknown}
    if unknown:
        yield make_notice(
            "Also sealed to a key that you do not know",
            element(
                "p",
                "Whoever holds that key can read the same. If no colleague knows it, tell the operator: "
                "the site may have been changed.",
            ),
            element("ul", *(_name_unknown(base, key_id, lines[key_id]) for key_id in unknown)),
        )


def _tell_forgers(desk: Desk, base: str) -> Iterator[Element]:
    if desk.twins:
        yield make_notice(
            "Different envelopes with the same header",
            element(
                "p",
                f"{WHY} ",
                *link_to(base, desk.twins),
            ),
        )
    if desk.forged:
        yield make_notice(
            "One mailbox, and different keys",
            element("p", f"{FORGED} ", *link_to(base, desk.forged)),
        )


def _name_unknown(base: str, key_id: bytes, lines: Sequence[Line]) -> Element:
    return element("li", element("code", key_id.hex()), ": ", *link_to(base, lines))


def link_to(base: str, lines: Sequence[Line], most: int = 5) -> Iterator[Child]:
    for number, line in enumerate(lines[:most]):
        yield ", " if number else ""
        yield link(line.item.short_name, f"{base}/{line.number}/")
    if len(lines) > most:
        yield f" and {len(lines) - most:,} more"
