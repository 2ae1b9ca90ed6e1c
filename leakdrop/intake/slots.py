"""Places for what comes in, or goes out, at once; and who makes room when all are taken. Why: docs/adr/0030.

A submission holds a thread for as long as it takes, and over Tor that is long. So there are more threads than
submissions let in, and pages are served while all places are taken. An upload loses nothing when it is hung
up on, and goes on by itself; replies can be asked for again; a form loses everything. So circuits take turns
with uploads and with replies; forms, which have a part of the places only, are left alone unless they hardly
come.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from leakdrop.intake.bodies import Stream
from leakdrop.intake.refusals import Refusal, Refused

# An answer has 1 MiB or more, and goes out slowly: a visitor needs one, or two after a break.
ANSWERS_PER_CIRCUIT = 2
FORMS_PER_CIRCUIT = 2  # a visitor sends one, or one from each of two tabs
# Bytes a second that a submission must bring when places are scarce. The slowest that was measured over Tor
# brings eight times as much.
LEAST_SPEED = 1024
COUNTED = 16 * 1024
ROOM_SECONDS = 5.0  # until a request that was hung up on has left its place


@dataclass(eq=False)
class Turn:
    """What a circuit has of the places: since when it had one, how many it has, when it gave back the last.

    A pause of less than `slow_seconds` does not end it. Times are of the clock that `Slots` has.
    """

    began: float
    held: int = 0
    ended: float = 0.0


class Place:
    """A place that a request holds. How fast its body comes is measured over windows of `slow_seconds`.

    `resumes`: little is lost if it is hung up on, since it goes on where it was, or is asked for again.
    """

    def __init__(
        self,
        turn: Turn,
        hang_up: Callable[[], object],
        slow_seconds: float,
        clock: Callable[[], float],
        *,
        resumes: bool,
    ) -> None:
        self.turn = turn
        self.hang_up = hang_up
        self.resumes = resumes
        self.is_ending = False
        self._slow_seconds = slow_seconds
        self._clock = clock
        self._since = clock()
        self._received = 0
        self._before: float | None = None  # bytes a second in the last whole window

    def count(self, size: int) -> None:
        """So many bytes have come."""
        self._received += size
        now = self._clock()
        if now - self._since > self._slow_seconds:
            self._before = self._received / (now - self._since)
            self._since, self._received = now, 0

    def speed(self) -> float:
        """Bytes a second; infinite while it is too early to say."""
        elapsed = self._clock() - self._since
        if elapsed > self._slow_seconds:
            return self._received / elapsed
        return float("inf") if self._before is None else self._before


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


def count_pieces(pieces: Iterable[bytes], place: Place) -> Iterator[bytes]:
    """What goes out, in small pieces, which are counted for a place when the kernel has taken them."""
    for piece in pieces:
        for start in range(0, len(piece), COUNTED):
            yield piece[start : start + COUNTED]
            place.count(min(COUNTED, len(piece) - start))


class Slots:
    """A number of places, of which one circuit can have a few, and what cannot resume `most_whole` at most.

    When none is free, one request makes room for a new one. First an upload that brings less than
    `LEAST_SPEED`; then, for a circuit that has no place, an upload of one that has several, or that began its
    turn earlier, `slow_seconds` ago at least; last a form that brings less than `LEAST_SPEED`. Of those,
    one of the circuit that has most places, and the slowest, or the one whose turn is longest. `clock` tells
    seconds.
    """

    def __init__(
        self,
        count: int,
        per_circuit: int,
        refusal: Refusal = Refusal.BUSY,
        slow_seconds: float = 60,
        most_whole: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._refusal = refusal
        self._free = count
        self._free_whole = count if most_whole is None else most_whole
        self._promised = 0  # to requests that hung up on others
        self._per_circuit = per_circuit
        self._slow_seconds = slow_seconds
        self._clock = clock
        self._turns: dict[str, Turn] = {}
        self._resting: dict[str, Turn] = {}  # in the order in which they gave back their last place
        self._places: set[Place] = set()
        self._lock = threading.Condition()

    @contextmanager
    def take(
        self, circuit: str, hang_up: Callable[[], object] | None = None, *, resumes: bool = False
    ) -> Iterator[Place]:
        """Hold a place for a circuit, or for "", which stands for nobody in particular.

        `hang_up` ends the request when it is to make room; without it, it is not ended. Raises
        Refused: TOO_OFTEN if the circuit has its share already, `refusal` if no place is free or made free.
        """
        with self._lock:
            self._check_share(circuit, resumes)
            if self._room(resumes) <= self._promised:
                self._make_room(self._turn_of(circuit), resumes)
                self._check_share(circuit, resumes)  # others of this circuit may have come meanwhile
            turn = self._turn_of(circuit)
            place = Place(turn, hang_up or _nothing, self._slow_seconds, self._clock, resumes=resumes)
            self._enter(circuit, place)
            if hang_up:
                self._places.add(place)
        try:
            yield place
        finally:
            with self._lock:
                self._leave(circuit, place)
                self._lock.notify_all()

    def _check_share(self, circuit: str, resumes: bool) -> None:
        most = self._per_circuit if resumes else min(self._per_circuit, FORMS_PER_CIRCUIT)
        if self._turn_of(circuit).held >= most:
            raise Refused(Refusal.TOO_OFTEN)

    def _room(self, resumes: bool) -> int:
        """How many more places can be taken."""
        return self._free if resumes else min(self._free, self._free_whole)

    def _make_room(self, newcomer: Turn, resumes: bool) -> None:
        """Hang up on another request, and wait until it has left; the place is promised to nobody else."""
        chosen = self._choose(newcomer, resumes)
        if not chosen:
            raise Refused(self._refusal)
        chosen.is_ending = True
        chosen.hang_up()
        self._promised += 1
        is_free = self._lock.wait_for(lambda: self._room(resumes), ROOM_SECONDS)
        self._promised -= 1
        if not is_free:
            raise Refused(self._refusal)

    def _turn_of(self, circuit: str) -> Turn:
        """A circuit's turn, or a new one; nothing stays of a circuit that rested for `slow_seconds`."""
        self._forget_rested()
        return self._turns.get(circuit) or self._resting.get(circuit) or Turn(self._clock())

    def _forget_rested(self) -> None:
        latest = self._clock() - self._slow_seconds
        while self._resting and next(iter(self._resting.values())).ended <= latest:
            del self._resting[next(iter(self._resting))]

    def _enter(self, circuit: str, place: Place) -> None:
        self._free -= 1
        self._free_whole -= not place.resumes
        place.turn.held += 1
        if circuit:
            self._resting.pop(circuit, None)
            self._turns[circuit] = place.turn

    def _leave(self, circuit: str, place: Place) -> None:
        self._places.discard(place)
        self._free += 1
        self._free_whole += not place.resumes
        place.turn.held -= 1
        if circuit and not place.turn.held:
            place.turn.ended = self._clock()
            self._resting[circuit] = self._turns.pop(circuit)
            self._forget_rested()

    def _choose(self, newcomer: Turn, resumes: bool) -> Place | None:
        """Whose place is needed most by others; None if everybody may stay."""
        others = [place for place in self._places if not place.is_ending]
        slow = [place for place in others if place.speed() < LEAST_SPEED]
        slow_form = _first([place for place in slow if not place.resumes], Place.speed)
        if not resumes and not self._free_whole:  # an upload's place would not help
            return slow_form
        return (
            _first([place for place in slow if place.resumes], Place.speed)
            or _first(self._worn(others, newcomer), _began)
            or slow_form
        )

    def _worn(self, others: list[Place], newcomer: Turn) -> list[Place]:
        """The uploads of circuits that have had more than a newcomer's."""
        if newcomer.held:
            return []
        latest = min(newcomer.began, self._clock() - self._slow_seconds)
        return [
            place for place in others if place.resumes and (place.turn.held > 1 or place.turn.began < latest)
        ]


def _first(places: list[Place], order: Callable[[Place], float]) -> Place | None:
    """One of the circuit that has most places, and of those the first in order."""
    return min(places, key=lambda place: (-place.turn.held, order(place)), default=None)


def _began(place: Place) -> float:
    return place.turn.began


def _nothing() -> None:
    return
