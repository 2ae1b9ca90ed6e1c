"""`extract --clean`: copies without metadata by the real mat2, and a plain word on each that has none."""

import hashlib
import json
import os
import stat
import subprocess

import pytest

from leakdrop.review.clean import clean_files
from tests.media import make_pdf
from tests.review.inboxes import list_tree, seal_bytes
from tests.site import run, temporary_mount


@pytest.fixture
def extract_clean(review, reviewer, tmp_path):
    """Seals files and extracts them with --clean into tmp_path/out/x."""

    def extract(*files):
        (tmp_path / "x.envelope").write_bytes(seal_bytes([reviewer.public], "m", files))
        return review(
            "extract", tmp_path / "x.envelope", "-o", tmp_path / "out", "--clean", *reviewer.arguments
        )

    return extract


def read_manifest(folder) -> dict[str, dict]:
    """What became of each file, by its name."""
    files = json.loads((folder / "out/x/manifest.json").read_text())["files"]
    return {file["file"]: file["clean"] for file in files}


def read_metadata(path) -> dict:
    done = subprocess.run(["exiftool", "-json", "-n", path], capture_output=True, check=True, timeout=60)
    return json.loads(done.stdout)[0]


@pytest.mark.needs("mat2", "ffmpeg", "espeak-ng", "exiftool")
def test_copies_lose_the_place_and_originals_keep_it(extract_clean, recordings, tmp_path):
    photo, talk = recordings.photo, recordings.talk
    result = extract_clean((photo.name, photo.read_bytes()), (talk.name, talk.read_bytes()))
    assert result.code == 0
    folder = tmp_path / "out/x"
    assert "GPSLatitude" in read_metadata(folder / photo.name)
    assert (folder / photo.name).read_bytes() == photo.read_bytes()
    cleaned = read_metadata(folder / "clean" / photo.name)
    assert not {"GPSLatitude", "Make", "Model", "DateTimeOriginal"} & set(cleaned)
    assert cleaned["ImageWidth"] == 3264
    assert "Duration" in read_metadata(folder / "clean" / talk.name)
    for name, what in read_manifest(tmp_path).items():
        assert what["refusal"] is None
        assert what["sha256"] == hashlib.sha256((folder / "clean" / name).read_bytes()).hexdigest()


@pytest.mark.needs("mat2")
def test_what_cannot_be_cleaned_is_said_file_by_file(extract_clean, tmp_path):
    result = extract_clean(
        ("tool.exe", b"MZ"), ("nameless", b"x"), ("broken.jpg", b"no picture"), ("a.txt", b"a")
    )
    assert result.code == 1
    folder = tmp_path / "out/x"
    for name, reason in {
        "tool.exe": "mat2 does not know files of this kind.",
        "nameless": "mat2 goes by a file's ending, and it has none.",
        "broken.jpg": "mat2 failed on it: something went wrong when cleaning it.",
    }.items():
        assert f"WARNING: {folder / name} has no clean copy: {reason}\n" in result.err
        assert read_manifest(tmp_path)[name] == {"sha256": None, "left": [], "refusal": reason}
    assert list_tree(folder / "clean") == ["a.txt"]
    assert list_tree(folder) == sorted(
        [
            "clean",
            "clean/a.txt",
            "a.txt",
            "broken.jpg",
            "nameless",
            "tool.exe",
            "message.txt",
            "manifest.json",
        ]
    )
    assert stat.S_IMODE((folder / "clean/a.txt").stat().st_mode) == 0o600


@pytest.mark.needs("mat2")
def test_what_mat2_still_finds_in_a_copy_is_told(extract_clean, tmp_path):
    result = extract_clean(("slides.pdf", make_pdf(["Prevent"])), ("a.txt", b"a"))
    assert result.code == 0
    assert read_manifest(tmp_path)["a.txt"]["left"] == []
    left = read_manifest(tmp_path)["slides.pdf"]["left"]
    assert "format: PDF-1.5" in left
    assert f"mat2 still finds in {tmp_path}/out/x/clean/slides.pdf: {'; '.join(left)}\n" in result.err


@pytest.mark.needs("mat2")
def test_names_that_a_source_chose_reach_no_program(extract_clean, tmp_path):
    names = ["--help.txt", "$(touch pwned).txt", "clean", ".clean-work", "a\u202etxt.TXT", "ش.txt"]
    result = extract_clean(*((name, b"text") for name in names))
    assert result.code == 1
    assert sorted(path.name for path in (tmp_path / "out/x/clean").iterdir()) == sorted(
        name for name, what in read_manifest(tmp_path).items() if not what["refusal"]
    )
    assert {name for name, what in read_manifest(tmp_path).items() if what["refusal"]} == {
        "clean-2",
        "_.clean-work",
    }
    assert not list(tmp_path.rglob("pwned"))


@pytest.mark.needs("mat2")
def test_where_the_disk_knows_no_links_files_are_copied(tmp_path, monkeypatch):
    (tmp_path / "a.txt").write_bytes(b"a")
    with monkeypatch.context() as patch:
        patch.setattr(os, "link", lambda *names: (_ for _ in ()).throw(PermissionError()))
        (cleaned,) = clean_files(tmp_path, ["a.txt"], "mat2")
    assert cleaned.refusal is None
    assert (tmp_path / "a.txt").read_bytes() == (tmp_path / "clean/a.txt").read_bytes() == b"a"


def test_a_laptop_without_mat2_is_told_before_any_passphrase(review, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    result = review("extract", tmp_path / "x.envelope", "-o", tmp_path / "out", "--clean", "--key", "no.key")
    assert (result.code, result.out) == (2, "")
    assert result.err == (
        "leakdrop-review: --clean needs the program mat2, which is not installed: “apt install mat2 "
        "bubblewrap” on Debian and Ubuntu (Tails has it), or extract without --clean.\n"
    )
    assert not (tmp_path / "out").exists()


@pytest.mark.needs("mat2")
@pytest.mark.skipif(os.geteuid() != 0, reason="to run it: be root, who can mount a small disk")
def test_a_disk_that_fills_up_while_cleaning_keeps_nothing_half(extract_clean, tmp_path):
    if not temporary_mount(tmp_path / "out", "1M,nr_inodes=8"):
        pytest.skip("to run it: be allowed to mount a small disk")
    try:
        result = extract_clean(*((f"{number}.txt", b"text") for number in range(4)))
        assert result.code == 1
        assert result.err.endswith("/out/x: No space left on device.\n")
        assert list_tree(tmp_path / "out") == []
    finally:
        run("umount", tmp_path / "out")
