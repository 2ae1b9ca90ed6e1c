"""The views: each reads, checks, calls one thing and answers.

Nothing here may touch `request.form` or `request.files`; `forms` says why.
"""

import datetime
import re
import threading
from contextlib import ExitStack
from dataclasses import dataclass

from flask import Blueprint, Response, current_app, request
from werkzeug.http import http_date

from leakdrop.intake import noscript, noscript_replies, replies, uploads
from leakdrop.intake.forms import read_small_form
from leakdrop.intake.hosts import is_ours
from leakdrop.intake.limits import circuit_of
from leakdrop.intake.pages import REPLIES, TEXT, UPLOADS, Page, Pages
from leakdrop.intake.privacy import HANG_UP, PASSED_ON
from leakdrop.intake.refusals import Refusal, Refused
from leakdrop.intake.sealed import Desk
from leakdrop.intake.slots import CountedStream, Slots, count_pieces
from leakdrop.keyring import Keyring
from leakdrop.store.upload import Upload

site = Blueprint("site", __name__)
TUS = "Tus-Resumable"
SMALL_FORM_SECONDS = 30.0  # as for a request's head


@dataclass(frozen=True)
class Site:
    """What the views work with."""

    keyring: Keyring
    pages: Pages
    onion_address: str
    slots: Slots
    desk: Desk
    dock: uploads.Dock
    hatch: replies.Hatch


def here() -> Site:
    found: Site = current_app.extensions["leakdrop"]
    return found


def today() -> datetime.date:
    return datetime.datetime.now(datetime.UTC).date()


def answer(page: Page) -> Response:
    packed = page.packs and request.accept_encodings["gzip"] > 0
    response = Response(page.packed if packed else page.body, page.status, content_type=page.media_type)
    response.headers["Cache-Control"] = page.cache
    if packed:
        response.headers["Content-Encoding"] = "gzip"
    return response


def answer_tus(status: int, **headers: object) -> Response:
    response = Response(status=status, headers={TUS: uploads.VERSION})
    for name, value in headers.items():
        response.headers[name.replace("_", "-")] = str(value)
    return response


def answer_refusal(refusal: Refusal, status: int | None = None) -> Response:
    """A page for people; for the script, which shows its own words, a line of text."""
    if not request.path.startswith(UPLOADS):
        is_question = request.path == REPLIES or request.path.startswith(f"{REPLIES}/")
        return answer(here().pages.refusal(refusal, today(), is_question=is_question))
    response = answer_tus(status or refusal.status)
    response.set_data(f"{refusal.title}. {refusal.text}\n")
    response.content_type = TEXT
    if refusal is Refusal.NOT_TUS:
        response.headers["Tus-Version"] = uploads.VERSION
    return response


@site.before_app_request
def refuse_early() -> None:
    """Refuse what no view should see."""
    if request.environ[PASSED_ON]:
        raise Refused(Refusal.GATEWAY)
    if not is_ours(request.headers.get("Host", ""), here().onion_address):
        raise Refused(Refusal.FOREIGN_HOST)
    if request.method in ("GET", "HEAD"):
        # A link on the organisation's own web site leads here from another site, and may.
        return
    if request.headers.get("Sec-Fetch-Site") == "cross-site":
        raise Refused(Refusal.CROSS_SITE)
    if "Transfer-Encoding" in request.headers:
        raise Refused(Refusal.NO_LENGTH)


def body_length() -> int:
    """How many bytes the request brings. Raises Refused if it does not say."""
    if request.content_length is None:
        raise Refused(Refusal.NO_LENGTH)
    return request.content_length


@site.get("/")
@site.get("/<path:path>")
def show(path: str = "") -> Response:
    page = here().pages.find(f"/{path}", today())
    if page is None:
        raise Refused(Refusal.NOT_FOUND)
    return answer(page)


@site.post("/submit")
def submit() -> Response:
    length = body_length()
    with here().slots.take(circuit_of(), request.environ[HANG_UP]) as place:
        recipients = here().keyring.recipients(today())
        stream = CountedStream(request.environ["wsgi.input"], place)
        words = noscript.take_form(stream, request.content_type or "", length, recipients, here().desk)
    return answer(here().pages.arrived(words))


