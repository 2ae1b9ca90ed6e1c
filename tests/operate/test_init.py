"""`leakdrop init`: the fingerprint is really compared, and what tor and systemd get is right."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from leakdrop.config import load_config
from leakdrop.operate import init
from leakdrop.operate.init import (
    HIDDEN,
    ONION_FOLDER,
    SOCKET,
    Wishes,
    find_hidden,
    make_site,
    make_system_files,
)
from leakdrop.operate.torrc import read_torrc
from tests.keys import label_key_pair, write_key_files
from tests.site import BIN, assert_one_line, leakdrop, run

FINGERPRINT = label_key_pair("alice").public.fingerprint


@pytest.fixture
def key(tmp_path):
    return write_key_files(tmp_path / "reviewers", "alice").with_suffix(".pub")


def ask_init(folder, key, answer):
    """Answer `leakdrop init` as somebody with the reviewers' paper; `answer` is given the hidden groups."""
    process = subprocess.Popen(
        [BIN / "leakdrop", "init", folder, "--organisation", "O", "--key", key],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={"PYTHONUNBUFFERED": "1", "PATH": "/usr/bin:/bin:/usr/sbin:/sbin"},
    )  # fmt: skip
    process.stdin.write("\n")
    process.stdin.flush()
    shown = ""
    while "????" not in shown:
        shown = process.stdout.readline()
    groups = re.findall("[0-9a-f?]{4}", shown.partition(": ")[2])
    whole = re.findall("....", FINGERPRINT)
    hidden = [whole[number] for number, group in enumerate(groups) if group == "????"]
    said, complaint = process.communicate(answer(hidden) + "\n", timeout=60)
    return process.returncode, shown + said, complaint, hidden


def test_two_groups_of_the_fingerprint_are_asked_for(tmp_path, key):
    code, said, complaint, hidden = ask_init(tmp_path / "site", key, " ".join)
    assert (code, len(hidden)) == (0, 2)
    assert "fingerprint" not in complaint
    assert FINGERPRINT not in said.replace(" ", "")
    assert (tmp_path / "site" / "keys" / "alice.pub").read_bytes() == key.read_bytes()


@pytest.mark.parametrize("answer", [lambda hidden: "yes", lambda hidden: hidden[0], lambda hidden: ""])
def test_who_did_not_compare_gets_no_site(tmp_path, key, answer):
    code, _, complaint, _ = ask_init(tmp_path / "site", key, answer)
    assert code == 2
    assert "ask the reviewers again" in complaint
    assert not (tmp_path / "site").exists()


def test_a_fingerprint_can_be_given_in_groups_or_whole_and_must_be_the_key_s(tmp_path, key):
    groups = " ".join(re.findall("....", FINGERPRINT.upper()))
    done = leakdrop("init", tmp_path / "a", "--yes", "--key", key, "--fingerprint", groups)
    assert "has the fingerprint that you gave" in done.stdout
    alone = leakdrop("init", tmp_path / "c", "--yes", "--fingerprint", groups)
    assert_one_line(alone, "name its file with --key", 2)
    assert not (tmp_path / "c").exists()
    other = label_key_pair("bob").public.fingerprint
    done = leakdrop("init", tmp_path / "b", "--yes", "--key", key, "--fingerprint", other)
    assert_one_line(done, "has another fingerprint", 2)
    assert not (tmp_path / "b").exists()


def test_it_tells_the_commands_that_follow(tmp_path, key):
    done = leakdrop("init", tmp_path / "site", "--yes", "--key", key, "--only-sealed")
    # By their whole paths: an environment's commands are in nobody's PATH.
    for words in (f"{BIN}/leakdrop serve --onion", "system/install", f"{BIN}/leakdrop check"):
        assert words in done.stdout
    # Fewer than ten commands from nothing to an onion address.
    assert len(re.findall(r"^  \S", done.stdout, re.MULTILINE)) < 10
    assert load_config(tmp_path / "site" / "config.toml").no_script_sealing is False


@pytest.mark.parametrize("place", HIDDEN)
def test_a_place_that_the_units_hide_is_warned_of_and_not_set_up(tmp_path, place):
    script = make_system_files(Path(place) / "leakdrop")["install"]
    # As far as it may come here: nothing of this machine is changed, whatever the script says.
    beginning, _, rest = script.partition("\ncd ")
    assert rest
    done = run("sh", "-c", beginning)
    assert done.returncode == 1
    assert f"could not start from {place}/leakdrop" in done.stderr
    assert Path(place) / "leakdrop" in find_hidden(Path(place) / "leakdrop")


def test_a_place_that_the_units_see_is_not_warned_of(monkeypatch):
    monkeypatch.setattr(sys, "prefix", "/opt/leakdrop")
    monkeypatch.setattr(sys, "base_prefix", "/usr")
    assert find_hidden(Path("/srv/leakdrop")) == []
    beginning = make_system_files(Path("/srv/leakdrop"))["install"].partition("\ncd ")[0]
    assert run("sh", "-c", beginning).returncode == 0


