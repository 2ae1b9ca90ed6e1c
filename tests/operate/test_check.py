"""`leakdrop check`: each thing that can be wrong is made wrong once, and told with how to mend it.

What the kernel says stands in files; tests that cannot change the machine lay out such files below a folder.
"""

import datetime
import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path

import pytest

from leakdrop.config import load_config
from leakdrop.envelope.keyfile import encode_public_key
from leakdrop.envelope.sealing import seal
from leakdrop.errors import StoreError
from leakdrop.operate.check import look, sum_up
from leakdrop.operate.doctor.findings import Machine, State, right
from leakdrop.operate.doctor.stored import DAMAGED
from leakdrop.operate.init import make_torrc
from leakdrop.store.drop import iso_week
from leakdrop.store.drops import Drops
from leakdrop.store.layout import Layout, lock
from tests.keys import label_key_pair, public_key_file, write_key_files
from tests.site import BIN, PATIENCE, assert_one_line, leakdrop, make_test_site, run

TODAY = datetime.datetime.now(datetime.UTC).date()
ONION = "a" * 56 + ".onion"
TORRC = Path("/etc/tor/torrc")


@pytest.fixture
def tmp_path():
    """A folder that the service's user can pass through; pytest's own are root's alone."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A home folder of its own: it is looked through for secret keys."""
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def site(tmp_path):
    site = make_test_site(
        tmp_path / "site",
        [public_key_file("alice")],
        onion_address=ONION,
        # A small largest submission: the machine that tests run on may have little room.
        largest_plaintext_bytes=1024 * 1024,
    )
    with Drops(site.data) as drops:
        drops.recover()
    for path in (site.config, site.folder / "keys", site.folder / "keys" / "alice.pub"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    shutil.chown(site.data, 1)
    for path in site.data.rglob("*"):
        shutil.chown(path, 1)
    return site


@pytest.fixture
def machine(tmp_path, site):
    """A machine on which all is right: the site lies on a LUKS volume that is /."""
    root = tmp_path / "machine"
    files = {
        "proc/swaps": "Filename Type Size Used Priority\n"
        "/dev/dm-1 partition 1 0 -2\n/dev/zram0 partition 1 0 5\n",
        "proc/self/mountinfo": "1 0 253:0 / / rw - ext4 /dev/mapper/root rw\n"
        "2 1 0:9 / /tmp rw - tmpfs tmpfs rw\n"
        f"3 1 253:0 / {tmp_path} rw - ext4 /dev/mapper/root rw\n",
        "proc/locks": "",
        "proc/sys/kernel/dmesg_restrict": "1\n",
        "proc/sys/net/netfilter/nf_log/2": "NONE\n",
        "proc/7/comm": "tor\n",
        "proc/7/cmdline": "tor\0-f\0/etc/tor/torrc\0",
        "sys/dev/block/253:0/dm/uuid": "CRYPT-LUKS2-0123-root\n",
        "sys/class/block/dm-1/slaves/dm-2/x": "",
        "sys/class/block/dm-2/dm/uuid": "CRYPT-LUKS2-4567-swap\n",
        "etc/tor/torrc": "ControlPort 9051\n%include /etc/torrc.d/*.conf\n",
        "etc/torrc.d/leakdrop.conf": make_torrc(),
        "var/lib/tor/leakdrop/hostname": f"{ONION}\n",
    }
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (root / "sys/class/block/dm-1/slaves/dm-2/x").unlink()
    (root / "run/leakdrop").mkdir(parents=True)
    make_socket(root / "run/leakdrop/socket", 0o660)
    return Machine(root)


def make_socket(path: Path, mode: int) -> None:
    path.unlink(missing_ok=True)
    here = Path.cwd()
    os.chdir(path.parent)  # a socket's path is short
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path.name)
    finally:
        os.chdir(here)
    path.chmod(mode)


def find(site, machine, subject, today=TODAY):
    """What was found of a subject: the first that is wrong, or else the first."""
    found = [one for one in look(site.config, today, TORRC, machine) if one.subject == subject]
    assert found, f"nothing about {subject}"
    return next((one for one in found if one.state is State.WRONG), found[0])


