"""Fixtures for all tests: keys made from labels, sites that really serve, programs that may be missing."""

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from leakdrop.envelope.keys import KeyPair
from tests.keys import label_key_pair, public_key_file
from tests.media import Recordings, make_recordings
from tests.services import Ceph, PostgreSQL, find_postgresql, start_ceph, start_postgresql, start_redis
from tests.site import Site, make_test_site

INSTALL = {
    "curl": "curl",
    "ffmpeg": "ffmpeg",
    "mat2": "mat2 bubblewrap",
    "bwrap": "bubblewrap",
    "espeak-ng": "espeak-ng",
    "exiftool": "libimage-exiftool-perl",
    "heif-enc": "libheif-examples",
    "mpv": "mpv",
    "strace": "strace",
    "gcc": "gcc libc6-dev",
    "unshare": "util-linux",
    "firefox-esr": "firefox-esr",
    "tor": "tor",
    "postgres": "postgresql",
    "redis-server": "redis-server",
    "radosgw": "radosgw",
    "ceph-mon": "ceph-mon",
    "ceph-osd": "ceph-osd",
    "mmdebstrap": "mmdebstrap",
    "systemd-analyze": "systemd",
    "systemd-socket-activate": "systemd",
}


# `make debian`: builds whole Debian roots.
collect_ignore = (
    [] if os.environ.get("LEAKDROP_DEBIAN") else ["system/test_debian.py", "system/test_guide.py"]
)


def pytest_configure(config: pytest.Config) -> None:
    # Under nohup, or in the background of a script, they are ignored, and so they would be by every program
    # that a test starts.
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    config.addinivalue_line("markers", "needs(*programs): skip with the line that installs what is missing")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        programs = [program for mark in item.iter_markers("needs") for program in mark.args]
        missing = [program for program in programs if not is_there(program)]
        if missing:
            packages = " ".join(INSTALL[program] for program in missing)
            item.add_marker(pytest.mark.skip(reason=f"to run it: apt-get install {packages}"))


def is_there(program: str) -> bool:
    return find_postgresql() is not None if program == "postgres" else shutil.which(program) is not None


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """LEAKDROP_NO_SKIPS=1 makes a skip fail: there everything is installed, and all of it must run."""
    outcome = yield
    report = outcome.get_result()
    if report.skipped and os.environ.get("LEAKDROP_NO_SKIPS") and not hasattr(report, "wasxfail"):
        report.outcome = "failed"


@pytest.fixture
def start_site(tmp_path: Path) -> Iterator[Callable[..., Site]]:
    """Makes and starts sites: start_site(no_script_sealing=False). They end with the test."""
    sites: list[Site] = []

    def start(**config: object) -> Site:
        site = make_test_site(tmp_path / f"site{len(sites)}", [public_key_file("alice")], **config)
        sites.append(site)
        site.start()
        return site

    yield start
    for site in sites:
        site.stop()


@pytest.fixture(scope="session")
def shared_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("shared") / "site"
    site = make_test_site(folder, [public_key_file("alice")], replies_in_all="")
    site.start()
    yield site
    site.stop()


@pytest.fixture
def site(shared_site: Site) -> Site:
    """A running site whose only key is Alice's, without drops and with an empty log."""
    for path in shared_site.envelopes():
        path.unlink()
    shared_site.log.write_text("")
    return shared_site


@pytest.fixture
def alice() -> KeyPair:
    return label_key_pair("alice")


@pytest.fixture(scope="session")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Recordings:
    """Real files, as a source's phone would make them."""
    return make_recordings(tmp_path_factory.mktemp("recordings"))


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    with start_postgresql() as server:
        yield server


@pytest.fixture(scope="session")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a Redis server."""
    with start_redis(tmp_path_factory.mktemp("redis")) as url:
        yield url


@pytest.fixture(scope="session")
def ceph() -> Iterator[Ceph]:
    with start_ceph() as store:
        yield store
