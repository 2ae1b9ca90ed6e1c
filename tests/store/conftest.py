"""Places that several machines share, and two such machines."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.keys import public_key_file
from tests.services import Ceph, PostgreSQL, settings
from tests.site import Site, make_test_site

if TYPE_CHECKING:
    from leakdrop.store.shared.objects import Bucket


@pytest.fixture
def places(postgresql: PostgreSQL, ceph: Ceph) -> tuple[str, "Bucket"]:
    """An empty database and an empty bucket."""
    return postgresql.database(), ceph.bucket()


@pytest.fixture
def machines(places, tmp_path) -> Iterator[list[Site]]:
    """Two machines that serve one drop."""
    shared = settings(*places)
    sites = [make_test_site(tmp_path / name, [public_key_file("alice")], **shared) for name in ("one", "two")]
    try:
        for site in sites:
            site.start()
        yield sites
    finally:
        for site in sites:
            site.stop()
