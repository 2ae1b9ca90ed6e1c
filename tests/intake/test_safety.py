"""/safety: the shipped guidance says what it must; an operator's own text shows, and can do nothing else."""

import datetime
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from leakdrop.config import parse_config
from leakdrop.intake.operator_text import clean, read_operator_text
from leakdrop.intake.pages import Pages
from leakdrop.keyring import Keyring
from tests.keys import public_key_file
from tests.site import assert_one_line, free_port, leakdrop, make_test_site

ALLOWED = {"h2", "h3", "p", "br", "hr", "ul", "ol", "li", "strong", "em", "code", "blockquote", "a"}
HOSTILE = {
    "script": "<script>alert(1)</script>",
    "script-in-a-line": "see <script src=/x></script> here",
    "cut-script": "<script",
    "handler": "<b onclick=alert(1)>x</b>",
    "handler-on-a-link": '<a href="/key" onmouseover="alert(1)" target="_blank">x</a>',
    "handler-on-what-is-allowed": "<p onclick=alert(1)>x</p>",
    "javascript-link": "[x](javascript:alert(1))",
    "javascript-in-odd-letters": "[x](JaVaScRiPt:alert(1))",
    "javascript-behind-entities": '<a href="&#106;avascript:alert(1)">x</a>',
    "javascript-with-a-line-end": '<a href="java&#10;script:alert(1)">x</a>',
    "javascript-behind-a-space": '<a href=" javascript:alert(1)">x</a>',
    "data-link": "[x](data:text/html,x)",
    "link-into-the-page": "[x](#send)",
    "mail-link": "[x](mailto:a@example.org)",
    "attribute-out-of-a-link": '[x](http://example.org/"onclick="alert(1))',
    "tag-in-a-link": '<a href="http://example.org/<a onclick=alert(1)">x</a>',
    "image": "![x](http://example.org/x.png)",
    "raw-image": "<img src=x onerror=alert(1)>",
    "style-sheet": "<style>main { display: none }</style>",
    "style": '<p style="display: none" class="note" id="send">x</p>',
    "frame": '<iframe src="/"></iframe>',
    "form": '<form action="http://example.org/"><input name="message"></form>',
    "end-of-the-page": "</main></body><h1>x</h1>",
    "base": '<base href="http://example.org/">',
    "refresh": '<meta http-equiv="refresh" content="0; url=http://example.org/">',
    "svg": "<svg onload=alert(1)><a href='/key'>x</a></svg>",
    "mutation-by-math": "<math><mtext><table><mglyph><style><img src=x onerror=alert(1)>",
    "mutation-by-noscript": '<noscript><p title="</noscript><img src=x onerror=alert(1)>">',
    "mutation-by-comment": "<!--><img src=x onerror=alert(1)>-->",
    "template": "{{ config.data_dir }}{% raw %}",
}
MUST_SAY = [
    "NHS laptops",
    "NHS Wi-Fi",
    "Tor Browser",
    "torproject.org",
    "Standard",
    "Safer",
    "Safest",
    "Save and restart",
    "Leave patients out",
    "your voice in it",
    "who opened or printed",
    "tiny dots",
    "watermark",
    "we get the original",
    "no address",
    "only our reviewers can open it",
    "our server cannot",
    "what a court may order",
    "that you use Tor",
    "a device that is watched",
    "a server that was taken over",
    "if the page itself was changed",
    "open the link again",
    "At Safest nothing is compared",
    "New Identity",
    "twelve words",
    "cannot give them back",
    "Protect",
    "your union",
    "solicitor",
    "BMA",
    "RCN",
    "part of your employer",
    "Public Interest Disclosure Act",
    "not legal advice",
]


