"""Who gets an answer: the browser and the player of the reviewer, and nobody else on the machine."""

import socket
from collections.abc import Iterator

import pytest

from leakdrop.review.viewer.requests import TICKET_LIFE, Door, RefusedError, Request
from leakdrop.review.viewer.site import SAFETY
from tests.media import make_pdf
from tests.review.inboxes import seal_bytes, write_bundle
from tests.review.viewing import MARK, Viewer

PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)


@pytest.fixture(scope="module")
def viewer(tmp_path_factory, reviewer) -> Iterator[Viewer]:
    """A viewer of one envelope: a message, and a file that begins like a PNG picture."""
    folder = tmp_path_factory.mktemp("access")
    files = [("a.png", PNG), ("b.pdf", make_pdf(["x"]))]
    write_bundle(folder / "stick", [seal_bytes([reviewer.public], MARK.decode(), files)])
    viewer = Viewer(folder / "stick", reviewer, folder / "viewer")
    yield viewer
    viewer.stop()


def test_the_reviewer_sees_the_inbox(viewer):
    got = viewer.ask()
    assert got.status == 200
    assert MARK.decode() in got.text


def test_it_listens_on_this_machine_alone(viewer):
    others = {found[4][0] for found in socket.getaddrinfo(socket.gethostname(), None)} - {"127.0.0.1"}
    for address in [*others, "127.0.0.2"]:
        with pytest.raises(OSError, match=r"."):
            socket.create_connection((address, viewer.port), timeout=5)


STRANGERS = {
    "no token": {"path": "/"},
    "another token": {"path": "/" + "A" * 43 + "/"},
    "a part of the token": {"cut": True},
    "letters of another script": {"path": "/%D8%B4/"},
    "another name for this machine": {"Host": "localhost:{port}"},
    "a name that points here": {"Host": "evil.example:{port}"},
    "another port": {"Host": "127.0.0.1:80"},
    "no port": {"Host": "127.0.0.1"},
    "another site's page": {"Sec_Fetch_Site": "cross-site"},
    "another port's page": {"Sec_Fetch_Site": "same-site"},
}


@pytest.mark.parametrize("fields", STRANGERS.values(), ids=STRANGERS)
def test_a_stranger_gets_nothing(viewer, fields):
    fields = dict(fields)
    path = fields.pop("path", viewer.base[:-2] + "/" if fields.pop("cut", False) else viewer.base)
    got = viewer.ask(path, **{name: value.format(port=viewer.port) for name, value in fields.items()})
    assert got.status in (403, 404)
    assert MARK not in got.body
    assert viewer.base.encode() not in got.body


@pytest.mark.parametrize("wanted", ["iframe", "script", "object", "image", "empty", "worker"])
def test_a_page_is_shown_as_a_page_only(viewer, wanted):
    got = viewer.ask(Sec_Fetch_Dest=wanted)
    assert got.status == 403
    assert MARK not in got.body


def test_a_host_that_stands_twice_is_none(viewer):
    with socket.create_connection(("127.0.0.1", viewer.port)) as wire:
        request = f"GET {viewer.base} HTTP/1.1\r\nHost: 127.0.0.1:{viewer.port}\r\nHost: evil\r\n\r\n"
        wire.sendall(request.encode())
        assert wire.recv(100).startswith(b"HTTP/1.1 403")


POSTS = {
    "another origin": {"Origin": "http://127.0.0.1:80"},
    "a name that points here": {"Origin": "http://evil.example"},
    "an origin that is hidden": {"Origin": "null"},
    "no origin": {},
    "another site's page": {"Origin": "{origin}", "Sec_Fetch_Site": "cross-site"},
}


@pytest.mark.parametrize("fields", POSTS.values(), ids=POSTS)
def test_only_its_own_pages_change_something(viewer, fields):
    assert viewer.post("0/note", note="").status == 303
    fields = {name: value.format(origin=viewer.origin) for name, value in fields.items()}
    assert viewer.ask("0/note", "POST", b"note=changed", **fields).status == 403
    assert "changed" not in viewer.ask("0/").text
    assert viewer.post("0/note", note="changed").status == 303
    assert "changed" in viewer.ask("0/").text


def test_an_address_cannot_change_anything(viewer):
    assert viewer.ask("0/note?note=note=changed").status == 404
    assert viewer.ask("0/extract").status == 404
    assert "note=changed" not in viewer.ask("0/").text


