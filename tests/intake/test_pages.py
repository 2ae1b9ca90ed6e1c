"""The pages, and the headers of every answer: the same for everybody, nothing to be recognised by."""

import base64
import datetime
import gzip
import hashlib
import re
import socket
import sys
from pathlib import Path

import pytest

import leakdrop.intake
from leakdrop.config import parse_config
from leakdrop.envelope.keyfile import parse_public_keys
from leakdrop.errors import ConfigError
from leakdrop.intake.pages import Pages, load_static
from leakdrop.keyring import Keyring
from tests.keys import public_key_file
from tests.site import make_test_site, run

FIRST_LOAD = 80_000  # bytes over the wire, headers included
PATHS = ["/", "/replies", "/key", "/key/all.pub", "/key/alice.pub", "/nothing-here", "/submit"]


@pytest.mark.parametrize("path", PATHS)
def test_every_answer_has_the_protecting_headers_and_no_telling_ones(site, path):
    _, _, headers = site.get(path)
    assert headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert headers["Cache-Control"] == "no-store"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["X-Content-Type-Options"] == "nosniff"
    telling = {"date", "server", "etag", "last-modified", "set-cookie", "vary", "expires"}
    assert telling.isdisjoint(name.lower() for name in headers)


@pytest.mark.parametrize("path", PATHS)
def test_an_answer_is_the_same_whoever_asks(site, path):
    plain = site.get(path)
    marked = site.get(
        path + "?campaign=1",
        **{
            "User-Agent": "Odd/1.0",
            "Accept-Language": "ur",
            "Cookie": "a=b",
            "Referer": "http://example.org/",
        },
    )
    assert plain == marked


@pytest.mark.parametrize(("name", "content"), [("style.css", b"body"), ("app.js", b"LEAKDROP")])
def test_style_and_script_may_be_kept_for_ever_and_are_found_by_their_hashes(site, name, content):
    stem, ending = name.split(".")
    path = re.search(rf'"(/static/{stem}-[0-9a-f]{{16}}\.{ending})"', site.get("/")[1].decode())[1]
    status, body, headers = site.get(path)
    assert status == 200
    whole = base64.b64encode(hashlib.sha256(body).digest()).decode()
    assert f'"{path}" integrity="sha256-{whole}"' in site.get("/")[1].decode()
    assert content in body
    assert hashlib.sha256(body).hexdigest()[:16] in path
    assert "immutable" in headers["Cache-Control"]
    packed = site.get(path, **{"Accept-Encoding": "gzip"})[1]
    assert gzip.decompress(packed) == body


@pytest.mark.parametrize("path", PATHS)
def test_an_answer_is_compressed_only_for_who_says_that_they_can_read_it(site, path):
    body = site.get(path)[1]
    for accepted in ("gzip, deflate, br", "*", "gzip;q=0.1"):
        _, packed, headers = site.get(path, **{"Accept-Encoding": accepted})
        assert headers.get("Content-Encoding") == "gzip"
        assert gzip.decompress(packed) == body
        assert "Vary" not in headers
    for refused in ("gzip;q=0", "identity", "br"):
        _, plain, headers = site.get(path, **{"Accept-Encoding": refused})
        assert "Content-Encoding" not in headers
        assert plain == body


def test_pages_ask_nothing_of_other_sites_and_hold_no_inline_style_or_script(site):
    for path, name in (("/", "app"), ("/replies", "replies"), ("/key", ""), ("/nothing-here", "")):
        page = site.get(path)[1].decode()
        assert not re.search(r'(?:src|href|action)="(?:https?:)?//', page)
        assert not re.search(r"<style| style=| on[a-z]+=", page)
        scripts = re.findall(r"<script[^>]*>[^<]*", page)
        named = rf'<script src="/static/{name}-[0-9a-f]{{16}}\.js" integrity="sha256-[\w+/]{{43}}=" defer>'
        assert scripts == re.findall(named, page)
        assert len(scripts) == bool(name)


def test_a_site_that_was_not_built_says_how_to_build_it():
    with pytest.raises(ConfigError, match="make setup"):
        load_static("missing.js")


def test_the_built_files_are_the_same_when_they_are_built_again():
    """Anybody can compare what a site serves with what the sources give."""
    static = Path(leakdrop.intake.__file__).parent / "static"
    before = {path.name: path.read_bytes() for path in static.iterdir()}
    done = run(sys.executable, static.parent / "browser" / "build.py")
    assert done.returncode == 0, done.stderr
    assert {path.name: path.read_bytes() for path in static.iterdir()} == before


def test_the_fingerprint_is_shown_in_groups_of_four(site, alice):
    page = site.get("/key")[1].decode()
    groups = re.findall(r"<span>([0-9a-f]{4})</span>", page)
    assert "".join(groups) == alice.public.fingerprint


def test_the_key_can_be_downloaded_and_used(site, alice):
    for path in ("/key/all.pub", "/key/alice.pub"):
        assert [file.key for file in parse_public_keys(site.get(path)[1])] == [alice.public]


