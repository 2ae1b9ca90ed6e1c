"""A program with nothing but what it works on: bubblewrap.

No network, a system that it cannot change, none of the user's other files, no other processes. Where there is
no bubblewrap, or the system does not let it work, nothing takes its place.
"""

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib64")
# What programs, fonts and types of files are looked up in.
SETTINGS = ("/etc/alternatives", "/etc/fonts", "/etc/ld.so.cache", "/etc/mime.types")
TEMPORARY = "tmp"
SECONDS = 20
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "HOME": "/tmp", "LC_ALL": "C.UTF-8"}  # noqa: S108 - of its own


def find_bwrap() -> str | None:
    """Where bubblewrap is, if it is there and works."""
    bwrap = shutil.which("bwrap")
    if not bwrap:
        return None
    command = [bwrap, *_make_words(), "--", "/usr/bin/env", "true"]
    try:
        done = subprocess.run(command, check=False, capture_output=True, timeout=SECONDS)  # noqa: S603 - ours
    except subprocess.TimeoutExpired:
        return None
    return bwrap if done.returncode == 0 else None


def confine(bwrap: str, work: Path, read: Sequence[str]) -> list[str]:
    """The beginning of a command that runs in the folder `work` alone, and changes none of the files `read`.

    What it writes beside them stays. `work` holds a folder `tmp` for what it needs meanwhile.
    """
    folder = str(work.absolute())
    words = ["--bind", folder, "/files", "--bind", f"{folder}/{TEMPORARY}", "/tmp"]  # noqa: S108 - of its own
    for name in read:
        words += ["--ro-bind", f"{folder}/{name}", f"/files/{name}"]
    return [bwrap, *_make_words(), *words, "--chdir", "/files", "--"]


def _make_words() -> list[str]:
    words = ["--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL"]
    for path in (*SYSTEM, *SETTINGS):
        words += ["--ro-bind-try", path, path]
    # mat2 would use it once more, within, where that may not be allowed.
    if Path("/usr/bin/bwrap").exists():
        words += ["--ro-bind", "/dev/null", "/usr/bin/bwrap"]
    return [*words, "--proc", "/proc", "--dev", "/dev"]
