"""A disk that fails to make bytes durable: what was acknowledged stays, the rest is not counted."""

import errno
import hashlib

import pytest

from tests.campaigns.faults import SYNCS, build_layer
from tests.keys import public_key_file
from tests.site import Site, make_test_site
from tests.tus import TusClient, make_envelope

pytestmark = pytest.mark.needs("gcc")

ENVELOPE = make_envelope(900_000)
HALF = 400_000


@pytest.fixture
def layer(tmp_path):
    return build_layer(tmp_path, tmp_path / "site" / "data", SYNCS)


@pytest.fixture
def site(tmp_path, layer):
    site = make_test_site(tmp_path / "site", [public_key_file("alice")])
    site.prefix = layer.prefix
    site.start()
    yield site
    site.stop()


def is_whole(site: Site) -> bool:
    (path,) = site.envelopes()
    return hashlib.sha256(path.read_bytes()).digest() == hashlib.sha256(ENVELOPE).digest()


@pytest.mark.parametrize("failing", [1, 2], ids=["before-the-write", "after-the-write"])
def test_after_an_fsync_that_failed_an_upload_goes_on_where_it_was_durable(site, layer, failing):
    client = TusClient.direct(site.port)
    path = client.create(len(ENVELOPE))
    assert client.patch(path, 0, ENVELOPE[:HALF]).status == 204
    layer.plan(failing, failing, errno.EIO)
    assert client.patch(path, HALF, ENVELOPE[HALF : 2 * HALF]).status == 500
    layer.heal()
    assert client.offset(path) == HALF
    assert client.patch(path, HALF, ENVELOPE[HALF:]).status == 204
    assert is_whole(site)


def test_a_drop_whose_folder_was_not_synced_is_none_yet(site, layer):
    """The part, its last bytes, and then the folder: the third fsync from here."""
    client = TusClient.direct(site.port)
    path = client.create(len(ENVELOPE))
    layer.plan(4, 4, errno.EIO)
    assert client.patch(path, 0, ENVELOPE).status == 500
    assert site.envelopes() == []
    layer.heal()
    assert client.offset(path) == len(ENVELOPE)
    assert is_whole(site)


def test_a_form_that_was_not_synced_is_refused_and_leaves_nothing(site, layer):
    layer.plan(1, 1, errno.EIO)
    assert site.send(("message", "hello"))[0] == 500
    assert site.is_empty()
    layer.heal()
    assert site.send(("message", "hello"))[0] == 200
