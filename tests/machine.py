"""A small Debian machine in namespaces: this one's /usr and systemd, and all else its own.

systemd is process 1 there, reads the units, and closes each service in as they say. AppArmor is not enforced,
nor what needs controllers that a namespace may lack (MemorySwapMax, IPAddressDeny, DevicePolicy). There is no
network but the loopback, no kernel and no disk of its own.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.site import PATIENCE, run, wait_until

TOP = Path(__file__).parents[1]
LIBRARIES = Path(sys.prefix) / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
# Debian's own, as in the guide; the libraries were made for this version.
PYTHON = Path("/usr/bin", LIBRARIES.parent.name)
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
FOLDERS = ("dev", "etc", "home", "media", "opt", "proc", "root", "run", "srv", "sys", "tmp", "usr", "var/tmp")
USERS = {"root": 0, "messagebus": 990, "debian-tor": 991, "leakdrop": 992, "systemd-network": 998}
TORRC = "SocksPort 0\nDisableNetwork 1\n"

BOOT = """\
mount --make-rprivate /
mount --bind "$0" "$0" && cd "$0"
mount --rbind /usr usr
mount --bind "$1" opt/leakdrop/libraries
mount -t proc proc proc
mount --bind proc/sys proc/sys && mount -o remount,bind,ro proc/sys
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs -o mode=755 tmpfs dev
for each in null zero full random urandom tty; do touch dev/$each && mount --bind /dev/$each dev/$each; done
mkdir dev/shm dev/pts .before
mount -t tmpfs -o mode=1777 tmpfs dev/shm
mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
pivot_root . .before
umount -l /.before
exec env -i container=test PATH="$2" /lib/systemd/systemd --unit=basic.target --show-status=no
"""


@dataclass
class Machine:
    """The machine's folder as it is seen from here, and the process that is its first."""

    root: Path
    process: int

    def do(self, *words: object, **options) -> subprocess.CompletedProcess:
        """Run a command there, as root."""
        into = ("nsenter", "--target", self.process, "--all", "--wdns=/root")
        return run(*into, "/usr/bin/env", "-i", f"PATH={PATH}", "LANG=C.UTF-8", *words, **options)

    def path(self, name: str) -> Path:
        return self.root / name.lstrip("/")

    def process_of(self, service: str) -> Path:
        """The running service's process, as this machine's /proc shows it. Raises AssertionError."""
        shown = self.show(service, "ControlGroup")
        listed = find_cgroup2() / f"leakdrop-{os.getpid()}" / shown.lstrip("/") / "cgroup.procs"
        assert shown, self.journal()
        return Path("/proc", listed.read_text().split()[0])

    def show(self, unit: str, name: str) -> str:
        """A property of a unit, as systemd tells it."""
        return self.do("systemctl", "show", f"--property={name}", "--value", unit).stdout.strip()

    def user(self, name: str) -> int:
        return USERS[name]

    def journal(self) -> str:
        """All that the journal holds, of whatever unit."""
        return self.do("journalctl", "--no-pager", "--output=short").stdout


@contextmanager
def start_machine(root: Path) -> Iterator[Machine]:
    """A machine that has started, with leakdrop in /opt/leakdrop and no site yet."""
    make_root(root)
    cgroup = find_cgroup2() / f"leakdrop-{os.getpid()}"
    cgroup.mkdir(exist_ok=True)
    join = f'echo $$ > {cgroup}/cgroup.procs; exec "$@"'
    spaces = ("--mount", "--pid", "--net", "--ipc", "--uts", "--cgroup", "--fork", "--kill-child")
    boot = ("sh", "-euc", BOOT, str(root), str(LIBRARIES), PATH)
    # It ends with this process, however that ends.
    bound = ("setpriv", "--pdeathsig", "KILL")
    with (root.parent / "boot.log").open("wb") as log:
        process = subprocess.Popen(["sh", "-euc", join, "sh", *bound, "unshare", *spaces, *boot],
                                   stdin=subprocess.DEVNULL, stdout=log, stderr=log)  # fmt: skip
    try:
        wait_until(lambda: process.poll() is not None or find_child(process.pid))
        machine = Machine(root, find_child(process.pid) or 0)
        wait_until(lambda: process.poll() is not None or has_started(machine))
        assert process.poll() is None, (root.parent / "boot.log").read_text()
        yield machine
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait(PATIENCE)
        wait_until(lambda: remove_cgroup(cgroup))


