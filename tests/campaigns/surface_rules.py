"""What each address of a site may answer: the design's sections 5, 6 and 8 as a table.

A rule is by kind of address and method: the statuses, the media type of each, the headers that may be there
and those that must. What comes before any view (a gateway, a foreign name, another site's page, a body
without a length) is exact: `refused_early` says which status it must be.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from leakdrop.envelope.receipt import answer_length
from leakdrop.intake.hosts import ADDED_BY_OTHERS, is_ours
from leakdrop.intake.pages import CSS, FOREVER, HTML, PADDED, SCRIPT, TEXT
from leakdrop.intake.privacy import ADDED

MIB = 1024 * 1024
BYTES = "application/octet-stream"
UPLOAD_PATH = re.compile(r"/uploads/[^/]+")
# Any answer may have these.
COMMON = {"connection", "content-type", "content-length", "cache-control"} | {
    name.lower() for name, _ in ADDED
}
Headers = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Answer:
    """An answer as it came; header names in lower case, each once."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def is_not_http(self) -> bool:
        """The answer of the server itself, before the site has seen anything."""
        return (self.status, self.body, self.headers.get("content-type")) == (400, b"", TEXT)


@dataclass(frozen=True)
class Rule:
    """What one method may get at one kind of address: media types by status, and what else is in the head."""

    types: Mapping[int, str]
    always: frozenset[str] = frozenset()  # headers of each of these answers
    more: Mapping[int, frozenset[str]] = field(default_factory=dict)  # further ones, of a status
    cache: str = "no-store"  # of a 200
    packs: bool = False
    largest: int = 64 * 1024  # of a body, in bytes


ALLOW = frozenset({"allow"})
EARLY = {403: HTML, 421: HTML}
PAGE_GET = {200: HTML, **EARLY}
GONE = {404: HTML, **EARLY}
NO_METHOD = {405: HTML, 411: HTML, **EARLY}
OPTIONS = Rule({200: HTML, 411: HTML, **EARLY}, more={200: ALLOW}, packs=True)
FORM = {200: HTML, 400: HTML, 403: HTML, 411: HTML, 413: HTML, 415: HTML, 421: HTML}
REPLIES = {**FORM, 200: BYTES}
TUS_REFUSED = dict.fromkeys((400, 403, 404, 405, 409, 411, 412, 413, 415, 421, 507), TEXT)
TUS = frozenset({"tus-resumable"})
WHEN_OTHER = {405: ALLOW, 412: frozenset({"tus-version"})}
OFFER = frozenset({"tus-version", "tus-extension", "tus-max-size"})


def _tus(done: int, *refused: int, headers: frozenset[str] = frozenset()) -> Rule:
    """What an address of tus gives: one status if it is done, with these headers, and some refusals."""
    types = {status: TUS_REFUSED[status] for status in (403, 421, *refused)}
    return Rule({**types, done: HTML} if done else types, TUS, {**WHEN_OTHER, done: headers})


def _page(media_type: str, largest: int = 64 * 1024, cache: str = "no-store") -> dict[str, Rule]:
    found = Rule({**PAGE_GET, 200: media_type}, cache=cache, packs=True, largest=largest)
    return {"GET": found, "HEAD": found, "OPTIONS": OPTIONS}


def _upload(upload: dict[str, Rule]) -> dict[str, Rule]:
    get = _tus(0, 404)
    offer = Rule({204: HTML, 403: TEXT, 411: TEXT, 421: TEXT}, TUS, {204: OFFER})
    return {"GET": get, "HEAD": get, "OPTIONS": offer, "": _tus(0, 405, 411), **upload}


