"""`leakdrop serve --onion`: a site on the private Tor network, with nothing but the operator's command."""

import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest

from leakdrop.operate.onion import OwnTor
from leakdrop.operate.tor import ask_tor
from tests.keys import public_key_file
from tests.site import BIN, PATIENCE, Site, assert_one_line, leakdrop, make_test_site, wait_until
from tests.torbrowser import TorBrowser
from tests.tornet import PrivateTorNetwork
from tests.tus import TusClient, make_envelope

pytestmark = pytest.mark.needs("tor")


@pytest.fixture(scope="module")
def net(tmp_path_factory):
    """A private Tor network; behind its own onion service is a site that nobody asks for anything."""
    site = make_test_site(tmp_path_factory.mktemp("other") / "site", [public_key_file("alice")])
    site.start()
    try:
        with PrivateTorNetwork(tmp_path_factory.mktemp("tor"), site.port) as net:
            yield net
    finally:
        site.stop()


class Trial:
    """A site that is served by `leakdrop serve --onion`."""

    def __init__(self, site: Site, net: PrivateTorNetwork) -> None:
        self.site = site
        (site.folder / "more.torrc").write_text(net.options)

    def start(self) -> None:
        with self.site.log.open("ab") as log:
            command = [BIN / "leakdrop", "serve", "--onion", "--torrc", self.site.folder / "more.torrc",
                       "--config", self.site.config]  # fmt: skip
            environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        wait_until(lambda: "Connected." in self.said() or self.process.poll() is not None, 2 * PATIENCE)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(PATIENCE)

    def said(self) -> str:
        return self.site.log.read_text()

    @property
    def address(self) -> str:
        return (self.site.folder / "onion" / "service" / "hostname").read_text().strip()

    def tor(self) -> int:
        """The process id of its tor."""
        mark = str(self.site.folder / "onion" / "torrc").encode()
        return find_process(mark)


def descendants(number: int) -> list[int]:
    """The processes that a process started, and those that they started."""
    children = [
        int(child)
        for path in Path(f"/proc/{number}/task").glob("*/children")
        for child in path.read_text().split()
    ]
    return children + [further for child in children for further in descendants(child)]


def find_process(mark: bytes) -> int:
    """The id of a process whose command line has these bytes; 0 if there is none."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it has ended
            if int(path.parent.name) != os.getpid() and mark in path.read_bytes():
                return int(path.parent.name)
    return 0


@pytest.fixture(scope="module")
def trial(net, tmp_path_factory):
    site = make_test_site(
        tmp_path_factory.mktemp("trial") / "site",
        [public_key_file("alice")],
        requests_per_circuit="30 per hour",
    )
    trial = Trial(site, net)
    trial.start()
    yield trial
    if trial.process.poll() is None:
        trial.stop()


def test_the_address_is_told_and_answers(net, trial):
    assert f"http://{trial.address}/" in trial.said()
    client = TusClient.by_tor(net.socks_port, trial.address)
    answer = client.insist(lambda: client.request("GET", "/"))
    assert answer.status == 200
    assert b"Test organisation" in answer.body


def test_a_circuit_that_floods_is_limited_and_another_one_gets_through(net, trial, alice):
    flood = TusClient.by_tor(net.socks_port, trial.address, "flood")
    statuses = [flood.insist(lambda: flood.request("GET", "/")).status for _ in range(40)]
    assert statuses.count(200) <= 30
    assert statuses[-1] == 429
    other = TusClient.by_tor(net.socks_port, trial.address, "other")
    other.upload(make_envelope(100_000))
    trial.site.open_only(alice)


def test_a_visitor_cannot_claim_to_be_another_circuit(net, trial):
    client = TusClient.by_tor(net.socks_port, trial.address, "forger")
    client.insist(lambda: client.request("GET", "/"))
    with client.open() as connection:
        connection.connect()
        connection.sock.sendall(
            b"PROXY TCP6 fc00:dead:beef:4dad::1 ::1 29 80\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n"
        )
        assert connection.sock.recv(100).startswith(b"HTTP/1.1 400")


@pytest.mark.needs("firefox-esr")
def test_a_browser_at_safest_sends_a_message(net, trial):
    before = len(trial.site.envelopes())
    with TorBrowser("safest", socks_port=net.socks_port) as browser:
        browser.navigate(f"http://{trial.address}/")
        browser.find_element("id", "message").send_keys("By a trial.")
        browser.find_element("id", "send").click()
        wait_until(lambda: browser.find_elements("css selector", "#status[data-state=done]"))
    assert len(trial.site.envelopes()) == before + 1


def test_a_tor_that_ends_is_started_again_with_the_same_address(net, trial):
    """How soon clients find the way again is tor's affair, and may take it minutes: docs/adr/0020."""
    address, first = trial.address, trial.tor()
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: trial.tor() not in (0, first))
    assert "It is started again" in trial.said()
    assert trial.address == address
    assert trial.process.poll() is None


