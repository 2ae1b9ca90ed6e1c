"""Limits without addresses: how often a circuit may ask, and how much comes in at once. Why: docs/adr/0018.

A circuit of Tor is known by a name that `privacy` makes of its number with a key in memory; where there is no
such number, only the limits for all together hold. A submission holds a thread for as long as it takes, and
over Tor that is long. So there are more threads than submissions let in, and pages are served while all
places are taken.
"""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager

from flask import Flask, request
from flask_limiter import ApplicationLimit, Limiter, RateLimitExceeded
from limits import parse_many
from limits.errors import ConfigurationError

from leakdrop.config import Config
from leakdrop.errors import ConfigError
from leakdrop.intake.bodies import Stream
from leakdrop.intake.privacy import CIRCUIT
from leakdrop.intake.refusals import Refusal, Refused

SUBMISSIONS = frozenset({"site.submit", "site.create_upload"})
QUESTIONS = frozenset({"site.ask_for_replies", "site.delete_reply"})
NEVER_USED = "1 per second"  # Flask-Limiter takes no empty limit, even one that nobody is held to
# An answer has 1 MiB or more, and goes out slowly: a visitor needs one, or two after a break.
ANSWERS_PER_CIRCUIT = 2
# Bytes a second that a submission must bring when places are scarce. The slowest that was measured over Tor
# brings eight times as much; an upload goes on where it was, with another circuit.
LEAST_SPEED = 1024
COUNTED = 16 * 1024
ROOM_SECONDS = 5.0  # until a request that was hung up on has left its place
# The limits' names in the configuration.
LIMITS = (
    "requests_per_circuit",
    "requests_in_all",
    "submissions_per_circuit",
    "submissions_in_all",
    "replies_per_circuit",
    "replies_in_all",
)


class Place:
    """A place that a request holds. How fast its body comes is measured over windows of `slow_seconds`."""

    def __init__(self, circuit: str, hang_up: Callable[[], object], slow_seconds: float) -> None:
        self.circuit = circuit
        self.hang_up = hang_up
        self.is_ending = False
        self._slow_seconds = slow_seconds
        self._since = time.monotonic()
        self._received = 0
        self._before: float | None = None  # bytes a second in the last whole window

    def count(self, size: int) -> None:
        """So many bytes have come."""
        self._received += size
        now = time.monotonic()
        if now - self._since > self._slow_seconds:
            self._before = self._received / (now - self._since)
            self._since, self._received = now, 0

    def speed(self) -> float | None:
        """Bytes a second; None if it is too early to say."""
        elapsed = time.monotonic() - self._since
        return self._received / elapsed if elapsed > self._slow_seconds else self._before


class CountedStream:
    """A body whose bytes are counted for a place, soon after they come even if they come slowly."""

    def __init__(self, stream: Stream, place: Place) -> None:
        self._stream = stream
        self._place = place
        self._is_fast = False

    def read(self, size: int, /) -> bytes:
        # A read waits until all is there that it asks for.
        started = time.monotonic()
        piece = self._stream.read(size if self._is_fast else min(size, COUNTED))
        self._is_fast = time.monotonic() - started < 1
        self._place.count(len(piece))
        return piece


class Slots:
    """A number of places for submissions, or for answers, of which one circuit can have a few.

    When none is free, a request that brings less than `LEAST_SPEED` makes room for a new one: of those, one
    of the circuit that holds most places, and the slowest.
    """

    def __init__(
        self, count: int, per_circuit: int, refusal: Refusal = Refusal.BUSY, slow_seconds: float = 60
    ) -> None:
        self._refusal = refusal
        self._free = count
        self._per_circuit = per_circuit
        self._slow_seconds = slow_seconds
        self._taken: Counter[str] = Counter()
        self._places: set[Place] = set()
        self._lock = threading.Condition()

    @contextmanager
    def take(self, circuit: str, hang_up: Callable[[], object] | None = None) -> Iterator[Place]:
        """Hold a place for a circuit, or for "", which stands for nobody in particular.

        `hang_up` ends the request if it is too slow when room is needed; without it, it is not ended. Raises
        Refused: TOO_OFTEN if the circuit has its share already, `refusal` if no place is free or made free.
        """
        with self._lock:
            if circuit and self._taken[circuit] >= self._per_circuit:
                raise Refused(Refusal.TOO_OFTEN)
            if not self._free and self._end_the_slowest():
                self._lock.wait_for(lambda: self._free, ROOM_SECONDS)
            if not self._free:
                raise Refused(self._refusal)
            self._free -= 1
            if circuit:
                self._taken[circuit] += 1
            place = Place(circuit, hang_up or _nothing, self._slow_seconds)
            if hang_up:
                self._places.add(place)
        try:
            yield place
        finally:
            with self._lock:
                self._lock.notify()
                self._places.discard(place)
                self._free += 1
                if circuit:
                    self._taken[circuit] -= 1
                    # A circuit that has gone leaves nothing behind.
                    if not self._taken[circuit]:
                        del self._taken[circuit]

    def _end_the_slowest(self) -> bool:
        """Hang up on a request that is too slow; False if there is none."""
        slow = [
            (-self._taken[place.circuit], speed, id(place), place)
            for place in self._places
            if not place.is_ending and (speed := place.speed()) is not None and speed < LEAST_SPEED
        ]
        if not slow:
            return False
        place = min(slow)[-1]
        place.is_ending = True
        place.hang_up()
        return True


