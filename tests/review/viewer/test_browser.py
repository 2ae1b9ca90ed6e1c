"""The viewer in a real Firefox: with the preferences that it gives it, and with none."""

import contextlib
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from marionette_driver.errors import UnknownException

from leakdrop.envelope.index import ReplyTo
from leakdrop.envelope.opening import open_envelope
from leakdrop.review.replying import RECEIVED
from leakdrop.review.viewer.programs import PREFERENCES
from tests.media import ARABIC
from tests.replies import label_receipt
from tests.review.inboxes import flip, seal_bytes, write_bundle
from tests.review.viewing import ReviewerBrowser, Viewer, list_family
from tests.site import BIN, PATIENCE, wait_until
from tests.torbrowser import Marionette

pytestmark = pytest.mark.needs("firefox-esr", "ffmpeg", "espeak-ng", "exiftool")

AXE = Path(__file__).parents[3] / "node_modules/axe-core/axe.min.js"
TAB, ENTER = "\ue004", "\ue007"
AMINA = label_receipt("amina")


SCHEMES = {"light": 1, "dark": 0}


@pytest.fixture(scope="module", params=SCHEMES.values(), ids=SCHEMES)
def scripting_browser(request) -> Iterator:
    """One in which axe-core can run: no page of the viewer lets any script."""
    scheme = {"layout.css.prefers-color-scheme.content-override": request.param}
    with ReviewerBrowser({}, **scheme, **{"security.csp.enable": False}) as browser:
        yield browser


@pytest.fixture(scope="module")
def browser() -> Iterator:
    with ReviewerBrowser() as browser:
        yield browser


@pytest.fixture(scope="module")
def viewer(tmp_path_factory, reviewer, colleague, recordings) -> Iterator[Viewer]:
    """A viewer whose first envelope holds real files, and whose others are of all sorts."""
    folder = tmp_path_factory.mktemp("browser")
    files = [(path.name, path.read_bytes()) for path in recordings.all()]
    files.append(("a.svg", b'<svg xmlns="http://www.w3.org/2000/svg" onload="document.title=1"/>'))
    hostile = "<script>document.title = 1</script><img src=x onerror='document.title = 1'>\u202e"
    envelopes = [
        seal_bytes(
            [reviewer.public],
            ARABIC + hostile,
            [*files, (hostile, b"GIF89a")],
            kind=hostile[:40],
            reply_to=AMINA.reply_to,
        ),
        seal_bytes([reviewer.public, colleague.public], "also for somebody else"),
        seal_bytes([colleague.public], "only for somebody else"),
        flip(seal_bytes([reviewer.public], "damaged"), 5000),
    ]
    paths = write_bundle(folder / "stick", envelopes)
    # The order of random names is not ours to choose; the largest is the first.
    viewer = Viewer(folder / "stick", reviewer, folder / "viewer", "-o", folder / "out")
    viewer.first = sorted(paths).index(paths[0])
    yield viewer
    viewer.stop()


def run(browser, script: str, *arguments):
    """Run a script of the test's own: the page's have no leave to run."""
    return browser.execute_script(script, sandbox="test", script_args=list(arguments))


def media(browser, what: str):
    return run(browser, f"return document.querySelector('audio, video').{what}")


def play(browser, viewer: Viewer) -> None:
    browser.navigate(f"{viewer.url}{viewer.first}/0/")
    run(browser, "const sound = document.querySelector('audio'); sound.muted = true; sound.play()")
    wait_until(lambda: media(browser, "currentTime") > 0.2)


def test_a_long_recording_plays_and_seeks_out_of_its_envelope(browser, viewer, recordings):
    viewer.ask(f"{viewer.first}/0/bytes", "HEAD")
    before = viewer.bytes_read
    play(browser, viewer)
    assert round(media(browser, "duration")) == 2400
    for place in (2100, 30, 1200):
        run(browser, "document.querySelector('audio').currentTime = arguments[0]", place)
        wait_until(lambda place=place: media(browser, "currentTime") > place + 0.2)
    assert media(browser, "error") is None
    # Seeking reads anew only what is not there yet; the whole recording four times would be more.
    assert viewer.bytes_read - before < 3 * recordings.talk.stat().st_size


