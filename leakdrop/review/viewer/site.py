"""Which request gets which answer.

    GET  /<ticket>                       leads to the inbox, once
    GET  /<token>/                       the inbox; ?page=2&show=new
    GET  /<token>/style.css
    GET  /<token>/<envelope>/            a submission; ?page=2 of its files
    GET  /<token>/<envelope>/<file>/     a picture or a recording on a page of its own
    GET  /<token>/<envelope>/<file>/bytes    its bytes, or a range of them
    POST /<token>/<envelope>/keep, note, mark, new, reply, extract, look, stop

Envelopes and files are numbers: no name that a source chose stands in an address.
"""

import re
from contextlib import ExitStack
from dataclasses import dataclass, replace
from http import HTTPStatus
from importlib import resources
from itertools import chain

from leakdrop.errors import BundleError, EnvelopeError
from leakdrop.review.viewer import pages, submission_page
from leakdrop.review.viewer.desk import Desk, Line
from leakdrop.review.viewer.notes import MAX_NOTE
from leakdrop.review.viewer.ranges import NoSuchRangeError, choose_range
from leakdrop.review.viewer.reply import MAX_TEXT
from leakdrop.review.viewer.requests import (
    PAGE,
    SHOWN,
    STYLE,
    Answer,
    Door,
    RefusedError,
    Request,
    check_destination,
)
from leakdrop.terminal import describe_os_error

SAFETY = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Forms name their origin to us, and nothing is named to anybody else.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
}
PAGE_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self' data:; media-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'; sandbox allow-forms allow-same-origin"
)
PLAIN = "text/plain; charset=utf-8"
NO_SUCH_RANGE = HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
CONTENT_POLICY = "default-src 'none'; frame-ancestors 'none'; sandbox"

_NUMBER = re.compile("0|[1-9][0-9]{0,7}")
NOTHING = RefusedError(HTTPStatus.NOT_FOUND, "There is nothing here.")


