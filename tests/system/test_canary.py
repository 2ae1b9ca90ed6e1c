"""The canary: a marked submission of a marked browser is looked for in everything that the server wrote.

Marked are the message, the file's name and its bytes, the user agent, the language, and whatever a request
can have beside that: path, query, cookies, referrer, method, header names. After use, refusals, faults,
crashes and an upgrade, the mark must not be in any file, nor in any byte that went to one.
"""

import base64
import os
import random
import re
import resource
import signal
import socket
import sqlite3
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import alembic.command
import pytest
from alembic.config import Config as AlembicConfig

from leakdrop.store.database import connect, migrations_folder
from tests.keys import public_key_file
from tests.site import Site, encode_form, leakdrop, make_test_site, run, wait_until
from tests.torbrowser import TorBrowser
from tests.tus import BYTES, MIB, TUS, TusClient, make_envelope

pytestmark = pytest.mark.needs("strace")

MARK = "Kanarienvogel7f3a91c2"
WRITES = (
    "trace=openat,open,creat,write,pwrite64,writev,pwritev,pwritev2,sendfile,splice,copy_file_range,rename,\
renameat,renameat2,link,linkat,symlinkat,mkdir,mkdirat,setxattr,fsetxattr,sendto,sendmsg,connect"
)
STRACE = ("strace", "-f", "-qq", "-y", "-s", "65536", "-e", WRITES, "-e", "signal=none")


def disguises(mark: str) -> dict[str, bytes]:
    """The mark as it is, and as programs write bytes that they were given."""
    raw = mark.encode()
    # Of each alignment, the letters that do not depend on what stands around it.
    packed = {
        f"base64-{shift}": base64.b64encode(b"\0" * shift + raw)[4 * (shift > 0) : -4] for shift in range(3)
    }
    return {
        "plain": raw,
        "upper": raw.upper(),
        "lower": raw.lower(),
        "utf-16": mark.encode("utf-16-le"),
        "utf-32": mark.encode("utf-32-le"),
        "hex": raw.hex().encode(),
        "reversed": raw[::-1],
        **packed,
    }


MARKS = disguises(MARK)


def marks_in(content: bytes) -> set[str]:
    return {name for name, mark in MARKS.items() if mark in content}


@dataclass
class Watch:
    """A site whose server is watched: what it writes, and where."""

    site: Site
    trace: Path

    def start(self) -> None:
        # As large as they come: no core may be written although the system would.
        _, most = resource.getrlimit(resource.RLIMIT_CORE)
        resource.setrlimit(resource.RLIMIT_CORE, (most, most))
        self.site.prefix = (*STRACE, "-A", "-o", str(self.trace))
        self.site.start()
        for pid in servers(self):
            limits = Path(f"/proc/{pid}/limits").read_text()
            assert re.search(r"Max core file size +0 +0 ", limits), "a crash could write a core"

    def written(self) -> set[Path]:
        """Every file that was opened to be written, or got a name."""
        found = set()
        for line in self.trace.read_text(errors="replace").splitlines():
            if (
                "O_WRONLY" in line
                or "O_RDWR" in line
                or "O_CREAT" in line
                or re.search(r" (rename|link)", line)
            ):
                found |= {Path(path) for path in re.findall(r'"(/[^"]*)"', line)}
                found |= {Path(path) for path in re.findall(r"= \d+<(/[^>]*)>", line)}
        return found

    def find(self) -> dict[str, set[str]]:
        """Where the mark is: files, by their contents and names, and bytes that went anywhere."""
        found: dict[str, set[str]] = {}
        folders = [path for path in self.site.folder.rglob("*") if path != self.trace]
        for path in {*self.written(), *folders}:
            marks = marks_in(str(path).encode())
            if path.is_file() and path.stat().st_size < 2**30:
                marks |= marks_in(path.read_bytes())
            if marks:
                found[str(path)] = marks
        marks = marks_in(self.trace.read_bytes())
        return {**found, "a byte that was written": marks} if marks else found


@pytest.fixture
def watch(tmp_path):
    site = make_test_site(tmp_path / "site", [public_key_file("alice")])
    watch = Watch(site, tmp_path / "trace")
    watch.start()
    yield watch
    site.stop()


def marked_browser(level: str) -> TorBrowser:
    prefs = {
        "privacy.resistFingerprinting": False,  # which would hide the marks
        "general.useragent.override": f"{MARK}/1.0",
        "intl.accept_languages": f"{MARK[:8]}, x-{MARK}",
    }
    return TorBrowser(level, prefs=prefs)


