"""gunicorn, set up to stream, to stay silent and to stand slow clients. Why: docs/adr/0004.

One process: SQLite and the files have one writer. Threads: a submission holds one for as long as it takes.
"""

import ctypes
import datetime
import logging
import os
import resource
import socket
import struct
import sys
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import gunicorn.http.unreader
import gunicorn.http.wsgi
from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.glogging import Logger
from gunicorn.http.errors import ParseException

from leakdrop.config import Config
from leakdrop.intake.app import create_app, describe_fault
from leakdrop.intake.bodies import READ
from leakdrop.intake.limits import check_limits
from leakdrop.intake.operator_text import read_operator_text
from leakdrop.intake.privacy import ADDED
from leakdrop.keyring import Keyring, load_keyring
from leakdrop.operate.listening import check_address, check_group, is_unix, let_in
from leakdrop.operate.manifest import is_up_to_date
from leakdrop.operate.waiting import WaitingResponse, WaitingWorker
from leakdrop.store.drop import Recovery
from leakdrop.store.layout import Layout, lock
from leakdrop.store.owner import become_owner
from leakdrop.store.places import open_drops
from leakdrop.terminal import count

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

log = logging.getLogger("leakdrop")

NOT_DUMPABLE = (4, 0, 0, 0, 0)  # prctl(PR_SET_DUMPABLE, 0)
M_ARENA_MAX = -8  # malloc.h

NOT_HTTP = "\r\n".join(
    (
        "HTTP/1.1 400 Bad Request",
        "Connection: close",
        "Content-Type: text/plain; charset=utf-8",
        "Content-Length: 0",
        "Cache-Control: no-store",
        *(f"{name}: {value}" for name, value in ADDED),
        "\r\n",
    )
).encode()


class BareResponse(WaitingResponse):
    """A response without `Server` and `Date`, which gunicorn has no setting for."""

    def default_headers(self) -> list[str]:
        headers: list[str] = super().default_headers()
        return [line for line in headers if not line.startswith(("Server:", "Date:"))]


class SilentLogger(Logger):
    """Logs no request: gunicorn's warnings name addresses, its errors what was asked for, both the time."""

    error_fmt = "%(message)s"

    def warning(self, msg: str, *args: Any, **kwargs: Any) -> None:
        return

    def exception(self, msg: str, *args: Any, **kwargs: Any) -> None:
        error = sys.exc_info()[1]
        # A connection that broke or fell silent is nobody's mistake.
        if error and not isinstance(error, OSError):
            self.error(describe_fault(error))


class PatientWorker(WaitingWorker):
    """A worker that a silent client cannot hold, and that says nothing of a request when it goes wrong."""

    def handle_request(self, req: Any, conn: Any) -> Any:
        # Tor names the circuit at the start of a connection; gunicorn forgets it after the first request.
        if req.proxy_protocol_info:
            conn.circuit = req.proxy_protocol_info
        req.proxy_protocol_info = getattr(conn, "circuit", None)
        return super().handle_request(req, conn)

    def handle_error(self, req: Any, client: Any, addr: Any, exc: Exception) -> None:
        """Answer what is not HTTP. gunicorn's own answer quotes the request, and has none of our headers."""
        if not isinstance(exc, ParseException):
            self.log.error(describe_fault(exc))
        with suppress(OSError):
            client.sendall(NOT_HTTP)

    def handle(self, conn: Any) -> Any:
        silence = struct.pack("ll", self.silence_seconds, 0)
        conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, silence)
        conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, silence)
        return super().handle(conn)


class LoneArbiter(Arbiter):
    """gunicorn's overseer, with one worker at a time: a new one makes whole what an old one left behind."""

    def handle_hup(self) -> None:
        """The terminal was closed: stop. (gunicorn would start a second worker beside the first.)"""
        self.handle_term()

    def handle_ttin(self) -> None:
        return

    def handle_ttou(self) -> None:
        return

    def handle_usr2(self) -> None:
        return


