"""Builds a release, byte for byte the same for everybody: docs/release.md.

    python -m release build     wheel, source archive, lists of parts and SHA256SUMS, into dist/
    python -m release verify    the same once more, in another folder: compares all with dist/

What is built is the last commit, never the work tree. Its time is that of the commit; the tools are those of
the lock files.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

TOP = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
SUMS = "SHA256SUMS"


def main() -> int:
    verb = sys.argv[1:]
    if verb == ["build"]:
        shutil.rmtree(TOP / "dist", ignore_errors=True)
        build(TOP / "dist")
        print((TOP / "dist" / SUMS).read_text(), end="")  # noqa: T201 - what the command is for
        return 0
    if verb == ["verify"]:
        if not (TOP / "dist").is_dir():
            build(TOP / "dist")
        differences = verify(TOP / "dist")
        for difference in differences:
            print(difference)  # noqa: T201 - what the command is for
        return bool(differences)
    print(__doc__, file=sys.stderr)  # noqa: T201 - how the command is used
    return 2


def build(target: Path) -> None:
    """Everything that a release is made of, from the last commit, into a new folder."""
    target.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="leakdrop-release-") as scratch:
        source = check_out(Path(scratch) / "leakdrop")
        run([sys.executable, "leakdrop/intake/browser/build.py"], source)
        run([sys.executable, "-m", "hatchling", "build", "-d", target], source)
        (target / "parts-python.cdx.json").write_text(list_python_parts(source))
        (target / "parts-browser.cdx.json").write_text(list_browser_parts(source))
    paths = sorted(target.iterdir())
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in paths]
    (target / SUMS).write_text("".join(lines))


def check_out(folder: Path) -> Path:
    """The last commit's files, with the locked packages of npm beside them."""
    folder.mkdir()
    archive = subprocess.run(["git", "archive", "HEAD"], cwd=TOP, check=True, capture_output=True).stdout
    subprocess.run(["tar", "-x", "-C", folder], input=archive, check=True)
    (folder / "node_modules").symlink_to(TOP / "node_modules")
    return folder


def run(command: list[object], folder: Path) -> str:
    """What a command prints; it knows the commit's time, and no other."""
    done = subprocess.run(
        command,
        cwd=folder,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "SOURCE_DATE_EPOCH": commit_time(), "PATH": f"{BIN}:{os.environ['PATH']}"},
    )
    return done.stdout


def commit_time() -> str:
    done = subprocess.run(
        ["git", "log", "-1", "--format=%ct"], cwd=TOP, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def list_python_parts(source: Path) -> str:
    """All Python packages that are locked, tools included, in CycloneDX 1.6."""
    words = ["requirements", "--output-reproducible", "--pyproject", "pyproject.toml", "requirements.lock"]
    return settle(run([BIN / "cyclonedx-py", *words], source))


def list_browser_parts(source: Path) -> str:
    """The npm packages of which something is in the pages' script, in CycloneDX 1.5."""
    words = ["sbom", "--sbom-format", "cyclonedx", "--omit", "dev", "--package-lock-only"]
    return settle(run([BIN / "npm", *words], source))


def settle(document: str) -> str:
    """A list of parts without what differs from run to run: its number and its time."""
    parts = json.loads(document)
    parts.pop("serialNumber", None)
    parts.get("metadata", {}).pop("timestamp", None)
    return json.dumps(parts, indent=1, sort_keys=True) + "\n"


def verify(released: Path) -> list[str]:
    """Build once more, elsewhere, and name what differs from what was released."""
    with tempfile.TemporaryDirectory() as folder:
        again = Path(folder) / "again"
        again.mkdir()
        build(again)
        names = sorted({path.name for target in (again, released) for path in target.iterdir()})
        return [f"{name} differs" for name in names if read(again / name) != read(released / name)]


def read(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None


if __name__ == "__main__":
    sys.exit(main())
