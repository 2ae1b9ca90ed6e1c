"""The package for the reviewers' laptop: the same bytes each time, and all that it takes to open a bundle."""

import ast
import datetime
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from leakdrop.acknowledgement import load_acknowledgement
from leakdrop.envelope.opening import open_envelope
from leakdrop.review.keys import load_public_keys
from leakdrop.review.replying import RECEIVED
from tests.media import ARABIC
from tests.replies import label_receipt
from tests.review.inboxes import list_tree, make_reviewer, seal_bytes, write_bundle
from tests.site import run

TOP = Path(__file__).parents[2]
BUILD = TOP / "laptop/build.py"
UNREACHABLE = 3
# The interpreter itself, and not that of the environment in which the tests run.
PYTHON = Path(sys.base_prefix) / "bin/python3"


@pytest.fixture(scope="module")
def package(tmp_path_factory) -> Path:
    """The folder that is carried over."""
    target = tmp_path_factory.mktemp("dist")
    built = run(sys.executable, BUILD, target)
    if built.returncode == UNREACHABLE:
        pytest.skip("to run it: have a package index within reach of pip")
    assert built.returncode == 0, built.stderr
    (folder,) = (path for path in target.iterdir() if path.is_dir())
    return folder


@pytest.fixture
def copied(package, tmp_path) -> Path:
    """A copy of it, to be spoiled."""
    return Path(shutil.copytree(package, tmp_path / "copied"))


def install(package: Path, folder: Path, *python: object):
    return run(*(python or (PYTHON,)), package / "install.py", folder, env={"HOME": str(folder.parent)})


def read_zip(package: Path) -> bytes:
    return package.with_name(f"{package.name}.zip").read_bytes()


def test_two_builds_of_a_commit_are_the_same_bytes(package, tmp_path):
    strange = {**os.environ, "TZ": "Pacific/Kiritimati", "LANG": "ar_EG.UTF-8", "SOURCE_DATE_EPOCH": "0"}
    command = ["sh", "-c", 'umask 077 && exec "$@"', "sh", sys.executable, BUILD, tmp_path / "again"]
    again = run(*command, "--wheels", package / "wheels", cwd="/", env=strange)
    assert again.returncode == 0, again.stderr
    assert read_zip(tmp_path / "again" / package.name) == read_zip(package)


def test_a_wheel_that_is_not_in_the_lock_is_not_packed(package, tmp_path):
    wheels = shutil.copytree(package / "wheels", tmp_path / "wheels")
    victim = next(wheels.glob("mutagen-*"))
    victim.write_bytes(victim.read_bytes() + b"\0")
    built = run(sys.executable, BUILD, tmp_path / "dist", "--wheels", wheels)
    assert (built.returncode, built.stderr) == (1, f"{victim.name} is not named in requirements.lock.\n")


def test_the_sums_are_those_of_all_files(package):
    lines = (package / "SHA256SUMS").read_text().splitlines()
    listed = {line.split("  ", 1)[1] for line in lines}
    assert listed == {name for name in list_tree(package) if (package / name).is_file()} - {"SHA256SUMS"}
    assert run("sha256sum", "--check", "--strict", "SHA256SUMS", cwd=package).returncode == 0
    archive = f"{package.name}.zip.sha256"
    assert run("sha256sum", "--check", "--strict", archive, cwd=package.parent).returncode == 0


def test_the_guide_is_in_the_package(package, tmp_path):
    """Who opens it on a laptop without a network has no other place to look."""
    assert (package / "reviewing.md").read_text().startswith("# Reviewing, from unpacking the laptop")
    for name in re.findall(r"\b[a-z]+\.md\b", (package / "README.txt").read_text()):
        assert (package / name).is_file()
    assert f"The guide, step by step: {package}/reviewing.md\n" in install(package, tmp_path / "here").stdout


def test_building_the_servers_wheel_leaves_the_package_alone(tmp_path):
    kept, old = "leakdrop-review-0.1.0.zip", "leakdrop-0.0.9-py3-none-any.whl"
    (tmp_path / "dist").mkdir()
    for name in (kept, old):
        (tmp_path / "dist" / name).touch()
    commands = run("make", "--dry-run", "--always-make", "wheel", cwd=TOP).stdout.splitlines()
    removing = [line for line in commands if line.startswith("rm ") and " dist" in line]
    assert removing
    for line in removing:
        run("sh", "-c", line, cwd=tmp_path)
    assert list_tree(tmp_path / "dist") == [kept]


@pytest.fixture
def offline(tmp_path):
    """Runs a command where no network interface is up, in an environment that holds a home and no more."""
    probe = ["unshare", "--net", "true"]
    if subprocess.run(probe, capture_output=True).returncode:
        pytest.skip(
            "to run it: be allowed to make a network namespace (root, or unprivileged user namespaces)"
        )

    def offline(*command: object, **options):
        return run("unshare", "--net", *command, env={"HOME": str(tmp_path)}, cwd=tmp_path, **options)

    return offline