def assert_wrong(site, machine, subject, says, today=TODAY):
    finding = find(site, machine, subject, today)
    assert finding.state is State.WRONG, finding
    assert says in finding.says
    assert finding.mend


def fill(site) -> None:
    with Drops(site.data) as drops, drops.receive(300_000) as incoming:
        seal([label_key_pair("alice").public], incoming, sealed="server")
        drops.keep(incoming)


def execute(site, statement, *values) -> None:
    connection = sqlite3.connect(site.data / "leakdrop.sqlite")
    with connection:
        connection.execute(statement, values)
    connection.close()


def configure(site, **changes) -> None:
    lines = [line for line in site.config.read_text().splitlines() if line.split(" = ")[0] not in changes]
    lines += [f"{key} = {json.dumps(value)}" for key, value in changes.items()]
    site.config.write_text("\n".join(lines) + "\n")


def test_where_all_is_right_nothing_is_wrong(site, machine):
    fill(site)
    for path in site.data.rglob("*"):
        shutil.chown(path, 1)
    # The clock is the real machine's, and may be wrong.
    with lock(Layout(site.data)):
        shutil.chown(site.data / "lock", 1)
        wrongs = [one for one in look(site.config, TODAY, TORRC, machine) if one.state is State.WRONG]
    assert [one for one in wrongs if one.subject != "clock"] == []


def test_nothing_is_changed_by_looking(site, machine):
    def snapshot():
        return {
            path: (path.stat().st_ino, path.stat().st_ctime_ns) for path in sorted(site.folder.rglob("*"))
        }

    before = snapshot()
    list(look(site.config, TODAY, TORRC, machine))
    assert snapshot() == before


@pytest.mark.parametrize("name", ["drops", "leakdrop.sqlite", "."])
def test_a_data_folder_that_others_can_read(site, machine, name):
    (site.data / name).chmod(0o755)
    assert_wrong(site, machine, "permissions", "others can look into")


@pytest.mark.parametrize("name", ["config.toml", "keys", "keys/alice.pub"])
def test_a_configuration_that_others_can_change(site, machine, name):
    (site.folder / name).chmod(0o777)
    assert_wrong(site, machine, "configuration", "others can change")


def test_data_that_belongs_to_root_or_to_somebody_else(site, machine):
    shutil.chown(site.data / "drops", 2)
    assert_wrong(site, machine, "owner", "belongs to somebody else")
    shutil.chown(site.data, 0)
    assert_wrong(site, machine, "owner", "belongs to root")


@pytest.mark.parametrize(
    ("subject", "damage"),
    [
        ("permissions", lambda data, drop: data.chmod(0o755)),
        ("owner", lambda data, drop: shutil.chown(data / "leakdrop.sqlite", 2)),
        ("settling", lambda data, drop: os.utime(drop, (1, 1))),
    ],
    ids=["permissions", "owner", "times"],
)
def test_what_mends_a_file_leaves_those_that_are_right_as_they_were(site, machine, subject, damage):
    """A drop that chmod or chown changed once more, after its week, would be taken for settled."""
    fill(site)
    fill(site)
    for path in site.data.rglob("*"):
        shutil.chown(path, 1)
    first, *others = site.envelopes()
    away = site.folder / "away"
    away.write_text("of somebody else's")
    away.chmod(0o644)
    (site.data / "uploads" / "link").symlink_to(away)
    os.lchown(site.data / "uploads" / "link", 3 if subject == "owner" else 1, 1)
    others.append(away)
    before = {path: path.stat().st_ctime_ns for path in others}
    damage(site.data, first)
    assert run("sh", "-c", find(site, machine, subject).mend).returncode == 0
    assert find(site, machine, subject).state is State.RIGHT
    assert before == {path: path.stat().st_ctime_ns for path in others}


