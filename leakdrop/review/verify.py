"""The verb `verify`: whether a report is what a reviewer signed. It needs their .pub file and no secret."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from leakdrop.bundle import compute_sha256, open_regular
from leakdrop.envelope.keyfile import PublicKeyFile
from leakdrop.errors import BundleError, KeyFileError, ReportError, UsageError
from leakdrop.review.custody import CustodyLog, check_log
from leakdrop.review.keys import load_public_keys
from leakdrop.review.reportpage import FORMAT
from leakdrop.review.signing import Signed, parse_report
from leakdrop.terminal import Progress, encode_json, group_fingerprint, say, warn

MAX_REPORT = 256 * 1024 * 1024  # bytes

_GENERATOR = re.compile(rb'<meta name="generator" content="(leakdrop report [0-9]{1,9})">')
_SHA256_CELL = re.compile(rb'<code id="envelope-sha256"><bdi>([0-9a-f]{64})</bdi></code>')


@dataclass(frozen=True)
class Verified:
    """A report whose signature is right: the key that signed it, and the envelope's SHA-256 in hex."""

    signer: PublicKeyFile
    envelope: str


def verify(
    paths: Sequence[Path], public: Sequence[Path], *, envelope: Path | None = None, as_json: bool = False
) -> int:
    """Tell who signed each report, if it is unchanged; 1 if one is not, else 0.

    Raises ReportError (the only one is not as it was signed, or not on this envelope), UsageError,
    KeyFileError and OSError.
    """
    if envelope and len(paths) > 1:
        raise UsageError("--envelope goes with one report.")
    records, code = [], 0
    for path in paths:
        try:
            verified = _verify_file(path, public, envelope)
        except ReportError as error:
            if len(paths) == 1:
                raise
            warn(str(error))
            code = 1
            continue
        records.append(_describe(path, verified, envelope))
        if not as_json:
            _say_verified(path, verified, envelope)
    if as_json:
        say(encode_json(records))
    return code


def _verify_file(path: Path, public: Sequence[Path], envelope: Path | None) -> Verified:
    """Check a report's file, and the custody log beside it. Raises ReportError, which names the path."""
    text = _read(path)
    try:
        verified = verify_report(text, public)
        if envelope:
            _compare(verified, envelope)
    except ReportError as error:
        raise ReportError(f"{path}: {error}") from None
    _check_log_beside(path, text)
    return verified


def _say_verified(path: Path, verified: Verified, envelope: Path | None) -> None:
    signer = verified.signer
    say(f"{path} is unchanged since the key “{signer.name}” signed it.")
    say(f"  fingerprint  {group_fingerprint(signer.key.fingerprint)}")
    say(f"  sign key     {group_fingerprint((signer.sign or b'').hex())}")
    say(f"  SHA-256 of the envelope: {verified.envelope}")
    if envelope:
        say(f"{envelope} is that envelope.")
    say("Compare fingerprint and sign key with the reviewer, by voice; what is not proved, the report says.")


def _read(path: Path) -> bytes:
    try:
        with open_regular(path, follow=True) as file:
            text = file.read(MAX_REPORT + 1)
    except BundleError as error:
        raise ReportError(str(error)) from None
    if len(text) > MAX_REPORT:
        raise ReportError(f"{path}: This is not a report: it is longer than {MAX_REPORT >> 20} MiB.")
    return text


def verify_report(text: bytes, public: Sequence[Path]) -> Verified:
    """Check a report with the keys in .pub files. Raises ReportError, KeyFileError and OSError."""
    signed = parse_report(text)
    signer = _find_signer(signed, [file for path in public for file in load_public_keys(path)])
    if signer.sign is None:
        raise KeyFileError(
            f"The .pub file of “{signer.name}” has no line “sign”, with which reports are verified: "
            "ask the reviewer for one that has."
        )
    signed.verify(signer.sign)
    form, envelope = _find_in_page(signed.body) if signed.is_html else _find_in_record(text)
    if form != FORMAT:
        raise ReportError("This report was made by a newer leakdrop: update leakdrop to verify it.")
    if envelope is None:
        raise ReportError()
    return Verified(signer, envelope)


def _find_signer(signed: Signed, files: Sequence[PublicKeyFile]) -> PublicKeyFile:
    for file in files:
        if file.key.key_id == signed.key_id:
            return file
    raise ReportError(
        f"This report names a signer whose .pub file was not given: key id {signed.key_id.hex()}."
    )


def _find_in_page(body: bytes) -> tuple[str | None, str | None]:
    """What a page is, and the envelope's SHA-256. Nothing escaped can look like either."""
    form, envelope = _GENERATOR.search(body), _SHA256_CELL.search(body)
    return form and form[1].decode(), envelope and envelope[1].decode()


def _find_in_record(text: bytes) -> tuple[str | None, str | None]:
    """What a JSON report is, and the envelope's SHA-256. Raises ReportError."""
    try:
        report: dict[str, Any] = json.loads(text)["report"]
        return str(report["format"]), str(report["envelope"]["sha256"])
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ReportError() from None


def _compare(verified: Verified, envelope: Path) -> None:
    try:
        with Progress(envelope.stat().st_size, "Reading") as progress:
            found = compute_sha256(envelope, progress)
    except BundleError as error:
        raise ReportError(str(error)) from None
    if found != verified.envelope:
        raise ReportError(f"It is not on {envelope}, whose SHA-256 is {found}.")


def _check_log_beside(path: Path, text: bytes) -> None:
    """Raises ReportError if the custody log beside a report is broken, or is not the one in the report."""
    log = CustodyLog(path.parent)
    written = log.read()
    if not written:
        return
    if wrong := check_log(written):
        raise ReportError(
            f"{log.path}: line {wrong[0]} does not fit those before it: it was changed or cut off."
        )
    if not parse_report(text).is_html:
        lines = json.loads(text)["report"]["custody"]["lines"]
        if written.decode("utf-8", "replace").splitlines()[: len(lines)] != lines:
            raise ReportError(f"{log.path} is not the log that this report was made with.")


def _describe(path: Path, verified: Verified, envelope: Path | None) -> dict[str, Any]:
    signer = verified.signer
    return {
        "path": str(path),
        "signer": signer.name,
        "fingerprint": signer.key.fingerprint,
        "sign": (signer.sign or b"").hex(),
        "envelope_sha256": verified.envelope,
        "envelope_compared": str(envelope) if envelope else None,
    }