@pytest.mark.needs("unshare", "ffmpeg", "espeak-ng", "exiftool")
def test_a_bundle_is_opened_on_a_laptop_that_never_had_a_network(package, offline, recordings, tmp_path):
    interfaces = offline(PYTHON, "-c", "import socket; print(socket.if_nameindex())")
    assert "'lo'" in interfaces.stdout
    installed = offline(PYTHON, "-I", package / "install.py")
    assert (installed.returncode, installed.stderr) == (0, "")
    program = tmp_path / "leakdrop-review/bin/leakdrop-review"
    assert f"{program} --help" in installed.stdout
    server = offline(tmp_path / "leakdrop-review/bin/leakdrop", "status")
    assert (server.returncode, "What a server needs is not installed here" in server.stderr) == (1, True)
    assert server.stderr.count("\n") == 1

    reviewer = make_reviewer(tmp_path / "keys", "Reviewers")
    files = [(recordings.talk.name, recordings.talk.read_bytes()), ("شهادة.txt", ARABIC.encode())]
    write_bundle(tmp_path / "stick", [seal_bytes([reviewer.public], ARABIC, files)])
    listed = offline(program, "list", tmp_path / "stick", *reviewer.arguments, "--json")
    assert (listed.returncode, listed.stderr) == (0, "")
    (envelope,) = json.loads(listed.stdout)["envelopes"]
    assert envelope["file_count"] == 2
    reported = offline(program, "report", tmp_path / "stick", "--here", "-o", "case", *reviewer.arguments)
    assert (reported.returncode, reported.stderr) == (0, "")
    (record,) = (tmp_path / "case").glob("*.report.json")
    assert round(json.loads(record.read_text())["report"]["files"][0]["media"]["duration"]) == 2400
    shares = offline(
        program, "shares", reviewer.secret, "--passphrase-file", reviewer.passphrase, "-o", "paper"
    )
    assert shares.returncode == 0, shares.stderr


def test_it_is_installed_where_python_came_without_pip_and_venv(package, tmp_path):
    """As on Debian without python3-venv and python3-pip."""
    source = (
        "import runpy, sys; sys.modules['ensurepip'] = sys.modules['pip'] = None\n"
        "sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    done = install(package, tmp_path / "here", PYTHON, "-I", "-c", source)
    assert (done.returncode, done.stderr) == (0, "")
    assert run(tmp_path / "here/bin/leakdrop-review", "--help").returncode == 0


SYSTEMS = {
    "Linux x86-64": ["manylinux_2_28_x86_64", "manylinux_2_26_x86_64", "manylinux2014_x86_64"],
    "Linux arm64": ["manylinux_2_28_aarch64", "manylinux_2_26_aarch64", "manylinux2014_aarch64"],
    "macOS arm64": ["macosx_11_0_arm64", "macosx_10_10_universal2"],
    "Windows x86-64": ["win_amd64"],
}


PYTHONS = ("3.11", "3.12", "3.13", "3.14")


@pytest.mark.parametrize(
    ("system", "python"),
    [(system, python) for system in SYSTEMS for python in (PYTHONS if "Linux" in system else PYTHONS[-1:])],
)
def test_there_is_a_wheel_of_everything_for_each_system(package, tmp_path, system, python):
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--quiet", "--no-index", "--no-deps"]
    command += ["--require-hashes", "--find-links", package / "wheels", "-r", package / "requirements.txt"]
    command += ["--only-binary=:all:", "--python-version", python, "--target", tmp_path / "x"]
    done = run(*command, *(f"--platform={platform}" for platform in SYSTEMS[system]))
    assert done.returncode == 0, done.stderr


SPOILT = {
    "a changed wheel": (lambda folder: next(folder.glob("wheels/pynacl-*")).write_bytes(b"x"), "is not what"),
    "a missing wheel": (lambda folder: next(folder.glob("wheels/pynacl-*")).unlink(), "is missing"),
    "no list of sums": (lambda folder: (folder / "SHA256SUMS").unlink(), "SHA256SUMS is missing"),
    "changed requirements": (lambda folder: (folder / "requirements.txt").write_text(""), "is not what"),
}


@pytest.mark.parametrize(("spoil", "sentence"), SPOILT.values(), ids=SPOILT)
def test_a_half_copied_package_is_refused_before_anything_is_written(copied, tmp_path, spoil, sentence):
    spoil(copied)
    done = install(copied, tmp_path / "here")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("install.py: ")
    assert done.stderr.count("\n") == 1
    assert sentence in done.stderr
    assert "copy the whole folder again" in done.stderr
    assert not (tmp_path / "here").exists()


def test_a_system_without_wheels_is_told_and_left_as_it_was(copied, tmp_path):
    for wheel in copied.glob("wheels/cffi-*"):
        wheel.unlink()
    sums = copied / "SHA256SUMS"
    sums.write_text("".join(line for line in sums.read_text().splitlines(True) if "cffi-" not in line))
    done = install(copied, tmp_path / "here")
    assert done.returncode == 1
    assert done.stderr.startswith(
        "install.py: leakdrop-review was not installed, and nothing was left behind"
    )
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "here").exists()


