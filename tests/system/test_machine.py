"""A Debian machine, with systemd as its first process: the script puts leakdrop in place, the units run.

What of the units this enforces, and what not: tests/machine.py. tor is Debian's, and has no network.
"""

import datetime
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from leakdrop.envelope.keys import KeyPair
from leakdrop.envelope.opening import open_envelope
from leakdrop.operate.doctor import findings as doctor
from leakdrop.operate.doctor.findings import Patient
from leakdrop.operate.doctor.machine import look_at_temporary_files
from tests.circuits import Circuit, submit
from tests.keys import write_key_files
from tests.machine import PYTHON, Machine, find_cgroup2, start_machine
from tests.site import BROKEN, PATIENCE, wait_until

pytestmark = [
    pytest.mark.needs("tor", "unshare", "systemd-analyze"),
    pytest.mark.skipif(os.geteuid() != 0, reason="to run it: be root"),
    pytest.mark.skipif(find_cgroup2() is None, reason="to run it: mount -t cgroup2 cgroup2 /sys/fs/cgroup"),
    pytest.mark.skipif(not PYTHON.exists(), reason=f"to run it: make the environment with {PYTHON}"),
]
SCALING = (Path(__file__).parents[2] / "docs" / "scaling.md").read_text()
INSTALL = "/srv/leakdrop/system/install"
UPKEEP = "leakdrop-upkeep.service"
CLOSED = ("/", "/etc", "/srv/leakdrop", "/srv/leakdrop/keys", "/run", "/run/lock", "/dev", "/dev/shm")
# systemd mounts these anew, so that they can be written: by root, to whom they belong.
PROGRAMS = ("/usr/bin", "/usr/lib", "/opt/leakdrop")
OPEN = ("/srv/leakdrop/data", "/tmp", "/var/tmp")


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    """A machine on which the guide's last commands have been run."""
    with tempfile.TemporaryDirectory() as folder, start_machine(Path(folder, "machine")) as machine:
        write_key_files(machine.path("/root"), "alice")
        for words in (
            ("/opt/leakdrop/bin/leakdrop", "init", "/srv/leakdrop", "--yes", "--key", "/root/alice.pub"),
            ("sh", INSTALL),
        ):
            done = machine.do(*words)
            assert done.returncode == 0, done.stdout + done.stderr
        yield machine


@pytest.fixture
def source(machine) -> Circuit:
    """Somebody who comes by tor's socket, as soon as there is an answer."""
    onion = machine.path("/var/lib/tor/leakdrop/hostname").read_text().strip()
    circuit = Circuit(Path(f"/proc/{machine.process}/root/run/leakdrop/socket"), 7, onion)
    wait_until(lambda: is_served(machine, circuit))
    return circuit


def is_served(machine: Machine, circuit: Circuit) -> bool:
    assert machine.show("leakdrop.service", "Result") == "success", machine.journal()
    with suppress(*BROKEN):
        return circuit.request("GET", "/")[0] == 200
    return False


def drops_of(machine: Machine) -> dict[str, os.stat_result]:
    folder = machine.path("/srv/leakdrop/data/drops")
    return {path.name: path.stat() for path in folder.glob("*.envelope")}


def test_what_is_sent_by_the_socket_comes_out_of_an_export(machine, source, alice: KeyPair):
    assert submit(source, "By the unit.")[0] == 200
    config = ("--config", "/srv/leakdrop/config.toml")
    done = machine.do("/opt/leakdrop/bin/leakdrop", "export", "/media/bundle", *config)
    assert done.returncode == 0, done.stderr
    messages = set()
    for path in machine.path("/media/bundle").glob("*.envelope"):
        with path.open("rb") as file:
            messages.add(open_envelope(file, [alice]).index.message)
    assert "By the unit." in messages