def marked_file(folder: Path, size: int = 3 * MIB) -> Path:
    path = folder / f"{MARK}.txt"
    path.write_bytes((MARK.encode() + b" said\n") * (size // (len(MARK) + 6)))
    return path


HEADERS = {
    "User-Agent": MARK, "Accept-Language": MARK, "Cookie": f"a={MARK}", "Referer": f"http://{MARK}/",
    "Authorization": MARK, f"X-{MARK}": "1", "Upload-Metadata": f"filename {MARK}",
}  # fmt: skip


def use(watch: Watch, folder: Path) -> None:
    """A source sends by the page, and another by the form."""
    for level in ("standard", "safest"):
        with marked_browser(level) as browser:
            browser.navigate(f"{watch.site.url}?{MARK}=1")
            wait_until(partial(browser.find_elements, "css selector", "#send"))
            browser.find_element("id", "message").send_keys(f"{MARK} in words")
            browser.find_element("id", "files").send_keys(str(marked_file(folder)))
            browser.find_element("id", "send").click()
            wait_until(partial(browser.find_elements, "css selector", "#status[data-state=done]"))
    assert len(watch.site.envelopes()) == 2


def refuse(watch: Watch) -> set[int]:
    """Whatever can be wrong with a request, with the mark in it; the statuses of the answers."""
    site = watch.site
    envelope = make_envelope(labels=("mallory",))
    body, form = encode_form([("message", MARK), (MARK, MARK)])
    broken = body.replace(b"--\r\n", b"")
    statuses = {
        site.request(method, path, content, {**HEADERS, **headers})[0]
        for method, path, content, headers in (
            ("GET", f"/{MARK}", None, {}),
            ("GET", f"/?{MARK}", None, {}),
            ("GET", f"/{MARK}" * 300, None, {}),
            ("HEAD", f"/static/{MARK}.js", None, {}),
            ("DELETE", f"/{MARK}", None, {}),
            (MARK.upper(), "/", None, {}),
            ("POST", "/submit", body, {"Content-Type": form}),
            ("POST", "/submit", broken, {"Content-Type": form}),
            ("POST", "/submit", MARK, {"Content-Type": MARK}),
            ("POST", "/submit", body, {"Content-Type": f"multipart/form-data; boundary={MARK}"}),
            ("POST", "/submit", body, {"Content-Type": form, "Sec-Fetch-Site": "cross-site"}),
            ("POST", "/uploads", b"", {**TUS, "Upload-Length": MARK}),
            ("POST", "/uploads", b"", {"Tus-Resumable": MARK, "Upload-Length": "1"}),
            ("PATCH", f"/uploads/{MARK}", MARK, {**BYTES, "Upload-Offset": "0"}),
            ("HEAD", f"/uploads/{MARK}", None, TUS),
            ("GET", "/", None, {"Host": f"{MARK}.example"}),
            ("GET", "/", None, {"X-Forwarded-For": MARK, "X-Tor2web": MARK}),
        )
    }
    path = TusClient.direct(site.port).create(len(envelope))
    statuses.add(TusClient.direct(site.port).patch(path, 0, MARK.encode() + envelope).status)
    for raw in (
        f"{MARK}\r\n\r\n",
        f"GET /{MARK} HTTP/9.9\r\n\r\n",
        f"GET / HTTP/1.1\r\n{MARK}\r\n\r\n",
        f"PROXY TCP6 {MARK} ::1 1 1\r\nGET / HTTP/1.1\r\n\r\n",
        f"GET /\0{MARK} HTTP/1.1\r\n\r\n",
    ):
        with socket.create_connection(("127.0.0.1", site.port), 10) as connection:
            connection.sendall(raw.encode())
            with suppress(OSError):
                statuses.add(int(connection.recv(100).split()[1]))
    return statuses


def fault(watch: Watch) -> int:
    """A mistake of ours: a folder of the store is gone while a submission comes in."""
    incoming = watch.site.data / "incoming"
    incoming.rename(incoming.with_name("away"))
    try:
        return watch.site.send(("message", MARK), ("files", f"{MARK}.txt", MARK.encode()), headers=HEADERS)[0]
    finally:
        incoming.with_name("away").rename(incoming)


def crash(watch: Watch, number: int) -> None:
    """The server is ended at once in the middle of a form and of an upload."""
    body, form = encode_form([("message", MARK), ("files", f"{MARK}.txt", MARK.encode() * 100_000)])
    envelope = make_envelope(MIB)
    client = TusClient.direct(watch.site.port)
    path = client.create(len(envelope))
    with client.begin_patch(path, 0, len(envelope), envelope[: MIB // 2]), client.open() as connection:
        connection.announce(
            "POST", "/submit", {"Content-Type": form, "Content-Length": str(len(body)), **HEADERS}
        )
        connection.send(body[: len(body) // 2])
        incoming = watch.site.data / "incoming"
        wait_until(lambda: any(part.stat().st_size for part in incoming.iterdir()))
        for pid in servers(watch):
            os.kill(pid, number)
        wait_until(lambda: not servers(watch))
    watch.site.stop(signal.SIGKILL)


def servers(watch: Watch) -> list[int]:
    """The processes of the site's server, without the one that watches."""
    listed = run("pgrep", "-g", str(watch.site.process.pid), "-f", "leakdrop serve").stdout.split()
    return [int(pid) for pid in listed if "strace" not in Path(f"/proc/{pid}/comm").read_text()]


def downgrade(watch: Watch, revision: str) -> None:
    """Put the database back to an older version."""
    config = AlembicConfig()
    config.set_main_option("script_location", str(migrations_folder()))
    config.set_main_option("path_separator", "os")
    engine = connect(watch.site.data / "leakdrop.sqlite")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        alembic.command.downgrade(config, revision)
    engine.dispose()


@pytest.mark.needs("firefox-esr")
def test_a_marked_submission_of_a_marked_browser_is_in_no_file_after_use_errors_crashes_and_an_upgrade(
    watch, tmp_path
):
    use(watch, tmp_path)
    assert watch.find() == {}
    statuses = refuse(watch)
    assert {400, 404, 405, 412, 415} <= statuses
    assert not any(status >= 500 for status in statuses)
    assert fault(watch) == 500
    assert "A mistake of leakdrop's" in watch.site.log.read_text()
    assert watch.find() == {}
    for number in (signal.SIGKILL, signal.SIGSEGV, signal.SIGBUS):
        crash(watch, number)
        assert watch.find() == {}
        watch.start()
    watch.site.stop()
    downgrade(watch, "0002")
    watch.start()
    assert watch.site.send(("message", MARK), headers=HEADERS)[0] == 200
    assert leakdrop("export", watch.site.folder / "stick", "--config", watch.site.config).returncode == 0
    assert leakdrop("status", "--config", watch.site.config).returncode == 0
    watch.site.stop()
    assert watch.find() == {}
    assert list(watch.site.folder.rglob("core*")) == []
    assert list(Path.cwd().glob("core*")) == []
    assert len(watch.written()) > 20, "the watch saw no file being written"


@pytest.mark.parametrize("disguise", MARKS)
def test_a_planted_canary_is_found(tmp_path, disguise):
    watch = Watch(make_test_site(tmp_path / "site", [public_key_file("alice")]), tmp_path / "trace")
    watch.trace.write_text("")
    around = random.Random(disguise).randbytes(3000)
    (watch.site.data / "drops" / "planted").write_bytes(around + MARKS[disguise] + around)
    assert disguise in watch.find()[str(watch.site.data / "drops" / "planted")]


@pytest.mark.parametrize("shift", range(12))
def test_a_planted_canary_is_found_in_base64_whatever_stands_before_it(shift):
    assert marks_in(base64.b64encode(b"x" * shift + MARK.encode() + b"y" * 5))


def test_a_canary_in_a_deleted_row_is_found(tmp_path):
    """SQLite keeps what it deletes, unless it is told not to."""
    watch = Watch(make_test_site(tmp_path / "site", [public_key_file("alice")]), tmp_path / "trace")
    watch.trace.write_text("")
    connection = sqlite3.connect(watch.site.data / "careless.sqlite", isolation_level=None)
    connection.execute("PRAGMA secure_delete=OFF")
    connection.execute("CREATE TABLE visits (agent TEXT)")
    connection.execute("INSERT INTO visits VALUES (?)", (MARK,))
    connection.execute("DELETE FROM visits")
    connection.close()
    assert watch.find() == {str(watch.site.data / "careless.sqlite"): {"plain"}}


# A server that logs which paths are asked for, and one that spools a form: what careless code would do.
CARELESS = {
    "logs-a-path": """
        import leakdrop.intake.views as views, sys
        before = views.answer_refusal
        def logging(refusal, status=None):
            print("asked for", views.request.path, file=sys.stderr, flush=True)
            return before(refusal, status)
        import leakdrop.intake.app as app
        app.answer_refusal = logging
    """,
    "spools-and-deletes": """
        import leakdrop.intake.bodies as bodies, tempfile
        before = bodies.read_body
        def spooling(stream, length):
            with tempfile.TemporaryFile() as file:
                for piece in before(stream, length):
                    file.write(piece)
                    file.flush()
                    yield piece
        bodies.read_body = spooling
        import leakdrop.intake.forms as forms
        forms.read_body = spooling
    """,
}
STARTER = "import sys; from leakdrop.operate.cli import main; sys.argv[0] = 'leakdrop'; sys.exit(main())"


@pytest.mark.parametrize("what", CARELESS)
def test_the_watch_finds_out_a_careless_server(tmp_path, what):
    watch = Watch(make_test_site(tmp_path / "site", [public_key_file("alice")]), tmp_path / "trace")
    lines = [line.removeprefix("        ") for line in CARELESS[what].splitlines()]
    starter = tmp_path / "careless.py"
    starter.write_text("\n".join([*lines, STARTER]))
    log = watch.site.log.open("ab")
    watch.site.temporary.mkdir()
    server = subprocess.Popen(
        [*STRACE, "-o", watch.trace, sys.executable, starter, "serve", "--config", watch.site.config],
        stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        env={**os.environ, "TMPDIR": str(watch.site.temporary)},
    )  # fmt: skip
    log.close()
    try:
        wait_until(lambda: is_up(watch.site))
        watch.site.get(f"/{MARK}")
        assert watch.site.send(("message", MARK))[0] == 200
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(60)
    assert "plain" in watch.find()["a byte that was written"]


def is_up(site: Site) -> bool:
    with suppress(OSError):
        return site.get("/")[0] == 200
    return False
