"""Browsers for the tests of the pages, and a relay between them and the site."""

from collections.abc import Iterator

import pytest

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
