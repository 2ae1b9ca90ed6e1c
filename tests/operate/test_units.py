"""What is handed to systemd, the shell and Docker is in order."""

import re
from pathlib import Path

import pytest

from leakdrop.operate.init import make_system_files
from tests.site import BIN, run

TOP = Path(__file__).parents[2]


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


def test_the_script_that_puts_it_in_place_is_one_that_a_plain_shell_reads(system):
    assert run("sh", "-n", system / "install").returncode == 0
    for name in re.findall(r"leakdrop[-a-z]*[.](?:service|socket|timer)", (system / "install").read_text()):
        assert (system / name).exists(), name


def test_the_dockerfile_passes_hadolint():
    done = run(BIN / "hadolint", TOP / "Dockerfile")
    assert done.returncode == 0, done.stdout
