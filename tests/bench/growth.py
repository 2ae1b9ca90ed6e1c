"""How cost grows: with the size of a submission, with the number of drops, with sources at once."""

import os
import secrets
import shutil
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import insert

from leakdrop.bundle import LIST_NAME, Bundle, BundleEntry, compute_sha256, encode_bundle
from leakdrop.store.drop import this_week
from leakdrop.store.layout import ENVELOPE
from leakdrop.store.models import DropRow
from tests.bench.envelope import make, ours
from tests.bench.measure import MIB, Result, fill, measure, tell
from tests.keys import public_key_file
from tests.site import Site, leakdrop, make_test_site, open_drops
from tests.tus import TusClient, make_envelope

SIZES = (1, 16, 256, 1024, 4096)  # MiB
DROPS = (10, 100, 1_000, 10_000, 100_000)
SOURCES = (1, 4, 16, 48)
EACH = 8 * MIB
# What a line may rise above a straight one: the smallest cost is nearly all the start of a process.
LINEAR, FLAT = 1.5, 3.0


@dataclass(frozen=True)
class Curve:
    """Seconds over a number of something (`of`: its unit), in one panel of the plot (`panel`)."""

    panel: str
    name: str
    of: str
    points: tuple[tuple[int, float], ...]

    def growth(self) -> tuple[int, float]:
        """How many times more there are at the end than at the start, and how many times more it costs."""
        (least, cheapest), (most, dearest) = self.points[0], self.points[-1]
        return most // least, dearest / cheapest


@dataclass(frozen=True)
class Growth:
    """What is measured: lines for the table, curves for the plot."""

    results: list[Result]
    curves: list[Curve]


def bench_sizes(folder: Path, runs: int, largest: int) -> Growth:
    """Seal and open files of 1 MiB to `largest` MiB, beside age and gpg where they are installed."""
    seconds: dict[str, list[tuple[int, float]]] = {}
    with Gpg(folder) as gpg:
        for size in (size for size in SIZES if size <= largest):
            plain = fill_exactly(folder / "plain", size * MIB)
            works = {**leakdrop_works(folder, plain), **age_works(folder, plain), **gpg.works(folder, plain)}
            for name, spent in zip(works, measure(runs, *works.values()), strict=True):
                seconds.setdefault(name, []).append((size, spent))
    curves = [Curve("size", name, "MiB", tuple(points)) for name, points in seconds.items()]
    lines = [
        Result(
            f"{curve.name}: seconds at {largest_of(curve)} MiB, of a straight line's", share, LINEAR, False
        )
        for curve in curves[:2]
        if (share := excess(curve)) is not None
    ]
    return Growth(lines, curves)


def largest_of(curve: Curve) -> int:
    return curve.points[-1][0]


def excess(curve: Curve) -> float | None:
    """The cost at the end over that of a straight line through the point before it."""
    if len(curve.points) < 2:
        return None
    (before, spent), (end, most) = curve.points[-2:]
    return most / (spent * end / before)


def fill_exactly(path: Path, size: int) -> Path:
    fill(path, max(size, 4 * MIB))
    os.truncate(path, size)
    return path


Works = dict[str, Callable[[], object]]


def leakdrop_works(folder: Path, plain: Path) -> Works:
    sealed, opened = folder / "sealed", folder / "opened"
    return {
        "leakdrop seals": lambda: ours("seal", plain, sealed).seconds,
        "leakdrop opens": lambda: ours("open", sealed, opened).seconds,
    }


def age_works(folder: Path, plain: Path) -> Works:
    if not shutil.which("age"):
        return {}
    key, aged, opened = folder / "age.key", folder / "aged", folder / "opened"
    if not key.exists():
        subprocess.run(["age-keygen", "-o", key], check=True, capture_output=True)
    recipient = subprocess.run(["age-keygen", "-y", key], check=True, capture_output=True, text=True)
    return {
        "age seals": lambda: make(aged, "age", "-r", recipient.stdout.strip(), "-o", aged, plain),
        "age opens": lambda: make(opened, "age", "-d", "-i", key, "-o", opened, aged),
    }


class Gpg:
    """GnuPG with a key of its own in a folder of its own, and without its compression."""

    def __init__(self, folder: Path) -> None:
        self._home = folder / "gnupg"
        self._command = [
            "gpg",
            "--homedir",
            self._home,
            "--batch",
            "--quiet",
            "--yes",
            "--trust-model",
            "always",
        ]
        self._is_there = bool(shutil.which("gpg"))

    def __enter__(self) -> "Gpg":
        if self._is_there:
            self._home.mkdir(mode=0o700)
            key = ["--passphrase", "", "--quick-gen-key", "bench", "future-default", "default", "never"]
            subprocess.run([*self._command, *key], check=True, capture_output=True)
        else:
            tell("gpg is not installed: apt-get install gpg gpg-agent")
        return self

    def __exit__(self, *_: object) -> None:
        if self._is_there:
            subprocess.run(["gpgconf", "--homedir", self._home, "--kill", "all"], check=True)

    def works(self, folder: Path, plain: Path) -> Works:
        if not self._is_there:
            return {}
        sealed, opened = folder / "gpged", folder / "opened"
        seal = [*self._command, "--compress-algo", "none", "-r", "bench", "-o", sealed, "-e", plain]
        return {
            "gpg seals": lambda: make(sealed, *seal),
            "gpg opens": lambda: make(opened, *self._command, "-o", opened, "-d", sealed),
        }


