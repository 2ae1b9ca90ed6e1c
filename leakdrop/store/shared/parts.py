"""The names of objects, and the list of parts that a drop is made of.

    parts/<drop's name>/<32 hex>    some bytes of an envelope, at most 8 MiB
    drops/<drop's name>.json        a drop: the parts that it is made of, in order

    {"format":"leakdrop drop 1","size":n,"week":"2026-W47","parts":["<32 hex>",…]}

The bytes in a part are not looked at here.
"""

import json
import re
from dataclasses import dataclass

from leakdrop.errors import StoreError
from leakdrop.store.drop import NAME_BYTES

FORMAT = "leakdrop drop 1"
PARTS = "parts/"
LISTS = "drops/"
_LIST = re.compile(f"{LISTS}([0-9a-f]{{{2 * NAME_BYTES}}})[.]json")
_NAME = re.compile(f"[0-9a-f]{{{2 * NAME_BYTES}}}")


def name_folder(drop: str) -> str:
    """What the keys of a drop's parts begin with."""
    return f"{PARTS}{drop}/"


def name_part(drop: str, part: str) -> str:
    return f"{name_folder(drop)}{part}"


def name_list(drop: str) -> str:
    return f"{LISTS}{drop}.json"


def parse_list_name(key: str) -> str | None:
    """The name of the drop whose list has this key, if it is that of one."""
    match = _LIST.fullmatch(key)
    return match[1] if match else None


@dataclass(frozen=True)
class PartList:
    """What a drop is made of: its size in bytes, its week, the names of its parts in order."""

    size: int
    week: str
    parts: tuple[str, ...]


def encode_list(made_of: PartList) -> bytes:
    return json.dumps(
        {"format": FORMAT, "size": made_of.size, "week": made_of.week, "parts": made_of.parts},
        separators=(",", ":"),
    ).encode()


def parse_list(encoded: bytes) -> PartList:
    """Raises StoreError."""
    try:
        found = json.loads(encoded)
        made_of = PartList(found["size"], found["week"], tuple(found["parts"]))
        right = found["format"] == FORMAT and type(made_of.size) is int and type(made_of.week) is str
        if right and all(_NAME.fullmatch(part) for part in made_of.parts):
            return made_of
    except (ValueError, RecursionError, TypeError, KeyError):
        pass
    raise StoreError("A list in the object store is damaged: the drop that it names cannot be read.")
