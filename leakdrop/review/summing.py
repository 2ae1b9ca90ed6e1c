"""SHA-256 in a thread of its own: the sums of an envelope and of its files take longer than opening it."""

import hashlib
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self


class Summing:
    """The SHA-256 of bytes that come in order; each buffer is summed while its owner goes on with it.

    with Summing() as summing:
        summing.update(buffer)      # which must stay as it is …
        summing.wait()              # … until this or the next update
    """

    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        self._thread = ThreadPoolExecutor(1)
        self._busy: Future[None] | None = None

    def update(self, buffer: bytes | memoryview) -> None:
        self.wait()
        self._busy = self._thread.submit(self._digest.update, buffer)

    def wait(self) -> None:
        busy, self._busy = self._busy, None
        if busy:
            busy.result()

    def finish(self) -> str:
        """The sum in hex."""
        self.wait()
        return self._digest.hexdigest()

    def restart(self) -> None:
        """Begin a new sum."""
        self.wait()
        self._digest = hashlib.sha256()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.shutdown()
