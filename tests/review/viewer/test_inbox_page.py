"""The inbox: what there is, what is not as it should be, and who else can read it."""

import hashlib
import json
import re

import pytest

from leakdrop.bundle import Bundle, encode_bundle, load_bundle
from leakdrop.envelope.index import Index, ReplyTo, encode_base64url, encode_index
from leakdrop.envelope.padding import PIECE
from leakdrop.review.viewer.pages import PER_PAGE
from tests.keys import label_key_pair
from tests.review.inboxes import (
    WEEK,
    flip,
    list_tree,
    seal_bytes,
    seal_plaintext,
    seal_twins,
    write_bundle,
)
from tests.review.viewing import number_of, parse
from tests.site import wait_until


def test_each_envelope_is_told(view, reviewer):
    viewer = view(seal_bytes([reviewer.public], "I was told\nto report", [("a", b"a")], kind="WRAP training"))
    text = viewer.ask().text
    for words in (WEEK, "257.3 KiB", "I was told to report", "a message and 1 file", "WRAP training"):
        assert words in text
    assert "sealed in a browser (claim)" in text


def test_one_envelope_alone_is_an_inbox_too(start_viewer, reviewer, tmp_path):
    (tmp_path / "talk.envelope").write_bytes(seal_bytes([reviewer.public], "hello"))
    viewer = start_viewer(tmp_path / "talk.envelope")
    assert "talk.envelope" in viewer.ask().text
    assert "hello" in viewer.ask("0/").text


def test_everybody_who_can_read_it_is_named(view, reviewer, colleague, tmp_path):
    viewer = view(
        seal_bytes([reviewer.public, colleague.public], "both"),
        words=("--known", colleague.secret.parent),
    )
    assert "that you do not know" not in viewer.ask().text
    text = viewer.ask("0/").text
    for key in (reviewer, colleague):
        assert f"{key.label} ({key.public.key_id.hex()})" in text
    assert "that you do not know" not in text


def test_a_key_that_nobody_knows_is_told_loudly(view, reviewer, colleague, tmp_path):
    viewer = view(
        seal_bytes([reviewer.public, colleague.public], "both"), seal_bytes([reviewer.public], "mine")
    )
    page = parse(viewer.ask().body)
    (notice,) = [found for found in page.iter("section") if "loud" in found.get("class", "")]
    told = "".join(notice.itertext())
    assert "Also sealed to a key that you do not know" in told
    assert colleague.public.key_id.hex() in told
    both, mine = sorted((tmp_path / "stick").glob("*.envelope"), key=lambda path: -path.stat().st_size)
    assert both.name[:8] in told
    assert mine.name[:8] not in told
    assert "Also sealed to a key" in viewer.ask(f"{number_of(viewer, both)}/").text
    assert "Also sealed to a key" not in viewer.ask(f"{number_of(viewer, mine)}/").text


def test_an_envelope_for_another_reviewer_alone_names_who_can_open_it(view, colleague, reviewer):
    viewer = view(seal_bytes([colleague.public], "x"), words=("--known", colleague.secret.parent))
    assert "1 envelope, 0 new" in viewer.ask().text
    assert "1 envelope cannot be opened here" in viewer.ask().text
    text = viewer.ask("0/").text
    assert "This envelope is not sealed to any of these keys." in text
    assert "Only these keys open it" in text
    assert f"{colleague.label} ({colleague.public.key_id.hex()})" in text


def test_equal_envelopes_are_one(view, reviewer, tmp_path):
    twin = seal_bytes([reviewer.public], "a")
    viewer = view(twin, seal_bytes([reviewer.public], "b"), twin)
    text = viewer.ask().text
    assert "2 envelopes" in text
    assert "2 equal copies" in text
    equal = [path.name for path in (tmp_path / "stick").glob("*.envelope") if path.read_bytes() == twin]
    text += viewer.ask("0/").text + viewer.ask("1/").text
    assert all(name in text for name in equal)


def test_a_forged_twin_is_told(view, reviewer, tmp_path):
    """Whoever can open an envelope can make another with the same header and other contents."""
    honest, forged = seal_twins([reviewer.public], "honest", "forged")
    viewer = view(honest, forged, seal_bytes([reviewer.public], "other"))
    text = viewer.ask().text
    assert "Different envelopes with the same header" in text
    path = next(path for path in (tmp_path / "stick").glob("*") if path.read_bytes() == honest)
    (twin,) = (path for path in (tmp_path / "stick").glob("*") if path.read_bytes() == forged)
    text = viewer.ask(f"{number_of(viewer, path)}/").text
    assert "Another envelope has the same header" in text
    assert f"Beside this one: {twin.name[:8]}" in text


