"""New keys, and what keys are told apart by."""

import datetime
import errno
import json
import os
import stat
from dataclasses import replace

import pytest

from leakdrop.envelope.keyfile import encode_public_key, open_root, parse_public_keys, parse_secret_key
from leakdrop.envelope.keys import derive_key_pair, derive_sign_key
from leakdrop.review.places import refuse_stick
from leakdrop.terminal import group_fingerprint
from tests.keys import public_key_file
from tests.site import run, temporary_mount

PASSPHRASE = "six random words are long enough"


@pytest.fixture
def keygen(review, tmp_path):
    """Runs keygen with a passphrase in a file; the keys go to tmp_path/keys."""
    (tmp_path / "passphrase").write_text(PASSPHRASE + "\n")

    def make(name, *arguments):
        place = [] if "-o" in arguments else ["-o", tmp_path / "keys"]
        return review("keygen", name, "--passphrase-file", tmp_path / "passphrase", *place, *arguments)

    return make


def test_a_new_key_is_whole(keygen, tmp_path):
    last_day = datetime.datetime.now(datetime.UTC).date() + datetime.timedelta(90)
    result = keygen("مراجعون 1", "--not-after", last_day)
    assert (result.code, result.err) == (0, "")
    secret_path, public_path = tmp_path / "keys/مراجعون 1.key", tmp_path / "keys/مراجعون 1.pub"
    secret, (public,) = (
        parse_secret_key(secret_path.read_bytes()),
        parse_public_keys(public_path.read_bytes()),
    )
    root = open_root(secret, PASSPHRASE)
    assert public.key == derive_key_pair(root).public
    assert public.sign == derive_sign_key(root).verify_key.encode()
    assert (public.name, secret.name, public.not_after) == ("مراجعون 1", "مراجعون 1", last_day)
    assert (secret.passes, secret.memory) == (3, 256 * 1024 * 1024)
    assert stat.S_IMODE(secret_path.stat().st_mode) == 0o600
    assert group_fingerprint(secret.fingerprint) in result.out
    assert "give مراجعون 1.pub to the operator, and compare the fingerprint by voice" in result.out


WRONG_NAMES = {
    "nothing": "",
    "a path": "keys/Reviewers",
    "a Windows path": "keys\\Reviewers",
    "an option": "-x",
    "a hidden file": ".key",
    "a device": "NUL",
    "a line end": "a\nb",
    "a blank around": " a",
    "an override": "a\u202eb",
    "a wildcard": "a*",
    "too long for a file": "ش" * 200,
}


@pytest.mark.parametrize("name", WRONG_NAMES.values(), ids=WRONG_NAMES)
def test_a_name_that_cannot_be_is_refused(keygen, tmp_path, name):
    result = keygen("--", name) if name.startswith("-") else keygen(name)
    assert result.code == 2
    assert result.err.count("\n") == 1
    assert not (tmp_path / "keys").exists()


REASONS = {
    "CON": "“CON” is the name of a device on Windows",
    "lpt1.old": "“lpt1.old” is the name of a device on Windows",
    "a*": "choose one without / ",
    # The server has /key/all.pub, and refuses a key of that name.
    "all": "A key cannot be named “all”: on the server that is the file of all keys",
    "All": "A key cannot be named “all”: on the server that is the file of all keys",
}


@pytest.mark.parametrize(("name", "reason"), REASONS.items(), ids=REASONS)
def test_a_name_is_refused_for_its_own_reason(keygen, tmp_path, name, reason):
    result = keygen(name)
    assert (result.code, reason in result.err) == (2, True), result.err
    assert not (tmp_path / "keys").exists()


@pytest.mark.parametrize("ending", ["key", "pub"])
def test_nothing_is_overwritten(keygen, tmp_path, ending):
    (tmp_path / "keys").mkdir()
    there = tmp_path / f"keys/a.{ending}"
    there.write_text("precious")
    result = keygen("a")
    assert (result.code, result.err) == (
        2,
        f"leakdrop-review: {there} exists already, and nothing is overwritten: choose another name.\n",
    )
    assert [path.read_text() for path in (tmp_path / "keys").iterdir()] == ["precious"]