def test_a_tor_that_was_connected_is_started_again_after_a_second_however_often_it_ended(
    net, tmp_path, capsys
):
    tor = OwnTor(tmp_path / "onion", tmp_path / "socket", ask_tor(), net.options)
    try:
        tor.start()
        for _ in range(3):
            assert tor.is_connected.wait(PATIENCE)
            os.kill(find_process(str(tmp_path / "onion" / "torrc").encode()), signal.SIGKILL)
            wait_until(tor.has_ended)
            wait_until(lambda: tor.keep_running() or not tor.has_ended())
    finally:
        tor.stop()
    assert capsys.readouterr().err.count("started again in 1 s") == 3


def test_nothing_that_a_visitor_did_is_logged(trial):
    assert "PROXY" not in trial.said()
    assert "GET" not in trial.said()
    assert "fc00" not in trial.said()


def test_a_kill_of_the_command_ends_server_and_tor(net, trial):
    """Runs last: it ends the trial."""
    started = descendants(trial.process.pid)
    assert len(started) >= 4  # tor, the server, its worker, and what looks after the two
    trial.process.kill()
    trial.process.wait(PATIENCE)
    wait_until(lambda: not any(Path(f"/proc/{number}").exists() for number in started))


def test_a_tor_that_does_not_start_is_told_in_its_own_words(tmp_path):
    site = make_test_site(tmp_path / "site", [public_key_file("alice")])
    (tmp_path / "more").write_text("NoSuchOption 1\n")
    done = leakdrop("serve", "--onion", "--torrc", tmp_path / "more", "--config", site.config)
    assert_one_line(done, "NoSuchOption")


def test_without_tor_the_line_that_installs_it_is_told(tmp_path):
    site = make_test_site(tmp_path / "site", [public_key_file("alice")])
    done = leakdrop("serve", "--onion", "--config", site.config, env={**os.environ, "PATH": str(tmp_path)})
    assert_one_line(done, "apt install tor")


def test_onion_and_bind_exclude_each_other(tmp_path):
    site = make_test_site(tmp_path / "site", [public_key_file("alice")])
    done = leakdrop("serve", "--onion", "--bind", "127.0.0.1:1", "--config", site.config)
    assert_one_line(done, "leave --bind out", 2)
    assert_one_line(leakdrop("serve", "--torrc", "x", "--config", site.config), "--torrc is for --onion", 2)


def test_a_server_that_cannot_start_ends_tor_too(net, tmp_path):
    site = make_test_site(tmp_path / "site", [public_key_file("alice")])
    (site.folder / "keys" / "alice.pub").unlink()
    (tmp_path / "more").write_text(net.options)
    began = time.monotonic()
    done = leakdrop("serve", "--onion", "--torrc", tmp_path / "more", "--config", site.config)
    assert done.returncode == 1
    assert "holds no public key" in done.stderr
    assert not find_process(str(site.folder).encode())
    assert time.monotonic() - began < PATIENCE
