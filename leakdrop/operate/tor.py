"""What leakdrop asks of tor: the lines of its configuration, and what a tor can do.

Source: tor(1). An option that a tor does not know stops it, so that it is asked first.
"""

import re
import subprocess
from dataclasses import dataclass

from leakdrop.errors import LeakdropError

# Six connections are a browser's; a circuit with more than this many streams is closed.
MAX_STREAMS = 32
OLDEST = (0, 4, 8)  # the first with proof of work for onion services
PATIENCE = 30


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
