"""The machine: swap, core dumps, disks, clock, logs."""

import ctypes
import os
import re
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from leakdrop.operate.doctor.findings import Finding, Mount, Patient, right, unseen, wrong
from leakdrop.store.drop import iso_week
from leakdrop.store.layout import Layout, is_served
from leakdrop.store.week import find_leap

IN_MEMORY = frozenset({"tmpfs", "ramfs"})
# What these keep, or how, cannot be seen from the kernel's block devices.
OPAQUE = frozenset({"overlay", "zfs", "ecryptfs", "fuse", "9p", "virtiofs", "nfs", "nfs4"})
PROXIES = frozenset(
    {"nginx", "apache2", "httpd", "caddy", "haproxy", "lighttpd", "varnishd", "traefik", "squid", "envoy"}
)
TIME_ERROR = 5  # adjtimex(2): the clock is not synchronised
STARTING = 10.0  # seconds
TIMEX_BYTES = 256  # struct timex has 208 on 64-bit Linux


def look_at_swap(patient: Patient) -> Iterator[Finding]:
    machine = patient.machine
    plain = []
    for line in machine.read("proc/swaps").splitlines()[1:]:
        name, kind = line.split()[:2]
        if kind == "file":
            mount = machine.mount_of(Path(name))
            is_safe = mount is not None and machine.is_encrypted(mount)
        else:
            # zram is memory.
            block = machine.path(f"sys/class/block/{Path(name).name}")
            is_safe = Path(name).name.startswith("zram") or machine.is_block_encrypted(block)
        if not is_safe:
            plain.append(name)
    if plain:
        yield wrong(
            "swap",
            f"memory is written to {', '.join(plain)} in the clear",
            "swapoff -a, and take the line out of /etc/fstab; or encrypt it",
        )
    else:
        yield right("swap", "memory is not written to a disk in the clear")


def look_at_server(patient: Patient) -> Iterator[Finding]:
    if wait_for_server(patient):
        yield right("server", "it runs")
    elif is_served(Layout(patient.config.data_dir)):
        yield right("server", "it runs, where it cannot be seen from here")
    else:
        # systemd holds the socket without it: whoever comes would wait for an answer.
        yield wrong(
            "server",
            "it does not run: nobody can send anything",
            "systemctl enable --now leakdrop.socket leakdrop; journalctl -u leakdrop tells why it ended",
        )


def wait_for_server(patient: Patient) -> int | None:
    """As `find_server`; one that is being started is waited for."""
    ends = time.monotonic() + STARTING
    while (pid := find_server(patient)) is None and is_starting(patient) and time.monotonic() < ends:
        time.sleep(0.2)
    return pid


def is_starting(patient: Patient) -> bool:
    served = ("serve", str(patient.config_path))
    return any(set(served) <= set(command.split()) for _, _, command in patient.machine.programs())


def look_at_core_dumps(patient: Patient) -> Iterator[Finding]:
    pid = find_server(patient)
    if pid is None:
        yield unseen("core dumps", "no server can be seen")
        return
    limits = patient.machine.read(f"proc/{pid}/limits")
    limit = re.search(r"^Max core file size +(\S+)", limits, re.MULTILINE)
    if limit and limit[1] == "0":
        yield right("core dumps", "a crash of the server writes no memory to a disk")
    else:
        yield wrong(
            "core dumps",
            "a crash of the server would write its memory to a disk",
            "LimitCORE=0 in its unit, then systemctl restart leakdrop",
        )


def find_server(patient: Patient) -> int | None:
    """The number of the running server's process; None if none runs. Raises OSError."""
    lock = patient.config.data_dir / "lock"
    return patient.machine.holder_of(lock) if lock.exists() else None


