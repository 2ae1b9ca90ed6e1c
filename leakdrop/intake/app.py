"""Which address leads where. A view reads, calls one thing and answers.

Nothing here may touch `request.form` or `request.files`; `forms` says why.
"""

import datetime
import logging
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException

from leakdrop.config import Config
from leakdrop.intake.limits import Slots
from leakdrop.intake.noscript import Desk, take_form
from leakdrop.intake.pages import Page, Pages
from leakdrop.intake.privacy import keep_little
from leakdrop.intake.refusals import Refusal, Refused
from leakdrop.keyring import Keyring
from leakdrop.store.drops import Drops

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

BY_STATUS = {404: Refusal.NOT_FOUND, 405: Refusal.WRONG_METHOD}
log = logging.getLogger("leakdrop")


def today() -> datetime.date:
    return datetime.datetime.now(datetime.UTC).date()


def create_app(config: Config, keyring: Keyring, drops: Drops) -> "WSGIApplication":
    """The site of one organisation."""
    app = Flask("leakdrop", static_folder=None)
    pages = Pages(config, keyring)
    slots = Slots(config.submissions_at_once)

    def answer(page: Page) -> Response:
        response = Response(page.body, page.status, content_type=page.media_type)
        response.headers["Cache-Control"] = page.cache
        return response

    def show(path: str = "") -> Response:
        page = pages.find(f"/{path}", today())
        if page is None:
            raise Refused(Refusal.NOT_FOUND)
        return answer(page)

    def submit() -> Response:
        desk = Desk(
            drops,
            keyring.recipients(today()),
            keyring.key_ids,
            config.largest_plaintext_bytes,
            config.no_script_sealing,
        )
        with slots.take():
            take_form(
                request.environ["wsgi.input"], request.content_type or "", request.content_length or 0, desk
            )
        return answer(pages.arrived(today()))

    def refuse_early() -> None:
        if request.method in ("GET", "HEAD"):
            # A link on the organisation's own web site leads here from another site, and may.
            return
        if request.headers.get("Sec-Fetch-Site") == "cross-site":
            raise Refused(Refusal.CROSS_SITE)
        if request.content_length is None:
            raise Refused(Refusal.NO_LENGTH)

    def refuse(error: Refused) -> Response:
        return answer(pages.refusal(error.refusal, today()))

    def refuse_http(error: HTTPException) -> Response:
        return answer(pages.refusal(BY_STATUS.get(error.code or 0, Refusal.BAD_FORM), today()))

    def fault(error: Exception) -> Response:
        log.error("%s", describe_fault(error))
        return answer(pages.refusal(Refusal.FAULT, today()))

    app.add_url_rule("/", view_func=show, endpoint="home")
    app.add_url_rule("/<path:path>", view_func=show, endpoint="page")
    app.add_url_rule("/submit", view_func=submit, methods=["POST"])
    app.before_request(refuse_early)
    app.register_error_handler(Refused, refuse)
    app.register_error_handler(HTTPException, refuse_http)
    app.register_error_handler(Exception, fault)
    pages.find("/", today())  # a template that is wrong stops the start, not a visitor
    return keep_little(app.wsgi_app)


def describe_fault(error: BaseException) -> str:
    """Where a mistake of ours happened. Not its text, which could carry a submission's bytes."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" in {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"A mistake of leakdrop's: {type(error).__name__}{place}"
