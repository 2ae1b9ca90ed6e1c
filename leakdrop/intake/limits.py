"""How many submissions come in at once.

A submission holds a thread for as long as it takes, and over Tor that is long. So there are more threads than
submissions let in, and pages are served while all places are taken.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from leakdrop.intake.refusals import Refusal, Refused


class Slots:
    """A number of places for submissions."""

    def __init__(self, count: int) -> None:
        self._free = threading.BoundedSemaphore(count)

    @contextmanager
    def take(self) -> Iterator[None]:
        """Hold a place. Raises Refused (BUSY) at once when none is free."""
        if not self._free.acquire(blocking=False):
            raise Refused(Refusal.BUSY)
        try:
            yield
        finally:
            self._free.release()