def make_root(root: Path) -> None:
    for name in FOLDERS:
        (root / name).mkdir(parents=True)
    for name in ("tmp", "var/tmp"):
        (root / name).chmod(0o1777)
    for name in ("bin", "lib", "lib64", "sbin"):
        if Path("/", name).exists():
            (root / name).symlink_to(f"usr/{name}")
    make_etc(root / "etc")
    make_program(root / "opt")
    tor = root / "var" / "lib" / "tor"
    tor.mkdir(parents=True, mode=0o700)
    os.chown(tor, USERS["debian-tor"], USERS["debian-tor"])


def make_etc(etc: Path) -> None:
    users = USERS.items()
    (etc / "passwd").write_text("".join(f"{name}:x:{n}:{n}::/:/usr/sbin/nologin\n" for name, n in users))
    (etc / "group").write_text("".join(f"{name}:x:{n}:\n" for name, n in users) + "nogroup:x:65534:\n")
    (etc / "nsswitch.conf").write_text("passwd: files\ngroup: files\nhosts: files\n")
    (etc / "machine-id").write_text(f"{1:032x}\n")
    (etc / "systemd" / "system").mkdir(parents=True)
    (etc / "tor").mkdir()
    (etc / "tor" / "torrc").write_text(TORRC)
    # As the package of tor leaves it on a machine without AppArmor.
    (etc / "apparmor.d" / "local").mkdir(parents=True)
    for name in ("ld.so.cache", "alternatives"):
        if Path("/etc", name).exists():
            run("cp", "-a", f"/etc/{name}", etc)


def make_program(opt: Path) -> None:
    """leakdrop as a wheel installs it; the libraries of this environment are lent to it."""
    ours = opt / "leakdrop" / "lib" / LIBRARIES.parent.name / "site-packages"
    for path in (ours, opt / "leakdrop" / "bin", opt / "leakdrop" / "libraries"):
        path.mkdir(parents=True)
    pip = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")
    built = run(*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", opt / "leakdrop", TOP)
    assert built.returncode == 0, built.stderr
    (wheel,) = (opt / "leakdrop").glob("*.whl")
    shutil.unpack_archive(wheel, ours, "zip")
    (ours / "libraries.pth").write_text("/opt/leakdrop/libraries\n")
    (opt / "leakdrop" / "pyvenv.cfg").write_text(f"home = {PYTHON.parent}\n")
    (opt / "leakdrop" / "bin" / "python").symlink_to(PYTHON)
    command = opt / "leakdrop" / "bin" / "leakdrop"
    start = "import sys\n\nfrom leakdrop.operate.program import main\n\nsys.exit(main())\n"
    command.write_text(f"#!/opt/leakdrop/bin/python -B\n{start}")
    command.chmod(0o755)


def find_cgroup2() -> Path | None:
    """Where this machine has its cgroups of the second kind, if it may make some (proc(5), mountinfo)."""
    mounts = Path("/proc/self/mountinfo").read_text()
    found = re.search(r"^(?:\S+ ){4}(\S+) .* - cgroup2 ", mounts, re.MULTILINE)
    return Path(found[1]) if found and os.access(found[1], os.W_OK) else None


def find_child(process: int) -> int | None:
    children = Path(f"/proc/{process}/task/{process}/children")
    with suppress(FileNotFoundError):
        return next((int(each) for each in children.read_text().split()), None)
    return None


def has_started(machine: Machine) -> bool:
    done = machine.do("systemctl", "is-system-running")
    return done.stdout.strip() in ("running", "degraded")


def remove_cgroup(folder: Path) -> bool:
    with suppress(OSError):
        for path in sorted(folder.rglob("*"), reverse=True):
            if path.is_dir():
                path.rmdir()
        folder.rmdir()
    return not folder.exists()