def test_the_service_is_closed_in_as_its_unit_says(machine, source):
    process = machine.process_of("leakdrop.service")
    status = dict(re.findall(r"^(\w+):\s*(.*)$", (process / "status").read_text(), re.MULTILINE))
    assert set(status["Uid"].split()) == {str(machine.user("leakdrop"))}
    assert {status[name] for name in ("CapEff", "CapPrm", "CapBnd", "CapAmb")} == {"0" * 16}
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    of_its_own = {"net", "user", "ipc", "mnt"}
    first = Path("/proc", str(machine.process), "ns")
    assert all((process / "ns" / kind).readlink() != (first / kind).readlink() for kind in of_its_own)
    names = (*CLOSED, *OPEN, *PROGRAMS)
    flags = {name: os.statvfs(process / "root" / name.lstrip("/")).f_flag for name in names}
    assert [name for name in names if not flags[name] & os.ST_RDONLY] == [*OPEN, *PROGRAMS]
    assert [name for name in names if not flags[name] & os.ST_NOEXEC] == [*PROGRAMS]
    assert (process / "root" / "tmp").stat().st_mode & 0o7777 == 0o1777


def test_upkeep_settles_and_purges(machine, source):
    assert submit(source, "Settles.")[0] == 200
    before = drops_of(machine)
    done = machine.do("systemctl", "start", UPKEEP)
    assert done.returncode == 0, machine.journal()
    after = drops_of(machine)
    assert before.keys() == after.keys()
    assert all(after[name].st_ino != before[name].st_ino for name in before)
    # Of more commands, each after the first would have to succeed for the next one to start.
    assert machine.show(UPKEEP, "ExecMainStatus") == "0"


def test_upkeep_purges_though_nothing_can_be_settled(machine, source):
    """`purge` says nothing of its own either: what it did is told by what ran."""
    blocked = machine.path("/srv/leakdrop/data/settling")
    owner = blocked.stat()
    os.chown(blocked, 0, 0)
    blocked.chmod(0o500)
    try:
        machine.do("systemctl", "start", UPKEEP)
        ran = re.findall(
            r"argv\[\]=\S+ (\w+) .*?code=(\w+) ; status=(\d+)", machine.show(UPKEEP, "ExecStart")
        )
    finally:
        os.chown(blocked, owner.st_uid, owner.st_gid)
        blocked.chmod(owner.st_mode)
    assert [(verb, code) for verb, code, _ in ran] == [("settle", "exited"), ("purge", "exited")]
    assert ran[0][2] != "0"


def test_the_journal_tells_mistakes_and_nothing_of_what_ran_when_or_for_how_long(machine, source):
    machine.do("systemctl", "start", UPKEEP)
    machine.do("systemctl", "restart", "leakdrop.service")
    journal = machine.do("journalctl", "--no-pager", "--unit=leakdrop.service", f"--unit={UPKEEP}").stdout
    assert "CPU time" not in machine.journal()
    assert "Starting" not in journal
    assert "Finished" not in journal
    config = machine.path("/srv/leakdrop/config.toml")
    text = config.read_text()
    try:
        config.write_text(f"{text}\nunheard_of = 1\n")
        machine.do("systemctl", "restart", "leakdrop.service")
        wait_until(lambda: "unheard_of" in machine.journal())
    finally:
        config.write_text(text)
        machine.do("systemctl", "reset-failed", "leakdrop.service")
        machine.do("systemctl", "restart", "leakdrop.service")


def test_the_script_run_again_leaves_drops_as_they_were_and_mends_what_is_wrong(machine, source):
    for message in ("One.", "Two."):
        assert submit(source, message)[0] == 200
    data, apparmor = machine.path("/srv/leakdrop/data"), machine.path("/srv/leakdrop/system/apparmor")
    before = {path: path.stat().st_ctime_ns for path in (data, *data.glob("drops/*.envelope"))}
    for path in (data / "lock", apparmor):
        os.chown(path, 65_534, 65_534)
    done = machine.do("sh", INSTALL)
    assert done.returncode == 0, done.stderr
    assert (data / "lock").stat().st_uid == machine.user("leakdrop")
    assert apparmor.stat().st_uid == 0
    assert {path: path.stat().st_ctime_ns for path in before} == before


