"""Reports that are signed: docs/reports.md. Text whose last line is an Ed25519 signature of all before it.

    signed    = "leakdrop/1 report" ‖ 0x00 ‖ every byte before the last line
    last line = <!-- leakdrop signature K.S -->         of an HTML report
                "signature":"K.S"}                      of a JSON report
    K         = key id of the reviewer's key, 32 hex digits; S = base64url of the signature (64 bytes)

Nothing follows but one LF. The sign key is derived of the root (docs/envelope.md, "Keys"); its public half
stands in the .pub file, in the field “sign”.
"""

import re
from dataclasses import dataclass

from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey

from leakdrop.envelope.index import decode_base64url, encode_base64url
from leakdrop.errors import ReportError

CONTEXT = b"leakdrop/1 report\0"
SIGNATURE = 64

_HTML_LINE = re.compile(rb"<!-- leakdrop signature ([0-9a-f]{32})\.([A-Za-z0-9_-]{86}) -->\n")
_JSON_LINE = re.compile(rb'"signature":"([0-9a-f]{32})\.([A-Za-z0-9_-]{86})"\}\n')


@dataclass(frozen=True)
class Signed:
    """A report and its signature (64 bytes), not verified yet; `key_id` (16 bytes) is its claimed signer."""

    body: bytes
    key_id: bytes
    signature: bytes
    is_html: bool

    def verify(self, sign: bytes) -> None:
        """Raises ReportError unless it was signed with this key (32 bytes)."""
        try:
            VerifyKey(sign).verify(CONTEXT + self.body, self.signature)
        except BadSignatureError:
            raise ReportError(
                "This report was changed after it was signed, or another key signed it."
            ) from None


def sign_report(body: bytes, key_id: bytes, key: SigningKey, *, is_html: bool) -> bytes:
    """A report with its signature behind it. The body ends with a line end."""
    signature = key.sign(CONTEXT + body).signature
    mark = f"{key_id.hex()}.{encode_base64url(signature)}"
    line = f"<!-- leakdrop signature {mark} -->\n" if is_html else f'"signature":"{mark}"}}\n'
    return body + line.encode()


def parse_report(text: bytes) -> Signed:
    """Take a report apart. Raises ReportError."""
    start = text.rfind(b"\n", 0, -1) + 1
    for form, is_html in ((_HTML_LINE, True), (_JSON_LINE, False)):
        if match := form.fullmatch(text, start):
            try:
                signature = decode_base64url(match[2].decode(), SIGNATURE)
            except ValueError:
                break
            return Signed(text[:start], bytes.fromhex(match[1].decode()), signature, is_html)
    raise ReportError("This is not a signed report, or it is cut off: its last line is no signature.")