def test_not_even_a_link_to_nowhere_is_overwritten(keygen, tmp_path):
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys/a.key").symlink_to(tmp_path / "nowhere")
    assert keygen("a").code == 2
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="to run it: be root, who can mount a small disk")
def test_a_full_disk_leaves_no_half_of_a_key(keygen, tmp_path):
    folder = tmp_path / "small"
    if not temporary_mount(folder, "1M,nr_inodes=2"):
        pytest.skip("to run it: be allowed to mount a small disk")
    try:
        result = keygen("a", "-o", folder)
        assert result.code == 1
        assert result.err == f"leakdrop-review: {folder}/a.pub: {os.strerror(errno.ENOSPC)}.\n"
        assert list(folder.iterdir()) == []
    finally:
        run("umount", folder)


def test_a_passphrase_file_must_be_there(review, tmp_path):
    result = review("keygen", "a", "-o", tmp_path, "--passphrase-file", tmp_path / "no")
    assert (result.code, result.err) == (1, f"leakdrop-review: {tmp_path}/no: No such file or directory.\n")


WRONG_PASSPHRASES = {
    "nothing": (b"", "is empty"),
    "an empty line": (b"\n", "is empty"),
    "an empty line of Windows": (b"\r\n", "is empty"),
    "no UTF-8": (b"\xff", "is not UTF-8 text"),
    "too much": (b"x" * 65_537, "is longer than 65,536 bytes"),
}


@pytest.mark.parametrize(("text", "reason"), WRONG_PASSPHRASES.values(), ids=WRONG_PASSPHRASES)
def test_a_wrong_passphrase_is_refused(keygen, tmp_path, text, reason):
    (tmp_path / "passphrase").write_bytes(text)
    result = keygen("a")
    assert result.code == 2
    assert result.err == f"leakdrop-review: The passphrase in {tmp_path}/passphrase {reason}.\n"


def test_a_short_passphrase_is_taken_with_a_word_of_advice(keygen, tmp_path):
    (tmp_path / "passphrase").write_text("short")
    result = keygen("a")
    assert result.code == 0
    assert result.err == "Note: The passphrase has only 5 characters; six random words are a good one.\n"


PLACES = {
    "the bundle": "stick",
    "a folder in it": "stick/keys",
    "a new folder in it": "stick/new/folder",
    "a link to a folder in it": "link",
}


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_no_key_is_made_in_a_bundle(keygen, tmp_path, place):
    (tmp_path / "stick/keys").mkdir(parents=True)
    (tmp_path / "stick/bundle.json").write_text("{}")
    (tmp_path / "link").symlink_to("stick/keys")
    result = keygen("a", "-o", tmp_path / place)
    assert result.code == 2
    assert f"is where the bundle {tmp_path}/stick is, and that goes back to the server" in result.err
    assert sorted(path.name for path in (tmp_path / "stick").rglob("*")) == ["bundle.json", "keys"]


@pytest.fixture
def stick(tmp_path):
    """A file system of its own."""
    stick = tmp_path / "media/stick"
    if not temporary_mount(stick, "1M"):
        pytest.skip("to run it: be root, who can mount a stick")
    yield stick
    run("umount", stick)


DEEP = {
    "at its top": ".",
    "a folder deep": "bundle",
    "two deep": "2026/bundle",
    "five deep": "a/b/c/d/bundle",
}


@pytest.mark.parametrize("place", ["keys", "2026/keys", "new/folder"])
@pytest.mark.parametrize("bundle", DEEP.values(), ids=DEEP)
def test_no_key_is_made_beside_a_bundle_on_its_stick(keygen, tmp_path, stick, bundle, place):
    (stick / bundle).mkdir(parents=True, exist_ok=True)
    (stick / bundle / "bundle.json").write_text("{}")
    (stick / "2026").mkdir(exist_ok=True)
    result = keygen("a", "-o", stick / place)
    assert result.code == 2
    assert f"is where the bundle {(stick / bundle).resolve()} is" in result.err
    assert not list(stick.rglob("*.key"))
    refuse_stick(tmp_path / "keys")


