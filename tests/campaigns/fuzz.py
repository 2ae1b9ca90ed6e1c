"""Any bytes are taken or refused by name, for as long as you like: `make fuzz`.

    python -m tests.campaigns.fuzz [--count N] [--seconds S] [--only TARGET] [--write]

Each target (targets.py) runs in a process of its own under atheris, which follows what parts of the code
an input reaches. Where atheris cannot be had, plain mutation of the seeds takes its place. What escapes
is written to a file, which `--repeat FILE --only TARGET` runs again.
"""

import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from leakdrop.terminal import say
from tests.campaigns.proof import make_parser, report

TITLE = "Hostile bytes"
TEXT = """\
`make fuzz`: each parser is given bytes that a fuzzer makes of the test vectors and of its own finds, by
atheris (libFuzzer), which is led by the code that they reach. “opener” changes a sealed envelope
anywhere; “plaintext” seals any index, padding and trailer properly; “requests” go to the whole
application, without its server. An escape is any exception but the named errors, an answer of 500, an
index that is taken and would be written otherwise, or 30 seconds for one input. Memory is that of the
process, after a tenth of the executions and at the end; the fuzzer's own growing collection of inputs is
in it."""
MEMORY_LIMIT_MIB = 1024


@dataclass(frozen=True)
class Outcome:
    """What came of one target: executions, seconds, MiB early and at the end, and what escaped."""

    executions: int
    seconds: float
    early_mib: int
    late_mib: int
    escape: str


def main() -> int:
    parser = make_parser(__doc__)
    parser.add_argument("--count", type=int, default=10_000_000, metavar="N", help="executions in all")
    parser.add_argument("--seconds", type=int, default=0, metavar="S", help="at most, for each target")
    parser.add_argument("--only", action="append", metavar="TARGET")
    parser.add_argument("--repeat", type=Path, metavar="FILE", help="run the one target on this input")
    parser.add_argument("--child", help="(one target, in a process of its own)")
    given = parser.parse_args()
    if given.child:
        return run_child(given.child, given.count, given.seconds)
    targets = load_targets()
    names = given.only or list(targets)
    if given.repeat:
        targets[names[0]].run(given.repeat.read_bytes())
        return 0
    total = sum(targets[name].share for name in names)
    outcomes = {}
    with tempfile.TemporaryDirectory(prefix="leakdrop-fuzz-") as scratch:
        for name in names:
            count = -(-given.count * targets[name].share // total)
            outcomes[name] = run_target(name, count, given.seconds, Path(scratch))
            say(f"{name}: {outcomes[name]}")
    rows = [
        (
            name,
            f"{it.executions:,}",
            f"{it.seconds:.0f} s",
            f"{it.early_mib} → {it.late_mib} MiB",
            it.escape or 0,
        )
        for name, it in outcomes.items()
    ]
    rows.append(
        (
            "all",
            f"{sum(it.executions for it in outcomes.values()):,}",
            f"{sum(it.seconds for it in outcomes.values()):.0f} s",
            "",
            sum(bool(it.escape) for it in outcomes.values()),
        )
    )
    report(TITLE, TEXT, ("target", "executions", "time", "memory", "escaped"), rows, write=given.write)
    return any(it.escape for it in outcomes.values())


def load_targets():
    # Here, so that atheris can instrument what they import.
    from tests.campaigns.targets import all_targets

    return all_targets()


def run_target(name: str, count: int, seconds: int, folder: Path) -> Outcome:
    """Fuzz one target in a process of its own."""
    command = [sys.executable, "-m", "tests.campaigns.fuzz", "--child", name]
    command += ["--count", str(count), "--seconds", str(seconds)]
    escapes = folder / name.replace(" ", "-")
    escapes.mkdir()
    began = time.monotonic()
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "LEAKDROP_FUZZ_FOLDER": str(escapes)}
    )
    return _read(done, time.monotonic() - began, escapes)


