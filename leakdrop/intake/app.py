"""The WSGI application of one organisation, and what becomes of errors."""

import logging
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from flask import Flask, Response
from flask_limiter import RateLimitExceeded
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from leakdrop.config import Config
from leakdrop.errors import StoreError
from leakdrop.intake.limits import limit, refusal_of
from leakdrop.intake.pages import Pages
from leakdrop.intake.privacy import keep_little
from leakdrop.intake.refusals import Refusal, Refused
from leakdrop.intake.replies import Hatch
from leakdrop.intake.sealed import Desk
from leakdrop.intake.slots import ANSWERS_PER_CIRCUIT, Slots
from leakdrop.intake.uploads import Dock
from leakdrop.intake.views import Site, answer_refusal, site, today
from leakdrop.keyring import Keyring
from leakdrop.store.places import DropPlace

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

BY_STATUS = {404: Refusal.NOT_FOUND, 405: Refusal.WRONG_METHOD}
log = logging.getLogger("leakdrop")


def create_app(config: Config, keyring: Keyring, drops: DropPlace) -> "WSGIApplication":
    """The site. A template that is wrong stops it here, not a visitor later."""
    app = Flask("leakdrop", static_folder=None)
    limit(app, config)
    pages = Pages(config, keyring)
    pages.find("/", today())
    uploads = drops.uploads(config.unfinished_bytes)
    uploads.recover(today())
    replies = drops.replies(config.reply_weeks)
    replies.recover(today())
    app.extensions["leakdrop"] = Site(
        keyring,
        pages,
        config.onion_address,
        Slots(
            config.submissions_at_once,
            config.at_once_per_circuit,
            slow_seconds=config.slow_seconds,
            most_whole=config.forms_at_once,
        ),
        Desk(drops, keyring.key_ids, config.largest_plaintext_bytes, config.no_script_sealing),
        Dock(uploads, keyring.key_ids, config.largest_plaintext_bytes),
        Hatch(
            replies,
            # A question comes in one packet, so that who has not sent theirs makes room at once.
            Slots(config.questions_at_once, ANSWERS_PER_CIRCUIT, Refusal.ASKED_OFTEN, slow_seconds=0),
            # A turn is twice as long as with uploads: an answer that is cut off does not go on where it was.
            Slots(
                config.answers_at_once,
                ANSWERS_PER_CIRCUIT,
                Refusal.ASKED_OFTEN,
                slow_seconds=2 * config.slow_seconds,
            ),
            config.no_script_replies,
        ),
    )
    app.register_blueprint(site)
    app.register_error_handler(Refused, refuse)
    app.register_error_handler(RateLimitExceeded, refuse_too_many)
    app.register_error_handler(HTTPException, refuse_http)
    app.register_error_handler(StoreError, refuse_for_now)
    app.register_error_handler(Exception, fault)
    return keep_little(app.wsgi_app)


def refuse(error: Refused) -> Response:
    return answer_refusal(error.refusal, error.status)


def refuse_too_many(error: RateLimitExceeded) -> Response:
    return answer_refusal(refusal_of(error))


def refuse_http(error: HTTPException) -> Response:
    answer = answer_refusal(BY_STATUS.get(error.code or 0, Refusal.BAD_FORM))
    if isinstance(error, MethodNotAllowed):
        answer.headers["Allow"] = ", ".join(sorted(error.valid_methods or ()))  # RFC 9110, section 15.5.6
    return answer


def refuse_for_now(error: StoreError) -> Response:
    """What several machines share cannot be reached: it may be again in some minutes."""
    log.error("%s", error)
    return answer_refusal(Refusal.AWAY)


def fault(error: Exception) -> Response:
    log.error("%s", describe_fault(error))
    return answer_refusal(Refusal.FAULT)


def describe_fault(error: BaseException) -> str:
    """Where a mistake of ours happened. Not its text, which could carry a submission's bytes."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" in {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"A mistake of leakdrop's: {type(error).__name__}{place}"
