"""Which bytes of a file are asked for: RFC 9110, section 14. One range at a time is answered.

A request for several ranges, or in another unit, is answered as if it asked for none, as the RFC allows.
"""

import re

from leakdrop.errors import LeakdropError

# 19 digits hold any size that an envelope can have, and are parsed at once.
_RANGE = re.compile(r"bytes=[ \t]*(?:([0-9]{1,19})-([0-9]{1,19})?|-([0-9]{1,19}))[ \t]*", re.IGNORECASE)


class NoSuchRangeError(LeakdropError):
    """The file has no such bytes."""


def choose_range(asked: str | None, if_range: str | None, size: int) -> range | None:
    """The numbers of the bytes that a Range field asks for, of a file of `size` bytes; None for all of them.

    No answer here has a validator, so an If-Range field never matches, and all bytes are the right answer.
    Raises NoSuchRangeError.
    """
    found = _RANGE.fullmatch(asked) if asked is not None and if_range is None else None
    if not found:
        return None
    first, last, suffix = found.groups()
    if suffix is not None:
        chosen = range(max(size - int(suffix), 0), size)
    elif last is not None and int(last) < int(first):
        return None
    else:
        chosen = range(int(first), min(int(last) + 1, size) if last else size)
    if not chosen:
        raise NoSuchRangeError
    return chosen
