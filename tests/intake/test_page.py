"""The page in real browsers: it seals on the device, goes on after breaks, and else sends nothing at all."""

import base64
import hashlib
import os
import re
import signal
import time
from pathlib import Path

import pytest

from leakdrop.envelope.keys import KeyPair
from tests.intake.source import Source, find_barriers, noise
from tests.intake.test_pages import FIRST_LOAD
from tests.intake.wire import Relay, answer
from tests.keys import label_key_pair
from tests.site import Site, run, wait_until
from tests.torbrowser import TorBrowser

pytestmark = pytest.mark.needs("firefox-esr")

MARK = b"CANARY-7f3a91c2"
TAB, ENTER = "\ue004", "\ue007"


def strike(browser, key: str) -> None:
    browser.actions.sequence("key", "keyboard").key_down(key).key_up(key).perform()


def assert_arrived(site: Site, alice: KeyPair, message: str, *paths: Path) -> None:
    envelope = site.open_only(alice)
    assert (envelope.index.sealed, envelope.index.message) == ("browser", message)
    assert [file.name for file in envelope.index.files] == [path.name for path in paths]
    for number, path in enumerate(paths):
        assert sha256(envelope.read_file(number)) == sha256(path.read_bytes())


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.mark.needs("ffmpeg", "espeak-ng", "exiftool")
def test_a_message_and_real_files_arrive_sealed_by_the_browser(each_browser, site, alice, recordings):
    source = Source(each_browser, site.url).wait_for_form()
    source.find("message").send_keys("What I heard.\nشكرا")
    source.choose(*recordings.all())
    source.press("send")
    source.wait_for("done", "failed")
    assert_arrived(site, alice, "What I heard.\nشكرا", *recordings.all())
    assert each_browser.get_cookies() == []
    assert source.run("return [localStorage.length, sessionStorage.length]") == [0, 0]


def test_what_the_browser_sends_holds_no_plaintext_and_no_exact_size(
    each_browser, site, relay, alice, tmp_path
):
    named = tmp_path / f"{MARK.decode()}.txt"
    named.write_bytes(MARK * 60_000)
    source = Source(each_browser, relay.url).wait_for_form()
    source.find("message").send_keys(MARK.decode())
    source.choose(named)
    source.press("send")
    source.wait_for("done")
    assert_arrived(site, alice, MARK.decode(), named)
    assert relay.count("PATCH") > 0
    for secret in (MARK, str(named.stat().st_size).encode(), b"WRAP training"):
        assert secret not in relay.sent
        assert base64.b64encode(secret) not in relay.sent


def test_every_visit_makes_the_same_requests_and_the_first_one_is_small(standard, site, relay, tmp_path):
    Source(standard, relay.url).wait_for_form()
    assert relay.received < FIRST_LOAD
    first = sorted(relay.lines)
    assert len(first) == 3
    relay.lines.clear()
    source = Source(standard, relay.url, "#key=" + label_key_pair("alice").public.fingerprint).wait_for_form()
    source.choose(noise(tmp_path / "a.jpg", 1000))
    source.find("message").send_keys("hello")
    wait_until(lambda: "a.jpg" in source.find("list").text)
    assert [line for line in sorted(relay.lines) if "/static/" not in line] == [
        line for line in first if "/static/" not in line
    ]


def test_the_upload_goes_on_by_itself_after_the_server_was_killed(each_browser, start_site, alice, tmp_path):
    site = start_site()
    path = noise(tmp_path / "talk.m4a", 12_000_000)
    with Relay(site.port, pause=0.02) as relay:
        source = Source(each_browser, relay.url).wait_for_form()
        source.find("message").send_keys("through a crash")
        source.choose(path)
        source.press("send")
        wait_until(lambda: len(relay.sent) > 3_000_000)
        site.stop(signal.SIGKILL)
        source.wait_for("waiting")
        assert "Waiting for Tor" in source.find("status").text
        site.start()
        source.wait_for("done", "failed")
        assert relay.count("POST") == 1
        assert relay.count("HEAD") > 0
    assert_arrived(site, alice, "through a crash", path)


def test_lost_circuits_and_cut_requests_lose_nothing(standard, site, relay, alice, tmp_path):
    path = noise(tmp_path / "talk.m4a", 8_000_000)
    source = Source(standard, relay.url).wait_for_form()
    source.choose(path)
    relay.cut_after = 300_000  # in the middle of a chunk
    source.press("send")
    wait_until(lambda: relay.count("PATCH") >= 3)
    relay.cut_after = None
    source.wait_for("done", "failed")
    assert_arrived(site, alice, "", path)
    assert relay.count("POST") == 1


def test_an_upload_whose_last_answer_was_lost_is_found_to_be_done(standard, site, relay, alice):
    source = Source(standard, relay.url).wait_for_form()
    source.find("message").send_keys("short")
    relay.cut_answers = "PATCH"
    source.press("send")
    source.wait_for("done", "failed")
    assert (relay.count("PATCH"), relay.count("HEAD")) == (1, 1)
    assert_arrived(site, alice, "short")


