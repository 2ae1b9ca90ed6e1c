"""Browsers for the tests of the pages, and a relay between them and the site."""

from collections.abc import Iterator

import pytest

from tests.circuits import Circuit
from tests.intake.wire import Relay
from tests.site import Site
from tests.torbrowser import TorBrowser


@pytest.fixture(scope="package")
def standard() -> Iterator:
    with TorBrowser("standard") as browser:
        yield browser


@pytest.fixture(scope="package")
def safer() -> Iterator:
    with TorBrowser("safer") as browser:
        yield browser


@pytest.fixture(params=["standard", "safer"])
def each_browser(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def relay(site: Site) -> Iterator[Relay]:
    with Relay(site.port) as relay:
        yield relay


@pytest.fixture
def behind_tor(start_site, tmp_path):
    """Starts a site on a unix socket; gives what makes circuits to it."""

    def start(**config):
        path = tmp_path / "http.sock"
        site = start_site(bind=f"unix:{path}", **config)
        return site, lambda number, **options: Circuit(path, number, **options)

    return start
