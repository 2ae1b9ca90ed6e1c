"""`leakdrop serve --onion`: an onion service for a trial, with a tor of its own.

    DIR/onion/tor/        tor's data
    DIR/onion/service/    the onion service's key and address: who has the key has the address
    DIR/onion/torrc       tor's configuration, written anew at each start

One process watches over two: tor, which is started again when it ends, and the server, whose end ends all.
For real use there are the system's tor and the units that `leakdrop init` writes.
"""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from contextlib import ExitStack
from dataclasses import replace
from multiprocessing.process import BaseProcess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TextIO

from leakdrop.config import Config
from leakdrop.operate.tor import PATIENCE, TorError, TorProgram, ask_tor, onion_options, write_options
from leakdrop.store.owner import give_to_owner
from leakdrop.terminal import note, run_command, say

LONGEST_PAUSE = 60
GOODBYE_SECONDS = 15


class OwnTor:
    """A tor for one onion service, in a folder of its own; it ends with this process, whatever happens."""

    def __init__(self, folder: Path, socket: Path, program: TorProgram, more: str = "") -> None:
        self._folder = folder
        self._text = (
            f"DataDirectory {folder}/tor\nSocksPort 0\nLog notice stdout\nAvoidDiskWrites 1\n"
            f"__OwningControllerProcess {os.getpid()}\n{more}\n"
            + write_options(
                onion_options(f"{folder}/service", str(socket), proof_of_work=program.has_proof_of_work)
            )
        )
        self._process: subprocess.Popen[str] | None = None
        self._told: deque[str] = deque(maxlen=20)
        self._failures = 0  # since one was connected
        self._next_start = 0.0
        self.is_connected = threading.Event()

    def start(self) -> None:
        """Raises TorError."""
        for path in (self._folder, self._folder / "tor", self._folder / "service"):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        torrc = self._folder / "torrc"
        torrc.write_text(self._text)
        try:
            self._process = subprocess.Popen(  # noqa: S603 - the operator's own tor
                ["tor", "--defaults-torrc", "", "-f", torrc],  # noqa: S607 - wherever it is installed
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
            )
        except OSError:
            raise TorError from None
        threading.Thread(target=self._listen, args=(self._process.stdout,), daemon=True).start()

    def _listen(self, output: TextIO) -> None:
        with output:
            for line in output:
                self._told.append(line.strip())
                if "Bootstrapped 100%" in line:
                    self.is_connected.set()

    def wait_for_address(self) -> str:
        """The onion address, which tor makes when it first starts. Raises TorError."""
        path = self._folder / "service" / "hostname"
        deadline = time.monotonic() + PATIENCE
        while not (address := path.read_text().strip() if path.exists() else ""):
            if self.has_ended() or time.monotonic() > deadline:
                raise TorError(self.complain())
            time.sleep(0.05)
        return address

    def has_ended(self) -> bool:
        return self._process is not None and self._process.poll() is not None

    def complain(self) -> str:
        """What tor said last that was no mere notice; what it could not do often stands a line before."""
        lines = list(self._told)
        troubles = [line for line in lines if "[err]" in line or "[warn]" in line][-2:] or lines[-1:]
        words = " ".join(line.partition("] ")[2] for line in troubles)
        return f"tor ended: {words.rstrip('.') or 'it said nothing'}."

    def keep_running(self) -> None:
        """Start it again if it has ended: after a second, and after longer pauses if it does not connect."""
        if not self.has_ended():
            return
        now = time.monotonic()
        if not self._next_start:
            self._failures = 0 if self.is_connected.is_set() else self._failures + 1
            pause = min(2.0**self._failures, LONGEST_PAUSE)
            note(f"{self.complain()} It is started again in {pause:.0f} s.")
            self._next_start = now + pause
        elif now >= self._next_start:
            self._next_start = 0.0
            self.is_connected.clear()
            self.start()

    def stop(self) -> None:
        if self._process and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(GOODBYE_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()


def serve_onion(config: Config, folder: Path, more: Path | None = None) -> int:
    """Serve a site at an onion address of its own until a signal comes; the exit code.

    `folder` keeps the address; `more` is a file with more lines for tor's configuration, such as bridges.
    Raises TorError.
    """
    program = ask_tor()
    lines = more.read_text() if more else ""
    with ExitStack() as ending:
        # A path of this length always fits; only this user can look into the folder.
        place = ending.enter_context(TemporaryDirectory(prefix="leakdrop-"))
        # The server becomes the data folder's owner; tor stays whoever started it.
        give_to_owner(Path(place), config.data_dir)
        socket = Path(place, "socket")
        tor = OwnTor(folder.resolve() / "onion", socket, program, lines)
        ending.callback(tor.stop)
        tor.start()
        address = tor.wait_for_address()
        server = _start_server(replace(config, bind=f"unix:{socket}", socket_group="", onion_address=address))
        ending.callback(_stop_server, server)
        say(f"http://{address}/")
        say("Connecting to Tor. Ctrl-C ends it; the address stays the same.")
        _watch(tor, server, address)
        return server.exitcode or 0


def _watch(tor: OwnTor, server: BaseProcess, address: str) -> None:
    told = False
    while server.is_alive():
        if tor.is_connected.is_set() and not told:
            say(f"Connected. Within a minute or two: http://{address}/")
            sys.stdout.flush()
            told = True
        tor.keep_running()
        server.join(0.5)


def _start_server(config: Config) -> BaseProcess:
    """The server in a process of its own: gunicorn takes every child of its process for a worker."""
    server = multiprocessing.get_context("spawn").Process(target=_serve, args=(config,))
    sys.stdout.flush()
    server.start()
    return server


def _serve(config: Config) -> None:
    from leakdrop.operate.server import serve

    threading.Thread(target=_end_with_parent, daemon=True).start()
    sys.exit(run_command(lambda: serve(config), "leakdrop"))


def _end_with_parent() -> None:
    """Without who watches, the server would go on behind an onion service that is gone."""
    parent = multiprocessing.parent_process()
    if parent:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)


def _stop_server(server: BaseProcess) -> None:
    server.terminate()
    server.join(GOODBYE_SECONDS)
    if server.is_alive():
        server.kill()
