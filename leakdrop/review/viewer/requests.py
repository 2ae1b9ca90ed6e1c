"""Who may ask for what, on a machine where other programs, other users and other pages exist.

Every address begins with a token of 32 random bytes. Beside that a request must name this very host and
port (so a name that somebody points at 127.0.0.1 gets nothing), must come from a page of ours or from
none, and, if it changes something, from a page of ours (docs/adr/0013).
"""

import hmac
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import parse_qs

from leakdrop.errors import LeakdropError

TICKET_LIFE = 60  # seconds
MAX_FIELDS = 8

# What Sec-Fetch-Dest may be: of a page, of a style sheet, of what an element shows. Players send none.
PAGE, STYLE, SHOWN = {"document"}, {"style"}, {"image", "audio", "video"}


class RefusedError(LeakdropError):
    """A request that gets no answer but a sentence."""

    def __init__(self, status: HTTPStatus, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


@dataclass(frozen=True)
class Request:
    """What was asked: `target` as it stood on the request line, fields by their names in lower case."""

    method: str
    target: str
    fields: Mapping[str, str]
    body: bytes = b""

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    def read_query(self) -> dict[str, str]:
        """The fields of the query. Raises RefusedError."""
        return _parse_fields(self.target.partition("?")[2])

    def read_form(self) -> dict[str, str]:
        """The fields of the form. Raises RefusedError."""
        return _parse_fields(self.body.decode("latin-1"))


def _parse_fields(encoded: str) -> dict[str, str]:
    try:
        fields = parse_qs(encoded, keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS)
    except ValueError:
        raise RefusedError(HTTPStatus.BAD_REQUEST, "This form cannot be read.") from None
    return {name: values[0] for name, values in fields.items()}


@dataclass(frozen=True)
class Answer:
    """`pieces` are sent one after another, `length` bytes in all; then `kept` is closed."""

    status: HTTPStatus
    fields: dict[str, str]
    length: int = 0
    pieces: Iterator[bytes | memoryview] = field(default_factory=lambda: iter(()))
    kept: ExitStack = field(default_factory=ExitStack)


class Door:
    """Lets in who knows the token, and who comes from where a browser should come from.

    A ticket is an address that is good once, for a minute: other users of the machine can read what a
    browser is started with.
    """

    def __init__(self, port: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.token = secrets.token_urlsafe(32)
        self.origin = f"http://127.0.0.1:{port}"
        self._host = f"127.0.0.1:{port}"
        self._clock = clock
        self._tickets: dict[str, float] = {}
        self._lock = threading.Lock()

    @property
    def address(self) -> str:
        return f"{self.origin}/{self.token}/"

    def make_ticket(self) -> str:
        """An address that leads to the first page, once."""
        ticket = secrets.token_urlsafe(32)
        with self._lock:
            self._tickets[ticket] = self._clock() + TICKET_LIFE
        return f"{self.origin}/{ticket}"

    def take_ticket(self, ticket: str) -> bool:
        """Whether this is a ticket that was never used; from now on it is used."""
        with self._lock:
            return self._tickets.pop(ticket, 0.0) > self._clock()

    def check(self, request: Request) -> None:
        """Raises RefusedError unless the request comes from where it may come from."""
        if request.fields.get("host") != self._host:
            raise RefusedError(HTTPStatus.FORBIDDEN, "This address is not the viewer's.")
        if request.fields.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            raise RefusedError(HTTPStatus.FORBIDDEN, "Another site's page asked for this.")
        if request.method == "POST" and request.fields.get("origin") != self.origin:
            raise RefusedError(HTTPStatus.FORBIDDEN, "Only the viewer's own pages change something.")

    def enter(self, request: Request) -> list[str]:
        """The parts of the path behind the token. Raises RefusedError if that is not ours."""
        token, *parts = request.path.removeprefix("/").split("/")
        if not hmac.compare_digest(token.encode(), self.token.encode()):
            raise RefusedError(
                HTTPStatus.NOT_FOUND,
                "There is nothing here. The address that the viewer printed on the terminal leads to it.",
            )
        return parts


def check_destination(request: Request, allowed: set[str]) -> None:
    """Raises RefusedError if the browser wants it for something else: content never is a page of its own."""
    if request.fields.get("sec-fetch-dest", next(iter(allowed))) not in allowed:
        raise RefusedError(HTTPStatus.FORBIDDEN, "This is shown on the viewer's pages only.")
