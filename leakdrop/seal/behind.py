"""Writing while the next bytes are being sealed: file to file, that is a third of the time."""

from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self

from leakdrop.envelope.sealing import Sink


class WriteBehind:
    """A sink for a `Sealer`, which writes each buffer in a thread of its own until the next one comes.

        with WriteBehind(file) as sink:
            sealer = Sealer(recipients, sink, batch=LARGE_BATCH)

    What the file raises is raised by the next write, or at the end.
    """

    def __init__(self, file: Sink) -> None:
        self._file = file
        self._thread = ThreadPoolExecutor(1)
        self._writing: Future[None] | None = None

    def write(self, data: bytes | memoryview) -> int:
        """Begin to write; `data` must stay as it is until the next call."""
        self._wait()
        self._writing = self._thread.submit(self._write, memoryview(data))
        return len(data)

    def _write(self, data: memoryview) -> None:
        while data:
            data = data[int(self._file.write(data)) :]

    def _wait(self) -> None:
        writing, self._writing = self._writing, None
        if writing:
            writing.result()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._wait()
        finally:
            self._thread.shutdown()
