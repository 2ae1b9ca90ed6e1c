"""`leakdrop verify`: compares a live site with its signed manifest and with the release that runs this.

The signers' keys come from elsewhere than the site: a site that was taken over would vouch for itself. Onion
addresses are reached by Tor, and nothing but them and this machine is reached at all. Everything that comes
back is hostile: its length is bounded, its compression too, and only hashes are compared.

The requests have Tor Browser's headers, so that a site cannot easily serve its checkers something else. It
can still do that to one visitor in a hundred: verify often, from several places.
"""

import datetime
import hashlib
import http.client
import secrets
import socket
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from urllib.parse import quote, urlsplit

from python_socks import ProxyConnectionError, ProxyError, ProxyTimeoutError, ProxyType
from python_socks.sync import Proxy

from leakdrop.envelope.keyfile import PublicKeyFile
from leakdrop.errors import LeakdropError, ManifestError, UsageError
from leakdrop.intake.pages import FOREVER, load_release
from leakdrop.intake.privacy import ADDED
from leakdrop.intake.refusals import Refusal
from leakdrop.manifest import (
    MAX_MANIFEST,
    PATH,
    SIGNATURES,
    Manifest,
    ManifestPage,
    find_signers,
    parse_manifest,
)
from leakdrop.operate.manifest import describe

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
TOR = "127.0.0.1:9050"
PATIENCE = 60  # seconds without a byte
MAX_BODY = 16 * 1024 * 1024
STATIC = "/static/"

# Tor Browser 15, on a page that was typed in.
BROWSER = {
    "User-Agent": "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "Accept-Language": "en-US,en;q=0.5",
    "Accept-Encoding": "gzip, deflate",
    "Sec-GPC": "1",
    "Connection": "keep-alive",
    "Upgrade-Insecure-Requests": "1",
    "Sec-Fetch-Dest": "document",
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-Site": "none",
    "Sec-Fetch-User": "?1",
    "Priority": "u=0, i",
}
OURS = dict((name.lower(), value) for name, value in ADDED)
# By lower-case name: a header that is neither here nor in ADDED could load or set something.
OTHERS = frozenset({"cache-control", "connection", "content-encoding", "content-length", "content-type"})


@dataclass(frozen=True)
class Answer:
    """One answer of the site; its body is no longer compressed."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    @property
    def type(self) -> str:
        return ", ".join(value for name, value in self.headers if name.lower() == "content-type")


@dataclass(frozen=True)
class Verification:
    """What came of it: who signed, since when the pages stand so, how many were compared, what differs."""

    signers: tuple[str, ...]
    version: str
    since: str
    pages: int
    problems: tuple[str, ...]


Get = Callable[[str], Answer]


def verify(
    get: Get,
    keys: Iterable[PublicKeyFile],
    today: datetime.date,
    progress: Callable[[int], object] = lambda count: None,
) -> Verification:
    """Compare all that a site serves today (UTC).

    Raises ManifestError if it has no manifest that one of these keys signed, and LeakdropError if it cannot
    be reached.
    """
    manifest, signers = fetch_manifest(get, keys)
    pages = manifest.on(today)
    problems = list(compare_release(manifest, pages))
    paths = [page for page in pages if page.path.startswith("/")]
    for page in paths:
        problems += compare(page.path, page, get(quote(page.path)), 200)
        progress(1)
    refusals = [page for page in pages if page.path == Refusal.NOT_FOUND.name]
    nowhere = f"/{secrets.token_hex(8)}"
    for page in refusals:
        problems += compare(nowhere, page, get(nowhere), Refusal.NOT_FOUND.status)
    since = max(day.since for day in manifest.days if day.since <= today)
    return Verification(
        signers, manifest.version, since.isoformat(), len(paths) + len(refusals), tuple(problems)
    )


def fetch_manifest(get: Get, keys: Iterable[PublicKeyFile]) -> tuple[Manifest, tuple[str, ...]]:
    """The site's manifest, and the names of its signers. Raises ManifestError."""
    found, signatures = get(PATH), get(f"{PATH}{SIGNATURES}")
    if found.status != 200 or signatures.status != 200:
        raise ManifestError("The site has no signed manifest: nobody vouches for its pages.")
    signers = find_signers(found.body, signatures.body, keys)
    if not signers:
        raise ManifestError("None of these keys has signed the site's manifest: do not trust its pages.")
    return parse_manifest(found.body[: MAX_MANIFEST + 1]), signers


def compare_release(manifest: Manifest, pages: Iterable[ManifestPage]) -> Iterator[str]:
    """What differs between script and style as they were signed, and as this release has them."""
    ours = {page.path: page for page in describe(load_release())}
    theirs = {page.path: page for page in pages if page.path.startswith(STATIC)}
    for path in sorted(
        ours.keys() ^ theirs.keys() | {p for p in ours.keys() & theirs if ours[p] != theirs[p]}
    ):
        yield (
            f"{path} was signed for leakdrop {manifest.version}, and is not that of leakdrop "
            f"{version('leakdrop')}, which is installed here."
        )