def test_a_ticket_is_good_once_and_for_a_minute():
    now = [0.0]
    door = Door(80, clock=lambda: now[0])
    first, second = (door.make_ticket().rpartition("/")[2] for _ in range(2))
    assert [door.take_ticket(first), door.take_ticket(first)] == [True, False]
    now[0] = TICKET_LIFE
    assert not door.take_ticket(second)
    assert not door.take_ticket("")
    assert not door.take_ticket(door.token)


def test_a_ticket_is_nothing_to_another_site():
    door = Door(80)
    with pytest.raises(RefusedError):
        door.check(Request("GET", "/ticket", {"host": "127.0.0.1:80", "sec-fetch-site": "cross-site"}))


PATHS = ["", "style.css", "0/", "0/0/", "0/0/bytes", "0/1/", "0/1/bytes", "9/", "/", "x", "0/note", "?page=2"]


@pytest.mark.parametrize("path", PATHS)
def test_every_answer_is_kept_nowhere_and_runs_nothing(viewer, path):
    got = viewer.ask(path)
    assert got.fields.items() >= {name.lower(): value for name, value in SAFETY.items()}.items()
    policy = got.fields["content-security-policy"]
    assert policy.startswith("default-src 'none'")
    assert "script" not in policy
    assert "sandbox" in policy
    assert not {"server", "date", "etag", "last-modified", "set-cookie"} & set(got.fields)
    assert b"<script" not in got.body


def test_content_is_never_a_page_of_its_own(viewer):
    assert viewer.ask("0/0/bytes", Sec_Fetch_Dest="document").status == 403
    assert viewer.ask("0/0/bytes", Sec_Fetch_Dest="image").body == PNG
    assert viewer.ask("0/0/bytes").fields["content-security-policy"].endswith("sandbox")


def test_what_is_not_shown_is_not_given_out(viewer):
    got = viewer.ask("0/1/bytes")
    assert got.status == 403
    assert "PDF document" in got.text
    assert b"endobj" not in got.body


NOWHERE = [
    "9/",
    "00/",
    "-1/",
    "0/9/",
    "0/9/bytes",
    "0/x/",
    "0",
    "0/0",
    "../",
    "0/0/bytes/",
    "٠/",
    "0/0/other",
]


@pytest.mark.parametrize("path", NOWHERE)
def test_what_is_not_there_is_told(viewer, path):
    got = viewer.ask(path.replace("٠", "%D9%A0"))
    assert got.status in (200, 404)
    assert "no" in got.text
    assert MARK.decode() not in got.text


REQUESTS = {
    "no request": b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n",
    "another method": b"DELETE {base} HTTP/1.1\r\nHost: {host}\r\n\r\n",
    "an address that is none": b"GET http://[ HTTP/1.1\r\nHost: {host}\r\n\r\n",
    "a query that is none": b"GET {base}?page=%ff HTTP/1.1\r\nHost: {host}\r\n\r\n",
    "letters beyond ASCII": b"GET /\xd8\xb4/ HTTP/1.1\r\nHost: {host}\r\n\r\n",
    "an endless line": b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n",
    "endless fields": b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 200 + b"\r\n",
    "a form without a length": b"POST {base}0/note HTTP/1.1\r\nHost: {host}\r\n\r\n",
    "a form that is too long": b"POST {base}0/note HTTP/1.1\r\nContent-Length: 9999999\r\n\r\n",
    "a length that is none": b"POST {base}0/note HTTP/1.1\r\nHost: {host}\r\nContent-Length: -5\r\n\r\n",
    "a form in an unknown encoding": b"POST {base}0/note HTTP/1.1\r\nHost: {host}\r\nOrigin: http://{host}\r\n"
    b"Content-Length: 8\r\n\r\nnote=%ff",
    "too many fields": b"POST {base}0/note HTTP/1.1\r\nHost: {host}\r\nOrigin: http://{host}\r\n"
    b"Content-Length: 60\r\n\r\n" + b"a=b&" * 15,
}


@pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS)
def test_a_request_that_is_none_is_refused_and_the_viewer_goes_on(viewer, request_):
    host = f"127.0.0.1:{viewer.port}".encode()
    with socket.create_connection(("127.0.0.1", viewer.port), timeout=30) as wire:
        wire.sendall(request_.replace(b"{base}", viewer.base.encode()).replace(b"{host}", host))
        status = int(wire.recv(1000).split()[1])
    assert 400 <= status < 600
    assert viewer.ask().status == 200
    assert viewer.errors == ""


def test_nothing_that_is_asked_is_logged(viewer):
    viewer.ask("0/")
    viewer.ask("/nothing")
    assert viewer.errors == ""
