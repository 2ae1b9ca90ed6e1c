"""The whole way: real files go in, are stored, exported and opened on a machine without network."""

import json
import os
import random
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from leakdrop.bundle import parse_bundle
from tests.keys import write_key_files
from tests.site import BIN, BROKEN, Site, leakdrop, run, wait_until
from tests.torbrowser import TorBrowser

MEDIA = ("ffmpeg", "espeak-ng", "exiftool")


def export_and_extract(site: Site, folder: Path, *prefix: object) -> list[Path]:
    """Export to a stick, extract with Alice's key, and return the folder of each submission."""
    key = write_key_files(folder / "reviewers", "alice")
    stick, opened = folder / "stick", folder / "opened"
    assert leakdrop("export", stick, "--config", site.config).returncode == 0
    review = [*prefix, BIN / "leakdrop-review"]
    passphrase = key.with_name("passphrase")
    done = run(
        *review, "extract", stick, "--key", key, "--passphrase-file", passphrase, "-o", opened, "--here"
    )
    assert done.returncode == 0, done.stderr
    return sorted(path for path in opened.iterdir() if path.is_dir())


def files_by_real_name(submission: Path) -> dict[str, bytes]:
    """What was extracted, under the names that the source's files had."""
    manifest = json.loads((submission / "manifest.json").read_text())
    return {file["name"]: (submission / file["file"]).read_bytes() for file in manifest["files"]}


@pytest.mark.needs("curl", "unshare", *MEDIA)
def test_real_files_sent_by_curl_come_out_byte_for_byte_without_a_network(site, recordings, tmp_path):
    forms = [word for path in recordings.all() for word in ("-F", f"files=@{path}")]
    done = run("curl", "-sf", "-F", "message=Everything I have", *forms, f"{site.url}submit")
    assert done.returncode == 0
    (submission,) = export_and_extract(site, tmp_path, "unshare", "-rn")
    assert files_by_real_name(submission) == {path.name: path.read_bytes() for path in recordings.all()}
    assert (submission / "message.txt").read_text().strip() == "Everything I have"


@pytest.mark.needs("firefox-esr", *MEDIA)
def test_real_files_sent_by_the_form_at_safest_come_out_byte_for_byte(site, recordings, tmp_path):
    with TorBrowser("safest") as browser:
        browser.navigate(site.url)
        browser.find_element("id", "message").send_keys("From Tor Browser at Safest.\nشكرا")
        for path in recordings.all():
            browser.find_element("id", "files").send_keys(str(path))
        browser.find_element("id", "send").click()
        wait_until(lambda: browser.find_elements("css selector", "#status[data-state=done]"))
        assert browser.get_cookies() == []
    (submission,) = export_and_extract(site, tmp_path)
    assert files_by_real_name(submission) == {path.name: path.read_bytes() for path in recordings.all()}
    assert (submission / "message.txt").read_text().strip() == "From Tor Browser at Safest.\nشكرا"


def test_an_envelope_made_offline_is_handed_over_by_the_form(site, tmp_path):
    write_key_files(tmp_path / "reviewers", "alice")
    (tmp_path / "note.txt").write_text("sealed at home")
    sealed = tmp_path / "mine.envelope"
    done = run(
        BIN / "leakdrop-seal",
        "--to",
        tmp_path / "reviewers" / "alice.pub",
        "-o",
        sealed,
        tmp_path / "note.txt",
    )
    assert done.returncode == 0, done.stderr
    assert site.send(("message", ""), ("files", "mine.envelope", sealed.read_bytes()))[0] == 200
    (submission,) = export_and_extract(site, tmp_path)
    assert files_by_real_name(submission) == {"note.txt": b"sealed at home"}


