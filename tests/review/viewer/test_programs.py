"""Laptops without Firefox, or without any browser; and what `view` says on the terminal."""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from leakdrop.review.viewer.programs import PREFERENCES, browse
from tests.review.inboxes import seal_bytes, write_bundle
from tests.site import BIN, PATIENCE, wait_until

# A browser of the test's own: it writes down what it was started with, and what its homepage gives, asked
# once and once more.
BROWSER = """
import json, os, pathlib, re, sys, urllib.error, urllib.request
profile = pathlib.Path(sys.argv[sys.argv.index("--profile") + 1])
address = json.loads(re.search(r'"browser.startup.homepage", (".*")', (profile / "user.js").read_text())[1])
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
told = [" ".join(sys.argv), oct(profile.stat().st_mode & 0o777), address]
for _ in range(2):
    try:
        told.append(opener.open(address).read().decode())
    except urllib.error.HTTPError as error:
        told.append(str(error.code))
whole = pathlib.Path(os.environ["TOLD"])
whole.with_name("unfinished").write_text("\\0".join(told))
whole.with_name("unfinished").rename(whole)
"""


NO_FIREFOX = (
    "Note: There is no Firefox here. Open the address above in a private window of another browser: "
    "even so, it may keep on the disk what you play.\n"
)


@pytest.fixture
def start_view(reviewer, tmp_path):
    """Starts `view` with what it needs and these variables of the environment."""
    write_bundle(tmp_path / "stick", [seal_bytes([reviewer.public], "what the source said")])
    processes = []

    def start(*words: object, **variables: object) -> subprocess.Popen:
        command = [BIN / "leakdrop-review", "view", tmp_path / "stick", *reviewer.arguments, *words]
        places = {"HOME": tmp_path / "home", "XDG_STATE_HOME": ""}
        processes.append(
            subprocess.Popen(
                [str(word) for word in command],
                env={**os.environ, **{name: str(value) for name, value in {**places, **variables}.items()}},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def end(process: subprocess.Popen) -> tuple[int, str]:
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=PATIENCE)
    return process.returncode, err


def test_without_any_browser_the_address_is_told(start_view, tmp_path):
    process = start_view(PATH=tmp_path)
    assert re.search(r"^The inbox is at http://127\.0\.0\.1:\d+/[\w-]{43}/$", process.stdout.readline())
    assert process.stderr.readline() == NO_FIREFOX
    assert end(process) == (0, "")


def add_program(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(f"#!{sys.executable}\n{text}")
    (folder / name).chmod(0o755)


def test_firefox_finds_a_ticket_in_its_profile_and_none_on_its_command_line(start_view, tmp_path):
    add_program(tmp_path, "firefox", BROWSER)
    process = start_view(PATH=tmp_path, TOLD=tmp_path / "told")
    token = re.search(r"/([\w-]{43})/$", process.stdout.readline())[1]
    wait_until((tmp_path / "told").exists)
    words, mode, address, first, second = (tmp_path / "told").read_text().split("\0")
    assert "http" not in words
    assert mode == "0o700"
    assert token not in address
    assert "what the source said" in first
    assert second == "404"
    assert process.wait(PATIENCE) == 0


def test_no_other_browser_is_started_where_every_user_reads_command_lines(start_view, tmp_path):
    for name in ("other", "xdg-open", "chromium"):
        add_program(tmp_path, name, f"open({str(tmp_path / 'told')!r}, 'w')")
    process = start_view(PATH=tmp_path, BROWSER=tmp_path / "other", DISPLAY=":9")
    assert process.stderr.readline() == NO_FIREFOX
    time.sleep(1)
    assert end(process) == (0, "")
    assert not (tmp_path / "told").exists()


def test_a_browser_that_fails_leaves_the_address(start_view, tmp_path):
    (tmp_path / "firefox").write_text(f"#!{sys.executable}\nraise SystemExit(1)\n")
    (tmp_path / "firefox").chmod(0o755)
    process = start_view(PATH=tmp_path)
    note = "Note: firefox has ended with an error. Open the address above in a browser yourself.\n"
    assert process.stderr.readline() == note
    assert end(process) == (0, "")


@pytest.mark.needs("curl")
def test_notes_lie_in_the_home_folder_and_nothing_else_does(start_view, tmp_path):
    process = start_view("--no-browser")
    address = re.search(r"http://\S+", process.stdout.readline())[0]
    subprocess.run(["curl", "--silent", "--fail", f"{address}0/"], capture_output=True, check=True)
    assert end(process) == (0, "")
    files = [path for path in (tmp_path / "home").rglob("*") if path.is_file()]
    assert {path.name for path in files} == {"notes.envelope", ".notes.envelope.lock"}


@pytest.mark.parametrize("is_snap", [True, False])
def test_the_profile_lies_where_firefox_can_see_it(tmp_path, monkeypatch, is_snap):
    snap = tmp_path / "snap/firefox/common"
    if is_snap:
        snap.mkdir(parents=True)
    (tmp_path / "firefox").write_text(f"#!{sys.executable}\nimport time\ntime.sleep(600)\n")
    (tmp_path / "firefox").chmod(0o755)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    place = snap if is_snap else Path(tempfile.gettempdir())
    before = set(place.glob("leakdrop-*"))
    with browse("http://127.0.0.1:9/") as is_over:
        made = [path for path in set(place.glob("leakdrop-*")) - before if (path / "user.js").exists()]
        assert made
        assert all(name in (made[0] / "user.js").read_text() for name in PREFERENCES)
        assert not is_over()
    assert not made[0].exists()
