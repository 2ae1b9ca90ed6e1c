"""A disk that is full, read-only or lies, a clock that jumps, a database in use: `make crash`, second part.

    python -m tests.campaigns.trouble [--only PART] [--write]

In each trouble sources go on sending. What is acknowledged must be there afterwards, no refusal may be a
mistake of ours (an answer of 500 is one, where the disk itself does not fail), and when the trouble is
over the site goes on.
"""

import contextlib
import errno
import random
import shutil
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from leakdrop.terminal import say
from tests.campaigns.faults import SYNCS, build_layer
from tests.campaigns.house import House
from tests.campaigns.proof import Row, make_parser, report
from tests.campaigns.sources import NO_LIMITS, FormSource, Gate, Ledger, Source, TusSource
from tests.keys import public_key_file
from tests.site import Site, make_test_site, run, temporary_mount, wait_until

TITLE = "Trouble with disk, clock and database"
TEXT = """\
`make crash`, second part. Three tus clients and two senders of forms go on sending while the data folder
is in trouble: a tmpfs of 24 MiB that fills up; a disk on which every change fails as on a read-only one;
fsync that fails with EIO and loses what was not durable (both by a layer between the program and its
disk, LD_PRELOAD; dm-flakey cannot be had here); the clock jumping by hours, days and years to and fro
(the same layer); another process that holds the database, once for longer than the server waits.
Afterwards the trouble ends, the server is restarted, and the same is checked as after a crash."""
DISK_TROUBLE = (500, 503, 507, 404)


def main() -> int:
    parser = make_parser(__doc__)
    parser.add_argument("--only", action="append", metavar="PART", choices=list(PARTS))
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="times of each trouble (5)")
    given = parser.parse_args()
    rows = []
    for part in given.only or PARTS:
        with tempfile.TemporaryDirectory(prefix="leakdrop-trouble-") as folder:
            rows.append(PARTS[part](Path(folder), given.rounds))
        say(f"{rows[-1]}")
    head = ("trouble", "times", "confirmed", "refused meanwhile", "lost or wrong")
    report(TITLE, TEXT, head, rows, write=given.write)
    return any(row[-1] != 0 for row in rows)


class Village:
    """A site and its sources."""

    def __init__(self, site: Site) -> None:
        self.site, self.ledger, self.gate = site, Ledger(), Gate()
        self.house = House(site, self.ledger)
        self.sources: list[Source] = [
            kind(site, self.ledger, self.gate, random.Random(number))
            for number, kind in enumerate((TusSource, TusSource, TusSource, FormSource, FormSource))
        ]
        self.wrong: list[str] = []
        self.mistakes = 0  # lines in the log

    def allow(self, *statuses: int) -> None:
        for source in self.sources:
            source.refusals = statuses

    @contextmanager
    def sending(self) -> Iterator[None]:
        self.site.start()
        for source in self.sources:
            source.start()
        try:
            yield
        finally:
            self.gate.open()
            for source in self.sources:
                source.stop.set()
            for source in self.sources:
                source.join(120)
            self.site.stop()

    def wait_for_more(self, count: int = 4) -> None:
        """The site goes on: so many submissions more are confirmed."""
        before = self.ledger.confirmed
        try:
            wait_until(lambda: self.ledger.confirmed >= before + count, 120)
        except AssertionError:
            self.wrong.append("it did not go on when the trouble was over")

    def wait_for_refusals(self, count: int, patience: float = 120) -> None:
        before = self.ledger.refused
        wait_until(lambda: self.ledger.refused >= before + count, patience)

    def look(self, *, restart: bool = True, is_full: bool = False) -> None:
        """Stop, restart, and check; nobody sends meanwhile."""
        self.gate.close()
        if restart:
            self.site.stop()
            self.site.start()
        sendings = [it.sending for it in self.sources if isinstance(it, TusSource) and it.sending]
        self.wrong += self.house.check(sendings, is_full=is_full) + self.ledger.faults
        self.ledger.faults.clear()
        self.gate.open()

    def row(self, what: str, rounds: int) -> Row:
        for sentence in dict.fromkeys(self.wrong):
            say(f"WRONG: {sentence}")
        log = self.site.log.read_text().splitlines()
        for line in dict.fromkeys(log):
            say(f"log: {line}")
        return (what, rounds, self.ledger.confirmed, self.ledger.refused, len(self.wrong))


