"""The Dockerfile's steps and the unit's command, in plain Debian roots without a network but the socket.

`make debian`: it takes some minutes, and downloads what an image is made of.
"""

import http.client
import io
import os
import re
import shlex
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from leakdrop.envelope.opening import open_envelope
from tests.dockerfile import Image, build, make_debian
from tests.keys import label_key_pair, write_key_files
from tests.site import PATIENCE, encode_form, run, wait_until

pytestmark = pytest.mark.needs(
    "mmdebstrap", "unshare", "strace", "systemd-analyze", "systemd-socket-activate"
)
TOP = Path(__file__).parents[2]
UNITS = TOP / "leakdrop" / "operate" / "templates"
CIRCUIT = b"PROXY TCP6 fc00:dead:beef:4dad::0:1d ::1 29 80\r\n"


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> dict[str, Image]:
    folder = tmp_path_factory.mktemp("debian")
    folder.chmod(0o755)
    for parent in folder.parents:
        with suppress(PermissionError):
            parent.chmod(parent.stat().st_mode | 0o011)
    make_debian(folder / "plain")
    return build(TOP / "Dockerfile", folder / "plain", folder)


@pytest.fixture(scope="module")
def made(images) -> tuple[Image, Path]:
    """The image of leakdrop, in which `leakdrop init` has made a site; and Alice's secret key."""
    image = images["leakdrop"]
    site = image.root / "srv" / "leakdrop"
    key = write_key_files(image.root.parent / "reviewers", "alice")
    (site / "alice.pub").write_bytes(key.with_suffix(".pub").read_bytes())
    for path in (site, site / "alice.pub"):
        os.chown(path, 10000, 10001)
    remove_shells(image)
    done = run(
        *into(image), *image.entrypoint, "init", "/srv/leakdrop", "--yes", "--key", "/srv/leakdrop/alice.pub"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return image, key


def remove_shells(image: Image) -> None:
    """Leave nothing to run but Python: what leakdrop needs no attacker finds."""
    for folder in ("usr/bin", "usr/sbin"):
        for path in (image.root / folder).iterdir():
            if not path.name.startswith("python3"):
                path.unlink()
    assert not (image.root / "bin" / "sh").exists()


def into(image: Image) -> tuple[str, ...]:
    """Runs a command in the image: without a network, as its user, all read-only but for two folders."""
    mounts = (
        'mount --bind "$0" "$0"',
        'for each in srv/leakdrop run/leakdrop; do mount --bind "$0/$each" "$0/$each"; done',
        'mount -o remount,bind,ro "$0"',
        'mount -t tmpfs tmpfs "$0/tmp"',
        'exec "$@"',
    )
    start = "import os, sys; os.chdir('/srv/leakdrop'); os.execv(sys.argv[1], sys.argv[1:])"
    chroot = ("chroot", f"--userspec={image.user}", str(image.root), "/usr/bin/python3", "-c", start)
    return ("unshare", "-mn", "sh", "-c", "; ".join(mounts), str(image.root), *chroot)


class Local(http.client.HTTPConnection):
    """A visitor, as tor brings them: by the socket, after a line that names their circuit."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"{'a' * 56}.onion")
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(PATIENCE)
        self.sock.connect(str(self._path))
        self.sock.sendall(CIRCUIT)


def ask(path: Path, method: str, where: str, body: bytes = b"", content_type: str = "") -> tuple[int, str]:
    visitor = Local(path)
    try:
        visitor.request(method, where, body or None, {"Content-Type": content_type} if content_type else {})
        answer = visitor.getresponse()
        return answer.status, answer.read().decode()
    finally:
        visitor.close()


def answers(path: Path) -> bool:
    with suppress(OSError):
        return ask(path, "GET", "/")[0] == 200
    return False


@contextmanager
def short(path: Path) -> Iterator[Path]:
    """The same socket by a short path: that of a socket can have 107 bytes."""
    link = Path("/tmp") / f"leakdrop-{os.getpid()}"
    link.symlink_to(path.parent)
    try:
        yield link / path.name
    finally:
        link.unlink()


@contextmanager
def running(*command: str, log: Path) -> Iterator[None]:
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True)
    try:
        yield
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(PATIENCE)


def send_and_export(image: Image, path: Path, key: Path, message: str) -> None:
    """What is sent by the socket comes out of an export."""
    with short(path) as near:
        wait_until(lambda: answers(near))
        body, content_type = encode_form([("message", message)])
        assert ask(near, "POST", "/submit", body, content_type)[0] == 200
    stick = f"/srv/leakdrop/{message}"
    done = run(*into(image), *image.entrypoint, "export", stick, "--config", "/srv/leakdrop/config.toml")
    assert done.returncode == 0, done.stderr
    found = [each.read_bytes() for each in (image.root / stick.lstrip("/")).glob("*.envelope")]
    messages = {open_envelope(io.BytesIO(each), [label_key_pair("alice")]).index.message for each in found}
    assert message in messages


def test_the_image_serves_by_its_socket_without_network_shell_or_a_root_that_can_be_written(made, tmp_path):
    image, key = made
    command = [*into(image), *image.entrypoint, *image.command, "--bind", "unix:/run/leakdrop/socket"]
    log = tmp_path / "log"
    with running(*command, log=log):
        send_and_export(image, image.root / "run" / "leakdrop" / "socket", key, "container")
    assert log.read_text() == ""


def test_tor_takes_the_configuration_of_compose(images):
    image = images["tor"]
    torrc = image.root / "etc" / "leakdrop" / "torrc"
    torrc.parent.mkdir()
    torrc.write_text((TOP / "compose.torrc").read_text())
    words = ("--verify-config",)
    done = run("chroot", f"--userspec={image.user}", image.root, *image.entrypoint, *words)
    assert done.returncode == 0, done.stdout
    assert "Configuration was valid" in done.stdout


def unit_lines(name: str, key: str) -> list[str]:
    text = (UNITS / name).read_text()
    filled = text.format(folder="/srv/leakdrop", program="/opt/leakdrop/bin/leakdrop", prefix="/opt/leakdrop")
    return re.findall(rf"^{key}=(.*)$", filled, re.MULTILINE)


def allowed_calls(name: str) -> set[str]:
    """The system calls that a unit's filter lets through."""
    calls: set[str] = set()
    for line in unit_lines(name, "SystemCallFilter"):
        groups = expand(line.removeprefix("~").split())
        calls = calls - groups if line.startswith("~") else calls | groups
    return calls


def expand(names: list[str]) -> set[str]:
    found: set[str] = set()
    for name in names:
        if name.startswith("@"):
            listed = run("systemd-analyze", "syscall-filter", name).stdout.splitlines()[1:]
            inner = [line.strip() for line in listed if line.strip() and not line.strip().startswith("#")]
            found |= expand(inner)
        else:
            found.add(name)
    return found


def test_the_units_command_makes_only_system_calls_that_the_unit_lets_through(made, tmp_path):
    """As systemd runs it: the socket handed over, no network, no shell; but nothing enforces the filter."""
    image, key = made
    trace, path = tmp_path / "trace", image.root / "run" / "leakdrop" / "activated"
    (start,) = unit_lines("leakdrop.service", "ExecStart")
    strace = ("strace", "-D", "-f", "-qq", "-o", str(trace), "-e", "signal=none")
    give = ("systemd-socket-activate", "-l", str(path), *strace)
    with running("sh", "-c", f"umask 0; exec {shlex.join((*give, *into(image), *shlex.split(start)))}",
                 log=tmp_path / "log"):  # fmt: skip
        send_and_export(image, path, key, "unit")
    lines = [line.split(None, 1)[1] for line in trace.read_text().splitlines()]
    begin = next(number for number, line in enumerate(lines) if line.startswith('execve("/opt/leakdrop'))
    made_calls = {match[1] for line in lines[begin:] if (match := re.match(r"(\w+)\(", line))}
    assert {"accept4", "openat", "write", "fsync"} & made_calls
    assert made_calls - allowed_calls("leakdrop.service") == set()
    executable = [line for line in lines[begin:] if "PROT_WRITE" in line and "PROT_EXEC" in line]
    assert executable == []  # MemoryDenyWriteExecute
    sockets = {match[1] for line in lines[begin:] if (match := re.match(r"socket(?:pair)?\((\w+)", line))}
    assert sockets <= {"AF_UNIX"}
