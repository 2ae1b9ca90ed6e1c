"""Anybody compares a live onion with its signed manifest, through real circuits."""

import datetime

import pytest

from leakdrop.config import load_config
from leakdrop.operate.manifest import make_manifest, write_manifest
from leakdrop.operate.verify import connect_to, verify
from leakdrop.review.sign import sign
from tests.keys import public_key_file, write_key_files
from tests.operate.test_verify import flip, signing_key_file
from tests.relay import Relay
from tests.site import make_test_site
from tests.tornet import PrivateTorNetwork

pytestmark = pytest.mark.needs("tor")


def test_a_site_is_compared_over_tor_and_one_changed_byte_of_script_is_named(tmp_path):
    """The onion leads to somebody who stands before the site, and changes the script after a while."""
    today = datetime.datetime.now(datetime.UTC).date()
    site = make_test_site(tmp_path / "site", [public_key_file("alice")])
    write_manifest(make_manifest(load_config(site.config), today), site.folder / "leakdrop.json")
    key = write_key_files(tmp_path / "alice", "alice")
    sign(site.folder / "leakdrop.json", key, (tmp_path / "alice" / "passphrase",))
    with site.config.open("a") as config:
        config.write('manifest = "leakdrop.json"\n')
    is_honest = True

    def change(path, status, headers, body):
        return (status, headers, body) if is_honest else flip("/static/app-")(path, status, headers, body)

    site.start()
    try:
        with (
            Relay(site.port, change) as relay,
            PrivateTorNetwork(tmp_path / "tor", relay.port) as net,
        ):
            found = look(net, today)
            assert (found.signers, found.problems) == (("alice",), ())
            is_honest = False
            (problem,) = look(net, today).problems
            assert problem.startswith("/static/app-")
    finally:
        site.stop()


def look(net: PrivateTorNetwork, today: datetime.date):
    get = connect_to(f"http://{net.onion}/", f"127.0.0.1:{net.socks_port}")
    return verify(get, [signing_key_file("alice")], today)