def test_pictures_are_drawn_and_videos_play(browser, viewer):
    browser.navigate(f"{viewer.url}{viewer.first}/")
    browser.find_element("link text", "Show picture 2").click()
    wait_until(lambda: run(browser, "return document.querySelector('img').naturalWidth") == 3264)
    browser.navigate(f"{viewer.url}{viewer.first}/3/")
    run(browser, "const video = document.querySelector('video'); video.muted = true; video.play()")
    wait_until(lambda: media(browser, "currentTime") > 0.2)
    assert media(browser, "videoWidth") == 640


def test_nothing_that_a_source_wrote_runs_or_is_drawn_as_markup(browser, viewer):
    for path in ("", f"{viewer.first}/", f"{viewer.first}/5/", f"{viewer.first}/6/"):
        browser.navigate(viewer.url + path)
        assert browser.title != "1"
        assert browser.find_elements("css selector", "script, [onerror], svg, iframe, object") == []
        assert run(browser, "return document.querySelectorAll('img[src=x]').length") == 0
    browser.navigate(f"{viewer.url}{viewer.first}/")
    assert "<script>document.title = 1</script>" in browser.find_element("class name", "message").text


def test_even_a_browser_that_runs_scripts_runs_none_of_a_page(viewer):
    """What the policy does, without the preferences."""
    with ReviewerBrowser({}) as browser:
        browser.navigate(viewer.url)
        blocked = run(
            browser,
            """
            const script = document.createElement("script");
            script.textContent = "document.title = 'ran'";
            document.body.append(script);
            return [document.title, window.origin];
            """,
        )
        assert blocked[0] == "Inbox"
        browser.navigate(f"{viewer.url}{viewer.first}/1/bytes")
        assert "viewer's pages only" in browser.page_source


def find_on_disk(processes: list[int], home: Path, marks: list[bytes]) -> list[str]:
    """Files that hold one of the marks: those below a folder, and those that a process holds open and that
    have no name any more. What lies in memory only is none.
    """
    paths = [path for path in home.rglob("*") if path.is_file()]
    for pid in processes:
        with contextlib.suppress(OSError):
            paths += [path for path in Path(f"/proc/{pid}/fd").iterdir() if is_nameless(path)]
    return [str(path) for path in paths if holds(path, marks)]


def is_nameless(path: Path) -> bool:
    """Whether a descriptor is that of a file which was removed, on a disk."""
    with contextlib.suppress(OSError):
        target = str(path.readlink())
        return target.endswith(" (deleted)") and not target.startswith(("/dev", "/memfd"))
    return False


def holds(path: Path, marks: list[bytes]) -> bool:
    with contextlib.suppress(OSError):
        content = path.read_bytes()
        return any(mark in content for mark in marks)
    return False


def test_firefox_as_it_is_started_writes_nothing_of_a_recording(browser, viewer, recordings):
    """And as it is without: that shows that the test would see it."""
    talk = recordings.talk.read_bytes()
    # Of the beginning, and of what lies behind the place that is sought.
    marks = [talk[start : start + 64] for start in (300_000, 600_000, 19_000_000, 19_200_000)]
    found = {}
    for name, preferences in (("plain", {}), ("ours", PREFERENCES)):
        started = ReviewerBrowser(preferences)
        with started as other:
            play(other, viewer)
            run(other, "document.querySelector('audio').currentTime = 2000")
            wait_until(lambda other=other: media(other, "currentTime") > 2000.2)
            found[name] = find_on_disk(started.list_processes(), started.profile, marks)
    assert found["plain"]
    assert found["ours"] == []


def shows(browser, words: str) -> bool:
    """Whether the page has these words; one that is about to go has none."""
    with contextlib.suppress(UnknownException):
        return words in browser.page_source
    return False


def strike(browser, key: str) -> None:
    browser.actions.sequence("key", "keyboard").key_down(key).key_up(key).perform()


def tab_to(browser, selector: str) -> None:
    wanted = browser.find_element("css selector", selector)
    for _ in range(60):
        strike(browser, TAB)
        if browser.get_active_element() == wanted:
            return
    pytest.fail(f"{selector} is not reached")


