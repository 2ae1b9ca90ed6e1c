"""`leakdrop digest`: one size, and in the clear not a word about what came."""

import base64
import datetime

import pytest

from leakdrop.envelope.opening import open_envelope
from leakdrop.envelope.sealing import seal
from leakdrop.operate.digest import SIZE
from leakdrop.store.drops import Drops
from tests.keys import label_key_pair, public_key_file, write_key_files
from tests.site import BIN, assert_one_line, leakdrop, make_test_site, run


@pytest.fixture
def site(tmp_path):
    write_key_files(tmp_path / "reviewers", "alice")
    write_key_files(tmp_path / "reviewers", "bob")
    return make_test_site(tmp_path / "site", [public_key_file("alice", datetime.date(9999, 1, 1))])


def fill(site, count):
    with Drops(site.data) as drops:
        for _ in range(count):
            with drops.receive(300_000) as incoming:
                seal([label_key_pair("alice").public], incoming, sealed="server")
                drops.keep(incoming)


def digest(site, *words):
    return leakdrop("digest", "--config", site.config, *words)


def test_in_the_clear_it_is_the_same_whether_or_not_anything_came(site):
    before = digest(site)
    fill(site, 3)
    after = digest(site)
    assert before.stdout == after.stdout
    assert len(before.stdout.encode()) == SIZE
    assert "1 key in use, the first one until 9999-01-01" in before.stdout


def test_when_all_keys_have_expired_it_says_so_and_what_came_can_still_be_told(tmp_path):
    site = make_test_site(tmp_path / "site", [public_key_file("alice", datetime.date(2020, 1, 1))])
    fill(site, 2)
    done = digest(site)
    assert "all have expired" in done.stdout
    assert len(done.stdout.encode()) == SIZE
    status = leakdrop("status", "--config", site.config)
    assert "Drops: 2" in status.stdout
    assert "(expired)" in status.stdout
    assert "ask the reviewers for a new one" in status.stderr


def test_sealed_it_has_one_size_and_tells_the_reviewers_how_many_came(site, tmp_path):
    alice = tmp_path / "reviewers" / "alice.pub"
    before = digest(site, "--to", alice)
    fill(site, 3)
    after = digest(site, "--to", alice)
    assert len(before.stdout) == len(after.stdout)
    assert before.stdout != after.stdout
    (tmp_path / "digest.envelope").write_bytes(base64.b64decode(after.stdout))
    key = (
        "--key",
        tmp_path / "reviewers" / "alice.key",
        "--passphrase-file",
        tmp_path / "reviewers" / "passphrase",
    )
    read = run(BIN / "leakdrop-review", "read", tmp_path / "digest.envelope", *key)
    assert "3 drops on the server" in read.stdout
    assert len(max(after.stdout.splitlines(), key=len)) == 76


def test_it_can_be_sealed_to_several_keys_and_written_to_a_file(site, tmp_path):
    keys = [
        word
        for label in ("alice", "bob", "alice")
        for word in ("--to", tmp_path / "reviewers" / f"{label}.pub")
    ]
    done = digest(site, *keys, "-o", tmp_path / "digest.envelope")
    assert (done.returncode, done.stdout) == (0, "")
    for label in ("alice", "bob"):
        with (tmp_path / "digest.envelope").open("rb") as file:
            envelope = open_envelope(file, [label_key_pair(label)])
            assert envelope.index.message.startswith("Test organisation")
            assert len(envelope.header.stanzas) == 2


@pytest.mark.needs("strace")
def test_it_opens_no_connection(site, tmp_path):
    trace = tmp_path / "trace"
    words = ("digest", "--config", site.config, "--to", tmp_path / "reviewers" / "alice.pub")
    done = run("strace", "-f", "-e", "trace=socket,connect,sendto", "-o", trace, BIN / "leakdrop", *words)
    assert done.returncode == 0
    assert "socket(" not in trace.read_text()
    assert "connect(" not in trace.read_text()


def test_a_secret_key_or_no_key_is_told(site, tmp_path):
    assert_one_line(digest(site, "--to", tmp_path / "reviewers" / "alice.key"), "alice.key: ")
    assert_one_line(digest(site, "--to", tmp_path / "nobody.pub"), "nobody.pub")
    assert_one_line(digest(site, "-o", tmp_path / "x"), "add --to NAME.pub", 2)
