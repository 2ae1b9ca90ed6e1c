"""How things are measured: rounds take turns, the fastest are compared, and a line tells what holds."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

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
    """The seconds of each piece of work in its fastest round; they take turns.

    What else the machine does, and its host, only ever adds time. Work that returns seconds timed itself.
    """
    seconds: list[list[float]] = [[] for _ in works]
    for work in works:
        work()  # warm
    for _ in range(runs):
        for number, work in enumerate(works):
            started = time.perf_counter()
            own = work()
            elapsed = time.perf_counter() - started
            seconds[number].append(own if isinstance(own, float) else elapsed)
    return [min(times) for times in seconds]


def call(*command: object) -> None:
    """Run a command to its end."""
    subprocess.run([str(word) for word in command], check=True, stdout=subprocess.DEVNULL)
