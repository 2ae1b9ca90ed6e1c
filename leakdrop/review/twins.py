"""Envelopes that share a header and are not equal: docs/envelope.md, “What an envelope does not prove”.

Whoever can open an envelope can make another with the same header and other contents, and a damaged copy
has its header, too. Equal ones were folded before; which of the others came from a source is told by the
SHA-256 of the whole in a second bundle, and by nothing here.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import Protocol, TypeVar

WHY = "One of them does not come from its source: it is damaged, or somebody who can open the other made it."


class Headed(Protocol):
    """What stands for an envelope. `header_sha256` is the header's sum in hex; "" if it has none."""

    @property
    def header_sha256(self) -> str: ...


SomeHeaded = TypeVar("SomeHeaded", bound=Headed)


def group_twins(envelopes: Iterable[SomeHeaded]) -> list[list[SomeHeaded]]:
    """Those that share a header, where two or more do."""
    groups: dict[str, list[SomeHeaded]] = defaultdict(list)
    for envelope in envelopes:
        if envelope.header_sha256:
            groups[envelope.header_sha256].append(envelope)
    return [group for group in groups.values() if len(group) > 1]
