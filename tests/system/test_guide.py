"""docs/operating.md, followed to the letter in a plain Debian root, up to a drop that is opened.

`make debian`. The guide's own commands are run, one after another; tor is Debian's, in a private network.
There is no systemd: a stand-in for `systemctl` starts what the units say, with the socket that they describe,
and without a network.
"""

import http.server
import os
import re
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import pytest

from leakdrop.envelope.opening import open_envelope
from tests.dockerfile import Image, borrowed, borrowed_environment, make_debian
from tests.keys import label_key_pair, write_key_files
from tests.site import PATIENCE, run, wait_until
from tests.torbrowser import TorBrowser
from tests.tornet import PrivateTorNetwork, TorNetworkError, connect_by_socks

pytestmark = pytest.mark.needs("mmdebstrap", "unshare", "tor", "firefox-esr")
TOP = Path(__file__).parents[2]
GUIDE = (TOP / "docs" / "operating.md").read_text()
# What a tor must be told to be in the private network; the rest of its configuration is the guide's.
PRIVATE = re.compile(
    "(TestingTorNetwork|DirAuthority|OutboundBindAddress|LearnCircuit|CircuitBuild|__Owning).*", re.MULTILINE
)

SYSTEMCTL = """\
#!/usr/bin/python3
import grp, os, pathlib, pwd, re, shlex, signal, socket, subprocess, sys, time

words = [word for word in sys.argv[1:] if not word.startswith("-")]
services = pathlib.Path("/services")
services.mkdir(exist_ok=True)


def begin(name, *command, **options):
    pid = services / name
    if pid.exists():
        group = int(pid.read_text())
        os.killpg(group, signal.SIGTERM)
        while pathlib.Path(f"/proc/{group}").exists():
            time.sleep(0.1)
    with (services / "log").open("ab") as log:
        told = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log, "start_new_session": True}
        pid.write_text(str(subprocess.Popen(command, **told, **options).pid))


if words == ["restart", "tor"]:
    tor = pwd.getpwnam("debian-tor")
    pathlib.Path("/run/tor").mkdir(exist_ok=True)
    os.chown("/run/tor", tor.pw_uid, tor.pw_gid)
    defaults = "/usr/share/tor/tor-service-defaults-torrc"
    begin("tor", "/usr/bin/tor", "--defaults-torrc", defaults, "-f", "/etc/tor/torrc", "--RunAsDaemon", "0")
if words == ["restart", "leakdrop.service"]:
    units = pathlib.Path("/etc/systemd/system")
    said = dict(re.findall(r"^([A-Za-z]+)=(.*)$", (units / "leakdrop.socket").read_text(), re.MULTILINE))
    path = pathlib.Path(said["ListenStream"])
    path.parent.mkdir(mode=int(said["DirectoryMode"], 8), exist_ok=True)
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    os.chown(path, pwd.getpwnam(said["SocketUser"]).pw_uid, grp.getgrnam(said["SocketGroup"]).gr_gid)
    path.chmod(int(said["SocketMode"], 8))
    listener.listen(int(said["Backlog"]))
    os.dup2(listener.fileno(), 3)
    (start,) = re.findall(r"^ExecStart=(.*)$", (units / "leakdrop.service").read_text(), re.MULTILINE)
    given = "import os, sys; os.environ.update(LISTEN_FDS='1', LISTEN_PID=str(os.getpid())); "
    given += "os.execv(sys.argv[1], sys.argv[1:])"
    user = ("--reuid", "leakdrop", "--regid", "leakdrop", "--init-groups", "--no-new-privs")
    closed = ("unshare", "-n", "setpriv", *user, "--bounding-set", "-all")
    begin("leakdrop", *closed, "/usr/bin/python3", "-c", given, *shlex.split(start), pass_fds=[3])
"""


def commands(heading: str) -> list[str]:
    """The commands of the guide's blocks below a heading."""
    part = GUIDE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return "".join(re.findall(r"```sh\n(.*?)```", part, re.DOTALL)).splitlines()


def inside(root: Path, line: str) -> tuple[str, ...]:
    """A command line in the root, as root, in the folder of the files that the operator has brought."""
    mounts = 'mount -t proc proc "$0/proc"; mount --bind /dev "$0/dev"; exec "$@"'
    return (
        "unshare",
        "-m",
        "sh",
        "-c",
        mounts,
        str(root),
        "chroot",
        str(root),
        "/bin/sh",
        "-ec",
        f"cd /root; {line}",
    )


ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "DEBIAN_FRONTEND": "noninteractive",
    **borrowed_environment(),
}


