"""Which submissions come from one receipt: docs/envelope.md, "The receipt".

Mailbox and key must both be the same, byte for byte. A mailbox alone proves nothing: a server knows the
mailboxes of the replies that it holds, and could put one into an envelope with a key of its own.
"""

from collections import defaultdict
from collections.abc import Iterable

from leakdrop.review.inbox import Inbox, Sight, look_at
from leakdrop.review.keys import KeySet


def look_at_all(inbox: Inbox, keys: KeySet) -> list[Sight]:
    return [look_at(item, keys.pairs) for item in inbox.items]


def number_receipts(sights: Iterable[Sight]) -> dict[str, int]:
    """The number, from 1, of each receipt that several envelopes have in common; by the envelopes' names."""
    groups: dict[tuple[bytes, bytes], list[str]] = defaultdict(list)
    for sight in sights:
        if sight.index and sight.index.reply_to:
            address = sight.index.reply_to
            groups[address.mailbox, address.key.encoded].append(sight.item.name)
    shared = [names for names in groups.values() if len(names) > 1]
    return {name: number for number, names in enumerate(shared, 1) for name in names}


def find_forged(sights: Iterable[Sight]) -> list[list[Sight]]:
    """The envelopes that have a mailbox in common and not the key: at least one of each group is forged."""
    mailboxes: dict[bytes, list[Sight]] = defaultdict(list)
    for sight in sights:
        if sight.index and sight.index.reply_to:
            mailboxes[sight.index.reply_to.mailbox].append(sight)
    return [
        group
        for group in mailboxes.values()
        if len({sight.index.reply_to.key for sight in group if sight.index and sight.index.reply_to}) > 1
    ]
