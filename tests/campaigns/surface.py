"""Every request that HTTP can say, to a site that really serves: part of `make fuzz`.

    python -m tests.campaigns.surface [--count N] [--write]

Hypothesis puts requests together of the site's own methods, addresses, headers and bodies, right and wrong,
and sends them as bytes. Most are good HTTP, and must get what `surface_rules` says of their address and
method, to each header; the others are bent or cut off anywhere, and get the server's own 400, or no 500, or
nothing if they were cut. Of all but an upload, HEAD and GET must agree. Afterwards the log is empty, the site
works, an upload that lay there half is finished, and there are as many drops as were acknowledged, each an
envelope.
"""

import re
import socket
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from leakdrop.envelope.header import envelope_length, header_length, parse_header, plaintext_length
from tests.campaigns.proof import make_parser, report
from tests.campaigns.sources import NO_LIMITS
from tests.campaigns.surface_rules import (
    Answer,
    Headers,
    check_answer,
    check_common,
    kind_of,
    parse_answer,
    refused_early,
    rule_of,
)
from tests.keys import public_key_file
from tests.site import Site, encode_form, make_test_site
from tests.tus import BYTES, TUS, TusClient, make_envelope

TITLE = "The HTTP surface"
TEXT = """\
`make fuzz`, second part: requests put together by Hypothesis of the site's methods, addresses, headers and
bodies, right and wrong, some bent or cut off, sent to a running site (its own equivalent of schemathesis,
which needs an OpenAPI document). A table by address and method says which statuses are possible, and of each
the media type, the headers that must be there and that may, and the largest body; HEAD and GET agree.
Afterwards the site works, what was acknowledged is there, each drop is an envelope, and nothing is logged."""
METHODS = ("GET", "HEAD", "POST", "PATCH", "DELETE", "OPTIONS", "PUT", "TRACE", "PROPFIND")
# Stand for the paths of an upload that goes on, and of one that is whole.
UPLOAD, ARRIVED = "@on", "@done"
KEY_TEXTS = frozenset({"/key/alice.pub", "/key/all.pub"})
PAGES = ("/", "/key", "/safety", *sorted(KEY_TEXTS), "/submit", "/uploads", "/replies", "/replies/delete")
ENVELOPE = make_envelope()
FORM, FORM_TYPE = encode_form([("message", "hello")])
QUESTION = b"token=" + b"A" * 43
URLENCODED = "application/x-www-form-urlencoded"


