"""`leakdrop import`: whole replies come in, all else is named and left out, and nothing is overwritten."""

import datetime
import hashlib
import io
import json
import os
import shutil
import sqlite3
import subprocess
import threading
import time
from contextlib import nullcontext
from pathlib import Path

import pytest

from leakdrop.acknowledgement import Acknowledged, encode_acknowledgement
from leakdrop.bundle import MAX_REPLY, name_reply, parse_reply_name
from leakdrop.envelope.sealing import seal
from leakdrop.operate.importing import Import, import_replies, shorten
from leakdrop.store.drops import Drops
from leakdrop.store.layout import Layout, lock_import
from leakdrop.store.replies import Replies
from tests.keys import label_key_pair, public_key_file
from tests.replies import label_receipt, read_replies, seal_reply
from tests.site import BIN, PATIENCE, assert_one_line, leakdrop, make_test_site, run, temporary_mount

AMINA, BEN = label_receipt("amina"), label_receipt("ben")
TODAY = datetime.datetime.now(datetime.UTC).date()


@pytest.fixture
def site(tmp_path):
    return make_test_site(tmp_path / "site", [public_key_file("alice")])


@pytest.fixture
def stick(tmp_path):
    (tmp_path / "stick" / "replies").mkdir(parents=True)
    return tmp_path / "stick"


def lay(stick: Path, envelope: bytes, mailbox: bytes = AMINA.mailbox, name: str = "") -> Path:
    """Lay a file among the replies of a stick, as reviewers do or as nobody should."""
    path = stick / "replies" / (name or name_reply(mailbox, hashlib.sha256(envelope).hexdigest()))
    path.write_bytes(envelope)
    return path


def bring(site, stick: Path, *words: object):
    return leakdrop("import", stick, "--config", site.config, *words)


def take(site, stick: Path) -> Import:
    """The same within this process, for cases that are many."""
    with Drops(site.data) as drops:
        return import_replies(Replies(drops, 8).keep, stick, lambda total: nullcontext(lambda size: None))


def stored(site) -> dict[str, bytes]:
    """What lies among the replies, by its name."""
    return {path.name: path.read_bytes() for path in (site.data / "replies").iterdir()}


def named(envelope: bytes, mailbox: bytes = AMINA.mailbox) -> str:
    return f"{mailbox.hex()}.{hashlib.sha256(envelope).hexdigest()}.envelope"


def test_replies_are_taken_and_an_import_can_be_repeated(site, stick):
    first, second = seal_reply(AMINA.key_pair.public, "1"), seal_reply(BEN.key_pair.public, "2")
    lay(stick, first)
    lay(stick, second, BEN.mailbox)
    done = bring(site, stick)
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "2 replies imported.\n")
    before = stored(site)
    assert before == {named(first): first, named(second, BEN.mailbox): second}
    lay(stick, first)
    again = bring(site, stick)
    assert (again.returncode, again.stderr) == (0, "")
    assert again.stdout == "1 reply lay here already.\n0 replies imported.\n"
    assert stored(site) == before


def test_what_was_taken_is_no_more_on_the_stick_and_does_not_come_back(site, stick):
    lay(stick, WHOLE)
    refused = lay(stick, b"x", name="other")
    assert bring(site, stick).returncode == 1
    assert list((stick / "replies").iterdir()) == [refused]
    with Drops(site.data) as drops:
        Replies(drops, 8).delete(AMINA.mailbox, hashlib.sha256(WHOLE).hexdigest())
    bring(site, stick)
    assert stored(site) == {}


def test_a_stick_that_is_read_only_is_imported_and_told(site, tmp_path):
    folder = tmp_path / "locked"
    if not temporary_mount(folder, "4m"):
        pytest.skip("to run it: be root")
    try:
        (folder / "replies").mkdir()
        lay(folder, WHOLE)
        assert run("mount", "-o", "remount,ro", folder).returncode == 0
        done = bring(site, folder)
        assert (done.returncode, done.stdout) == (0, "1 reply imported.\n")
        assert "1 reply could not be removed from the stick" in done.stderr
        assert set(stored(site)) == {named(WHOLE)}
    finally:
        run("umount", folder)


