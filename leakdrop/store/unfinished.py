"""What a server remembers of the uploads that are not whole. It is gone with the process, times above all."""

import time
from collections.abc import Collection, Mapping


class Unfinished:
    """How many bytes of each upload are there, and since when nobody has asked for it.

    `received` counts what was written, `durable` what is known to outlive a crash.
    """

    def __init__(self, received: Mapping[str, int]) -> None:
        self.received = dict(received)
        self.durable: dict[str, int] = {}
        self._left_alone = dict.fromkeys(received, time.monotonic())

    def __len__(self) -> int:
        return len(self.received)

    def begin(self, upload_id: str) -> None:
        self._left_alone[upload_id] = time.monotonic()
        self.received[upload_id] = 0

    def touch(self, upload_id: str) -> None:
        """Somebody asks for an upload; one that is not known stays unknown."""
        if upload_id in self._left_alone:
            self._left_alone[upload_id] = time.monotonic()

    def forget(self, upload_id: str) -> None:
        """An upload is whole, or thrown away."""
        for known in (self.received, self.durable, self._left_alone):
            known.pop(upload_id, None)

    def total(self) -> int:
        """How many bytes all of them have received."""
        return sum(list(self.received.values()))

    def is_furthest(self, offset: int) -> bool:
        """Whether none is further along than this."""
        return offset >= max(list(self.received.values()), default=0)

    def idle(self, held: Collection[str], seconds: float) -> dict[str, int]:
        """Those that were left alone for so long and are in nobody's hands, and what they have received."""
        before = time.monotonic() - seconds
        return {
            upload_id: received
            for upload_id, received in list(self.received.items())
            if upload_id not in held and self._left_alone.get(upload_id, before) <= before
        }
