"""The pages, rendered at start: the same bytes for every visitor.

They change in one case only: at 00:00 UTC, when the set of keys that submissions are sealed to has changed.

Pages, script and style are compressed once, here. There is no secret in them that their length could tell.
Which of the two forms is sent follows from Accept-Encoding; no `Vary` says so, because no cache may keep a
page, and a file whose name is its hash decodes to the same bytes either way.
"""

import base64
import datetime
import gzip
import hashlib
import threading
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import jinja2

from leakdrop import manifest
from leakdrop.config import Config
from leakdrop.envelope.index import encode_base64url
from leakdrop.envelope.keyfile import PublicKeyFile, encode_public_key
from leakdrop.errors import ConfigError
from leakdrop.intake.noscript_replies import Opened
from leakdrop.intake.operator_text import read_operator_text
from leakdrop.intake.refusals import Refusal
from leakdrop.keyring import Keyring
from leakdrop.terminal import human_size

_HERE = Path(__file__).parent
HTML = "text/html; charset=utf-8"
TEXT = "text/plain; charset=utf-8"
CSS = "text/css; charset=utf-8"
SCRIPT = "text/javascript; charset=utf-8"
UPLOADS, REPLIES = "/uploads", "/replies"
# What `make setup` builds: / loads style.css and app.js, /replies loads style.css and replies.js.
STATIC = {"style.css": CSS, "app.js": SCRIPT, "replies.js": SCRIPT}
# What differs from one visitor to another has lengths that are multiples of this.
PADDED = 65_536
JSON = "application/json"
# In the name of the page that refuses a question for replies.
QUESTION = "_TO_A_QUESTION"
FOREVER = "public, max-age=31536000, immutable"


@dataclass(frozen=True)
class Page:
    """A response that is ready to be sent."""

    body: bytes
    media_type: str = HTML
    status: int = 200
    cache: str = "no-store"
    packs: bool = True
    packed_before: bytes = b""

    @cached_property
    def packed(self) -> bytes:
        """The body, compressed; made when the page is, and always the same bytes."""
        return self.packed_before or gzip.compress(self.body, 9, mtime=0)


def load_static(name: str) -> Page:
    """A file that `make setup` built of the sources in browser/, and packed. Raises ConfigError."""
    path = _HERE / "static" / name
    try:
        content, packed = path.read_bytes(), path.with_name(f"{name}.gz").read_bytes()
    except FileNotFoundError:
        content, packed = b"", b""
    if not content or gzip.decompress(packed) != content:
        raise ConfigError(f"The pages' {name} has not been built: run “make setup”.")
    return Page(content, STATIC[name], cache=FOREVER, packed_before=packed)


def name_by_hash(name: str, content: bytes) -> str:
    """The address of a static file: another content has another one."""
    stem, _, ending = name.partition(".")
    return f"/static/{stem}-{hashlib.sha256(content).hexdigest()[:16]}.{ending}"


def load_release() -> dict[str, Page]:
    """What a release of leakdrop serves everywhere alike: script and style, by their addresses."""
    pages = {name: load_static(name) for name in STATIC}
    return {name_by_hash(name, page.body): page for name, page in pages.items()}


@dataclass(frozen=True)
class Link:
    """A static file as a page names it: browsers drop one with another SHA-256 (Subresource Integrity)."""

    path: str
    integrity: str


def link(path: str, content: bytes) -> Link:
    return Link(path, f"sha256-{base64.b64encode(hashlib.sha256(content).digest()).decode()}")


def load_manifest(path: Path | None) -> dict[str, Page]:
    """The organisation's manifest and its signatures, by their addresses. Raises ConfigError."""
    if path is None:
        return {}
    signatures = path.with_name(f"{path.name}{manifest.SIGNATURES}")
    try:
        return {
            manifest.PATH: Page(path.read_bytes(), JSON),
            f"{manifest.PATH}{manifest.SIGNATURES}": Page(signatures.read_bytes(), TEXT),
        }
    except OSError as error:
        raise ConfigError(
            f"The manifest {error.filename} cannot be read: {error.strerror}. "
            "It needs the reviewers' signatures beside it."
        ) from None