@site.post(REPLIES)
def ask_for_replies() -> Response:
    hatch = here().hatch
    fields = read_fields()
    with ExitStack() as held:
        place = held.enter_context(hatch.slots.take(circuit_of(), request.environ[HANG_UP], resumes=True))
        if "words" in fields:
            response = answer(here().pages.opened(noscript_replies.open_replies(hatch, fields, today())))
        else:
            found = replies.answer_question(hatch, fields, today(), held)
            response = Response(found.pieces, content_type=replies.MEDIA_TYPE)
            response.content_length = found.length
        response.response = count_pieces(response.iter_encoded(), place)
        # The place and the files are held until the last byte is sent.
        response.call_on_close(held.pop_all().close)
        return response


@site.post(f"{REPLIES}/delete")
def delete_reply() -> Response:
    hatch = here().hatch
    fields = read_fields()
    with hatch.slots.take(circuit_of()):
        replies.delete_reply(hatch, fields)
    return answer(here().pages.deleted(today()))


def read_fields() -> dict[str, str]:
    """The fields of a small form, read before a place for an answer is taken. Raises Refused.

    It holds a thread for half a minute at most, however slowly it comes.
    """
    length, hang_up = body_length(), request.environ[HANG_UP]
    deadline = threading.Timer(SMALL_FORM_SECONDS, hang_up)
    deadline.daemon = True
    deadline.start()
    try:
        with here().hatch.questions.take(circuit_of(), hang_up, resumes=True):
            return read_small_form(request.environ["wsgi.input"], request.content_type or "", length)
    finally:
        deadline.cancel()


@site.route(UPLOADS, methods=["OPTIONS"], provide_automatic_options=False)
@site.route(f"{UPLOADS}/<upload_id>", methods=["OPTIONS"], provide_automatic_options=False)
def tell_tus(upload_id: str = "") -> Response:
    return answer_tus(
        204,
        Tus_Version=uploads.VERSION,
        Tus_Extension=uploads.EXTENSIONS,
        Tus_Max_Size=uploads.largest_envelope(here().dock),
    )


@site.post(UPLOADS)
def create_upload() -> Response:
    check_tus()
    upload = uploads.create(here().dock, number("Upload-Length"), today())
    return answer_tus(201, Location=f"{UPLOADS}/{upload.id}", Upload_Expires=expiry(upload))


@site.route(f"{UPLOADS}/<upload_id>", methods=["HEAD"], provide_automatic_options=False)
def find_upload(upload_id: str) -> Response:
    check_tus()
    upload = uploads.find(here().dock, upload_id)
    return answer_tus(
        200, Upload_Offset=upload.offset, Upload_Length=upload.length, Upload_Expires=expiry(upload)
    )


@site.patch(f"{UPLOADS}/<upload_id>")
def append_to_upload(upload_id: str) -> Response:
    check_tus()
    if request.content_type != uploads.MEDIA_TYPE:
        raise Refused(Refusal.NOT_BYTES)
    offset, length = number("Upload-Offset"), body_length()
    hang_up = request.environ[HANG_UP]
    with here().slots.take(circuit_of(), hang_up, resumes=True) as place:
        stream = CountedStream(request.environ["wsgi.input"], place)
        upload = uploads.append(here().dock, upload_id, offset, stream, length, today(), hang_up)
    return answer_tus(204, Upload_Offset=upload.offset, Upload_Expires=expiry(upload))


@site.delete(f"{UPLOADS}/<upload_id>")
def end_upload(upload_id: str) -> Response:
    check_tus()
    uploads.end(here().dock, upload_id)
    return answer_tus(204)


def check_tus() -> None:
    """Raises Refused if the request is of another version of the protocol (tus 1.0, "Tus-Resumable")."""
    if request.headers.get(TUS) != uploads.VERSION:
        raise Refused(Refusal.NOT_TUS)


def number(header: str) -> int:
    """A header that is a whole number of bytes. Raises Refused."""
    value = request.headers.get(header, "")
    if not re.fullmatch("[0-9]{1,16}", value, re.ASCII):
        raise Refused(Refusal.BAD_NUMBER)
    return int(value)


def expiry(upload: Upload) -> str:
    """The midnight at which an upload is forgotten, as an HTTP date."""
    return http_date(datetime.datetime.combine(upload.expires, datetime.time(), datetime.UTC))
