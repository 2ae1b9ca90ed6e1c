"""What is fuzzed: for each parser a function of any bytes, and the bytes to begin with.

A target lets its parser's named errors pass, which are LeakdropErrors, and nothing else. What a reader
takes, it must also write again to the same bytes, where the format is canonical.
"""

import base64
import importlib
import io
import json
import tempfile
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from leakdrop.bundle import Bundle, BundleEntry, encode_bundle, parse_bundle
from leakdrop.config import Config
from leakdrop.envelope.filekey import chunk_aad, derive_body_key
from leakdrop.envelope.header import header_length, read_header
from leakdrop.envelope.index import decode_index, encode_index
from leakdrop.envelope.keyfile import encode_secret_key, parse_public_keys, parse_secret_key
from leakdrop.envelope.opening import open_envelope
from leakdrop.envelope.padding import PIECE
from leakdrop.envelope.sealing import seal_header
from leakdrop.errors import LeakdropError
from leakdrop.intake.app import create_app
from leakdrop.intake.bodies import check_head
from leakdrop.intake.forms import read_boundary, read_parts
from leakdrop.keyring import Keyring
from tests.keys import label_key_pair, public_key_file
from tests.site import encode_form, open_drops

VECTORS = Path(__file__).parents[1] / "vectors"
ALICE = label_key_pair("alice")


@dataclass(frozen=True)
class Target:
    """A parser: its function, seeds, its share of the executions, how long an input may be in bytes."""

    name: str
    run: Callable[[bytes], object]
    seeds: Callable[[], Iterable[bytes]]
    share: int
    longest: int = 4096


def vectors(name: str) -> list[dict]:
    return json.loads((VECTORS / f"{name}.json").read_text())


def good(name: str) -> bytes:
    return (VECTORS / "good" / f"{name}.envelope").read_bytes()


def run_header(given: bytes) -> None:
    """The file's length (4 bytes), and its beginning; what is taken is written again to the same bytes."""
    length, head = int.from_bytes(given[:4]), given[4:]
    with suppress(LeakdropError):
        header, _ = read_header(io.BytesIO(head), length)
        assert head.startswith(bytes(header))
    with suppress(LeakdropError):
        check_head(head, {ALICE.public.key_id})


def header_seeds() -> list[bytes]:
    envelopes = [good(name) for name in ("empty", "three-recipients", "broken-stanzas")]
    return [len(it).to_bytes(4) + it[: header_length(it[9])] for it in envelopes]


@cache
def base_envelope() -> bytes:
    return good("several-files")


def run_opener(given: bytes) -> None:
    """An envelope with changes: each is a place (3 bytes), what is done there (1), and 8 bytes."""
    envelope = bytearray(base_envelope())
    for start in range(0, len(given) - 11, 12):
        place = int.from_bytes(given[start : start + 3]) % (len(envelope) + 1)
        what, change = given[start + 3] % 4, given[start + 4 : start + 12]
        if what == 0:
            envelope[place : place + 8] = change
        elif what == 1:
            envelope[place:place] = change
        elif what == 2:
            del envelope[place:]
        else:
            envelope[place : place + 1] = change[:1]
    with suppress(LeakdropError):
        open_envelope(io.BytesIO(envelope), [ALICE]).check()


def opener_seeds() -> list[bytes]:
    """The bad vectors' own changes, as far as they fit, and some others."""
    seeds = [bytes(12), b"\x00\x00\x08\x00" + bytes(8), b"\x00\x05\x00\x03" + b"\x01" * 8]
    for bad in vectors("bad"):
        patches = [(offset, bytes.fromhex(change)) for offset, change in bad["patches"]]
        seeds.append(b"".join(o.to_bytes(3) + b"\0" + c[:8].ljust(8, b"\0") for o, c in patches if o < 2**24))
    return seeds


FILE_KEY = bytes(range(32))


@cache
def sealed_header():
    return seal_header(FILE_KEY, [ALICE.public])


def run_plaintext(given: bytes) -> None:
    """A well sealed envelope with any trailer (16 bytes), and anything where the trailer points to."""
    trailer, rest = given[:16].ljust(16, b"\0"), given[16:]
    start = int.from_bytes(trailer[:8]) % PIECE
    plaintext = (bytes(start) + rest).ljust(PIECE - 16, b"\0")[: PIECE - 16] + trailer
    nonce = bytes(12)
    body = derive_body_key(FILE_KEY, sealed_header()).encrypt(nonce, plaintext, chunk_aad(0, True))
    with suppress(LeakdropError):
        open_envelope(io.BytesIO(bytes(sealed_header()) + nonce + body), [ALICE]).check()


def plaintext_seeds() -> list[bytes]:
    return [
        size.to_bytes(8) + len(encoded).to_bytes(8) + encoded
        for encoded, size in index_vectors()
        if size < PIECE and len(encoded) < 3000
    ]


def index_vectors() -> list[tuple[bytes, int]]:
    return [(base64.b64decode(it["index"]), it["size"]) for it in vectors("indexes")]


def run_index(given: bytes) -> None:
    """Two bytes for the size, and an index; what is taken is written again to the same bytes."""
    size, encoded = int.from_bytes(given[:2]), given[2:]
    with suppress(LeakdropError):
        assert encode_index(decode_index(encoded, size)) == encoded


def index_seeds() -> list[bytes]:
    return [(size % 65_536).to_bytes(2) + text for text, size in index_vectors() if len(text) < 4000]


