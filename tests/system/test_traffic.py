"""What somebody sees who watches a source's network: sizes tell a class, and nothing of what was written."""

import pytest

from tests.recorder import Recorder
from tests.torbrowser import TorBrowser
from tests.visits import MIB, Visitor, noise, read, send

pytestmark = pytest.mark.needs("firefox-esr")


@pytest.fixture(scope="module")
def visitor(shared_site):
    with TorBrowser("standard") as browser, Recorder(shared_site.port) as recorder:
        visitor = Visitor(browser, recorder)
        visitor.visit(read(""))  # the first one asks for what Firefox keeps later
        yield visitor


def test_submissions_of_a_message_alone_look_alike(visitor):
    messages = {
        "short": send("x"),
        "long": send("What I heard. " * 15_000),
        "in Urdu, of another kind": send("ورکشاپ کی ریکارڈنگ " * 3_000, kind=2),
    }
    shapes = [visitor.visit(act).exchanges for act in messages.values()]
    assert shapes[0] == shapes[1] == shapes[2]
    assert sum(up for up, _ in shapes[0]) > 262_144


def test_one_file_and_many_of_the_same_size_together_look_alike(visitor, tmp_path):
    one = send("m", noise(tmp_path / "a.bin", 300_000))
    many = send("", *(noise(tmp_path / f"{number}.bin", 60_000) for number in range(5)))
    assert visitor.visit(one).exchanges == visitor.visit(many).exchanges


def test_a_page_that_is_read_looks_the_same_each_time(visitor):
    first, second = (visitor.visit(read("safety")).exchanges for _ in range(2))
    assert first == second


def test_what_is_larger_by_a_class_can_be_told(visitor, tmp_path):
    """The recorder sees differences: else all that looks alike above would say nothing."""
    small, large = (visitor.visit(send("", noise(tmp_path / "a.bin", size))) for size in (MIB, 2 * MIB))
    assert large.up - small.up > MIB / 2
