"""The whole way of a reply by real browsers: sent, exported, answered, imported, read, deleted, added to."""

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from functools import cache
from pathlib import Path

import pytest

from leakdrop.envelope.receipt import derive_receipt
from leakdrop.intake.words import decode_words
from tests.replies import Stick
from tests.site import Site, wait_until
from tests.torbrowser import TorBrowser

# A browser at a level, for one visit.
NewBrowser = Callable[[str], AbstractContextManager]

QUESTION = "Which hospital was it?\nشكرا"


def send(new_browser: NewBrowser, url: str, level: str, message: str, words: str = "") -> str:
    """Send a message as a source does, and return the words that were shown."""
    with new_browser(level) as browser:
        browser.navigate("about:blank")
        browser.navigate(url)
        wait_until(lambda: browser.find_elements("id", "send"))
        wait_until(browser.find_element("id", "send").is_enabled)
        if words:
            browser.find_element("css selector", "summary").click()
            browser.find_element("id", "earlier").send_keys(words)
        browser.find_element("id", "message").send_keys(message)
        browser.find_element("id", "send").click()
        wait_until(lambda: browser.find_elements("css selector", "#status[data-state=done]"))
        shown = browser.find_elements("css selector", "#receipt ol li, ol#receipt li")
        return " ".join(item.text for item in shown)


def read_and_delete(new_browser: NewBrowser, url: str, level: str, words: str) -> list[str]:
    """Read all replies as a source does, delete each, and return what they said."""
    with new_browser(level) as browser:
        browser.navigate("about:blank")
        browser.navigate(f"{url}replies")
        wait_until(lambda: browser.find_elements("id", "ask"))
        browser.find_element("id", "words").send_keys(words.replace(" ", "\n"))
        browser.find_element("id", "ask").click()
        status = browser.find_element("id", "status")
        wait_until(lambda: status.get_attribute("data-state") in ("done", "failed"))
        assert status.get_attribute("data-state") == "done"
        texts = [item.text for item in browser.find_elements("css selector", "#list > li")]
        for left in reversed(range(len(texts))):
            browser.find_element("css selector", "#list .removal button").click()
            browser.find_element("xpath", "//ol[@id='list']//button[text()='Delete']").click()
            wait_until(lambda left=left: len(browser.find_elements("css selector", "#list > li")) == left)
        return texts


def go_the_whole_way(site: Site, url: str, new_browser: NewBrowser, level: str, folder: Path) -> None:
    """A source at one level sends and adds; another one sends, too, and is answered, too."""
    reading = "safer" if level == "safest" else level  # at Safest, this site asks for no words
    words, others = (send(new_browser, url, level, message) for message in ("mine", "another's"))
    assert words != others
    stick = Stick(site, folder / "first")
    stick.export()
    (folder / "form.pdf").write_bytes(b"a form")
    for envelope in sorted(stick.bundle.glob("*.envelope")):
        answer = ["--text", QUESTION, "--file", folder / "form.pdf"]
        done = stick.review("reply", "--name", envelope.stem, *answer)
        assert done.returncode == 0, done.stderr
    assert [path.name.split(".")[0] for path in stick.replies] == sorted(
        derive_receipt(decode_words(text)).mailbox.hex() for text in (words, others)
    )
    for _ in range(2):  # importing twice changes nothing
        assert stick.bring().returncode == 0
    (text,) = read_and_delete(new_browser, url, reading, words)
    assert QUESTION in text
    assert "form.pdf" in text
    assert read_and_delete(new_browser, url, reading, words) == []
    assert send(new_browser, url, reading, "added", words) == ""
    stick = Stick(site, folder / "second")
    stick.export()
    listed, read = stick.review("list").stdout, stick.review("read").stdout
    (together,) = [line for line in listed.splitlines() if line.startswith("From the same receipt:")]
    assert len(together.split(",")) == 2
    assert all(message in read for message in ("mine", "added", "another's"))
    (text,) = read_and_delete(new_browser, url, reading, others)
    assert QUESTION in text


@pytest.mark.needs("firefox-esr")
@pytest.mark.parametrize("level", ["standard", "safer", "safest"])
def test_a_source_reads_what_was_answered_deletes_it_and_adds_to_what_they_sent(start_site, level, tmp_path):
    site = start_site()
    with ExitStack() as browsers:
        # One browser for all visits: nothing may be left of one for the next.
        opened = cache(lambda level: browsers.enter_context(TorBrowser(level)))
        go_the_whole_way(site, site.url, lambda level: nullcontext(opened(level)), level, tmp_path)
    assert site.log.read_text() == ""