class Pages:
    """All that the site shows, for the keys of one day."""

    def __init__(self, config: Config, keyring: Keyring) -> None:
        self._config = config
        self._keyring = keyring
        self._safety = read_operator_text(config.safety_text)
        self._manifest = load_manifest(config.manifest)
        self._static = load_release()
        links = (link(path, page.body) for path, page in self._static.items())
        self._links = dict(zip(STATIC, links, strict=True))
        self._templates = jinja2.Environment(
            loader=jinja2.FileSystemLoader(_HERE / "templates"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._lock = threading.Lock()
        self._keys: tuple[PublicKeyFile, ...] | None = None
        self._pages: dict[str, Page] = {}
        self._refusals: dict[str, Page] = {}

    def find(self, path: str, today: datetime.date) -> Page | None:
        """The page at a path, as it is on this day (UTC)."""
        self._bring_up_to(today)
        return self._pages.get(path) or self._manifest.get(path)

    def all(self, today: datetime.date) -> dict[str, Page]:
        """All that a manifest vouches for on this day: by path, or by the name of an answer that has none."""
        keys = self._keyring.usable(today)
        return self._render(keys) | self._render_refusals()

    def deleted(self, today: datetime.date) -> Page:
        self._bring_up_to(today)
        return self._pages["deleted"]

    def arrived(self, words: tuple[str, ...]) -> Page:
        """That it has arrived, and the words of its receipt, which stand on no other page."""
        return self._padded("arrived.html", words=words)

    def opened(self, opened: Opened) -> Page:
        """Replies that were opened on the server, or why not."""
        status = 400 if opened.problem else 200
        return self._padded("replies_opened.html", status, opened=opened, human_size=human_size)

    def refusal(self, refusal: Refusal, today: datetime.date, *, is_question: bool = False) -> Page:
        """The page of a refusal; that of a question for replies leads nowhere where one could send."""
        self._bring_up_to(today)
        return self._refusals[f"{refusal.name}{QUESTION if is_question else ''}"]

    def _bring_up_to(self, today: datetime.date) -> None:
        keys = self._keyring.usable(today)
        with self._lock:
            if keys != self._keys:
                self._pages, self._refusals = self._render(keys), self._render_refusals()
                for page in (*self._pages.values(), *self._refusals.values(), *self._manifest.values()):
                    page.packed  # noqa: B018 - compressed now, not while somebody waits
                self._keys = keys

    def _render(self, keys: tuple[PublicKeyFile, ...]) -> dict[str, Page]:
        texts = [encode_public_key(key) for key in keys]
        return {
            "/": self._page(
                "home.html",
                script=self._links["app.js"],
                keys=keys,
                uploads=UPLOADS,
                encode_base64url=encode_base64url,
            ),
            REPLIES: self._page("replies.html", script=self._links["replies.js"], replies=REPLIES),
            "/safety": self._page("safety.html", text=self._safety),
            "/key": self._page("key.html", keys=keys, groups_of_four=groups_of_four),
            "/key/all.pub": Page("".join(texts).encode(), TEXT),
            **{
                f"/key/{key.name}.pub": Page(text.encode(), TEXT)
                for key, text in zip(keys, texts, strict=True)
            },
            "deleted": self._page("replies_deleted.html"),
            **self._static,
        }

    def _render_refusals(self) -> dict[str, Page]:
        return {
            f"{refusal.name}{ending}": self._page(template, refusal.status, refusal=refusal)
            for ending, template in (("", "refusal.html"), (QUESTION, "refusal_replies.html"))
            for refusal in Refusal
        }

    def _padded(self, template: str, status: int = 200, **values: object) -> Page:
        """A page for one visitor. Compressed, its length would tell what stands in it."""
        body = self._page(template, status, **values).body
        return Page(body + b" " * (-len(body) % PADDED), status=status, packs=False)

    def _page(self, template: str, status: int = 200, **values: object) -> Page:
        text = self._templates.get_template(template).render(
            config=self._config, style=self._links["style.css"], **values
        )
        return Page(text.encode(), status=status)


def groups_of_four(fingerprint: str) -> list[str]:
    """A fingerprint as people compare it: sixteen groups of four hex digits."""
    return [fingerprint[start : start + 4] for start in range(0, len(fingerprint), 4)]
