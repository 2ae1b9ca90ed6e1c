"""Sources that send without end and keep a ledger of what they were told: for campaigns."""

import dataclasses
import hashlib
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from leakdrop.config import Config
from tests.site import BROKEN, Site
from tests.tus import TusClient, make_envelope

# A campaign sends more in an hour than all of a site's sources: its limits for all together are switched off.
LIMITS_IN_ALL = ("requests_in_all", "submissions_in_all")
NO_LIMITS = {field.name: "" for field in dataclasses.fields(Config) if field.name in LIMITS_IN_ALL}


class Gate:
    """What sources pass for each request; while it is closed, none is under way."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._is_open = True
        self._inside = 0

    @contextmanager
    def passage(self) -> Iterator[None]:
        with self._changed:
            self._changed.wait_for(lambda: self._is_open)
            self._inside += 1
        try:
            yield
        finally:
            with self._changed:
                self._inside -= 1
                self._changed.notify_all()

    def close(self) -> None:
        """Let nobody in, and wait until all are out."""
        with self._changed:
            self._is_open = False
            self._changed.wait_for(lambda: not self._inside)

    def open(self) -> None:
        with self._changed:
            self._is_open = True
            self._changed.notify_all()


@dataclass
class Sending:
    """An upload as its source knows it: where, which bytes, and how many the site has acknowledged."""

    envelope: bytes
    path: str = ""
    acknowledged: int = 0


@dataclass
class Ledger:
    """What was sent, and of that what the site said had arrived: envelopes by SHA-256, forms by message."""

    sent: set[str] = field(default_factory=set)
    arrived: set[str] = field(default_factory=set)
    said: set[str] = field(default_factory=set)
    heard: set[str] = field(default_factory=set)
    acknowledged: int = 0  # PATCH requests
    broken: int = 0  # requests without an answer
    refused: int = 0  # requests that were refused as they may be in trouble
    faults: list[str] = field(default_factory=list)  # what a site must not do

    @property
    def confirmed(self) -> int:
        return len(self.arrived) + len(self.heard)


class Source(threading.Thread):
    """Sends one submission after another until `stop` is set.

    `refusals` are statuses that the site may answer instead, in the trouble that it is in.
    """

    refusals: tuple[int, ...] = ()

    def __init__(self, site: Site, ledger: Ledger, gate: Gate, chance: random.Random) -> None:
        super().__init__(daemon=True)
        self.site, self.ledger, self.gate, self.chance = site, ledger, gate, chance
        self.stop = threading.Event()

    def run(self) -> None:
        while not self.stop.is_set():
            try:
                with self.gate.passage():
                    self.step()
            except BROKEN:
                self.ledger.broken += 1
            time.sleep(0.005)

    def step(self) -> None:
        """One request."""
        raise NotImplementedError

    def expect(self, status: int, *allowed: int) -> bool:
        """Whether the answer is the first of these; one that is not among them, or a refusal, is a fault."""
        if status not in allowed + self.refusals:
            self.ledger.faults.append(f"{type(self).__name__} was answered {status}, not {allowed}")
        self.ledger.refused += status in self.refusals
        return status == allowed[0]


class TusSource(Source):
    """Uploads envelopes in parts, and goes on where the site says that it has got to."""

    def __init__(self, site: Site, ledger: Ledger, gate: Gate, chance: random.Random) -> None:
        super().__init__(site, ledger, gate, chance)
        self.client = TusClient.direct(site.port)
        self.sending: Sending | None = None

    def step(self) -> None:
        if not self.sending:
            self.sending = Sending(make_envelope(self.chance.choice([0, 300_000, 700_000, 1_500_000])))
            self.ledger.sent.add(_sum(self.sending.envelope))
        sending = self.sending
        if not sending.path:
            length = {"Tus-Resumable": "1.0.0", "Upload-Length": str(len(sending.envelope))}
            answer = self.client.request("POST", "/uploads", length)
            if self.expect(answer.status, 201):
                sending.path = answer.headers["location"]
            return
        answer = self.client.head(sending.path)
        if not self.expect(answer.status, 200):
            if answer.status == 404:
                self.sending = None
            return
        if answer.offset < sending.acknowledged:
            self.ledger.faults.append(f"{sending.acknowledged} were acknowledged, {answer.offset} are there")
        if answer.offset < len(sending.envelope):
            size = self.chance.choice([1, 70_000, 300_000, 300_000, 1_000_000])
            piece = sending.envelope[answer.offset :][:size]
            answer = self.client.patch(sending.path, answer.offset, piece)
            if not self.expect(answer.status, 204, 409):
                return
        self.ledger.acknowledged += 1
        sending.acknowledged = answer.offset
        if answer.offset == len(sending.envelope):
            self.ledger.arrived.add(_sum(sending.envelope))
            self.sending = None


class FormSource(Source):
    """Sends the form without JavaScript, whole in one request."""

    def step(self) -> None:
        message = f"{self.name} {self.chance.getrandbits(64):016x}"
        self.ledger.said.add(message)
        recording = self.chance.randbytes(self.chance.choice([1, 50_000, 600_000]))
        status, _ = self.site.send(("message", message), ("files", "talk.m4a", recording))
        if self.expect(status, 200):
            self.ledger.heard.add(message)


def _sum(envelope: bytes) -> str:
    return hashlib.sha256(envelope).hexdigest()
