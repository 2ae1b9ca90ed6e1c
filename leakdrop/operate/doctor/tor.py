"""Tor: its version, the onion service's options, the socket between the two."""

import stat
from collections.abc import Iterator
from pathlib import Path

from leakdrop.operate.doctor.findings import Finding, Patient, right, unseen, wrong
from leakdrop.operate.init import SOCKET
from leakdrop.operate.listening import UNIX
from leakdrop.operate.tor import OLDEST, ask_tor, onion_options
from leakdrop.operate.torrc import Service, Torrc, read_torrc, severities

RESTART = "then systemctl restart tor"
# What tor's defaults are safe in: the values that are as safe, and why no other is.
SAFE = {
    "hiddenservicesinglehopmode": (("0",), "the machine's place can be found"),
    "hiddenservicenonanonymousmode": (("0",), "the machine's place can be found"),
    "safelogging": (("1",), "tor's log keeps addresses"),
    "vanguardsliteenabled": (("1", "auto"), "the guards of the onion service can be found"),
}
VANGUARDS = "vanguards"


def look_at_version(patient: Patient) -> Iterator[Finding]:
    program = ask_tor()
    version = ".".join(str(number) for number in program.version)
    if program.version < OLDEST:
        yield wrong("tor", f"{version} is too old", "apt install tor, from deb.torproject.org")
    elif not program.has_proof_of_work:
        yield wrong(
            "tor",
            f"{version}, built without proof of work, which slows a flood down",
            "use Debian's tor, or the one from deb.torproject.org",
        )
    else:
        yield right("tor", f"{version}, with proof of work")


def look_at_torrc(patient: Patient) -> Iterator[Finding]:
    torrc = read_torrc(patient.machine.path(patient.torrc), patient.machine.root)
    service = find_service(torrc, patient)
    if service is None:
        yield wrong(
            "onion service",
            f"{patient.torrc} has none that leads to leakdrop's socket",
            f"add the lines of {patient.config_path.parent}/system/torrc, {RESTART}",
        )
        return
    expected = onion_options(service.folder, socket_of(patient), proof_of_work=True)
    for name in list(expected)[2:]:
        yield _look_at_option(service, name, expected[name])
    yield from _look_at_dangers(torrc)
    yield from _look_at_address(service, patient)


def socket_of(patient: Patient) -> str:
    """Where leakdrop listens: the configured unix socket, or else the one that systemd hands over."""
    bind = patient.config.bind
    return bind.removeprefix(UNIX) if bind.startswith(UNIX) else SOCKET


def find_service(torrc: Torrc, patient: Patient) -> Service | None:
    target = f"unix:{socket_of(patient)}"
    for service in torrc.services:
        if any(port.replace('"', "").endswith(target) for port in service.ports):
            return service
    return None


def _look_at_option(service: Service, name: str, value: str) -> Finding:
    found = service.options.get(name.lower(), "")
    is_right = found.isdigit() and int(found) > 0 if name == "HiddenServiceMaxStreams" else found == value
    if is_right:
        return right(name, found)
    return wrong(
        name, found or "not set", f"{name} {value} behind HiddenServiceDir {service.folder}, {RESTART}"
    )


def _look_at_dangers(torrc: Torrc) -> Iterator[Finding]:
    dangers = [
        f"{name}: {why}"
        for name, (safe, why) in SAFE.items()
        if torrc.options.get(name, safe[0]).lower() not in safe
    ]
    if any(severity in ("info", "debug") for log in torrc.logs for severity in severities(log)):
        dangers.append("log: it writes down what circuits do")
    for danger in dangers:
        yield wrong("torrc", danger, f"take that line out, {RESTART}")
    if not dangers:
        yield right("torrc", "nothing in it makes the onion service easier to find")


def _look_at_address(service: Service, patient: Patient) -> Iterator[Finding]:
    path = patient.machine.path(Path(service.folder) / "hostname")
    try:
        address = path.read_text().strip()
    except OSError as error:
        yield unseen("address", f"{path}: {error.strerror}; ask as root")
        return
    if patient.config.onion_address != address:
        yield wrong("address", f"tor serves {address}", f'onion_address = "{address}"')
    else:
        yield right("address", f"http://{address}/")


def look_at_socket(patient: Patient) -> Iterator[Finding]:
    path = patient.machine.path(socket_of(patient))
    try:
        status = path.stat()
    except FileNotFoundError:
        yield wrong("socket", f"{path} is not there", "systemctl enable --now leakdrop.socket")
        return
    if not stat.S_ISSOCK(status.st_mode):
        yield wrong("socket", f"{path} is no socket", "remove it, and restart leakdrop.socket")
    elif status.st_mode & stat.S_IRWXO:
        yield wrong(
            "socket",
            f"everybody can connect to {path}, and claim to be any circuit",
            "SocketMode=0660 in leakdrop.socket",
        )
    elif not status.st_mode & stat.S_IWGRP:
        yield wrong(
            "socket",
            f"only its user can connect to {path}, and tor is another one",
            "SocketGroup=debian-tor and SocketMode=0660 in leakdrop.socket",
        )
    else:
        yield right("socket", f"{path} is for its user and one group")


def look_at_vanguards(patient: Patient) -> Iterator[Finding]:
    if any(VANGUARDS in f"{name} {command}" for _, name, command in patient.machine.programs()):
        yield right("vanguards", "the add-on runs")
    else:
        yield right(
            "vanguards",
            "tor's own light ones; a site that is to run for months is safer with the add-on "
            "(apt install vanguards)",
        )


LOOKS = (look_at_version, look_at_torrc, look_at_socket, look_at_vanguards)
