"""The whole way of a reply at every level, over a private Tor network, and what the server learns of it.

Between Tor and the site stands a relay, which keeps all that the site is sent, and the number that Tor gives
each circuit.
"""

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import pytest

from leakdrop.envelope.index import encode_base64url
from leakdrop.envelope.receipt import Receipt
from leakdrop.intake.words import decode_words
from tests.intake.wire import Relay
from tests.system.test_replies import assert_no_link, find_marks, secrets_of, spellings
from tests.system.test_reply_visits import WholeWay, wait_for
from tests.torbrowser import TorBrowser
from tests.tornet import PrivateTorNetwork, TorNetworkError

pytestmark = pytest.mark.needs("tor", "firefox-esr")

SENDING = re.compile(r"^POST /(uploads|submit)", re.MULTILINE)
ASKING = re.compile(r"^POST /replies", re.MULTILINE)


@dataclass(frozen=True)
class Visit:
    """One visit at a level, as the site sees it: request lines, circuits, and every byte that it was sent."""

    level: str
    lines: str
    circuits: frozenset[bytes]
    sent: bytes

    @property
    def sends(self) -> bool:
        return SENDING.search(self.lines) is not None

    @property
    def asks(self) -> bool:
        return ASKING.search(self.lines) is not None


class Visitors:
    """One browser at each level; each visit begins on an empty page and by a circuit of its own."""

    def __init__(self, net: PrivateTorNetwork, relay: Relay, browsers: ExitStack) -> None:
        self.net, self.relay = net, relay
        self.open = cache(lambda level: browsers.enter_context(TorBrowser(level, socks_port=net.socks_port)))
        self.visits: list[Visit] = []

    @contextmanager
    def visit(self, level: str) -> Iterator:
        browser = self.open(level)
        browser.navigate("about:blank")
        # What New Identity does; its signal to tor is taken once in ten seconds only.
        for circuit in self.net.circuits_to_the_onion():
            with suppress(TorNetworkError):  # it has closed by itself
                self.net.control("client", f"CLOSECIRCUIT {circuit}")
        for heard in (self.relay.lines, self.relay.circuits, self.relay.sent):
            heard.clear()
        yield browser
        browser.navigate("about:blank")
        heard = "\n".join(self.relay.lines), frozenset(self.relay.circuits), bytes(self.relay.sent)
        self.visits.append(Visit(level, *heard))


def find_words(words: str, sent: bytes) -> bool:
    """Whether words that follow one another in a receipt do so in these bytes, whatever stands between."""
    return any(
        re.search(f"{one}.{{0,6}}{other}".encode(), sent, re.IGNORECASE | re.DOTALL)
        for one, other in pairwise(words.split())
    )


def assert_nothing_was_told(visit: Visit, words: str, receipt: Receipt) -> None:
    """No visit tells the site a word, a key or a mailbox, and only one that asks tells it a token."""
    if visit.level == "safest" and visit.asks:
        return  # the operator has allowed it, and the page has said so
    assert not find_words(words, visit.sent)
    token = encode_base64url(receipt.token).encode()
    kept = {*secrets_of(receipt), *spellings(receipt.mailbox), *spellings(decode_words(words))}
    assert not any(mark in visit.sent for mark in kept - {token})
    assert visit.asks or token not in visit.sent


def test_at_every_level_a_source_goes_the_whole_way_over_tor_and_the_server_learns_no_word_and_no_link(
    start_site, tmp_path
):
    site = start_site()
    with (
        Relay(site.port) as relay,
        PrivateTorNetwork(
            tmp_path / "tor", relay.port_here, ("HiddenServiceExportCircuitID haproxy",)
        ) as net,
        ExitStack() as browsers,
    ):
        visitors = Visitors(net, relay, browsers)
        way = WholeWay(site, f"http://{net.onion}/", visitors.visit, tmp_path)
        with visitors.visit("safest") as browser:
            browser.navigate(f"{way.url}replies")
            wait_for(browser, "noscript section")
            assert "Switch to “Safer”" in browser.find_element("id", "main").text
            assert not browser.find_elements("css selector", "textarea, input, button")
        with site.config.open("a") as config:
            config.write("no_script_replies = true\n")
        site.stop()
        site.start()

        def mailboxes() -> list[bytes]:
            return [mark for receipt in way.receipts.values() for mark in spellings(receipt.mailbox)]

        way.send()
        assert find_marks(site, mailboxes()) == []
        way.answer()
        assert_no_link(site, [path.stem for path in site.envelopes()], list(way.receipts.values()))
        way.read()
        way.add()
        receipts = way.receipts.values()
        secrets = [mark for receipt in receipts for mark in secrets_of(receipt)]
        words = [text.encode() for text in way.words.values()]
        assert find_marks(site, [*mailboxes(), *secrets, *words]) == []
        assert_no_link(site, [path.stem for path in site.envelopes()], [])
    site.stop()
    assert site.log.read_text() == ""

    visits = visitors.visits
    assert {(visit.level, visit.sends, visit.asks) for visit in visits} == {
        *((level, True, False) for level in ("standard", "safer", "safest")),
        *((level, False, True) for level in ("standard", "safer", "safest")),
        ("safest", False, False),
    }
    circuits = [circuit for visit in visits for circuit in visit.circuits]
    assert len(circuits) == len(set(circuits)), "two visits shared a circuit"
    assert all(visit.circuits for visit in visits)
    for visit in visits:
        for level, receipt in way.receipts.items():
            assert_nothing_was_told(visit, way.words[level], receipt)
    # The search can fail: at Safest, where the operator has allowed it, the words are sent.
    assert sum(find_words(way.words["safest"], visit.sent) for visit in visits) == 2
