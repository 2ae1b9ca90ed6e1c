"""The package for the reviewers' laptop, of the commit that is checked out: `make review-bundle`.

    dist/leakdrop-review-<version>/
        install.py         needs Python 3.11 to 3.14 and no network
        README.txt         what to do; reviewing.md is the guide, and reports.md what a report is
        requirements.txt   each package with the SHA-256 of its wheels
        wheels/            leakdrop, what it needs, and pip, for each system
        SHA256SUMS         of all of these
    dist/leakdrop-review-<version>.zip, and its .sha256

Two builds from one commit give the same bytes: the wheels are those of requirements.lock, times are those of
the commit, and nothing is packed by a library whose next version may pack otherwise but leakdrop's own wheel.
What is not committed is left out.
"""

import argparse
import hashlib
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import tomllib
import zipfile
from collections.abc import Iterable, Iterator
from io import BytesIO
from pathlib import Path

TOP = Path(__file__).parents[1]
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
# Each wheel's oldest systems: glibc 2.28 is that of Debian 10.
PLATFORMS = {
    "Linux x86-64": ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64"),
    "Linux arm64": ("manylinux_2_28_aarch64", "manylinux_2_17_aarch64", "manylinux2014_aarch64"),
    "macOS arm64": ("macosx_11_0_arm64", "macosx_11_0_universal2", "macosx_10_10_universal2"),
    "Windows x86-64": ("win_amd64",),
}
INSTALLER = "pip"  # runs out of its wheel, and is not installed
COPIED = ("laptop/install.py", "laptop/README.txt", "docs/reviewing.md", "docs/reports.md", "LICENSE")
UNREACHABLE = 3  # the exit code if the wheels cannot be had


class BuildError(Exception):
    """The package could not be built."""


def git(*words: str) -> bytes:
    done = subprocess.run(["git", *words], cwd=TOP, capture_output=True, check=False)  # noqa: S603, S607
    if done.returncode:
        raise BuildError(f"git {words[0]} failed: {done.stderr.decode().strip()}")
    return done.stdout


def export_commit(folder: Path) -> None:
    """The files of the commit."""
    with tarfile.open(fileobj=BytesIO(git("archive", "--format=tar", "HEAD"))) as archive:
        archive.extractall(folder, filter="data")


def parse_lock(lock: str) -> dict[str, str]:
    """The lines of each package in requirements.lock, by name."""
    stanzas = [stanza.strip() for stanza in re.split(r"\n(?=\S)", lock)]
    return {re.split("[= ;]", stanza)[0]: stanza for stanza in stanzas if stanza}


def find_needed(project: dict, locked: Iterable[str]) -> set[str]:
    """The packages that the review extra needs, and what those need of what the lock names."""
    wanted = {
        *map(plain_name, project["dependencies"]),
        *map(plain_name, project["optional-dependencies"]["review"]),
    }
    found: set[str] = set()
    while wanted:
        name = wanted.pop()
        found.add(name)
        for requirement in importlib.metadata.requires(name) or []:
            if "extra ==" not in requirement:
                wanted |= ({plain_name(requirement)} & set(locked)) - found
    return found


def plain_name(requirement: str) -> str:
    return re.split(r"[^A-Za-z0-9_.-]", requirement)[0].lower().replace("_", "-")


def download(stanzas: dict[str, str], folder: Path) -> None:
    """The wheels of these packages for each system; pip refuses one that the lock does not name."""
    folder.mkdir(exist_ok=True)
    for platforms in PLATFORMS.values():
        before = set(folder.iterdir())
        run_pip(stanzas.values(), platforms, PYTHONS[0], folder)
        # Of the others one wheel serves every Python.
        one_python = {
            wheel.name.split("-")[0].lower().replace("_", "-")
            for wheel in set(folder.iterdir()) - before
            if re.search(r"-cp311-cp311-", wheel.name)
        }
        for python in PYTHONS[1:]:
            run_pip([stanzas[name] for name in sorted(one_python)], platforms, python, folder)


def run_pip(stanzas: Iterable[str], platforms: Iterable[str], python: str, folder: Path) -> None:
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as requirements:
        requirements.write("\n".join(stanzas) + "\n")
        requirements.flush()
        command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "download"]
        command += ["--no-deps", "--only-binary=:all:", "--require-hashes", "--python-version", python]
        command += [f"--platform={platform}" for platform in platforms]
        done = subprocess.run(  # noqa: S603
            [*command, "--dest", str(folder), "--requirement", requirements.name], check=False
        )
    if done.returncode:
        raise BuildError("The wheels could not be had: is a package index within reach?")


