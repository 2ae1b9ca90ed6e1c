"""docs/benchmarks.md and its drawing, from one run."""

import os
import platform
import shutil
from collections.abc import Sequence
from pathlib import Path

from tests.bench.growth import Curve
from tests.bench.measure import Result
from tests.bench.plot import draw

DOCS = Path(__file__).parents[2] / "docs"
INTRODUCTION = """\
# Benchmarks

Written by `make bench`; every figure is of one run on one machine, and only ratios within it mean anything.
Rounds take turns, and the fastest are compared. What is wanted was fixed before it was measured.

*{cores} cores, {machine}, Python {python}; load average {load:.1f} at the end; files in {folder};
{runs} rounds. Peers: {peers}.*
"""
PEERS = ("age", "gpg", "onionshare-cli", "gunicorn")


def write_document(results: Sequence[Result], curves: Sequence[Curve], folder: Path, runs: int) -> None:
    parts = [
        INTRODUCTION.format(
            cores=os.cpu_count(),
            machine=platform.machine(),
            load=os.getloadavg()[0],
            python=platform.python_version(),
            folder="memory" if folder.is_relative_to("/dev/shm") else "the temporary folder",
            runs=runs,
            peers=", ".join(name for name in PEERS if shutil.which(name) or name == "gunicorn"),
        ),
        "## What holds\n\n| what | measured | wanted | holds |\n|---|---|---|---|",
        "\n".join(map(str, results)),
    ]
    if curves:
        (DOCS / "benchmarks.svg").write_text(draw(curves))
        parts.append("\n## How cost grows\n\n![Cost over size, drops and sources](benchmarks.svg)\n")
        parts += [table(panel, curves) for panel in dict.fromkeys(curve.panel for curve in curves)]
    (DOCS / "benchmarks.md").write_text("\n".join(parts) + "\n")


def table(panel: str, curves: Sequence[Curve]) -> str:
    """Seconds, a line for each number."""
    of_panel = [curve for curve in curves if curve.panel == panel]
    lines = [
        f"| {of_panel[0].of} | {' | '.join(curve.name for curve in of_panel)} |",
        f"|{'---|' * (len(of_panel) + 1)}",
    ]
    for number, (x, _) in enumerate(of_panel[0].points):
        cells = " | ".join(f"{curve.points[number][1]:.3f} s" for curve in of_panel)
        lines.append(f"| {x:,} | {cells} |")
    return "\n".join([*lines, ""])