def test_a_secret_key_in_the_site_or_at_home(site, machine, home):
    write_key_files(home / "Downloads", "bob")
    assert_wrong(site, machine, "secret keys", "bob.key is a secret key")
    shutil.rmtree(home / "Downloads")
    write_key_files(site.folder / "old", "bob").rename(site.folder / "old" / "notes.txt")
    assert_wrong(site, machine, "secret keys", "notes.txt is a secret key")
    write_key_files(site.folder / "keys", "bob")
    assert_wrong(site, machine, "keys", "is a secret key")


@pytest.mark.parametrize(
    "change",
    [
        lambda text: b"\xef\xbb\xbf" + text,
        lambda text: b"\n\n  " + text,
        lambda text: text.decode().encode("utf-16"),
        lambda text: b"Dear operator,\r\n\r\n" + text.replace(b"\n", b"\r\n"),
    ],
    ids=["a byte order mark", "blank lines", "UTF-16", "in a mail"],
)
def test_a_secret_key_that_went_through_a_mail_or_an_editor(site, machine, home, change):
    text = write_key_files(home / "elsewhere", "bob").read_bytes()
    shutil.rmtree(home / "elsewhere")
    (home / "notes.txt").write_bytes(change(text))
    said = [one for one in look(site.config, TODAY, TORRC, machine) if one.subject == "secret keys"]
    assert [one.state for one in said] == [State.RIGHT, State.WRONG]
    assert "notes.txt is a secret key" in said[1].says
    (home / "notes.txt").write_text("leakdrop secret key 1 is the title of such a file, and root: a field")
    assert find(site, machine, "secret keys").state is State.RIGHT


def test_a_folder_that_was_not_looked_through_to_its_end_is_said(site, machine, home, monkeypatch):
    monkeypatch.setattr("leakdrop.operate.doctor.site.MOST_FILES", 5)
    for number in range(7):
        (home / str(number)).touch()
    said = [one for one in look(site.config, TODAY, TORRC, machine) if one.subject == "secret keys"]
    assert said[1].state is State.UNSEEN
    assert "of the first 5 none is one" in said[1].says


def test_passwords_that_others_can_read(site, machine):
    site.config.chmod(0o604)
    assert not [one for one in look(site.config, TODAY, TORRC, machine) if one.subject == "passwords"]
    configure(site, database_url="postgresql://leakdrop:secret@localhost/leakdrop")
    assert_wrong(site, machine, "passwords", "others can read")
    assert "secret@" not in find(site, machine, "passwords").says
    site.config.chmod(0o640)
    assert not [one for one in look(site.config, TODAY, TORRC, machine) if one.subject == "passwords"]


def test_no_key_and_keys_that_are_about_to_expire(site, machine):
    path = site.folder / "keys" / "alice.pub"
    soon = TODAY + datetime.timedelta(days=20)
    path.write_text(encode_public_key(public_key_file("alice", soon)))
    assert_wrong(site, machine, "keys", f"after {soon} nothing can be sealed")
    (site.folder / "keys" / "bob.pub").write_text(encode_public_key(public_key_file("bob")))
    assert_wrong(site, machine, "keys", f"“alice” is used until {soon}")
    assert find(site, machine, "keys", TODAY - datetime.timedelta(days=60)).state is State.RIGHT
    path.unlink()
    (site.folder / "keys" / "bob.pub").unlink()
    assert_wrong(site, machine, "keys", "no public key that can be used")


def test_a_demonstration_and_a_missing_onion_address(site, machine):
    configure(site, demo=True, onion_address="")
    assert_wrong(site, machine, "demo", "demonstration")
    assert_wrong(site, machine, "onion address", "not configured")


def test_too_little_room_for_the_largest_submission(site, machine):
    configure(site, disk_reserve_bytes=2**49)
    assert_wrong(site, machine, "free space", "the largest submission would be refused")


def damage_database(site, start, stop) -> None:
    path = site.data / "leakdrop.sqlite"
    content = bytearray(path.read_bytes())
    content[start:stop] = os.urandom(stop - start)
    path.write_bytes(content)


