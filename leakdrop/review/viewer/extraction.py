"""An envelope that is extracted while its reviewer goes on reading."""

import os
import threading
from collections.abc import Callable
from pathlib import Path

from leakdrop.errors import BundleError, EnvelopeError, LeakdropError
from leakdrop.review.custody import Act, CustodyLog
from leakdrop.review.extracting import Extracted, NotTakenError, describe_act, extract_item, get_stem
from leakdrop.review.inbox import Item, explain
from leakdrop.review.keys import KeySet
from leakdrop.seal.files import PRIVATE_FOLDER, check_room
from leakdrop.terminal import describe_failure


class StoppedError(LeakdropError):
    """It was stopped, and nothing of it is left."""


class Extraction:
    """One envelope on its way into a folder: whole and checked, or not at all. It begins at once.

    `done` and `total` count bytes. When it has ended, `extracted` is there, or `failure` says why not, and
    `untold` why the custody log does not tell of it, if it should.
    """

    def __init__(
        self, item: Item, keys: KeySet, destination: Path, length: int, log: CustodyLog | None
    ) -> None:
        self.done, self.total = 0, length
        self.extracted: Extracted | None = None
        self.failure = self.untold = ""
        self._is_stopped = False
        self._job = (item, keys, destination)
        self._log = log
        self._thread = threading.Thread(target=self._run, name="extraction")
        self._thread.start()

    @property
    def is_under_way(self) -> bool:
        return self._thread.is_alive()

    @property
    def is_in_vain(self) -> bool:
        return not self.is_under_way and self.extracted is None

    def stop(self) -> None:
        """Stop it, and wait until what was half-written is gone."""
        self._is_stopped = True
        self._thread.join()

    def _run(self) -> None:
        item, keys, _ = self._job
        try:
            extracted = self.extracted = self._extract(*self._job)
        except (EnvelopeError, BundleError, NotTakenError) as error:
            self.failure = str(error)
            remark = f"Not extracted: {explain(item, error)}"
            self._tell(lambda: Act("extract", item.name, remark=remark))
        except (LeakdropError, OSError) as error:
            self.failure = describe_failure(error)
        else:
            self._tell(lambda: describe_act(extracted, keys))
        finally:
            # Of any other error the one place for those tells; here it only has to end.
            if not self.extracted and not self.failure:
                self.failure = "This is a mistake of leakdrop's, not yours."

    def _extract(self, item: Item, keys: KeySet, destination: Path) -> Extracted:
        folder = destination / get_stem(item)
        if os.path.lexists(folder):
            raise LeakdropError(f"{folder} exists already, and nothing is overwritten.")
        check_room(destination, self.total, "Extracting this submission")
        destination.mkdir(PRIVATE_FOLDER, parents=True, exist_ok=True)
        return extract_item(item, keys, destination, self._count)

    def _tell(self, make_act: Callable[[], Act]) -> None:
        """Write it into the custody log; what was done, or was not, stays so if that is in vain."""
        try:
            if self._log:
                self._log.append(make_act())
        except (LeakdropError, OSError) as error:
            self.untold = f"The custody log does not tell of it. {describe_failure(error)}"

    def _count(self, size: int) -> None:
        if self._is_stopped:
            raise StoppedError
        self.done += size
