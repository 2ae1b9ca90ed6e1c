"""The reviewer's commands: `list` on many envelopes, `extract` of a large one beside `age` and sha256sum."""

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from leakdrop.envelope.header import CHUNK, header_length
from leakdrop.envelope.sealing import SourceFile, seal
from tests.bench.envelope import make
from tests.bench.measure import MIB, Result, call, fill, measure, tell
from tests.review.inboxes import Reviewer, make_reviewer, seal_bytes, write_bundle

ENVELOPES = 1000
REVIEW = Path(sys.executable).with_name("leakdrop-review")


@dataclass(frozen=True)
class Looked:
    """What listing an inbox took: seconds without start and passphrase, and the bytes that were read."""

    seconds: float
    read: int


def look(folder: Path, reviewer: Reviewer) -> Looked:
    """Look at each envelope, as `list` does, in a process of its own."""
    command = [sys.executable, "-m", "tests.bench.review", folder, reviewer.label, reviewer.secret]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return Looked(**json.loads(done.stdout.splitlines()[-1]))


def do_look(folder: Path, reviewer: Reviewer) -> None:
    """What `look` starts."""
    from leakdrop.review.inbox import look_at, open_inbox

    keys = reviewer.options.open()
    inbox = open_inbox(folder)
    before, started = count_read(), time.perf_counter()
    for item in inbox.items:
        if look_at(item, keys.pairs).refusal:
            raise SystemExit(f"{item.name} did not open")
    tell(json.dumps(asdict(Looked(time.perf_counter() - started, count_read() - before))))


def count_read() -> int:
    """The bytes that this process has read so far."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("rchar"))


def bench_list(folder: Path, runs: int) -> list[Result]:
    """Look at 1,000 envelopes, and at one of 256 MiB."""
    reviewer = make_reviewer(folder / "keys", "Reviewers")
    files = [(f"{number}.jpg", os.urandom(20_000)) for number in range(10)]
    many = [seal_bytes([reviewer.public], f"message {number}", files) for number in range(ENVELOPES)]
    write_bundle(folder / "many", many)
    (large,) = write_bundle(folder / "large", [b""])
    with large.open("wb") as sink, fill(folder / "plain", 256 * MIB).open("rb") as plain:
        seal([reviewer.public], sink, sealed="browser", files=[SourceFile("a", "", plain)])
    (seconds,) = measure(runs, lambda: look(folder / "many", reviewer).seconds)
    whole = look(folder / "large", reviewer).read
    return [
        Result("list: one of 1,000 envelopes", seconds / ENVELOPES * 1000, 5, False, "ms"),
        Result(
            "list: bytes read of 256 MiB, to its header, first chunk, last chunk and index",
            whole / (header_length(1) + 3 * CHUNK),
            1.5,
            False,
        ),
    ]


def bench_extract(folder: Path, runs: int) -> list[Result]:
    """Extract 1 GiB: every byte checked and brought to the disk, envelope and files summed."""
    if not shutil.which("age"):
        tell("age is not installed: apt-get install age")
        return []
    reviewer = make_reviewer(folder / "keys", "Reviewers")
    plain, sealed, out = fill(folder / "plain", 1024 * MIB), folder / "x.envelope", folder / "out"
    with sealed.open("wb") as sink, plain.open("rb") as source:
        seal([reviewer.public], sink, sealed="browser", files=[SourceFile("a", "", source)])
    key, aged, opened = folder / "age.key", folder / "aged", folder / "opened"
    subprocess.run(["age-keygen", "-o", key], check=True, capture_output=True)
    recipient = subprocess.run(["age-keygen", "-y", key], check=True, capture_output=True, text=True)
    call("age", "-r", recipient.stdout.strip(), "-o", aged, plain)
    plain.unlink()

    def extract() -> float:
        shutil.rmtree(out, ignore_errors=True)
        started = time.perf_counter()
        call(REVIEW, "extract", sealed, *reviewer.arguments, "-o", out)
        return time.perf_counter() - started

    def summed() -> float:
        seconds = make(opened, "age", "-d", "-i", key, "-o", opened, aged)
        started = time.perf_counter()
        call("sha256sum", aged, opened)
        return seconds + time.perf_counter() - started

    ours, age, both = measure(
        runs, extract, lambda: make(opened, "age", "-d", "-i", key, "-o", opened, aged), summed
    )
    # Told without a bound: the sum of the envelope alone takes longer than half of what age does (ADR 17).
    tell(f"extract of 1 GiB: {age / ours:.2f} × the speed of age -d, which sums nothing")
    return [Result("extract of 1 GiB: speed of age -d and sha256sum of both files", both / ours, 2, True)]


if __name__ == "__main__":
    do_look(Path(sys.argv[1]), Reviewer(sys.argv[2], Path(sys.argv[3])))
