"""Uploads: the server beside one that only reads and writes; Firefox with and without sealing."""

import http.client
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

from tests.bench.envelope import do_seal
from tests.bench.measure import MIB, Result, fill, measure, tell
from tests.keys import public_key_file
from tests.site import free_port, is_listening, make_test_site, wait_until
from tests.torbrowser import TorBrowser

PART = 4 * MIB
SIZE = 256 * MIB


def start_sink(folder: Path) -> tuple[subprocess.Popen, int]:
    port = free_port()
    process = subprocess.Popen([sys.executable, "-m", "tests.bench.sink", str(port), folder / "received"])
    wait_until(lambda: is_listening(port))
    return process, port


def bench_uploads(folder: Path, runs: int) -> list[Result]:
    """PATCHes of 4 MiB, each durable before it is answered, beside PUTs of 4 MiB to a file with fsync."""
    sealed = folder / "sealed"
    do_seal(fill(folder / "plain", SIZE), sealed)
    envelope = sealed.read_bytes()
    site = make_test_site(folder / "site", [public_key_file("alice")])
    site.start()
    sink, port = start_sink(folder)
    try:
        ours_s, plain_s = measure(runs, lambda: patch_all(site, envelope), lambda: put_all(port, envelope))
    finally:
        site.stop()
        sink.terminate()
        sink.wait()
    return [Result("tus PATCHes: speed of a read, a write and an fsync", plain_s / ours_s, 0.6, True)]


def patch_all(site, envelope: bytes) -> None:
    tus = {"Tus-Resumable": "1.0.0"}
    connection = http.client.HTTPConnection("127.0.0.1", site.port)
    connection.request("POST", "/uploads", b"", {**tus, "Upload-Length": str(len(envelope))})
    response = connection.getresponse()
    location = response.getheader("Location")
    response.read()
    for start in range(0, len(envelope), PART):
        headers = {**tus, "Content-Type": "application/offset+octet-stream", "Upload-Offset": str(start)}
        connection.request("PATCH", location, memoryview(envelope)[start : start + PART], headers)
        response = connection.getresponse()
        response.read()
        if response.status != 204:
            raise RuntimeError(f"the server answered {response.status}")
    connection.close()
    for path in site.envelopes():
        path.unlink()


def put_all(port: int, envelope: bytes) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("GET", "/")
    connection.getresponse().read()
    for start in range(0, len(envelope), PART):
        connection.request("PUT", "/", memoryview(envelope)[start : start + PART])
        connection.getresponse().read()
    connection.close()


def bench_browser(folder: Path, runs: int) -> list[Result]:
    """256 MiB from Firefox: sealed by the page, and as they are by a page that sends the same parts."""
    if not shutil.which("firefox-esr"):
        tell("Firefox is not installed: apt-get install firefox-esr")
        return []
    plain = fill(folder / "plain", SIZE)
    site = make_test_site(folder / "site", [public_key_file("alice")])
    site.start()
    sink, port = start_sink(folder)
    results = []
    try:
        for level in ("standard", "safer"):
            with TorBrowser(level, timeout=600) as sealing, TorBrowser(level, timeout=600) as sending:
                ours_s, plain_s = measure(
                    runs,
                    lambda sealing=sealing: send_sealed(sealing, site, plain),
                    lambda sending=sending: send_plain(sending, port, plain),
                )
            with TorBrowser(level, timeout=600) as fresh:
                grown = measure_growth(fresh, site, plain)
            results += [
                Result(
                    f"Firefox at {level}, 256 MiB sealed: speed of the same unsealed",
                    plain_s / ours_s,
                    0.7,
                    True,
                ),
                Result(
                    f"Firefox at {level}, 256 MiB sealed: growth of the content process",
                    grown / MIB,
                    200,
                    False,
                    "MiB",
                ),
            ]
    finally:
        site.stop()
        sink.terminate()
        sink.wait()
    return results


def send_sealed(browser, site, path: Path) -> float:
    """The seconds from "Send" until everything has arrived."""
    open_form(browser, site, path)
    started = time.perf_counter()
    # Not a click at a place: the list of files grows meanwhile, and moves the button.
    browser.execute_script("document.getElementById('send').click()")
    wait_for(lambda: browser.find_elements("css selector", "#status[data-state=done]"))
    seconds = time.perf_counter() - started
    for drop in site.envelopes():
        drop.unlink()
    return seconds


def wait_for(condition) -> None:
    """Asking is work for the browser, too: not more often than need be."""
    while not condition():
        time.sleep(0.05)


def open_form(browser, site, path: Path) -> None:
    browser.navigate(site.url)
    wait_until(lambda: browser.find_element("id", "send").is_enabled())
    browser.find_element("id", "files").send_keys(str(path))
    wait_until(lambda: "Looking at" not in browser.find_element("id", "list").text)


def send_plain(browser, port: int, path: Path) -> float:
    browser.navigate(f"http://127.0.0.1:{port}/")
    browser.find_element("id", "files").send_keys(str(path))
    started = time.perf_counter()
    browser.execute_script("window.wrappedJSObject.send()")
    wait_for(lambda: browser.find_element("id", "status").text == "done")
    return time.perf_counter() - started


def measure_growth(browser, site, path: Path) -> int:
    """How many bytes the largest content process grows by while it sends, over its size before."""
    open_form(browser, site, path)
    parent = browser.session_capabilities["moz:processID"]
    before = read_content_memory(parent)
    sender = threading.Thread(target=send_sealed, args=(browser, site, path))
    sender.start()
    most = before
    while sender.is_alive():
        most = max(most, read_content_memory(parent))
        time.sleep(0.05)
    return most - before


def read_content_memory(browser: int) -> int:
    """The resident memory of Firefox's largest content process, in bytes."""
    sizes = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            # "tab" is the last argument of a process that shows pages.
            is_content = (process / "cmdline").read_bytes().replace(b"\0", b" ").endswith(b" tab ")
            if is_content and browser in ancestors(process):
                sizes.append(int(read_status(process, "RssAnon").split()[0]) * 1024)
        except OSError:
            continue
    return max(sizes)


def ancestors(process: Path) -> list[int]:
    """A process may be a grandchild: Firefox has one that forks the others."""
    parents = []
    while (parent := int(read_status(process, "PPid"))) > 1:
        parents.append(parent)
        process = Path("/proc") / str(parent)
    return parents


def read_status(process: Path, field: str) -> str:
    lines = (process / "status").read_text().splitlines()
    return next(line.partition(":")[2].strip() for line in lines if line.startswith(f"{field}:"))
