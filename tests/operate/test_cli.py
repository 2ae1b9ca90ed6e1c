"""`leakdrop` as its operator meets it: init, serve, status; each failure is one line."""

import http.client
import json
import signal
import socket
import sqlite3
import subprocess

import pytest

from leakdrop.store.drops import Drops
from tests.keys import label_key_pair, public_key_file, write_key_files
from tests.site import (
    BIN,
    PATIENCE,
    assert_one_line,
    free_port,
    leakdrop,
    make_test_site,
    run,
    temporary_mount,
    wait_until,
)


@pytest.fixture
def stopped_site(tmp_path):
    return make_test_site(tmp_path / "site", [public_key_file("alice")])


def serve(site):
    return leakdrop("serve", "--config", site.config, "--bind", f"127.0.0.1:{free_port()}")


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["serve"],
        ["init"],
        ["status"],
        ["export"],
        ["import"],
        ["settle"],
        ["purge"],
        ["digest"],
        ["check"],
        ["manifest"],
        ["verify"],
    ],
    ids=lambda words: "-".join(words),
)
def test_help_has_an_example(words):
    done = leakdrop(*words, "--help")
    assert done.returncode == 0
    assert "leakdrop" in done.stdout
    assert not words or f"Example: leakdrop {words[0]}" in done.stdout


@pytest.mark.parametrize("words", [[], ["nonsense"], ["export"], ["import"], ["status", "--nonsense"]])
def test_wrong_use_is_one_line_and_exit_code_2(words):
    assert_one_line(leakdrop(*words), "", 2)


def test_init_makes_a_site_that_serves(tmp_path):
    write_key_files(tmp_path / "reviewers", "alice")
    done = leakdrop("init", tmp_path / "site", "--yes", "--organisation", "Prévention \"& Co\"",
                    "--key", tmp_path / "reviewers" / "alice.pub")  # fmt: skip
    assert done.returncode == 0
    assert label_key_pair("alice").public.fingerprint in done.stdout
    assert sorted(path.name for path in (tmp_path / "site").iterdir()) == [
        "config.toml",
        "data",
        "keys",
        "system",
    ]
    status = leakdrop("status", "--json", "--config", tmp_path / "site" / "config.toml")
    assert json.loads(status.stdout)["organisation"] == 'Prévention "& Co"'


def test_init_asks_and_takes_an_empty_answer_for_the_default(tmp_path):
    done = leakdrop("init", tmp_path / "site", input="\n\n\n")
    assert done.returncode == 0
    assert 'organisation = "Our organisation"' in (tmp_path / "site" / "config.toml").read_text()
    assert "copy the reviewers' .pub file" in done.stdout


def test_init_does_not_touch_a_site_that_is_there(tmp_path):
    leakdrop("init", tmp_path, "--yes")
    (tmp_path / "config.toml").write_text("mine")
    assert_one_line(leakdrop("init", tmp_path, "--yes"), "holds a site already", 2)
    assert (tmp_path / "config.toml").read_text() == "mine"


def test_init_without_anybody_to_answer_is_told(tmp_path):
    assert_one_line(leakdrop("init", tmp_path / "site", stdin=subprocess.DEVNULL), "--yes", 2)
    assert not (tmp_path / "site").exists()


def test_init_with_two_keys_of_one_name_makes_nothing(tmp_path):
    for folder, label in (("a", "alice"), ("b", "bob")):
        write_key_files(tmp_path / folder, label)
        (tmp_path / folder / f"{label}.pub").rename(tmp_path / folder / "key.pub")
    keys = [word for folder in "ab" for word in ("--key", tmp_path / folder / "key.pub")]
    assert_one_line(leakdrop("init", tmp_path / "site", "--yes", *keys), "two keys", 2)
    assert not (tmp_path / "site").exists()


