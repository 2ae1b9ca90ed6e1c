"""Many slow, silent and hostile visitors, and one who only wants to hand something over: `make load`.

    python -m tests.campaigns.load [--slow N] [--minutes M] [--only PART] [--write]

Each part measures the same source twice, alone and in company. `--minutes 60` is the full watch on memory.
"""

import contextlib
import dataclasses
import random
import secrets
import socket
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from leakdrop.config import Config
from leakdrop.envelope.index import encode_base64url
from leakdrop.terminal import say
from tests.campaigns.proof import Row, make_parser, report
from tests.campaigns.sources import NO_LIMITS, FormSource, Gate, Ledger, Source, TusSource
from tests.keys import public_key_file
from tests.site import BROKEN, Site, make_test_site
from tests.tus import MIB, Connection, TusClient, make_envelope

TITLE = "Load"
TEXT = """\
`make load`: a source loads the first page and uploads 16 MiB in parts of 1 MiB, alone and then in
company; medians of five times. A slow source sends 8 KiB each second; a quarter of them send nothing
more after their first bytes. Slow heads come a letter a second, half-open connections say nothing,
silent readers ask for the largest file and do not read it. Slow readers are more than threads, and come
by eleven circuits: they ask three times for the largest file, and read 2 KiB in 15 seconds. Sixteen
circuits that ask for replies read a KiB in 12 seconds, with all places for answers; the source asks for
replies, too. All of them have the site's default settings to deal with. Memory is that of the server's
processes together, while five sources send, and slow ones come and go: the median of the second quarter
of the time, and that of the last."""
URLENCODED = "application/x-www-form-urlencoded"
MOST_RATIO = 2.0
MOST_GROWTH = 1.1
SIZE = 16 * MIB


def main() -> int:
    parser = make_parser(__doc__)
    parser.add_argument("--slow", type=int, default=200, metavar="N", help="slow sources at once (200)")
    parser.add_argument("--minutes", type=float, default=5, metavar="M", help="mixed load (5)")
    parser.add_argument("--only", action="append", metavar="PART", choices=list(PARTS))
    given = parser.parse_args()
    rows = []
    for part in given.only or PARTS:
        with tempfile.TemporaryDirectory(prefix="leakdrop-load-") as folder:
            rows += PARTS[part](Path(folder), given)
        say(f"{rows[-1]}")
    report(TITLE, TEXT, ("company", "alone", "in company", "allowed", "holds"), rows, write=given.write)
    return any(row[-1].startswith("no:") or row[-1] == "no" for row in rows)


@contextmanager
def running_site(folder: Path, **config: object) -> Iterator[Site]:
    site = make_test_site(folder / "site", [public_key_file("alice")], **NO_LIMITS, **config)
    site.start()
    try:
        yield site
    finally:
        site.stop()


def measure_source(site: Site, times: int = 5) -> float:
    """The median of the seconds that a normal source takes."""
    envelope = make_envelope(SIZE)
    taken = []
    for _ in range(times):
        began = time.monotonic()
        assert site.get("/")[0] == 200
        TusClient.direct(site.port).upload(envelope)
        taken.append(time.monotonic() - began)
        for path in site.envelopes():
            path.unlink()
    return statistics.median(taken)


class Company(threading.Thread):
    """A visitor who holds a connection as long as they can, and comes back when they are hung up on."""

    def __init__(self, site: Site, number: int) -> None:
        super().__init__(daemon=True)
        self.site, self.number = site, number
        self.is_there = threading.Event()
        self.stop = threading.Event()
        self.hung_up = 0

    def run(self) -> None:
        while not self.stop.is_set():
            with contextlib.suppress(*BROKEN):
                self.visit()
            self.hung_up += 1
            self.stop.wait(0.5)

    def visit(self) -> None:
        raise NotImplementedError

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.site.port), 60)

    def pace(self, connection: socket.socket, piece: bytes, seconds: float) -> bool:
        """Send a piece and wait; False when it is time to go."""
        connection.sendall(piece)
        self.is_there.set()
        return not self.stop.wait(seconds)


class SlowSource(Company):
    """Sends 8 KiB a second; every fourth falls silent after its first bytes."""

    def visit(self) -> None:
        client = TusClient.direct(self.site.port)
        path = client.create(len(ENVELOPE))
        with client.begin_patch(path, 0, len(ENVELOPE), ENVELOPE[:4096]) as connection:
            self._dribble(connection)

    def _dribble(self, connection: Connection) -> None:
        for start in range(4096, len(ENVELOPE), 4096):
            if not self.number % 4:
                self.is_there.set()
                connection.sock.settimeout(1)
                while not self.stop.is_set():
                    with contextlib.suppress(TimeoutError):
                        if not connection.sock.recv(4096):
                            return
                return
            if not self.pace(connection.sock, ENVELOPE[start : start + 4096], 0.5):
                return


class SlowHead(Company):
    """Sends a request's head, a letter a second."""

    def visit(self) -> None:
        with self.connect() as connection:
            for letter in b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: " + b"a" * 1000:
                if not self.pace(connection, bytes([letter]), 1):
                    return