@pytest.mark.parametrize(("start", "stop"), [(0, 100), (4096, 4200)], ids=["its head", "a page"])
def test_a_database_that_is_damaged(site, machine, start, stop):
    damage_database(site, start, stop)
    assert_wrong(site, machine, "database", "damaged")
    assert "remove leakdrop.sqlite" in find(site, machine, "database").mend
    said = " ".join(one.says for one in look(site.config, TODAY, TORRC, machine))
    assert "several machines" not in said


def test_what_is_told_to_mend_a_damaged_database_mends_it(site, machine):
    fill(site)
    damage_database(site, 0, 100)
    with pytest.raises(StoreError, match="file is not a database"):
        Drops(site.data)
    (site.data / "leakdrop.sqlite").unlink()
    assert find(site, machine, "data").mend.startswith(
        "mount its disk; if the file is lost, start the server"
    )
    with Drops(site.data) as drops:
        assert len(drops.recover().listed) == 1
    assert find(site, machine, "database").state is State.RIGHT
    assert find(site, machine, "orphans").state is State.RIGHT


def test_a_database_that_is_in_use_is_not_called_damaged(site, machine):
    connection = sqlite3.connect(site.data / "leakdrop.sqlite", isolation_level=None)
    connection.execute("BEGIN EXCLUSIVE")
    try:
        assert find(site, machine, "database").state is State.UNSEEN
    finally:
        connection.close()


def test_what_several_machines_share_is_not_looked_at(site, machine):
    configure(site, database_url="postgresql://leakdrop@localhost/leakdrop")
    assert "several machines" in find(site, machine, "database").says


def test_a_data_folder_that_is_not_there(site, machine):
    shutil.rmtree(site.data)
    assert_wrong(site, machine, "data", "There is no database")
    assert find(site, machine, "data").mend == "mount its disk, or make a site with leakdrop init"


def test_a_schema_of_an_older_and_of_a_newer_version(site, machine):
    execute(site, "UPDATE alembic_version SET version_num = '0001'")
    assert_wrong(site, machine, "schema", "0001, and this leakdrop needs")
    execute(site, "UPDATE alembic_version SET version_num = '9999'")
    assert_wrong(site, machine, "schema", "of a newer leakdrop")


def test_orphans_of_all_kinds(site, machine):
    fill(site)
    (path,) = site.envelopes()
    execute(site, "DELETE FROM drops")
    assert_wrong(site, machine, "orphans", "1 drop not listed yet")
    path.unlink()
    execute(site, "INSERT INTO drops (name, size, week) VALUES (?, 1, '2026-W47')", "0" * 32)
    assert_wrong(site, machine, "orphans", "whose envelope is gone")
    (site.data / "drops" / "notes").write_text("")
    assert_wrong(site, machine, "orphans", "drops/notes is not an envelope")


def test_uploads_that_are_left_over_expired_or_too_much(site, machine):
    (site.data / "uploads" / f"{'1' * 32}.part").write_bytes(bytes(900_000))
    assert_wrong(site, machine, "leftovers", "1 file of broken uploads")
    execute(site, "INSERT INTO uploads (id, length, expires) VALUES (?, 999, '2020-01-01')", "1" * 32)
    assert_wrong(site, machine, "unfinished uploads", "1 upload should have been forgotten")
    execute(site, "UPDATE uploads SET expires = '9999-01-01'")
    assert find(site, machine, "unfinished uploads").says == "1 upload, 878.9 KiB"
    configure(site, unfinished_bytes=1100 * 1024)
    assert_wrong(site, machine, "unfinished uploads", "more than three quarters")


def test_drops_that_have_not_been_settled(site, machine):
    fill(site)
    assert find(site, machine, "settling").state is State.RIGHT
    later = TODAY + datetime.timedelta(days=2)
    assert_wrong(site, machine, "settling", "1 drop whose file still tells", later)
    os.utime(site.envelopes()[0])
    assert_wrong(site, machine, "settling", "with a time of writing")


def test_drops_that_should_have_left_and_drops_that_soon_will(site, machine):
    fill(site)
    week = iso_week(TODAY - datetime.timedelta(weeks=24))
    execute(site, "UPDATE drops SET week = ?", week)
    assert_wrong(site, machine, "retention", "never was acknowledged")
    execute(site, "UPDATE drops SET acknowledged = ?", iso_week(TODAY))
    assert find(site, machine, "retention").state is State.RIGHT
    execute(site, "UPDATE drops SET acknowledged = ?", week)
    assert_wrong(site, machine, "retention", "1 drop should have left")


