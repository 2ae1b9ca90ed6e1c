"""Over a private Tor network: real circuits, an onion service, and what goes wrong with them."""

import contextlib
import hashlib
import io
import os
import random
import signal
import threading
from collections.abc import Iterator

import pytest

from leakdrop.envelope.opening import open_envelope
from tests.keys import public_key_file
from tests.site import BROKEN, PATIENCE, Site, encode_form, make_test_site, wait_until
from tests.system.test_whole_way import export_and_extract, files_by_real_name
from tests.torbrowser import TorBrowser
from tests.tornet import PrivateTorNetwork, TorNetworkError
from tests.tus import MIB, TusClient, make_envelope

pytestmark = pytest.mark.needs("tor")

# `make long` sends what a phone records in some hours, and by a hundred sources.
RECORDING = 300 * MIB if os.environ.get("LEAKDROP_LONG") else 24 * MIB
SOURCES = 100 if os.environ.get("LEAKDROP_LONG") else 30


@pytest.fixture(scope="session")
def network_and_site(tmp_path_factory) -> Iterator[tuple[PrivateTorNetwork, Site]]:
    site = make_test_site(tmp_path_factory.mktemp("onion") / "site", [public_key_file("alice")])
    site.start()
    try:
        with PrivateTorNetwork(tmp_path_factory.mktemp("tor"), site.port) as net:
            yield net, site
    finally:
        site.stop()


@pytest.fixture
def net(network_and_site) -> PrivateTorNetwork:
    return network_and_site[0]


@pytest.fixture
def site(network_and_site) -> Iterator[Site]:
    """The site behind the onion, without drops; whatever is done to it, it logs nothing."""
    site = network_and_site[1]
    for path in site.envelopes():
        path.unlink()
    yield site
    assert site.log.read_text() == ""


@pytest.fixture
def client(net) -> TusClient:
    return TusClient.by_tor(net.socks_port, net.onion)


def test_a_page_is_shown_and_a_form_is_taken_at_the_onion(site, client, alice):
    answer = client.insist(lambda: client.request("GET", "/"))
    assert answer.status == 200
    assert site.get("/")[1] == answer.body
    body, content_type = encode_form([("message", "by the onion"), ("files", "a", b"x" * MIB)])
    answer = client.insist(lambda: client.request("POST", "/submit", {"Content-Type": content_type}, body))
    assert answer.status == 200
    envelope = site.open_only(alice)
    assert (envelope.index.message, envelope.read_file(0)) == ("by the onion", b"x" * MIB)


def test_an_upload_survives_whatever_happens_to_circuits_relays_and_the_server(net, site, client, alice):
    """Each of them happens in the middle of a PATCH, and breaks it."""
    envelope = make_envelope(64 * MIB)
    breaks: list[str] = []
    now = "before"
    done = threading.Event()

    def hear(failure: Exception) -> None:
        breaks.append(now)
        if isinstance(failure, TimeoutError):
            # Under load Tor may not hear of the end of a circuit, and keeps it as long as it is tried again.
            net.control("client", "SIGNAL NEWNYM")

    def upload() -> None:
        client.upload(envelope, part=8 * MIB, on_break=hear)
        done.set()

    source = threading.Thread(target=upload, daemon=True)
    source.start()
    for number, disaster in enumerate((close_circuits, kill_relay, kill_server, restart_host)):
        wait_until_received(site, (1 + 14 * number) * MIB, done)
        now = disaster.__name__
        disaster(net, site)
    source.join(5 * PATIENCE)
    assert done.is_set()
    assert set(breaks) - {"before"} == {"close_circuits", "kill_relay", "kill_server", "restart_host"}
    (path,) = site.envelopes()
    assert hashlib.sha256(path.read_bytes()).digest() == hashlib.sha256(envelope).digest()
    site.open_only(alice)


def wait_until_received(site: Site, size: int, done: threading.Event) -> None:
    """Wait until the only unfinished upload has so many bytes, and fail if it is finished before."""

    def is_there() -> bool:
        assert not done.is_set(), "it was too fast for this test"
        with contextlib.suppress(FileNotFoundError):
            return sum(path.stat().st_size for path in (site.data / "uploads").iterdir()) >= size
        return False

    wait_until(is_there, 5 * PATIENCE)