def test_the_keyboard_alone_is_enough(browser, viewer):
    browser.navigate(viewer.url)
    tab_to(browser, f".name[href$='/{viewer.first}/']")
    strike(browser, ENTER)
    wait_until(lambda: browser.find_elements("id", "text"))
    tab_to(browser, "button[formaction$='mark']")
    strike(browser, ENTER)
    wait_until(lambda: shows(browser, "Remove the mark"))
    tab_to(browser, "#text")
    browser.find_element("id", "text").send_keys("by keys")
    strike(browser, TAB)
    strike(browser, ENTER)
    wait_until(lambda: browser.get_url().endswith("#note"))
    assert browser.find_element("id", "text").get_property("value") == "by keys"
    tab_to(browser, "audio")


def test_what_was_typed_stays_whichever_button_is_pressed(browser, viewer):
    browser.navigate(f"{viewer.url}{viewer.first}/")
    browser.find_element("id", "reply-text").send_keys("Dear you")
    browser.find_element("id", "text").send_keys("a thought")
    before = browser.find_element("css selector", "button[formaction$='mark']").text
    browser.find_element("css selector", "button[formaction$='mark']").click()
    wait_until(lambda: browser.find_element("css selector", "button[formaction$='mark']").text != before)
    assert browser.find_element("id", "reply-text").get_property("value") == "Dear you"
    assert browser.find_element("id", "text").get_property("value").endswith("a thought")
    browser.find_element("id", "reply-text").clear()
    browser.find_element("css selector", "button[formaction$='note']").click()
    wait_until(lambda: browser.get_url().endswith("#note"))


def test_a_reply_is_written_and_sealed_by_keyboard(browser, viewer):
    bundle = viewer.folder.parent / "stick"
    browser.navigate(f"{viewer.url}{viewer.first}/")
    tab_to(browser, "#reply-text")
    browser.find_element("id", "reply-text").send_keys("Thank you. شكرا")
    bundle.rename(bundle.with_name("pulled out"))
    try:
        strike(browser, TAB)
        strike(browser, ENTER)
        wait_until(lambda: shows(browser, "It was not sealed."))
        assert browser.find_element("id", "reply-text").get_property("value") == "Thank you. شكرا"
    finally:
        bundle.with_name("pulled out").rename(bundle)
    tab_to(browser, "#reply-text")
    for _ in range(2):
        strike(browser, TAB)
    strike(browser, ENTER)
    wait_until(lambda: shows(browser, RECEIVED[:40]))
    text = browser.find_element("id", "reply-text").get_property("value")
    assert text == f"Thank you. شكرا\n\n{RECEIVED}"
    tab_to(browser, "#reply-text")
    strike(browser, TAB)
    strike(browser, ENTER)
    wait_until(lambda: shows(browser, "Sealed a message into"))
    browser.refresh()
    (path,) = (bundle / "replies").iterdir()
    with path.open("rb") as file:
        assert open_envelope(file, [AMINA.key_pair]).index.message == text


@pytest.fixture(scope="module")
def refused(viewer) -> int:
    """The number of an envelope that does not open."""
    others = (number for number in range(4) if number != viewer.first)
    return next(number for number in others if "cannot be opened" in viewer.ask(f"{number}/").text)