def test_a_kill_at_any_moment_loses_nothing_that_was_acknowledged(start_site, tmp_path):
    site = start_site()
    chance = random.Random(47)
    acknowledged: list[int] = []

    def send(number: int) -> None:
        try:
            if site.send(("message", str(number)), ("files", f"{number}", os.urandom(2_000_000)))[0] == 200:
                acknowledged.append(number)
        except BROKEN:
            pass

    for turn in range(6):
        senders = [threading.Thread(target=send, args=(10 * turn + i,)) for i in range(5)]
        for sender in senders:
            sender.start()
        wanted = len(acknowledged) + chance.randint(0, 3)
        while len(acknowledged) < wanted:
            time.sleep(0.005)
        site.stop(signal.SIGKILL)
        for sender in senders:
            sender.join()
        site.start()
        assert list((site.data / "incoming").iterdir()) == []
    assert acknowledged
    submissions = export_and_extract(site, tmp_path)
    messages = {int((submission / "message.txt").read_text()) for submission in submissions}
    assert messages.issuperset(acknowledged)
    assert len(submissions) == len(site.envelopes())


MARK = b"CANARY-7f3a91c2"
LINE = MARK + b" what the source said\n"


@pytest.mark.needs("strace")
def test_no_plaintext_byte_of_200_megabytes_goes_to_any_file(start_site, tmp_path, alice):
    """Every write of the server is watched: no first bytes of one, and no file that is left, has the mark."""
    site = start_site()
    trace = tmp_path / "trace"
    site.stop()
    calls = (
        "trace=openat,open,creat,write,pwrite64,writev,pwritev,pwritev2,sendfile,splice,copy_file_range,mmap"
    )
    site.prefix = (
        "strace",
        "-f",
        "-qq",
        "-s",
        "48",
        "-y",
        "-e",
        calls,
        "-e",
        "signal=none",
        "-o",
        str(trace),
    )
    site.start()
    upload = tmp_path / "upload"
    size = 200 * 1024 * 1024
    with upload.open("wb") as file:
        lines = LINE * 30_000
        while file.tell() < size:
            file.write(lines)
    named = f"files=@{upload};filename={MARK.decode()}.txt"
    curl = ["curl", "-s", "-o", tmp_path / "page", "-w", "%{http_code}"]
    sent = run(*curl, "-F", f"message={MARK.decode()} in words", "-F", named, f"{site.url}submit")
    assert sent.stdout == "200"
    site.stop()
    lines = trace.read_text(errors="replace").splitlines()
    writes = [line for line in lines if "write" in line.split("(")[0] and "/incoming/" in line]
    assert len(writes) > 100, "strace saw no envelope being written"
    assert not any(MARK.decode() in line for line in lines)
    assert not any("O_TMPFILE" in line for line in lines)
    left = [path for path in site.folder.rglob("*") if path.is_file()]
    assert not any(contains(path, MARK) for path in left)
    assert site.open_only(alice).index.files[0].size == upload.stat().st_size


def contains(path: Path, mark: bytes) -> bool:
    with path.open("rb") as file:
        tail = b""
        while piece := file.read(1 << 20):
            if mark in tail + piece:
                return True
            tail = piece[-len(mark) :]
    return False


@pytest.mark.needs("strace")
def test_the_watch_over_writes_would_see_plaintext(tmp_path):
    """The test above can fail: a program that spools what it is sent shows the mark."""
    trace = tmp_path / "trace"
    program = (
        "import sys, tempfile; f = tempfile.TemporaryFile(); f.write(sys.stdin.buffer.read()); f.flush()"
    )
    strace = ["strace", "-f", "-qq", "-s", "48", "-e", "trace=write,openat", "-o", trace]
    run(*strace, sys.executable, "-c", program, input=LINE.decode() * 100)
    assert MARK.decode() in trace.read_text()


def test_a_damaged_drop_is_told_and_the_others_come_out(site, tmp_path):
    for number in range(3):
        site.send(("message", str(number)))
    damaged = site.envelopes()[1]
    content = bytearray(damaged.read_bytes())
    content[-1] ^= 1
    damaged.write_bytes(content)
    key = write_key_files(tmp_path / "reviewers", "alice")
    leakdrop("export", tmp_path / "stick", "--config", site.config)
    done = run(BIN / "leakdrop-review", "extract", tmp_path / "stick", "--key", key, "--passphrase-file",
               key.with_name("passphrase"), "-o", tmp_path / "opened", "--here")  # fmt: skip
    assert done.returncode == 1
    assert "damaged" in done.stderr
    assert len(list((tmp_path / "opened").iterdir())) == 2
    assert len(parse_bundle((tmp_path / "stick" / "bundle.json").read_bytes()).entries) == 3
