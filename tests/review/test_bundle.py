"""bundle.json, and the folder that it describes."""

import contextlib
import hashlib
import json
import os
import sys
from dataclasses import asdict, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leakdrop.bundle import (
    MAX_SIZE,
    Bundle,
    BundleEntry,
    Comparison,
    compare,
    encode_bundle,
    load_bundle,
    open_regular,
    parse_bundle,
)
from leakdrop.errors import BundleError
from leakdrop.lists import BYTES_PER_VALUE, MAX_LIST
from tests.site import run

NAME = f"{0:032x}.envelope"
FIELDS = {"name": NAME, "size": 263_472, "sha256": "0" * 64, "week": "2026-W47"}
ENTRY = BundleEntry(**FIELDS)
HEX = "0123456789abcdef"

entries = st.builds(
    BundleEntry,
    st.text(HEX, min_size=32, max_size=32).map(lambda digits: f"{digits}.envelope"),
    st.integers(0, MAX_SIZE),
    st.text(HEX, min_size=64, max_size=64),
    st.builds("{:04}-W{:02}".format, st.integers(0, 9999), st.integers(1, 53)),
)


def encode(**changes: object) -> bytes:
    return json.dumps({"format": "leakdrop bundle 1", "envelopes": [{**FIELDS, **changes}]}).encode()


@given(st.lists(entries, unique_by=lambda entry: entry.name))
def test_what_is_written_is_read(found):
    bundle = Bundle(tuple(found))
    assert parse_bundle(encode_bundle(bundle)).entries == tuple(sorted(found, key=lambda entry: entry.name))


def test_a_bundle_is_written_a_line_for_each_envelope():
    assert encode_bundle(Bundle((ENTRY,))).decode() == (
        '{"format":"leakdrop bundle 1","envelopes":[\n'
        f'{{"name":"{NAME}","size":263472,"sha256":"{"0" * 64}","week":"2026-W47"}}\n'
        "]}\n"
    )


def test_white_space_is_free():
    assert parse_bundle(json.dumps(json.loads(encode()), indent=4).encode()) == Bundle((ENTRY,))


WRONG_FIELDS = {
    "a path as name": {"name": f"../{NAME}"},
    "a name with capitals": {"name": f"{'A' * 32}.envelope"},
    "a name that is too short": {"name": "0.envelope"},
    "a name with a line end": {"name": f"{NAME}\n"},
    "a name that is no text": {"name": 1},
    "a size below zero": {"size": -1},
    "a size that JavaScript cannot hold": {"size": 2**53},
    "a size with a point": {"size": 1.0},
    "true as size": {"size": True},
    "a size in quotation marks": {"size": "1"},
    "no size": {"size": None},
    "a sum in capitals": {"sha256": "A" * 64},
    "a sum that is too short": {"sha256": "0" * 63},
    "week 0": {"week": "2026-W00"},
    "week 54": {"week": "2026-W54"},
    "a week in Arabic digits": {"week": "٢٠٢٦-W47"},
    "a time instead of a week": {"week": "2026-11-22T01:00:00Z"},
    "one field more": {"time": 1},
}


@pytest.mark.parametrize("changes", WRONG_FIELDS.values(), ids=WRONG_FIELDS)
def test_a_wrong_field_is_refused(changes):
    with pytest.raises(BundleError, match="envelope 1 "):
        parse_bundle(encode(**changes))


WHOLE = encode()
WRONG_LISTS = {
    "nothing": b"",
    "no JSON": b"{",
    "no UTF-8": b'{"format":"\xff"}',
    "a byte order mark": b"\xef\xbb\xbf" + WHOLE,
    "UTF-16": WHOLE.decode().encode("utf-16"),
    "a list": b"[]",
    "a number": b"1",
    "no format": b'{"envelopes":[]}',
    "another format": b'{"format":"zip","envelopes":[]}',
    "a format that is no text": b'{"format":[],"envelopes":[]}',
    "no envelopes": b'{"format":"leakdrop bundle 1"}',
    "envelopes that are no list": b'{"format":"leakdrop bundle 1","envelopes":{}}',
    "one field more": b'{"format":"leakdrop bundle 1","envelopes":[],"x":1}',
    "a field twice": b'{"format":"leakdrop bundle 1","envelopes":[],"envelopes":[]}',
    "an envelope that is no object": b'{"format":"leakdrop bundle 1","envelopes":[1]}',
    "a field missing": b'{"format":"leakdrop bundle 1","envelopes":[{}]}',
    "depth": b"[" * 200_000,
    "a number of many digits": b"1" * 10_000,
    "not a number": b'{"format":"leakdrop bundle 1","envelopes":[NaN]}',
    "something behind it": WHOLE + b"x",
    "too much of it": b" " * MAX_LIST + WHOLE,
}


@pytest.mark.parametrize("encoded", WRONG_LISTS.values(), ids=WRONG_LISTS)
def test_a_wrong_list_is_refused(encoded):
    with pytest.raises(BundleError):
        parse_bundle(encoded)


SIZE = 16 * 2**20
# The densest that may be: a value for each BYTES_PER_VALUE.
SPARSE = b"%s," + b" " * (2 * BYTES_PER_VALUE - 8)
DENSE = {
    "objects": b"{},",
    "objects with a field": b'{"":0},',
    "lists": b"[],",
    "numbers": b"1.5,",
    "as many objects as may be": SPARSE % b'{"":0}',
}


