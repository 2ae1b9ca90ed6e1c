"""The whole way of a reply by real browsers: sent, exported, answered, imported, read, deleted, added to."""

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pytest

from leakdrop.envelope.receipt import Receipt, derive_receipt
from leakdrop.intake.words import decode_words
from tests.keys import label_key_pair
from tests.replies import Stick
from tests.site import Site, wait_until
from tests.system.test_replies import names_by_message
from tests.torbrowser import TorBrowser

LEVELS = ("standard", "safer", "safest")
# A browser at a level, for one visit.
NewBrowser = Callable[[str], AbstractContextManager]

QUESTION = "Which hospital was it?\nشكرا"


def wait_for(browser, selector: str) -> None:
    wait_until(lambda: browser.find_elements("css selector", selector))


def list_replies(browser) -> list:
    return browser.find_elements("css selector", "#list > li")


def send(browser, url: str, message: str, words: str = "") -> str:
    """Send a message as a source does, and return the words that were shown."""
    browser.navigate(url)
    wait_for(browser, "#send")
    if words:
        browser.find_element("css selector", "summary").click()
        browser.find_element("id", "earlier").send_keys(words)
    browser.find_element("id", "message").send_keys(message)
    browser.find_element("id", "send").click()
    wait_for(browser, "#status[data-state=done]")
    shown = browser.find_elements("css selector", "#receipt ol li, ol#receipt li")
    return " ".join(item.text for item in shown)


def ask(browser, url: str, words: str) -> list[str]:
    """What the replies for these words say; the last page that was seen is left."""
    browser.navigate("about:blank")
    browser.navigate(f"{url}replies")
    wait_for(browser, "#ask")
    browser.find_element("id", "words").send_keys(words.replace(" ", "\n"))
    browser.find_element("id", "ask").click()
    wait_for(browser, "#status[data-state=done], #status[data-state=failed]")
    assert browser.find_element("id", "status").get_attribute("data-state") == "done"
    return [item.text for item in list_replies(browser)]


def delete_all(browser) -> None:
    """Delete the replies that the page shows."""
    for left in reversed(range(len(list_replies(browser)))):
        browser.find_element("css selector", "#list .removal button").click()
        browser.find_element("xpath", "//ol[@id='list']//button[text()='Delete']").click()
        wait_until(lambda left=left: len(list_replies(browser)) == left)


def delete_first(browser) -> None:
    """Delete the first reply that a page without JavaScript shows."""
    browser.find_element("css selector", "#list button").click()
    wait_for(browser, "a[href='/replies']")


@dataclass
class WholeWay:
    """A source at each level, and the reviewers; `go` takes all steps, one after another."""

    site: Site
    url: str
    new_browser: NewBrowser
    folder: Path
    words: dict[str, str] = field(default_factory=dict)

    def go(self) -> None:
        self.send()
        self.answer()
        self.read()
        self.add()

    @property
    def receipts(self) -> dict[str, Receipt]:
        return {level: derive_receipt(decode_words(words)) for level, words in self.words.items()}

    def send(self) -> None:
        for level in LEVELS:
            with self.new_browser(level) as browser:
                self.words[level] = send(browser, self.url, f"sent at {level}")
        assert len(set(self.words.values())) == len(LEVELS)

    def answer(self) -> None:
        """Each is asked something else."""
        stick = Stick(self.site, self.folder / "first")
        stick.export()
        names = names_by_message(stick, label_key_pair("alice"))
        form = self.folder / "form.pdf"
        form.write_bytes(b"a form")
        for level in LEVELS:
            (name,) = names[f"sent at {level}"]
            text = f"{QUESTION} (to {level})"
            done = stick.review("reply", "--name", name[:8], "--text", text, "--file", form)
            assert done.returncode == 0, done.stderr
        mailboxes = {receipt.mailbox.hex() for receipt in self.receipts.values()}
        assert {path.name.split(".")[0] for path in stick.replies} == mailboxes
        for _ in range(2):  # importing twice changes nothing
            assert stick.bring().returncode == 0

    def read(self) -> None:
        """Everybody reads what was answered to them, and nothing else, and deletes it."""
        for level, words in self.words.items():
            with self.new_browser(level) as browser:
                (text,) = ask(browser, self.url, words)
                assert f"{QUESTION} (to {level})" in text
                assert "form.pdf" in text
                (delete_first if level == "safest" else delete_all)(browser)
            with self.new_browser(level) as browser:
                assert ask(browser, self.url, words) == []

    def add(self) -> None:
        """Under the words from before; who is at Safest is told why not there, and switches to Safer."""
        with self.new_browser("safest") as browser:
            browser.navigate(f"{self.url}replies")
            assert "This works at “Standard” and “Safer” only" in browser.find_element("id", "main").text
            browser.navigate("about:blank")
            browser.navigate(self.url)
            assert not browser.find_elements("id", "earlier")
        for level, words in self.words.items():
            with self.new_browser("safer" if level == "safest" else level) as browser:
                assert send(browser, self.url, f"added at {level}", words) == ""
        stick = Stick(self.site, self.folder / "second")
        stick.export()
        names = names_by_message(stick, label_key_pair("alice"))
        listed = stick.review("list").stdout.splitlines()
        told = "From the same receipt: "
        together = {line.removeprefix(told) for line in listed if line.startswith(told)}
        assert together == {
            ", ".join(sorted(name[:8] for way in ("sent", "added") for name in names[f"{way} at {level}"]))
            for level in LEVELS
        }


@pytest.mark.needs("firefox-esr")
def test_a_source_at_each_level_reads_what_was_answered_deletes_it_and_adds(start_site, tmp_path):
    site = start_site(no_script_replies=True)
    with ExitStack() as browsers:
        # One browser for all visits at a level: nothing may be left of one for the next.
        opened = cache(lambda level: browsers.enter_context(TorBrowser(level)))

        def visit(level: str) -> AbstractContextManager:
            opened(level).navigate("about:blank")
            return nullcontext(opened(level))

        WholeWay(site, site.url, visit, tmp_path).go()
    assert site.log.read_text() == ""