class Server(BaseApplication):
    """gunicorn with leakdrop's settings."""

    def run(self) -> None:
        LoneArbiter(self).run()

    def __init__(self, config: Config, keyring: Keyring) -> None:
        self._is_unix = is_unix(config.bind)
        self._config = config
        self._keyring = keyring
        super().__init__()

    def load_config(self) -> None:
        silence = {"silence_seconds": self._config.silence_seconds}
        settings = {
            "bind": self._config.bind,
            "worker_class": type("Worker", (PatientWorker,), silence),
            "workers": 1,
            "threads": self._config.threads,
            "worker_connections": min(4 * self._config.threads, raise_file_limit() // 2),
            "timeout": 300,
            "graceful_timeout": 10,
            "keepalive": 30,
            "accesslog": None,
            "errorlog": "-",
            "loglevel": "error",
            "logger_class": SilentLogger,
            "control_socket_disable": True,
            "umask": 0o077,
            # Who this process has become: gunicorn remembers who it was at first.
            "user": os.geteuid(),
            "group": os.getegid(),
            # Over TCP anybody could claim to be any circuit.
            "proxy_protocol": "v1" if self._is_unix else "off",
            "when_ready": let_in(self._config),
        }
        for name, value in settings.items():
            self.cfg.set(name, value)

    def load(self) -> "WSGIApplication":
        """Runs in the worker, also after one that died: what it left is made whole first."""
        drops = open_drops(self._config)
        drops.recover()
        return create_app(self._config, self._keyring, drops)


def serve(config: Config, bind: str | None = None) -> None:
    """Serve until a signal comes, never as root if the data folder is another user's.

    Raises ConfigError, KeyFileError or StoreError before anything is bound.
    """
    os.umask(0o077)
    become_owner(config.data_dir)
    today = datetime.datetime.now(datetime.UTC).date()
    config = replace(config, bind=bind or config.bind)
    keyring, is_manifest_right = read_site(config, today)
    layout = Layout(config.data_dir)
    layout.check()
    share_one_heap()
    with lock(layout), open_drops(config) as drops:
        report(drops.recover())
        check_address(config.bind)
        if not is_manifest_right:
            log.warning("The manifest is not that of these pages: make it anew, and have it signed.")
        forbid_core_dumps()
        gunicorn.http.wsgi.Response = BareResponse
        # It would read four times as far ahead as the forms do, and copy the rest each time.
        gunicorn.http.unreader.SocketUnreader.max_body_chunk = READ
        Server(config, keyring).run()


def read_site(config: Config, today: datetime.date) -> tuple[Keyring, bool]:
    """What a server reads before it starts: the keys, and whether the manifest is that of its pages.

    For the user that it runs as. Raises ConfigError, KeyFileError and OSError: then it does not start.
    """
    check_limits(config)
    read_operator_text(config.safety_text)  # the worker reads it again, where an error would not be one line
    check_group(config)
    keyring = load_keyring(config.keys_dir, today, demo=config.demo)
    return keyring, is_up_to_date(config, keyring, today)


def raise_file_limit() -> int:
    """How many files and connections this process may have open: as many as it can, up to 64 Ki."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = 65_536 if hard == resource.RLIM_INFINITY else min(hard, 65_536)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))
    return files


def share_one_heap() -> None:
    """Have all threads take memory from one heap (mallopt(3)): of many, each keeps its own most."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):  # glibc
        libc.mallopt(M_ARENA_MAX, 1)


def forbid_core_dumps() -> None:
    """No crash writes this process's memory to a disk, whatever the machine does with those of others."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # A core that is piped to a program ignores the limit; this it does not.
    ctypes.CDLL(None).prctl(*NOT_DUMPABLE)


def report(recovery: Recovery) -> None:
    """Tell the operator what a crash had left, without a name that a source gave."""
    if recovery.listed:
        log.warning("After a crash, listed again: %s.", count(len(recovery.listed), "drop"))
    if recovery.removed:
        log.warning("After a crash, removed: %s.", count(len(recovery.removed), "unfinished file"))
    for name in recovery.foreign:
        log.warning("drops/%s is not an envelope and is not exported: look at it, and remove it.", name)
