"""The receipt on the page that sends: shown, copied by hand, asked for, and never anywhere else."""

import re

import pytest

from leakdrop.envelope.receipt import Receipt, derive_receipt
from leakdrop.intake.words import decode_words, encode_words
from tests.intake.source import Source, find_barriers
from tests.intake.wire import Relay, answer
from tests.site import wait_until

pytestmark = pytest.mark.needs("firefox-esr")

EARLIER = encode_words(bytes(range(16)))
ENTER, TAB, BACKSPACE = "\ue007", "\ue004", "\ue003"


def send(source: Source, message: str = "hello") -> Source:
    source.wait_for_form().find("message").send_keys(message)
    source.press("send")
    return source


def read_words(source: Source) -> list[str]:
    """The words that the page shows now."""
    return [item.text for item in source.browser.find_elements("css selector", "#receipt #words li")]


def receipt_of(words: list[str]) -> Receipt:
    return derive_receipt(decode_words(" ".join(words)))


def state_of(source: Source) -> str | None:
    return source.find("receipt").get_attribute("data-state")


def asked(source: Source) -> list[int]:
    return [int(source.find(name).text) for name in ("first-number", "second-number")]


def give(source: Source, *answers: str) -> None:
    for name, text in zip(("first-answer", "second-answer"), answers, strict=True):
        source.find(name).clear()
        source.find(name).send_keys(text)
    source.press("check")


def hold(relay: Relay) -> None:
    """No upload begins before `let_go`."""
    relay.own_answer = lambda line: answer("503 Busy") if line.startswith("POST /uploads") else None


def let_go(relay: Relay) -> None:
    relay.own_answer = lambda _: None


def hidden_from(source: Source, words: list[str]) -> bool:
    """Whether the document holds none of the words, in a text or in a field."""
    text = source.browser.page_source + source.run(
        "return [...document.querySelectorAll('input, textarea')].map((field) => field.value).join(' ')"
    )
    # A page may use a word of the list by itself: all twelve are there only if the receipt is.
    return not set(words) <= set(re.findall("[a-z]+", text))


def test_twelve_words_are_shown_while_the_upload_runs_and_their_mailbox_is_sealed(
    each_browser, site, relay, alice
):
    hold(relay)
    source = send(Source(each_browser, relay.url))
    source.wait_for("waiting", "sending")
    words = read_words(source)
    assert len(words) == 12
    assert source.state in ("waiting", "sending")
    let_go(relay)
    source.wait_for("done")
    assert read_words(source) == words
    assert site.open_only(alice).index.reply_to == receipt_of(words).reply_to
    assert source.run("return [localStorage.length, sessionStorage.length, document.cookie]") == [0, 0, ""]
    for line in ("POST /replies", "GET /replies"):
        assert not any(line in asked for asked in relay.lines)
    for word in (" ".join(words), receipt_of(words).token.hex(), "".join(words)):
        assert word.encode() not in relay.sent


def test_every_visit_has_words_of_its_own(standard, site):
    seen = []
    for _ in range(3):
        source = send(Source(standard, site.url))
        source.wait_for("done")
        seen.append(tuple(read_words(source)))
    assert len(set(seen)) == 3


def test_two_of_the_words_are_asked_for_before_the_page_lets_go(standard, site):
    source = send(Source(standard, site.url))
    source.wait_for("done")
    words = read_words(source)
    source.press("copied")
    assert hidden_from(source, words)
    first, second = asked(source)
    assert first < second
    assert not source.find("next").is_displayed()
    give(source, f" {words[first - 1].upper()} ", words[second - 1])
    assert state_of(source) == "kept"
    assert source.find("next").is_displayed()
    assert source.state == "done"
    assert hidden_from(source, words)


def test_each_pair_of_words_may_be_asked_for(standard, site):
    source = send(Source(standard, site.url))
    source.wait_for("done")
    pairs = source.run("""
        const pairs = [];
        const numbers = ["first-number", "second-number"].map((id) => document.getElementById(id));
        for (let i = 0; i < 400; i += 1) {
            document.getElementById("copied").click();
            pairs.push(numbers.map((number) => Number(number.textContent)));
            document.getElementById("look-again").click();
        }
        return pairs;
    """)
    assert len(set(map(tuple, pairs))) > 50
    assert {number for pair in pairs for number in pair} == set(range(1, 13))
    assert all(first < second for first, second in pairs)


