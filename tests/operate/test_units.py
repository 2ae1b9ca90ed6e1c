"""What is handed to systemd, the shell and Docker is in order."""

import re
import sys
from pathlib import Path

import pytest

from leakdrop.operate.init import make_system_files
from tests.site import BIN, run

TOP = Path(__file__).parents[2]
COMPOSE = (TOP / "compose.yaml").read_text()


@pytest.fixture
def system(tmp_path) -> Path:
    """The files that `leakdrop init` writes."""
    for name, text in make_system_files(Path("/srv/leakdrop")).items():
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.mark.needs("systemd-analyze")
@pytest.mark.parametrize("name", ["leakdrop.service", "leakdrop-upkeep.service"])
def test_the_units_are_closed_in(system, name):
    done = run("systemd-analyze", "security", "--offline=true", "--no-pager", system / name)
    level = re.search(r"Overall exposure level for \S+: ([0-9.]+)", done.stdout)
    assert float(level[1]) < 1.0, done.stdout


@pytest.mark.parametrize("name", ["leakdrop.service", "leakdrop-upkeep.service"])
def test_the_units_reach_no_network_and_write_nothing_but_data(system, name):
    unit = (system / name).read_text().splitlines()
    for line in (
        "PrivateNetwork=yes",
        "RestrictAddressFamilies=AF_UNIX",
        "IPAddressDeny=any",
        "ProtectSystem=strict",
        "ReadWritePaths=/srv/leakdrop/data",
        "LimitCORE=0",
        "MemorySwapMax=0",
        "User=leakdrop",
    ):
        assert line in unit
    assert sum(line.startswith("ReadWritePaths=") for line in unit) == 1


def test_both_services_are_closed_in_alike(system):
    """From the file system on, the units say the same."""
    bodies = [
        (system / name).read_text().partition("# The file system:")[2].partition("[Install]")[0].strip()
        for name in ("leakdrop.service", "leakdrop-upkeep.service")
    ]
    assert bodies[0] == bodies[1]


@pytest.mark.parametrize("name", ["leakdrop.service", "leakdrop-upkeep.service"])
def test_the_units_take_for_granted_no_path_that_a_machine_may_lack(system, name):
    """systemd starts nothing if a path without a “-” is missing: on arm64 there is no /lib64."""
    unit = (system / name).read_text()
    named = " ".join(
        re.findall(r"^(?:NoExec|Exec|ReadOnly|ReadWrite)Paths=(.*)$", unit, re.MULTILINE)
    ).split()
    needed = {path for path in named if not path.startswith("-")}
    ours = {"/srv/leakdrop/data", sys.prefix, sys.base_prefix}
    assert needed - ours == {"/", "/usr/bin", "/usr/lib", "/run", "/dev/shm"}


@pytest.mark.parametrize("name", ["leakdrop.service", "leakdrop-upkeep.service"])
def test_the_journal_keeps_what_leakdrop_says_and_not_how_long_it_worked(system, name):
    """systemd tells CPU time by the way; leakdrop's own lines must not be filtered out with that."""
    unit = (system / name).read_text().splitlines()
    assert {"LogLevelMax=warning", "SyslogLevel=warning"} <= set(unit)


def test_a_drop_that_cannot_be_settled_keeps_none_from_leaving(system):
    unit = (system / "leakdrop-upkeep.service").read_text()
    verbs = re.findall(r"^ExecStart=(-?)\S+ (\w+) ", unit, re.MULTILINE)
    assert verbs == [("-", "settle"), ("", "purge")]
    assert "After=time-sync.target" in unit.splitlines()


def test_the_script_that_puts_it_in_place_is_one_that_a_plain_shell_reads(system):
    assert run("sh", "-n", system / "install").returncode == 0
    for name in re.findall(r"leakdrop[-a-z]*[.](?:service|socket|timer)", (system / "install").read_text()):
        assert (system / name).exists(), name


def test_the_dockerfile_passes_hadolint():
    done = run(BIN / "hadolint", TOP / "Dockerfile")
    assert done.returncode == 0, done.stdout


def test_docker_takes_what_the_containers_log_by():
    """Its driver “local” compresses, unless it is told not to, and refuses that of a single file."""
    (options,) = re.findall(r"logging: \{driver: local, options: \{(.*?)\}\}", COMPOSE)
    said = dict(each.split(": ") for each in options.split(", "))
    assert said["max-file"] == '"1"'
    assert said["compress"] == '"false"'


def test_the_containers_files_are_mounted_for_their_roots_are_read_only():
    """compose copies a “configs:” or “secrets:” whose content is inline, which such a root refuses."""
    assert re.findall(r"^\s*(configs|secrets):", COMPOSE, re.MULTILINE) == []
    assert "read_only: true" in COMPOSE
    mounted = dict(re.findall(r"^\s*- ./(\S+?):(\S+):ro$", COMPOSE, re.MULTILINE))
    assert mounted == {"compose.torrc": "/etc/leakdrop/torrc"}
    assert all((TOP / name).is_file() for name in mounted)
    assert '"-f", "/etc/leakdrop/torrc"' in (TOP / "Dockerfile").read_text()