def _nothing() -> None:
    return


def check_limits(config: Config) -> None:
    """Raises ConfigError if a limit is not written as one, or there is no such storage."""
    for name in LIMITS:
        try:
            if value := getattr(config, name):
                parse_many(value)
        except ValueError:
            raise ConfigError(f"the value of “{name}” must be like “60 per hour”, or empty.") from None
    try:
        limit(Flask("leakdrop"), config)
    except (ConfigurationError, ModuleNotFoundError):
        raise ConfigError("the value of “limits_storage” must be like “memory://” or “redis://…”.") from None


def limit(app: Flask, config: Config) -> None:
    """Count the requests of an application; one too many raises RateLimitExceeded before any view.

    A circuit's limits come first, in a pass of their own: what they refuse counts against nobody else.
    While a storage elsewhere cannot be reached, the same limits are counted in memory.
    """
    _limit_in_one_pass(
        app,
        config,
        [
            _limit_circuit(config.requests_per_circuit, "requests"),
            _limit_circuit(config.submissions_per_circuit, "submissions", SUBMISSIONS),
            _limit_circuit(config.replies_per_circuit, "replies", QUESTIONS),
        ],
    )
    _limit_in_one_pass(
        app,
        config,
        [
            _limit_all(config.requests_in_all, "requests"),
            _limit_all(config.submissions_in_all, "submissions", SUBMISSIONS),
            _limit_all(config.replies_in_all, "replies", QUESTIONS, Refusal.ASKED_OFTEN),
        ],
    )


def _limit_in_one_pass(
    app: Flask, config: Config, limits: list[str | Callable[[], str] | ApplicationLimit]
) -> None:
    """Flask-Limiter counts the limits of one pass in the order of their windows, and stops at a breach."""
    limiter = Limiter(
        circuit_of,
        app=app,
        application_limits=limits,
        storage_uri=config.limits_storage,
        strategy="fixed-window",
        in_memory_fallback_enabled=not config.limits_storage.startswith("memory:"),
        headers_enabled=False,
    )
    limiter.logger.setLevel(logging.WARNING)  # below that it names keys


def _limit_circuit(value: str, what: str, endpoints: Collection[str] = ()) -> ApplicationLimit:
    """So often for each circuit that is known; "" is no limit, and no endpoints are all of them."""
    return ApplicationLimit(
        value or NEVER_USED,
        key_function=circuit_of,
        scope=what,
        exempt_when=lambda: not value or not circuit_of() or not _is_one_of(endpoints),
        error_message=Refusal.TOO_OFTEN.name,
    )


def _limit_all(
    value: str, what: str, endpoints: Collection[str] = (), refusal: Refusal = Refusal.BUSY
) -> ApplicationLimit:
    """So often for everybody together; "" is no limit, and no endpoints are all of them."""
    return ApplicationLimit(
        value or NEVER_USED,
        key_function=everybody,
        scope=what,
        exempt_when=lambda: not value or not _is_one_of(endpoints),
        error_message=refusal.name,
    )


def _is_one_of(endpoints: Collection[str]) -> bool:
    return not endpoints or request.endpoint in endpoints


def circuit_of() -> str:
    """The name of the circuit that a request came by; "" if none is known."""
    circuit: str | None = request.environ[CIRCUIT]
    return circuit or ""


def everybody() -> str:
    return "everybody"


def refusal_of(error: RateLimitExceeded) -> Refusal:
    """What is told: a circuit that asked too often, or a site that has too much to do."""
    return Refusal[str(error.description)]
