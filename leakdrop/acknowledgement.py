"""The reviewers' acknowledgement: docs/bundle.md. A file that goes back to the server on the stick.

    acknowledged.json    {"format":"leakdrop acknowledgement 1","envelopes":[E,…]}, sorted by name

    E = {"name":"<32 hex digits>.envelope","sha256":"<64 hex digits>"}

It lists what the reviewers hold whole. The server lets a drop leave only if its own bytes have the sum that
stands here. It is not signed: whoever has the stick could write one, so drops stay for some weeks after it.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from leakdrop.bundle import ACKNOWLEDGEMENT_NAME, NAME, SHA256, open_regular, reading
from leakdrop.errors import BundleError
from leakdrop.lists import MAX_LIST, ListReader, encode_list

FORMAT = "leakdrop acknowledgement 1"
_READER = ListReader(ACKNOWLEDGEMENT_NAME, {"name": NAME, "sha256": SHA256})


@dataclass(frozen=True)
class Acknowledged:
    """One envelope that the reviewers hold: its file's name in the bundle, and its SHA-256 in hex."""

    name: str
    sha256: str


def encode_acknowledgement(envelopes: tuple[Acknowledged, ...]) -> bytes:
    """The bytes of acknowledged.json."""
    return encode_list(FORMAT, envelopes)


def parse_acknowledgement(encoded: bytes) -> tuple[Acknowledged, ...]:
    """What these bytes acknowledge. Raises BundleError."""
    fields = _READER.parse_json(encoded)
    if fields.get("format") != FORMAT:
        raise BundleError(f"This {ACKNOWLEDGEMENT_NAME} is not an acknowledgement that leakdrop knows.")
    return tuple(Acknowledged(**entry) for entry in _READER.parse_entries(fields))


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
