"""Sealing and opening, file to file, beside `cp` and `age`; reading anywhere in a large envelope."""

import json
import shutil
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from leakdrop.envelope.opening import open_envelope
from leakdrop.envelope.padding import PIECE
from leakdrop.envelope.sealing import SourceFile, seal
from leakdrop.seal.behind import WriteBehind
from tests.bench.measure import MIB, Result, call, fill, measure, tell
from tests.keys import label_key_pair


@dataclass(frozen=True)
class Work:
    """What sealing or opening took: seconds without the interpreter's start, and the most memory in bytes."""

    seconds: float
    memory: int


def ours(verb: str, source: Path, target: Path) -> Work:
    """`seal` or `open`, file to file, in a process of its own."""
    target.unlink(missing_ok=True)
    command = [sys.executable, "-m", "tests.bench.envelope", verb, source, target]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return Work(**json.loads(done.stdout))


def make(target: Path, *command: object) -> float:
    """The seconds that a command takes to make a file which, as for ours, is not there."""
    target.unlink(missing_ok=True)
    started = time.perf_counter()
    call(*command)
    return time.perf_counter() - started


def do(verb: str, source: Path, target: Path) -> None:
    """What `ours` starts."""
    started = time.perf_counter()
    {"seal": do_seal, "open": do_open}[verb](source, target)
    seconds = time.perf_counter() - started
    most = next(line for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line)
    tell(json.dumps(asdict(Work(seconds, int(most.split()[1]) * 1024))))


def do_seal(source: Path, target: Path) -> None:
    with (
        source.open("rb", buffering=0) as reader,
        target.open("wb", buffering=0) as writer,
        WriteBehind(writer) as sink,
    ):
        files = [SourceFile("file", "", reader)]
        seal([label_key_pair("alice").public], sink, sealed="offline", files=files)


def do_open(source: Path, target: Path) -> None:
    with source.open("rb", buffering=0) as reader, target.open("wb", buffering=0) as writer:
        envelope = open_envelope(reader, [label_key_pair("alice")])
        for piece in envelope.stream_file(0):
            writer.write(piece)
        envelope.check_padding()


def bench_envelope(folder: Path, runs: int) -> list[Result]:
    """Seal and open 1 GiB, file to file."""
    plain = fill(folder / "plain", 1024 * MIB)
    sealed, opened, copy = folder / "sealed", folder / "opened", folder / "copy"
    sealing_memory = ours("seal", plain, sealed).memory
    opening_memory = ours("open", sealed, opened).memory
    seal_s, open_s, copy_s = measure(
        runs,
        lambda: ours("seal", plain, sealed).seconds,
        lambda: ours("open", sealed, opened).seconds,
        lambda: make(copy, "cp", plain, copy),
    )
    results = [
        Result("sealing 1 GiB: speed of a plain copy", copy_s / seal_s, 0.5, True),
        Result("opening 1 GiB: speed of a plain copy", copy_s / open_s, 0.5, True),
        Result("sealing 1 GiB: memory", sealing_memory / MIB, 64, False, "MiB"),
        Result("opening 1 GiB: memory", opening_memory / MIB, 64, False, "MiB"),
    ]
    if shutil.which("age"):
        results += bench_age(folder, runs, plain, sealed)
    else:
        tell("age is not installed: apt-get install age")
    return results


def bench_age(folder: Path, runs: int, plain: Path, sealed: Path) -> list[Result]:
    key, aged, opened = folder / "age.key", folder / "aged", folder / "opened"
    subprocess.run(["age-keygen", "-o", key], check=True, capture_output=True)
    recipient = subprocess.run(["age-keygen", "-y", key], check=True, capture_output=True, text=True)
    seal_s, age_seal_s, open_s, age_open_s = measure(
        runs,
        lambda: ours("seal", plain, sealed).seconds,
        lambda: make(aged, "age", "-r", recipient.stdout.strip(), "-o", aged, plain),
        lambda: ours("open", sealed, opened).seconds,
        lambda: make(opened, "age", "-d", "-i", key, "-o", opened, aged),
    )
    return [
        Result("sealing 1 GiB: speed of age", age_seal_s / seal_s, 2, True),
        Result("opening 1 GiB: speed of age", age_open_s / open_s, 2, True),
    ]


def bench_offsets(folder: Path, runs: int) -> list[Result]:
    """Open 64 KiB at any offset of a 2 GiB envelope: at the start of a chunk, since across two it is two."""
    plain, sealed = fill(folder / "plain", 2048 * MIB), folder / "sealed"
    do_seal(plain, sealed)
    with sealed.open("rb", buffering=0) as file:
        envelope = open_envelope(file, [label_key_pair("alice")])
        offsets = [round(part / 10 * 2047 * MIB / PIECE) * PIECE for part in range(11)]

        def read(offset: int) -> None:
            for _ in range(200):
                envelope.read_file(0, offset, offset + 64 * 1024)

        first, *others = measure(runs, *(lambda offset=offset: read(offset) for offset in offsets))
    return [
        Result(
            "64 KiB anywhere in 2 GiB: slowest of ten offsets to the start", max(others) / first, 1.5, False
        )
    ]


if __name__ == "__main__":
    do(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
