"""Who comes by somebody else's server is told so, and nothing is taken from them."""

import http.client

import pytest

from leakdrop.intake.hosts import ADDED_BY_OTHERS, is_ours
from tests.circuits import ONION

OTHER = "b" * 56 + ".onion"


def header_name(key: str) -> str:
    return key.removeprefix("HTTP_").replace("_", "-").title()


@pytest.mark.parametrize("header", sorted(header_name(key) for key in ADDED_BY_OTHERS))
def test_a_request_that_a_gateway_passed_on_is_refused_with_a_page_that_explains(site, header):
    status, page, _ = site.get("/", **{header: "1"})
    assert status == 403
    assert b"Get Tor Browser from torproject.org" in page
    assert b'href="/">Back' not in page
    status, page = site.send(("message", "hello"), headers={header: "1"})
    assert (status, "Nothing can be sent this way" in page) == (403, True)
    assert site.is_empty()


@pytest.mark.parametrize(
    "host", ["example.org", f"{ONION}.to", "onion.example.org:8000", "", "127.0.0.1.nip.io"]
)
def test_a_foreign_name_is_refused_with_a_page_that_explains(site, host):
    status, page, _ = site.get("/", Host=host)
    assert status == 421
    assert b"not our address" in page
    status, page = site.send(("message", "hello"), headers={"Host": host})
    assert (status, site.is_empty()) == (421, True)


def test_a_request_without_a_name_is_refused(site):
    connection = http.client.HTTPConnection("127.0.0.1", site.port)
    connection.putrequest("GET", "/", skip_host=True)
    connection.endheaders()
    assert connection.getresponse().status in (400, 421)
    connection.close()


def test_uploads_are_refused_by_a_gateway_in_plain_words(site):
    status, text, headers = site.request(
        "POST", "/uploads", headers={"X-Tor2web": "1", "Tus-Resumable": "1.0.0", "Upload-Length": "1"}
    )
    assert (status, headers["Content-Type"]) == (403, "text/plain; charset=utf-8")
    assert text.startswith(b"You are not safe here.")


def test_only_the_configured_onion_address_is_ours(start_site):
    site = start_site(onion_address=ONION)
    assert site.get("/", Host=ONION)[0] == 200
    assert site.get("/", Host=f"{ONION}:80")[0] == 200
    assert site.get("/", Host=OTHER)[0] == 421


@pytest.mark.parametrize(
    ("host", "onion_address", "ours"),
    [
        (ONION, "", True),
        (ONION.upper(), "", True),
        (f"www.{ONION}", "", True),
        (f"www.{ONION}", ONION, True),
        (OTHER, ONION, False),
        (f"x{ONION}", ONION, False),
        (f"{ONION}.example.org", "", False),
        (f"{ONION}.", "", False),
        ("a" * 16 + ".onion", "", False),
        ("127.0.0.1:8000", ONION, True),
        ("localhost", "", True),
        ("[::1]:8000", "", True),
        ("127.0.0.1:port", "", False),
        ("127.0.0.1@example.org", "", False),
        ("localhost.example.org", "", False),
        ("", "", False),
    ],
)
def test_which_names_are_ours(host, onion_address, ours):
    assert is_ours(host, onion_address) is ours
