"""Which submissions come from one receipt: docs/envelope.md, "The receipt".

Mailbox and key must both be the same, byte for byte. A mailbox alone proves nothing: a server knows the
mailboxes of the replies that it holds, and could put one into an envelope with a key of its own.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from leakdrop.envelope.index import Index
from leakdrop.review.inbox import Inbox, Sight, look_at
from leakdrop.review.keys import KeySet

Receipt = tuple[bytes, bytes]  # a mailbox (32 bytes) and a key (1,216 bytes)


class Carrier(Protocol):
    """Something short that stands for an envelope. An index is none: a thousand of 16 MiB do not fit."""

    @property
    def receipt(self) -> Receipt | None: ...


SomeCarrier = TypeVar("SomeCarrier", bound=Carrier)


@dataclass(frozen=True)
class Named:
    """An envelope by its names, the receipt that it carries, and the SHA-256 of its header in hex."""

    name: str
    short_name: str
    copies: tuple[str, ...]
    receipt: Receipt | None
    header_sha256: str


def get_receipt(index: Index | None) -> Receipt | None:
    """Where a submission asks for replies, if it does."""
    reply_to = index.reply_to if index else None
    return (reply_to.mailbox, reply_to.key.encoded) if reply_to else None


def make_named(sight: Sight) -> Named:
    item = sight.item
    return Named(item.name, item.short_name, item.copies, get_receipt(sight.index), sight.header_sha256)


def look_for_receipts(inbox: Inbox, keys: KeySet) -> list[Named]:
    """What the envelopes of an inbox carry; those that do not open carry nothing."""
    return [make_named(look_at(item, keys.pairs)) for item in inbox.items]


def group_by_receipt(carriers: Iterable[SomeCarrier]) -> list[list[SomeCarrier]]:
    """The envelopes that carry the same receipt, where two or more do."""
    groups: dict[Receipt, list[SomeCarrier]] = defaultdict(list)
    for carrier in carriers:
        if carrier.receipt:
            groups[carrier.receipt].append(carrier)
    return [group for group in groups.values() if len(group) > 1]


def find_forged(carriers: Iterable[SomeCarrier]) -> list[list[SomeCarrier]]:
    """The envelopes that have a mailbox in common and not the key: at least one of each group is forged."""
    mailboxes: dict[bytes, list[SomeCarrier]] = defaultdict(list)
    for carrier in carriers:
        if carrier.receipt:
            mailboxes[carrier.receipt[0]].append(carrier)
    return [group for group in mailboxes.values() if len({carrier.receipt for carrier in group}) > 1]
