"""Kinds of visit to a site, by Firefox with Tor Browser's settings."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.recorder import Recorder, Shape
from tests.site import wait_until

MIB = 1024 * 1024


@dataclass
class Visitor:
    """Somebody at a browser; each visit begins on an empty page, with connections of its own."""

    browser: object
    recorder: Recorder

    def visit(self, act: Callable[["Visitor"], object]) -> Shape:
        self.browser.navigate("about:blank")
        self.recorder.take()
        act(self)
        return self.recorder.take()

    def open(self, path: str = "") -> None:
        self.browser.navigate(self.recorder.url + path)

    def find(self, selector: str):
        return self.browser.find_element("css selector", selector)

    def wait_for(self, selector: str) -> None:
        wait_until(lambda: self.browser.find_elements("css selector", selector))


def read(*paths: str) -> Callable[[Visitor], None]:
    """Pages, one after another."""

    def act(visitor: Visitor) -> None:
        for path in paths:
            visitor.open(path)
            if path == "":
                visitor.wait_for("#send, #message")

    return act


def send(message: str = "", *files: Path, kind: int = 0) -> Callable[[Visitor], None]:
    """A submission, sealed by the page."""

    def act(visitor: Visitor) -> None:
        visitor.open()
        visitor.wait_for("#send")
        wait_until(lambda: visitor.find("#what").text)
        visitor.browser.execute_script(
            """
            const message = document.getElementById("message");
            message.value = arguments[0];
            message.dispatchEvent(new Event("input", { bubbles: true }));
            document.getElementById("kind").selectedIndex = arguments[1];
            """,
            script_args=[message, kind],
        )
        for file in files:
            visitor.find("#files").send_keys(str(file))
        wait_until(lambda: "Looking at" not in visitor.find("#list").text)
        visitor.wait_for("#send")
        visitor.browser.execute_script("document.getElementById('send').click()")
        visitor.wait_for("#status[data-state=done]")

    return act


def ask(words: str) -> Callable[[Visitor], None]:
    """A question for replies; those that come are opened by the page."""

    def act(visitor: Visitor) -> None:
        visitor.open("replies")
        visitor.wait_for("#ask")
        visitor.find("#words").send_keys(words)
        visitor.browser.execute_script("document.getElementById('ask').click()")
        visitor.wait_for("#status[data-state=done]")

    return act


def submit_form(message: str = "", *files: Path) -> Callable[[Visitor], None]:
    """A submission by the form without JavaScript, which the server seals."""

    def act(visitor: Visitor) -> None:
        visitor.open()
        visitor.find("[name=message]").send_keys(message)
        for file in files:
            visitor.find("[name=files]").send_keys(str(file))
        visitor.find("form [type=submit], form button").click()
        visitor.wait_for("#status[data-state=done]")

    return act


def noise(path: Path, size: int) -> Path:
    path.write_bytes(os.urandom(size))
    return path
