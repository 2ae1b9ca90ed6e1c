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
from leakdrop.review.custody import CustodyLog, check_log, sum_lines
from leakdrop.review.keys import load_public_keys
from leakdrop.review.reportpage import FORMAT
from leakdrop.review.signing import Signed, parse_report
from leakdrop.terminal import Progress, count, encode_json, group_fingerprint, say, warn

MAX_REPORT = 256 * 1024 * 1024  # bytes

# Of the first version, whose reports carried the whole log.
FORMATS = ("leakdrop report 1", FORMAT)

_GENERATOR = re.compile(rb'<meta name="generator" content="(leakdrop report [0-9]{1,9})">')
_SHA256_CELL = re.compile(rb'<code id="envelope-sha256"><bdi>([0-9a-f]{64})</bdi></code>')
_CUSTODY_CELL = re.compile(rb'<code id="custody-sha256"><bdi>([0-9a-f]{64})</bdi></code>')


@dataclass(frozen=True)
class Verified:
    """A report whose signature is right: the key that signed it, the envelope's SHA-256 in hex, and that of
    the custody log when it was made, which old pages do not name.
    """

    signer: PublicKeyFile
    envelope: str
    custody: str | None


@dataclass(frozen=True)
class Compared:
    """What the custody log beside a report is to it.

    `begins` is the number of its first lines whose sum the report names; `fault` says what is wrong with it.
    """

    path: Path
    begins: int | None
    fault: str = ""


def verify(
    paths: Sequence[Path], public: Sequence[Path], *, envelope: Path | None = None, as_json: bool = False
) -> int:
    """Tell who signed each report, if it is unchanged, and then what the custody log beside it is worth.

    Returns 1 if a report is not as it was signed, or a log is broken or another one, else 0. Raises
    ReportError (the only one is not as it was signed, or not on this envelope), UsageError, KeyFileError and
    OSError.
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
        if not as_json:
            _say_verified(path, verified, envelope)
        compared = _compare_log(path, verified)
        records.append(_describe(path, verified, envelope, compared))
        if not as_json:
            _say_compared(compared)
        if compared and compared.fault:
            warn(compared.fault)
            code = 1
    if as_json:
        say(encode_json(records))
    return code


def _verify_file(path: Path, public: Sequence[Path], envelope: Path | None) -> Verified:
    """Check a report's file. Raises ReportError, which names the path."""
    text = _read(path)
    try:
        verified = verify_report(text, public)
        if envelope:
            _compare(verified, envelope)
    except ReportError as error:
        raise ReportError(f"{path}: {error}") from None
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


def _say_compared(compared: Compared | None) -> None:
    if compared is None:
        say("Its custody log was not compared: no log lies beside it, or the page is an old one.")
    elif compared.begins is not None:
        unbroken = "" if compared.fault else ", and no line is broken"
        lines = count(compared.begins, "line")
        say(f"{compared.path} begins with the {lines} that the report was made with, unchanged{unbroken}.")


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
    form, envelope, custody = _find_in_page(signed.body) if signed.is_html else _find_in_record(text)
    if form not in FORMATS:
        raise ReportError("This report was made by a newer leakdrop: update leakdrop to verify it.")
    if envelope is None:
        raise ReportError()
    return Verified(signer, envelope, custody)


def _find_signer(signed: Signed, files: Sequence[PublicKeyFile]) -> PublicKeyFile:
    for file in files:
        if file.key.key_id == signed.key_id:
            return file
    raise ReportError(
        f"This report names a signer whose .pub file was not given: key id {signed.key_id.hex()}."
    )


def _find_in_page(body: bytes) -> tuple[str | None, ...]:
    """What a page is, the envelope's SHA-256 and the log's. Nothing escaped can look like one of them."""
    found = [pattern.search(body) for pattern in (_GENERATOR, _SHA256_CELL, _CUSTODY_CELL)]
    return tuple(match and match[1].decode() for match in found)


def _find_in_record(text: bytes) -> tuple[str | None, ...]:
    """What a JSON report is, the envelope's SHA-256 and the log's. Raises ReportError."""
    try:
        report: dict[str, Any] = json.loads(text)["report"]
        custody = report.get("custody", {}).get("sha256")
        return str(report["format"]), str(report["envelope"]["sha256"]), custody and str(custody)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ReportError() from None


def _compare(verified: Verified, envelope: Path) -> None:
    try:
        with Progress(envelope.stat().st_size, "Reading") as progress:
            found = compute_sha256(envelope, progress)
    except BundleError as error:
        raise ReportError(str(error)) from None
    if found != verified.envelope:
        raise ReportError(f"It is not on {envelope}, whose SHA-256 is {found}.")


def _compare_log(path: Path, verified: Verified) -> Compared | None:
    """The custody log beside a report, if there is one that can be compared, or is broken. Raises OSError."""
    log = CustodyLog(path.parent)
    try:
        written = log.read()
    except ReportError as error:
        return Compared(log.path, None, str(error))
    if not written:
        return None
    sums, wrong = sum_lines(written), check_log(written)
    # A sum binds all before it byte for byte: what broke later, or was broken then, takes nothing of that.
    begins = sums.index(verified.custody) + 1 if verified.custody in sums else None
    if wrong:
        fault = f"{log.path}: line {wrong[0]} does not fit those before it: it was changed or cut off."
    elif verified.custody and begins is None:
        fault = f"{log.path} is not the log that this report was made with."
    elif begins is None:
        return None
    else:
        fault = ""
    return Compared(log.path, begins, fault)


def _describe(
    path: Path, verified: Verified, envelope: Path | None, compared: Compared | None
) -> dict[str, Any]:
    signer = verified.signer
    return {
        "path": str(path),
        "signer": signer.name,
        "fingerprint": signer.key.fingerprint,
        "sign": (signer.sign or b"").hex(),
        "envelope_sha256": verified.envelope,
        "envelope_compared": str(envelope) if envelope else None,
        "log_compared": str(compared.path) if compared else None,
        "log_lines": compared.begins if compared else None,
        "log_fault": compared.fault or None if compared else None,
    }