@pytest.mark.parametrize("mistake", ["another-word", "nothing", "two-words", "swapped"])
def test_a_wrong_word_is_told_kindly_and_the_words_can_be_looked_at_again(standard, site, mistake):
    source = send(Source(standard, site.url))
    source.wait_for("done")
    words = read_words(source)
    source.press("copied")
    while len({words[number - 1] for number in asked(source)}) == 1:  # a receipt may hold a word twice
        source.press("look-again")
        source.press("copied")
    first, second = (words[number - 1] for number in asked(source))
    other = next(word for word in EARLIER if word not in (first, second))
    wrong = {"another-word": (first, other), "nothing": ("", ""), "two-words": (f"{first} {other}", second)}
    give(source, *wrong.get(mistake, (second, first)))
    assert state_of(source) == "question"
    one, two = asked(source)
    beginning = {"another-word": f"Word {two} was another one", "two-words": f"Word {one} was another one"}
    assert source.find("wrong-answer").text == (
        f"{beginning.get(mistake, f'Words {one} and {two} were other ones')} here. That happens easily. "
        "Look at the words again, and compare each with your copy."
    )
    source.press("look-again")
    assert read_words(source) == words
    source.press("copied")
    assert source.find("wrong-answer").text == ""
    give(source, *(words[number - 1] for number in asked(source)))
    assert state_of(source) == "kept"


@pytest.mark.parametrize("way", ["without", "without-answer"])
def test_the_words_can_be_left_after_a_plain_statement_of_what_is_lost(standard, site, way):
    source = send(Source(standard, site.url))
    source.wait_for("done")
    words = read_words(source)
    if way == "without-answer":
        source.press("copied")
    source.press(way)
    assert "cannot read what the reviewers answer" in source.find("receipt").text
    source.press("stay")
    assert read_words(source) == words
    source.press("without")
    source.press("leave")
    assert state_of(source) == "left"
    assert source.find("next").is_displayed()
    assert "has forgotten them" in source.find("receipt").text
    assert hidden_from(source, words)


def test_the_question_can_be_answered_while_the_upload_runs_and_is_not_asked_again(standard, site, relay):
    hold(relay)
    source = send(Source(standard, relay.url))
    source.wait_for("waiting", "sending")
    words = read_words(source)
    source.press("copied")
    give(source, *(words[number - 1] for number in asked(source)))
    assert state_of(source) == "kept"
    assert "Come back" not in source.find("receipt").text
    assert "cross them out" in source.find("receipt").text
    let_go(relay)
    source.wait_for("done")
    assert state_of(source) == "kept"
    assert "Come back" in source.find("receipt").text
    assert "cross them out" not in source.find("receipt").text
    assert source.find("next").is_displayed()


def test_before_all_has_arrived_no_word_is_said_to_hold_or_to_be_forgotten(standard, site, relay):
    hold(relay)
    source = send(Source(standard, relay.url))
    source.wait_for("waiting", "sending")
    assert "only when this page says that all has arrived" in source.find("receipt").text
    source.press("without")
    source.press("leave")
    assert "has forgotten" not in source.find("receipt").text
    source.press("cancel")
    source.wait_for("idle")
    assert "cross them out" in source.find("status").text
    let_go(relay)
    source.press("send")
    source.wait_for("done")
    assert "only when this page says" not in source.find("receipt").text


def test_the_end_of_the_upload_does_not_take_the_keyboard_away_from_an_answer(standard, site, relay):
    hold(relay)
    source = send(Source(standard, relay.url))
    source.wait_for("waiting", "sending")
    source.press("copied")
    source.find("second-answer").send_keys("half a wo")
    let_go(relay)
    source.wait_for("done")
    assert source.browser.get_active_element().get_attribute("id") == "second-answer"
    assert source.find("second-answer").get_property("value") == "half a wo"


def test_after_a_cancelled_upload_the_words_are_still_the_same(standard, site, relay, alice):
    hold(relay)
    source = send(Source(standard, relay.url))
    source.wait_for("waiting", "sending")
    words = read_words(source)
    source.press("without")
    source.press("leave")
    source.press("cancel")
    source.wait_for("idle")
    assert not source.find("receipt").is_displayed()
    let_go(relay)
    source.press("send")
    source.wait_for("done")
    assert read_words(source) == words
    assert site.open_only(alice).index.reply_to == receipt_of(words).reply_to


def test_leaving_before_the_words_are_settled_is_asked_about(standard, site):
    source = send(Source(standard, site.url))
    source.wait_for("done")
    asks = "return !window.dispatchEvent(new Event('beforeunload', { cancelable: true }));"
    assert source.run(asks)
    source.press("without")
    source.press("leave")
    assert not source.run(asks)