def test_a_hang_up_stops_the_server_and_loses_nothing(start_site):
    site = start_site()
    assert site.send(("message", "before"))[0] == 200
    process = site.process
    for number in (signal.SIGTTIN, signal.SIGTTOU, signal.SIGUSR2):
        process.send_signal(number)
        assert site.send(("message", "still there"))[0] == 200
    process.send_signal(signal.SIGHUP)
    process.wait(PATIENCE)
    assert len(site.envelopes()) == 4


def test_init_refuses_a_secret_key_and_makes_nothing(tmp_path):
    key = write_key_files(tmp_path / "reviewers", "alice")
    (tmp_path / "alice.pub").write_bytes(key.read_bytes())
    for path in (key, tmp_path / "alice.pub"):
        done = leakdrop("init", tmp_path / "site", "--yes", "--key", path)
        assert done.returncode in (1, 2)
        assert not (tmp_path / "site").exists()


def test_status_tells_weeks_and_sizes_and_no_days(stopped_site):
    with Drops(stopped_site.data):
        pass
    done = leakdrop("status", "--config", stopped_site.config)
    assert "Drops: 0" in done.stdout
    assert label_key_pair("alice").public.fingerprint in done.stdout


def test_the_configuration_is_looked_for_here(stopped_site):
    assert leakdrop("status", cwd=stopped_site.folder).returncode == 0
    assert_one_line(leakdrop("status", cwd=stopped_site.folder / "keys"), "There is no configuration file")


def test_serving_without_a_key_is_refused(stopped_site):
    (stopped_site.folder / "keys" / "alice.pub").unlink()
    assert_one_line(serve(stopped_site), "holds no public key")


def test_serving_beside_a_secret_key_is_refused(stopped_site):
    write_key_files(stopped_site.folder / "keys", "bob")
    assert_one_line(serve(stopped_site), "is a secret key")


def test_serving_with_an_unknown_key_in_the_configuration_is_refused(stopped_site):
    stopped_site.config.write_text(stopped_site.config.read_text() + "typo = 1\n")
    assert_one_line(serve(stopped_site), "“typo” is unknown")


def test_serving_a_database_of_a_newer_version_is_refused(stopped_site):
    Drops(stopped_site.data).close()
    connection = sqlite3.connect(stopped_site.data / "leakdrop.sqlite")
    with connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    assert_one_line(serve(stopped_site), "newer leakdrop")


def test_serving_from_a_read_only_data_folder_is_refused(stopped_site):
    if not temporary_mount(stopped_site.data, "2M"):
        pytest.skip("to run it: be root, who can mount a small file system")
    try:
        run("mount", "-o", "remount,ro", stopped_site.data)
        assert_one_line(serve(stopped_site), "is read-only")
    finally:
        run("umount", stopped_site.data)


def test_two_servers_cannot_share_a_folder(start_site):
    assert_one_line(serve(start_site()), "is serving")


def test_an_address_in_use_is_told(start_site, stopped_site):
    port = start_site().port
    done = leakdrop("serve", "--config", stopped_site.config, "--bind", f"127.0.0.1:{port}")
    assert_one_line(done, f"127.0.0.1:{port}")


def test_an_address_that_is_none_is_told(stopped_site):
    done = leakdrop("serve", "--config", stopped_site.config, "--bind", "127.0.0.1:http")
    assert_one_line(done, "127.0.0.1:http")


def test_a_unix_socket_can_be_bound_and_is_for_this_user_alone(stopped_site, tmp_path):
    path = tmp_path / "leakdrop.socket"
    command = [BIN / "leakdrop", "serve", "--config", stopped_site.config, "--bind", f"unix:{path}"]
    server = subprocess.Popen(command)
    connection = http.client.HTTPConnection("localhost")
    connection.sock = socket.socket(socket.AF_UNIX)
    try:
        # The file is there before anybody listens.
        wait_until(lambda: connection.sock.connect_ex(str(path)) == 0)
        connection.request("GET", "/")
        assert b"Test organisation" in connection.getresponse().read()
        assert path.stat().st_mode & 0o077 == 0
    finally:
        connection.close()
        server.terminate()
        server.wait(PATIENCE)
