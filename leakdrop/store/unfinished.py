"""What a server remembers of the uploads that are not whole. It is gone with the process, times above all."""

import time
from collections import Counter
from collections.abc import Collection, Mapping

# How many may have barely begun. At it, one of them that is left alone makes room for a new one. Of others
# there are as many as their bytes allow.
MOST_UNFINISHED = 4096
BARELY_BYTES = 1024 * 1024
# Seconds until one without a byte is forgotten, and until one makes room when there are too many.
IDLE_SECONDS = 3600.0
SCARCE_SECONDS = 60.0
# An upload that has brought less is left alone, however often somebody asks for it.
PROGRESS_BYTES = 16 * 1024
GIVEN_DAYS = 2


class Days:
    """Which uploads have their last day put off: a few times for any byte, then for BARELY_BYTES each time.

    Who brings less in two days parks an upload, and does not send it.
    """

    def __init__(self) -> None:
        self._earned: dict[str, int] = {}  # bytes that an upload had when its day was put off
        self._given: Counter[str] = Counter()

    def put_off(self, upload_id: str, before: int, now: int) -> bool:
        """Whether an upload, which had `before` bytes when a request came, earns a later day with `now`."""
        if now - self._earned.setdefault(upload_id, before) < BARELY_BYTES:
            if self._given[upload_id] == GIVEN_DAYS or now == before:
                return False
            self._given[upload_id] += 1
        self._earned[upload_id] = now
        return True

    def keep(self, upload_ids: Collection[str]) -> None:
        """Forget what is no longer unfinished."""
        for known in (self._earned, self._given):
            for upload_id in known.keys() - upload_ids:
                known.pop(upload_id, None)  # another request may do the same


class Unfinished:
    """How many bytes of each upload are there, and since when it has brought next to none.

    `received` counts what was written, `durable` what is known to outlive a crash.
    """

    def __init__(self, received: Mapping[str, int]) -> None:
        self.received = dict(received)
        self.durable: dict[str, int] = {}
        now = time.monotonic()
        # What it had, and when.
        self._progress = {upload_id: (size, now) for upload_id, size in received.items()}

    def count_barely_begun(self) -> int:
        return sum(received < BARELY_BYTES for received in list(self.received.values()))

    def begin(self, upload_id: str) -> None:
        self._progress[upload_id] = (0, time.monotonic())
        self.received[upload_id] = 0

    def note_progress(self, upload_id: str) -> None:
        """Somebody had an upload in hand; one that is not known stays unknown."""
        received = self.received.get(upload_id, 0)
        if upload_id in self._progress and received - self._progress[upload_id][0] >= PROGRESS_BYTES:
            self._progress[upload_id] = (received, time.monotonic())

    def forget(self, upload_id: str) -> None:
        """An upload is whole, or thrown away."""
        for known in (self.received, self.durable, self._progress):
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
            if upload_id not in held and self._progress.get(upload_id, (0, before))[1] <= before
        }
