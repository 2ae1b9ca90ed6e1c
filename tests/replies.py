"""A source's side of replies, without a browser, and the way round by the stick."""

import hashlib
import io
import re
from pathlib import Path

from leakdrop.envelope.index import encode_base64url
from leakdrop.envelope.keys import PublicKey
from leakdrop.envelope.opening import open_envelope
from leakdrop.envelope.receipt import Receipt, decode_answer, derive_receipt
from leakdrop.envelope.sealing import SourceFile, seal
from leakdrop.intake.words import decode_words
from leakdrop.store.drops import Drops
from leakdrop.store.replies import Replies
from tests.keys import write_key_files
from tests.site import BIN, Site, encode_form, leakdrop, run

URLENCODED = {"Content-Type": "application/x-www-form-urlencoded"}


def label_receipt(label: str) -> Receipt:
    """The receipt of a source who exists in tests only."""
    return derive_receipt(hashlib.sha256(f"leakdrop test receipt: {label}".encode()).digest()[:16])


def read_words(page: str) -> list[str]:
    """The words that a page shows after a submission."""
    return re.findall("<li>([a-z]+)</li>", page)


def receipt_of(page: str) -> Receipt:
    return derive_receipt(decode_words(" ".join(read_words(page))))


def seal_reply(
    public: PublicKey, message: str = "Thank you.", files: tuple[tuple[str, bytes], ...] = ()
) -> bytes:
    """A reply, as a reviewer seals it."""
    sink = io.BytesIO()
    sources = [SourceFile(name, "", io.BytesIO(content)) for name, content in files]
    seal([public], sink, sealed="review", message=message, files=sources)
    return sink.getvalue()


def store_reply(site: Site, mailbox: bytes, envelope: bytes) -> str:
    """Put a reply where `leakdrop import` puts it, and return its sum."""
    with Drops(site.data) as drops:
        Replies(drops, 8).keep(mailbox, envelope)
    return hashlib.sha256(envelope).hexdigest()


def post(site: Site, path: str, **fields: str) -> tuple[int, bytes, dict[str, str]]:
    """Status, body and headers of the answer to a form."""
    body, content_type = encode_form(list(fields.items()))
    return site.request("POST", path, body, {"Content-Type": content_type})


def ask(site: Site, token: bytes) -> list[bytes]:
    """The envelopes that a token gets."""
    status, body, headers = post(site, "/replies", token=encode_base64url(token))
    assert (status, headers["Content-Type"]) == (200, "application/octet-stream")
    return decode_answer(body)


def read_replies(site: Site, receipt: Receipt) -> list[str]:
    """The texts of the replies that a source gets, each opened and checked whole."""
    texts = []
    for reply in ask(site, receipt.token):
        envelope = open_envelope(io.BytesIO(reply), [receipt.key_pair])
        envelope.check()
        assert (envelope.index.sealed, envelope.index.reply_to) == ("review", None)
        texts.append(envelope.index.message)
    return sorted(texts)


def delete(site: Site, token: bytes, digest: str) -> int:
    return post(site, "/replies/delete", token=encode_base64url(token), reply=digest)[0]


class Stick:
    """What goes from the operator to the reviewers and back."""

    def __init__(self, site: Site, folder: Path) -> None:
        self.site, self.bundle = site, folder / "stick"
        self.key = write_key_files(folder / "reviewers", "alice")

    @property
    def replies(self) -> list[Path]:
        return sorted((self.bundle / "replies").glob("*.envelope"))

    def export(self) -> None:
        done = leakdrop("export", self.bundle, "--config", self.site.config)
        assert done.returncode == 0, done.stderr

    def review(self, verb: str, *words: object):
        key = ("--key", self.key, "--passphrase-file", self.key.with_name("passphrase"))
        return run(BIN / "leakdrop-review", verb, self.bundle, *key, *words)

    def bring(self):
        """What `leakdrop import` says."""
        return leakdrop("import", self.bundle, "--config", self.site.config)
