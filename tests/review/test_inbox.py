"""What is summed is what was opened."""

import hashlib
import os

from leakdrop.review.inbox import EnvelopeFile, Item, open_item, read_all
from leakdrop.review.summing import Summing
from tests.keys import label_key_pair
from tests.review.inboxes import seal_bytes


def test_the_sum_is_that_of_the_whole_file(tmp_path):
    sealed = seal_bytes([label_key_pair("alice").public], "m", [("a", os.urandom(2_000_000))])
    (tmp_path / "x.envelope").write_bytes(sealed)
    with open_item(Item(tmp_path / "x.envelope"), [label_key_pair("alice")]) as (source, envelope):
        for _ in read_all(envelope, source):
            pass
        assert source.finish_sum() == (len(sealed), hashlib.sha256(sealed).hexdigest())


def test_every_byte_is_told_to_the_progress(tmp_path):
    sealed = seal_bytes([label_key_pair("alice").public], "m", [("a", os.urandom(2_000_000))])
    (tmp_path / "x.envelope").write_bytes(sealed)
    told = []
    with open_item(Item(tmp_path / "x.envelope"), [label_key_pair("alice")]) as (source, envelope):
        for _ in read_all(envelope, source, told.append):
            pass
        assert sum(told) == envelope.length


def test_what_is_read_out_of_order_is_not_summed(tmp_path):
    content = os.urandom(1000)
    (tmp_path / "file").write_bytes(content)
    with (tmp_path / "file").open("rb") as file, Summing() as summing:
        source = EnvelopeFile(tmp_path / "file", file, summing)
        source.begin_sum(content[:100])
        for offset, size in ((500, 50), (100, 400), (0, 100), (500, 500)):
            source.seek(offset)
            source.readinto(memoryview(bytearray(size)))
        assert source.finish_sum() == (1000, hashlib.sha256(content).hexdigest())