def test_a_clock_that_went_back(site, machine):
    fill(site)
    assert_wrong(site, machine, "clock", "but drops came in", TODAY - datetime.timedelta(weeks=3))


def test_a_clock_that_went_far_ahead_since_the_last_upkeep(site, machine):
    fill(site)
    (site.data / "week").write_text(iso_week(TODAY))
    assert find(site, machine, "clock", TODAY + datetime.timedelta(weeks=4)).says.startswith("it is ")
    assert_wrong(site, machine, "clock", "the last upkeep was in", TODAY + datetime.timedelta(weeks=5))


@pytest.mark.parametrize(
    "line", ["/swapfile file 1 0 -2", "/dev/vda2 partition 1 0 -2"], ids=["a file", "a partition"]
)
def test_swap_in_the_clear(site, machine, line):
    (machine.root / "proc/swaps").write_text(f"Filename Type Size Used Priority\n{line}\n")
    (machine.root / "sys/dev/block/253:0/dm/uuid").write_text("LVM-0123\n")
    assert_wrong(site, machine, "swap", line.split()[0])


def test_a_data_folder_and_temporary_files_on_a_disk_in_the_clear(site, machine, monkeypatch):
    mounts = machine.root / "proc/self/mountinfo"
    mounts.write_text("1 0 8:1 / / rw - ext4 /dev/sda1 rw\n")
    assert_wrong(site, machine, "disk encryption", "/dev/sda1 (ext4) in the clear")
    assert_wrong(site, machine, "TMPDIR", "in the clear")
    mounts.write_text("1 0 0:5 / / rw - tmpfs tmpfs rw\n")
    assert_wrong(site, machine, "disk encryption", "gone after a restart")
    assert find(site, machine, "TMPDIR").state is State.RIGHT
    mounts.write_text("1 0 0:5 / / rw - overlay overlay rw\n")
    assert find(site, machine, "disk encryption").state is State.UNSEEN


def test_a_volume_is_encrypted_only_if_all_below_it_is(site, machine):
    block = machine.root / "sys/dev/block/253:0"
    (block / "dm/uuid").write_text("LVM-0123\n")
    (block / "slaves/dm-2").mkdir(parents=True)
    assert find(site, machine, "disk encryption").state is State.RIGHT
    (block / "slaves/sda3").mkdir()
    assert_wrong(site, machine, "disk encryption", "in the clear")


def test_btrfs_is_found_by_the_name_of_its_volume(site, machine):
    (machine.root / "proc/self/mountinfo").write_text("1 0 0:33 / / rw - btrfs /dev/mapper/vault rw\n")
    assert_wrong(site, machine, "disk encryption", "in the clear")
    folder = machine.root / "sys/class/block/dm-9/dm"
    folder.mkdir(parents=True)
    (folder / "name").write_text("vault\n")
    (folder / "uuid").write_text("CRYPT-LUKS2-vault\n")
    assert find(site, machine, "disk encryption").state is State.RIGHT


def test_a_kernel_log_and_a_firewall_log(site, machine):
    (machine.root / "proc/sys/kernel/dmesg_restrict").write_text("0\n")
    (machine.root / "proc/sys/net/netfilter/nf_log/2").write_text("nf_log_syslog\n")
    assert_wrong(site, machine, "kernel log", "every user can read it")
    assert_wrong(site, machine, "firewall log", "can log packets")


def test_a_web_server_on_the_same_machine(site, machine):
    (machine.root / "proc/8").mkdir()
    (machine.root / "proc/8/comm").write_text("nginx\n")
    (machine.root / "proc/8/cmdline").write_text("nginx: master process\0")
    assert_wrong(site, machine, "web servers", "nginx runs here")


def edit_torrc(machine, before, after) -> None:
    path = machine.root / "etc/torrc.d/leakdrop.conf"
    assert before in path.read_text()
    path.write_text(path.read_text().replace(before, after))


