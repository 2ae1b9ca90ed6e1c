"""What a dishonest source puts into an envelope: it is shown as what it is, and obeyed nowhere."""

import time

import pytest

from leakdrop.envelope.header import header_length
from leakdrop.envelope.padding import padded
from leakdrop.review.viewer.acts import ADVICE
from leakdrop.review.viewer.markup import Own, element, write_page
from leakdrop.review.viewer.submission_page import FILES_PER_PAGE
from leakdrop.terminal import is_deceptive
from tests.media import ARABIC
from tests.review.inboxes import flip, seal_bytes, seal_plaintext, write_bundle
from tests.review.viewing import Viewer, encode_raw_index, number_of, parse

NAMES = {
    "markup": ("<script>alert(1)</script>.m4a", "<script>alert(1)</script>.m4a"),
    "a closed attribute": ("\"' onerror=alert(1) x=.png", "\"' onerror=alert(1) x=.png"),
    "an entity": ("&lt;b&gt;&#x202e;.png", "&lt;b&gt;&#x202e;.png"),
    "a path upwards": ("../../.ssh/authorized_keys", "../../.ssh/authorized_keys"),
    "a Windows path": ("C:\\Windows\\win.ini", "C:\\Windows\\win.ini"),
    "a device": ("CON", "CON"),
    "a device with an ending": ("nul.txt", "nul.txt"),
    "a reversed ending": ("talk\u202egpj.exe", "talk‹U+202E›gpj.exe"),
    "isolates": ("\u2067talk\u2069", "‹U+2067›talk‹U+2069›"),
    "an escape sequence": ("\x1b[2J\x07", "‹U+001B›[2J‹U+0007›"),
    "a line end": ("talk\n.m4a", "talk‹U+000A›.m4a"),
    "a zero-width space": ("ta\u200blk", "ta‹U+200B›lk"),
    "blank letters": ("talk.pdf\u3164\u3164.exe", "talk.pdf‹U+3164›‹U+3164›.exe"),
    "an address": ("javascript:alert(1)", "javascript:alert(1)"),
    "as long as can be": ("x" * 1024, "x" * 1024),
    "Arabic": ("شهادة.txt", "شهادة.txt"),
}


@pytest.fixture(scope="module")
def hostile(tmp_path_factory, reviewer):
    """A viewer of one envelope, with a file under each of the names, and then one of each wrong type."""
    folder = tmp_path_factory.mktemp("hostile")
    files = [(name, b"GIF89a") for name, _ in NAMES.values()] + list(WRONG_TYPES.values())
    write_bundle(folder / "stick", [seal_bytes([reviewer.public], "m", files)])
    viewer = Viewer(folder / "stick", reviewer, folder / "viewer")
    yield viewer
    viewer.stop()


@pytest.mark.parametrize("case", NAMES)
def test_a_name_is_shown_with_all_that_hides_in_it(hostile, case):
    number, (_, shown) = list(NAMES).index(case), NAMES[case]
    listed = parse(hostile.ask("0/").body)
    names = [bdi.text for bdi in listed.iter("bdi") if bdi.get("dir") == "ltr"]
    assert names[number] == shown
    assert_harmless(listed)
    page = parse(hostile.ask(f"0/{number}/").body)
    assert [bdi.text for bdi in page.iter("bdi")] == [shown]
    assert_harmless(page)


def assert_harmless(page) -> None:
    """Only the viewer's own elements, which run and fetch nothing but by its own addresses."""
    for found in page.iter():
        assert found.tag not in ("script", "style", "iframe", "object", "embed", "svg", "math", "base")
        for name, value in found.items():
            assert not name.startswith("on")
            assert name not in ("style", "srcdoc", "ping", "formaction")
            if name in ("href", "src", "action"):
                assert value.startswith("/") or value == "data:,", value
        for text in (found.text or "", found.tail or "", *found.attrib.values()):
            if found.tag != "textarea":
                assert not any(is_deceptive(letter) for letter in text if letter not in "\t\n")


def test_a_message_is_text_in_every_direction(view, reviewer):
    message = ARABIC + "<b>x</b>\x1b[2J\u202ey\x07\x85z\t\n" + "&amp;</div><script>alert(1)</script>"
    viewer = view(seal_bytes([reviewer.public], message, kind="<i>\u202e"))
    page = parse(viewer.ask("0/").body)
    assert_harmless(page)
    assert_harmless(parse(viewer.ask().body))
    (shown,) = [found for found in page.iter("div") if found.get("class") == "message"]
    assert len(shown) == 0
    assert shown.text == (
        ARABIC + "<b>x</b>‹U+001B›[2J‹U+202E›y‹U+0007›‹U+0085›z\t\n&amp;</div><script>alert(1)</script>"
    )
    assert shown.get("dir") == "auto"
    assert "<i>‹U+202E›" in viewer.ask().text


def test_no_text_can_become_markup():
    page = write_page("<b>", "/s", element("p", "<b>&\"'", element("i", "\u202e"), "<x>", title='"><b>'))
    (paragraph,) = parse(page).iter("p")
    assert (paragraph.text, paragraph[0].text, paragraph[0].tail) == ("<b>&\"'", "‹U+202E›", "<x>")
    assert paragraph.get("title") == '"><b>'
    assert page.count(b"<b>") == 0


def test_only_what_the_reviewer_wrote_is_given_back_as_it_is():
    assert element("p", Own("\u200f")).text == "\u200f"
    assert element("p", "\u200f").text == "‹U+200F›"