def test_the_units_hide_what_is_warned_of():
    unit = (Path(init.__file__).parent / "templates" / "leakdrop.service").read_text()
    assert "\nProtectHome=yes\n" in unit
    hidden = re.search("^TemporaryFileSystem=(.*)$", unit, re.MULTILINE)
    folders = {word.partition(":")[0] for word in hidden[1].split()}
    assert folders | {"/home", "/root", "/run/user"} == set(HIDDEN)


def test_init_in_a_hidden_place_makes_a_site_for_a_trial_and_says_what_it_is_not(tmp_path, key):
    folder = Path("/tmp") / f"leakdrop-{tmp_path.name}-{os.getpid()}"
    try:
        done = leakdrop("init", folder, "--yes", "--key", key)
    finally:
        shutil.rmtree(folder)
    assert done.returncode == 0
    assert f"WARNING: The service cannot start from {folder}" in done.stderr


@pytest.fixture
def system(tmp_path, key):
    return make_site(tmp_path / "site", Wishes(), [key]).system


@pytest.mark.needs("tor")
def test_tor_takes_the_lines_that_it_gets(system, tmp_path):
    torrc = (system / "torrc").read_text()
    assert "HiddenServicePoWDefensesEnabled 1" in torrc
    own = torrc.replace(f"{ONION_FOLDER}/", f"{tmp_path}/onion/")
    (tmp_path / "torrc").write_text(f"DataDirectory {tmp_path}/tor\nSocksPort 0\n{own}")
    (tmp_path / "onion").mkdir(mode=0o700)
    done = run("tor", "--defaults-torrc", "", "-f", tmp_path / "torrc", "--verify-config")
    assert done.returncode == 0, done.stdout
    warnings = [line for line in done.stdout.splitlines() if "[warn]" in line]
    assert [line for line in warnings if "running Tor as root" not in line] == []


def test_a_tor_without_proof_of_work_is_not_given_an_option_that_stops_it(tmp_path, key, monkeypatch):
    program = tmp_path / "bin" / "tor"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\n[ "$1" = --version ] && echo "Tor version 0.4.8.1." || echo "pow: no"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")
    system = make_site(tmp_path / "site", Wishes(), [key]).system
    (service,) = read_torrc(system / "torrc").services
    assert "hiddenservicepowdefensesenabled" not in service.options
    assert "# HiddenServicePoWDefensesEnabled 1" in (system / "torrc").read_text()


def test_torrc_socket_unit_and_apparmor_agree_on_the_socket(system):
    (service,) = read_torrc(system / "torrc").services
    assert service.ports == [f"80 unix:{SOCKET}"]
    unit = (system / "leakdrop.socket").read_text()
    assert f"ListenStream={SOCKET}\n" in unit
    assert "SocketMode=0660" in unit
    assert f"{SOCKET} rw," in (system / "apparmor").read_text()


def test_units_name_the_site_and_the_program(system, tmp_path):
    for name in ("leakdrop.service", "leakdrop-upkeep.service"):
        text = (system / name).read_text()
        assert f" --config {tmp_path}/site/config.toml" in text
        assert str(BIN / "leakdrop") in text
        assert not set(re.findall(r"\{\w+\}", text))


def test_units_of_a_site_are_written_anew_and_nothing_else(tmp_path, system):
    site = system.parent
    fresh = {path: path.read_text() for path in system.iterdir()}
    kept = {path: path.read_bytes() for path in site.rglob("*") if path.is_file() and path not in fresh}
    assert {path.name for path in kept} >= {"config.toml", "alice.pub", "leakdrop.sqlite"}
    (system / "leakdrop.service").write_text("old")
    (system / "install").unlink()
    done = leakdrop("init", "--system", site)
    assert done.returncode == 0, done.stderr
    assert f"sh {system}/install" in done.stdout
    assert {path: path.read_text() for path in system.iterdir()} == fresh
    assert {path: path.read_bytes() for path in kept} == kept


def test_what_is_written_anew_is_a_sites_and_takes_no_wishes(tmp_path, system, key):
    assert_one_line(leakdrop("init", "--system", tmp_path), "holds no site", 2)
    assert not (tmp_path / "system").exists()
    assert_one_line(leakdrop("init", "--system", system.parent, "--key", key), "give DIR alone", 2)
    assert_one_line(leakdrop("init", system.parent, "--yes"), "--system", 2)


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="to run it: apt-get install systemd")
def test_systemd_finds_nothing_wrong_with_the_units(system):
    units = [path for path in system.iterdir() if path.name.startswith("leakdrop")]
    done = run("systemd-analyze", "verify", "--man=no", *units)
    ours = [line for line in done.stderr.splitlines() if str(system) in line and "Documentation" not in line]
    assert [line for line in ours if "Invalid URL" not in line] == []


@pytest.mark.parametrize("name", ["with blank", "50%", 'quo"te'])
def test_a_folder_that_no_unit_can_name_is_told(tmp_path, key, name):
    done = leakdrop("init", tmp_path / name, "--yes", "--key", key)
    assert_one_line(done, "choose a name without blanks", 2)
    assert not (tmp_path / name).exists()


def test_everything_is_for_this_user_alone(system):
    for folder in (system.parent, system, system.parent / "keys", system.parent / "data"):
        assert Path(folder).stat().st_mode & 0o777 == 0o700
