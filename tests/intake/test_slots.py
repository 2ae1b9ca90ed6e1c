"""Places: nobody can keep others out, and who has to make room for them loses nothing."""

import contextlib
import http.client
import threading
import time

import pytest

from leakdrop.intake.refusals import Refusal, Refused
from leakdrop.intake.slots import Slots
from tests.circuits import ONION, Circuit, submit
from tests.site import BROKEN, PATIENCE, encode_form, wait_until
from tests.tus import MIB, TusClient, make_envelope

MUCH = 2**40  # bytes of somebody who is not slow


def begin_form(circuit: Circuit) -> http.client.HTTPConnection:
    """A connection that sends the first bytes of a form, and waits."""
    body, content_type = encode_form([("files", "a", bytes(1_000_000))])
    connection = circuit.connect()
    connection.putrequest("POST", "/submit")
    connection.putheader("Content-Type", content_type)
    connection.putheader("Content-Length", str(len(body)))
    connection.endheaders()
    connection.send(body[:1000])
    return connection


def test_one_circuit_cannot_take_all_places_for_forms(behind_tor):
    site, circuit = behind_tor(threads=12, submissions_at_once=6)
    hanging = [begin_form(circuit(1)) for _ in range(2)]
    wait_until(lambda: len(list((site.data / "incoming").iterdir())) == 2)
    assert submit(circuit(1))[0] == 429
    assert submit(circuit(2))[0] == 200
    for connection in hanging:
        connection.close()
    wait_until(lambda: submit(circuit(1))[0] == 200)


def test_one_circuit_cannot_take_all_places(behind_tor):
    _, circuit = behind_tor(at_once_per_circuit=3, threads=12, submissions_at_once=6)
    client = TusClient(circuit(1).open, ONION)
    envelope = make_envelope()

    def send_another() -> int:
        return client.patch(client.create(len(envelope)), 0, envelope).status

    paths = [client.create(len(envelope)) for _ in range(3)]
    hanging = [client.begin_patch(path, 0, len(envelope), envelope[:1000]) for path in paths]
    wait_until(lambda: send_another() == 429)
    assert submit(circuit(2))[0] == 200
    for connection in hanging:
        connection.close()
    wait_until(lambda: send_another() == 204)


def test_places_are_given_back_and_nothing_of_a_circuit_stays():
    slots = Slots(2, 1, slow_seconds=0)
    with slots.take("a"):
        with pytest.raises(Refused, match=Refusal.TOO_OFTEN.text[:20]), slots.take("a"):
            pass
        with slots.take("b"), pytest.raises(Refused, match=Refusal.BUSY.text[:20]), slots.take("c"):
            pass
    assert (slots._free, slots._turns, slots._resting) == (2, {}, {})


def test_who_only_trickles_makes_room_when_all_places_are_taken(behind_tor):
    site, circuit = behind_tor(threads=12, submissions_at_once=8, slow_seconds=1)
    hanging = [begin_form(circuit(number)) for number in (1, 1, 2, 2)]
    wait_until(lambda: len(list((site.data / "incoming").iterdir())) == 4)
    wait_until(lambda: submit(circuit(3))[0] == 200)
    assert len(list((site.data / "incoming").iterdir())) == 3
    for connection in hanging:
        connection.close()


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Holding:
    """A request in a thread of its own, which leaves its place when it is hung up on."""

    def __init__(self, slots: Slots, circuit: str, received: int = 0, *, resumes: bool = False) -> None:
        self.is_ended, self._is_held = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._hold, args=(slots, circuit, received, resumes))
        self._thread.start()
        assert self._is_held.wait(PATIENCE), "it was refused"

    def _hold(self, slots: Slots, circuit: str, received: int, resumes: bool) -> None:
        with slots.take(circuit, self.is_ended.set, resumes=resumes) as place:
            place.count(received)
            self._is_held.set()
            self.is_ended.wait(PATIENCE)

    def end(self) -> None:
        self.is_ended.set()
        self._thread.join()


def refuses(slots: Slots, circuit: str, *, resumes: bool = True) -> bool:
    with contextlib.suppress(Refused), slots.take(circuit, resumes=resumes):
        return False
    return True


def are_ended(*holding: Holding) -> list[bool]:
    return [one.is_ended.is_set() for one in holding]


def end(*holding: Holding) -> None:
    for one in holding:
        one.end()


def test_the_slowest_of_the_circuit_that_holds_most_is_ended_and_no_fast_one():
    clock = Clock()
    slots = Slots(4, 4, slow_seconds=60, clock=clock)
    fast, other = Holding(slots, "a", MUCH), Holding(slots, "b", 5)
    slow, slower = Holding(slots, "c", 20), Holding(slots, "c", 10)
    clock.now += 61  # so that it is known how fast they are
    with slots.take("d"):
        assert are_ended(fast, other, slow, slower) == [False, False, False, True]
        with slots.take("d"), slots.take("e"):
            assert are_ended(fast, other, slow) == [False, True, True]
            assert refuses(slots, "e", resumes=False)
    end(fast, other, slow, slower)


def test_nobody_is_ended_before_it_is_known_how_fast_they_are():
    slots = Slots(1, 1)
    young = Holding(slots, "a", 0)
    with pytest.raises(Refused, match=Refusal.BUSY.text[:20]), slots.take("b"):
        pass
    assert not young.is_ended.is_set()
    young.end()


def test_an_upload_makes_room_after_its_turn_however_fast_it_is_and_the_longest_turn_ends_first():
    clock = Clock()
    slots = Slots(2, 2, slow_seconds=60, clock=clock)
    first = Holding(slots, "a", MUCH, resumes=True)
    clock.now += 30
    second = Holding(slots, "b", MUCH, resumes=True)
    clock.now += 61
    assert not refuses(slots, "c")
    assert are_ended(first, second) == [True, False]
    end(first, second)