def test_what_is_missing_changed_or_extra_is_told(view, reviewer, start_viewer, tmp_path):
    view(*(seal_bytes([reviewer.public], str(number)) for number in range(3))).stop()
    missing, changed, good = sorted((tmp_path / "stick").glob("*.envelope"))
    missing.unlink()
    changed.write_bytes(changed.read_bytes()[:-1])
    (tmp_path / "stick/<b>extra\u202e").touch()
    text = start_viewer(tmp_path / "stick").ask().text
    assert f"Missing: {missing.name}." in text
    assert f"Changed: {changed.name}." in text
    assert "<b>extra‹U+202E›" in text
    assert "This envelope has a length that no envelope has: copy it again." in text
    assert good.name[:8] in text


def seal_with_reply_to(reviewer, message: str, mailbox: bytes, key) -> bytes:
    """A submission under a receipt."""
    index = Index("browser", "", message, (), ReplyTo(mailbox, key))
    encoded = json.dumps(
        {
            "v": 1,
            "sealed": index.sealed,
            "kind": "",
            "message": message,
            "files": [],
            "reply_to": {"mailbox": encode_base64url(mailbox), "key": encode_base64url(key.encoded)},
        },
        separators=(",", ":"),
    ).encode()
    assert encoded == encode_index(index)
    trailer = bytes(8) + len(encoded).to_bytes(8, "big")
    return seal_plaintext([reviewer.public], encoded.ljust(PIECE - 16, b"\0") + trailer)


def test_one_sender_is_grouped_and_a_forged_mailbox_is_not(view, reviewer, tmp_path):
    mailbox, key, other = bytes(32), label_key_pair("source").public, label_key_pair("forger").public
    viewer = view(
        seal_with_reply_to(reviewer, "first", mailbox, key),
        seal_bytes([reviewer.public], "between"),
        seal_with_reply_to(reviewer, "second", mailbox, key),
        seal_with_reply_to(reviewer, "forged", mailbox, other),
        seal_with_reply_to(reviewer, "other mailbox", b"\1" * 32, key),
    )
    page = parse(viewer.ask().body)
    assert [found.text for found in page.iter("li") if found.get("class") == "sender"] == [
        "From the same receipt: 2 submissions"
    ]
    grouped = {"".join(found.itertext()) for found in page.iter("li") if "grouped" in found.get("class", "")}
    assert len(grouped) == 2
    assert all("first" in text or "second" in text for text in grouped)
    links = ["".join(found.itertext()) for found in page.iter("li") if "entry" in found.get("class", "")]
    assert "One mailbox, and different keys" in viewer.ask().text
    for path in (tmp_path / "stick").glob("*.envelope"):
        text = viewer.ask(f"{number_of(viewer, path)}/").text
        if "other mailbox" in text or "between" in text:
            assert "Another submission has the same mailbox" not in text
        else:
            assert "Another submission has the same mailbox, and another key" in text
            assert re.search(r"Beside this one: [0-9a-f]{8}, [0-9a-f]{8}", text)
        assert ("Seal the reply" in text) == ("between" not in text)
    places = [number for number, text in enumerate(links) if "first" in text or "second" in text]
    assert places[1] - places[0] == 1


def test_a_thousand_envelopes_are_shown_in_pieces(start_viewer, tmp_path):
    folder = tmp_path / "stick"
    write_bundle(folder, [b"no envelope %d" % number for number in range(PER_PAGE * 2 + 1)])
    viewer = start_viewer(folder)
    names = []
    for page in (1, 2, 3):
        found = parse(viewer.ask(f"?page={page}").body)
        names.append([a.text for a in found.iter("a") if a.get("class") == "name"])
    assert [len(page) for page in names] == [PER_PAGE, PER_PAGE, 1]
    assert len({name for page in names for name in page}) >= PER_PAGE * 2
    assert "There is nothing to show" in viewer.ask("?show=marked").text


def test_weeks_stand_newest_first(start_viewer, reviewer, tmp_path):
    folder = tmp_path / "stick"
    write_bundle(folder, [seal_bytes([reviewer.public], f"m{number}") for number in range(3)])
    entries = load_bundle(folder).entries
    weeks = ("2026-W01", "2026-W47", "2025-W52")
    dated = (type(e)(e.name, e.size, e.sha256, week) for e, week in zip(entries, weeks, strict=True))
    (folder / "bundle.json").write_bytes(encode_bundle(Bundle(tuple(dated))))
    page = parse(start_viewer(folder).ask().body)
    shown = ["".join(found.itertext()) for found in page.iter("p") if found.get("class") == "facts"]
    assert [facts[:8] for facts in shown] == ["2026-W47", "2026-W01", "2025-W52"]


def test_a_submission_is_extracted_from_the_page(view, reviewer, tmp_path):
    envelope = seal_bytes([reviewer.public], "m", [("../a.txt", b"abc")])
    viewer = view(envelope, words=("-o", tmp_path / "out", "--case", tmp_path / "case"))
    assert str(tmp_path / "out") in viewer.ask("0/").text
    assert viewer.post("0/extract").status == 303
    wait_until(lambda: "Extracted, and every byte checked" in viewer.ask("0/").text)
    (folder,) = (tmp_path / "out").iterdir()
    assert list_tree(folder) == ["_.._a.txt", "manifest.json", "message.txt"]
    (act,) = (json.loads(line) for line in (tmp_path / "case/custody.jsonl").read_text().splitlines())
    assert (act["did"], act["envelope"]["sha256"]) == ("extract", hashlib.sha256(envelope).hexdigest())
    assert viewer.post("0/extract").status == 303
    assert len(list((tmp_path / "out").iterdir())) == 1