def test_a_reply_whose_import_was_killed_before_its_row_gets_it_from_the_next_one(site, stick):
    lay(stick, WHOLE)
    (site.data / "replies" / named(WHOLE)).write_bytes(WHOLE)
    assert bring(site, stick).stdout == "1 reply lay here already.\n0 replies imported.\n"
    with Drops(site.data) as drops, Replies(drops, 8).reading(AMINA.mailbox, TODAY) as found:
        assert len(found) == 1


def forbid(site, when: str) -> None:
    """Have the database refuse a change, until `allow`."""
    connection = sqlite3.connect(site.data / "leakdrop.sqlite")
    connection.execute(f"CREATE TRIGGER no BEFORE {when} BEGIN SELECT RAISE(ABORT, 'not now'); END")
    connection.close()


def allow(site) -> None:
    connection = sqlite3.connect(site.data / "leakdrop.sqlite")
    connection.execute("DROP TRIGGER no")
    connection.close()


def test_a_reply_whose_row_cannot_be_written_stays_on_the_stick(site, stick):
    path = lay(stick, WHOLE)
    forbid(site, "INSERT ON replies")
    done = bring(site, stick)
    assert_one_line(
        done, "cannot be written: not now. What was imported before is whole (0). Then import again."
    )
    assert (done.stdout, path.exists()) == ("", True)
    allow(site)
    assert bring(site, stick).returncode == 0
    assert not path.exists()
    with Drops(site.data) as drops, Replies(drops, 8).reading(AMINA.mailbox, TODAY) as found:
        assert len(found) == 1


@pytest.mark.parametrize("as_json", [False, True], ids=["for people", "for a script"])
def test_what_became_of_replies_is_told_if_the_acknowledgement_cannot_be_noted(site, stick, as_json):
    with Drops(site.data) as drops:
        (drop,) = fill_one(drops)
        entry = Acknowledged(
            f"{drop.name}.envelope", hashlib.sha256(drops.path(drop).read_bytes()).hexdigest()
        )
    (stick / "acknowledged.json").write_bytes(encode_acknowledgement((entry,)))
    lay(stick, WHOLE)
    forbid(site, "UPDATE ON drops")
    done = bring(site, stick, *["--json"] * as_json)
    assert done.returncode == 1
    assert "cannot be noted: not now" in done.stderr
    if as_json:
        assert json.loads(done.stdout) == {
            "taken": 1, "present": 0, "refused": [], "left": 0, "acknowledgement": None
        }  # fmt: skip
    else:
        assert done.stdout == "1 reply imported.\n"


def fill_one(drops):
    with drops.receive(300_000) as incoming:
        seal([label_key_pair("alice").public], incoming, sealed="server")
        drops.keep(incoming)
    return drops.all()


def test_two_imports_at_once_are_refused(site, stick):
    lay(stick, WHOLE)
    with lock_import(Layout(site.data)):
        assert_one_line(bring(site, stick), "Another import into")
    assert bring(site, stick).returncode == 0


@pytest.mark.needs("strace")
def test_the_servers_own_disk_is_not_taken_for_the_stick(site, stick):
    lay(stick, WHOLE)
    watch = ("strace", "-f", "-qq", "-o", "/dev/null", "-e", "inject=rename:error=EIO")
    done = run(*watch, BIN / "leakdrop", "import", stick, "--config", site.config)
    assert_one_line(done, "This server's data folder: Input/output error")
    assert "stick" not in done.stderr


def test_no_mailbox_is_printed_whole(site, stick):
    lay(stick, WHOLE, name=named(WHOLE))
    done = bring(site, stick, "--json")
    assert AMINA.mailbox.hex() not in done.stdout + done.stderr
    assert f"{AMINA.mailbox.hex()[:8]}…" in done.stderr


