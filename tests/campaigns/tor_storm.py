"""Uploads over a private Tor network while all of it is broken at random: `make tor-storm`.

    python -m tests.campaigns.tor_storm [--count N] [--size MIB] [--at-once N] [--seed S] [--write]

Sources upload, each by circuits of its own. Every few seconds chance closes a circuit, kills a relay,
restarts the onion service's tor, or kills the server. Every upload must arrive, byte for byte.
"""

import contextlib
import hashlib
import io
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from leakdrop.envelope.opening import open_envelope
from leakdrop.terminal import say
from tests.campaigns.proof import Row, make_parser, report
from tests.campaigns.sources import NO_LIMITS
from tests.keys import label_key_pair, public_key_file
from tests.site import BROKEN, Site, make_test_site
from tests.system.test_tor import close_circuits, kill_server, restart_host
from tests.tornet import PrivateTorNetwork, TorNetworkError
from tests.tus import MIB, TusClient, make_envelope

TITLE = "Storms in Tor"
TEXT = """\
`make tor-storm`: over a private network of real tor processes on loopback, sources upload, each by
circuits of its own, in parts of 4 MiB. Every few seconds something is broken, as chance wants: circuits
are closed, a relay is killed and comes back, the onion service's tor is restarted, the server is killed.
Whoever is cut off asks for the offset and goes on. In the end each envelope lies there once, with the
SHA-256 that it was sent with, and opens whole."""
PART = 4 * MIB
PATIENCE = 1800  # seconds for each upload


def main() -> int:
    parser = make_parser(__doc__)
    parser.add_argument("--count", type=int, default=20, metavar="N", help="uploads (20)")
    parser.add_argument("--size", type=int, default=50, metavar="MIB", help="of each (50)")
    parser.add_argument("--at-once", type=int, default=4, metavar="N", help="sources at once (4)")
    parser.add_argument("--seed", type=int, default=1, metavar="S")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="leakdrop-storm-") as scratch:
        site = make_test_site(Path(scratch) / "site", [public_key_file("alice")], **NO_LIMITS)
        site.start()
        try:
            with PrivateTorNetwork(Path(scratch) / "tor", site.port) as net:
                storm = Storm(net, site, random.Random(given.seed))
                row = storm.run(given.count, given.size * MIB, given.at_once)
        finally:
            site.stop()
    head = ("uploads", "broken meanwhile", "connections lost", "time", "arrived byte for byte")
    report(TITLE, TEXT, head, [row], write=given.write)
    return not storm.all_is_well


def kill_a_relay(net: PrivateTorNetwork, _site: Site, chance: random.Random) -> None:
    """Any relay; it comes back some seconds later."""
    name = chance.choice([name for name in net.nodes if name.startswith("relay")])
    net.kill(name)
    time.sleep(chance.uniform(0, 5))
    net.restart(name)


Disaster = Callable[[PrivateTorNetwork, Site, random.Random], None]
# How often each comes up, of ten times; a server that is killed takes all the others' circuits with it.
DISASTERS: dict[str, tuple[int, Disaster]] = {
    "circuits closed": (5, lambda net, site, _: close_circuits(net, site)),
    "a relay killed": (3, kill_a_relay),
    "the onion restarted": (1, lambda net, site, _: restart_host(net, site)),
    "the server killed": (1, lambda net, site, _: kill_server(net, site)),
}


class Storm:
    """Sources, and what is done to them."""

    def __init__(self, net: PrivateTorNetwork, site: Site, chance: random.Random) -> None:
        self.net, self.site, self.chance = net, site, chance
        self.broken: Counter[str] = Counter()
        self.lost = 0
        self.sent: list[str] = []
        self.failures: list[str] = []
        self.all_is_well = False

    def run(self, count: int, size: int, at_once: int) -> Row:
        began = time.monotonic()
        numbers = list(range(count))
        sources = [threading.Thread(target=self._send_all, args=(numbers, size)) for _ in range(at_once)]
        for source in sources:
            source.start()
        while any(source.is_alive() for source in sources):
            time.sleep(self.chance.uniform(1, 6))
            self._break_something()
        taken = time.monotonic() - began
        arrived = self._check()
        self.all_is_well = arrived == count and not self.failures
        for failure in self.failures:
            say(f"WRONG: {failure}")
        disasters = ", ".join(f"{number} times {name}" for name, number in self.broken.items())
        return (
            f"{count} of {size // MIB} MiB",
            disasters,
            self.lost,
            f"{taken:.0f} s",
            f"{arrived} of {count}",
        )

    def _send_all(self, numbers: list[int], size: int) -> None:
        while numbers:
            number = numbers.pop()
            envelope = make_envelope(size)
            self.sent.append(hashlib.sha256(envelope).hexdigest())
            try:
                self._send(
                    TusClient.by_tor(self.net.socks_port, self.net.onion, f"source {number}"), envelope
                )
                say(f"{number} has arrived; {sum(self.broken.values())} disasters so far")
            except AssertionError as failure:
                self.failures.append(f"source {number}: {failure}")

    def _send(self, client: TusClient, envelope: bytes) -> None:
        """As a patient source does: whatever happens, ask for the offset and go on."""
        deadline = time.monotonic() + PATIENCE
        path, offset = "", 0
        while offset < len(envelope):
            assert time.monotonic() < deadline, f"stuck at {offset}"
            try:
                if not path:
                    path = client.create(len(envelope))
                offset = client.offset(path)
                if offset < len(envelope):
                    answer = client.patch(path, offset, envelope[offset : offset + PART])
                    assert answer.status in (204, 409, 503), answer
                    offset = answer.offset if answer.status == 204 else offset
            except BROKEN as failure:
                self.lost += 1
                if isinstance(failure, TimeoutError):
                    # Under load Tor may not hear of the end of a circuit, and keeps it while it is tried.
                    with contextlib.suppress(OSError, TorNetworkError):
                        self.net.control("client", "SIGNAL NEWNYM")
                time.sleep(0.5)

    def _break_something(self) -> None:
        names = [name for name, (weight, _) in DISASTERS.items() for _ in range(weight)]
        name = self.chance.choice(names)
        # What is to be broken may be broken already, or not there at the moment.
        with contextlib.suppress(OSError, TorNetworkError, AssertionError):
            DISASTERS[name][1](self.net, self.site, self.chance)
            self.broken[name] += 1

    def _check(self) -> int:
        """How many of the envelopes lie there as they were sent, and open."""
        there = Counter()
        for path in self.site.envelopes():
            envelope = path.read_bytes()
            open_envelope(io.BytesIO(envelope), [label_key_pair("alice")]).check()
            there[hashlib.sha256(envelope).hexdigest()] += 1
        return sum(there[digest] == 1 for digest in self.sent)


if __name__ == "__main__":
    sys.exit(main())