def test_an_upload_that_the_site_forgot_begins_anew_under_another_key(standard, site, relay, alice, tmp_path):
    path = noise(tmp_path / "a", 3_000_000)
    source = Source(standard, relay.url).wait_for_form()
    source.choose(path)
    forgotten = []

    def forget_once(line: str) -> bytes | None:
        if line.startswith("PATCH") and len(forgotten) < 1 and relay.count("PATCH") == 2:
            forgotten.append(line)
            return answer("404 Not Found")
        return None

    relay.own_answer = forget_once
    source.press("send")
    source.wait_for("done", "failed")
    assert forgotten
    assert relay.count("POST") == 2
    assert relay.count("DELETE") == 1
    assert_arrived(site, alice, "", path)
    headers = re.findall(rb"LEAKDROP\x01\x01.{16}(.{1088})", bytes(relay.sent), re.DOTALL)
    assert len(set(headers)) == 2


@pytest.mark.parametrize("status", ["503 Busy", "500 Fault", "409 Conflict"])
def test_what_may_work_another_time_is_tried_again(standard, site, relay, alice, status):
    refused = []

    def refuse_once(line: str) -> bytes | None:
        if line.startswith(("PATCH", "POST")) and line.split()[0] not in refused:
            refused.append(line.split()[0])
            return answer(status)
        return None

    relay.own_answer = refuse_once
    source = Source(standard, relay.url).wait_for_form()
    source.find("message").send_keys("again")
    source.press("send")
    source.wait_for("done", "failed")
    assert refused == ["POST", "PATCH"]
    assert_arrived(site, alice, "again")


@pytest.mark.parametrize("status", ["400 Bad", "413 Large", "415 Foreign"])
def test_what_the_site_refuses_for_good_is_told_and_not_tried_again(standard, site, relay, status):
    relay.own_answer = lambda line: answer(status) if line.startswith("PATCH") else None
    source = Source(standard, relay.url).wait_for_form()
    source.find("message").send_keys("kept on the page")
    source.press("send")
    source.wait_for("failed")
    assert relay.count("PATCH") == 1
    assert "Nothing of it was kept" in source.find("status").text
    assert source.find("message").get_property("value") == "kept on the page"
    wait_until(site.is_empty)


def test_pause_holds_everything_and_going_on_finishes(standard, site, relay, alice, tmp_path):
    path = noise(tmp_path / "a", 6_000_000)
    relay.pause = 0.02
    source = Source(standard, relay.url).wait_for_form()
    source.choose(path)
    source.press("send")
    wait_until(lambda: len(relay.sent) > 2_000_000)
    source.press("pause")
    source.wait_for("paused")
    assert source.find("pause").text == "Go on"
    wait_until(lambda: not relay._open)
    before = len(relay.lines)
    time.sleep(1.5)  # longer than the first pause after a failure
    assert len(relay.lines) == before
    relay.pause = 0
    source.press("pause")
    source.wait_for("done", "failed")
    assert relay.count("POST") == 1
    assert_arrived(site, alice, "", path)


def test_cancel_throws_away_what_was_sent_and_keeps_what_was_typed(standard, site, relay, tmp_path):
    relay.pause = 0.02
    source = Source(standard, relay.url).wait_for_form()
    source.find("message").send_keys("not yet")
    source.choose(noise(tmp_path / "a", 6_000_000))
    source.press("send")
    wait_until(lambda: len(relay.sent) > 1_500_000)
    source.press("cancel")
    source.wait_for("idle")
    wait_until(site.is_empty)
    assert source.find("message").get_property("value") == "not yet"
    assert "a" in source.find("list").text
    assert relay.count("DELETE") == 1


def test_what_had_arrived_before_it_was_cancelled_is_said_to_have_arrived(standard, site, relay, alice):
    asked_to_forget = []

    def hide_the_end(line: str) -> bytes | None:
        if line.startswith("DELETE"):
            asked_to_forget.append(line)
            return answer("409 Conflict")
        return answer("503 Busy") if line.startswith("HEAD") and not asked_to_forget else None

    source = Source(standard, relay.url).wait_for_form()
    source.find("message").send_keys("too late")
    relay.cut_answers = "PATCH"
    relay.own_answer = hide_the_end
    source.press("send")
    source.wait_for("waiting")
    wait_until(lambda: relay.count("HEAD") > 0)
    source.press("cancel")
    source.wait_for("done")
    assert source.find("status").text == "Everything has arrived."
    assert source.find("receipt").is_displayed()
    assert_arrived(site, alice, "too late")