@pytest.mark.parametrize("value", DENSE.values(), ids=DENSE)
def test_a_list_of_very_many_values_does_not_fill_the_memory(tmp_path, value):
    values = value * (SIZE // len(value))
    encoded = b'{"format":"leakdrop bundle 1","envelopes":[' + values + b"0]}"
    (tmp_path / "bundle.json").write_bytes(encoded)
    source = (
        "import re, sys\nfrom pathlib import Path\nfrom leakdrop.bundle import load_bundle\n"
        "from leakdrop.errors import BundleError\n"
        "peak = lambda: int(re.search('VmHWM:(.*) kB', Path('/proc/self/status').read_text())[1])\n"
        "before = peak()\n"
        "try: load_bundle(Path(sys.argv[1]))\n"
        "except BundleError: print((peak() - before) * 1024)"
    )
    result = run(sys.executable, "-c", source, tmp_path)
    assert int(result.stdout) < 9 * SIZE, result.stderr


def test_the_densest_list_that_is_written_is_read():
    entries = tuple(replace(ENTRY, size=0, name=f"{number:032x}.envelope") for number in range(1000))
    assert parse_bundle(encode_bundle(Bundle(entries))) == Bundle(entries)
    short = [json.dumps(asdict(entry), separators=(",", ":")) for entry in entries]
    one_line = f'{{"format":"leakdrop bundle 1","envelopes":[{",".join(short)}]}}'
    assert parse_bundle(one_line.encode()) == Bundle(entries)


@pytest.mark.parametrize("names", [(1, 0), (0, 0)], ids=["out of order", "twice"])
def test_names_are_in_order_and_stand_once(names):
    envelopes = [{**FIELDS, "name": f"{name:032x}.envelope"} for name in names]
    with pytest.raises(BundleError, match="envelope 2 is not in order"):
        parse_bundle(json.dumps({"format": "leakdrop bundle 1", "envelopes": envelopes}).encode())


def test_a_newer_bundle_asks_for_a_newer_leakdrop():
    with pytest.raises(BundleError, match="newer leakdrop"):
        parse_bundle(b'{"format":"leakdrop bundle 2","drops":[]}')


@given(st.binary())
def test_any_bytes_parse_or_are_refused(encoded):
    with contextlib.suppress(BundleError):
        parse_bundle(encoded)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from([*FIELDS.values()]),
    lambda values: (
        st.lists(values)
        | st.dictionaries(st.sampled_from(["format", "envelopes", *FIELDS]) | st.text(), values)
    ),
)


@given(
    json_values | st.fixed_dictionaries({"format": st.just("leakdrop bundle 1"), "envelopes": json_values})
)
def test_any_json_parses_or_is_refused(value):
    with contextlib.suppress(BundleError):
        parse_bundle(json.dumps(value).encode())


@pytest.fixture
def folder(tmp_path):
    """A folder with one envelope, as bundle.json says."""
    content = b"an envelope"
    (tmp_path / NAME).write_bytes(content)
    entry = BundleEntry(NAME, len(content), hashlib.sha256(content).hexdigest(), "2026-W47")
    (tmp_path / "bundle.json").write_bytes(encode_bundle(Bundle((entry,))))
    return tmp_path


def look(folder, **options) -> Comparison:
    return compare(folder, load_bundle(folder), **options)


def test_a_whole_bundle_is_found_whole(folder):
    (folder / "replies").mkdir()
    assert look(folder, sums=True) == Comparison((), (), ())


def test_a_missing_file_is_found(folder):
    (folder / NAME).unlink()
    assert look(folder) == Comparison((NAME,), (), ())


def test_another_size_is_found(folder):
    (folder / NAME).write_bytes(b"cut")
    assert look(folder) == Comparison((), (NAME,), ())


def test_other_bytes_are_found_if_they_are_summed(folder):
    (folder / NAME).write_bytes(b"AN ENVELOPE")
    assert look(folder) == Comparison((), (), ())
    assert look(folder, sums=True) == Comparison((), (NAME,), ())


def test_what_is_summed_is_told(folder):
    told = []
    look(folder, sums=True, progress=told.append)
    assert sum(told) == len(b"an envelope")


def test_extra_files_are_found(folder):
    (folder / "z.exe").touch()
    (folder / f"{1:032x}.envelope").touch()
    assert look(folder) == Comparison((), (), (f"{1:032x}.envelope", "z.exe"))


@pytest.mark.parametrize("sums", [False, True])
def test_a_link_is_not_followed(folder, tmp_path_factory, sums):
    away = tmp_path_factory.mktemp("away") / "envelope"
    (folder / NAME).rename(away)
    (folder / NAME).symlink_to(away)
    assert look(folder, sums=sums) == Comparison((), (NAME,), ())


def test_a_link_of_the_right_length_is_still_a_link(folder):
    (folder / NAME).rename(folder / "eleven.char")
    (folder / NAME).symlink_to("eleven.char")
    assert (folder / NAME).lstat().st_size == len(b"an envelope")
    assert look(folder) == Comparison((), (NAME,), ("eleven.char",))


def test_a_folder_is_no_envelope(folder):
    (folder / NAME).unlink()
    (folder / NAME).mkdir()
    assert look(folder, sums=True) == Comparison((), (NAME,), ())


def test_a_pipe_is_no_envelope_and_stops_nobody(folder):
    (folder / NAME).unlink()
    os.mkfifo(folder / NAME)
    assert look(folder, sums=True) == Comparison((), (NAME,), ())
    with pytest.raises(BundleError, match="is not a file"):
        open_regular(folder / NAME)


def test_a_list_that_is_a_link_is_refused(folder):
    (folder / "bundle.json").rename(folder / "away")
    (folder / "bundle.json").symlink_to(folder / "away")
    with pytest.raises(BundleError, match="is a link"):
        load_bundle(folder)


def test_a_folder_without_a_list_is_no_bundle(tmp_path):
    with pytest.raises(BundleError, match=r"holds no bundle\.json"):
        load_bundle(tmp_path)
