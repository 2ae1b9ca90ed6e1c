"""`play`: the system's player is handed an address, and nothing of a recording touches the disk."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.review.inboxes import seal_bytes, write_bundle
from tests.site import BIN, PATIENCE, wait_until

WAV = b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0" + bytes(1000)
# What a player gets, and whether it gets it: a player of the test's own writes that down.
PLAYER = """#!{python}
import json, os, pathlib, re, sys, time, urllib.request
(playlist,) = (word for word in sys.argv if word.endswith(".m3u8"))
playlist = pathlib.Path(playlist.removeprefix("--playlist="))
addresses = [line for line in playlist.read_text().splitlines() if not line.startswith("#")]
opener = urllib.request.build_opener(urllib.request.ProxyHandler({{}}))
told = {{
    "words": sys.argv[1:],
    "mode": oct(playlist.parent.stat().st_mode & 0o777),
    "sounds": [len(opener.open(address).read()) for address in addresses],
    "text": playlist.read_text(),
    "proxies": sorted(name for name in os.environ if name.lower() in ("http_proxy", "all_proxy")),
}}
pathlib.Path(os.environ["TOLD"]).write_text(json.dumps(told))
{then}
"""


@pytest.fixture
def programs(tmp_path):
    """A folder that stands for PATH, and a way to put a player there."""
    folder = tmp_path / "programs"
    folder.mkdir()

    def add(name: str, then: str = "") -> Path:
        path = folder / name
        path.write_text(PLAYER.format(python=sys.executable, then=then))
        path.chmod(0o755)
        return path

    add.folder = folder
    return add


@pytest.fixture
def envelope(tmp_path, reviewer):
    path = tmp_path / "talk.envelope"
    files = [("one.wav", WAV), ("b.pdf", b"%PDF-1.4"), ('$(touch x) `y` "; --z\u202e.wav', WAV + b"x")]
    path.write_bytes(seal_bytes([reviewer.public], "m", files))
    return path


@contextmanager
def start(reviewer, envelope, *words, path, told) -> Iterator[subprocess.Popen]:
    """`play`, with these programs alone; it ends with the test, whatever that finds."""
    process = subprocess.Popen(
        [str(word) for word in (BIN / "leakdrop-review", "play", envelope, *reviewer.arguments, *words)],
        env={**os.environ, "PATH": str(path), "TOLD": str(told)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.fixture
def playing(reviewer, envelope, programs, tmp_path):
    """Runs `play` to its end; gives its exit code, what it wrote, and what the player was told."""

    def run(*words):
        told = tmp_path / "told"
        with start(reviewer, envelope, *words, path=programs.folder, told=told) as process:
            out, err = process.communicate(timeout=PATIENCE)
        return process.returncode, out, err, json.loads(told.read_text()) if told.exists() else None

    return run


def test_the_player_gets_all_recordings_and_play_ends_with_it(programs, playing):
    programs("mpv")
    code, out, err, told = playing()
    assert (code, err) == (0, "")
    assert told["sounds"] == [len(WAV), len(WAV) + 1]
    assert "Playing with mpv" in out
    assert "    1  WAV sound" in out
    assert "‹U+202E›.wav" in out


def test_what_a_player_is_started_with_tells_other_users_nothing(programs, playing):
    programs("mpv")
    _, _, _, told = playing()
    assert told["mode"] == "0o700"
    assert not any("://" in word or ".wav" in word for word in told["words"])
    assert ".wav" not in told["text"]


def test_the_player_is_bound_to_the_kinds_that_it_is_given(programs, playing):
    programs("mpv")
    assert "--demuxer-lavf-o-append=format_whitelist=wav" in playing()[3]["words"]


def test_no_proxy_is_asked_for_what_is_on_this_machine(programs, playing, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    programs("mpv")
    assert playing()[3]["proxies"] == []


@pytest.mark.parametrize("player", ["vlc", "xdg-open"])
def test_another_player_is_started_when_any_will_do_and_its_danger_is_told(
    reviewer, envelope, programs, tmp_path, player
):
    programs(player)
    told = tmp_path / "told"
    with start(reviewer, envelope, "--any-player", path=programs.folder, told=told) as process:
        wait_until(lambda: told.exists() and told.read_text().endswith("}"))
        if player == "xdg-open":  # it hands the list over, and the desktop's player goes on
            assert process.poll() is None
            process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=PATIENCE)
    assert json.loads(told.read_text())["sounds"] == [len(WAV), len(WAV) + 1]
    assert f"{player} cannot be kept from fetching" in err
    assert process.returncode == 0


def test_mpv_is_taken_first_even_when_any_player_will_do(programs, playing):
    programs("mpv")
    programs("vlc")
    code, out, err, _ = playing("--any-player")
    assert (code, err) == (0, "")
    assert "Playing with mpv" in out


def test_no_other_player_is_started_unasked(reviewer, envelope, programs, tmp_path):
    """None can be kept from fetching what a file names."""
    for player in ("vlc", "totem", "xdg-open"):
        programs(player)
    with start(reviewer, envelope, path=programs.folder, told=tmp_path / "told") as process:
        read_address(process)
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 0
    assert not (tmp_path / "told").exists()


def test_one_file_alone_can_be_played(programs, playing):
    programs("mpv")
    assert playing("--file", "3")[3]["sounds"] == [len(WAV) + 1]


REFUSED = {
    "0": "There is no file 0: the envelope holds 3.",
    "4": "There is no file 4: the envelope holds 3.",
    "2": "File 2 is not played: PDF document.",
}


@pytest.mark.parametrize(("number", "sentence"), REFUSED.items())
def test_what_is_no_recording_is_not_played(programs, playing, number, sentence):
    programs("mpv")
    code, _, err, told = playing("--file", number)
    assert (code, err, told) == (2, f"leakdrop-review: {sentence}\n", None)


def test_an_envelope_without_a_recording_is_told(review, reviewer, tmp_path):
    (tmp_path / "x.envelope").write_bytes(seal_bytes([reviewer.public], "m", [("a.m4a", b"#EXTM3U\n")]))
    result = review("play", tmp_path / "x.envelope", *reviewer.arguments)
    assert (result.code, result.err) == (
        2,
        "leakdrop-review: This envelope holds no recording that is played here.\n",
    )


def test_of_a_bundle_one_envelope_is_to_be_named(review, reviewer, tmp_path):
    write_bundle(tmp_path / "stick", [seal_bytes([reviewer.public], str(number)) for number in range(2)])
    result = review("play", tmp_path / "stick", *reviewer.arguments)
    assert result.code == 2
    assert "holds 2 envelopes: name one of them." in result.err


def test_an_envelope_that_does_not_open_is_told(review, reviewer, colleague, tmp_path):
    (tmp_path / "x.envelope").write_bytes(seal_bytes([colleague.public], "m"))
    result = review("play", tmp_path / "x.envelope", *reviewer.arguments)
    assert (result.code, result.err) == (
        1,
        "leakdrop-review: This envelope is not sealed to any of these keys.\n",
    )


def read_address(process: subprocess.Popen) -> str:
    line = ""
    while "http" not in line:
        line = process.stderr.readline()
        assert line
    return re.search(r"http://\S+", line)[0]


@pytest.mark.needs("curl")
def test_without_a_player_the_address_is_told_and_serves_until_ctrl_c(reviewer, envelope, tmp_path):
    (tmp_path / "empty").mkdir()
    with start(reviewer, envelope, path=tmp_path / "empty", told=tmp_path / "told") as process:
        address = read_address(process)
        got = subprocess.run(["curl", "--silent", "--range", "0-3", address], capture_output=True, check=True)
        assert got.stdout == b"RIFF"
        page = address.rsplit("/", 3)[0] + "/"
        got = subprocess.run(["curl", "--silent", page], capture_output=True, check=True)
        assert b"There is nothing here." in got.stdout
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 0


def test_what_mpv_cannot_play_is_told_and_goes_to_no_other_player(programs, playing):
    programs("mpv", "sys.exit(2)")
    code, _, err, _ = playing()
    assert code == 1
    assert err.startswith("leakdrop-review: mpv could not play this, or not all of it: ")
    assert "http" not in err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_player_ends_with_play(reviewer, envelope, programs, tmp_path, number):
    programs("mpv", "pathlib.Path(os.environ['TOLD']).write_text(str(os.getpid())); time.sleep(600)")
    with start(reviewer, envelope, path=programs.folder, told=tmp_path / "told") as process:
        wait_until(lambda: (tmp_path / "told").exists() and (tmp_path / "told").read_text().isdigit())
        player = int((tmp_path / "told").read_text())
        process.send_signal(number)
        process.wait(PATIENCE)
    with pytest.raises(ProcessLookupError):
        os.kill(player, 0)


@pytest.mark.needs("mpv", "ffmpeg", "espeak-ng", "exiftool", "strace")
def test_mpv_plays_and_seeks_and_no_plaintext_is_written(reviewer, recordings, tmp_path):
    """Real mpv, with a device that makes no sound; what it and leakdrop open to write is watched."""
    talk = recordings.talk.read_bytes()
    envelope = tmp_path / "talk.envelope"
    envelope.write_bytes(seal_bytes([reviewer.public], "m", [(recordings.talk.name, talk)]))
    # From the middle of the recording on, for some seconds.
    words = "--ao=null --vo=null --force-window=no --start=50% --length=3"
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/mpv").write_text(f'#!/bin/sh\nexec {shutil.which("mpv")} "$@" {words}\n')
    (tmp_path / "bin/mpv").chmod(0o755)
    command = [
        "strace",
        "-f",
        "-y",
        "-o",
        tmp_path / "trace",
        "-e",
        "trace=openat,creat,write,pwrite64,execve",
    ]
    command += [BIN / "leakdrop-review", "play", envelope, *reviewer.arguments]
    done = subprocess.run(
        [str(word) for word in command],
        env={**os.environ, "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE,
    )
    assert (done.returncode, done.stderr) == (0, "")
    trace = (tmp_path / "trace").read_text(errors="replace")
    trace = re.sub('.*"blat", 4.*', "", trace)  # how Python finds out whether it can write there
    assert "talk" not in "".join(
        line for line in trace.splitlines() if shutil.which("mpv") in line and "execve" in line
    )
    written = set(re.findall(r"(?:p?write(?:64)?)\(\d+<(/[^>]*)>", trace))
    allowed = re.compile(r"/dev/.*|/proc/.*|.*/leakdrop-\w+/recordings\.m3u8|/memfd:.*")
    assert [path for path in written if not allowed.fullmatch(path)] == []
    assert not list(tmp_path.glob("leakdrop-*"))