def test_what_is_there_already_is_left_alone(package, tmp_path):
    (tmp_path / "here").mkdir()
    (tmp_path / "here/mine").touch()
    done = install(package, tmp_path / "here")
    assert (done.returncode, "exists already" in done.stderr) == (1, True)
    assert list_tree(tmp_path / "here") == ["mine"]


def test_an_old_python_can_read_the_installer_that_refuses_it():
    ast.parse((TOP / "laptop/install.py").read_text(), feature_version=(3, 4))


PASSPHRASE = "six random words are a good one\n"
SHELL_LINE = re.compile("^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.needs("unshare", "mat2", "exiftool", "ffmpeg")
def test_the_guide_is_followed_to_the_letter(package, offline, tmp_path):
    """Each command of docs/reviewing.md in an empty home, with only the stick and a later date put in."""
    guide = (TOP / "docs/reviewing.md").read_text()
    assert "leakdrop-review-0.1.0" in package.name, "the guide names the version"
    for name in (f"{package.name}.zip", f"{package.name}.zip.sha256"):
        shutil.copyfile(package.parent / name, tmp_path / name)
    stick, later = tmp_path / "stick", datetime.datetime.now(datetime.UTC).date() + datetime.timedelta(90)
    programs = f"{tmp_path}/leakdrop-review/bin:{PYTHON.parent}:/usr/bin:/bin"
    said, sources = {}, [label_receipt("amina"), label_receipt("ben")]
    for line in "".join(SHELL_LINE.findall(guide)).splitlines():
        if "/media/stick" in line and not stick.exists():
            (public,) = load_public_keys(tmp_path / "keys/Reviewers-Q1.pub")
            assert public.not_after == later
            files = [("p.jpg", make_photo(tmp_path / "photo.jpg"))]
            first, _ = write_bundle(
                stick / "bundle",
                [seal_bytes([public.key], ARABIC, files, reply_to=source.reply_to) for source in sources],
            )
        command = line.replace("/media/stick", str(stick)).replace("2027-03-31", str(later))
        if " reply " in command:
            command = command.replace("3f0c91ab", first.name[:8])
        # There the stick is another disk, and here a folder of the same one.
        command += " --here" if re.search(" (extract|report|reply|acknowledge) [/~]", command) else ""
        # What copies the bundle is given again when more came, and the copy is one all the same.
        for _ in range(2 if "cp -r" in line else 1):
            done = offline("env", f"PATH={programs}", "sh", "-c", command, input=PASSPHRASE)
            assert (done.returncode, done.stderr) == (0, ""), line
        said[line.split()[1]] = done.stdout
    assert said["shares"].count("any 2 restore it") == 3
    assert said["verify"].count("is unchanged since the key “Reviewers-Q1” signed it") == 2
    (copy, _) = sorted(tmp_path.glob("clean/*/clean/p.jpg"))
    assert b"Fairphone" not in copy.read_bytes()
    (reply,) = (stick / "bundle/replies").iterdir()
    with reply.open("rb") as file:
        assert open_envelope(file, [sources[0].key_pair]).index.message == RECEIVED
    assert len(load_acknowledgement(stick / "bundle")) == 2
    assert '"did":"reply"' in (tmp_path / "case/custody.jsonl").read_text()


@pytest.mark.needs("unshare")
def test_the_drill_needs_no_bundle(package, offline, tmp_path):
    """The commands of docs/reviewing.md; only the words come from files, and not from a keyboard."""
    assert install(package, tmp_path / "leakdrop-review").returncode == 0
    guide = (TOP / "docs/reviewing.md").read_text()
    drill = guide.partition("\n## 7. ")[2].partition("\n## 8. ")[0]
    lines = "".join(re.findall("```text\n(.*?)```", drill, re.DOTALL)).splitlines()
    make = "leakdrop-review keygen Reviewers-Q1 -o ~/keys"
    paper = "leakdrop-review shares ~/keys/Reviewers-Q1.key -o ~/paper"
    programs = f"{tmp_path}/leakdrop-review/bin:/usr/bin:/bin"
    assert not [line for line in lines if "/media" in line]
    for line in [make, paper, *map(str.strip, lines)]:
        command = f'set -- ~/paper/*; {line} --share "$1" "$2"' if " restore " in line else line
        done = offline("env", f"PATH={programs}", "sh", "-c", command, input=PASSPHRASE)
        assert (done.returncode, done.stderr) == (0, ""), line
        if " read " in line:
            assert "    This is the drill.\n" in done.stdout
    assert not (tmp_path / "drill").exists()


def make_photo(path: Path) -> bytes:
    """A small JPEG that names its camera."""
    picture = ["-f", "lavfi", "-i", "testsrc=size=64x64", "-frames:v", "1", path]
    assert run("ffmpeg", "-nostdin", "-loglevel", "error", *picture).returncode == 0
    assert run("exiftool", "-q", "-overwrite_original", "-Make=Fairphone", path).returncode == 0
    return path.read_bytes()