def find_barriers(browser) -> list[str]:
    """What axe-core finds on the page that is shown."""
    browser.timeout.script = 60
    return browser.execute_async_script(
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


PAGES = ["", "{first}/", "{first}/0/", "{first}/1/", "{refused}/", "nothing"]


@pytest.mark.parametrize("page", PAGES)
def test_axe_finds_no_barrier(scripting_browser, viewer, refused, page):
    scripting_browser.navigate(viewer.url + page.format(first=viewer.first, refused=refused))
    assert find_barriers(scripting_browser) == []


def test_axe_finds_no_barrier_around_a_reply(scripting_browser, viewer):
    viewer.post(f"{viewer.first}/reply", text=" ")
    scripting_browser.navigate(f"{viewer.url}{viewer.first}/")
    assert "It was not sealed" in scripting_browser.page_source
    assert find_barriers(scripting_browser) == []
    viewer.post(f"{viewer.first}/reply", text="Thank you.")
    scripting_browser.navigate(f"{viewer.url}{viewer.first}/")
    assert "Sealed a message" in scripting_browser.page_source
    assert find_barriers(scripting_browser) == []


@pytest.fixture(scope="module")
def forgery(tmp_path_factory, reviewer) -> Iterator[Viewer]:
    """A viewer of two submissions with one mailbox and two keys."""
    folder = tmp_path_factory.mktemp("forgery")
    half = ReplyTo(AMINA.mailbox, label_receipt("ben").key_pair.public)
    sealed = [seal_bytes([reviewer.public], "m", reply_to=one) for one in (AMINA.reply_to, half)]
    write_bundle(folder / "stick", sealed)
    viewer = Viewer(folder / "stick", reviewer, folder / "viewer")
    yield viewer
    viewer.stop()


def test_what_may_be_forged_is_answered_after_a_tick_by_keyboard(browser, forgery):
    browser.navigate(f"{forgery.url}0/")
    browser.find_element("id", "reply-text").send_keys("Thank you.")
    tab_to(browser, "button[formaction$='reply']")
    strike(browser, ENTER)
    wait_until(lambda: shows(browser, "It was not sealed."))
    tab_to(browser, "#anyway")
    strike(browser, " ")
    tab_to(browser, "button[formaction$='reply']")
    strike(browser, ENTER)
    wait_until(lambda: shows(browser, "that may be the forger."))
    assert not browser.find_element("id", "anyway").get_property("checked"), "each reply is confirmed anew"


def test_axe_finds_no_barrier_where_a_submission_may_be_forged(scripting_browser, forgery):
    scripting_browser.navigate(f"{forgery.url}1/")
    assert "Seal it all the same" in scripting_browser.page_source
    assert find_barriers(scripting_browser) == []


@pytest.mark.parametrize("width", [320, 768, 1280])
def test_nothing_is_cut_off_at_any_width(browser, viewer, width):
    browser.set_window_rect(width=max(width, 500), height=800)
    for page in ("", f"{viewer.first}/", f"{viewer.first}/1/"):
        browser.navigate(viewer.url + page)
        if width < 500:  # no window of Firefox is as narrow as a phone's
            run(browser, "document.documentElement.style.width = `${arguments[0]}px`", width)
        assert (
            run(
                browser,
                "return document.documentElement.scrollWidth - document.documentElement.clientWidth",
            )
            <= 0
        )


def read_words(pid: int) -> bytes:
    """The command line of a process; nothing if it has ended."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


def test_view_opens_firefox_and_ends_when_it_is_closed(reviewer, tmp_path):
    write_bundle(tmp_path / "stick", [seal_bytes([reviewer.public], "what the source said")])
    home = tmp_path / "home"
    home.mkdir()
    # The way in which Firefox tells itself across a restart that a test drives it.
    driven = {"MOZ_MARIONETTE": "1", "MOZ_MARIONETTE_PREF_STATE_ACROSS_RESTARTS": '{"marionette.port":0}'}
    places = {"HOME": str(home), "TMPDIR": str(home), "XDG_STATE_HOME": ""}
    command = [BIN / "leakdrop-review", "view", tmp_path / "stick", *reviewer.arguments, "--here"]
    process = subprocess.Popen(
        [str(word) for word in command],
        env={**os.environ, **places, **driven, "MOZ_HEADLESS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        address = re.search(r"http://127\.0\.0\.1:\d+/(\S+)/", process.stdout.readline())
        wait_until(lambda: list(home.glob("leakdrop-*/MarionetteActivePort")))
        (port,) = home.glob("leakdrop-*/MarionetteActivePort")
        wait_until(port.read_text)
        words = [read_words(pid) for pid in list_family(process.pid)[1:]]
        assert any(b"--profile" in found for found in words)
        # Every user of the machine can read these words.
        assert not any(b"http://" in found for found in words)
        firefox = Marionette(host="127.0.0.1", port=int(port.read_text()), socket_timeout=PATIENCE)
        firefox.start_session()
        wait_until(lambda: "what the source said" in firefox.page_source)
        assert address[0] in firefox.get_url()
        assert '"javascript.enabled", false' in (port.parent / "user.js").read_text()
        firefox._send_message("Marionette:Quit", {"flags": ["eAttemptQuit"]})  # as “Quit” in its menu
        assert process.wait(PATIENCE) == 0
    finally:
        process.kill()
        process.stdout.close()
        process.wait()
    assert not list(home.glob("leakdrop-*"))
