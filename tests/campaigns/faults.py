"""The layer of faults.c between a program, its disk and its clock: calls fail, or are the last ones."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).with_name("faults.c")
# Every call by which a file comes, grows, shrinks, becomes durable, or goes.
CHANGES = (
    "write",
    "pwrite",
    "pwrite64",
    "fsync",
    "fdatasync",
    "ftruncate",
    "ftruncate64",
    "rename",
    "unlink",
)
SYNCS = ("fsync", "fdatasync")
KILL = "kill"


@dataclass(frozen=True)
class FaultLayer:
    """A built layer, for one folder whose files it watches; `plan` may change while a program runs."""

    library: Path
    folder: Path
    calls: tuple[str, ...] = CHANGES

    @property
    def plan_file(self) -> Path:
        return self.library.with_suffix(".plan")

    @property
    def prefix(self) -> tuple[str, ...]:
        """What stands in front of a command that is to run above the layer."""
        return (
            "env",
            f"LD_PRELOAD={self.library}",
            f"LEAKDROP_FAULT_DIR={self.folder.resolve()}/",
            f"LEAKDROP_FAULT_CALLS={','.join(self.calls)},",
            f"LEAKDROP_FAULT_PLAN={self.plan_file}",
            f"LEAKDROP_FAULT_CLOCK={self.library.with_suffix('.clock')}",
        )

    def plan(self, first: int, last: int, do: str | int) -> None:
        """Fail (an errno), or kill, from the first to the last of the calls that follow; 1 is the next."""
        fresh = self.plan_file.with_suffix(".new")
        fresh.write_text(f"{first} {last} {do}\n")
        fresh.rename(self.plan_file)

    def set_clock(self, hours: int) -> None:
        """Set the time of day wrong by so many hours."""
        fresh = self.library.with_suffix(".tick")
        fresh.write_text(f"{hours * 3600}\n")
        fresh.rename(self.library.with_suffix(".clock"))

    def heal(self) -> None:
        self.plan(0, 0, 0)


def build_layer(scratch: Path, folder: Path, calls: tuple[str, ...] = CHANGES) -> FaultLayer:
    """Compile the layer into `scratch`; gcc must be there."""
    library = scratch / "faults.so"
    compiler = os.environ.get("CC", "gcc")
    subprocess.run([compiler, "-shared", "-fPIC", "-O2", "-o", library, SOURCE, "-ldl"], check=True)
    layer = FaultLayer(library, folder, calls)
    layer.heal()
    return layer
