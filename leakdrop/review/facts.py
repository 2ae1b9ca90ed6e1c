"""What was opened, for manifests and reports. `claims` is what whoever sealed the envelope says."""

import hashlib
from collections.abc import Callable, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

from leakdrop.envelope.opening import Envelope
from leakdrop.review.inbox import EnvelopeFile, Item, read_all
from leakdrop.review.keys import KeySet
from leakdrop.review.summing import Summing


def sum_files(
    envelope: Envelope, source: EnvelopeFile, progress: Callable[[int], object] = lambda size: None
) -> list[str]:
    """Check every byte of an envelope, and return the SHA-256 sums of its files in hex.

    Raises EnvelopeError (chunk-damaged, bad-padding) and BundleError.
    """
    sums = []
    with Summing() as summing:
        for _, pieces in groupby(read_all(envelope, source, progress), key=itemgetter(0)):
            summing.restart()
            for _, piece in pieces:
                summing.update(piece)
                summing.wait()
            sums.append(summing.finish())
    return sums


def describe_opened(
    item: Item, envelope: Envelope, source: EnvelopeFile, keys: KeySet, sums: Sequence[str]
) -> dict[str, Any]:
    """An envelope that was read whole, with the SHA-256 sums of its files."""
    index, (size, sha256) = envelope.index, source.finish_sum()
    key_ids = envelope.header.key_ids
    message = index.message.encode()
    return {
        "envelope": {
            "name": item.name,
            "copies": item.copies,
            "week": item.week or None,
            "size": size,
            "sha256": sha256,
            "listed_sha256": item.entry.sha256 if item.entry else None,
        },
        "opened_with": envelope.key.public.key_id.hex(),
        "key_ids": [key_id.hex() for key_id in key_ids],
        "unknown_key_ids": [key_id.hex() for key_id in keys.find_unknown(key_ids)],
        "claims": {"sealed": index.sealed, "kind": index.kind},
        "reply_to": {
            "mailbox": index.reply_to.mailbox.hex(),
            "fingerprint": index.reply_to.key.fingerprint,
        }
        if index.reply_to
        else None,
        "message": {"size": len(message), "sha256": hashlib.sha256(message).hexdigest()},
        "files": [
            {"name": file.name, "type": file.type, "size": file.size, "sha256": sum_}
            for sum_, file in zip(sums, index.files, strict=True)
        ],
    }
