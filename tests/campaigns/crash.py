"""Kill -9 at any moment, again and again; after each restart nothing acknowledged is missing: `make crash`.

    python -m tests.campaigns.crash [--count N] [--seed S] [--write]

The server dies while five sources send and an exporter exports. Half of the times it dies at a moment
that chance chooses, half of the times next to a call that changes its disk, the n-th from then on
(faults.c), and some of these while it starts. Then each of the operator's verbs dies next to the first
such call, the second, the third, until it has none left. What a power cut takes with it, bytes that were
not synced, stays here: that they are synced before anything is acknowledged is for the everyday tests to
show.
"""

import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from leakdrop.terminal import say
from tests.campaigns.faults import KILL, FaultLayer, build_layer
from tests.campaigns.house import House, check_bundle
from tests.campaigns.proof import Row, make_parser, report
from tests.campaigns.sources import FormSource, Gate, Ledger, Source, TusSource
from tests.campaigns.verbs import VERBS, crash_verb
from tests.keys import public_key_file
from tests.site import BIN, make_test_site

TITLE = "Crashes"
TEXT = """\
`make crash`: the server is ended by SIGKILL, all its processes at once, while three tus clients and two
senders of forms send without end and drops are exported. Each time, before the sources go on: every
acknowledged byte of each unfinished upload is where it was; every envelope and form that was acknowledged
is there once and opens whole; nothing lies in `incoming/` or the temporary folder; each drop has a row,
each row a drop, each part a row; SQLite's own check finds nothing. The verbs are ended next to each of
their calls that change the disk, in turn; then the same is checked, and they are run again to their end.
What a power cut takes with it is not simulated (no dm-flakey here): kill -9 leaves what the kernel holds."""
MOST_DROPS = 30


def main() -> int:
    parser = make_parser(__doc__)
    parser.add_argument("--count", type=int, default=300, metavar="N", help="kills of the server (300)")
    parser.add_argument("--seed", type=int, default=1, metavar="S")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="leakdrop-crash-") as scratch:
        folder = Path(scratch)
        campaign = Campaign(folder, random.Random(given.seed))
        rows = campaign.run(given.count)
        for verb in VERBS:
            rows.append(crash_verb(verb, folder))
    report(TITLE, TEXT, ("what was ended", "times", "of these", "confirmed", "lost"), rows, write=given.write)
    return any(row[-1] != 0 for row in rows)


@dataclass
class Counts:
    """How often the server was ended, and where."""

    by_chance: int = 0
    at_a_call: int = 0
    at_start: int = 0

    @property
    def all(self) -> int:
        return self.by_chance + self.at_a_call + self.at_start


class Exporter(threading.Thread):
    """Exports again and again, into a bundle that is thrown away now and then, and is ended by SIGKILL."""

    def __init__(self, house: House, gate: Gate, folder: Path, chance: random.Random) -> None:
        super().__init__(daemon=True)
        self.house, self.gate, self.chance = house, gate, chance
        self.bundle = folder / "bundle"
        self.done = self.killed = 0
        self.faults: list[str] = []
        self.stop = threading.Event()

    def run(self) -> None:
        while not self.stop.is_set():
            with self.gate.passage():
                self.export(self.chance.uniform(0.3, 1.5))
            time.sleep(0.5)

    def export(self, patience: float | None) -> None:
        command = [BIN / "leakdrop", "export", self.bundle, "--config", self.house.site.config]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        try:
            _, error = process.communicate(timeout=patience)
            self.done += 1
            if process.returncode:
                self.faults.append(f"an export failed: {error}")
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            self.killed += 1
        self.faults += check_bundle(self.bundle, self.house)
        if self.chance.random() < 0.1:
            shutil.rmtree(self.bundle, ignore_errors=True)


class Campaign:
    """A site, its sources, and what ends it."""

    def __init__(self, folder: Path, chance: random.Random) -> None:
        self.chance = chance
        self.site = make_test_site(folder / "site", [public_key_file("alice")])
        self.layer: FaultLayer = build_layer(folder, self.site.data)
        self.site.prefix = self.layer.prefix
        self.ledger, self.gate, self.counts = Ledger(), Gate(), Counts()
        self.house = House(self.site, self.ledger)
        self.exporter = Exporter(self.house, self.gate, folder, chance)
        self.sources: list[Source] = [
            kind(self.site, self.ledger, self.gate, random.Random(chance.random()))
            for kind in (TusSource, TusSource, TusSource, FormSource, FormSource)
        ]

    def run(self, count: int) -> list[Row]:
        self.site.start()
        for thread in (*self.sources, self.exporter):
            thread.start()
        began, wrong = time.monotonic(), []
        while self.counts.all < count:
            self._kill()
            self.gate.close()
            self.house.make_room(MOST_DROPS)
            self._start()
            wrong += self._check()
            self.gate.open()
            if self.counts.all % 20 == 0:
                say(f"{self.counts.all} kills, {self.ledger.confirmed} confirmed, {len(wrong)} lost or wrong")
        wrong += self._end()
        for sentence in wrong[:20]:
            say(f"WRONG: {sentence}")
        counts, ledger = self.counts, self.ledger
        say(f"{time.monotonic() - began:.0f} s, {ledger.broken} requests broke")
        return [
            (
                "the server, while it takes uploads and forms",
                counts.all,
                f"{counts.by_chance} at a random moment, {counts.at_a_call} next to a change of the disk, "
                f"{counts.at_start} while it started",
                f"{len(ledger.arrived)} envelopes, {len(ledger.heard)} forms, {ledger.acknowledged} parts",
                len(wrong),
            ),
            (
                "`leakdrop export` beside it",
                self.exporter.killed,
                f"and {self.exporter.done} ran to their end",
                "",
                len(self.exporter.faults),
            ),
        ]

    def _kill(self) -> None:
        process = self.site.process
        if self.chance.random() < 0.5:
            self.layer.plan(number := self.chance.randrange(1, 80), number, KILL)
            try:
                process.wait(3)
                self.counts.at_a_call += 1
                return
            except subprocess.TimeoutExpired:
                self.layer.heal()
        time.sleep(self.chance.uniform(0, 0.4))
        self.site.stop(signal.SIGKILL)
        self.counts.by_chance += 1

    def _start(self) -> None:
        """Start the server; now and then it is ended while it starts, too."""
        self.site.stop(signal.SIGKILL)  # what is left of it
        if self.chance.random() < 0.25:
            self.layer.plan(number := self.chance.randrange(1, 12), number, KILL)
            try:
                self.site.start()
            except RuntimeError:
                self.counts.at_start += 1
            self.site.stop(signal.SIGKILL)
        self.layer.heal()
        self.site.start()

    def _check(self) -> list[str]:
        sendings = [it.sending for it in self.sources if isinstance(it, TusSource) and it.sending]
        wrong = self.house.check(sendings) + self.ledger.faults
        self.ledger.faults.clear()
        log = self.site.log.read_text()
        self.site.log.write_text("")
        wrong += [line for line in log.splitlines() if "After a crash" not in line]
        return wrong

    def _end(self) -> list[str]:
        """One more look, after an export that nobody disturbs."""
        for thread in (*self.sources, self.exporter):
            thread.stop.set()
            thread.join(60)
        self.exporter.export(None)
        missing = {path.name for path in self.site.envelopes()} - {
            path.name for path in self.exporter.bundle.glob("*.envelope")
        }
        wrong = self._check() + [f"{name} was not exported" for name in missing]
        self.site.stop()
        return wrong


if __name__ == "__main__":
    sys.exit(main())