def test_unknown_pages_and_methods_are_answered_plainly(site):
    assert site.get("/nothing-here")[0] == 404
    assert site.request("POST", "/", b"x")[0] == 405
    assert site.get("/submit")[0] == 404
    status, _, headers = site.request("DELETE", "/key", b"")
    assert (status, headers["Allow"]) == (405, "GET, HEAD, OPTIONS")


def test_a_tab_says_not_sent_only_where_something_could_have_been_sent(site):
    assert b"<title>No such page" in site.get("/nothing-here")[1]
    assert b"<title>Not possible" in site.request("DELETE", "/key", b"")[1]
    assert b"<title>Not possible" in site.get("/", Host="example.org")[1]
    assert "<title>Not sent" in site.send(("message", ""))[1]


def test_the_first_page_and_the_guidance_say_the_same_of_patients(site):
    home, safety = (site.get(path)[1].decode() for path in ("/", "/safety"))
    assert "Leave patients out." in home
    assert "Leave patients out." in safety
    assert "patient’s name, unless" not in home


def test_head_answers_as_get_without_a_body(site):
    status, body, _ = site.request("HEAD", "/")
    assert (status, body) == (200, b"")


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"NONSENSE \x00\xff\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /" + b"a" * 10_000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nBad Header: canary-7f3a\r\n\r\n",
        b"POST /submit HTTP/1.1\r\nContent-Length: canary-7f3a\r\n\r\n",
    ],
    ids=["no-http", "odd-version", "long-line", "bad-header", "bad-length"],
)
def test_what_is_not_http_is_refused_and_not_logged(site, request_bytes):
    with socket.create_connection(("127.0.0.1", site.port), 30) as connection:
        connection.sendall(request_bytes)
        connection.shutdown(socket.SHUT_WR)
        answer = connection.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 4") or answer.startswith(b"HTTP/1.1 5")
    assert not re.search(rb"(?im)^(server|date):", answer)
    assert b"Content-Security-Policy: default-src 'none'" in answer
    assert b"canary" not in answer
    assert site.log.read_text() == ""


def test_use_and_misuse_leave_the_log_empty(site):
    site.get("/")
    site.send(("message", "hello"), headers={"User-Agent": "canary-7f3a"})
    site.send(("nonsense", "canary-7f3a"))
    site.request("POST", "/submit", b"canary-7f3a", {"Content-Type": "text/canary-7f3a"})
    site.get("/canary-7f3a")
    assert site.log.read_text() == ""


def test_a_key_leaves_the_pages_on_the_day_after_its_last():
    last = datetime.date(2026, 12, 31)
    keyring = Keyring((public_key_file("alice"), public_key_file("bob", last)))
    config = parse_config({"organisation": "O", "keys_dir": "k", "data_dir": "d"}, Path("/"))
    pages = Pages(config, keyring)
    assert b"bob" in pages.find("/key", last).body
    assert pages.find("/key/bob.pub", last) is not None
    tomorrow = last + datetime.timedelta(days=1)
    assert b"bob" not in pages.find("/key", tomorrow).body
    assert pages.find("/key/bob.pub", tomorrow) is None


def test_a_name_of_the_operators_choice_cannot_change_the_page():
    config = parse_config(
        {"organisation": "<script>alert(1)</script>", "keys_dir": "k", "data_dir": "d"},
        Path("/"),
    )
    page = Pages(config, Keyring((public_key_file("alice"),))).find("/", datetime.date(2026, 1, 1)).body
    assert b"<script>" not in page


@pytest.mark.needs("curl")
def test_a_form_of_curl_is_taken(site, alice, tmp_path):
    (tmp_path / "a.txt").write_text("by curl")
    done = run("curl", "-s", "-o", tmp_path / "page", "-w", "%{http_code}", "-F", "message=hello", "-F",
               f"files=@{tmp_path / 'a.txt'}", f"{site.url}submit")  # fmt: skip
    assert done.stdout == "200"
    envelope = site.open_only(alice)
    assert (envelope.index.message, envelope.read_file(0)) == ("hello", b"by curl")


def test_the_first_load_is_small_while_keys_are_being_changed(tmp_path):
    """Three keys: the old one, the new one, and a colleague's. The browser asks for three things."""
    site = make_test_site(tmp_path / "site", [public_key_file(label) for label in ("alice", "bob", "carol")])
    site.start()
    try:
        page = site.get("/")[1].decode()
        paths = ["/", *re.findall(r'"(/static/[^"]+\.(?:css|js))"', page)]
        assert len(paths) == 3
        received = 0
        for path in paths:
            _, body, headers = site.get(path, **{"Accept-Encoding": "gzip"})
            head = b"HTTP/1.1 200 OK\r\n" + b"".join(f"{k}: {v}\r\n".encode() for k, v in headers.items())
            received += len(head) + 2 + len(body)
        assert received < FIRST_LOAD
    finally:
        site.stop()