def test_a_damaged_submission_is_not_extracted_and_leaves_nothing(view, reviewer, tmp_path):
    envelope = seal_bytes([reviewer.public], "m", [("a", bytes(2_000_000))])
    viewer = view(flip(envelope, 1_000_000), words=("-o", tmp_path / "out", "--case", tmp_path))
    viewer.post("0/extract")
    wait_until(lambda: "It was not extracted. This envelope is damaged" in viewer.ask("0/").text)
    assert list_tree(tmp_path / "out") == []
    assert "Not extracted: This envelope is damaged" in (tmp_path / "custody.jsonl").read_text()


def test_what_is_there_already_is_not_overwritten(view, reviewer, tmp_path):
    viewer = view(seal_bytes([reviewer.public], "m"), words=("-o", tmp_path / "out"))
    (path,) = (tmp_path / "stick").glob("*.envelope")
    (tmp_path / "out" / path.stem).mkdir(parents=True)
    viewer.post("0/extract")
    wait_until(lambda: "exists already, and nothing is overwritten" in viewer.ask("0/").text)
    assert list_tree(tmp_path / "out") == [path.stem]


@pytest.mark.parametrize("whole", [True, False], ids=["whole", "damaged"])
def test_a_custody_log_that_cannot_be_written_is_told_beside_what_was_done(view, reviewer, tmp_path, whole):
    envelope = seal_bytes([reviewer.public], "m", [("a", bytes(2_000_000))])
    case = tmp_path / "case"
    viewer = view(
        envelope if whole else flip(envelope, 1_000_000), words=("-o", tmp_path / "out", "--case", case)
    )
    case.write_text("no folder")
    viewer.post("0/extract")
    done = "Extracted, and every byte checked" if whole else "It was not extracted. This envelope is damaged"
    wait_until(lambda: done in viewer.ask("0/").text)
    assert "The custody log does not tell of it. " in viewer.ask("0/").text
    assert viewer.errors == ""


def test_what_an_extraction_left_that_was_cut_off_is_told_while_it_is_there(view, reviewer, tmp_path):
    left = tmp_path / "out/.y.partial-0"
    left.mkdir(parents=True)
    viewer = view(seal_bytes([reviewer.public], "m"), words=("-o", tmp_path / "out"))
    assert f"{left} is left over from an extraction that was cut off" in viewer.ask().text
    left.rmdir()
    assert "is left over" not in viewer.ask().text


def test_what_is_being_extracted_is_no_leftover(start_viewer, reviewer, tmp_path):
    with (tmp_path / "large.envelope").open("wb") as sink:
        sink.write(seal_bytes([reviewer.public], "m", [("a", bytes(100_000_000))] * 3))
    viewer = start_viewer(tmp_path / "large.envelope", "-o", tmp_path / "out")
    viewer.post("0/extract")
    wait_until(lambda: list_tree(tmp_path / "out") if (tmp_path / "out").exists() else [])
    assert "is left over" not in viewer.ask().text
    viewer.post("0/stop")


@pytest.mark.parametrize("how", ["the button", "the end of the viewer"])
def test_an_extraction_that_is_stopped_leaves_nothing(start_viewer, reviewer, tmp_path, how):
    with (tmp_path / "large.envelope").open("wb") as sink:
        files = [("a", bytes(100_000_000))] * 3
        sink.write(seal_bytes([reviewer.public], "m", files))
    viewer = start_viewer(tmp_path / "large.envelope", "-o", tmp_path / "out")
    viewer.post("0/extract")
    wait_until(lambda: list_tree(tmp_path / "out") if (tmp_path / "out").exists() else [])
    if how == "the button":
        viewer.post("0/stop")
        assert "It was stopped, and nothing of it is left." in viewer.ask("0/").text
    else:
        viewer.stop()
    assert list_tree(tmp_path / "out") == []


def test_without_a_folder_the_page_says_how_to_extract(view, reviewer):
    viewer = view(seal_bytes([reviewer.public], "m"))
    assert "start the viewer with -o and a folder" in viewer.ask("0/").text
    viewer.post("0/extract")
    assert "start the viewer with -o and a folder" in viewer.ask("0/").text


def test_extracting_onto_the_stick_is_refused(review, reviewer, tmp_path):
    write_bundle(tmp_path / "stick", [seal_bytes([reviewer.public], "m")])
    notes = ["--notes", "/dev/shm/nowhere/notes.envelope"]
    result = review("view", tmp_path / "stick", *reviewer.arguments, *notes, "-o", tmp_path / "stick/out")
    assert result.code == 2
    assert "the stick goes back to the server" in result.err