WRONG_TYPES = {
    "a page that claims to be a picture": ("a.png", b"<!DOCTYPE html><script>alert(1)</script>"),
    "a drawing with script": ("a.svg", b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>'),
    "a PDF": ("a.jpg", b"%PDF-1.4\n"),
    "a playlist that claims to be a recording": ("a.m4a", b"#EXTM3U\nfile:///etc/passwd\n"),
    "a program": ("a.mp4", b"MZ\x90"),
    "nothing": ("a.mp3", b""),
}


@pytest.mark.parametrize("case", WRONG_TYPES)
def test_a_file_of_a_wrong_type_is_for_extraction_only(hostile, case):
    number, (_, content) = len(NAMES) + list(WRONG_TYPES).index(case), WRONG_TYPES[case]
    listed = hostile.ask("0/")
    (entry,) = [found for found in parse(listed.body).iter("li") if found.get("id") == f"file-{number}"]
    assert "Not shown here" in "".join(entry.itertext())
    assert [found.tag for found in entry.iter() if found.tag in ("img", "audio", "video", "a")] == []
    assert ADVICE in listed.text
    assert ADVICE in hostile.ask(f"0/{number}/").text
    refused = hostile.ask(f"0/{number}/bytes", Sec_Fetch_Dest="image")
    assert refused.status == 403
    assert refused.fields["content-type"] == "text/html; charset=utf-8"
    assert not content or content not in refused.body


def test_a_damaged_file_hides_nothing_else(view, reviewer):
    envelope = seal_bytes(
        [reviewer.public], "the message", [("a", b"GIF89a"), ("b", bytes(600_000)), ("c", b"")]
    )
    viewer = view(flip(envelope, header_length(1) + 100))
    text = viewer.ask("0/").text
    assert "the message" in text
    assert "damaged at its beginning" in text
    assert viewer.ask("0/0/bytes").status == 403
    assert "damaged at its beginning" in viewer.ask("0/0/").text


def test_a_picture_under_a_wrong_name_is_shown_as_what_it_is(view, reviewer):
    viewer = view(seal_bytes([reviewer.public], "m", [("a.exe", b"GIF89a")]))
    assert "GIF picture" in viewer.ask("0/").text
    assert viewer.ask("0/0/bytes").fields["content-type"] == "image/gif"


@pytest.mark.parametrize("length", [1025, 4 * 1024 * 1024])
def test_a_name_that_is_too_long_makes_an_envelope_that_does_not_open(view, reviewer, length):
    name = "n" * length
    viewer = view(
        seal_index(reviewer, files=[{"name": name, "type": "", "size": 0}]),
        seal_bytes([reviewer.public], "good"),
    )
    text = viewer.ask().text
    assert "This envelope was made wrongly: its index breaks the rules." in text
    assert "good" in text
    assert "nnn" not in text


def seal_index(reviewer, **fields) -> bytes:
    """An envelope with this index, which no honest program writes."""
    index = encode_raw_index(**fields)
    length = padded(len(index) + 16)
    trailer = bytes(8) + len(index).to_bytes(8, "big")
    return seal_plaintext([reviewer.public], index + bytes(length - len(index) - 16) + trailer)


def test_ten_thousand_files_are_shown_in_pieces(view, reviewer, tmp_path):
    files = [(f"{number:05}-{'n' * 900}.gif", b"GIF89a") for number in range(10_000)]
    viewer = view(seal_bytes([reviewer.public], "m", files), seal_bytes([reviewer.public], "other"))
    (path,) = [p for p in (tmp_path / "stick").glob("*.envelope") if p.stat().st_size > 1_000_000]
    number = number_of(viewer, path)
    assert "10,000 files" in viewer.ask().text
    last = -(-10_000 // FILES_PER_PAGE)
    for page, first in ((1, 0), (2, FILES_PER_PAGE), (last, (last - 1) * FILES_PER_PAGE)):
        got = viewer.ask(f"{number}/?page={page}")
        names = [bdi.text for bdi in parse(got.body).iter("bdi") if bdi.get("dir") == "ltr"]
        assert names == [name for name, _ in files[first : first + FILES_PER_PAGE]]
    assert f"Page {last} of {last}" in got.text
    assert viewer.ask(f"{number}/9999/bytes").body == b"GIF89a"
    assert viewer.ask(f"{number}/10000/bytes").status == 404
    for page in ("0", "999", "x", "-1", "9" * 500):
        assert viewer.ask(f"{number}/?page={page}").status in (200, 404)
    # As quick as any other page, and not ten thousand times slower.
    begin = time.monotonic()
    viewer.ask(f"{number}/?page=100")
    many = time.monotonic() - begin
    begin = time.monotonic()
    viewer.ask(f"{1 - int(number)}/")
    assert many < 100 * (time.monotonic() - begin)


def test_a_message_of_a_mebibyte_is_shown(view, reviewer):
    message = "no blank in it" * 74_898
    viewer = view(seal_bytes([reviewer.public], message))
    assert message in viewer.ask("0/").text
    assert message not in viewer.ask().text


def test_a_link_in_the_bundle_is_not_followed(view, reviewer, tmp_path, start_viewer):
    viewer = view(seal_bytes([reviewer.public], "one"), seal_bytes([reviewer.public], "two"))
    viewer.stop()
    path = min((tmp_path / "stick").glob("*.envelope"))
    path.rename(tmp_path / "away")
    path.symlink_to(tmp_path / "away")
    text = start_viewer(tmp_path / "stick").ask().text
    assert f"{path} is a link, not a file." in text