@pytest.mark.parametrize(
    ("before", "after", "subject", "says"),
    [
        ("HiddenServiceExportCircuitID haproxy\n", "", "HiddenServiceExportCircuitID", "not set"),
        ("HiddenServiceMaxStreams 32\n", "", "HiddenServiceMaxStreams", "not set"),
        ("Streams 32\n", "Streams 0\n", "HiddenServiceMaxStreams", "0"),
        ("CloseCircuit 1", "CloseCircuit 0", "HiddenServiceMaxStreamsCloseCircuit", "0"),
        ("DefensesEnabled 1", "DefensesEnabled 0", "HiddenServicePoWDefensesEnabled", "0"),
        ("unix:/run/leakdrop/socket", "127.0.0.1:8000", "onion service", "has none that leads to"),
        ("# leakdrop", "SafeLogging 0\n# leakdrop", "torrc", "addresses"),
        ("# leakdrop", "Log info file /var/log/tor/log\n# leakdrop", "torrc", "what circuits do"),
        ("# leakdrop", "VanguardsLiteEnabled 0\n# leakdrop", "torrc", "guards"),
        ("# leakdrop", "HiddenServiceNonAnonymousMode 1\n# leakdrop", "torrc", "can be found"),
        ("# leakdrop", "SafeLogging relay\n# leakdrop", "torrc", "addresses"),
        ("# leakdrop", 'SafeLogging "0"\n# leakdrop', "torrc", "addresses"),
        ("# leakdrop", "Log info stdout\nLog notice syslog\n# leakdrop", "torrc", "what circuits do"),
        ("# leakdrop", "Log [rend]debug syslog\n# leakdrop", "torrc", "what circuits do"),
        ("# leakdrop", "HiddenServiceDir /x\nHiddenServiceSingleHopMode\t1\n# leakdrop", "torrc", "be found"),
        ("# leakdrop", 'Nickname "\n# leakdrop', "torrc", "tor cannot read its torrc"),
    ],
)
@pytest.mark.needs("tor")
def test_a_torrc_that_is_wrong(site, machine, before, after, subject, says):
    edit_torrc(machine, before, after)
    assert_wrong(site, machine, subject, says)


@pytest.mark.needs("tor")
def test_every_danger_in_a_torrc_is_told(site, machine):
    edit_torrc(machine, "# leakdrop", "SafeLogging 0\nVanguardsLiteEnabled 0\nLog debug stdout\n# leakdrop")
    findings = [one for one in look(site.config, TODAY, TORRC, machine) if one.subject == "torrc"]
    assert [one.state for one in findings] == [State.WRONG] * 3


@pytest.mark.needs("tor")
def test_another_address_than_tor_s_own(site, machine):
    (machine.root / "var/lib/tor/leakdrop/hostname").write_text("b" * 56 + ".onion\n")
    assert_wrong(site, machine, "address", "tor serves bbb")
    (machine.root / "var/lib/tor/leakdrop/hostname").unlink()
    assert find(site, machine, "address").state is State.UNSEEN