def _read(done: subprocess.CompletedProcess, seconds: float, folder: Path) -> Outcome:
    """What a child told: libFuzzer's lines, or one of our own."""
    text = done.stderr + done.stdout
    memory = [(int(number), int(mib)) for number, mib in re.findall(r"#(\d+)\s.*rss: (\d+)Mb", text)]
    executions = max([0, *(number for number, _ in memory)])
    early = next((mib for number, mib in memory if number >= executions / 10), 0)
    late = memory[-1][1] if memory else 0
    escape = ""
    if done.returncode:
        kept = Path(tempfile.gettempdir()) / f"leakdrop-escape-{folder.name}"
        for path in folder.glob("*-*"):
            kept.write_bytes(path.read_bytes())
        reason = re.findall(
            r"(?m)^\s*(?:=== )?(\w*(?:Error|Exception)\b.*|.*ALARM.*|.*out-of-memory.*)$", text
        )
        escape = f"{reason[-1] if reason else done.returncode}: {kept}"
        say(text[-3000:])
    return Outcome(executions, seconds, early, late, escape)


def run_child(name: str, count: int, seconds: int) -> int:
    """Fuzz one target in this process; libFuzzer ends it."""
    folder = Path(os.environ["LEAKDROP_FUZZ_FOLDER"])
    try:
        import atheris
    except ImportError:
        return mutate(name, count, seconds, folder)
    with atheris.instrument_imports(include=["leakdrop", "multipart"]):
        target = load_targets()[name]
    seeds = folder / "seeds"
    seeds.mkdir()
    for number, seed in enumerate(target.seeds()):
        (seeds / str(number)).write_bytes(seed)
    options = {
        "runs": count,
        "max_total_time": seconds,
        "max_len": target.longest,
        "timeout": 30,
        "rss_limit_mb": MEMORY_LIMIT_MIB,
        "artifact_prefix": f"{folder}/escape-",
        "verbosity": 1,
        "close_fd_mask": 1,
    }
    atheris.Setup([name, *(f"-{key}={value}" for key, value in options.items()), str(seeds)], target.run)
    atheris.Fuzz()
    return 0


def mutate(name: str, count: int, seconds: int, folder: Path) -> int:
    """Fuzz one target with plain mutations of its seeds; tells as libFuzzer would."""
    target = load_targets()[name]
    seeds = [seed[: target.longest] for seed in target.seeds()]
    chance = random.Random(name)
    began = time.monotonic()
    for number in range(1, count + 1):
        given = change(chance.choice(seeds), chance)
        try:
            target.run(given)
        except BaseException:
            (folder / "escape-0").write_bytes(given)
            raise
        if number & (number - 1) == 0 or number == count:
            say(f"#{number} rss: {_resident_mib()}Mb")
        if seconds and number % 256 == 0 and time.monotonic() - began > seconds:
            say(f"#{number} rss: {_resident_mib()}Mb")
            break
    return 0


def change(seed: bytes, chance: random.Random) -> bytes:
    """One seed with one to four changes: a bit, a few bytes, a cut, a repetition."""
    given = bytearray(seed)
    for _ in range(chance.randrange(1, 5)):
        place = chance.randrange(len(given) + 1)
        match chance.randrange(5):
            case 0 if given:
                given[place % len(given)] ^= 1 << chance.randrange(8)
            case 1:
                given[place : place + chance.randrange(4)] = chance.randbytes(chance.randrange(5))
            case 2:
                del given[place : place + chance.randrange(40)]
            case 3:
                given[place:place] = given[chance.randrange(len(given) + 1) :][:40]
            case 4:
                given[place:place] = json.dumps(
                    chance.choice([-1, 2**53, 1e308, True, None, "\0", []])
                ).encode()
    return bytes(given)


def _resident_mib() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 >> 20


if __name__ == "__main__":
    sys.exit(main())
