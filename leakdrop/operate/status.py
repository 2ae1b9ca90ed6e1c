"""`leakdrop status`: what is there. Weeks, never days."""

import datetime
from dataclasses import dataclass

from leakdrop.config import Config
from leakdrop.keyring import load_keyring
from leakdrop.store.drop import Week
from leakdrop.store.layout import free_bytes
from leakdrop.store.places import DropPlace, ReplyPlace


@dataclass(frozen=True)
class KeyStatus:
    """A key of the organisation, and the last day on which it is sealed to."""

    name: str
    fingerprint: str
    not_after: str | None
    usable: bool


@dataclass(frozen=True)
class Status:
    """What `leakdrop status` tells. Sizes in bytes."""

    organisation: str
    keys: tuple[KeyStatus, ...]
    weeks: tuple[Week, ...]
    drops: int
    bytes: int
    free_bytes: int
    replies: int
    reply_bytes: int


def read_status(config: Config, drops: DropPlace, replies: ReplyPlace, today: datetime.date) -> Status:
    """The state of a site. Raises KeyFileError, as `serve` would, but not because all keys have expired.

    Of replies only their number and their size together: not which mailboxes have some, nor since when.
    """
    keyring = load_keyring(config.keys_dir, today, demo=config.demo, seals=False)
    waiting = replies.all()
    weeks = tuple(drops.weeks())
    return Status(
        config.organisation,
        tuple(
            KeyStatus(
                key.name,
                key.key.fingerprint,
                key.not_after.isoformat() if key.not_after else None,
                key.is_usable(today),
            )
            for key in keyring.files
        ),
        weeks,
        sum(week.drops for week in weeks),
        sum(week.bytes for week in weeks),
        free_bytes(config.data_dir),
        len(waiting),
        sum(reply.size for reply in waiting),
    )
