"""What a look finds, and the machine that it looks at."""

import datetime
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TypeAlias

from leakdrop.config import Config
from leakdrop.store.health import Health

TORRC = Path("/etc/tor/torrc")


class State(StrEnum):
    """Right, wrong, or could not be looked at."""

    RIGHT = "right"
    WRONG = "wrong"
    UNSEEN = "unseen"


@dataclass(frozen=True)
class Finding:
    """One line: what was looked at, how it is, and for what is wrong how to mend it."""

    subject: str
    state: State
    says: str
    mend: str = ""


def right(subject: str, says: str) -> Finding:
    return Finding(subject, State.RIGHT, says)


def wrong(subject: str, says: str, mend: str) -> Finding:
    return Finding(subject, State.WRONG, says, mend)


def unseen(subject: str, why: str) -> Finding:
    return Finding(subject, State.UNSEEN, f"could not look: {why}")


@dataclass(frozen=True)
class Mount:
    """A mounted file system: where, of which type, its device's number (253:0) and name."""

    point: Path
    kind: str
    device: str
    source: str


@dataclass(frozen=True)
class Machine:
    """A machine's files, below `root`: /proc, /sys and /etc of the running one, or those of another."""

    root: Path = Path("/")

    def path(self, name: str | Path) -> Path:
        return self.root / str(name).lstrip("/")

    def read(self, name: str) -> str:
        """The text of a file. Raises OSError."""
        return self.path(name).read_text(errors="replace")

    def mount_of(self, path: Path) -> Mount | None:
        """The file system that a path lies on (proc(5), mountinfo). Raises OSError."""
        found = None
        for line in self.read("proc/self/mountinfo").splitlines():
            words, _, rest = line.partition(" - ")
            fields, kind_source = words.split(), rest.split()
            point = Path(fields[4].encode("latin-1", "replace").decode("unicode_escape"))
            # Of two on one point the later one is on top.
            is_nearer = found is None or len(point.parts) >= len(found.point.parts)
            if path.is_relative_to(point) and is_nearer:
                found = Mount(point, kind_source[0], fields[2], kind_source[1])
        return found

    def is_encrypted(self, mount: Mount) -> bool:
        """Whether all that lies on a file system is encrypted by the kernel (dm-crypt). Raises OSError."""
        block = self.path(f"sys/dev/block/{mount.device}")
        if not block.is_dir():
            # btrfs has a device number of its own: its source tells more.
            block = self.path(f"sys/class/block/{Path(mount.source).name}")
            named = [
                dm.parent for dm in self.path("sys/class/block").glob("*/dm") if _has_name(dm, mount.source)
            ]
            block = named[0] if named else block
        return block.is_dir() and self.is_block_encrypted(block)

    def is_block_encrypted(self, block: Path) -> bool:
        """Whether a block device is one of dm-crypt's, or lies on such ones only."""
        uuid = block / "dm" / "uuid"
        if uuid.is_file() and uuid.read_text().startswith("CRYPT-"):
            return True
        slaves = list((block / "slaves").iterdir()) if (block / "slaves").is_dir() else []
        return bool(slaves) and all(
            self.is_block_encrypted(self.path(f"sys/class/block/{slave.name}")) for slave in slaves
        )

    def programs(self) -> Iterator[tuple[int, str, str]]:
        """The processes that can be seen: number, name, command line."""
        for path in self.path("proc").glob("[0-9]*/comm"):
            try:
                command = (path.parent / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                yield int(path.parent.name), path.read_text(errors="replace").strip(), command
            except OSError:
                continue  # it has ended

    def holder_of(self, lock: Path) -> int | None:
        """The number of the process that holds a file's lock (proc(5), locks). Raises OSError."""
        inode = lock.stat().st_ino
        for line in self.read("proc/locks").splitlines():
            words = line.split()
            if len(words) > 5 and words[1] == "FLOCK" and words[5].rpartition(":")[2] == str(inode):
                return int(words[4])
        return None


def _has_name(device_mapper: Path, source: str) -> bool:
    name = device_mapper / "name"
    return name.is_file() and name.read_text().strip() == Path(source).name


@dataclass(frozen=True)
class Patient:
    """What is looked at: a site, its configuration file, the machine, the day (UTC), the tor's torrc."""

    config: Config
    config_path: Path
    today: datetime.date
    torrc: Path
    machine: Machine = Machine()
    health: Health | None = None


Look: TypeAlias = Callable[[Patient], Iterator[Finding]]