def test_the_reviewers_acknowledgement_is_taken_with_the_replies(site, stick):
    with Drops(site.data) as drops, drops.receive(len(WHOLE)) as incoming:
        incoming.write(WHOLE)
        drop = drops.keep(incoming)
    entry = Acknowledged(f"{drop.name}.envelope", hashlib.sha256(WHOLE).hexdigest())
    (stick / "acknowledged.json").write_bytes(encode_acknowledgement((entry,)))
    lay(stick, WHOLE)
    done = bring(site, stick)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "1 drop acknowledged: to leave 4 weeks after this one.\n1 reply imported.\n"
    (stick / "acknowledged.json").write_bytes(b"{}")
    lay(stick, WHOLE)
    done = bring(site, stick)
    assert (done.returncode, done.stdout) == (1, "1 reply lay here already.\n0 replies imported.\n")
    assert "is not an acknowledgement" in done.stderr


def test_what_is_stored_says_nothing_of_the_stick_and_of_the_time(site, stick):
    envelope = seal_reply(AMINA.key_pair.public)
    lay(stick, envelope)
    bring(site, stick)
    path = site.data / "replies" / named(envelope)
    for place in (path, path.parent, site.data / "incoming", site.data):
        assert place.stat().st_mtime_ns == place.stat().st_atime_ns == 0, place
    assert path.stat().st_mode & 0o777 == 0o600


def several_keys() -> bytes:
    sink = io.BytesIO()
    seal([AMINA.key_pair.public, label_key_pair("alice").public], sink, sealed="review", message="x")
    return sink.getvalue()


WHOLE = seal_reply(AMINA.key_pair.public, "whole")
RIGHT = name_reply(AMINA.mailbox, hashlib.sha256(WHOLE).hexdigest())

