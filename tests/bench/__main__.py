"""Speed and memory, as ratios to a peer or a limit within one run: `make bench`.

    python -m tests.bench [--folder DIR] [--runs N] [--largest MIB] [--write] [NAME …]

Rounds take turns (ours, peer, ours, peer, …) and the fastest are compared, so that other work on the
machine meets all alike and counts little. The files lie in memory (/dev/shm) where there is room: a disk
would be what is measured. Peers that are not installed are left out, and a line says so.
"""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from tests.bench.document import write_document
from tests.bench.envelope import bench_envelope, bench_offsets
from tests.bench.form import bench_form
from tests.bench.growth import bench_drops, bench_sizes, bench_sources
from tests.bench.measure import MIB, tell
from tests.bench.review import bench_extract, bench_list
from tests.bench.uploads import bench_browser, bench_uploads
from tests.bench.viewer import bench_viewer

BENCHES = {
    "envelope": bench_envelope,
    "offsets": bench_offsets,
    "list": bench_list,
    "extract": bench_extract,
    "view": bench_viewer,
    "form": bench_form,
    "uploads": bench_uploads,
    "browser": bench_browser,
}
# How cost grows; with curves.
GROWTHS = {"sizes": bench_sizes, "drops": bench_drops, "sources": bench_sources}
NEEDED = 10 * 1024 * MIB


def choose_folder() -> Path:
    memory = Path("/dev/shm")
    roomy = memory.is_dir() and shutil.disk_usage(memory).free > NEEDED
    return memory if roomy else Path(tempfile.gettempdir())


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"of {', '.join((*BENCHES, *GROWTHS))}; default: all"
    )
    parser.add_argument("--folder", type=Path, default=choose_folder(), help="where the files lie")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--largest", type=int, default=4096, metavar="MIB", help="the largest of the sizes")
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks.md and its drawing")
    given = parser.parse_args()
    results, curves = [], []
    for name in given.names or (*BENCHES, *GROWTHS):
        with tempfile.TemporaryDirectory(dir=given.folder) as folder:
            if name in BENCHES:
                results += BENCHES[name](Path(folder), given.runs)
                continue
            grown = GROWTHS[name](Path(folder), given.runs, given.largest)
            results += grown.results
            curves += grown.curves
    tell(f"\nFiles in {given.folder}, {given.runs} rounds.\n")
    tell("| what | measured | wanted | holds |\n|---|---|---|---|")
    tell("\n".join(map(str, results)))
    for curve in curves:
        tell(f"{curve.name}: " + ", ".join(f"{x:,} {curve.of} {y:.3f} s" for x, y in curve.points))
    if given.write:
        write_document(results, curves, given.folder, given.runs)
    return 0 if all(result.holds for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