def compare(path: str, page: ManifestPage, answer: Answer, status: int) -> Iterator[str]:
    """What differs between an answer and its page."""
    if answer.status != status:
        yield f"{path} answers {answer.status} in place of {status}."
        return
    if hashlib.sha256(answer.body).hexdigest() != page.sha256:
        yield f"{path} is not what was signed: it was changed on its way, or on the server."
    if answer.type != page.type:
        yield f"{path} is sent as another type than “{page.type}”."
    yield from compare_headers(path, answer.headers)


def compare_headers(path: str, headers: tuple[tuple[str, str], ...]) -> Iterator[str]:
    """What differs between an answer's headers and those of leakdrop."""
    names = [name.lower() for name, _ in headers]
    for name in sorted(set(names) - OURS.keys() - OTHERS):
        yield f"{path} has a header that leakdrop does not send: {name[:80]}."
    for name, value in OURS.items():
        if [sent for sent_name, sent in headers if sent_name.lower() == name] != [value]:
            yield f"{path} has another {name} than leakdrop sends."
    if not {value for name, value in headers if name.lower() == "cache-control"} <= {"no-store", FOREVER}:
        yield f"{path} has another cache-control than leakdrop sends."


def connect_to(url: str, tor: str = TOR) -> Get:
    """What asks the site for a path. Raises UsageError for an address that is not an onion, or this machine.

    All requests of one check share a circuit of their own: the site sees one visitor.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or 80
    except ValueError:
        raise UsageError(f"{url} is not an address: give it as http://….onion/.") from None
    if parts.scheme != "http" or not (host.endswith(".onion") or host in LOOPBACK):
        raise UsageError(f"{url} is not an onion address: give it as http://….onion/.")
    if parts.path not in ("", "/") or parts.query or parts.fragment or parts.username:
        raise UsageError("Give the address of the whole site: http://….onion/.")
    if host in LOOPBACK:
        return lambda path: ask(lambda: socket.create_connection((host, port), PATIENCE), parts.netloc, path)
    proxy_host, _, proxy_port = tor.rpartition(":")
    if not proxy_host or not proxy_port.isdecimal():
        raise UsageError(
            "--tor is ADDRESS:PORT; Tor listens on 127.0.0.1:9050, Tor Browser on 127.0.0.1:9150."
        )
    who = secrets.token_hex(8)
    proxy = Proxy(ProxyType.SOCKS5, proxy_host, int(proxy_port), who, who, rdns=True)
    return lambda path: ask(lambda: connect_by_tor(proxy, host, port, tor), parts.netloc, path)


def connect_by_tor(proxy: Proxy, host: str, port: int, tor: str) -> socket.socket:
    """A connection by Tor, which listens at `tor`. Raises LeakdropError."""
    try:
        return proxy.connect(host, port, PATIENCE)
    except ProxyConnectionError:
        raise LeakdropError(
            f"No Tor answers at {tor}. Is Tor running? "
            "Tor Browser's listens at 127.0.0.1:9150: give that to --tor."
        ) from None
    except ProxyTimeoutError:
        raise LeakdropError(f"Tor did not reach the site within {PATIENCE} seconds. Try again.") from None
    except ProxyError as error:
        raise LeakdropError(f"Tor could not reach the site: {error}. Try again.") from None


def ask(connect: Callable[[], socket.socket], host: str, path: str) -> Answer:
    """The answer to a GET. Raises LeakdropError."""
    connection = http.client.HTTPConnection(host)
    try:
        connection.sock = connect()
        connection.sock.settimeout(PATIENCE)
        connection.putrequest("GET", path, skip_accept_encoding=True)
        for name, value in BROWSER.items():
            connection.putheader(name, value)
        connection.endheaders()
        response = connection.getresponse()
        body = response.read(MAX_BODY + 1)
        packed = response.headers.get_all("Content-Encoding", [])
        return Answer(response.status, tuple(response.getheaders()), unpack(body, packed))
    except (OSError, http.client.HTTPException, zlib.error) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise LeakdropError(f"{path} could not be had: {why or type(error).__name__}. Try again.") from None
    finally:
        connection.close()


def unpack(body: bytes, encodings: list[str]) -> bytes:
    """A body before compression, of at most MAX_BODY bytes. Raises LeakdropError and zlib.error."""
    if encodings == ["gzip"]:
        unpacker = zlib.decompressobj(16 + zlib.MAX_WBITS)
        body = unpacker.decompress(body, MAX_BODY + 1)
        if not unpacker.eof or unpacker.unused_data:
            raise zlib.error("its compressed form is cut off, or goes on behind its end")
    elif encodings:
        raise LeakdropError("The site compresses in a way that leakdrop does not.")
    if len(body) > MAX_BODY:
        raise LeakdropError("A page is longer than 16 MiB.")
    return body
