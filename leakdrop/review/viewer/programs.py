"""The browser and the player: found, and started with a list of arguments, never by a shell.

Firefox keeps what it plays in a temporary file, whatever Cache-Control says, unless it is told not to: so it
gets a profile of its own, in which nothing goes to the disk, no script runs, and no address but this
machine's is reached. The profile is gone when the viewer ends.
"""

import json
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import webbrowser
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from leakdrop.terminal import note

FIREFOX = ("firefox-esr", "firefox")
PATIENCE = 10  # seconds

PREFERENCES: dict[str, bool | int | str] = {
    # Nothing of what is shown goes to the disk.
    "browser.privatebrowsing.autostart": True,
    "browser.privatebrowsing.forceMediaMemoryCache": True,
    "browser.cache.disk.enable": False,
    "browser.sessionstore.resume_from_crash": False,
    "browser.pagethumbnails.capturing_disabled": True,
    "toolkit.crashreporter.submitURL": "",
    # The pages have no script; what a source sent shall have none either.
    "javascript.enabled": False,
    "pdfjs.disabled": True,
    "svg.disabled": True,
    "extensions.enabledScopes": 0,
    "xpinstall.enabled": False,
    # This machine only: everything else goes to a proxy that is not there.
    "network.proxy.type": 1,
    "network.proxy.socks": "127.0.0.1",
    "network.proxy.socks_port": 9,
    "network.proxy.socks_remote_dns": True,
    "network.proxy.failover_direct": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "network.dns.disablePrefetch": True,
    "network.prefetch-next": False,
    "network.http.speculative-parallel-limit": 0,
    "app.normandy.enabled": False,
    "app.update.auto": False,
    "browser.aboutwelcome.enabled": False,
    "browser.region.update.enabled": False,
    "browser.safebrowsing.malware.enabled": False,
    "browser.safebrowsing.phishing.enabled": False,
    "browser.search.update": False,
    "browser.shell.checkDefaultBrowser": False,
    "browser.startup.homepage_override.mstone": "ignore",
    "browser.startup.page": 0,
    "datareporting.policy.dataSubmissionEnabled": False,
    "extensions.update.enabled": False,
    "media.gmp-manager.updateEnabled": False,
    "toolkit.telemetry.server": "data:,",
}


@contextmanager
def browse(address: str) -> Iterator[Callable[[], bool]]:
    """Open an address in Firefox, or in whatever browser there is. Gives whether the reviewer closed it.

    A Firefox that we started is ended, and its profile removed.
    """
    found = next(filter(None, map(shutil.which, FIREFOX)), None)
    if found is None:
        note(
            "There is no Firefox here. In another browser use a private window: "
            "even so, it may keep on the disk what you play."
        )
        # Some are waited for until they end, and none gets a page before the viewer serves.
        threading.Thread(target=_browse_elsewhere, args=[address], daemon=True).start()
        yield lambda: False
        return
    with tempfile.TemporaryDirectory(
        prefix="leakdrop-", dir=_find_place(), ignore_cleanup_errors=True
    ) as folder:
        profile = Path(folder)
        lines = (
            f"user_pref({json.dumps(name)}, {json.dumps(value)});\n" for name, value in PREFERENCES.items()
        )
        (profile / "user.js").write_text("".join(lines))
        command = [found, "--no-remote", "--new-instance", "--profile", folder, "--new-window", address]
        with running(command, "Open the address above in a browser yourself.") as is_over:
            yield is_over


def _find_place() -> Path | None:
    """Where a profile can lie: a Firefox from a snap sees no folder but its own."""
    snap = Path.home() / "snap" / "firefox" / "common"
    return snap if snap.is_dir() else None


def _browse_elsewhere(address: str) -> None:
    try:
        is_open = webbrowser.open(address)
    except webbrowser.Error:
        is_open = False
    if not is_open:
        note("No browser was found: open the address in one.")


@contextmanager
def running(command: Sequence[str], otherwise: str) -> Iterator[Callable[[], bool]]:
    """Run a program. Gives whether it has ended as it should; at the end it is ended, if it still runs.

    If it ends with an error, `otherwise` says what to do.
    """
    process = subprocess.Popen(  # noqa: S603 - a list of arguments, and none of a source's
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=os.name != "nt",  # Ctrl-C is for us
    )
    told = False

    def is_over() -> bool:
        nonlocal told
        code = process.poll()
        if code and not told:
            told = True
            note(f"{Path(command[0]).name} has ended with an error. {otherwise}")
        return code == 0

    try:
        yield is_over
    finally:
        _end(process)


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End a program with all that it started, and wait for it."""
    for number in (signal.SIGTERM, getattr(signal, "SIGKILL", signal.SIGTERM)):
        if process.poll() is not None:
            return
        with suppress(ProcessLookupError):
            if os.name == "nt":
                process.terminate()
            else:
                os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(PATIENCE)


PLAYERS: dict[str, tuple[str, ...]] = {
    "mpv": ("--no-ytdl", "--force-window=yes", "--playlist={}"),
    "vlc": ("--no-qt-recentplay", "--no-metadata-network-access", "--play-and-exit", "{}"),
    "xdg-open": ("{}",),
}
# It hands the list over to another program, and ends at once.
HANDS_OVER = frozenset({"xdg-open"})


def find_player() -> tuple[str, list[str]] | None:
    """The name of the first player that is there, and its command; `{}` stands for the playlist."""
    for name, words in PLAYERS.items():
        if path := shutil.which(name):
            return name, [path, *words]
    return None


@contextmanager
def write_playlist(addresses: Sequence[str]) -> Iterator[Path]:
    """A playlist, readable for this user alone: what a program is started with, every user can read."""
    with tempfile.TemporaryDirectory(prefix="leakdrop-") as folder:
        path = Path(folder) / "recordings.m3u8"
        entries = (
            f"#EXTINF:-1,Recording {number}\n{address}\n" for number, address in enumerate(addresses, 1)
        )
        path.write_text("#EXTM3U\n" + "".join(entries))
        yield path