NOWHERE = {"GET": Rule(GONE, packs=True), "HEAD": Rule(GONE, packs=True), "OPTIONS": OPTIONS}
BESIDE = Rule(
    {200: HTML, 403: TEXT, 411: TEXT, 421: TEXT},
    more={200: ALLOW, 403: TUS, 411: TUS, 421: TUS},
)
RULES: dict[str, dict[str, Rule]] = {
    "page": _page(HTML),
    "text": _page(TEXT),
    "style": _page(CSS, cache=FOREVER),
    "script": _page(SCRIPT, MIB, FOREVER),
    "replies": {**_page(HTML), "POST": Rule(REPLIES, packs=True, largest=answer_length(()))},
    "delete": {**NOWHERE, "POST": Rule(FORM, packs=True)},
    "form": {**NOWHERE, "POST": Rule(FORM, packs=True, largest=PADDED)},
    "nowhere": NOWHERE,
    "uploads": _upload(
        {"POST": _tus(201, 400, 411, 412, 413, 507, headers=frozenset({"location", "upload-expires"}))}
    ),
    "upload": _upload(
        {
            "HEAD": _tus(
                200, 404, 412, headers=frozenset({"upload-offset", "upload-length", "upload-expires"})
            ),
            "PATCH": _tus(
                204, 400, 404, 409, 411, 412, 413, 415, headers=frozenset({"upload-offset", "upload-expires"})
            ),
            "DELETE": _tus(204, 404, 409, 411, 412),
        }
    ),
    # A path below /uploads that can be no upload's: refusals there are for the script, as text.
    "beside": {**dict.fromkeys(("GET", "HEAD"), _tus(0, 404)), "OPTIONS": BESIDE, "": _tus(0, 405, 411)},
}  # fmt: skip
OTHER_METHODS = Rule(NO_METHOD, more={405: ALLOW}, packs=True)
KINDS = {
    "/": "page", "/key": "page", "/safety": "page", "/replies": "replies", "/replies/delete": "delete",
    "/submit": "form", "/uploads": "uploads",
}  # fmt: skip


def kind_of(path: str, texts: frozenset[str]) -> str:
    """What an address is; `texts` are those of public keys."""
    if path in texts:
        return "text"
    if path.startswith("/static/style-"):
        return "style"
    if path.startswith("/static/"):
        return "script"
    if UPLOAD_PATH.fullmatch(path):
        return "upload"
    return KINDS.get(path) or ("beside" if path.startswith("/uploads") else "nowhere")


def rule_of(kind: str, method: str) -> Rule:
    rules = RULES[kind]
    return rules.get(method) or rules.get("") or OTHER_METHODS


def refused_early(method: str, host: str, headers: Headers) -> int | None:
    """The status with which a request is refused before any view, or None."""
    named = {name.lower(): value for name, value in headers}
    if any(f"HTTP_{name.upper().replace('-', '_')}" in ADDED_BY_OTHERS for name in named):
        return 403
    if not is_ours(host, ""):
        return 421
    if method in ("GET", "HEAD"):
        return None
    if named.get("sec-fetch-site") == "cross-site":
        return 403
    return 411 if "transfer-encoding" in named else None


def check_answer(answer: Answer, rule: Rule, method: str, early: int | None) -> None:
    """Raises AssertionError, whose text says what does not belong."""
    status, headers = answer.status, answer.headers
    expected = {early} if early else rule.types.keys() - {421}
    assert status in expected, f"the status {status} is none of {sorted(expected)}"
    assert headers.get("content-type") == rule.types[status], f"the type is {headers.get('content-type')}"
    further = rule.always | rule.more.get(status, frozenset())
    assert further <= headers.keys(), f"missing: {further - headers.keys()}"
    packed = {"content-encoding"} if rule.packs else set()
    foreign = headers.keys() - COMMON - further - packed
    assert not foreign, f"these do not belong here: {foreign}"
    check_common(answer, rule.cache if status == 200 and method in ("GET", "HEAD") else "no-store")
    assert len(answer.body) <= rule.largest, f"{len(answer.body)} bytes"
    has_body = method != "HEAD" and status != 204
    told = int(headers.get("content-length", "0"))
    assert len(answer.body) == (told if has_body else 0), f"{told} bytes were told, {len(answer.body)} came"


def check_common(answer: Answer, cache: str = "no-store") -> None:
    """What every answer has, and what none has. Raises AssertionError."""
    for name, text in ADDED:
        assert answer.headers.get(name.lower()) == text, f"{name} is {answer.headers.get(name.lower())}"
    assert answer.headers.get("cache-control") == cache, (
        f"Cache-Control: {answer.headers.get('cache-control')}"
    )


def parse_answer(received: bytes) -> Answer:
    """An answer; one that only says that the request may go on (100) is left out. Raises AssertionError."""
    head, _, body = received.partition(b"\r\n\r\n")
    if head.startswith(b"HTTP/1.1 100"):
        return parse_answer(body)
    first, *lines = head.decode("latin-1").split("\r\n")
    assert re.match(r"HTTP/1\.1 [0-9]{3} ", first), first
    pairs = [line.split(": ", 1) for line in lines]
    headers = {name.lower(): value for name, value in pairs}
    assert len(headers) == len(pairs), f"a header came twice: {lines}"
    return Answer(int(first[9:12]), headers, body)
