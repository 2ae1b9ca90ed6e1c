"""What of a request leakdrop sees at all, and the headers of every response.

A WSGI middleware in front of Flask. What is not in the lists below — addresses, user agent, language,
cookies, referrer, query — cannot be logged, stored or leaked by anything behind it.
"""

import hmac
import ipaddress
import secrets
import socket
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from leakdrop.intake.hosts import came_by_another_server

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

KEPT = frozenset(
    {
        "REQUEST_METHOD",
        "PATH_INFO",
        "SERVER_PROTOCOL",
        "CONTENT_TYPE",
        "CONTENT_LENGTH",
        "HTTP_HOST",
        "HTTP_TRANSFER_ENCODING",
        "HTTP_TUS_RESUMABLE",
        "HTTP_UPLOAD_OFFSET",
        "HTTP_UPLOAD_LENGTH",
        "HTTP_ACCEPT_ENCODING",
        "HTTP_SEC_FETCH_SITE",
        "wsgi.version",
        "wsgi.url_scheme",
        "wsgi.input",
        "wsgi.input_terminated",
        "wsgi.errors",
        "wsgi.multithread",
        "wsgi.multiprocess",
        "wsgi.run_once",
    }
)
# A function that ends the request.
HANG_UP = "leakdrop.hang_up"
# The name of the circuit that the request came by (32 hex digits), or None.
CIRCUIT = "leakdrop.circuit"
# Whether a server in between passed the request on.
PASSED_ON = "leakdrop.passed_on"
# WSGI asks for these; they say nothing of the visitor.
CONSTANT = {"SCRIPT_NAME": "", "QUERY_STRING": "", "SERVER_NAME": "leakdrop", "SERVER_PORT": "80"}

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "img-src data:",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
ADDED = (
    ("Content-Security-Policy", CONTENT_SECURITY_POLICY),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Referrer-Policy", "no-referrer"),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
)
# The clock of the machine is a fingerprint; validators and cookies would recognise a visitor.
REMOVED = frozenset({"date", "server", "etag", "last-modified", "set-cookie", "vary"})


def keep_little(application: "WSGIApplication") -> "WSGIApplication":
    """Wrap an application, so that it sees and sends no more than the lists above say."""
    secret = secrets.token_bytes(32)

    def wrapped(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        kept = {key: value for key, value in environ.items() if key in KEPT} | CONSTANT
        kept[HANG_UP] = partial(_hang_up, environ.get("gunicorn.socket"))
        kept[CIRCUIT] = name_circuit(environ, secret)
        kept[PASSED_ON] = came_by_another_server(environ)
        return application(kept, _wrap(start_response))

    return wrapped


def name_circuit(environ: "WSGIEnvironment", secret: bytes) -> str | None:
    """A name for the circuit that a request came by, or None if Tor did not tell its number.

    Tor writes the number as an address, in several spellings (tor(1), HiddenServiceExportCircuitID). Nobody
    without the secret (32 bytes) can say which circuit a name belongs to.
    """
    if "PROXY_PROTOCOL" not in environ:
        return None
    number = ipaddress.ip_address(environ["REMOTE_ADDR"]).packed
    return hmac.digest(secret, number, "sha256")[:16].hex()


def _hang_up(connection: socket.socket | None) -> None:
    """End a request from another thread: whoever reads its body gets no more."""
    if connection:
        with suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)


def _wrap(start_response: "StartResponse") -> Callable[..., Any]:
    def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        sent = [(name, value) for name, value in headers if name.lower() not in REMOVED]
        if not any(name.lower() == "cache-control" for name, _ in sent):
            sent.append(("Cache-Control", "no-store"))
        return start_response(status, [*sent, *ADDED], exc_info)

    return start