def test_cancel_says_at_once_that_it_stops_and_claims_nothing_that_it_cannot_know(standard, relay, tmp_path):
    held = []
    relay.pause = 0.02
    source = Source(standard, relay.url).wait_for_form()
    source.find("message").send_keys("not yet")
    source.choose(noise(tmp_path / "a", 6_000_000))
    source.press("send")
    wait_until(lambda: len(relay.sent) > 1_500_000)

    def hold(line: str) -> bytes | None:
        if not line.startswith(("DELETE", "HEAD")):
            return None
        wait_until(lambda: held)
        return answer("503 Busy")

    relay.own_answer = hold
    source.press("cancel")
    assert source.find("status").text.startswith("Stopping")
    assert not source.find("cancel").is_enabled()
    held.append(True)
    source.wait_for("idle")
    told = source.find("status").text
    assert "could not be told" in told
    assert "forgets it within three days" in told
    assert "Nothing of it was kept" not in told
    assert source.find("message").get_property("value") == "not yet"


@pytest.mark.parametrize(
    ("status", "told"),
    [
        ("429 Slow", "within an hour"),
        ("503 Busy", "Many people are sending"),
        ("507 Full", "every five to fifteen minutes"),
    ],
)
def test_each_reason_to_wait_has_its_own_sentence(standard, relay, status, told):
    relay.own_answer = lambda line: answer(status) if line.startswith("POST") else None
    source = Source(standard, relay.url).wait_for_form()
    source.find("message").send_keys("later")
    source.press("send")
    source.wait_for("waiting")
    assert told in source.find("status").text


def test_who_has_sent_finds_no_way_to_the_replies(standard, site):
    source = Source(standard, site.url).wait_for_form()
    link = "a[href='/replies']"
    assert source.browser.find_elements("css selector", link)
    source.find("message").send_keys("sent")
    source.press("send")
    source.wait_for("done")
    assert not source.browser.find_elements("css selector", link)
    assert b"/replies" not in site.send(("message", "sent by the form"))[1].encode()


def test_the_page_says_what_a_phone_and_a_lost_connection_do(site):
    page = " ".join(site.get("/")[1].decode().split())
    script, plain = page.split("</noscript>")[1], page.split("</noscript>")[0]
    for part in (script, plain):
        assert "keep the screen on and stay in Tor Browser" in part
    assert "nothing is kept unless all had arrived" in plain
    assert "that code is not checked without JavaScript" in plain


def test_each_field_names_the_line_that_tells_what_is_wrong_with_it(site):
    fields = {
        field: described.split()
        for page in (site.get("/")[1].decode(), site.get("/replies")[1].decode())
        for field, described in re.findall(
            r'<(?:input|textarea)[^>]* id="([\w-]+)"[^>]*aria-describedby="([^"]*)"', page
        )
    }
    assert {"earlier-help", "earlier-state"} == set(fields["earlier"])
    assert {"words-help", "words-state"} == set(fields["words"])
    assert fields["first-answer"] == fields["second-answer"] == ["wrong-answer"]


@pytest.mark.parametrize("change", ["overwritten", "shrunk", "removed", "a-byte", "grown"])
def test_a_file_that_changes_while_it_is_sent_ends_it_with_a_clear_sentence(
    standard, site, relay, tmp_path, change
):
    path = noise(tmp_path / "talk.m4a", 6_000_000)
    relay.pause = 0.05
    source = Source(standard, relay.url).wait_for_form()
    source.choose(path)
    source.press("send")
    wait_until(lambda: len(relay.sent) > 2_000_000)
    if change == "overwritten":
        with path.open("r+b") as file:
            file.write(os.urandom(6_000_000))
    elif change == "a-byte":
        with path.open("r+b") as file:  # of what has been sent already
            before = file.seek(500_123) and file.read(1)
            file.seek(500_123)
            file.write(bytes([before[0] ^ 1]))
    elif change == "grown":
        with path.open("ab") as file:
            file.write(b"+")
    elif change == "shrunk":
        os.truncate(path, 3_000_000)
    else:
        path.unlink()
    source.wait_for("failed", "done")
    assert "talk.m4a” has changed" in source.find("status").text
    wait_until(site.is_empty)


def test_nothing_can_be_sent_when_the_script_does_not_load(standard, site, relay):
    relay.own_answer = lambda line: answer("503 Busy") if ".js" in line else None
    source = Source(standard, relay.url)
    wait_until(lambda: any(".js" in line for line in relay.lines))
    assert "not ready to send" in source.find("main").text
    assert source.run("return document.forms.length") == 0
    assert not source.browser.find_elements("css selector", "button, input, textarea, [type=submit]")
    assert relay.count("POST") == 0