BAD = {
    "no envelope": (b"hello", "", "This is not a leakdrop envelope."),
    "empty": (b"", "", "This is not a leakdrop envelope."),
    "cut off": (WHOLE[:-1], "", "a length that no envelope has"),
    "header alone": (WHOLE[:1000], "", "cut off within its header"),
    "longer": (WHOLE + b"\0", "", "a length that no envelope has"),
    "several keys": (several_keys(), "", "sealed to several keys"),
    "another version": (WHOLE[:8] + b"\2" + WHOLE[9:], "", "made by a newer leakdrop"),
    "damaged": (WHOLE[:-1] + bytes([WHOLE[-1] ^ 1]), RIGHT, "its sum is not the one in its name"),
    "too large": (bytes(MAX_REPLY + 1), "", "larger than a reply can be"),
    "a drop's name": (WHOLE, f"{'a' * 32}.envelope", "its name is not that of a reply"),
    "another ending": (WHOLE, RIGHT + ".txt", "its name is not that of a reply"),
    "capitals": (WHOLE, RIGHT.upper(), "its name is not that of a reply"),
    "whole sum": (WHOLE, named(WHOLE), "its name is not that of a reply"),
    "a text": (b"hello", "READ ME\x1b[2J.txt", "its name is not that of a reply"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_no_reply_is_refused_and_the_others_come_in(site, stick, case):
    content, name, sentence = BAD[case]
    path = lay(stick, content, name=name)
    good = [seal_reply(BEN.key_pair.public, text) for text in ("before", "after")]
    for envelope in good:
        lay(stick, envelope, BEN.mailbox)
    done = take(site, stick)
    assert (done.taken, [refused.name for refused in done.refused]) == (2, [shorten(path.name)])
    assert sentence in done.refused[0].sentence
    assert set(stored(site)) == {named(envelope, BEN.mailbox) for envelope in good}
    assert list((site.data / "incoming").iterdir()) == []


def test_every_file_that_is_left_out_is_a_line_and_the_command_fails(site, stick):
    for content, name, _ in BAD.values():
        lay(stick, content, name=name)
    lay(stick, WHOLE)
    done = bring(site, stick)
    assert (done.returncode, done.stdout) == (1, "1 reply imported.\n")
    lines = done.stderr.splitlines()
    assert len(lines) == len(list((stick / "replies").iterdir()))
    assert all(line.startswith("WARNING: ") and " is left out: " in line for line in lines)
    assert "READ ME‹U+001B›[2J.txt is left out" in done.stderr


@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_what_only_looks_like_a_file_is_left_out(site, stick, tmp_path, kind):
    (tmp_path / "elsewhere").write_bytes(WHOLE)
    path = stick / "replies" / RIGHT
    {
        "link": lambda: path.symlink_to(tmp_path / "elsewhere"),
        "pipe": lambda: os.mkfifo(path),
        "folder": path.mkdir,
    }[kind]()
    done = bring(site, stick)
    assert done.returncode == 1
    assert "is left out" in done.stderr
    assert stored(site) == {}


def test_a_folder_of_replies_that_is_a_link_is_not_followed(site, stick, tmp_path):
    (stick / "replies").rename(tmp_path / "elsewhere")
    (stick / "replies").symlink_to(tmp_path / "elsewhere")
    assert_one_line(bring(site, stick), "There are no replies in")


def test_what_other_systems_hide_on_a_stick_is_not_spoken_of(site, stick):
    lay(stick, WHOLE)
    lay(stick, b"x", name=f"._{RIGHT}")
    lay(stick, b"x", name=".DS_Store")
    done = bring(site, stick)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_stick_without_replies_is_told(site, tmp_path):
    assert_one_line(bring(site, tmp_path / "nowhere"), "is the stick in?")
    (tmp_path / "empty").mkdir()
    assert_one_line(bring(site, tmp_path / "empty"), "There are no replies in")


def test_a_bundle_that_comes_back_with_nothing_is_no_failure(site, tmp_path):
    """So it is in most weeks, and whatever stands behind the import in a script goes on."""
    leakdrop("export", tmp_path / "stick", "--config", site.config)
    done = bring(site, tmp_path / "stick")
    assert (done.returncode, done.stdout) == (0, "0 replies imported.\n")
    assert done.stderr.startswith("Note: Nothing came back with this bundle.")
    (tmp_path / "stick" / "replies").symlink_to(tmp_path / "nowhere")
    assert_one_line(bring(site, tmp_path / "stick"), "There are no replies in")


def test_a_reply_for_a_mailbox_that_never_existed_waits_and_expires(site, stick):
    lay(stick, WHOLE, bytes(32))
    assert bring(site, stick).returncode == 0
    connection = sqlite3.connect(site.data / "leakdrop.sqlite")
    with connection:
        connection.execute("UPDATE replies SET week = '2020-W01'")
    connection.close()
    assert bring(site, stick).returncode == 0
    assert stored(site) == {}


def test_a_full_mailbox_is_told_and_the_others_get_theirs(site, stick):
    files = (("a", os.urandom(8 * 1024 * 1024)),)
    for text in "1234":
        lay(stick, seal_reply(AMINA.key_pair.public, text, files))
    lay(stick, seal_reply(BEN.key_pair.public), BEN.mailbox)
    done = bring(site, stick)
    assert (done.returncode, done.stdout) == (1, "4 replies imported.\n")
    assert "Its mailbox holds as much as one answer can" in done.stderr


def test_json_tells_all(site, stick):
    lay(stick, WHOLE)
    lay(stick, b"x", name="other")
    done = bring(site, stick, "--json")
    assert done.returncode == 1
    assert '"taken": 1' in done.stdout
    assert '"name": "other"' in done.stdout


def test_status_tells_how_many_wait_and_nothing_else_of_them(site, stick):
    lay(stick, WHOLE)
    lay(stick, seal_reply(BEN.key_pair.public), BEN.mailbox)
    bring(site, stick)
    out = leakdrop("status", "--config", site.config).stdout
    assert "Replies that wait for their sources: 2 (514." in out
    for words in ("status", "--config", site.config), ("status", "--json", "--config", site.config):
        out = leakdrop(*words).stdout
        assert AMINA.mailbox.hex()[:8] not in out
        assert hashlib.sha256(WHOLE).hexdigest()[:8] not in out


def test_a_full_disk_is_told_and_leaves_nothing_half_written(site, stick, tmp_path):
    if not temporary_mount(tmp_path / "small", "3m"):
        pytest.skip("to run it: be root")
    try:
        data = tmp_path / "small" / "data"
        shutil.copytree(site.data, data)
        site.config.write_text(site.config.read_text().replace('"data"', f'"{data}"'))
        for text in range(20):
            lay(stick, seal_reply(AMINA.key_pair.public, f"{text}"))
        done = bring(site, stick)
        assert_one_line(done, "There is no room for")
        sums = {path.name.split(".")[1]: path.read_bytes() for path in (data / "replies").iterdir()}
        assert sums
        assert all(digest == hashlib.sha256(content).hexdigest() for digest, content in sums.items())
        assert list((data / "incoming").iterdir()) == []
    finally:
        run("umount", tmp_path / "small")


@pytest.mark.needs("strace")
def test_a_stick_that_is_pulled_out_half_way_gives_one_line_and_nothing_half_written(site, stick):
    files = (("a", bytes(3_000_000)),)
    envelopes = sorted((seal_reply(AMINA.key_pair.public, text, files) for text in "abc"), key=named)
    paths = [lay(stick, envelope) for envelope in envelopes]
    # From its second read on, the second file fails.
    watch = ("strace", "-f", "-qq", "-o", "/dev/null", "-P", paths[1], "-e", "inject=read:error=EIO:when=2+")
    done = run(*watch, BIN / "leakdrop", "import", stick, "--config", site.config)
    assert_one_line(done, "Input/output error. Is the stick still in? What was imported before is whole (1).")
    assert set(stored(site)) == {named(envelopes[0])}
    assert list((site.data / "incoming").iterdir()) == []
    assert bring(site, stick).stdout == "2 replies imported.\n"


def test_after_a_kill_at_any_moment_an_import_goes_on(site, stick):
    envelopes = [seal_reply(AMINA.key_pair.public, f"{number}") for number in range(8)]
    for envelope in envelopes:
        lay(stick, envelope)
    for turn in range(3):
        process = subprocess.Popen(
            [BIN / "leakdrop", "import", stick, "--config", site.config],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        deadline = time.monotonic() + PATIENCE
        while len(stored(site)) < 2 * turn and process.poll() is None:
            assert time.monotonic() < deadline
        process.kill()
        process.wait(PATIENCE)
        with Drops(site.data) as drops:
            drops.recover()
            Replies(drops, 8).recover(TODAY)
        for name, content in stored(site).items():
            assert named(content) == name
    assert bring(site, stick).returncode == 0
    assert len(stored(site)) == 8


def test_an_import_while_the_site_serves_is_seen_at_once(start_site, stick):
    site = start_site()
    sending = threading.Thread(target=lambda: [site.send(("message", "x")) for _ in range(5)])
    sending.start()
    lay(stick, WHOLE)
    assert bring(site, stick).returncode == 0
    sending.join()
    assert read_replies(site, AMINA) == ["whole"]
    assert len(site.envelopes()) == 5


def test_the_name_of_a_reply_is_read_as_it_is_written():
    digest = hashlib.sha256(b"x").hexdigest()
    assert parse_reply_name(name_reply(AMINA.mailbox, digest)) == (AMINA.mailbox, digest[:32])
    assert parse_reply_name(name_reply(AMINA.mailbox, digest) + "\n") is None
