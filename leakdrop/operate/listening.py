"""Where the server listens: an address, a unix socket for tor's group, or what systemd hands over."""

import grp
import os
import socket
from collections.abc import Callable
from pathlib import Path

import gunicorn.systemd
import gunicorn.util

from leakdrop.config import Config
from leakdrop.errors import ConfigError

UNIX = "unix:"
FIRST_INHERITED = 3  # sd_listen_fds(3): the first socket that systemd hands over


def is_inherited() -> bool:
    """Whether systemd hands a socket over; then the configured address is not used."""
    return bool(gunicorn.systemd.listen_fds(unset_environment=False))


def is_unix(bind: str) -> bool:
    """Whether the server listens on a unix socket, by its own or by one that systemd hands over."""
    if not is_inherited():
        return bind.startswith(UNIX)
    with socket.socket(fileno=os.dup(FIRST_INHERITED)) as listener:
        return listener.family == socket.AF_UNIX


def let_in(config: Config) -> Callable[[object], None]:
    """What is done when the server listens: the configured group may connect to its unix socket."""

    def let_group_in(_arbiter: object) -> None:
        if config.socket_group and config.bind.startswith(UNIX) and not is_inherited():
            path = Path(config.bind.removeprefix(UNIX))
            os.chown(path, -1, grp.getgrnam(config.socket_group).gr_gid)
            path.chmod(0o660)

    return let_group_in


def check_group(config: Config) -> None:
    """Raises ConfigError if this user cannot give a socket to the configured group."""
    if not config.socket_group or not config.bind.startswith(UNIX):
        return
    try:
        number = grp.getgrnam(config.socket_group).gr_gid
    except KeyError:
        raise ConfigError(f"socket_group: there is no group “{config.socket_group}”.") from None
    if os.geteuid() != 0 and number not in (os.getegid(), *os.getgroups()):
        raise ConfigError(
            f"socket_group: the user that runs leakdrop is not in the group “{config.socket_group}”."
        )


def check_address(bind: str) -> None:
    """Raises ConfigError if the server cannot listen there; gunicorn would try for five seconds first."""
    if is_inherited():
        return
    try:
        address = gunicorn.util.parse_address(bind)
        if isinstance(address, tuple):
            family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
            with socket.socket(family) as listener:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                listener.bind(address)
    except (OSError, RuntimeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "that is not ADDRESS:PORT or unix:/PATH"
        raise ConfigError(f"The server cannot listen on {bind}: {reason}.") from None
