"""Bundles for reviewers, and envelopes that only a dishonest sender makes."""

import hashlib
import io
import os
import secrets
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from leakdrop.bundle import Bundle, BundleEntry, encode_bundle
from leakdrop.envelope.filekey import chunk_aad, derive_body_key
from leakdrop.envelope.header import Header
from leakdrop.envelope.index import Index, ReplyTo, encode_index
from leakdrop.envelope.keys import PublicKey
from leakdrop.envelope.padding import PIECE
from leakdrop.envelope.sealing import SourceFile, seal, seal_header
from leakdrop.review.keys import KeyOptions
from tests.keys import label_key_pair, write_key_files
from tests.site import run

WEEK = "2026-W47"


@dataclass(frozen=True)
class Reviewer:
    """A reviewer's key files, which lie in a folder of their own."""

    label: str
    secret: Path

    @property
    def public(self) -> PublicKey:
        return label_key_pair(self.label).public

    @property
    def passphrase(self) -> Path:
        return self.secret.with_name("passphrase")

    @property
    def options(self) -> KeyOptions:
        return KeyOptions((self.secret,), None, (self.passphrase,))

    @property
    def arguments(self) -> list[object]:
        return ["--key", self.secret, "--passphrase-file", self.passphrase]


def make_reviewer(folder: Path, label: str) -> Reviewer:
    return Reviewer(label, write_key_files(folder, label))


def seal_bytes(
    recipients: Sequence[PublicKey],
    message: str = "",
    files: Sequence[tuple[str, bytes]] = (),
    *,
    kind: str = "",
    reply_to: ReplyTo | None = None,
) -> bytes:
    """A sealed submission."""
    sink = io.BytesIO()
    sources = [SourceFile(name, "", io.BytesIO(content)) for name, content in files]
    seal(recipients, sink, sealed="browser", kind=kind, message=message, files=sources, reply_to=reply_to)
    return sink.getvalue()


def seal_plaintext(recipients: Sequence[PublicKey], plaintext: bytes) -> bytes:
    """An envelope of this plaintext, however wrong that is."""
    file_key = os.urandom(32)
    return seal_chunks(file_key, seal_header(file_key, recipients), plaintext)


def seal_twins(recipients: Sequence[PublicKey], *messages: str) -> list[bytes]:
    """Envelopes with one header and different contents, as whoever can open one can make them."""
    file_key = os.urandom(32)
    header = seal_header(file_key, recipients)
    indexes = [encode_index(Index("browser", "", message, ())) for message in messages]
    return [
        seal_chunks(file_key, header, index + bytes(PIECE - len(index) - 8) + len(index).to_bytes(8, "big"))
        for index in indexes
    ]


def seal_chunks(file_key: bytes, header: Header, plaintext: bytes) -> bytes:
    """An envelope with this header."""
    cipher = derive_body_key(file_key, header)
    starts = range(0, len(plaintext), PIECE)
    chunks = []
    for number, start in enumerate(starts):
        nonce, aad = os.urandom(12), chunk_aad(number, number == len(starts) - 1)
        chunks.append(nonce + cipher.encrypt(nonce, plaintext[start : start + PIECE], aad))
    return bytes(header) + b"".join(chunks)


def flip(envelope: bytes, offset: int) -> bytes:
    """The envelope with one bit changed."""
    changed = bytearray(envelope)
    changed[offset] ^= 1
    return bytes(changed)


def write_bundle(folder: Path, envelopes: Sequence[bytes]) -> list[Path]:
    """Write a bundle of these envelopes; their paths, in their order."""
    folder.mkdir(parents=True)
    paths, entries = [], []
    for envelope in envelopes:
        path = folder / f"{secrets.token_hex(16)}.envelope"
        path.write_bytes(envelope)
        paths.append(path)
        entries.append(BundleEntry(path.name, len(envelope), hashlib.sha256(envelope).hexdigest(), WEEK))
    (folder / "bundle.json").write_bytes(encode_bundle(Bundle(tuple(entries))))
    return paths


def measure_memory(command: str, *arguments: object) -> int:
    """Run `review` or `seal`; the most memory in bytes that it held at once."""
    # Not getrusage: there the memory of the process that started it counts too.
    source = (
        f"from leakdrop.{command}.cli import main\n"
        "code = main()\n"
        "print(code, re.search('VmHWM:(.*) kB', Path('/proc/self/status').read_text())[1])"
    )
    result = run(sys.executable, "-c", f"import re; from pathlib import Path; {source}", *arguments)
    code, kibibytes = result.stdout.split()[-2:]
    assert code == "0"
    return int(kibibytes) * 1024


def list_tree(folder: Path) -> list[str]:
    """Everything below a folder, as sorted relative paths."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))
