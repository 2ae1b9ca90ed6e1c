"""How many submissions come in and answers go out at once, and how often replies are asked for.

A submission holds a thread for as long as it takes, and over Tor that is long. So there are more threads than
submissions let in, and pages are served while all places are taken.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from leakdrop.intake.refusals import Refusal, Refused


class Slots:
    """A number of places for submissions, or for answers."""

    def __init__(self, count: int, refusal: Refusal = Refusal.BUSY) -> None:
        self._free = threading.BoundedSemaphore(count)
        self._refusal = refusal

    @contextmanager
    def take(self) -> Iterator[None]:
        """Hold a place. Raises Refused at once when none is free."""
        if not self._free.acquire(blocking=False):
            raise Refused(self._refusal)
        try:
            yield
        finally:
            self._free.release()


class Pace:
    """So many questions a minute, by all visitors together: what a limit for each circuit is added to."""

    def __init__(self, per_minute: int) -> None:
        self._per_minute = per_minute
        self._left = float(per_minute)
        self._counted_at = time.monotonic()
        self._lock = threading.Lock()

    def count(self) -> None:
        """Count a question. Raises Refused (ASKED_OFTEN)."""
        with self._lock:
            now = time.monotonic()
            regained = (now - self._counted_at) * self._per_minute / 60
            self._left, self._counted_at = min(self._left + regained, self._per_minute), now
            if self._left < 1:
                raise Refused(Refusal.ASKED_OFTEN)
            self._left -= 1
