"""Speed and memory, as ratios to a peer or a limit within one run: `make bench`.

    python -m tests.bench [--folder DIR] [--runs N] [envelope|offsets|form] …

Rounds take turns (ours, peer, ours, peer, …), and medians are compared, so that other work on the machine
meets all alike. Peers that are not installed are left out, and the table says so.
"""

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from leakdrop.envelope.opening import open_envelope
from leakdrop.envelope.sealing import SourceFile, seal
from tests.keys import label_key_pair, public_key_file
from tests.site import BIN, free_port, make_test_site, wait_until

MIB = 1024 * 1024
PIECE = 4 * MIB


@dataclass(frozen=True)
class Result:
    """One line of the table: what was measured against what, and what it should be at least or at most."""

    what: str
    value: float
    bound: float
    at_least: bool
    unit: str = "×"

    @property
    def holds(self) -> bool:
        return self.value >= self.bound if self.at_least else self.value <= self.bound

    def __str__(self) -> str:
        sign = "≥" if self.at_least else "≤"
        mark = "yes" if self.holds else "NO"
        return f"| {self.what} | {self.value:.2f} {self.unit} | {sign} {self.bound:g} {self.unit} | {mark} |"


def tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def fill(path: Path, size: int) -> Path:
    """A file of noise."""
    noise = os.urandom(PIECE)
    with path.open("wb") as file:
        for _ in range(size // PIECE):
            file.write(noise)
    return path


def measure(runs: int, *works: Callable[[], object]) -> list[float]:
    """The median seconds of each piece of work; they take turns."""
    seconds: list[list[float]] = [[] for _ in works]
    for work in works:
        work()  # warm
    for _ in range(runs):
        for number, work in enumerate(works):
            started = time.perf_counter()
            work()
            seconds[number].append(time.perf_counter() - started)
    return [statistics.median(times) for times in seconds]


def call(*command: object) -> resource.struct_rusage:
    """Run a command to its end, and return what it used."""
    process = subprocess.Popen([str(word) for word in command], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{command[0]} failed")
    return usage


def ours(verb: str, source: Path, target: Path) -> resource.struct_rusage:
    """`seal` or `open`, file to file, in a process of its own."""
    return call(sys.executable, "-m", "tests.bench", f"--{verb}", source, target)


def do_seal(source: Path, target: Path) -> None:
    with source.open("rb", buffering=0) as reader, target.open("wb", buffering=0) as writer:
        files = [SourceFile("file", "", reader)]
        seal([label_key_pair("alice").public], writer, sealed="offline", files=files)


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
    sealing_memory = ours("seal", plain, sealed).ru_maxrss
    opening_memory = ours("open", sealed, opened).ru_maxrss
    copying = lambda: call("cp", plain, copy)  # noqa: E731
    seal_s, open_s, copy_s = measure(
        runs, lambda: ours("seal", plain, sealed), lambda: ours("open", sealed, opened), copying
    )
    results = [
        Result("sealing 1 GiB: speed of a plain copy", copy_s / seal_s, 0.5, True),
        Result("opening 1 GiB: speed of a plain copy", copy_s / open_s, 0.5, True),
        Result("sealing 1 GiB: memory", sealing_memory / 1024, 64, False, "MiB"),
        Result("opening 1 GiB: memory", opening_memory / 1024, 64, False, "MiB"),
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
    encrypting = ("age", "-r", recipient.stdout.strip(), "-o", aged, plain)
    seal_s, age_seal_s, open_s, age_open_s = measure(
        runs,
        lambda: ours("seal", plain, sealed),
        lambda: call(*encrypting),
        lambda: ours("open", sealed, opened),
        lambda: call("age", "-d", "-i", key, "-o", opened, aged),
    )
    return [
        Result("sealing 1 GiB: speed of age", age_seal_s / seal_s, 2, True),
        Result("opening 1 GiB: speed of age", age_open_s / open_s, 2, True),
    ]


def bench_offsets(folder: Path, runs: int) -> list[Result]:
    """Open 64 KiB at any offset of a 2 GiB envelope."""
    plain, sealed = fill(folder / "plain", 2048 * MIB), folder / "sealed"
    do_seal(plain, sealed)
    with sealed.open("rb", buffering=0) as file:
        envelope = open_envelope(file, [label_key_pair("alice")])
        offsets = [int(part / 10 * 2047 * MIB) for part in range(11)]

        def read(offset: int) -> None:
            for _ in range(50):
                envelope.read_file(0, offset, offset + 64 * 1024)

        first, *others = measure(runs, *(lambda offset=offset: read(offset) for offset in offsets))
    return [
        Result(
            "64 KiB anywhere in 2 GiB: slowest of ten offsets to the start", max(others) / first, 1.5, False
        )
    ]


FLASK_APP = """
from flask import Flask, request

app = Flask(__name__)


@app.post("/submit")
def submit():
    request.files["files"].save("/dev/null")
    return "ok"
"""


def bench_form(folder: Path, runs: int) -> list[Result]:
    """The sealing form takes in 512 MiB, beside Flask's own parser on the same server."""
    upload = fill(folder / "upload", 512 * MIB)
    site = make_test_site(folder / "site", [public_key_file("alice")])
    site.start()
    flask, flask_port = start_flask(folder)
    peers: dict[str, Callable[[], object]] = {
        "Flask's own multipart parsing": lambda: post(upload, flask_port, "/submit")
    }
    onionshare = start_onionshare(folder)
    if onionshare:
        peers["OnionShare's receive mode"] = lambda: post(upload, onionshare[1], "/upload", "file[]")
    try:
        ours_s, *peer_s = measure(runs, lambda: send_and_forget(site, upload), *peers.values())
        memory = measure_memory(site, upload)
    finally:
        site.stop()
        for process in [flask, *([onionshare[0]] if onionshare else [])]:
            process.terminate()
            process.wait()
    results = [
        Result(f"the form takes 512 MiB: speed of {name}", seconds / ours_s, 1.3, True)
        for name, seconds in zip(peers, peer_s, strict=True)
    ]
    return [*results, Result("eight uploads of 512 MiB at once: memory", memory / MIB, 100, False, "MiB")]


def post(upload: Path, port: int, path: str, field: str = "files") -> None:
    call("curl", "-sf", "-o", "/dev/null", "-F", f"{field}=@{upload}", f"http://127.0.0.1:{port}{path}")


def send_and_forget(site, upload: Path) -> None:
    post(upload, site.port, "/submit")
    for path in site.envelopes():
        path.unlink()


def start_flask(folder: Path) -> tuple[subprocess.Popen, int]:
    """Flask's own parser, on the server that leakdrop uses, with as many threads."""
    (folder / "flaskapp.py").write_text(FLASK_APP)
    port = free_port()
    options = [
        "--worker-class",
        "gthread",
        "--threads",
        "64",
        "--bind",
        f"127.0.0.1:{port}",
        "--no-control-socket",
    ]
    process = subprocess.Popen(
        [BIN / "gunicorn", *options, "--log-level", "error", "flaskapp:app"],
        cwd=folder,
        env={**os.environ, "TMPDIR": str(folder)},
    )
    wait_until(lambda: is_listening(port))
    return process, port


def start_onionshare(folder: Path) -> tuple[subprocess.Popen, int] | None:
    """OnionShare's receive mode without Tor, if it is installed."""
    program = shutil.which("onionshare-cli")
    if not program:
        tell("OnionShare is not installed: pip install onionshare-cli, in an environment of its own")
        return None
    command = [program, "--local-only", "--receive", "--public", "--data-dir", folder / "onionshare"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    for line in process.stdout:
        if "http://127.0.0.1:" in line:
            return process, int(line.rpartition(":")[2].strip().strip("/"))
    return None


def is_listening(port: int) -> bool:
    import socket

    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def measure_memory(site, upload: Path) -> int:
    """The most memory of the server's processes together, in bytes, shared pages counted once (PSS)."""
    senders = [threading.Thread(target=post, args=(upload, site.port, "/submit")) for _ in range(8)]
    for sender in senders:
        sender.start()
    most = 0
    while any(sender.is_alive() for sender in senders):
        most = max(most, read_memory(os.getpgid(site.process.pid)))
        time.sleep(0.05)
    return most


def read_memory(group: int) -> int:
    total = 0
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if os.getpgid(int(process.name)) == group:
                lines = (process / "smaps_rollup").read_text().splitlines()
                total += next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
        except OSError:
            continue
    return total


BENCHES = {"envelope": bench_envelope, "offsets": bench_offsets, "form": bench_form}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHES)}; default: all")
    parser.add_argument("--folder", type=Path, help="where the files lie (10 GiB free); default: TMPDIR")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seal", nargs=2, type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--open", nargs=2, type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.seal or given.open:
        (do_seal if given.seal else do_open)(*(given.seal or given.open))
        return 0
    results = []
    for name in given.names or BENCHES:
        with tempfile.TemporaryDirectory(dir=given.folder) as folder:
            results += BENCHES[name](Path(folder), given.runs)
    tell("\n| what | measured | wanted | holds |\n|---|---|---|---|")
    tell("\n".join(map(str, results)))
    return 0 if all(result.holds for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