def test_leaving_the_page_empties_the_words_and_what_was_typed_of_them(standard, site, relay):
    hold(relay)
    source = send(Source(standard, relay.url))
    source.wait_for("waiting", "sending")
    words = read_words(source)
    source.run("window.dispatchEvent(new Event('pagehide'))")
    assert read_words(source) == []
    assert hidden_from(source, words)
    source = Source(standard, relay.url).wait_for_form()
    source.browser.find_element("css selector", "summary").click()
    source.find("earlier").send_keys(" ".join(EARLIER))
    source.run("window.dispatchEvent(new Event('pagehide'))")
    assert source.find("earlier").get_property("value") == ""


def test_after_back_no_word_is_there(standard, site):
    source = send(Source(standard, site.url))
    source.wait_for("done")
    words = read_words(source)
    standard.navigate(f"{site.url}key")
    standard.go_back()
    source.wait_for_form()
    assert hidden_from(source, words)


def test_what_is_added_goes_under_the_words_from_before_and_asks_for_nothing(
    each_browser, site, relay, alice
):
    source = Source(each_browser, relay.url).wait_for_form()
    asked_before = len(relay.lines)
    source.browser.find_element("css selector", "summary").click()
    copied = "\n".join(f"{number}. {word.title()}" for number, word in enumerate(EARLIER, 1))
    source.find("earlier").send_keys(copied)
    assert "fit together" in source.find("earlier-state").text
    assert len(relay.lines) == asked_before
    send(source, "more")
    source.wait_for("done")
    assert state_of(source) == "earlier"
    assert read_words(source) == []
    assert source.find("next").is_displayed()
    assert site.open_only(alice).index.reply_to == receipt_of(EARLIER).reply_to
    later = [line.split()[:2] for line in relay.lines[asked_before:]]
    assert all(path.startswith("/uploads") for _, path in later)
    assert source.run("return document.querySelector('#earlier') === null")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (EARLIER[:11], "These are 11 words: a receipt has twelve."),
        ([*EARLIER, "zoo"], "13 words"),
        (
            [*EARLIER[:5], "abandn", *EARLIER[6:]],
            "Word 6, “abandn”, is not on the list of words. Is it “abandon”?",
        ),
        ([*EARLIER[1:], EARLIER[0]], "do not fit together"),
    ],
    ids=["eleven", "thirteen", "misspelt", "another-order"],
)
def test_wrong_words_from_before_send_nothing(standard, relay, words, told):
    source = Source(standard, relay.url).wait_for_form()
    source.browser.find_element("css selector", "summary").click()
    source.find("earlier").send_keys(" ".join(words))
    send(source)
    wait_until(lambda: "Correct your twelve words" in source.find("problem").text)
    assert told in source.find("earlier-state").text
    assert source.state == "idle"
    assert relay.count("POST") == 0


def test_the_keyboard_alone_is_enough_for_the_words(standard, site):
    source = send(Source(standard, site.url))
    source.wait_for("done")
    words = read_words(source)

    def strike(*keys: str) -> None:
        for key in keys:
            standard.actions.sequence("key", "keyboard").key_down(key).key_up(key).perform()

    def active() -> str | None:
        return standard.get_active_element().get_attribute("id")

    assert active() == "after-title"
    strike(TAB)
    assert active() == "copied"
    strike(ENTER)
    assert active() == "receipt-question"
    strike(TAB)
    first, second = asked(source)
    strike(*words[first - 1], TAB, *"qqq", ENTER)
    assert active() == "second-answer"
    strike(*BACKSPACE * len("qqq"), *words[second - 1], ENTER)
    assert active() == "receipt-kept"


@pytest.mark.parametrize(
    "state", ["words", "question", "wrong", "leaving", "kept", "left", "earlier", "typed"]
)
def test_axe_finds_no_barrier_in_any_state_of_the_words(standard, site, state):
    source = Source(standard, site.url).wait_for_form()
    if state in ("earlier", "typed"):
        source.browser.find_element("css selector", "summary").click()
        source.find("earlier").send_keys(" ".join(EARLIER) if state == "earlier" else "no such words")
    if state != "typed":
        send(source)
        source.wait_for("done")
    words = read_words(source)
    if state in ("question", "wrong", "kept"):
        source.press("copied")
    if state == "wrong":
        give(source, "not", "these")
    if state == "kept":
        give(source, *(words[number - 1] for number in asked(source)))
    if state in ("leaving", "left"):
        source.press("without")
    if state == "left":
        source.press("leave")
    assert find_barriers(source) == []