@pytest.mark.parametrize(("version", "pow_line"), [("0.4.7.16", "pow: yes"), ("0.4.9.11", "pow: no")])
def test_a_tor_that_is_too_old_or_without_proof_of_work(
    site, machine, tmp_path, monkeypatch, version, pow_line
):
    program = tmp_path / "bin" / "tor"
    program.parent.mkdir()
    program.write_text(
        f'#!/bin/sh\n[ "$1" = --version ] && echo "Tor version {version}." || echo "{pow_line}"\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")
    assert_wrong(site, machine, "tor", version)


def test_no_tor_at_all(site, machine, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find(site, machine, "version").says.startswith("tor cannot be started")


def test_a_socket_that_is_missing_or_for_the_wrong_people(site, machine):
    path = machine.root / "run/leakdrop/socket"
    make_socket(path, 0o777)
    assert_wrong(site, machine, "socket", "everybody can connect")
    make_socket(path, 0o700)
    assert_wrong(site, machine, "socket", "only its user")
    path.unlink()
    assert_wrong(site, machine, "socket", "is not there")
    path.write_text("")
    assert_wrong(site, machine, "socket", "is no socket")


def test_what_cannot_be_looked_at_is_said_and_stops_nothing(site, tmp_path):
    findings = list(look(site.config, TODAY, TORRC, Machine(tmp_path / "nothing")))
    unseen = [one for one in findings if one.state is State.UNSEEN]
    assert len(unseen) >= 6
    assert all(one.says.startswith("could not look: ") for one in unseen)


def test_a_running_server_writes_no_core_and_its_limit_is_found(start_site):
    site = start_site()
    finding = find(site, Machine(), "core dumps")
    assert finding.state is State.RIGHT, finding
    worker = site.process
    assert (
        "Max core file size        0                    0" in Path(f"/proc/{worker.pid}/limits").read_text()
    )
    site.stop(signal.SIGQUIT)
    assert find(site, Machine(), "core dumps").says == "could not look: no server can be seen"


def test_a_server_that_runs_and_one_that_does_not(start_site):
    site = start_site()
    assert find(site, Machine(), "server") == right("server", "it runs")
    site.stop(signal.SIGKILL)
    assert_wrong(site, Machine(), "server", "it does not run")


def test_a_server_in_another_container_is_not_called_dead(site, machine):
    assert_wrong(site, machine, "server", "it does not run")
    with lock(Layout(site.data)):
        assert find(site, machine, "server").says == "it runs, where it cannot be seen from here"


def give_to_root(site) -> None:
    """The program may lie where no other user can read it."""
    for path in (site.data, *site.data.rglob("*")):
        shutil.chown(path, 0)


def test_a_server_that_is_being_started_is_waited_for(site):
    give_to_root(site)
    site.process = subprocess.Popen([BIN / "leakdrop", "serve", "--config", site.config])
    try:
        assert find(site, Machine(), "server").state is State.RIGHT
    finally:
        site.process.terminate()
        site.process.wait(PATIENCE)


@pytest.mark.parametrize(
    ("wrongs", "unseens", "line"),
    [
        (0, 0, "Nothing is wrong."),
        (2, 0, "2 things to mend."),
        (0, 1, "Nothing seen is wrong, but 1 thing could not be looked at."),
        (1, 3, "1 thing to mend, and 3 things could not be looked at."),
    ],
)
def test_the_last_line_does_not_call_right_what_was_not_seen(wrongs, unseens, line):
    assert sum_up(wrongs, unseens) == line


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"requests_per_circuit": "many"}, "requests_per_circuit"),
        ({"limits_storage": "nowhere://"}, "limits_storage"),
        ({"safety_text": "safety.md"}, "safety.md cannot be read"),
        ({"manifest": "manifest.json"}, "manifest.json: No such file"),
        ({"bind": "unix:socket", "socket_group": "nobodys"}, "there is no group"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_the_server_refuses_to_start_with(site, machine, changes, says):
    configure(site, **changes)
    assert_wrong(site, machine, "start", says)
    give_to_root(site)
    assert_one_line(leakdrop("serve", "--config", site.config), says)


def test_a_manifest_that_is_not_that_of_the_pages(site, machine):
    assert leakdrop("manifest", site.folder / "manifest.json", "--config", site.config).returncode == 0
    (site.folder / "manifest.json.sig").write_text(f"{'0' * 32} {'A' * 86}\n")
    configure(site, manifest="manifest.json")
    assert find(site, machine, "start").state is State.RIGHT
    configure(site, organisation="Renamed")
    assert_wrong(site, machine, "manifest", "is not that of today's pages")


@pytest.mark.skipif(os.geteuid() != 0, reason="to run it: be root")
def test_files_that_only_root_can_read_are_none_to_the_service(site, machine):
    assert find(site, machine, "keys").state is State.RIGHT
    (site.folder / "keys" / "alice.pub").chmod(0o600)
    assert_wrong(site, machine, "keys", "the service cannot read")
    (site.folder / "safety.md").write_text("Be safe.")
    (site.folder / "safety.md").chmod(0o600)
    (site.folder / "keys" / "alice.pub").chmod(0o644)
    configure(site, safety_text="safety.md")
    assert_wrong(site, machine, "start", "safety.md cannot be read: Permission denied")


def test_a_drop_that_was_cut_short(site, machine):
    fill(site)
    (path,) = site.envelopes()
    assert find(site, machine, "sizes").state is State.RIGHT
    os.truncate(path, 1000)
    assert_wrong(
        site, machine, "sizes", f"1 drop not as long as when it came, such as drops/{path.name[:32]}"
    )
    assert find(site, machine, "settling").state is State.RIGHT, "to touch it would hide that"


def test_a_reply_that_no_source_gets(site, machine):
    assert find(site, machine, "replies").state is State.RIGHT
    (site.data / "replies" / f"{'0' * 64}.{'1' * 64}.envelope").write_bytes(b"reply")
    assert_wrong(site, machine, "replies", "1 reply not listed")
    with Drops(site.data) as drops:
        drops.replies(8).recover(TODAY)
    assert find(site, machine, "replies").state is State.RIGHT


KILLED_IN_A_WRITE = """
import os, sqlite3, sys

connection = sqlite3.connect(sys.argv[1], isolation_level=None)
for word in ("cache_size=2", "cache_spill=2"):
    connection.execute(f"PRAGMA {word}")
connection.execute("BEGIN")
connection.execute("CREATE TABLE more (row)")
for _ in range(400):
    connection.execute("INSERT INTO more VALUES (?)", (os.urandom(1000),))
os._exit(9)
"""


def test_a_copy_that_is_put_back_beside_a_journal_is_whole_by_what_is_told(site, machine):
    fill(site)
    database = site.data / "leakdrop.sqlite"
    journal = database.with_name(f"{database.name}-journal")
    before = database.read_bytes()
    with Drops(site.data) as drops, drops.engine.begin() as connection:
        for _ in range(400):
            row = (os.urandom(16).hex(), 1, "2026-W47")
            connection.exec_driver_sql("INSERT INTO drops (name, size, week) VALUES (?, ?, ?)", row)
    subprocess.run([sys.executable, "-c", KILLED_IN_A_WRITE, database])
    assert journal.stat().st_size > 512
    left = journal.read_bytes()
    database.write_bytes(before)  # without a look at what lies beside it
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("PRAGMA integrity_check(1)").fetchone() != ("ok",)
    journal.write_bytes(left)
    for name in re.findall("leakdrop.sqlite[-a-z]*", DAMAGED):
        (site.data / name).unlink()
    database.write_bytes(before)
    with Drops(site.data) as drops:
        assert len(drops.all()) == 1
    assert find(site, machine, "database").state is State.RIGHT


def test_the_command_says_each_line_and_ends_with_1_if_anything_is_wrong(site):
    configure(site, onion_address="")
    done = leakdrop("check", "--config", site.config, "--torrc", "/nothing")
    assert done.returncode == 1
    assert "WRONG  onion address: it is not configured" in done.stdout
    assert "       mend: onion_address = " in done.stdout
    as_json = leakdrop("check", "--json", "--config", site.config)
    told = json.loads(as_json.stdout)
    assert as_json.returncode == 1
    assert told["wrong"] == sum(one["state"] == "wrong" for one in told["findings"])
    assert {"subject", "state", "says", "mend"} == set(told["findings"][0])


def test_without_a_configuration_there_is_nothing_to_go_by(tmp_path):
    assert_one_line(leakdrop("check", "--config", tmp_path / "config.toml"), "There is no configuration file")


def test_a_configured_unix_socket_is_looked_for_in_the_torrc(site, machine):
    configure(site, bind="unix:/run/other")
    assert load_config(site.config).bind == "unix:/run/other"
    assert_wrong(site, machine, "onion service", "has none that leads to")
    edit_torrc(machine, "/run/leakdrop/socket", "/run/other")
    assert find(site, machine, "HiddenServiceExportCircuitID").state is State.RIGHT