@pytest.mark.parametrize("home", ["media", "media/stick/me"])
def test_a_key_is_made_where_copies_of_bundles_are_kept(keygen, monkeypatch, tmp_path, stick, home):
    """Tails' Persistent, and /home on a disk of its own, are file systems too, and no sticks."""
    monkeypatch.setenv("HOME", str(tmp_path / home))
    (stick / "me/copies/bundle").mkdir(parents=True)
    (stick / "me/copies/bundle/bundle.json").write_text("{}")
    assert keygen("a", "-o", stick / "me/keys").code == 0
    assert keygen("b", "-o", stick / "me/copies/bundle/keys").code == 2


def test_a_key_is_made_in_a_bundle_if_that_is_meant(keygen, tmp_path):
    (tmp_path / "bundle.json").write_text("{}")
    assert keygen("a", "--here").code == 0


DATES = {
    "no date": "soon",
    "a date without hyphens": "20270630",
    "a week": "2027-W26-3",
    "a day that is not": "2027-02-29",
}


@pytest.mark.parametrize("date", DATES.values(), ids=DATES)
def test_a_last_day_must_be_a_date(keygen, date):
    result = keygen("a", "--not-after", date)
    assert (result.code, result.err) == (2, "leakdrop-review: --not-after takes a date like 2027-06-30.\n")


def test_a_last_day_must_not_be_over(keygen):
    yesterday = datetime.datetime.now(datetime.UTC).date() - datetime.timedelta(1)
    result = keygen("a", "--not-after", yesterday)
    assert result.code == 2
    assert f"--not-after {yesterday} is over" in result.err


def test_fingerprints_of_all_keys_are_shown(review, reviewer, tmp_path):
    alice, bob = public_key_file("alice"), public_key_file("bob", datetime.date.max)
    (tmp_path / "all.pub").write_text(encode_public_key(alice) + encode_public_key(bob))
    result = review("fingerprint", tmp_path / "all.pub", reviewer.secret)
    assert (result.code, result.err) == (0, "")
    for key in (alice.key, bob.key, reviewer.public):
        assert f"  fingerprint  {key.fingerprint}\n" in result.out
        assert f"               {group_fingerprint(key.fingerprint)}\n" in result.out
        assert f"  key id       {key.key_id.hex()}\n" in result.out
    assert result.out.count("not after    no last day") == 1
    assert f"not after    {datetime.date.max}" in result.out
    assert f"Reviewers (secret key in {reviewer.secret})" in result.out


def test_fingerprints_are_told_to_programs(review, tmp_path):
    bob = replace(public_key_file("bob", datetime.date.max), sign=bytes(range(32)))
    (tmp_path / "bob.pub").write_text(encode_public_key(bob))
    assert json.loads(review("fingerprint", tmp_path / "bob.pub", "--json").out) == [
        {
            "path": str(tmp_path / "bob.pub"),
            "name": "bob",
            "secret": False,
            "fingerprint": bob.key.fingerprint,
            "key_id": bob.key.key_id.hex(),
            "not_after": str(datetime.date.max),
            "sign": bytes(range(32)).hex(),
        }
    ]


def test_a_file_that_is_no_key_is_named(review, tmp_path):
    (tmp_path / "x.pub").write_text("ssh-ed25519 AAAA")
    result = review("fingerprint", tmp_path / "x.pub")
    assert result.code == 1
    assert result.err.startswith(f"leakdrop-review: {tmp_path}/x.pub: This is not a public key file")


def test_an_endless_file_is_no_key(review):
    result = review("fingerprint", "/dev/zero")
    assert result.code == 1
    assert "/dev/zero: This is not a key file: it is longer than 1 MiB." in result.err
