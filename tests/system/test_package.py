"""The wheel holds everything that the commands need."""

import os
import sys
from pathlib import Path

import pytest

from tests.site import run

TOP = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The wheel, unpacked into a folder of its own that comes before the source tree."""
    folder = tmp_path_factory.mktemp("package")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    built = run(*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, TOP)
    assert built.returncode == 0, built.stderr
    (wheel,) = folder.glob("*.whl")
    done = run(*pip, "install", "--no-deps", "--target", folder / "lib", wheel)
    assert done.returncode == 0, done.stderr
    return folder / "lib"


def run_installed(installed: Path, program: str, *words: object, cwd: Path):
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    return run(sys.executable, "-c", program, *words, cwd=cwd, env=environment)


def command(module: str) -> str:
    return f"import sys; from {module} import main; sys.exit(main())"


def test_a_site_is_made_by_what_was_installed(installed, tmp_path):
    where = run_installed(installed, "import leakdrop; print(leakdrop.__file__)", cwd=tmp_path)
    assert where.stdout.startswith(str(installed))
    done = run_installed(installed, command("leakdrop.operate.cli"), "init", "site", "--yes", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "# Where envelopes and the database are kept." in (tmp_path / "site" / "config.toml").read_text()


PAGES = """
import datetime, pathlib, sys
from leakdrop.config import parse_config
from leakdrop.intake.pages import Pages
from leakdrop.keyring import load_keyring
settings = {"organisation": "O", "keys_dir": sys.argv[1], "data_dir": "d", "demo": True}
config = parse_config(settings, pathlib.Path("/"))
today = datetime.date(2026, 11, 22)
pages = Pages(config, load_keyring(config.keys_dir, today, demo=True))
print(len(pages.find("/", today).body))
"""


def test_pages_can_be_rendered_by_what_was_installed(installed, tmp_path):
    done = run_installed(installed, PAGES, TOP / "keys", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 1_000


@pytest.mark.parametrize("module", ["leakdrop.review.cli", "leakdrop.seal.cli"])
def test_the_other_commands_are_there(installed, tmp_path, module):
    assert "example" in run_installed(installed, command(module), "--help", cwd=tmp_path).stdout
