"""Every request that HTTP can say, to a site that really serves: part of `make fuzz`.

    python -m tests.campaigns.surface [--count N] [--write]

Hypothesis puts requests together of the site's own methods, addresses and headers, right and wrong, and
sends them as bytes, some cut off. What is checked of each is what a schema would promise: an answer,
unless the request was cut; a status that its method and address can have; never 500; the protecting
headers, and none that tells of the machine; a log that stays empty; nothing stored but for a 200 of the
form or a 204 of an upload.
"""

import re
import socket
import sys
import tempfile
import time
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from leakdrop.intake.privacy import ADDED
from tests.campaigns.proof import make_parser, report
from tests.keys import public_key_file
from tests.site import Site, encode_form, make_test_site
from tests.tus import BYTES, TUS, TusClient, make_envelope

TITLE = "The HTTP surface"
TEXT = """\
`make fuzz`, second part: requests put together by Hypothesis of the site's methods, addresses and
headers, right and wrong, some cut off, sent to a running site (its own equivalent of schemathesis, which
needs an OpenAPI document). Each gets an answer that its address can give, with all protecting headers and
none that tells of the machine; never 500; nothing is logged."""
STATUSES = {
    200,
    201,
    204,
    400,
    403,
    404,
    405,
    408,
    409,
    411,
    412,
    413,
    414,
    415,
    417,
    421,
    429,
    431,
    501,
    503,
    505,
    507,
}
METHODS = st.sampled_from(
    ["GET", "HEAD", "POST", "PATCH", "DELETE", "OPTIONS", "PUT", "TRACE", "CONNECT", "get", "X" * 30]
)
ENVELOPE = make_envelope()


def strategy(upload: str):
    """Requests as bytes, and whether they are whole."""
    pages = ["/", "/key", "/safety", "/key/alice.pub", "/key/all.pub", "/submit", "/uploads", "/replies", "*"]
    odd = st.text(st.characters(codec="latin-1", exclude_characters=" \r\n"), max_size=20).map(
        lambda t: f"/{t}"
    )
    paths = st.one_of(
        st.sampled_from([*pages, upload, f"/uploads/{'0' * 32}"]),
        odd,
        st.sampled_from(pages).flatmap(lambda page: odd.map(lambda rest: page + rest)),
    )
    value = st.text(st.characters(codec="latin-1", exclude_characters="\r\n"), max_size=30)
    number = st.one_of(
        st.integers(-5, 2**70).map(str), value, st.sampled_from(["0", "+1", "1e3", "٣", "0x10"])
    )
    _, content_type = encode_form([])
    headers = st.lists(
        st.one_of(
            st.sampled_from(list((TUS | BYTES).items())),
            st.tuples(st.sampled_from(["Upload-Offset", "Upload-Length"]), number),
            st.tuples(st.just("Content-Type"), st.one_of(st.just(content_type), value)),
            st.tuples(
                st.sampled_from(["Sec-Fetch-Site", "Accept-Encoding", "Range", "Expect", "Host"]), value
            ),
            st.tuples(st.just("Expect"), st.just("100-continue")),
            st.tuples(st.just("Transfer-Encoding"), st.sampled_from(["chunked", "gzip", "chunked, chunked"])),
            st.tuples(st.just("Upload-Length"), st.just(str(len(ENVELOPE)))),
        ),
        max_size=5,
    )
    bodies = st.one_of(
        st.just(b""),
        st.binary(max_size=300),
        st.just(encode_form([("message", "hello")])[0]),
        st.integers(0, 3000).map(lambda size: ENVELOPE[:size]),
    )
    cut = st.one_of(st.none(), st.none(), st.none(), st.integers(0, 200))
    return st.tuples(METHODS, paths, headers, bodies, st.booleans(), cut)


def encode(method: str, path: str, headers, body: bytes, is_sized: bool) -> bytes:
    sized = [("Content-Length", str(len(body)))] if is_sized else []
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", *(f"{n}: {v}" for n, v in [*headers, *sized])]
    return "\r\n".join([*lines, "Connection: close", "", ""]).encode("utf-8") + body


class Surface:
    """A running site, and what it answered."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.upload = TusClient.direct(site.port).create(len(ENVELOPE))
        self.requests = 0
        self.statuses: dict[int, int] = {}

    def check(self, method: str, path: str, headers, body: bytes, is_sized: bool, cut: int | None) -> None:
        request = encode(method, path, headers, body, is_sized)
        is_cut = cut is not None and cut < len(request)
        answer = self._send(request[:cut] if is_cut else request)
        self.requests += 1
        if not answer:
            assert is_cut, request
            return
        head = answer.partition(b"\r\n\r\n")[0].decode("latin-1")
        if head.startswith("HTTP/1.1 100"):
            head = answer.split(b"\r\n\r\n")[1].decode("latin-1")
        status = int(head[9:12])
        self.statuses[status] = self.statuses.get(status, 0) + 1
        assert status in STATUSES, (status, request)
        assert not re.search(r"(?im)^(server|date|etag|last-modified|set-cookie|vary):", head), head
        for name, text in ADDED:
            assert f"\r\n{name}: {text}" in head, (name, head)

    def _send(self, request: bytes) -> bytes:
        with socket.create_connection(("127.0.0.1", self.site.port), 60) as connection:
            try:
                connection.sendall(request)
                connection.shutdown(socket.SHUT_WR)
                return connection.makefile("rb").read()
            except ConnectionError:
                return b""


def main() -> int:
    parser = make_parser(__doc__)
    parser.add_argument("--count", type=int, default=5000, metavar="N", help="requests (5000)")
    given_ = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="leakdrop-surface-") as folder:
        site = make_test_site(Path(folder) / "site", [public_key_file("alice")])
        site.start()
        began = time.monotonic()
        try:
            surface = Surface(site)
            run = given(strategy(surface.upload))(lambda request: surface.check(*request))
            quick = [HealthCheck.too_slow, HealthCheck.data_too_large]
            settings(
                max_examples=given_.count,
                deadline=None,
                database=None,
                suppress_health_check=quick,
                phases=[Phase.generate, Phase.shrink],
            )(run)()
            assert site.get("/")[0] == 200
            log = site.log.read_text()
        finally:
            site.stop()
    statuses = ", ".join(f"{count} × {status}" for status, count in sorted(surface.statuses.items()))
    seconds = f"{time.monotonic() - began:.0f} s"
    lines = len(log.splitlines())
    row = (f"{surface.requests:,}", statuses, seconds, lines)
    report(TITLE, TEXT, ("requests", "answers", "time", "lines in the log"), [row], write=given_.write)
    return bool(lines)


if __name__ == "__main__":
    sys.exit(main())