def check_wheels(wheels: Path, stanzas: dict[str, str]) -> None:
    """Raises BuildError if a wheel is not one of the lock's."""
    locked = set(re.findall("sha256:([0-9a-f]{64})", "\n".join(stanzas.values())))
    for wheel in wheels.iterdir():
        if sha256(wheel) not in locked:
            raise BuildError(f"{wheel.name} is not named in requirements.lock.")


def build_wheel(source: Path, folder: Path, moment: int) -> Path:
    """leakdrop's own wheel."""
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)],
        cwd=source,
        env={**os.environ, "SOURCE_DATE_EPOCH": str(moment)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise BuildError(f"leakdrop's wheel was not built: {done.stderr.strip()}")
    (wheel,) = folder.glob("leakdrop-*.whl")
    return wheel


def write_requirements(wheels: Path) -> str:
    """Each package with the sums of its wheels; pip takes the one that fits the system."""
    sums: dict[str, list[str]] = {}
    for wheel in sorted(wheels.iterdir()):
        name, version = wheel.name.split("-")[:2]
        if name != INSTALLER:
            sums.setdefault(f"{name.replace('_', '-')}=={version}", []).append(sha256(wheel))
    lines = (
        " \\\n    ".join([package, *(f"--hash=sha256:{one}" for one in found)])
        for package, found in sums.items()
    )
    return "".join(f"{line}\n" for line in lines)


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def list_files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file())


def pack(folder: Path, archive: Path, moment: int) -> None:
    """A zip file without compression: wheels are compressed already, and zlib's versions differ."""
    stamp = time.gmtime(moment)[:6]
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as out:
        for path in list_files(folder):
            entry = zipfile.ZipInfo(str(path.relative_to(folder.parent)), stamp)
            entry.create_system = 3
            entry.external_attr = 0o100644 << 16
            out.writestr(entry, path.read_bytes())


def build(target: Path, wheels: Path | None = None) -> Path:
    """Build the folder and the zip file in `target`; the zip file's path. Raises BuildError."""
    moment = int(git("log", "-1", "--format=%ct", "HEAD"))
    commit = git("rev-parse", "HEAD").decode().strip()
    with tempfile.TemporaryDirectory() as temporary:
        source = Path(temporary) / "source"
        source.mkdir()
        export_commit(source)
        project = tomllib.loads((source / "pyproject.toml").read_text())["project"]
        locked = parse_lock((source / "requirements.lock").read_text())
        stanzas = {name: locked[name] for name in sorted({*find_needed(project, locked), INSTALLER})}
        folder = target / f"leakdrop-review-{project['version']}"
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "wheels").mkdir(parents=True)
        if wheels:
            for wheel in wheels.iterdir():
                if not wheel.name.startswith("leakdrop-"):
                    shutil.copyfile(wheel, folder / "wheels" / wheel.name)
        else:
            download(stanzas, folder / "wheels")
        check_wheels(folder / "wheels", stanzas)
        build_wheel(source, folder / "wheels", moment)
        for name in COPIED:
            shutil.copyfile(source / name, folder / Path(name).name)
        (folder / "COMMIT").write_text(f"{commit}\n")
    (folder / "requirements.txt").write_text(write_requirements(folder / "wheels"))
    lines = [f"{sha256(path)}  {path.relative_to(folder)}\n" for path in list_files(folder)]
    (folder / "SHA256SUMS").write_text("".join(lines))
    archive = target / f"{folder.name}.zip"
    pack(folder, archive, moment)
    archive.with_name(f"{archive.name}.sha256").write_text(f"{sha256(archive)}  {archive.name}\n")
    return archive


def main() -> int:
    parser = argparse.ArgumentParser(description="Build the package for the reviewers' laptop.")
    parser.add_argument("target", type=Path, nargs="?", default=TOP / "dist", help="where (default: dist)")
    parser.add_argument("--wheels", type=Path, help="take wheels that were downloaded before")
    given = parser.parse_args()
    try:
        archive = build(given.target.resolve(), given.wheels)
    except BuildError as error:
        sys.stderr.write(f"{error}\n")
        return UNREACHABLE if "within reach" in str(error) else 1
    if git("status", "--porcelain"):
        sys.stderr.write("Note: what is not committed was left out.\n")
    sys.stdout.write(f"{archive}\nSHA-256: {sha256(archive)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
