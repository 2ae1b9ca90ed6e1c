"""What leakdrop asks of tor: the lines of its configuration, and what a tor can do.

Source: tor(1). An option that a tor does not know stops it, so that it is asked first.
"""

import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from leakdrop.errors import LeakdropError

# Six connections are a browser's; a circuit with more than this many streams is closed.
MAX_STREAMS = 32
OLDEST = (0, 4, 8)  # the first with proof of work for onion services
PATIENCE = 30
MOST_INCLUDES = 8  # within one another


class TorError(LeakdropError):
    """tor cannot be started: install it with “apt install tor”."""


@dataclass(frozen=True)
class TorProgram:
    """What a tor says of itself."""

    version: tuple[int, ...]
    has_proof_of_work: bool


def ask_tor(program: str = "tor") -> TorProgram:
    """What the tor on this machine can do. Raises TorError if there is none."""
    version = re.search(r"Tor version ([0-9.]+[0-9])", _run(program, "--version"))
    if not version:
        raise TorError
    numbers = tuple(int(number) for number in version[1].split("."))
    modules = _run(program, "--list-modules")
    return TorProgram(numbers, re.search(r"^pow: yes$", modules, re.MULTILINE) is not None)


def _run(*command: str) -> str:
    try:
        done = subprocess.run(  # noqa: S603 - the operator's own tor
            command, capture_output=True, text=True, timeout=PATIENCE, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        raise TorError from None
    return done.stdout


def onion_options(folder: str, socket: str, *, proof_of_work: bool) -> dict[str, str]:
    """The options of our onion service, in their order; the first begins it."""
    options = {
        "HiddenServiceDir": folder,
        "HiddenServicePort": f"80 unix:{socket}",
        "HiddenServiceExportCircuitID": "haproxy",
        "HiddenServiceMaxStreams": str(MAX_STREAMS),
        "HiddenServiceMaxStreamsCloseCircuit": "1",
    }
    if proof_of_work:
        options["HiddenServicePoWDefensesEnabled"] = "1"
    return options


def write_options(options: dict[str, str]) -> str:
    return "".join(f"{name} {value}\n" for name, value in options.items())


@dataclass
class Service:
    """An onion service in a torrc: its folder, its ports, its options by their lower-case names."""

    folder: str
    ports: list[str] = field(default_factory=list)
    options: dict[str, str] = field(default_factory=dict)


@dataclass
class Torrc:
    """A torrc: options by their lower-case names (the last of each name counts), and its onion services."""

    options: dict[str, str] = field(default_factory=dict)
    services: list[Service] = field(default_factory=list)


def read_torrc(path: Path, root: Path = Path("/"), *, depth: int = 0) -> Torrc:
    """What a torrc says, with the files that it includes, below `root`. Raises OSError."""
    torrc = Torrc()
    for line in path.read_text(errors="replace").splitlines():
        name, _, value = line.partition("#")[0].strip().partition(" ")
        name, value = name.lower().removeprefix("+"), value.strip()
        if name == "%include" and depth < MOST_INCLUDES:
            for file in _included(value, root):
                more = read_torrc(file, root, depth=depth + 1)
                torrc.options |= more.options
                torrc.services += more.services
        else:
            _add(torrc, name, value)
    return torrc


def _included(patterns: str, root: Path) -> list[Path]:
    """The files that an %include names: patterns of files, or of folders, whose files are meant."""
    found = [
        path for pattern in patterns.split() for path in sorted(root.glob(pattern.strip('"').lstrip("/")))
    ]
    return [file for path in found for file in (sorted(path.iterdir()) if path.is_dir() else [path])]


def _add(torrc: Torrc, name: str, value: str) -> None:
    if name == "hiddenservicedir":
        torrc.services.append(Service(value.strip('"').rstrip("/")))
    elif name == "hiddenserviceport" and torrc.services:
        torrc.services[-1].ports.append(value)
    elif name.startswith("hiddenservice") and torrc.services:
        torrc.services[-1].options[name] = value
    elif name:
        torrc.options[name] = value