def bench_drops(folder: Path, runs: int, _largest: int) -> Growth:
    """What a site with 10 to 100,000 drops takes to start, list, take one more, and find nothing new."""
    seconds: dict[str, list[tuple[int, float]]] = {}
    for count in DROPS:
        site = make_test_site(folder / f"site{count}", [public_key_file("alice")])
        bundle = folder / f"bundle{count}"
        fill_site(site, bundle, count)
        works = {
            "start": lambda site=site: start_and_stop(site),
            "status": lambda site=site: call_leakdrop("status", "--config", site.config),
            "one more drop": lambda site=site: keep_one(site),
            "export of nothing new": lambda site=site, to=bundle: call_leakdrop(
                "export", to, "--config", site.config
            ),
        }
        for name, spent in zip(works, measure(runs, *works.values()), strict=True):
            seconds.setdefault(name, []).append((count, spent))
        shutil.rmtree(site.folder)
        shutil.rmtree(bundle)
    curves = [Curve("drops", name, "drops", tuple(points)) for name, points in seconds.items()]
    bounds = {"start": FLAT, "status": FLAT}
    lines = [
        Result(f"{curve.name} with 100,000 drops, of that with 10", curve.growth()[1], bound, False)
        for curve in curves
        if (bound := bounds.get(curve.name))
    ]
    lines += [
        Result(f"{curve.name} at 100,000 drops, of a straight line's", excess(curve) or 0, LINEAR, False)
        for curve in curves
        if curve.name not in bounds
    ]
    return Growth(lines, curves)


def fill_site(site: Site, bundle: Path, count: int) -> None:
    """So many drops, and a bundle that holds them all: one envelope under many names takes no room."""
    bundle.mkdir()
    envelope = site.folder / "envelope"
    envelope.write_bytes(make_envelope())
    size, sha256, week = envelope.stat().st_size, compute_sha256(envelope), this_week()
    names = [secrets.token_hex(16) for _ in range(count)]
    with open_drops(site.data) as drops:
        for name in names:
            os.link(envelope, drops.layout.drop(name))
            os.link(envelope, bundle / f"{name}{ENVELOPE}")
        with drops.engine.begin() as connection:
            rows = [{"name": name, "size": size, "week": week} for name in names]
            connection.execute(insert(DropRow), rows)
    entries = tuple(BundleEntry(f"{name}{ENVELOPE}", size, sha256, week) for name in sorted(names))
    (bundle / LIST_NAME).write_bytes(encode_bundle(Bundle(entries)))


def start_and_stop(site: Site) -> float:
    """The seconds until a new server answers."""
    began = time.perf_counter()
    site.start()
    spent = time.perf_counter() - began
    site.stop()
    return spent


def call_leakdrop(*words: object) -> None:
    done = leakdrop(*words)
    if done.returncode:
        raise RuntimeError(done.stderr)


def keep_one(site: Site) -> float:
    """The seconds that an envelope which has arrived takes to become a drop; then it goes again."""
    envelope = make_envelope()
    with open_drops(site.data) as drops:
        with drops.receive(len(envelope)) as incoming:
            incoming.write(envelope)
            began = time.perf_counter()
            drop = drops.keep(incoming)
            spent = time.perf_counter() - began
        drops.path(drop).unlink()
        drops.recover()
    return spent


def bench_sources(folder: Path, runs: int, _largest: int) -> Growth:
    """One to 48 sources who send 8 MiB each at once."""
    site = make_test_site(folder / "site", [public_key_file("alice")])
    envelope = make_envelope(EACH)
    site.start()
    points = []
    try:
        for count in SOURCES:
            (spent,) = measure(runs, lambda count=count: send_at_once(site, envelope, count))
            points.append((count, spent))
    finally:
        site.stop()
    curve = Curve("sources", "uploads of 8 MiB at once", "sources", tuple(points))
    most, cost = curve.growth()
    return Growth(
        [Result(f"{most} sources at once: seconds, of {most} times one's", cost / most, LINEAR, False)],
        [curve],
    )


def send_at_once(site: Site, envelope: bytes, count: int) -> float:
    clients = [TusClient.direct(site.port) for _ in range(count)]
    senders = [
        threading.Thread(target=client.upload, args=(envelope,), kwargs={"part": 4 * MIB})
        for client in clients
    ]
    began = time.perf_counter()
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    spent = time.perf_counter() - began
    if len(site.envelopes()) != count:
        raise RuntimeError("not all of the envelopes arrived")
    for path in site.envelopes():
        path.unlink()
    return spent