def run_keyfile(given: bytes) -> None:
    with suppress(LeakdropError):
        parse_public_keys(given)
    with suppress(LeakdropError):
        secret = parse_secret_key(given)
        assert parse_secret_key(encode_secret_key(secret).encode()) == secret


def keyfile_seeds() -> list[bytes]:
    return [text for it in vectors("keyfiles") if len(text := base64.b64decode(it["text"])) < 4000]


def run_bundle(given: bytes) -> None:
    with suppress(LeakdropError):
        bundle = parse_bundle(given)
        assert parse_bundle(encode_bundle(bundle)) == bundle


def bundle_seeds() -> list[bytes]:
    entries = [BundleEntry(f"{n:032x}.envelope", 263_446 + n, f"{n:064x}", "2026-W47") for n in range(3)]
    return [encode_bundle(Bundle(tuple(entries[:count]))) for count in range(4)]


def run_multipart(given: bytes) -> None:
    """A form's boundary, up to the first line end, and its body."""
    line, _, body = given.partition(b"\n")
    with suppress(LeakdropError):
        boundary = read_boundary(line.decode("latin-1"))
        for _part in read_parts(io.BytesIO(body), boundary, len(body)):
            pass


def multipart_seeds() -> list[bytes]:
    forms = [
        encode_form([("message", "hello\r\nthere"), ("files", "talk.m4a", b"\0" * 40)]),
        encode_form([("kind", "WRAP training"), ("files", "", b"")]),
        encode_form([("files", "\u0634\u0643.txt", b"x"), ("files", 'a"b\\c', b"--")]),
    ]
    return [content_type.encode() + b"\n" + body for body, content_type in forms]


@cache
def application():
    """The site itself, without its server, in a folder that lasts as long as the process."""
    folder = Path(tempfile.mkdtemp(prefix="leakdrop-fuzz-"))
    config = Config("Fuzz", folder, folder / "data", disk_reserve_bytes=0)
    return create_app(config, Keyring((public_key_file("alice"),)), open_drops(folder / "data"))


METHODS = ("GET", "HEAD", "POST", "PATCH", "DELETE", "OPTIONS", "PUT", "BREW")
HEADERS = (
    "HTTP_TUS_RESUMABLE",
    "HTTP_UPLOAD_OFFSET",
    "HTTP_UPLOAD_LENGTH",
    "CONTENT_TYPE",
    "HTTP_HOST",
    "HTTP_TRANSFER_ENCODING",
    "HTTP_SEC_FETCH_SITE",
    "HTTP_ACCEPT_ENCODING",
    "CONTENT_LENGTH",
)


def run_request(given: bytes) -> None:
    """One request to the application: a byte for the method, path, headers and body, with line ends between.

    A header's first byte says which it is. An answer of 500 is an escape.
    """
    method = METHODS[given[0] % len(METHODS)] if given else "GET"
    path, *lines = given[1:].split(b"\n", 8)
    body = lines.pop() if len(lines) == 8 else b""
    environ = {
        "REQUEST_METHOD": method,
        "PATH_INFO": "/" + path.decode("latin-1").lstrip("/"),
        "SERVER_PROTOCOL": "HTTP/1.1",
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": io.StringIO(),
        "wsgi.url_scheme": "http",
        "wsgi.version": (1, 0),
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    environ |= {HEADERS[line[0] % len(HEADERS)]: line[1:].decode("latin-1") for line in lines if line}
    status = []
    answer = application()(environ, lambda line, *_: status.append(line))
    b"".join(answer)
    if hasattr(answer, "close"):
        answer.close()
    assert not status[0].startswith("500"), status


def request_seeds() -> list[bytes]:
    tus = b"\x001.0.0"
    creation = b"\x02uploads\n" + tus + b"\n\x02263446\n\n\n\n\n\n\n"
    patch = (
        b"\x03uploads/"
        + b"0" * 32
        + b"\n"
        + tus
        + b"\n\x010\n\x03application/offset+octet-stream\n\n\n\n\n\n"
    )
    body, content_type = encode_form([("message", "hi")])
    form = b"\x02submit\n\x03" + content_type.encode() + b"\n\n\n\n\n\n\n\n" + body
    return [b"\x00", b"\x00key\n", b"\x05uploads\n", creation, patch + good("empty")[:2000], form]


# Formats that other rooms of this version may have: module, function.
FURTHER = (
    ("answer", "leakdrop.envelope.receipt", "decode_answer"),
    ("acknowledgement", "leakdrop.acknowledgement", "parse_acknowledgement"),
)


def further_targets() -> Iterable[Target]:
    for name, module, function in FURTHER:
        with suppress(ModuleNotFoundError):
            parse = getattr(importlib.import_module(module), function)
            yield Target(name, _let_named_errors_pass(parse), bundle_seeds, 50)


def _let_named_errors_pass(parse: Callable[[bytes], object]) -> Callable[[bytes], None]:
    def run(given: bytes) -> None:
        with suppress(LeakdropError):
            parse(given)

    return run


def all_targets() -> dict[str, Target]:
    targets = (
        Target("header", run_header, header_seeds, 250, 8192),
        Target("index", run_index, index_seeds, 250),
        Target("key files", run_keyfile, keyfile_seeds, 170),
        Target("bundle.json", run_bundle, bundle_seeds, 170),
        Target("multipart", run_multipart, multipart_seeds, 120),
        Target("opener", run_opener, opener_seeds, 15, 240),
        Target("plaintext", run_plaintext, plaintext_seeds, 15),
        Target("requests", run_request, request_seeds, 10),
        *further_targets(),
    )
    return {target.name: target for target in targets}
