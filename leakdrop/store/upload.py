"""What an upload is, wherever its bytes lie: in a data folder, or where several machines share them."""

import datetime
from dataclasses import dataclass

from leakdrop.errors import LeakdropError

# Kept as days, since a time of day would tell when somebody was here: so up to a day longer.
UNFINISHED = datetime.timedelta(days=3)  # from midnight: 48 to 72 hours
FINISHED = datetime.timedelta(days=2)  # 24 to 48 hours


class UnknownUploadError(LeakdropError):
    """There is no such upload: it has expired, or was ended."""


class OffsetError(LeakdropError):
    """These bytes do not follow those that are there: ask for the offset."""


class FinishedError(LeakdropError):
    """This upload has arrived already, and what arrived is kept."""


@dataclass(frozen=True)
class Upload:
    """An upload: id (32 hex digits), its envelope's length, how many bytes are durable, its last day."""

    id: str
    length: int
    offset: int
    expires: datetime.date

    @property
    def is_finished(self) -> bool:
        return self.offset == self.length