class Tags(HTMLParser):
    """The tags that a browser would see, with their attributes, and the text between them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict]] = []
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))

    def handle_data(self, text):
        self.text += text


def make_pages(safety_text):
    config = {"organisation": "O", "keys_dir": "k", "data_dir": "d", "safety_text": safety_text}
    return Pages(parse_config(config, Path("/")), Keyring((public_key_file("alice"),)))


def read_page(pages):
    return pages.find("/safety", datetime.date(2026, 1, 1)).body.decode()


def shipped_words():
    return " ".join(Tags(read_operator_text(None)).text.split())


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_text_adds_only_allowed_tags_and_safe_links(text):
    for tag, attributes in Tags(clean(text)).found:
        assert tag in ALLOWED
        if tag == "a":
            assert attributes.pop("rel") == "noreferrer"
            assert attributes.pop("href", "/").startswith(("/", "http://example.org/"))
        assert not attributes


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_text_leaves_the_page_around_it_as_it_is(text, tmp_path):
    def outline(page):
        return [
            (tag, given)
            for tag, given in Tags(page).found
            if tag not in {"p", "a", "em"} or given.get("class")
        ]

    (tmp_path / "own.md").write_text(text)
    (tmp_path / "plain.md").write_text("x")
    assert outline(read_page(make_pages(str(tmp_path / "own.md")))) == outline(
        read_page(make_pages(str(tmp_path / "plain.md")))
    )


def test_the_text_is_not_a_template(tmp_path):
    (tmp_path / "own.md").write_text("{{ config.data_dir }}")
    assert "{{ config.data_dir }}" in read_page(make_pages(str(tmp_path / "own.md")))


def test_what_is_not_allowed_is_shown_as_it_was_written():
    assert clean("![x](y.png)") == '<p>&lt;img alt="x" src="y.png" /&gt;</p>'


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("## One", "<h2>One</h2>"),
        ("### One", "<h3>One</h3>"),
        ("one **two** *three*", "<p>one <strong>two</strong> <em>three</em></p>"),
        ("- one\n- two", "<ul>\n<li>one</li>\n<li>two</li>\n</ul>"),
        ("1. one", "<ol>\n<li>one</li>\n</ol>"),
        ("> one", "<blockquote>\n<p>one</p>\n</blockquote>"),
        ("`a < b`", "<p><code>a &lt; b</code></p>"),
        ("one  \ntwo", "<p>one<br>\ntwo</p>"),
        ("---", "<hr>"),
        ("[our key](/key)", '<p><a href="/key" rel="noreferrer">our key</a></p>'),
        ("[x](https://a.example/?b=c)", '<p><a href="https://a.example/?b=c" rel="noreferrer">x</a></p>'),
        ("Prévention, “& co”", "<p>Prévention, “&amp; co”</p>"),
    ],
)  # fmt: skip
def test_what_is_allowed_survives(text, html):
    assert clean(text) == html


@pytest.mark.parametrize("words", MUST_SAY)
def test_the_shipped_text_says_what_it_must(words):
    assert words.lower() in shipped_words().lower()


def test_the_shipped_text_leads_nowhere_else_and_is_short():
    links = [given["href"] for tag, given in Tags(read_operator_text(None)).found if tag == "a"]
    assert links == ["/key"]
    assert not re.search(r"https?:|www\.|&lt;", read_operator_text(None))
    assert len(shipped_words().split()) < 1150


def test_the_page_is_the_shipped_text_and_is_linked_from_every_page(site):
    status, page, _ = site.get("/safety")
    assert status == 200
    assert read_operator_text(None) in page.decode()
    for path in ("/", "/key", "/safety", "/nothing-here"):
        assert b'<a href="/safety">' in site.get(path)[1]


def test_the_page_is_the_same_for_everybody_and_keeps_the_protecting_headers(site):
    status, page, headers = site.get("/safety")
    assert site.get("/safety?campaign=1", Cookie="a=b", **{"Accept-Language": "ur"}) == (
        status,
        page,
        headers,
    )
    assert headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert headers["Cache-Control"] == "no-store"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert {"etag", "last-modified", "set-cookie"}.isdisjoint(name.lower() for name in headers)


def test_an_operators_own_text_is_served_from_a_path_beside_the_configuration(start_site, tmp_path):
    (tmp_path / "site0").mkdir()
    (tmp_path / "site0" / "own.md").write_bytes("\ufeff## Ours\n\n<script>".encode())
    page = start_site(safety_text="own.md").get("/safety")[1].decode()
    assert "<h2>Ours</h2>" in page
    assert "<script>" not in page
    assert "BMA" not in page


def test_the_text_is_read_at_start_only(tmp_path):
    text = tmp_path / "own.md"
    text.write_text("first")
    last = datetime.date(2026, 12, 31)
    config = {"organisation": "O", "keys_dir": "k", "data_dir": "d", "safety_text": str(text)}
    keys = (public_key_file("alice"), public_key_file("bob", last))
    pages = Pages(parse_config(config, Path("/")), Keyring(keys))
    text.unlink()
    for day in (last, last + datetime.timedelta(days=1)):
        assert b"first" in pages.find("/safety", day).body


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda path: None, "own.md cannot be read: No such file"),
        (lambda path: path.mkdir(), "own.md cannot be read: Is a directory"),
        (lambda path: path.write_bytes(b"Pr\xe9vention"), "own.md is not a text in UTF-8"),
    ],
    ids=["missing", "folder", "not-utf-8"],
)
def test_a_text_that_cannot_be_read_stops_the_start_with_one_line(make, sentence, tmp_path):
    site = make_test_site(tmp_path / "site", [public_key_file("alice")], safety_text="own.md")
    make(site.folder / "own.md")
    done = leakdrop("serve", "--config", site.config, "--bind", f"127.0.0.1:{free_port()}")
    assert_one_line(done, sentence)
    assert "safety_text" in done.stderr
