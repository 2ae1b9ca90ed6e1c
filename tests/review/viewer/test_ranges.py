"""Which bytes are asked for: the examples of RFC 9110, section 14, and what a hostile client adds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leakdrop.review.viewer.ranges import NoSuchRangeError, choose_range

SIZE = 10_000
RANGES = {
    "the first 500": ("bytes=0-499", range(500)),
    "the second 500": ("bytes=500-999", range(500, 1000)),
    "the last 500": ("bytes=-500", range(9500, 10_000)),
    "from 9500": ("bytes=9500-", range(9500, 10_000)),
    "one byte": ("bytes=0-0", range(1)),
    "the last byte": ("bytes=9999-9999", range(9999, 10_000)),
    "beyond the end": ("bytes=9000-20000", range(9000, 10_000)),
    "more than all from the end": ("bytes=-20000", range(10_000)),
    "a unit in capitals": ("BYTES=1-2", range(1, 3)),
    "nineteen digits": ("bytes=0-9999999999999999999", range(10_000)),
}
WHOLE = {
    "no range": None,
    "backwards": "bytes=2-1",
    "several": "bytes=0-1,5-6",
    "another unit": "seconds=0-1",
    "nothing": "bytes=",
    "only a dash": "bytes=-",
    "a sign": "bytes=+1-2",
    "a second dash": "bytes=--1",
    "letters": "bytes=a-b",
    "digits of another script": "bytes=٠-٩",
    "more digits than any file has": "bytes=0-" + "9" * 5000,
}
NONE = {"from the end on": "bytes=10000-", "far beyond": "bytes=20000-20001", "the last none": "bytes=-0"}


@pytest.mark.parametrize(("asked", "expected"), RANGES.values(), ids=RANGES)
def test_a_range_is_answered(asked, expected):
    assert choose_range(asked, None, SIZE) == expected


@pytest.mark.parametrize("asked", WHOLE.values(), ids=WHOLE)
def test_all_bytes_answer_what_is_no_single_range(asked):
    assert choose_range(asked, None, SIZE) is None


@pytest.mark.parametrize("asked", NONE.values(), ids=NONE)
def test_a_range_without_bytes_is_refused(asked):
    with pytest.raises(NoSuchRangeError):
        choose_range(asked, None, SIZE)


@pytest.mark.parametrize("asked", ["bytes=0-", "bytes=0-0", "bytes=-1"])
def test_an_empty_file_has_no_range(asked):
    with pytest.raises(NoSuchRangeError):
        choose_range(asked, None, 0)


def test_if_range_never_matches_and_gets_all():
    assert choose_range("bytes=0-1", '"etag"', SIZE) is None


@given(
    st.one_of(st.none(), st.text(), st.from_regex(r"bytes=[0-9]{0,25}-[0-9]{0,25}")), st.integers(0, 2**53)
)
def test_any_field_gives_bytes_of_the_file_or_none(asked, size):
    try:
        chosen = choose_range(asked, None, size)
    except NoSuchRangeError:
        return
    assert chosen is None or 0 <= chosen.start < chosen.stop <= size
