"""A release: anybody builds the same bytes, and it holds and lists everything."""

import json
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest

import release.__main__ as release

TOP = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    if subprocess.run(["git", "rev-parse", "HEAD"], cwd=TOP, capture_output=True).returncode:
        pytest.skip("a release is built of a commit: clone the repository")
    folder = tmp_path_factory.mktemp("release")
    release.build(folder)
    return folder


def test_two_builds_in_different_folders_are_the_same_byte_for_byte(built):
    assert release.verify(built) == []


def test_a_release_that_was_changed_is_named(built, tmp_path, monkeypatch):
    """What is compared with is one build, made before: building is tested above."""
    for path in built.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (wheel,) = tmp_path.glob("*.whl")
    wheel.write_bytes(wheel.read_bytes() + b"\0")
    (tmp_path / "more").touch()

    def build_again(target):
        for path in built.iterdir():
            (target / path.name).write_bytes(path.read_bytes())

    monkeypatch.setattr(release, "build", build_again)
    assert release.verify(tmp_path) == sorted([f"{wheel.name} differs", "more differs"])


def test_both_archives_hold_what_the_pages_load(built):
    (wheel,), (source,) = built.glob("*.whl"), built.glob("*.tar.gz")
    with tarfile.open(source) as archive:
        in_source = {name.partition("/")[2] for name in archive.getnames()}
    for name in ("leakdrop/intake/static/app.js", "leakdrop/intake/static/style.css"):
        assert name in zipfile.ZipFile(wheel).namelist()
        assert name in in_source
    assert "package-lock.json" in in_source
    assert not [name for name in in_source if name.startswith("node_modules")]


def test_the_sums_are_those_of_the_files(built):
    done = subprocess.run(["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=built, capture_output=True)
    assert done.returncode == 0
    names = {line.split()[1] for line in (built / "SHA256SUMS").read_text().splitlines()}
    assert names == {path.name for path in built.iterdir()} - {"SHA256SUMS"}


def test_every_part_is_listed_with_its_version(built):
    python = json.loads((built / "parts-python.cdx.json").read_text())
    locked = [
        line.split()[0] for line in (TOP / "requirements.lock").read_text().splitlines() if "==" in line
    ]
    listed = {f"{part['name']}=={part['version']}" for part in python["components"]}
    assert {name.partition(";")[0] for name in locked} == listed
    browser = json.loads((built / "parts-browser.cdx.json").read_text())
    wanted = json.loads((TOP / "package.json").read_text())["dependencies"]
    found = {
        f"{part.get('group', '')}/{part['name']}".lstrip("/"): part["version"]
        for part in browser["components"]
    }
    assert {name: found.get(name) for name in wanted} == wanted
    assert not [name for name in found if "esbuild" in name]
