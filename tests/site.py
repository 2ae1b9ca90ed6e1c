"""A site that really serves: the operator's command in a process of its own, in a folder of its own."""

import http.client
import io
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from leakdrop.envelope.keyfile import PublicKeyFile, encode_public_key
from leakdrop.envelope.keys import KeyPair
from leakdrop.envelope.opening import Envelope, open_envelope
from leakdrop.store.drops import Drops

BIN = Path(sys.executable).parent
PATIENCE = 60  # seconds until a test gives up on a program; never a measure of speed
# What a source hears of a server that is killed, before or amid its answer.
BROKEN = (OSError, http.client.HTTPException)


def run(*command: object, **options) -> subprocess.CompletedProcess:
    """A command's result; its output is text."""
    return subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, timeout=10 * PATIENCE, **options
    )


def leakdrop(*words: object, **options) -> subprocess.CompletedProcess:
    return run(BIN / "leakdrop", *words, **options)


def assert_one_line(done: subprocess.CompletedProcess, sentence: str, code: int = 1) -> None:
    """A command failed as it should: with one plain line that has this in it."""
    assert done.returncode == code, done
    assert done.stderr.startswith("leakdrop")
    assert done.stderr.count("\n") == 1
    assert sentence in done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def wait_until(condition: Callable[[], object], patience: float = PATIENCE) -> None:
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def damage(path: Path) -> None:
    """Change the last bit of a file."""
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))


def is_listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@dataclass
class Site:
    """A site's folder and its address; `start` and `stop` may follow each other often."""

    folder: Path
    port: int
    prefix: tuple[str, ...] = ()  # a program that watches the server
    process: subprocess.Popen | None = None
    socket_path: Path | None = None  # where it listens instead of at the port
    log: Path = field(init=False)

    def __post_init__(self) -> None:
        self.log = self.folder / "server.log"

    @property
    def config(self) -> Path:
        return self.folder / "config.toml"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def temporary(self) -> Path:
        return self.folder / "tmp"

    def start(self) -> None:
        self.temporary.mkdir(exist_ok=True)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*self.prefix, BIN / "leakdrop", "serve", "--config", self.config],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "TMPDIR": str(self.temporary)},
                start_new_session=True,
            )
        deadline = time.monotonic() + PATIENCE
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the server did not start: {self.log.read_text()}")
            time.sleep(0.05)

    def _answers(self) -> bool:
        try:
            return self.get("/")[0] == 200
        except BROKEN:
            return False

    def stop(self, number: int = signal.SIGTERM) -> None:
        """End the server and all its processes."""
        if self.process and self.process.poll() is None:
            os.killpg(self.process.pid, number)
            self.process.wait(PATIENCE)
        self.process = None

    def get(self, path: str, **headers: str) -> tuple[int, bytes, dict[str, str]]:
        return self.request("GET", path, headers=headers)

    def request(self, method: str, path: str, body=None, headers=None) -> tuple[int, bytes, dict[str, str]]:
        """Status, body and headers of an answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            if self.socket_path:
                connection.sock = socket.socket(socket.AF_UNIX)
                connection.sock.settimeout(PATIENCE)
                connection.sock.connect(str(self.socket_path))
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            return response.status, response.read(), dict(response.getheaders())
        finally:
            connection.close()

    def send(self, *parts: tuple, **options) -> tuple[int, str]:
        """Send a form: parts are (field, text) or (field, file name, bytes). Status and page."""
        body, content_type = encode_form(parts)
        headers = {"Content-Type": content_type, **options.get("headers", {})}
        status, page, _ = self.request("POST", "/submit", body, headers)
        return status, page.decode()

    def envelopes(self) -> list[Path]:
        return sorted((self.data / "drops").iterdir())

    def open_only(self, key: KeyPair) -> Envelope:
        """The only drop, opened and checked whole."""
        (path,) = self.envelopes()
        envelope = open_envelope(io.BytesIO(path.read_bytes()), [key])
        envelope.check()
        return envelope

    def is_empty(self) -> bool:
        """Whether nothing at all is kept."""
        return not self.envelopes() and not any((self.data / "incoming").iterdir())


def encode_form(parts) -> tuple[bytes, str]:
    """multipart/form-data as a browser writes it, and its Content-Type."""
    boundary = "----geckoformboundary0123456789abcdef"
    body = b""
    for field_name, *rest in parts:
        filename = (
            f'; filename="{rest[0]}"\r\nContent-Type: application/octet-stream' if len(rest) > 1 else ""
        )
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{field_name}"{filename}\r\n\r\n'
        content = rest[-1] if isinstance(rest[-1], bytes) else rest[-1].encode()
        body += head.encode() + content + b"\r\n"
    return body + f"--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"


def make_test_site(folder: Path, keys: list[PublicKeyFile], **config: object) -> Site:
    """A site's folder with these keys and this configuration, not started yet."""
    open_drops(folder / "data").close()  # as `leakdrop init` does
    (folder / "keys").mkdir(parents=True)
    for key in keys:
        (folder / "keys" / f"{key.name}.pub").write_text(encode_public_key(key))
    site = Site(folder, free_port())
    settings = {
        "organisation": "Test organisation",
        "keys_dir": "keys",
        "data_dir": "data",
        "bind": f"127.0.0.1:{site.port}",
        "disk_reserve_bytes": 0,
        **config,
    }
    if str(settings["bind"]).startswith("unix:"):
        site.socket_path = Path(str(settings["bind"]).removeprefix("unix:"))
    site.config.write_text("".join(f"{key} = {toml(value)}\n" for key, value in settings.items()))
    return site


def open_drops(folder: Path, **options) -> Drops:
    """The drops of a new data folder, or of one that is there."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return Drops(folder, **options)


def toml(value: object) -> str:
    return (
        str(value).lower()
        if isinstance(value, bool)
        else f'"{value}"'
        if isinstance(value, str)
        else str(value)
    )


def temporary_mount(folder: Path, size: str) -> bool:
    """Mount a small file system of its own on a folder; only root can."""
    folder.mkdir(parents=True, exist_ok=True)
    return run("mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder).returncode == 0