def test_a_turn_that_is_not_over_is_left_alone():
    slots = Slots(1, 1)
    upload = Holding(slots, "a", MUCH, resumes=True)
    assert refuses(slots, "b")
    assert are_ended(upload) == [False]
    end(upload)


def test_a_form_that_brings_enough_is_never_ended():
    clock = Clock()
    slots = Slots(2, 2, slow_seconds=60, clock=clock)
    form, upload = Holding(slots, "a", MUCH), Holding(slots, "b", MUCH, resumes=True)
    clock.now += 61
    assert not refuses(slots, "c")
    assert are_ended(form, upload) == [False, True]
    second = Holding(slots, "d", MUCH)
    clock.now += 61
    assert refuses(slots, "e")
    assert are_ended(form, second) == [False, False]
    end(form, upload, second)


def test_an_upload_makes_room_before_a_slow_form_does():
    clock = Clock()
    slots = Slots(2, 2, slow_seconds=60, clock=clock)
    form, upload = Holding(slots, "a", 0), Holding(slots, "b", MUCH, resumes=True)
    clock.now += 61
    assert not refuses(slots, "c")
    assert are_ended(form, upload) == [False, True]
    end(form, upload)


def test_a_circuit_with_several_uploads_gives_one_up_at_once_to_a_circuit_without():
    slots = Slots(3, 2)
    several, other = (
        [Holding(slots, "a", MUCH, resumes=True) for _ in range(2)],
        Holding(slots, "b", MUCH, resumes=True),
    )
    with slots.take("c", resumes=True):
        assert sorted(are_ended(*several)) == [False, True]
        assert are_ended(other) == [False]
        assert refuses(slots, "c"), "it has a place already"
        assert refuses(slots, "d"), "each has one, and a turn that is not over"
    end(*several, other)


def test_who_made_room_rests_before_they_push_out_others():
    clock = Clock()
    slots = Slots(2, 2, slow_seconds=60, clock=clock)
    first = Holding(slots, "a", MUCH, resumes=True)
    clock.now += 30
    second = Holding(slots, "b", MUCH, resumes=True)
    clock.now += 31
    third = Holding(slots, "c", MUCH, resumes=True)
    clock.now += 30
    assert refuses(slots, "a"), "the turn of b is over, and began later"
    assert are_ended(first, second, third) == [True, False, False]
    clock.now += 31
    assert not refuses(slots, "a")
    assert are_ended(second, third) == [True, False]
    end(first, second, third)


def test_a_turn_goes_on_over_short_pauses():
    clock = Clock()
    slots = Slots(1, 1, slow_seconds=60, clock=clock)
    for _ in range(2):
        Holding(slots, "a", MUCH, resumes=True).end()
        clock.now += 31
    last = Holding(slots, "a", MUCH, resumes=True)
    assert not refuses(slots, "b")
    assert are_ended(last) == [True]
    end(last)


def test_forms_cannot_take_the_places_of_uploads(behind_tor):
    site, circuit = behind_tor(threads=12, submissions_at_once=6)
    forms = [begin_form(circuit(number)) for number in range(3)]
    wait_until(lambda: len(list((site.data / "incoming").iterdir())) == 3)
    assert submit(circuit(4))[0] == 503
    TusClient(circuit(5).open, ONION).upload(make_envelope())
    assert len(site.envelopes()) == 1
    for connection in forms:
        connection.close()


class SlowSource(threading.Thread):
    """A circuit whose upload comes in small pieces until it `may_hurry`, and goes on after each break."""

    def __init__(self, circuit: Circuit) -> None:
        super().__init__(daemon=True)
        self.envelope = make_envelope(2 * MIB)
        self.may_hurry = threading.Event()
        self.breaks = 0
        self.is_done = False
        self._client = TusClient(circuit.open, ONION)
        self._path = self._client.create(len(self.envelope))

    def offset(self) -> int:
        return self._client.offset(self._path)

    def run(self) -> None:
        while (offset := self.offset()) < len(self.envelope):
            with contextlib.suppress(*BROKEN):
                self._send(offset)
            if not self.may_hurry.is_set():
                self.breaks += 1
            time.sleep(0.1)
        self.is_done = True

    def _send(self, offset: int) -> None:
        """One PATCH for all the rest: some 64 KiB a second."""
        with self._client.begin_patch(self._path, offset, len(self.envelope) - offset) as connection:
            for start in range(offset, len(self.envelope), 4096):
                connection.send(self.envelope[start : start + 4096])
                if not self.may_hurry.is_set():
                    time.sleep(1 / 16)
            connection.answer()


def test_slow_uploads_by_many_circuits_that_hold_all_places_let_others_in_and_arrive_themselves(behind_tor):
    site, circuit = behind_tor(threads=12, submissions_at_once=4, slow_seconds=2)
    slow = [SlowSource(circuit(number)) for number in range(1, 7)]
    for source in slow:
        source.start()
    normal = TusClient(circuit(9).open, ONION)
    envelope = make_envelope(3 * MIB)
    wait_until(lambda: normal.patch(normal.create(len(envelope)), 0, envelope[:1000]).status == 503)
    normal.upload(envelope)
    wait_until(lambda: submit(circuit(10))[0] == 200)
    assert not any(source.is_done for source in slow)
    assert any(source.breaks for source in slow)
    for source in slow:
        source.may_hurry.set()
    for source in slow:
        source.join(PATIENCE)
    arrived = [path.read_bytes() for path in site.envelopes()]
    assert envelope in arrived
    assert all(source.envelope in arrived for source in slow)
    assert len(arrived) == len(slow) + 2
    assert site.log.read_text() == ""