def do(root: Path, line: str) -> str:
    done = run(*inside(root, line), env=ENVIRONMENT)
    assert done.returncode == 0, f"{line}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def answer_init(root: Path, line: str, fingerprint: str) -> None:
    """Run `leakdrop init`, and answer as an operator who looks at the reviewers' paper."""
    groups = [fingerprint[start : start + 4] for start in range(0, 64, 4)]
    with subprocess.Popen(inside(root, line), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                          env={**ENVIRONMENT, "PYTHONUNBUFFERED": "1"}) as asked:  # fmt: skip
        asked.stdin.write("Health workers' drop\n\n")
        asked.stdin.flush()
        said = ""
        while "????" not in said:
            said = asked.stdout.readline()
            assert said, "it asked for no groups"
        shown = said[said.index("”: ") + 3 :].split()
        hidden = "".join(group for group, seen in zip(groups, shown, strict=True) if seen == "????")
        asked.stdin.write(f"{hidden}\n")
        asked.stdin.close()
        rest = asked.stdout.read()
    assert asked.returncode == 0, rest


class Nobody(http.server.BaseHTTPRequestHandler):
    """Answers anything with an error, and logs nothing."""

    def log_message(self, *_: object) -> None:
        return


@contextmanager
def anything_that_answers() -> Iterator[int]:
    """The private network waits until a service of its own answers."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Nobody)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()


def is_served(net: PrivateTorNetwork, onion: str) -> bool:
    with (
        suppress(OSError, TorNetworkError),
        connect_by_socks(net.socks_port, onion, timeout=20) as connection,
    ):
        connection.sendall(f"GET / HTTP/1.1\r\nHost: {onion}\r\nConnection: close\r\n\r\n".encode())
        return connection.makefile("rb").read(12) == b"HTTP/1.1 200"
    return False


@pytest.fixture
def root(tmp_path) -> Iterator[Path]:
    """A plain Debian root in which the operator has the three files that they brought."""
    root = tmp_path / "root"
    make_debian(root)
    for parent in (root, *list(root.parents)[:4]):
        with suppress(PermissionError):
            parent.chmod(parent.stat().st_mode | 0o011)
    for path in [*(TOP / "dist").glob("leakdrop-*.whl"), TOP / "dist" / "requirements-server.lock"]:
        shutil.copy(path, root / "root" / path.name)
    key = write_key_files(tmp_path / "reviewers", "alice")
    shutil.copy(key.with_suffix(".pub"), root / "root" / "Reviewers.pub")
    systemctl = root / "usr" / "local" / "sbin" / "systemctl"
    systemctl.write_text(SYSTEMCTL)
    systemctl.chmod(0o755)
    with borrowed(Image(root)):
        yield root
    for name in ("leakdrop", "tor"):
        with suppress(FileNotFoundError, ProcessLookupError):
            os.killpg(int((root / "services" / name).read_text()), signal.SIGTERM)


def test_the_guide_leads_from_nothing_to_a_drop_that_is_opened(root, tmp_path, alice):
    lines = commands("Ten minutes")
    install = next(number for number, line in enumerate(lines) if line.endswith("/install"))
    assert len(lines) < 10
    with anything_that_answers() as port, PrivateTorNetwork(tmp_path / "tor", port) as net:
        do(root, "apt-get update -qq")
        for line in lines[:install]:
            if " init " in line:
                answer_init(root, line, label_key_pair("alice").public.fingerprint)
            else:
                do(root, line)
        with (root / "etc" / "tor" / "torrc").open("a") as torrc:
            private = PRIVATE.finditer(net.nodes["client"].torrc.read_text())
            torrc.write("".join(f"{match[0]}\n" for match in private) + "SocksPort 0\n")
        onion = re.search(r"http://(\S+)/", do(root, lines[install]))[1]
        assert do(root, lines[install]), "the script can be run again"
        assert (root / "etc" / "tor" / "torrc").read_text().count("\nHiddenServiceDir") == 1
        checked = run(*inside(root, lines[install + 1]), env=ENVIRONMENT).stdout
        for what in (
            "permissions",
            "configuration",
            "owner",
            "secret keys",
            "keys",
            "onion address",
            "socket",
        ):
            assert re.search(rf"^ok +{what}:", checked, re.MULTILINE), checked
        wait_until(partial(is_served, net, onion), 3 * PATIENCE)
        with TorBrowser("safer", socks_port=net.socks_port) as browser:
            browser.navigate(f"http://{onion}/")
            wait_until(partial(browser.find_elements, "css selector", "#send"))
            assert "Health workers' drop" in browser.page_source
            browser.find_element("id", "message").send_keys("By the guide.")
            browser.find_element("id", "send").click()
            done = partial(browser.find_elements, "css selector", "#status[data-state=done]")
            wait_until(done, 3 * PATIENCE)
        (root / "media" / "stick").mkdir()
        do(root, lines[install + 2])
    (envelope,) = (root / "media" / "stick" / "bundle").glob("*.envelope")
    with envelope.open("rb") as file:
        assert open_envelope(file, [alice]).index.message == "By the guide."
    assert list((root / "tmp").iterdir()) == []
