"""Where a site keeps what it takes in: on this machine, or in what several machines share.

The rooms above know these shapes only; which of the two stands behind them is the configuration's choice.
"""

import datetime
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from io import BufferedReader, BytesIO, FileIO
from types import TracebackType
from typing import Any, Protocol, Self

from sqlalchemy import Engine

from leakdrop.config import Config
from leakdrop.errors import ConfigError
from leakdrop.store.drop import Drop, Recovery, Week
from leakdrop.store.drops import Drops
from leakdrop.store.mailboxes import Reply
from leakdrop.store.moving import Bring
from leakdrop.store.upload import Upload


class Incoming(Protocol):
    """An envelope that is being written."""

    @property
    def written(self) -> int: ...
    def write(self, data: bytes | memoryview, /) -> int: ...


class Writing(Protocol):
    """An upload that a request appends to; `offset` counts what was written."""

    offset: int
    upload: Upload

    def read_head(self, size: int, /) -> bytes: ...
    def write(self, piece: bytes, /) -> None: ...


class UploadPlace(Protocol):
    """What `leakdrop.store.uploads.Uploads` does. `finish` takes what `append` gave."""

    def create(self, length: int, today: datetime.date) -> Upload: ...
    def find(self, upload_id: str) -> Upload: ...
    def append(
        self,
        upload_id: str,
        offset: int,
        today: datetime.date,
        hang_up: Callable[[], object],
        *,
        length: int = 0,
    ) -> AbstractContextManager[Writing]: ...
    def finish(self, writing: Any) -> None: ...
    def end(self, upload_id: str) -> None: ...
    def recover(self, today: datetime.date) -> None: ...


# A reply's envelope, open to be read.
ReplyFile = FileIO | BytesIO


class ReplyPlace(Protocol):
    """What `leakdrop.store.replies.Replies` does."""

    def keep(self, mailbox: bytes, envelope: bytes) -> bool: ...
    def reading(
        self, mailbox: bytes, today: datetime.date
    ) -> AbstractContextManager[Sequence[tuple[Reply, ReplyFile]]]: ...
    def delete(self, mailbox: bytes, sha256: str) -> None: ...
    def all(self) -> list[Reply]: ...
    def expire(self, today: datetime.date) -> int: ...
    def recover(self, today: datetime.date) -> None: ...


class DropPlace(Protocol):
    """What `leakdrop.store.drops.Drops` does. `keep` takes what `receive` gave."""

    @property
    def engine(self) -> Engine: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...
    def close(self) -> None: ...
    def uploads(self, largest_unfinished: int) -> UploadPlace: ...
    def replies(self, weeks: int) -> ReplyPlace: ...
    def has_room(self, length: int) -> bool: ...
    def receive(self, announced: int) -> AbstractContextManager[Incoming]: ...
    def keep(self, incoming: Any) -> Drop: ...
    def all(self) -> list[Drop]: ...
    def weeks(self) -> list[Week]: ...
    def open(self, drop: Drop) -> BufferedReader: ...
    def moving(self) -> AbstractContextManager[Bring]: ...
    def remove(self, drops: list[Drop], /) -> None: ...
    def recover(self) -> Recovery: ...
    def forget_order(self) -> None: ...


def open_drops(config: Config) -> DropPlace:
    """A site's drops. Raises StoreError, or ConfigError if packages are missing."""
    if not config.object_store_url:
        return Drops(config.data_dir, config.disk_reserve_bytes, config.database_url)
    try:
        # Here, since only several machines need these packages.
        from leakdrop.store.shared.drops import SharedDrops
        from leakdrop.store.shared.objects import Bucket
    except ModuleNotFoundError:
        raise ConfigError("An object store needs more packages: install leakdrop[server,scale].") from None
    bucket = Bucket(
        config.object_store_url,
        config.object_store_bucket,
        config.object_store_region,
        config.object_store_key,
        config.object_store_secret,
    )
    return SharedDrops(config.database_url, bucket)
