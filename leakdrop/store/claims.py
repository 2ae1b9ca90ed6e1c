"""Who has an upload in its hands. A newer request takes it over from an older one.

The older one may hang in a dead circuit. From the moment in which a newer one takes the upload, it cannot
write; what it had written is kept, and the newer one finds it. This is among the requests of one process.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from leakdrop.errors import LeakdropError


class TakenOverError(LeakdropError):
    """A newer request has taken this upload over."""


def _nothing() -> None:
    pass


@dataclass(eq=False)
class Hold:
    """A request's hold on an upload; `is_over` when the request has put away what it had.

    The lock is one for all requests that have to do with the upload. It is held while bytes are written, and
    never while they come.
    """

    hang_up: Callable[[], object] = _nothing
    lock: threading.Lock = field(default_factory=threading.Lock)
    is_lost: bool = False
    is_over: threading.Event = field(default_factory=threading.Event)

    def check(self) -> None:
        """Raises TakenOverError if a newer request has taken the upload over."""
        if self.is_lost:
            raise TakenOverError

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Nobody takes the upload over meanwhile. Raises TakenOverError if somebody has."""
        with self.lock:
            self.check()
            yield


@dataclass(eq=False)
class _Claim:
    """An upload that requests have to do with: who holds it, and how many are not over yet.

    It lives as long as any of them: two claims to one upload would be two locks.
    """

    lock: threading.Lock = field(default_factory=threading.Lock)
    holder: Hold | None = None
    requests: int = 0


class Claims:
    """The uploads that requests have in their hands.

    An older request gets `goodbye_seconds`, after it was told to stop, to put away what it had received.
    """

    def __init__(self, goodbye_seconds: float = 0) -> None:
        self._goodbye_seconds = goodbye_seconds
        self._claims: dict[str, _Claim] = {}
        self._lock = threading.Lock()

    def held(self) -> set[str]:
        """The ids of the uploads that are in anybody's hands."""
        with self._lock:
            return set(self._claims)

    @contextmanager
    def take(self, upload_id: str, hang_up: Callable[[], object] = _nothing) -> Iterator[Hold]:
        """Hold an upload, and stop whoever held it before.

        `hang_up` ends this request when a newer one comes.
        """
        with self._lock:
            claim = self._claims.setdefault(upload_id, _Claim())
            claim.requests += 1
            hold = Hold(hang_up, claim.lock)
            older, claim.holder = claim.holder, hold
            # Not later: the next one would stop us, and leave the older one writing.
            if older:
                older.is_lost = True
        try:
            if older:
                older.hang_up()
                older.is_over.wait(self._goodbye_seconds)
            yield hold
        finally:
            hold.is_over.set()
            with self._lock:
                claim.requests -= 1
                if claim.holder is hold:
                    claim.holder = None
                if not claim.requests:
                    del self._claims[upload_id]
