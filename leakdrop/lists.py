"""Lists of envelopes: docs/bundle.md. What bundle.json and acknowledged.json have in common.

    {"format":F,"envelopes":[E,…]}, sorted by name

JSON in UTF-8, in which white space is free and nothing else: every field stands there once, and no other.
Which formats there are, and which fields an entry has, is left to `leakdrop.bundle` and
`leakdrop.acknowledgement`. (The index and the manifest are canonical, and need no such reader.)
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, TypeAlias

from leakdrop.errors import BundleError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

MAX_LIST = 64 * 1024 * 1024
# An entry takes 31 bytes and more for each of its values. Values that are shorter take up to thirty times
# their length in memory, before anybody could see that they are none of a list's.
BYTES_PER_VALUE = 24
SPARE_VALUES = 16

# How a field of an entry must look: a text of this pattern, or a whole number from 0 to this.
Form: TypeAlias = re.Pattern[str] | int


def encode_list(form: str, entries: "Iterable[DataclassInstance]") -> bytes:
    """The bytes of a list: one line for each envelope, so that two of them can be compared."""
    found = sorted((asdict(entry) for entry in entries), key=lambda fields: str(fields["name"]))
    lines = ",\n".join(json.dumps(fields, separators=(",", ":")) for fields in found)
    return f'{{"format":"{form}","envelopes":[\n{lines}\n]}}\n'.encode()


@dataclass(frozen=True)
class ListReader:
    """Reads the list in a file of this name, whose entries have these fields. Its errors name both."""

    name: str
    forms: Mapping[str, Form]

    def parse_json(self, encoded: bytes) -> dict[str, Any]:
        """The JSON object in these bytes; {} for any other value. Raises BundleError."""
        if len(encoded) > MAX_LIST:
            raise BundleError(f"This {self.name} is longer than {MAX_LIST >> 20} MiB.")
        if sum(encoded.count(mark) for mark in (b"{", b"[", b",")) > _allow_values(len(encoded)):
            raise self._damaged("it has more values than a list of its length")
        try:
            fields = json.loads(encoded.decode(), object_pairs_hook=_unique)
        except (ValueError, RecursionError):
            raise self._damaged("it is not JSON") from None
        return fields if isinstance(fields, dict) else {}

    def parse_entries(self, fields: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The entries of a list whose format is known. Raises BundleError."""
        if set(fields) != {"format", "envelopes"} or type(fields["envelopes"]) is not list:
            raise self._damaged("it has other fields than it should have")
        entries = [self._check(number, entry) for number, entry in enumerate(fields["envelopes"], 1)]
        for number, (entry, following) in enumerate(pairwise(entries), 2):
            if entry["name"] >= following["name"]:
                raise self._damaged(f"envelope {number} is not in order")
        return entries

    def _check(self, number: int, fields: object) -> dict[str, Any]:
        if not isinstance(fields, dict) or set(fields) != set(self.forms):
            raise self._damaged(f"envelope {number} has other fields than it should")
        for field, form in self.forms.items():
            if not _is(fields[field], form):
                raise self._damaged(f"the {field} of envelope {number} is not one")
        return fields

    def _damaged(self, what: str) -> BundleError:
        return BundleError(f"This {self.name} is damaged: {what}.")


def _is(value: object, form: Form) -> bool:
    if isinstance(form, int):
        return type(value) is int and 0 <= value <= form
    return type(value) is str and form.fullmatch(value) is not None


def _allow_values(size: int) -> int:
    """How many values a list of so many bytes may have."""
    return size // BYTES_PER_VALUE + SPARE_VALUES


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("a key stands twice")
    return fields