class HalfOpen(Company):
    """Connects, and says nothing."""

    def visit(self) -> None:
        with self.connect() as connection:
            connection.settimeout(5)
            self.is_there.set()
            while not self.stop.is_set():
                with contextlib.suppress(TimeoutError):
                    if not connection.recv(1):
                        return


class SilentReader(Company):
    """Asks for a large file, and does not read the answer."""

    def visit(self) -> None:
        with socket.socket() as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.connect(("127.0.0.1", self.site.port))
            request = f"GET {largest_file(self.site)} HTTP/1.1\r\nHost: localhost\r\n\r\n"
            self.pace(connection, request.encode(), 1000)


class SlowReader(Company):
    """One of 32 by each circuit that ask three times for a large file, and read a little of it."""

    def visit(self) -> None:
        request = f"GET {largest_file(self.site)} HTTP/1.1\r\nHost: localhost\r\n\r\n" * 3
        self.read_slowly(1 + self.number // 32, request, 2048, 15)

    def read_slowly(self, circuit: int, request: str, size: int, seconds: float) -> None:
        assert self.site.socket_path
        with open_circuit(self.site.socket_path, circuit) as connection:
            connection.sendall(request.encode())
            self.is_there.set()
            while not self.stop.wait(seconds) and connection.recv(size):
                pass


class SlowAsker(SlowReader):
    """One of two by each circuit that ask for replies, and read a little of the answer."""

    def visit(self) -> None:
        body = f"token={encode_base64url(secrets.token_bytes(32))}"
        lines = ("Host: localhost", f"Content-Length: {len(body)}", f"Content-Type: {URLENCODED}")
        request = "\r\n".join(("POST /replies HTTP/1.1", *lines, "", body))
        self.read_slowly(1 + self.number // 2, request, 1024, 12)


class RefusedSender(Company):
    """Sends what is refused at once, and goes on sending."""

    def visit(self) -> None:
        with self.connect() as connection:
            connection.sendall(b"POST /submit HTTP/1.1\r\nHost: x\r\nContent-Length: 9000000000000\r\n\r\n")
            while self.pace(connection, b"x" * 100, 0.2):
                pass


ENVELOPE = make_envelope(3_000_000)


def largest_file(site: Site) -> str:
    """The address of the script that the first page loads."""
    page = site.get("/")[1].decode()
    return page.partition('<script src="')[2].partition('"')[0] or "/"


@contextmanager
def company(site: Site, kind: type[Company], count: int) -> Iterator[list[Company]]:
    """So many visitors of a kind, who are all there when this begins."""
    visitors = [kind(site, number) for number in range(count)]
    for visitor in visitors:
        visitor.start()
        time.sleep(0.01)
    deadline = time.monotonic() + 120
    there = 0
    while (there := sum(it.is_there.is_set() for it in visitors)) < count and time.monotonic() < deadline:
        time.sleep(0.1)
    if there < count:
        say(f"only {there} of {count} are there")
    try:
        yield visitors
    finally:
        for visitor in visitors:
            visitor.stop.set()
        for visitor in visitors:
            visitor.join(60)


def measure_in_company(name: str, kinds: Callable[[int], dict[type[Company], int]]):
    """A part: a source alone, and among these."""

    def part(folder: Path, given) -> list[Row]:
        with running_site(folder) as site, ExitStack() as all_of_them:
            alone = measure_source(site)
            for kind, count in kinds(given.slow).items():
                all_of_them.enter_context(company(site, kind, count))
            among = measure_source(site)
        row = (name.format(given.slow), f"{alone:.2f} s", f"{among:.2f} s", f"{MOST_RATIO} times")
        return [(*row, "yes" if among <= MOST_RATIO * alone else f"no: {among / alone:.1f} times")]

    return part


def measure_by_circuits(name: str, kind: type[Company], count: int):
    """A part: sources by circuits of their own, alone and among these, who come by theirs."""

    def part(folder: Path, _given) -> list[Row]:
        address, envelope = folder / "leakdrop.sock", make_envelope(SIZE)
        with running_site(folder, bind=f"unix:{address}") as site:
            alone = measure_circuit(address, 1000, envelope)
            with company(site, kind, count):
                among = measure_circuit(address, 2000, envelope)
        holds = "yes" if among <= MOST_RATIO * alone else f"no: {among / alone:.1f} times"
        return [(name.format(count), f"{alone:.2f} s", f"{among:.2f} s", f"{MOST_RATIO} times", holds)]

    return part


def watch_memory(folder: Path, given) -> list[Row]:
    """Mixed load for some minutes, and the memory of the server's processes."""
    ledger, gate, chance = Ledger(), Gate(), random.Random(1)
    with running_site(folder) as site:
        sources: list[Source] = [
            kind(site, ledger, gate, random.Random(chance.random()))
            for kind in (TusSource, TusSource, TusSource, FormSource, FormSource)
        ]
        for source in sources:
            source.start()
        samples = []
        end = time.monotonic() + 60 * given.minutes
        while time.monotonic() < end:
            with company(site, SlowSource, min(20, given.slow)):
                for _ in range(10):
                    samples.append(resident_mib(site))
                    time.sleep(0.5)
            for path in site.envelopes():  # or the disk would be full
                path.unlink()
        for source in sources:
            source.stop.set()
            source.join(60)
        wrong = [*ledger.faults, *site.log.read_text().splitlines()]
    quarter = len(samples) // 4
    early, late = statistics.median(samples[quarter : 2 * quarter]), statistics.median(samples[-quarter:])
    what = f"memory over {given.minutes:g} minutes, {ledger.confirmed} submissions"
    holds = "yes" if late <= MOST_GROWTH * early and not wrong else f"no: {wrong[:3]}"
    return [(what, f"{early:.0f} MiB", f"{late:.0f} MiB", f"{MOST_GROWTH} times", holds)]


def resident_mib(site: Site) -> float:
    """The memory of the server's processes together."""
    pages = 0
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = status.read_text().rpartition(")")[2].split()
            if int(fields[2]) == site.process.pid:  # its process group
                pages += int(fields[21])
    return pages * 4096 / MIB


def flood(folder: Path, _given) -> list[Row]:
    """A few circuits ask without end, as Tor tells of circuits; another one sends something."""
    if not any(field.name == "requests_per_circuit" for field in dataclasses.fields(Config)):
        return [("a flood from three circuits", "", "", "", "not run: this version knows no circuits")]
    address = folder / "leakdrop.sock"
    site = make_test_site(
        folder / "site",
        [public_key_file("alice")],
        bind=f"unix:{address}",
        requests_per_circuit="100 per minute",
        requests_in_all="100000 per minute",
    )
    statuses: list[int] = []
    stop = threading.Event()

    def ask_without_end(circuit: int) -> None:
        while not stop.is_set():
            with contextlib.suppress(*BROKEN):
                statuses.append(by_circuit(address, circuit).head("/uploads/" + "0" * 32).status)

    site._answers = lambda: address.exists() and by_circuit(address, 1).request("GET", "/").status == 200
    site.start()
    try:
        envelope = make_envelope(MIB)
        alone = measure_circuit(address, 1000, envelope)
        floods = [threading.Thread(target=ask_without_end, args=(number,)) for number in (7, 8, 9)]
        for one in floods:
            one.start()
        time.sleep(5)
        among = measure_circuit(address, 2000, envelope)
        stop.set()
        for one in floods:
            one.join(60)
    finally:
        site.stop()
    refused = sum(status == 429 for status in statuses) / max(len(statuses), 1)
    what = f"a flood from three circuits ({len(statuses)} requests, {refused:.0%} refused)"
    holds = "yes" if among <= max(MOST_RATIO * alone, 1) and refused > 0.5 else "no"
    return [(what, f"{alone:.2f} s", f"{among:.2f} s", f"{MOST_RATIO} times, or 1 s", holds)]


def open_circuit(address: Path, circuit: int) -> socket.socket:
    """A connection that comes by a circuit of this number, as Tor tells of it."""
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(60)
    connection.connect(str(address))
    high, low = divmod(circuit, 65_536)
    connection.sendall(f"PROXY TCP6 fc00:dead:beef:4dad::{high:x}:{low:x} ::1 {circuit} 80\r\n".encode())
    return connection


def by_circuit(address: Path, circuit: int) -> TusClient:
    """A client whose connections come by a circuit of this number."""
    return TusClient(partial(open_circuit, address, circuit), "localhost")


def measure_circuit(address: Path, first: int, envelope: bytes) -> float:
    """The median of five visits, each by a circuit of its own: the first page, an upload, the replies."""
    question = f"token={encode_base64url(secrets.token_bytes(32))}".encode()
    taken = []
    for circuit in range(first, first + 5):
        client = by_circuit(address, circuit)
        began = time.monotonic()
        assert client.request("GET", "/").status == 200
        client.upload(envelope)
        assert client.request("POST", "/replies", {"Content-Type": URLENCODED}, question).status == 200
        taken.append(time.monotonic() - began)
    return statistics.median(taken)


PARTS = {
    "slow": measure_in_company("{} slow sources", lambda slow: {SlowSource: slow}),
    "heads": measure_in_company("{} slow heads, as many half-open", lambda n: {SlowHead: n, HalfOpen: n}),
    "half-open": measure_in_company("1,500 half-open connections", lambda _: {HalfOpen: 1500}),
    "readers": measure_in_company("{} who ask and do not read", lambda slow: {SilentReader: slow}),
    "slow-readers": measure_by_circuits("{} slow readers by eleven circuits", SlowReader, 352),
    "slow-askers": measure_by_circuits("{} slow readers of replies by 16 circuits", SlowAsker, 32),
    "refused": measure_in_company("{} who send on after a refusal", lambda slow: {RefusedSender: slow}),
    "memory": watch_memory,
    "flood": flood,
}

if __name__ == "__main__":
    sys.exit(main())
