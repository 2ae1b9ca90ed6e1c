"""The wheel holds everything that the commands need."""

import importlib.metadata
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


def test_where_the_servers_part_is_missing_one_line_says_so(installed, tmp_path):
    """A reviewer's laptop has neither SQLAlchemy nor Flask."""
    (script,) = (point for point in list_commands(installed) if point.name == "leakdrop")
    program = f"import sys; sys.modules['sqlalchemy'] = None; {command(script.module)}"
    done = run_installed(installed, program, "status", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "leakdrop: What a server needs is not installed here (“sqlalchemy” is missing): on a server install "
        "“leakdrop[server]”; reviewers use leakdrop-review.\n"
    )
    assert run_installed(installed, command(script.module), "--help", cwd=tmp_path).returncode == 0


def list_commands(installed: Path) -> importlib.metadata.EntryPoints:
    (distribution,) = importlib.metadata.distributions(name="leakdrop", path=[str(installed)])
    return distribution.entry_points.select(group="console_scripts")


def test_the_other_commands_need_nothing_of_the_server(installed, tmp_path):
    for module in ("leakdrop.review.cli", "leakdrop.seal.cli"):
        program = f"import sys; sys.modules['sqlalchemy'] = sys.modules['flask'] = None; {command(module)}"
        assert run_installed(installed, program, "--help", cwd=tmp_path).returncode == 0
