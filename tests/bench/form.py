"""The sealing form, beside Flask's own parser and OnionShare; the server's memory."""

import os
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

from tests.bench.measure import MIB, Result, call, fill, measure, tell
from tests.keys import public_key_file
from tests.site import BIN, free_port, is_listening, make_test_site, wait_until

FLASK_APP = """
from flask import Flask, request

app = Flask(__name__)


@app.post("/submit")
def submit():
    request.files["files"].save("/dev/null")
    return "ok"
"""


def bench_form(folder: Path, runs: int) -> list[Result]:
    """The sealing form takes in 512 MiB, beside Flask's own parser on the same server."""
    upload = fill(folder / "upload", 512 * MIB)
    site = make_test_site(folder / "site", [public_key_file("alice")])
    site.start()
    flask, flask_port = start_flask(folder)
    peers: dict[str, Callable[[], object]] = {
        "Flask's own multipart parsing": lambda: post(upload, flask_port, "/submit")
    }
    onionshare = start_onionshare(folder)
    if onionshare:
        peers["OnionShare's receive mode"] = lambda: post(upload, onionshare[1], "/upload", "file[]")
    try:
        ours_s, *peer_s = measure(runs, lambda: send_and_forget(site, upload), *peers.values())
        memory = measure_memory(site, upload)
    finally:
        site.stop()
        for process in [flask, *([onionshare[0]] if onionshare else [])]:
            process.terminate()
            process.wait()
    results = [
        Result(f"the form takes 512 MiB: speed of {name}", seconds / ours_s, 1.3, True)
        for name, seconds in zip(peers, peer_s, strict=True)
    ]
    return [*results, Result("eight uploads of 512 MiB at once: memory", memory / MIB, 100, False, "MiB")]


def post(upload: Path, port: int, path: str, field: str = "files") -> None:
    call("curl", "-sf", "-o", "/dev/null", "-F", f"{field}=@{upload}", f"http://127.0.0.1:{port}{path}")


def send_and_forget(site, upload: Path) -> None:
    post(upload, site.port, "/submit")
    for path in site.envelopes():
        path.unlink()


def start_flask(folder: Path) -> tuple[subprocess.Popen, int]:
    """Flask's own parser, on the server that leakdrop uses, with as many threads."""
    (folder / "flaskapp.py").write_text(FLASK_APP)
    port = free_port()
    options = [
        "--worker-class",
        "gthread",
        "--threads",
        "64",
        "--bind",
        f"127.0.0.1:{port}",
        "--no-control-socket",
    ]
    process = subprocess.Popen(
        [BIN / "gunicorn", *options, "--log-level", "error", "flaskapp:app"],
        cwd=folder,
        env={**os.environ, "TMPDIR": str(folder)},
    )
    wait_until(lambda: is_listening(port))
    return process, port


def start_onionshare(folder: Path) -> tuple[subprocess.Popen, int] | None:
    """OnionShare's receive mode without Tor, if it is installed."""
    program = shutil.which("onionshare-cli")
    if not program:
        tell("OnionShare is not installed: pip install onionshare-cli, in an environment of its own")
        return None
    # It tells of every piece that arrives: a pipe that nobody reads would stop it.
    told = folder / "onionshare.log"
    command = [program, "--local-only", "--receive", "--public", "--data-dir", folder / "onionshare"]
    with told.open("wb") as log:
        process = subprocess.Popen(command, stdout=log)
    wait_until(lambda: "http://127.0.0.1:" in told.read_text())
    port = re.search(r"http://127\.0\.0\.1:(\d+)", told.read_text())[1]
    wait_until(lambda: is_listening(int(port)))
    return process, int(port)


def measure_memory(site, upload: Path) -> int:
    """The most memory of the server's processes together, in bytes, shared pages counted once (PSS)."""
    senders = [threading.Thread(target=post, args=(upload, site.port, "/submit")) for _ in range(8)]
    for sender in senders:
        sender.start()
    most = 0
    while any(sender.is_alive() for sender in senders):
        most = max(most, read_memory(os.getpgid(site.process.pid)))
        time.sleep(0.05)
    return most


def read_memory(group: int) -> int:
    total = 0
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if os.getpgid(int(process.name)) == group:
                lines = (process / "smaps_rollup").read_text().splitlines()
                total += next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
        except OSError:
            continue
    return total