def look_at_temporary_files(patient: Patient) -> Iterator[Finding]:
    folder = Path(os.environ.get("TMPDIR") or tempfile.gettempdir()).resolve()
    mount = patient.machine.mount_of(folder)
    if mount and (mount.kind in IN_MEMORY or patient.machine.is_encrypted(mount)):
        yield right("TMPDIR", f"{folder} lies in memory or on an encrypted disk")
    elif mount and mount.kind in OPAQUE:
        yield unseen("TMPDIR", f"{folder} is on {mount.kind}")
    else:
        yield wrong(
            "TMPDIR",
            f"{folder} lies on a disk in the clear; leakdrop writes nothing there, but other programs do",
            f"echo 'tmpfs {folder} tmpfs mode=1777,nosuid,nodev' >> /etc/fstab, and start the machine anew; "
            "or encrypt the disk",
        )


def look_at_encryption(patient: Patient) -> Iterator[Finding]:
    subject, folder = "disk encryption", patient.config.data_dir.resolve()
    mount = patient.machine.mount_of(folder)
    if mount is None or mount.kind in OPAQUE:
        yield unseen(subject, f"{folder} is on {mount.kind if mount else 'no file system that is known'}")
    elif mount.kind in IN_MEMORY:
        yield wrong(
            subject, f"{folder} is in memory, and gone after a restart", "keep it on an encrypted disk"
        )
    elif patient.machine.is_encrypted(mount):
        yield right(subject, f"{folder} lies on an encrypted disk")
    else:
        yield wrong(subject, f"{folder} lies on {_describe(mount)} in the clear", "move it to a LUKS volume")


def _describe(mount: Mount) -> str:
    return f"{mount.source} ({mount.kind})"


def look_at_clock(patient: Patient) -> Iterator[Finding]:
    weeks = {drop.week for drop in patient.health.drops} if patient.health else set()
    if weeks and max(weeks) > iso_week(patient.today):
        yield wrong(
            "clock",
            f"it shows {iso_week(patient.today)}, but drops came in {max(weeks)}",
            "timedatectl set-ntp true",
        )
    elif leap := find_leap(Layout(patient.config.data_dir), (), patient.today):
        yield wrong(
            "clock",
            f"it shows {leap.shown}, and the last upkeep was in {leap.remembered}: until somebody says that "
            "it is right, what was never acknowledged stays",
            "timedatectl set-ntp true; if it is right: leakdrop purge, then leakdrop purge --yes",
        )
    elif ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(TIMEX_BYTES)) == TIME_ERROR:
        yield wrong(
            "clock",
            "it is not kept in time by another one; tor and the days of keys need it",
            "timedatectl set-ntp true",
        )
    else:
        yield right("clock", "it is kept in time")


def look_at_kernel_log(patient: Patient) -> Iterator[Finding]:
    machine = patient.machine
    if machine.read("proc/sys/kernel/dmesg_restrict").strip() == "0":
        yield wrong(
            "kernel log",
            "every user can read it",
            "echo kernel.dmesg_restrict=1 > /etc/sysctl.d/leakdrop.conf && sysctl --system",
        )
    else:
        yield right("kernel log", "only root can read it")
    loggers = [machine.path(f"proc/sys/net/netfilter/nf_log/{family}") for family in (2, 10)]
    logging = [path for path in loggers if path.exists() and path.read_text().strip() not in ("NONE", "")]
    if logging:
        yield wrong(
            "firewall log",
            "the firewall can log packets, with addresses and times",
            "take LOG rules out of it (nft list ruleset)",
        )
    else:
        yield right("firewall log", "the firewall logs no packets")


def look_at_proxies(patient: Patient) -> Iterator[Finding]:
    found = sorted({name for _, name, _ in patient.machine.programs() if name in PROXIES})
    if found:
        yield wrong(
            "web servers",
            f"{', '.join(found)} runs here, and logs who asks for what",
            "nothing but tor may stand before leakdrop: stop it, or move it to another machine",
        )
    else:
        yield right("web servers", "no other server that could record requests runs here")


LOOKS = (
    look_at_server,
    look_at_swap,
    look_at_core_dumps,
    look_at_temporary_files,
    look_at_encryption,
    look_at_clock,
    look_at_kernel_log,
    look_at_proxies,
)