@pytest.mark.parametrize(
    "change",
    [lambda script: script[: len(script) // 2], lambda script: script + b";window.isAltered=true"],
    ids=["cut", "altered"],
)
def test_a_script_that_is_not_the_pages_own_never_runs_and_nothing_can_be_sent(standard, site, relay, change):
    def alter(line: str) -> bytes | None:
        return ok("text/javascript", change(site.get(line.split()[1])[1])) if ".js" in line else None

    relay.own_answer = alter
    source = Source(standard, relay.url)
    wait_until(lambda: any(".js" in line for line in relay.lines))
    assert source.run("return document.readyState") == "complete"
    assert "not ready to send" in source.find("main").text
    assert not source.run("return window.wrappedJSObject.isAltered")
    assert not source.browser.find_elements("css selector", "form, button, input, textarea, [type=submit]")
    assert relay.count("POST") == 0


def test_a_style_that_is_not_the_pages_own_is_not_used(standard, site, relay):
    def alter(line: str) -> bytes | None:
        if ".css" not in line:
            return None
        return ok("text/css", site.get(line.split()[1])[1] + b"main{display:none}")

    relay.own_answer = alter
    assert Source(standard, relay.url).wait_for_form().find("main").is_displayed()


SLOW_CIPHER = b"""
const { encrypt } = SubtleCrypto.prototype;
SubtleCrypto.prototype.encrypt = async function (...given) {
  await new Promise((resolve) => { window.goOn = resolve; });
  SubtleCrypto.prototype.encrypt = encrypt;
  return encrypt.apply(this, given);
};
"""


def ok(media_type: str, body: bytes) -> bytes:
    return f"HTTP/1.1 200 OK\r\nContent-Type: {media_type}\r\nConnection: close\r\n\r\n".encode() + body


def integrity(content: bytes) -> bytes:
    return b"sha256-" + base64.b64encode(hashlib.sha256(content).digest())


@pytest.fixture
def early(standard, site):
    """A source at the page while it checks itself; it goes on when the window's `goOn` is called."""
    page = site.get("/")[1]
    script = site.get(re.search(rb'src="(.*?)"', page)[1].decode())[1]
    slow = SLOW_CIPHER + script
    assert integrity(script) in page
    page = page.replace(integrity(script), integrity(slow))

    def slow_down(line: str) -> bytes | None:
        if line == "GET / HTTP/1.1":
            return ok("text/html; charset=utf-8", page)
        return ok("text/javascript", slow) if ".js" in line else None

    with Relay(site.port, own_answer=slow_down) as relay:
        source = Source(standard, relay.url)
        wait_until(lambda: source.run("return !!window.wrappedJSObject.goOn"))
        yield source


def finish_checks(source: Source) -> None:
    source.run("window.wrappedJSObject.goOn()")


def test_what_is_chosen_while_the_page_still_checks_itself_is_not_lost(early, site, alice, tmp_path):
    talk = noise(tmp_path / "talk.m4a", 10_000)
    early.choose(talk)
    early.find("message").send_keys("early")
    finish_checks(early)
    early.wait_for_form()
    assert "talk.m4a" in early.find("list").text
    assert early.state == "idle"
    early.press("send")
    early.wait_for("done")
    assert_arrived(site, alice, "early", talk)


def test_send_pressed_while_the_page_still_checks_itself_sends_when_it_has(early, site, alice):
    early.press("send")
    assert "Write a message" in early.find("problem").text
    early.find("message").send_keys("hurried")
    early.press("send")
    early.press("send")
    assert "checks itself first" in early.find("status").text
    assert site.envelopes() == []
    finish_checks(early)
    early.wait_for("done")
    assert_arrived(site, alice, "hurried")


def test_another_key_than_the_links_sends_nothing(standard, relay, alice):
    for listed in ("0" * 64, label_key_pair("bob").public.fingerprint):
        source = Source(standard, relay.url, f"#key={listed}")
        for _ in range(2):
            wait_until(lambda source=source: source.is_there("status"))
            source.wait_for("failed")
            assert "not the key in the link" in source.find("status").text
            assert "Nothing was sent" in source.find("status").text
            assert not source.is_there("send")
            source.browser.refresh()  # which must not open what was closed
    assert relay.count("POST") == 0


@pytest.mark.parametrize("fragment", ["#key=", "#keys={}", "#key%3D{}", "#key={},", "#{}"])
def test_a_damaged_link_sends_nothing(standard, relay, alice, fragment):
    source = Source(standard, relay.url, fragment.format(alice.public.fingerprint))
    wait_until(lambda: source.is_there("status"))
    source.wait_for("failed")
    assert "The link that you opened is damaged" in source.find("status").text
    assert not source.is_there("send")


def test_a_link_that_lost_its_key_while_the_page_still_checks_itself_sends_nothing(early):
    early.run("location.hash = `#key=${'0'.repeat(64)}`")
    early.run("location.hash = '#main'")
    finish_checks(early)
    early.wait_for("failed")
    assert "The link that you opened is damaged" in early.find("status").text
    assert not early.is_there("send")


def test_no_key_press_on_the_first_page_takes_the_links_key_out_of_its_address(early):
    """The address is read when the script has come, and over Tor that can take a minute."""
    early.run("location.hash = `#key=${'0'.repeat(64)}`")
    assert not early.run('return document.querySelectorAll(\'a[href="/"], a[href^="#"], a[href=""]\').length')
    for _ in range(20):
        strike(early.browser, TAB)
        focused = early.browser.get_active_element()
        if focused.tag_name == "a" and early.run("return arguments[0].pathname === '/'", focused):
            strike(early.browser, ENTER)
    finish_checks(early)
    early.wait_for("failed")
    assert "not the key in the link" in early.find("status").text


def test_the_other_pages_keep_their_way_past_the_header(site):
    for path in ("/replies", "/safety", "/key"):
        assert b'href="#main"' in site.get(path)[1]


def test_a_page_that_the_browser_kept_compares_the_links_key_again(standard, site, alice):
    """Nothing of ours may be kept by a browser; if one does it all the same, the page loads itself anew."""
    source = Source(standard, site.url, f"#key={alice.public.fingerprint}").wait_for_form()
    source.run("window.wrappedJSObject.wasHere = true")
    source.run("window.dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))")
    wait_until(lambda: not source.run("return !!window.wrappedJSObject.wasHere"))
    source.wait_for_form()
    assert source.find("key-checked").is_displayed()
    assert "open your link again" in source.find("key-checked").text
    assert source.browser.get_url() == site.url


def test_a_site_whose_keys_have_all_expired_says_that_it_is_closed(standard, site):
    page = re.sub(rb"<p data-fingerprint=.*?</p>", b"", site.get("/")[1])
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n\r\n"
    with Relay(site.port, own_answer=lambda line: head + page if line == "GET / HTTP/1.1" else None) as relay:
        source = Source(standard, relay.url)
        wait_until(lambda: source.is_there("status"))
        source.wait_for("failed")
        assert source.find("status").text.startswith("Closed for now")


def test_the_links_key_is_checked_and_leaves_the_address_bar(standard, site, alice):
    listed = f"#key={label_key_pair('bob').public.fingerprint},{alice.public.fingerprint.upper()}"
    source = Source(standard, site.url, listed).wait_for_form()
    assert source.browser.get_url() == site.url
    assert "the one in the link" in source.find("summary").text
    source.find("message").send_keys("checked")
    source.press("send")
    source.wait_for("done")
    assert_arrived(site, alice, "checked")


def test_a_key_that_is_not_what_its_fingerprint_says_sends_nothing(standard, start_site):
    site = start_site()
    page = site.get("/")[1]
    fingerprint = label_key_pair("alice").public.fingerprint.encode()
    changed = page.replace(b'data-fingerprint="' + fingerprint, b'data-fingerprint="' + fingerprint[::-1])
    assert changed != page
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n\r\n"
    with Relay(
        site.port, own_answer=lambda line: head + changed if line == "GET / HTTP/1.1" else None
    ) as relay:
        source = Source(standard, relay.url)
        wait_until(lambda: source.is_there("status"))
        source.wait_for("failed")
        assert "damaged" in source.find("status").text
        assert not source.is_there("send")


# This machine by an address that is not a loopback address for Firefox.
INSECURE = {"network.socket.ip_addr_any.disabled": False, "dom.security.https_only_mode": False}


def test_without_a_secure_context_nothing_can_be_sent(site):
    with TorBrowser("standard", prefs=INSECURE) as browser:
        source = Source(browser, f"http://0.0.0.0:{site.port}/")
        assert source.run("return isSecureContext") is False
        wait_until(lambda: source.is_there("status"))
        source.wait_for("failed")
        assert "by its .onion address" in source.find("status").text
        assert not source.is_there("send")


def test_a_form_that_is_refused_at_safest_comes_back_empty_and_that_is_said_before_and_after(start_site):
    site = start_site(submissions_in_all="1 per day")
    site.send(("message", "the one that is let in"))
    with TorBrowser("safest") as browser:
        source = Source(browser, site.url)
        assert "Keep a copy" in source.find("keep-a-copy").text
        source.find("message").send_keys("a long night's work")
        source.press("send")
        wait_until(lambda: "Too busy" in source.find("status").text)
        assert "it comes back empty" in browser.find_element("css selector", "main").text
        browser.go_back()
        assert source.find("message").get_property("value") == ""


def test_after_back_neither_message_nor_files_are_there(standard, site, tmp_path):
    source = Source(standard, site.url).wait_for_form()
    source.find("message").send_keys(MARK.decode())
    source.choose(noise(tmp_path / f"{MARK.decode()}.bin", 1000))
    standard.navigate(f"{site.url}key")
    standard.go_back()
    source.wait_for_form()
    assert source.find("message").get_property("value") == ""
    assert MARK.decode() not in standard.page_source


def test_leaving_the_page_empties_it_at_once(standard, site, tmp_path):
    source = Source(standard, site.url).wait_for_form()
    source.find("message").send_keys(MARK.decode())
    source.choose(noise(tmp_path / f"{MARK.decode()}.bin", 1000))
    source.run("window.dispatchEvent(new Event('pagehide'))")
    assert source.find("message").get_property("value") == ""
    assert MARK.decode() not in standard.page_source


def test_leaving_while_sending_is_asked_about(site, relay, tmp_path):
    relay.pause = 0.05
    with TorBrowser("standard", prefs={"dom.require_user_interaction_for_beforeunload": False}) as browser:
        source = Source(browser, relay.url).wait_for_form()
        asked = "return !window.dispatchEvent(new Event('beforeunload', { cancelable: true }));"
        assert not source.run(asked)
        source.choose(noise(tmp_path / "a", 6_000_000))
        source.press("send")
        source.wait_for("sending")
        assert source.run(asked)
        source.press("cancel")
        source.wait_for("idle")
        assert not source.run(asked)


@pytest.mark.needs("exiftool", "ffmpeg", "espeak-ng")
def test_what_photos_and_recordings_carry_is_shown_before_they_are_sent(
    each_browser, relay, recordings, tmp_path
):
    iphone, android, old = tmp_path / "IMG_1.mov", tmp_path / "VID_2.mp4", tmp_path / "memo.mp3"
    feature_phone = tmp_path / "VID_3.3gp"
    video = ["ffmpeg", "-nostdin", "-loglevel", "error", "-i", recordings.video, "-c", "copy"]
    run(*video, "-metadata", "creation_time=2026-11-17T10:15:02Z", android)
    run("exiftool", "-q", "-overwrite_original", "-UserData:GPSCoordinates=51.5007, -0.1246, 10", android)
    run(*video, "-metadata", "location=+51.5007-000.1246/", "-f", "mp4", feature_phone)
    run(*video, "-f", "mov", iphone)
    made_by = ["-Keys:GPSCoordinates=51.5007, -0.1246, 10", "-Keys:Make=Apple", "-Keys:Model=iPhone 13"]
    run("exiftool", "-q", "-overwrite_original", *made_by, iphone)
    run(
        "ffmpeg",
        "-nostdin",
        "-loglevel",
        "error",
        "-i",
        recordings.talk,
        "-t",
        "2",
        "-metadata",
        "artist=Jane Doe",
        old,
    )
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(recordings.photo.read_bytes()[:300])
    source = Source(each_browser, relay.url).wait_for_form()
    asked = len(relay.lines)
    source.choose(recordings.photo, iphone, android, old, recordings.slides, broken, feature_phone)
    wait_until(lambda: "Looking" not in source.find("list").text)
    shown = [item.text for item in source.browser.find_elements("css selector", "#list > li")]
    for text in (
        "Place: 51.50070, -0.12460",
        "Device: Fairphone FP5",
        "Time: 2026:11:17",
        "where it was made",
    ):
        assert text in shown[0]
    assert "Place: 51.5007, -0.1246" in shown[1]
    assert "Apple" in shown[1]
    assert "iPhone 13" in shown[1]
    assert "Place: 51.5007, -0.1246" in shown[2]
    assert "2026-11-17 10:15" in shown[2]
    assert "Jane Doe" in shown[3]
    assert "cannot look into" in shown[4]
    assert "broken.jpg" in shown[5]
    assert "Place: where it was recorded" in shown[6]
    assert len(relay.lines) == asked


@pytest.mark.needs("heif-enc")
def test_the_place_in_photos_of_every_kind_is_shown(each_browser, site, tmp_path):
    camera = ["-GPSLatitude=51.5007", "-GPSLatitudeRef=N", "-GPSLongitude=0.1246", "-GPSLongitudeRef=W"]
    first, *others = (tmp_path / f"photo.{kind}" for kind in ("jpg", "heic", "avif", "webp", "png", "tiff"))
    run("ffmpeg", "-nostdin", "-loglevel", "error", "-f", "lavfi", "-i", "testsrc", "-frames:v", "1", first)
    run("exiftool", "-q", "-overwrite_original", *camera, "-Make=Apple", first)
    for photo in others:
        if photo.suffix == ".heic":
            run("heif-enc", first, "-o", photo)
        else:
            run("ffmpeg", "-nostdin", "-loglevel", "error", "-i", first, "-frames:v", "1", photo)
            run("exiftool", "-q", "-overwrite_original", "-tagsFromFile", first, "-all:all", photo)
    source = Source(each_browser, site.url).wait_for_form()
    source.choose(first, *others)
    wait_until(lambda: "Looking" not in source.find("list").text)
    for item in source.browser.find_elements("css selector", "#list > li"):
        assert "Place: 51.50070, -0.12460" in item.text
        assert "Device: Apple" in item.text


@pytest.mark.needs("exiftool", "ffmpeg")
def test_places_and_names_outside_of_exif_are_shown(standard, site, tmp_path):
    written = {
        "xmp.jpg": ["-XMP-exif:GPSLatitude=51.5007 N", "-XMP-exif:GPSLongitude=0.1246 W"],
        "iptc.jpg": [
            "-IPTC:By-line=Jane Doe",
            "-IPTC:By-line=Ali",
            "-IPTC:City=Leeds",
            "-IPTC:Sub-location=Ward 7",
        ],
        "windows.jpg": ["-EXIF:XPAuthor=Jané Doe"],
    }
    for name, tags in written.items():
        run(
            "ffmpeg",
            "-nostdin",
            "-loglevel",
            "error",
            "-f",
            "lavfi",
            "-i",
            "testsrc",
            "-frames:v",
            "1",
            tmp_path / name,
        )
        assert run("exiftool", "-q", "-overwrite_original", *tags, tmp_path / name).returncode == 0
    source = Source(standard, site.url).wait_for_form()
    source.choose(*(tmp_path / name for name in written))
    wait_until(lambda: "Looking" not in source.find("list").text)
    xmp, iptc, windows = (item.text for item in source.browser.find_elements("css selector", "#list > li"))
    assert "Place: 51.50070, -0.12460" in xmp
    assert "Place: Leeds" in iptc
    assert "Place: Ward 7" in iptc
    assert "Jane Doe, Ali" in iptc
    assert "Jané Doe" in windows


def test_files_add_up_and_can_be_removed(standard, site, alice, tmp_path):
    first, second = noise(tmp_path / "first", 1000), noise(tmp_path / "second", 2000)
    source = Source(standard, site.url).wait_for_form()
    source.choose(first)
    source.choose(second)
    wait_until(lambda: "2 files (3 KB)" in source.find("what").text)
    source.browser.find_element("css selector", "[aria-label='Remove first']").click()
    wait_until(lambda: "one file (2 KB)" in source.find("what").text)
    source.press("send")
    source.wait_for("done")
    assert_arrived(site, alice, "", second)


def test_files_that_are_dropped_are_added_and_never_replace_the_page(standard, site, alice):
    source = Source(standard, site.url).wait_for_form()
    source.run("""
        const carried = new DataTransfer();
        carried.items.add(new File(["dropped"], "dropped.txt"));
        const event = new DragEvent("drop", { dataTransfer: carried, bubbles: true, cancelable: true });
        if (document.body.dispatchEvent(event)) throw new Error("the browser would open it");
    """)
    wait_until(lambda: "dropped.txt" in source.find("list").text)
    source.press("send")
    source.wait_for("done")
    assert site.open_only(alice).read_file(0) == b"dropped"


# Drops files of one byte, by their names.
DROP = """
    const carried = new DataTransfer();
    for (const name of arguments[0]) carried.items.add(new File(["1"], name));
    const how = { dataTransfer: carried, bubbles: true, cancelable: true };
    document.body.dispatchEvent(new DragEvent("drop", how));
"""
COUNT = """
    const list = document.getElementById("list");
    let made = 0;
    const count = (records) => {
        for (const { addedNodes } of records) made += addedNodes.length;
        list.dataset.made = made;
    };
    new MutationObserver(count).observe(list, { childList: true });
"""


def test_looking_at_files_makes_each_line_of_the_list_once(standard, site):
    source = Source(standard, site.url).wait_for_form()
    source.run(COUNT)
    source.run(DROP, [f"{number}.txt" for number in range(100)])
    wait_until(lambda: "Looking" not in source.find("list").text)
    assert len(source.browser.find_elements("css selector", "#list > li")) == 100
    assert source.find("list").get_attribute("data-made") == "100"


def test_the_keyboard_stays_where_it_is_while_files_are_looked_at(standard, site):
    source = Source(standard, site.url).wait_for_form()
    source.run(DROP, ["first.txt"])
    source.run("document.querySelector('[aria-label=\"Remove first.txt\"]').focus()")
    source.run(DROP, ["second.txt"])
    wait_until(lambda: "second.txt" in source.find("list").text)
    wait_until(lambda: "Looking" not in source.find("list").text)
    assert standard.get_active_element().get_attribute("aria-label") == "Remove first.txt"


# A file picker that was open when "Send" was pressed.
OPEN_PICKER = "window.wrappedJSObject.picker = document.getElementById('files').wrappedJSObject;"
PICK = """
    const carried = new DataTransfer();
    carried.items.add(new File(["late"], "late.txt"));
    const { picker } = window.wrappedJSObject;
    picker.files = carried.files;
    picker.dispatchEvent(new Event("change"));
"""


def test_a_file_that_is_chosen_too_late_is_said_not_to_be_sent(standard, site, relay, alice, tmp_path):
    path = noise(tmp_path / "talk.m4a", 6_000_000)
    relay.pause = 0.02
    source = Source(standard, relay.url).wait_for_form()
    source.run(OPEN_PICKER)
    source.choose(path)
    source.press("send")
    source.wait_for("sending")
    source.run(PICK)
    told = "A file that you chose too late was not sent."
    wait_until(lambda: told in source.find("status").text)
    assert source.state == "sending"
    relay.pause = 0
    source.wait_for("done")
    assert source.find("status").text == f"Everything has arrived. {told}"
    assert_arrived(site, alice, "", path)


@pytest.mark.parametrize("way", [PICK, DROP], ids=["picked", "dropped"])
def test_a_file_that_comes_when_all_has_arrived_is_said_not_to_be_sent(standard, site, way):
    source = Source(standard, site.url).wait_for_form()
    source.run(OPEN_PICKER)
    source.find("message").send_keys("sent")
    source.press("send")
    source.wait_for("done")
    source.run(way, ["late.txt"])
    wait_until(lambda: "too late was not sent" in source.find("status").text)
    assert source.state == "done"


def test_what_was_too_late_for_one_try_is_not_said_of_the_next(standard, relay, tmp_path):
    relay.pause = 0.02
    source = Source(standard, relay.url).wait_for_form()
    source.choose(noise(tmp_path / "a", 6_000_000))
    source.press("send")
    source.wait_for("sending")
    source.run(DROP, ["late.txt"])
    wait_until(lambda: "too late" in source.find("status").text)
    source.press("cancel")
    source.wait_for("idle")
    assert "too late was not sent" in source.find("status").text
    assert "late.txt" not in source.find("list").text
    source.run(DROP, ["late.txt"])
    wait_until(lambda: "late.txt" in source.find("list").text)
    source.press("send")
    source.wait_for("sending")
    assert "too late" not in source.find("status").text
    source.press("cancel")
    source.wait_for("idle")


def test_who_records_is_told_to_stop_before_choosing(site):
    page = " ".join(site.get("/")[1].decode().partition("</noscript>")[2].split())
    described = re.search(r'id="files-help">(.*?)</p>', page)[1]
    assert "Stop a recording before you choose it" in described


def test_nothing_and_too_much_are_told_before_anything_is_sent(standard, start_site, tmp_path):
    site = start_site(largest_plaintext_bytes=1024 * 1024)
    with Relay(site.port) as relay:
        source = Source(standard, relay.url).wait_for_form()
        source.press("send")
        assert "Write a message or choose a file first" in source.find("problem").text
        source.choose(noise(tmp_path / "a", 1_100_000))
        wait_until(lambda: "more than this site can take" in source.find("problem").text)
        source.press("send")
        assert source.state == "idle"
        assert relay.count("POST") == 0


def test_the_keyboard_alone_is_enough(standard, site, alice):
    source = Source(standard, site.url).wait_for_form()
    source.find("message").send_keys("by keys")
    for _ in range(20):
        strike(standard, TAB)
        if standard.get_active_element().get_attribute("id") == "send":
            break
    strike(standard, ENTER)
    source.wait_for("done")
    assert standard.get_active_element().get_attribute("id") == "after-title"
    assert_arrived(site, alice, "by keys")


@pytest.mark.parametrize("state", ["idle", "sending", "waiting", "paused", "done", "failed"])
def test_axe_finds_no_barrier_in_any_state(standard, relay, recordings, state):
    source = Source(standard, relay.url, "#key=0" if state == "failed" else "")
    wait_until(lambda: source.is_there("status"))
    if state != "failed":
        source.wait_for_form().choose(recordings.photo, recordings.slides, recordings.talk)
        wait_until(lambda: "Looking" not in source.find("list").text)
    if state in ("sending", "paused"):
        relay.pause = 0.1
    if state == "waiting":
        relay.own_answer = lambda line: answer("503 Busy") if line.startswith("POST") else None
    if state not in ("idle", "failed"):
        source.press("send")
    if state == "paused":
        source.wait_for("sending")
        source.press("pause")
    source.wait_for(state)
    assert find_barriers(source) == []


@pytest.mark.parametrize("path", ["key", "safety", "nothing-here"])
def test_axe_finds_no_barrier_on_the_other_pages(standard, site, path):
    assert find_barriers(Source(standard, site.url + path)) == []


@pytest.mark.parametrize("sealing", [True, False])
def test_axe_finds_no_barrier_without_javascript(start_site, sealing):
    """axe-core needs JavaScript: the page is shown as it is without, by a browser that has it."""
    site = start_site(no_script_sealing=sealing)
    page = site.get("/")[1].replace(b"<noscript>", b"<div>").replace(b"</noscript>", b"</div>")
    page = re.sub(rb"<script.*?</script>|<div id=\"place\".*?</div>", b"", page, flags=re.DOTALL)
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nConnection: close\r\n\r\n"
    with (
        Relay(site.port, own_answer=lambda line: head + page if line == "GET / HTTP/1.1" else None) as relay,
        TorBrowser("standard") as browser,
    ):
        assert find_barriers(Source(browser, relay.url)) == []


def test_at_safest_the_ways_are_explained_and_no_id_is_there_twice(start_site):
    for sealing in (True, False):
        site = start_site(no_script_sealing=sealing)
        with TorBrowser("safest") as browser:
            source = Source(browser, site.url)
            text = source.find("main").text
            assert "Security Level" in text
            assert "Privacy and security" in text
            assert "leakdrop-seal" in text
            assert ("sealed when it arrives" in text) == sealing
            assert "not ready to send" not in text
            for name in ("message", "kind"):
                assert len(browser.find_elements("id", name)) == sealing
            for name in ("files", "send"):
                assert len(browser.find_elements("id", name)) == 1


@pytest.mark.parametrize("width", [320, 768, 1280])
def test_nothing_is_cut_off_at_any_width(site, width):
    with TorBrowser("standard", prefs={"privacy.resistFingerprinting.letterboxing": False}) as browser:
        source = Source(browser, site.url).wait_for_form()
        browser.set_window_rect(width=max(width, 500), height=800)
        if width < 500:  # no window of Firefox is as narrow as a phone's
            source.run("document.documentElement.style.width = `${arguments[0]}px`", width)
        assert source.run(
            "return document.documentElement.scrollWidth <= document.documentElement.clientWidth"
        )
