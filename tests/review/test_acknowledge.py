"""`acknowledge`: what the reviewers hold, and never what only passes by."""

import shutil
from dataclasses import replace

import pytest

from leakdrop.acknowledgement import load_acknowledgement
from leakdrop.bundle import Bundle, encode_bundle, load_bundle
from tests.keys import label_key_pair
from tests.review.inboxes import flip, list_tree, seal_bytes, write_bundle


@pytest.fixture
def stick(tmp_path):
    public = label_key_pair("Reviewers").public
    write_bundle(tmp_path / "stick", [seal_bytes([public], str(number)) for number in range(3)])
    return tmp_path / "stick"


@pytest.fixture
def copy(stick, elsewhere):
    """The bundle as it was copied to the laptop's disk."""
    return shutil.copytree(stick, elsewhere / "copy")


def test_what_the_copy_holds_whole_is_acknowledged_on_the_stick(review, stick, copy):
    missing, changed, whole = sorted(copy.glob("*.envelope"))
    missing.unlink()
    changed.write_bytes(flip(changed.read_bytes(), 9000))
    result = review("acknowledge", copy, "-o", stick)
    assert (result.code, result.err) == (
        1,
        "WARNING: 2 envelopes missing or damaged here, and not acknowledged.\n",
    )
    assert result.out.startswith(f"1 envelope acknowledged in {stick}/acknowledged.json.\nKeep {copy}: ")
    assert [one.name for one in load_acknowledgement(stick)] == [whole.name]
    assert not (copy / "acknowledged.json").exists()


def test_acknowledging_again_replaces_what_was_said_before(review, stick, copy):
    assert review("acknowledge", copy, "-o", stick).code == 0
    next(copy.glob("*.envelope")).unlink()
    assert review("acknowledge", copy, "-o", stick).code == 1
    assert len(load_acknowledgement(stick)) == 2


def test_what_the_copy_has_beside_envelopes_is_told(review, stick, copy):
    """As when the bundle was copied a second time, and came to lie in the first copy."""
    shutil.copytree(stick, copy / "stick")
    result = review("acknowledge", copy, "-o", stick)
    assert (result.code, result.err) == (
        0,
        f"Note: Not named in {copy}/bundle.json, and not acknowledged: stick.\n",
    )


def test_what_came_onto_the_stick_after_the_copy_was_made_is_told(review, stick, copy, tmp_path):
    (new,) = write_bundle(tmp_path / "later", [seal_bytes([label_key_pair("Reviewers").public], "later")])
    entries = [*load_bundle(stick).entries, *load_bundle(new.parent).entries]
    new.rename(stick / new.name)
    (stick / "bundle.json").write_bytes(
        encode_bundle(Bundle(tuple(sorted(entries, key=lambda one: one.name))))
    )
    result = review("acknowledge", copy, "-o", stick)
    assert (result.code, len(load_acknowledgement(stick))) == (1, 3)
    assert result.err == (
        f"WARNING: {copy} is not a copy of all that is in {stick}. Not acknowledged: {new.name}. "
        "Copy the bundle again.\n"
    )


def test_an_envelope_of_the_same_name_and_another_sum_on_the_stick_is_not_held(review, stick, copy):
    *kept, changed = load_bundle(stick).entries
    other = replace(changed, sha256="0" * 64)
    (stick / "bundle.json").write_bytes(encode_bundle(Bundle((*kept, other))))
    result = review("acknowledge", copy, "-o", stick)
    assert (result.code, f"Not acknowledged: {changed.name}." in result.err) == (1, True)


def test_a_stick_whose_list_is_damaged_is_told(review, stick, copy):
    (stick / "bundle.json").write_text("{")
    result = review("acknowledge", copy, "-o", stick)
    assert result.code == 1
    assert result.err.startswith("WARNING: What is acknowledged was not compared with the stick. ")
    assert len(load_acknowledgement(stick)) == 3


def test_what_lies_on_the_stick_alone_is_not_acknowledged(review, stick):
    before = list_tree(stick)
    result = review("acknowledge", stick, "-o", stick)
    assert (result.code, result.out) == (2, "")
    assert "What lies on the stick alone is not yours yet: copy the bundle to the laptop" in result.err
    assert list_tree(stick) == before
    assert review("acknowledge", stick).code == 2, "nothing is written where nobody asked for it"
    assert list_tree(stick) == before


def test_a_copy_that_stays_can_be_on_the_disk_that_is_written_to(review, stick):
    assert review("acknowledge", stick, "-o", stick, "--here").code == 0
    assert len(load_acknowledgement(stick)) == 3


def test_a_stick_that_is_not_there_is_told_by_its_name(review, copy, tmp_path):
    result = review("acknowledge", copy, "-o", tmp_path / "nowhere")
    assert result.code == 2
    assert result.err == f"leakdrop-review: {tmp_path}/nowhere is not a folder: is the stick in?\n"


def test_a_stick_that_cannot_be_written_is_told_by_the_file_that_was_asked_for(review, stick, copy):
    (stick / "acknowledged.json").mkdir()
    result = review("acknowledge", copy, "-o", stick)
    assert (result.code, result.err) == (
        1,
        f"leakdrop-review: {stick}/acknowledged.json: Is a directory.\n",
    )
    assert [name for name in list_tree(stick) if "partial" in name] == []