def test_what_came_while_root_tried_it_settles_before_it_changes_hands(machine, source):
    assert submit(source, "Root's.")[0] == 200
    machine.do("systemctl", "stop", "leakdrop.socket", "leakdrop.service")
    before = drops_of(machine)
    for path in (data := machine.path("/srv/leakdrop/data"), *data.rglob("*")):
        os.chown(path, 0, 0)
    done = machine.do("sh", INSTALL)
    assert done.returncode == 0, done.stderr
    after = drops_of(machine)
    assert {status.st_uid for status in after.values()} == {machine.user("leakdrop")}
    assert all(after[name].st_ino != before[name].st_ino for name in before)


def test_what_check_tells_to_do_for_temporary_files_puts_them_into_memory(machine, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", "/tmp")
    (tmp_path / "proc" / "self").mkdir(parents=True)
    (tmp_path / "proc" / "self" / "mountinfo").write_text("1 0 8:1 / / rw - ext4 /dev/sda1 rw\n")
    patient = Patient(None, Path(), datetime.date.min, Path(), doctor.Machine(tmp_path))
    (finding,) = look_at_temporary_files(patient)
    line, anew, _ = finding.mend.partition(", and start the machine anew")
    assert anew
    assert machine.do("sh", "-c", line).returncode == 0
    machine.do("systemctl", "daemon-reload")
    try:
        assert machine.do("systemctl", "restart", "local-fs.target").returncode == 0
        assert machine.do("stat", "--file-system", "--format=%T", "/tmp").stdout == "tmpfs\n"
        assert machine.do("stat", "--format=%a", "/tmp").stdout == "1777\n"
    finally:
        machine.do("umount", "/tmp")
        machine.path("/etc/fstab").unlink()


def test_with_several_machines_upkeep_reaches_what_they_share(machine):
    """By the lines of docs/scaling.md, and by a name that no server is asked for."""
    lines = re.search(r"```ini\n(.*?)```", SCALING, re.DOTALL)[1]
    lines = re.sub("^ +", "", re.sub("[0-9.]{7,}", "127.0.0.1", lines), flags=re.MULTILINE)
    machine.path("/etc/hosts").write_text("127.0.0.1 db.internal\n")
    machine.do("systemd-run", "--unit=shared", "/usr/bin/python3", "-m", "http.server", "5432")
    dial = "import socket; socket.create_connection(('db.internal', 5432), 5)"
    wait_until(lambda: machine.do("/usr/bin/python3", "-c", dial).returncode == 0)
    more = machine.path(f"/etc/systemd/system/{UPKEEP}.d")
    more.mkdir()
    try:
        start = f'[Service]\nExecStart=\nExecStart=/opt/leakdrop/bin/python -c "{dial}"\n'
        (more / "start.conf").write_text(start)
        machine.do("systemctl", "daemon-reload")
        assert machine.do("systemctl", "start", UPKEEP).returncode == 1
        (more / "override.conf").write_text(lines)
        machine.do("systemctl", "daemon-reload")
        assert machine.do("systemctl", "start", UPKEEP).returncode == 0, machine.journal()
    finally:
        machine.do("systemctl", "stop", "shared")
        for path in (*more.iterdir(), more):
            path.rmdir() if path.is_dir() else path.unlink()
        machine.do("systemctl", "daemon-reload")


def test_units_of_an_older_leakdrop_are_made_anew(machine, source):
    unit = machine.path("/srv/leakdrop/system/leakdrop.service")
    unit.write_text(unit.read_text().replace("mode=1777", "mode=0700"))
    assert machine.do("sh", INSTALL).returncode == 0
    wait_until(lambda: "No usable temporary directory" in machine.journal(), PATIENCE)
    done = machine.do("/opt/leakdrop/bin/leakdrop", "init", "--system", "/srv/leakdrop")
    assert done.returncode == 0, done.stderr
    assert machine.do("sh", INSTALL).returncode == 0
    machine.do("systemctl", "reset-failed", "leakdrop.service")
    wait_until(lambda: is_served(machine, source))
