"""The manifest: docs/manifest.md. The SHA-256 of all that a site serves, and who vouches for it.

    leakdrop.json        {"format":"leakdrop manifest 1","version":"0.1.0","days":[D,…]}
    leakdrop.json.sig    <key id, 32 hex digits> <base64url of an Ed25519 signature (64 bytes)>, a line each

    D      = {"from":"2026-11-22","pages":[P,…]}     until the next begins; in order of their days
    P      = {"path":"/","type":"text/html; charset=utf-8","sha256":"<64 hex digits>"}, sorted by path
    signed = "leakdrop/1 manifest" ‖ 0x00 ‖ leakdrop.json

A path begins with "/"; an answer that has none, such as a refusal, has its name in that place. The manifest
is canonical: what parses is written again to the same bytes. Nothing here knows a page or a network.
"""

import datetime
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey

from leakdrop.envelope.index import decode_base64url, encode_base64url
from leakdrop.envelope.keyfile import PublicKeyFile
from leakdrop.errors import ManifestError

FORMAT = "leakdrop manifest 1"
PATH = "/.well-known/leakdrop.json"
SIGNATURES = ".sig"
CONTEXT = b"leakdrop/1 manifest\0"
SIGNATURE = 64
MAX_MANIFEST = 4 * 1024 * 1024
MAX_SIGNATURES = 64 * 1024

_PRINTABLE = re.compile(r"[!-~][ -~]{0,1023}")
_SHA256 = re.compile("[0-9a-f]{64}")
_VERSION = re.compile(r"[0-9][0-9a-z.+-]{0,63}")
_SIGNATURE = re.compile(r"([0-9a-f]{32}) ([A-Za-z0-9_-]{86})")


@dataclass(frozen=True)
class ManifestPage:
    """One page: its path or name, its Content-Type, the SHA-256 (hex) of its body before compression."""

    path: str
    type: str
    sha256: str


@dataclass(frozen=True)
class ManifestDay:
    """All pages from one day (UTC) on: they change only when a key has expired."""

    since: datetime.date
    pages: tuple[ManifestPage, ...]


@dataclass(frozen=True)
class Manifest:
    """What a site of this version of leakdrop serves, day by day."""

    version: str
    days: tuple[ManifestDay, ...]

    def on(self, today: datetime.date) -> tuple[ManifestPage, ...]:
        """The pages of a day (UTC). Raises ManifestError if the manifest begins later."""
        begun = [day.pages for day in self.days if day.since <= today]
        if not begun:
            raise ManifestError(f"This manifest begins on {self.days[0].since}: is the clock right?")
        return begun[-1]


def encode_manifest(manifest: Manifest) -> bytes:
    """The canonical bytes: one line for each page, so that two manifests can be compared."""
    days = ",\n".join(_encode_day(day) for day in manifest.days)
    return f'{{"format":"{FORMAT}","version":{_json(manifest.version)},"days":[\n{days}\n]}}\n'.encode()


def _encode_day(day: ManifestDay) -> str:
    pages = ",\n".join(
        _json({"path": page.path, "type": page.type, "sha256": page.sha256}) for page in day.pages
    )
    return f'{{"from":"{day.since.isoformat()}","pages":[\n{pages}\n]}}'


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


def parse_manifest(encoded: bytes) -> Manifest:
    """The manifest in these bytes. Raises ManifestError."""
    if len(encoded) > MAX_MANIFEST:
        raise ManifestError("This manifest is longer than 4 MiB.")
    try:
        fields = json.loads(encoded.decode())
        if fields["format"] != FORMAT:
            raise ManifestError("This is not a manifest, or one of a newer leakdrop: update leakdrop.")
        days = tuple(_parse_day(day) for day in fields["days"])
        manifest = Manifest(_match(_VERSION, fields["version"]), days)
        if not days or any(a.since >= b.since for a, b in pairwise(days)):
            raise ValueError("days")
        # Fields that are too many, twice or spelled otherwise: all of them fail here.
        if encode_manifest(manifest) != encoded:
            raise ValueError("not canonical")
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ManifestError("This manifest is damaged.") from None
    return manifest


def _parse_day(fields: Any) -> ManifestDay:
    pages = tuple(
        ManifestPage(
            _match(_PRINTABLE, page["path"]),
            _match(_PRINTABLE, page["type"]),
            _match(_SHA256, page["sha256"]),
        )
        for page in fields["pages"]
    )
    if not pages or any(a.path >= b.path for a, b in pairwise(pages)):
        raise ValueError("pages")
    return ManifestDay(datetime.date.fromisoformat(fields["from"]), pages)


def _match(form: re.Pattern[str], text: object) -> str:
    if type(text) is not str or not form.fullmatch(text):
        raise ValueError("text")
    return text


def sign_manifest(encoded: bytes, key_id: bytes, key: SigningKey) -> str:
    """The line that vouches for a manifest. The key id (16 bytes) is that of the reviewer's key."""
    signature = key.sign(CONTEXT + encoded).signature
    return f"{key_id.hex()} {encode_base64url(signature)}\n"


def find_signers(encoded: bytes, signatures: bytes, keys: Iterable[PublicKeyFile]) -> tuple[str, ...]:
    """The names of those keys that signed these very bytes.

    Signatures by other keys say nothing here and are passed over. Raises ManifestError if the lines are no
    signatures, or one that names a key of ours is not good.
    """
    if len(signatures) > MAX_SIGNATURES:
        raise ManifestError("The manifest's signatures are longer than 64 KiB.")
    by_id = {key.key.key_id.hex(): key for key in keys if key.sign}
    names = []
    for line in signatures.decode("ascii", "replace").splitlines():
        match = _SIGNATURE.fullmatch(line)
        if not match:
            raise ManifestError("The manifest's signatures are damaged.")
        if signer := by_id.get(match[1]):
            _check(encoded, match[2], signer)
            names.append(signer.name)
    return tuple(names)


def _check(encoded: bytes, text: str, signer: PublicKeyFile) -> None:
    """Raises ManifestError unless this is the signer's signature of these bytes."""
    try:
        VerifyKey(signer.sign or b"").verify(CONTEXT + encoded, decode_base64url(text, SIGNATURE))
    except (BadSignatureError, ValueError):
        raise ManifestError(
            f"The manifest was changed after “{signer.name}” signed it, or another key signed it."
        ) from None