@dataclass(frozen=True)
class Site:
    """The answers about one desk. With `pages` off only bytes are given out: a player needs no more."""

    desk: Desk
    door: Door
    pages: bool = True

    def answer(self, request: Request) -> Answer:
        """The answer to a request. What is refused, or cannot be read, is answered with a sentence."""
        try:
            self.door.check(request)
            if self.door.take_ticket(request.path.removeprefix("/")):
                return _redirect(self.door.address)
            parts = self.door.enter(request)
        except RefusedError as refusal:
            return _whole(refusal.status, PLAIN, f"{refusal}\n".encode(), CONTENT_POLICY)
        try:
            return self._change(parts, request) if request.method == "POST" else self._show(parts, request)
        except RefusedError as refusal:
            return self._refuse(refusal.status, str(refusal))
        except (EnvelopeError, BundleError) as error:
            return self._refuse(HTTPStatus.CONFLICT, str(error))
        except OSError as error:
            return self._refuse(HTTPStatus.INTERNAL_SERVER_ERROR, describe_os_error(error))

    def _show(self, parts: list[str], request: Request) -> Answer:
        match parts:
            case [number, file, "bytes"]:
                check_destination(request, SHOWN)
                return self._give_bytes(self._find_line(number), _parse_number(file), request)
            case ["style.css"] if self.pages:
                check_destination(request, STYLE)
                return _whole(HTTPStatus.OK, "text/css; charset=utf-8", _read_style(), CONTENT_POLICY)
        if not self.pages:
            raise NOTHING
        check_destination(request, PAGE)
        return self._page(self._write(parts, request))

    def _write(self, parts: list[str], request: Request) -> bytes:
        """A page of HTML."""
        base, query = f"/{self.door.token}", request.read_query()
        page = _parse_number(query.get("page", "1"))
        match parts:
            case [""]:
                return pages.write_inbox(self.desk, base, page, query.get("show", ""))
            case [number, ""]:
                return submission_page.write_submission(self.desk, base, self._find_line(number), page)
            case [number, file, ""]:
                line = self._find_line(number)
                return submission_page.write_file(self.desk, base, line, _parse_number(file))
        raise NOTHING

    def _change(self, parts: list[str], request: Request) -> Answer:
        if not self.pages or len(parts) != 2:
            raise NOTHING
        line, form = self._find_line(parts[0]), request.read_form()
        note, reply = (
            _read_text(form, name, most) for name, most in (("note", MAX_NOTE), ("text", MAX_TEXT))
        )
        self.desk.keep_typed(line, note, None if parts[1] == "reply" else reply)
        match parts[1]:
            case "keep" | "look":
                pass
            case "note":
                self.desk.write_note(line, note=note or "")
            case "mark":
                self.desk.write_note(line, marked=form.get("marked") == "yes")
            case "new":
                self.desk.write_note(line, read=False)
                return _redirect(self.door.address)
            case "reply" if "received" in form:
                self.desk.draft_reply(line, reply or "")
            case "reply":
                anyway = form.get("anyway") == "yes"
                self.desk.reply(line, reply or "", form.get("once", ""), anyway=anyway)
            case "extract":
                self.desk.extract(line)
            case "stop":
                self.desk.stop_extraction(line)
            case _:
                raise NOTHING
        # The part of the page that was just used.
        place = "extract" if parts[1] in ("look", "stop") else parts[1]
        return _redirect(f"{self.door.address}{line.number}/#{place}")

    def _find_line(self, number: str) -> Line:
        index = _parse_number(number)
        if index >= len(self.desk.lines):
            raise NOTHING
        return self.desk.lines[index]

    def _give_bytes(self, line: Line, file: int, request: Request) -> Answer:
        with ExitStack() as kept:
            envelope = kept.enter_context(self.desk.open(line.number))
            if file >= len(envelope.index.files):
                raise NOTHING
            kind = self.desk.find_kind(line.number, envelope, file)
            if not kind.element:
                raise RefusedError(HTTPStatus.FORBIDDEN, f"This file is not shown here: {kind.words}.")
            size = envelope.index.files[file].size
            fields = {"Content-Type": kind.type, "Accept-Ranges": "bytes"}
            try:
                chosen = choose_range(request.fields.get("range"), request.fields.get("if-range"), size)
            except NoSuchRangeError as refusal:
                answer = _whole(NO_SUCH_RANGE, PLAIN, f"{refusal}\n".encode(), CONTENT_POLICY)
                return replace(answer, fields={**answer.fields, "Content-Range": f"bytes */{size}"})
            status = HTTPStatus.OK if chosen is None else HTTPStatus.PARTIAL_CONTENT
            if chosen is not None:
                fields["Content-Range"] = f"bytes {chosen.start}-{chosen.stop - 1}/{size}"
            chosen = range(size) if chosen is None else chosen
            fields = {**SAFETY, **fields, "Content-Security-Policy": CONTENT_POLICY}
            if request.method == "HEAD":
                return Answer(status, fields, len(chosen))
            pieces = envelope.stream_file(file, chosen.start, chosen.stop)
            # What begins to be sent is open: a first chunk that is damaged is told in a sentence.
            first = next(pieces, b"")
            return Answer(status, fields, len(chosen), chain([first], pieces), kept.pop_all())

    def _refuse(self, status: HTTPStatus, sentence: str) -> Answer:
        return self._page(pages.write_refusal(f"/{self.door.token}", sentence), status)

    def _page(self, page: bytes, status: HTTPStatus = HTTPStatus.OK) -> Answer:
        return _whole(status, "text/html; charset=utf-8", page, PAGE_POLICY)


def _whole(status: HTTPStatus, type: str, content: bytes, policy: str) -> Answer:
    fields = {**SAFETY, "Content-Type": type, "Content-Security-Policy": policy}
    return Answer(status, fields, len(content), iter([content]))


def _redirect(address: str) -> Answer:
    return Answer(HTTPStatus.SEE_OTHER, {**SAFETY, "Location": address})


def _read_style() -> bytes:
    """The colours, which the pages for sources have too, and the rest."""
    package = resources.files("leakdrop")
    return b"".join(
        package.joinpath(name).read_bytes() for name in ("palette.css", "review/viewer/style.css")
    )


def _parse_number(text: str) -> int:
    """Raises RefusedError."""
    if not _NUMBER.fullmatch(text):
        raise NOTHING
    return int(text)


def _read_text(form: dict[str, str], name: str, most: int) -> str | None:
    """A text as it was typed, with LF at the ends of lines; None if it has no field. Raises RefusedError."""
    if name not in form:
        return None
    text = form[name].replace("\r\n", "\n")
    if len(text) > most:
        raise RefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"A {name} has at most {most:,} characters.")
    return text
