"""What somebody sees who watches a source's network: sizes tell a class, and nothing of what was written."""

import hashlib
import http.client
import importlib.util
import io

import pytest

from leakdrop.envelope.index import encode_base64url
from leakdrop.envelope.keys import derive_key_pair, hkdf
from leakdrop.envelope.sealing import seal
from tests.keys import label_root, public_key_file
from tests.recorder import Recorder
from tests.site import encode_form, leakdrop, make_test_site
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


def ask_for_replies(recorder: Recorder, root: bytes):
    """What is seen of a question for replies by the source with this root."""
    token = hkdf(root, b"", b"leakdrop/1 token", 32)
    body, content_type = encode_form([("token", encode_base64url(token))])
    connection = http.client.HTTPConnection("127.0.0.1", recorder.port_here)
    connection.request("POST", "/replies", body, {"Content-Type": content_type})
    assert connection.getresponse().read()
    connection.close()
    return recorder.take().exchanges


def bring_replies(site, stick, root: bytes, count: int) -> None:
    """Replies come on a stick, as reviewers write them."""
    (stick / "replies").mkdir(parents=True)
    mailbox = hashlib.sha256(b"leakdrop/1 mailbox" + hkdf(root, b"", b"leakdrop/1 token", 32)).hexdigest()
    for number in range(count):
        sink = io.BytesIO()
        seal([derive_key_pair(root).public], sink, sealed="review", message="Thank you. " * 1_000 * number)
        name = f"{mailbox}.{hashlib.sha256(sink.getvalue()).hexdigest()[:32]}.envelope"
        (stick / "replies" / name).write_bytes(sink.getvalue())
    done = leakdrop("import", stick, "--config", site.config)
    assert done.returncode == 0, done.stderr


if importlib.util.find_spec("leakdrop.intake.replies"):

    def test_up_to_three_replies_look_like_none(tmp_path):
        site = make_test_site(tmp_path / "site", [public_key_file("alice")])
        site.start()
        try:
            with Recorder(site.port) as recorder:
                roots = {count: label_root(f"source {count}") for count in (0, 1, 3, 4)}
                for count, root in roots.items():
                    bring_replies(site, tmp_path / str(count), root, count)
                shapes = {count: ask_for_replies(recorder, root) for count, root in roots.items()}
        finally:
            site.stop()
        assert shapes[0] == shapes[1] == shapes[3]
        assert shapes[4] != shapes[0]