@dataclass(frozen=True)
class Request:
    """A request; `cut` is how many of its bytes are sent, and `is_good` whether it is HTTP in any case."""

    method: str
    path: str
    host: str
    headers: Headers
    body: bytes
    is_sized: bool
    is_good: bool
    cut: int | None = None

    def encode(self, path: str) -> bytes:
        """Its bytes, with a path in which nothing stands for another one."""
        sized = [("Content-Length", str(len(self.body)))] if self.is_sized else []
        fields = [("Host", self.host), *self.headers, *sized, ("Connection", "close")]
        lines = [f"{self.method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields)]
        return "\r\n".join([*lines, "", ""]).encode("utf-8") + self.body


def good_requests(statics: list[str]) -> st.SearchStrategy[Request]:
    odd = st.from_regex(r"\A[a-z0-9._~-]{1,12}\Z").map(lambda text: f"/{text}")
    paths = st.one_of(
        st.sampled_from([*PAGES, *statics]), st.just(UPLOAD), st.sampled_from([UPLOAD, ARRIVED]), odd,
        st.just(f"/uploads/{'0' * 32}"),
        st.sampled_from(PAGES[1:]).flatmap(lambda page: odd.map(page.__add__)),
    )  # fmt: skip
    hosts = st.sampled_from(["localhost"] * 9 + ["127.0.0.1:80", f"{'a' * 56}.onion", "example.org"])
    number = st.one_of(st.sampled_from(["0", "0", str(len(ENVELOPE))]), st.integers(0, 10**15).map(str))
    wrong = st.sampled_from(["-1", "+1", "1e3", "0x10", "9" * 17, "many"])
    field = st.one_of(
        st.sampled_from(list(TUS.items())),
        st.sampled_from(list(BYTES.items())),
        st.tuples(st.sampled_from(["Upload-Offset", "Upload-Length"]), st.one_of(number, number, wrong)),
        st.tuples(st.just("Content-Type"), st.sampled_from([FORM_TYPE, URLENCODED, "text/plain"])),
        st.tuples(st.just("Accept-Encoding"), st.sampled_from(["gzip", "identity", "gzip;q=0", "br"])),
        st.sampled_from([("Sec-Fetch-Site", site) for site in ("cross-site", "same-origin", "none")]),
        st.sampled_from([("Via", "1.1 x"), ("X-Real-IP", "::1"), ("Transfer-Encoding", "chunked")]),
        st.sampled_from([("Cookie", "a=b"), ("If-None-Match", "*"), ("Range", "bytes=0-9")]),
    )  # fmt: skip
    headers = st.lists(field, max_size=5, unique_by=lambda pair: pair[0])
    bodies = st.one_of(
        st.just(b""), st.binary(max_size=300), st.just(FORM), st.just(QUESTION), st.just(ENVELOPE),
        st.integers(0, 3000).map(lambda size: ENVELOPE[:size]),
    )  # fmt: skip
    anything = st.builds(
        Request, st.sampled_from(METHODS), paths, hosts, headers, bodies, st.booleans(), st.just(True)
    )
    return st.one_of(anything, meant_requests(statics)).filter(is_plain)


def meant_requests(statics: list[str]) -> st.SearchStrategy[Request]:
    """Requests as a browser or a tus client makes them, and some that are too large."""
    at_start, behind = {**BYTES, "Upload-Offset": "0"}, {**BYTES, "Upload-Offset": "9"}
    asked = {"Content-Type": URLENCODED}
    meant = [
        *(("GET", path, {}, b"") for path in [*PAGES, *statics]),
        ("POST", "/submit", {"Content-Type": FORM_TYPE}, FORM),
        ("POST", "/replies", asked, QUESTION),
        ("POST", "/replies", asked, QUESTION * 1000),
        ("POST", "/replies/delete", asked, QUESTION + b"&reply=" + b"0" * 64),
        ("POST", "/uploads", {**TUS, "Upload-Length": str(len(ENVELOPE))}, b""),
        ("POST", "/uploads", {**TUS, "Upload-Length": str(envelope_length(1, 2**40))}, b""),
        ("PATCH", UPLOAD, at_start, ENVELOPE),
        ("PATCH", UPLOAD, at_start, ENVELOPE + b"x"),
        *(("PATCH", UPLOAD, at_start, ENVELOPE[:size]) for size in (0, 1, 9, 10, 1000, 2000)),
        *(("PATCH", path, behind, b"") for path in (UPLOAD, ARRIVED)),
        *((method, path, TUS, b"") for method in ("HEAD", "DELETE") for path in (UPLOAD, ARRIVED)),
    ]
    # Without something that differs, each would be made only once.
    return st.builds(
        lambda request, number: Request(
            request[0], request[1], "localhost", [*request[2].items(), ("User-Agent", f"{number}")],
            request[3], is_sized=True, is_good=True,
        ),
        st.sampled_from(meant),
        st.integers(0, 2**32),
    )  # fmt: skip


def is_plain(request: Request) -> bool:
    """What says that it comes in chunks has no body here, and no length: HTTP allows none beside it."""
    named = {name for name, _ in request.headers}
    return "Transfer-Encoding" not in named or not (request.body or request.is_sized)


def bent_requests(good: st.SearchStrategy[Request]) -> st.SearchStrategy[Request]:
    value = st.text(st.characters(codec="latin-1", exclude_characters="\r\n"), max_size=30)
    target = st.text(st.characters(codec="latin-1", exclude_characters=" \r\n"), max_size=20)
    name = st.sampled_from(
        [
            "Upload-Offset",
            "Upload-Length",
            "Content-Type",
            "Host",
            "Expect",
            "Transfer-Encoding",
            "Content-Length",
        ]
    )
    return st.builds(
        lambda request, method, path, more, cut: Request(
            method or request.method, path or request.path, request.host, [*request.headers, *more],
            request.body, request.is_sized, is_good=False, cut=cut,
        ),
        good,
        st.sampled_from(["", "", "get", "CONNECT", "X" * 30, "G\x00T"]),
        st.one_of(st.just(""), st.just(""), st.just("*"), st.just("//"), target.map(lambda text: f"/{text}")),
        st.lists(st.one_of(st.tuples(name, value), st.just(("Expect", "100-continue"))), max_size=2),
        st.one_of(st.none(), st.none(), st.integers(0, 600)),
    )  # fmt: skip


class Surface:
    """A running site, what it answered, and how many submissions it acknowledged."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.client = TusClient.direct(site.port)
        self.half = self.client.create(len(ENVELOPE))
        assert self.client.patch(self.half, 0, ENVELOPE[:100_000]).status == 204
        self.paths = {UPLOAD: self.client.create(len(ENVELOPE)), ARRIVED: self.client.upload(ENVELOPE)}
        self.requests = 0
        self.arrived = 0
        self.statuses: Counter[int] = Counter()

    def statics(self) -> list[str]:
        """The addresses of script and style, as the pages name them."""
        pages = self.site.get("/")[1] + self.site.get("/replies")[1]
        return sorted({path.decode() for path in re.findall(rb'"(/static/[^"]+)"', pages)})

    def check(self, request: Request) -> None:
        encoded = request.encode(self._path(request))
        is_cut = request.cut is not None and request.cut < len(encoded)
        received = self._send(encoded[: request.cut] if is_cut else encoded)
        self.requests += 1
        if not received:
            assert is_cut, "no answer"
            return
        answer = parse_answer(received)
        self.statuses[answer.status] += 1
        if request.is_good:
            self._check_good(request, answer)
        elif answer.is_not_http:
            check_common(answer)
        else:
            check_common(answer, answer.headers.get("cache-control", ""))
            assert answer.status != 500, "our mistake"
        self._follow(request, answer)

    def _check_good(self, request: Request, answer: Answer) -> None:
        path = self._path(request)
        kind = kind_of(path, KEY_TEXTS)
        early = refused_early(request.method, request.host, request.headers)
        check_answer(answer, rule_of(kind, request.method), request.method, early)
        if request.method == "GET" and kind != "upload":
            twin = parse_answer(self._send(request.encode(path).replace(b"GET ", b"HEAD ", 1)))
            assert (twin.status, twin.headers, twin.body) == (answer.status, answer.headers, b""), (
                "HEAD differs"
            )

    def _path(self, request: Request) -> str:
        return self.paths.get(request.path, request.path)

    def _follow(self, request: Request, answer: Answer) -> None:
        """Count what was acknowledged, and begin another upload when the one in use has ended."""
        if request.method == "POST" and request.path == "/submit" and answer.status == 200:
            self.arrived += 1
        is_whole = answer.headers.get("upload-offset") == str(len(ENVELOPE))
        if request.method == "PATCH" and request.path == UPLOAD and answer.status == 204 and is_whole:
            self.arrived += 1
        if request.path == UPLOAD and request.method in ("PATCH", "DELETE"):
            head = self.client.head(self.paths[UPLOAD])
            if head.status == 404 or head.offset == head.length:
                self.paths[UPLOAD] = self.client.create(len(ENVELOPE))

    def check_site(self) -> None:
        """That it works, and has kept what it acknowledged and nothing else."""
        assert self.site.get("/")[0] == 200
        assert self.site.send(("message", "still there"))[0] == 200
        offset = self.client.offset(self.half)
        assert offset == 100_000
        assert self.client.patch(self.half, offset, ENVELOPE[offset:]).status == 204
        drops = [path.read_bytes() for path in self.site.envelopes()]
        assert len(drops) == self.arrived + 3, f"{len(drops)} drops, {self.arrived} + 3 acknowledged"
        assert ENVELOPE in drops
        for drop in drops:
            header = parse_header(drop)
            assert plaintext_length(len(drop) - header_length(len(header.stanzas))) > 0
        for folder in (self.site.data / "incoming", self.site.temporary):
            assert not list(folder.iterdir()), f"something is left in {folder.name}"

    def _send(self, request: bytes) -> bytes:
        with socket.create_connection(("127.0.0.1", self.site.port), 60) as connection:
            try:
                connection.sendall(request)
                connection.shutdown(socket.SHUT_WR)
                return connection.makefile("rb").read()
            except ConnectionError:
                return b""


def run(surface: Surface, count: int) -> None:
    good = good_requests(surface.statics())
    settings(
        max_examples=count,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
        phases=[Phase.generate, Phase.shrink],
    )(given(st.one_of(good, good, bent_requests(good)))(surface.check))()


def main() -> int:
    parser = make_parser(__doc__)
    parser.add_argument("--count", type=int, default=5000, metavar="N", help="requests (5000)")
    given_ = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="leakdrop-surface-") as folder:
        site = make_test_site(Path(folder) / "site", [public_key_file("alice")], **NO_LIMITS)
        site.start()
        began = time.monotonic()
        try:
            surface = Surface(site)
            run(surface, given_.count)
            surface.check_site()
            log = site.log.read_text()
        finally:
            site.stop()
    statuses = ", ".join(f"{count} × {status}" for status, count in sorted(surface.statuses.items()))
    seconds = f"{time.monotonic() - began:.0f} s"
    lines = len(log.splitlines())
    row = (f"{surface.requests:,}", statuses, surface.arrived, seconds, lines)
    head = ("requests", "answers", "arrived", "time", "lines in the log")
    report(TITLE, TEXT, head, [row], write=given_.write)
    return bool(lines)


if __name__ == "__main__":
    sys.exit(main())
