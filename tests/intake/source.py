"""Somebody at a browser, and what stands in their way."""

import os
from pathlib import Path

from tests.site import wait_until

AXE = Path(__file__).parents[2] / "node_modules/axe-core/axe.min.js"


class Source:
    """Somebody at a browser, on the first page."""

    def __init__(self, browser, url: str, fragment: str = "") -> None:
        self.browser = browser
        browser.navigate("about:blank")
        browser.navigate(url + fragment)

    def find(self, name: str):
        """An element, as soon as it is there: a page that is being loaded has only its beginning."""
        wait_until(lambda: self.is_there(name))
        return self.browser.find_element("id", name)

    def is_there(self, name: str) -> bool:
        return bool(self.browser.find_elements("id", name))

    def wait_for_form(self) -> "Source":
        wait_until(lambda: self.is_there("send"))
        wait_until(lambda: self.find("what").text)
        return self

    def choose(self, *paths: Path) -> None:
        for path in paths:
            self.find("files").send_keys(str(path))

    def press(self, name: str) -> None:
        self.find(name).click()

    @property
    def state(self) -> str | None:
        return self.find("status").get_attribute("data-state")

    def wait_for(self, *states: str) -> None:
        wait_until(lambda: self.state in states)

    def run(self, script: str, *arguments):
        return self.browser.execute_script(script, script_args=list(arguments))


def noise(path: Path, size: int) -> Path:
    path.write_bytes(os.urandom(size))
    return path


def find_barriers(source: Source) -> list[str]:
    """What axe-core finds: WCAG 2.2 A and AA, and its best practices. It cannot run twice in a document."""
    source.browser.timeout.script = 60
    return source.browser.execute_async_script(
        AXE.read_text()
        + """
        const done = arguments[arguments.length - 1];
        axe.run(document, { resultTypes: ["violations"] }).then(
            ({ violations }) => done(violations.map(({ id, nodes }) => `${id}: ${nodes.map((n) => n.html)}`)),
            (error) => done([`axe-core failed: ${error}`]),
        );
        """,
        sandbox="axe",
    )