def close_circuits(net: PrivateTorNetwork, site: Site) -> None:
    wait_until(net.circuits_to_the_onion)
    for circuit in net.circuits_to_the_onion():
        with contextlib.suppress(TorNetworkError):  # it has closed by itself
            net.control("client", f"CLOSECIRCUIT {circuit}")


def kill_relay(net: PrivateTorNetwork, site: Site) -> None:
    """One that carries the upload and is nobody's guard."""

    found: list[str] = []

    def find() -> bool:
        used = {name for hops in net.circuits_to_the_onion().values() for name in hops}
        found[:] = sorted(name for name in used - net.guards() if name.startswith("relay"))
        if not found:
            close_circuits(net, site)  # the next ones may have one
        return bool(found)

    wait_until(find)
    killed = found[0]
    net.kill(killed)
    net.restart(killed)


def kill_server(net: PrivateTorNetwork, site: Site) -> None:
    site.stop(signal.SIGKILL)
    site.start()


def restart_host(net: PrivateTorNetwork, site: Site) -> None:
    net.restart("host")


@pytest.mark.needs("firefox-esr")
@pytest.mark.parametrize("level", ["standard", "safer"])
def test_a_file_that_the_page_sealed_comes_out_byte_for_byte_although_circuits_were_closed(
    net, site, level, tmp_path
):
    recording = tmp_path / "talk.m4a"
    recording.write_bytes(random.Random(level).randbytes(MIB) * (RECORDING // MIB))
    with TorBrowser(level, socks_port=net.socks_port) as browser:
        browser.navigate(f"http://{net.onion}/")
        wait_until(lambda: browser.find_elements("css selector", "#send"))
        browser.find_element("id", "message").send_keys("From the onion.\nشكرا")
        browser.find_element("id", "files").send_keys(str(recording))
        browser.find_element("id", "send").click()
        done = threading.Event()
        for size in (2 * MIB, 8 * MIB):
            wait_until_received(site, size, done)
            close_circuits(net, site)
        status = browser.find_element("id", "status")
        wait_until(lambda: status.get_attribute("data-state") in ("done", "failed"), 20 * PATIENCE)
        assert status.get_attribute("data-state") == "done"
    (submission,) = export_and_extract(site, tmp_path)
    assert files_by_real_name(submission) == {recording.name: recording.read_bytes()}
    assert (submission / "message.txt").read_text().strip() == "From the onion.\nشكرا"


@pytest.mark.needs("firefox-esr")
def test_a_file_that_was_sent_by_the_plain_form_at_safest_comes_out_byte_for_byte(net, site, tmp_path):
    recording = tmp_path / "talk.m4a"
    recording.write_bytes(random.Random("safest").randbytes(3 * MIB))
    with TorBrowser("safest", socks_port=net.socks_port) as browser:
        browser.navigate(f"http://{net.onion}/")
        browser.find_element("id", "message").send_keys("Without JavaScript.")
        browser.find_element("id", "files").send_keys(str(recording))
        browser.find_element("id", "send").click()
        wait_until(lambda: browser.find_elements("css selector", "#status[data-state=done]"))
    (submission,) = export_and_extract(site, tmp_path)
    assert files_by_real_name(submission) == {recording.name: recording.read_bytes()}
    assert (submission / "message.txt").read_text().strip() == "Without JavaScript."


def test_many_sources_at_once_all_arrive(net, site, alice):
    """Each has circuits of its own."""
    envelopes = {number: make_envelope(5_000_000) for number in range(SOURCES)}
    failures = []

    def send(number: int) -> None:
        client = TusClient.by_tor(net.socks_port, net.onion, f"source {number}", timeout=PATIENCE)
        try:
            client.upload(envelopes[number])
        except (AssertionError, *BROKEN) as failure:
            failures.append(failure)

    sources = [threading.Thread(target=send, args=(number,), daemon=True) for number in envelopes]
    for source in sources:
        source.start()
    visits = 0
    while any(source.is_alive() for source in sources):
        assert site.get("/")[0] == 200
        visits += 1
        sources[-1].join(1)
    assert failures == []
    assert visits > 1
    arrived = {hashlib.sha256(path.read_bytes()).digest() for path in site.envelopes()}
    assert arrived == {hashlib.sha256(envelope).digest() for envelope in envelopes.values()}
    for path in site.envelopes():
        open_envelope(io.BytesIO(path.read_bytes()), [alice]).check()
