"""The socket between tor and leakdrop: who may connect, and one that systemd hands over."""

import grp
import os
import subprocess
import sys

import pytest

from tests.circuits import Circuit
from tests.keys import public_key_file
from tests.site import BIN, PATIENCE, assert_one_line, leakdrop, make_test_site, wait_until

ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="to run it: be root, who can give files away")


@pytest.fixture
def site(tmp_path):
    return make_test_site(tmp_path / "site", [public_key_file("alice")], requests_per_circuit="2 per hour")


@ROOT_ONLY
def test_the_configured_group_may_connect_and_nobody_else(start_site, tmp_path):
    site = start_site(bind=f"unix:{tmp_path}/http", socket_group="daemon")
    status = site.socket_path.stat()
    assert status.st_mode & 0o777 == 0o660
    assert status.st_gid == grp.getgrnam("daemon").gr_gid


def test_without_a_group_the_socket_is_for_this_user_alone(start_site, tmp_path):
    site = start_site(bind=f"unix:{tmp_path}/http")
    assert site.socket_path.stat().st_mode & 0o077 == 0


def test_a_group_that_does_not_exist_is_told(site, tmp_path):
    site.config.write_text(site.config.read_text() + 'socket_group = "nosuchgroup"\n')
    done = leakdrop("serve", "--config", site.config, "--bind", f"unix:{tmp_path}/http")
    assert_one_line(done, "there is no group “nosuchgroup”")


# As systemd does it: the socket is descriptor 3, LISTEN_PID is the process that it starts.
ACTIVATE = """
import os, socket, sys
path, *command = sys.argv[1:]
listener = socket.socket(socket.AF_UNIX)
listener.bind(f"{path}.new")
listener.listen(64)
os.rename(f"{path}.new", path)
os.dup2(listener.fileno(), 3)
os.set_inheritable(3, True)
os.environ |= {"LISTEN_FDS": "1", "LISTEN_PID": str(os.getpid())}
os.execv(command[0], command)
"""


def test_a_socket_that_systemd_hands_over_is_served_with_the_numbers_of_circuits(site, tmp_path):
    path = tmp_path / "http"
    command = [BIN / "leakdrop", "serve", "--config", site.config]
    server = subprocess.Popen([sys.executable, "-c", ACTIVATE, path, *command])
    try:
        wait_until(path.exists)
        statuses = [Circuit(path, 1).request("GET", "/")[0] for _ in range(3)]
        assert statuses == [200, 200, 429]
        assert Circuit(path, 2).request("GET", "/")[0] == 200
    finally:
        server.terminate()
        server.wait(PATIENCE)
