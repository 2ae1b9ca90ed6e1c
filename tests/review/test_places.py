"""Where nothing is written that was opened: a stick with a bundle, whichever bundle is worked on."""

import pytest

from tests.replies import label_receipt
from tests.review.inboxes import list_tree, seal_bytes, write_bundle

# Each verb that writes what was opened, and the option that says where.
WRITING = {
    "extracted files": ("extract", "-o"),
    "a log of extractions": ("extract", "-o", "{laptop}", "--case"),
    "reports": ("report", "-o"),
    "a log of replies": ("reply", "--received", "--case"),
    "what the viewer extracts": ("view", "--no-browser", "-o"),
    "the viewer's log": ("view", "--no-browser", "--case"),
    "the viewer's notes": ("view", "--no-browser", "--notes"),
}


@pytest.fixture
def copy(reviewer, tmp_path):
    """The reviewers' own copy of a bundle, on the machine's own disk."""
    envelope = seal_bytes([reviewer.public], "m", reply_to=label_receipt("amina").reply_to)
    (path,) = write_bundle(tmp_path / "copy", [envelope])
    return path.parent


@pytest.mark.parametrize("place", [".", "opened", "bundle/opened"])
@pytest.mark.parametrize("words", WRITING.values(), ids=WRITING)
def test_what_was_opened_in_a_copy_does_not_go_onto_a_stick_with_a_bundle(
    review, reviewer, copy, drive, elsewhere, words, place
):
    write_bundle(drive / "bundle", [seal_bytes([reviewer.public], "another")])
    before = list_tree(drive)
    verb, *options = (word.format(laptop=elsewhere / "opened") for word in words)
    # Without a key the viewer, if it is not refused here, is not served for ever.
    key = ["--key", "no.key"] if verb == "view" else reviewer.arguments
    result = review(verb, copy, *options, drive / place, *key)
    assert (result.code, result.out) == (2, "")
    assert f"is where the bundle {drive}/bundle is, and that goes back to the server" in result.err
    assert f"choose another place with {options[-1]}, or add --here." in result.err
    assert list_tree(drive) == before
    assert list_tree(elsewhere) == []
    assert not (copy / "replies").exists()


def test_what_was_opened_of_one_envelope_does_not_go_onto_a_stick_either(
    review, reviewer, copy, drive, tmp_path
):
    (envelope,) = copy.glob("*.envelope")
    alone = envelope.rename(tmp_path / "alone.envelope")
    write_bundle(drive / "bundle", [seal_bytes([reviewer.public], "another")])
    result = review("extract", alone, "-o", drive / "opened", *reviewer.arguments)
    assert (result.code, (drive / "opened").exists()) == (2, False)


def test_with_here_the_reviewer_decides(review, reviewer, copy, drive):
    """A disk of the reviewers' own may hold their copies, too."""
    write_bundle(drive / "bundle", [seal_bytes([reviewer.public], "another")])
    assert review("extract", copy, "-o", drive / "opened", "--here", *reviewer.arguments).code == 0
    assert list((drive / "opened").rglob("message.txt"))


def test_a_stick_without_a_bundle_is_written_to(review, reviewer, copy, drive):
    assert review("extract", copy, "-o", drive / "opened", *reviewer.arguments).code == 0
