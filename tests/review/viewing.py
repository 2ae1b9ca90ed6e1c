"""A viewer that really serves, in a process of its own, and what a browser or a player asks it."""

import http.client
import json
import re
import signal
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urlencode, urlsplit
from xml.etree import ElementTree

from leakdrop.review.viewer.programs import PREFERENCES
from tests.review.inboxes import Reviewer
from tests.site import BIN, PATIENCE
from tests.torbrowser import FIREFOX, TorBrowser

MARK = b"CANARY-55d0c1a7"
VOID = ("meta", "link", "input", "img", "br")


@dataclass(frozen=True)
class Got:
    status: int
    fields: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """What a reader of the page sees, without its markup."""
        return "".join(parse(self.body).itertext()) if b"<html" in self.body else self.body.decode()


class TreeMaker(HTMLParser):
    """Makes elements of a page, by the standard library's parser of HTML."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.builder = ElementTree.TreeBuilder()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.builder.start(tag, {name: value or "" for name, value in attrs})
        if tag in VOID:
            self.builder.end(tag)

    def handle_endtag(self, tag: str) -> None:
        self.builder.end(tag)

    def handle_data(self, data: str) -> None:
        self.builder.data(data)


def parse(page: bytes) -> ElementTree.Element:
    """A page as elements."""
    maker = TreeMaker()
    maker.feed(page.decode().removeprefix("<!DOCTYPE html>\n"))
    return maker.builder.close()


class Viewer:
    """`leakdrop-review view … --no-browser`, and a client that sends what it is told to."""

    def __init__(self, path: Path, reviewer: Reviewer, folder: Path, *words: object, prefix=()) -> None:
        self.folder, self.notes = folder, folder / "notes.envelope"
        folder.mkdir(exist_ok=True)
        command = [
            *prefix,
            BIN / "leakdrop-review",
            "view",
            path,
            *reviewer.arguments,
            "--no-browser",
            "--here",
        ]
        command += ["--notes", self.notes, *words]
        self._errors = (folder / "errors").open("wb")
        self.process = subprocess.Popen(
            [str(word) for word in command], stdout=subprocess.PIPE, stderr=self._errors, text=True
        )
        line = self.process.stdout.readline()
        found = re.search(r"http://\S+/", line)
        if not found:
            self.stop()
        assert found, (line, self.errors)
        self.url = found[0]
        self.port, self.base = urlsplit(self.url).port, urlsplit(self.url).path

    @property
    def errors(self) -> str:
        return (self.folder / "errors").read_text()

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)

    def ask(self, path: str = "", method: str = "GET", body: bytes | None = None, **fields: str) -> Got:
        """An answer. A path that begins with “/” stands for itself; any other is behind the token."""
        connection = self.connect()
        target = path if path.startswith("/") else self.base + path
        named = {name.replace("_", "-"): value for name, value in fields.items()}
        try:
            connection.request(method, target, body, named)
            answer = connection.getresponse()
            headers = {name.lower(): value for name, value in answer.getheaders()}
            return Got(answer.status, headers, answer.read())
        finally:
            connection.close()

    def post(self, path: str, **form: str) -> Got:
        """What a form of the viewer's own page sends."""
        return self.ask(
            path, "POST", urlencode(form).encode(), Origin=self.origin, Sec_Fetch_Site="same-origin"
        )

    @property
    def bytes_read(self) -> int:
        """How many bytes the process has read from files so far."""
        return int(re.search(r"rchar: (\d+)", Path(f"/proc/{self.process.pid}/io").read_text())[1])

    @property
    def peak_memory(self) -> int:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024

    def forget_peak(self) -> int:
        """Measure the peak anew, from what is held now, in bytes: opening the key took more."""
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")
        return self.peak_memory

    def stop(self, number: int = signal.SIGINT) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        code = self.process.wait(PATIENCE)
        self.process.stdout.close()
        self._errors.close()
        return code


class ReviewerBrowser(TorBrowser):
    """Firefox with the preferences that `view` gives it: no script, nothing on the disk, no network."""

    def __init__(self, preferences=PREFERENCES, **more) -> None:
        super().__init__()
        self.prefs = {**FIREFOX, **preferences, "media.autoplay.default": 0, **more}

    def list_processes(self) -> list[int]:
        return list_family(self._process.pid)


def list_family(pid: int) -> list[int]:
    """A process and all that it started."""
    children: list[str] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
            children += task.read_text().split()
    return [pid, *(pid for child in children for pid in list_family(int(child)))]


def number_of(viewer: Viewer, path: Path) -> str:
    """The number by which the viewer knows an envelope."""
    page = parse(viewer.ask().body)
    (address,) = {
        a.get("href") for a in page.iter("a") if a.text == path.name[:8] and a.get("class") == "name"
    }
    return address.split("/")[2]


def encode_raw_index(**fields: object) -> bytes:
    return json.dumps(
        {"v": 1, "sealed": "browser", "kind": "", "message": "", "files": [], **fields}
    ).encode()