def make_village(folder: Path, mounted: str = "") -> Village:
    site = make_test_site(folder / "site", [public_key_file("alice")], **NO_LIMITS)
    if mounted:
        shutil.rmtree(site.data)
        if not temporary_mount(site.data, mounted):
            raise SystemExit("only root can mount the small disks of this campaign")
    return Village(site)


def full_disk(folder: Path, rounds: int) -> Row:
    village = make_village(folder, "24m")
    village.allow(507)
    try:
        with village.sending():
            for _ in range(rounds):
                village.wait_for_refusals(20)
                village.look(is_full=True)
                village.gate.close()
                village.site.stop()
                village.house.make_room(0)
                village.site.start()
                village.gate.open()
                village.wait_for_more(1)
            village.look()
    finally:
        run("umount", "-l", village.site.data)
    return village.row("disk full", rounds)


def read_only(folder: Path, rounds: int) -> Row:
    """By the layer: the kernel does not make a disk read-only while a file on it is open, unless it fails."""
    village = make_village(folder)
    layer = build_layer(folder, village.site.data)
    village.site.prefix = layer.prefix
    village.allow(*DISK_TROUBLE)
    with village.sending():
        for _ in range(rounds):
            village.wait_for_more(2)
            layer.plan(1, 1_000_000, errno.EROFS)
            village.wait_for_refusals(10)
            layer.heal()
            village.wait_for_more(2)
            village.look()
    return village.row("disk read-only (EROFS)", rounds)


def failing_fsync(folder: Path, rounds: int) -> Row:
    village = make_village(folder)
    layer = build_layer(folder, village.site.data, SYNCS)
    village.site.prefix = layer.prefix
    village.allow(*DISK_TROUBLE)
    chance = random.Random(1)
    with village.sending():
        for _ in range(4 * rounds):
            first = chance.randrange(1, 10)
            layer.plan(first, first + chance.choice([0, 0, 3, 20]), errno.EIO)
            with contextlib.suppress(AssertionError):  # a row that is not written is nobody's trouble
                village.wait_for_refusals(1, 5)
            layer.heal()
            village.wait_for_more(1)
            village.look()
    return village.row("fsync fails (EIO)", 4 * rounds)


def jumping_clock(folder: Path, rounds: int) -> Row:
    """To and fro within what an upload lives; and far ahead, where what is unfinished may expire."""
    village = make_village(folder)
    layer = build_layer(folder, village.site.data)
    village.site.prefix = layer.prefix
    with village.sending():
        for hours in [*[1, -1, 23, 0] * rounds, -20 * 24]:
            layer.set_clock(hours)
            village.wait_for_more(3)
            village.look()
        village.allow(404)
        for hours in [-800 * 24, 0, 5 * 24, 400 * 24, 0] * rounds:
            village.gate.close()
            for source in village.sources:
                if isinstance(source, TusSource):
                    source.sending = None  # it may expire, as it should
            layer.set_clock(hours)
            village.gate.open()
            village.wait_for_more(3)
            village.look()
    return village.row("clock jumps", 9 * rounds + 1)


def locked_database(folder: Path, rounds: int) -> Row:
    """For a second or two; and once for longer than the server waits, which then says that it cannot."""
    village = make_village(folder)
    with village.sending():
        for number in range(rounds):
            is_long = number == rounds - 1
            village.allow(*((500,) if is_long else ()))
            other = sqlite3.connect(village.site.data / "leakdrop.sqlite", timeout=60, isolation_level=None)
            other.execute("BEGIN EXCLUSIVE")
            time.sleep(45 if is_long else 1.5)
            other.execute("ROLLBACK")
            other.close()
            village.wait_for_more()
            village.look()
    return village.row("database locked by another process", rounds)


PARTS: dict[str, Callable[[Path, int], Row]] = {
    "full": full_disk,
    "read-only": read_only,
    "fsync": failing_fsync,
    "clock": jumping_clock,
    "lock": locked_database,
}

if __name__ == "__main__":
    sys.exit(main())
