"""The reviewers' acknowledgement: docs/bundle.md. A file that goes back to the server on the stick.

    acknowledged.json    {"format":"leakdrop acknowledgement 1","envelopes":[E,…]}, sorted by name

    E = {"name":"<32 hex digits>.envelope","sha256":"<64 hex digits>"}

It lists what the reviewers hold whole. The server lets a drop leave only if its own bytes have the sum that
stands here. It is not signed: whoever has the stick could write one, so drops stay for some weeks after it.
"""

import json
import os
import re
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from leakdrop.bundle import ACKNOWLEDGEMENT_NAME, MAX_LIST, open_regular, reading
from leakdrop.errors import BundleError

FORMAT = "leakdrop acknowledgement 1"
_FORMS = {"name": re.compile(r"[0-9a-f]{32}\.envelope"), "sha256": re.compile("[0-9a-f]{64}")}


@dataclass(frozen=True)
class Acknowledged:
    """One envelope that the reviewers hold: its file's name in the bundle, and its SHA-256 in hex."""

    name: str
    sha256: str


def encode_acknowledgement(envelopes: tuple[Acknowledged, ...]) -> bytes:
    """The bytes of acknowledged.json: one line for each envelope."""
    entries = sorted(envelopes, key=lambda entry: entry.name)
    lines = ",\n".join(json.dumps(asdict(entry), separators=(",", ":")) for entry in entries)
    return f'{{"format":"{FORMAT}","envelopes":[\n{lines}\n]}}\n'.encode()


def parse_acknowledgement(encoded: bytes) -> tuple[Acknowledged, ...]:
    """What these bytes acknowledge; white space is free, and nothing else. Raises BundleError."""
    if len(encoded) > MAX_LIST:
        raise BundleError(f"This {ACKNOWLEDGEMENT_NAME} is longer than {MAX_LIST >> 20} MiB.")
    try:
        fields = json.loads(encoded.decode(), object_pairs_hook=_unique)
    except (ValueError, RecursionError):
        raise BundleError(f"This {ACKNOWLEDGEMENT_NAME} is damaged: it is not JSON.") from None
    if not isinstance(fields, dict) or fields.get("format") != FORMAT:
        raise BundleError(f"This {ACKNOWLEDGEMENT_NAME} is not an acknowledgement that leakdrop knows.")
    if set(fields) != {"format", "envelopes"} or type(fields["envelopes"]) is not list:
        raise BundleError(f"This {ACKNOWLEDGEMENT_NAME} is damaged: it has other fields than it should have.")
    envelopes = tuple(_parse_entry(number, entry) for number, entry in enumerate(fields["envelopes"], 1))
    for number, (entry, following) in enumerate(pairwise(envelopes), 1):
        if entry.name >= following.name:
            raise BundleError(
                f"This {ACKNOWLEDGEMENT_NAME} is damaged: envelope {number + 1} is not in order."
            )
    return envelopes


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("a key stands twice")
    return fields


def _parse_entry(number: int, fields: object) -> Acknowledged:
    if not isinstance(fields, dict) or set(fields) != set(_FORMS):
        raise BundleError(
            f"This {ACKNOWLEDGEMENT_NAME} is damaged: envelope {number} has other fields than it should."
        )
    for field, form in _FORMS.items():
        if type(fields[field]) is not str or not form.fullmatch(fields[field]):
            raise BundleError(
                f"This {ACKNOWLEDGEMENT_NAME} is damaged: the {field} of envelope {number} is not one."
            )
    return Acknowledged(fields["name"], fields["sha256"])


def load_acknowledgement(path: Path) -> tuple[Acknowledged, ...]:
    """What a file acknowledges, or the acknowledged.json in a bundle's folder. Raises BundleError."""
    path = path / ACKNOWLEDGEMENT_NAME if path.is_dir() else path
    try:
        with open_regular(path) as file, reading(path):
            encoded = file.read(MAX_LIST + 1)
        return parse_acknowledgement(encoded)
    except FileNotFoundError:
        raise BundleError(f"There is no acknowledgement {path}: is the stick in?") from None
    except BundleError as error:
        raise BundleError(f"{path}: {error}") from None


def write_acknowledgement(folder: Path, envelopes: tuple[Acknowledged, ...]) -> Path:
    """Write acknowledged.json into a folder, whole or not at all, and return its path. Raises OSError."""
    path = folder / ACKNOWLEDGEMENT_NAME
    partial = folder / f".{ACKNOWLEDGEMENT_NAME}.partial"
    partial.unlink(missing_ok=True)
    try:
        with partial.open("xb") as file:
            file.write(encode_acknowledgement(envelopes))
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return path
