"""The browser and the player: found, and started with a list of arguments, never by a shell.

Firefox keeps what it plays in a temporary file, whatever Cache-Control says, unless it is told not to: so it
gets a profile of its own, in which nothing goes to the disk, no script runs, and no address but this
machine's is reached. The profile is gone when the viewer ends. It names the first address, too: on Linux
every user can read what a program is started with.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import webbrowser
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from leakdrop.terminal import note

FIREFOX = ("firefox-esr", "firefox")
PATIENCE = 10  # seconds
# A player would ask them even for what is on this machine.
PROXIES = frozenset({"http_proxy", "all_proxy"})

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
    "browser.startup.page": 1,  # the homepage
    "datareporting.policy.dataSubmissionEnabled": False,
    "extensions.update.enabled": False,
    "media.gmp-manager.updateEnabled": False,
    "toolkit.telemetry.server": "data:,",
}


@contextmanager
def browse(address: str) -> Iterator[Callable[[], bool]]:
    """Open an address in Firefox, or in another browser where that is safe. Gives whether it was closed.

    A Firefox that we started is ended, and its profile removed.
    """
    found = next(filter(None, map(shutil.which, FIREFOX)), None)
    if found is None:
        note(
            "There is no Firefox here. Open the address above in a private window of another browser: "
            "even so, it may keep on the disk what you play."
        )
        if sys.platform in ("darwin", "win32"):  # where no command line tells the address
            # Some are waited for until they end, and none gets a page before the viewer serves.
            threading.Thread(target=_browse_elsewhere, args=[address], daemon=True).start()
        yield lambda: False
        return
    with tempfile.TemporaryDirectory(
        prefix="leakdrop-", dir=_find_place(), ignore_cleanup_errors=True
    ) as folder:
        profile = Path(folder)
        preferences = {**PREFERENCES, "browser.startup.homepage": address}
        lines = (
            f"user_pref({json.dumps(name)}, {json.dumps(value)});\n" for name, value in preferences.items()
        )
        (profile / "user.js").write_text("".join(lines))
        command = [found, "--no-remote", "--new-instance", "--profile", folder]
        with running(command) as ask_code:
            yield _Watch(ask_code, Path(found).name).is_over


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


class _Watch:
    """Tells whether the browser has ended as it should; once, that it has not."""

    def __init__(self, ask_code: Callable[[], int | None], name: str) -> None:
        self._ask_code, self._name, self._is_told = ask_code, name, False

    def is_over(self) -> bool:
        code = self._ask_code()
        if code and not self._is_told:
            self._is_told = True
            note(f"{self._name} has ended with an error. Open the address above in a browser yourself.")
        return code == 0


@contextmanager
def running(command: Sequence[str]) -> Iterator[Callable[[], int | None]]:
    """Run a program. Gives what asks for its exit code, None while it runs; at the end it is ended."""
    process = subprocess.Popen(  # noqa: S603 - a list of arguments, and none of a source's
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=os.name != "nt",  # Ctrl-C is for us
        env={name: value for name, value in os.environ.items() if name.lower() not in PROXIES},
    )
    try:
        yield process.poll
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


# libavformat guesses from a file's bytes what it is, and some of its readers fetch what the file names: HLS,
# DASH, SDP, ffconcat. So mpv gets the readers of the recordings' own kinds alone, and these get nothing
# but the recording's bytes; no configuration loosens that.
MPV = (
    # Ours is the last list that is read: what is forbidden is forbidden from there on.
    "--playlist={playlist}",
    "--no-config",
    "--load-scripts=no",
    "--no-ytdl",
    "--autoload-files=no",
    "--ordered-chapters=no",
    "--access-references=no",
    "--load-unsafe-playlists=no",
    "--demuxer=lavf",
    "--demuxer-lavf-o-append=format_whitelist={readers}",
    "--demuxer-lavf-o-append=protocol_whitelist=none",
    "--stream-lavf-o-append=protocol_whitelist=http,tcp",
    "--force-window=yes",
)
# The first that is there. No other than mpv can be bound like that.
PLAYERS: dict[str, tuple[str, ...]] = {
    "mpv": MPV,
    "vlc": ("--no-qt-recentplay", "--no-metadata-network-access", "--play-and-exit", "{playlist}"),
    "xdg-open": ("{playlist}",),
}
# It hands the list over to another program, and ends at once.
HANDS_OVER = "xdg-open"


def find_player(*, any_player: bool = False) -> str | None:
    """The name of a player: mpv, or if any will do, the first that is there."""
    return next(filter(shutil.which, PLAYERS if any_player else ("mpv",)), None)


def command_player(player: str, playlist: Path, readers: Iterable[str]) -> list[str]:
    """The command that plays a list of recordings; mpv with libavformat's readers of these names alone."""
    names = ",".join(sorted(readers))
    words = (word.format(playlist=playlist, readers=names) for word in PLAYERS[player])
    return [shutil.which(player) or player, *words]


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
