"""Two reviewers, and the command in this process."""

import secrets
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from leakdrop.review.cli import main
from tests.review.inboxes import Reviewer, make_reviewer
from tests.site import run, temporary_mount


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str


@pytest.fixture(scope="session")
def reviewer(tmp_path_factory: pytest.TempPathFactory) -> Reviewer:
    """The one who opens."""
    return make_reviewer(tmp_path_factory.mktemp("reviewer"), "Reviewers")


@pytest.fixture(scope="session")
def colleague(tmp_path_factory: pytest.TempPathFactory) -> Reviewer:
    """Somebody whose key the reviewer does not know, unless told."""
    return make_reviewer(tmp_path_factory.mktemp("colleague"), "زميل")


@pytest.fixture
def review(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Runs `leakdrop-review` in this process, and gives its exit code and what it wrote."""

    def run(*arguments: object) -> Result:
        monkeypatch.setattr(sys, "argv", ["leakdrop-review", *map(str, arguments)])
        capsys.readouterr()
        return Result(main(), *capsys.readouterr())

    return run


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    """An empty folder on another file system than that of `tmp_path`.

    No bundles of others lie there where a file system can be mounted.
    """
    if temporary_mount(tmp_path / "other disk", "4g"):
        yield tmp_path / "other disk"
        run("umount", tmp_path / "other disk")
        return
    memory = Path("/dev/shm")
    if not memory.is_dir() or memory.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no second file system at /dev/shm")
    folder = memory / f"leakdrop-{secrets.token_hex(8)}"
    folder.mkdir()
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def drive(tmp_path: Path) -> Iterator[Path]:
    """A stick: a small file system of its own, outside of anybody's home."""
    folder = tmp_path / "media/drive"
    if not temporary_mount(folder, "8M"):
        pytest.skip("to run it: be root, who can mount a stick")
    yield folder
    run("umount", folder)
