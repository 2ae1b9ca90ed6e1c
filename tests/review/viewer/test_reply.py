"""A reply that is written in the viewer: sealed to its source, or not lost."""

import hashlib
import io
import json
import threading

import pytest

from leakdrop.bundle import parse_reply_name
from leakdrop.envelope.index import ReplyTo
from leakdrop.envelope.opening import open_envelope
from leakdrop.review.replying import RECEIVED
from leakdrop.review.viewer.notes import MAX_NOTE
from leakdrop.review.viewer.reply import MAX_TEXT
from tests.replies import label_receipt
from tests.review.inboxes import flip, list_tree, seal_bytes, write_bundle
from tests.review.viewing import number_of, parse
from tests.site import run, temporary_mount

AMINA, BEN = label_receipt("amina"), label_receipt("ben")
TEXT = "Thank you.\nWhen was it?\n\u202eشكرا <b>"


@pytest.fixture
def amina(reviewer) -> bytes:
    return seal_bytes([reviewer.public], "from amina", reply_to=AMINA.reply_to)


def typed(viewer, number="0", field="text") -> str:
    """What stands in the form."""
    (area,) = [
        found for found in parse(viewer.ask(f"{number}/").body).iter("textarea") if found.get("name") == field
    ]
    return (area.text or "").removeprefix("\n")


def replies(stick) -> list:
    return sorted((stick / "replies").iterdir()) if (stick / "replies").exists() else []


def test_a_text_is_sealed_to_the_source_and_lies_in_the_bundle(view, amina, tmp_path):
    viewer = view(amina)
    got = viewer.post("0/reply", text=TEXT.replace("\n", "\r\n"))
    assert (got.status, got.fields["location"]) == (303, f"{viewer.url}0/#reply")
    (path,) = replies(tmp_path / "stick")
    assert parse_reply_name(path.name) == (AMINA.mailbox, hashlib.sha256(path.read_bytes()).hexdigest()[:32])
    envelope = open_envelope(io.BytesIO(path.read_bytes()), [AMINA.key_pair])
    envelope.check()
    index = envelope.index
    assert (index.sealed, index.kind, index.message, index.files) == ("review", "", TEXT, ())
    text = viewer.ask("0/").text
    assert f"Sealed a message into {path}" in text
    assert "Only whoever has the source's twelve words can open it." in text
    assert typed(viewer) == ""


def section(viewer, number="0") -> str:
    """What the page says around the reply."""
    page = parse(viewer.ask(f"{number}/").body)
    (found,) = [found for found in page.iter("section") if found.get("id") == "reply"]
    return "".join(found.itertext())


def test_who_reads_from_a_copy_on_this_machine_is_told_that_replies_stay_in_it(
    view, amina, monkeypatch, tmp_path
):
    monkeypatch.setenv("HOME", str(tmp_path))
    viewer = view(amina)
    where = f"written into {tmp_path}/stick, which is on this machine's own disk, and not on the stick"
    assert where in section(viewer)
    viewer.post("0/reply", text="hello")
    text = section(viewer)
    assert "not on the stick: copy the file into the folder “replies” of the bundle on the stick" in text
    assert "Take the stick back" not in text


@pytest.mark.parametrize("alone", [False, True], ids=["a copy of the bundle", "an envelope alone"])
def test_who_reads_from_a_copy_names_the_stick_that_takes_the_replies(
    start_viewer, amina, drive, tmp_path, alone
):
    (path,) = write_bundle(tmp_path / "copy", [amina])
    source = path.rename(tmp_path / "alone.envelope") if alone else path.parent
    write_bundle(drive / "bundle", [amina])
    viewer = start_viewer(source, "--replies", drive / "bundle")
    assert f"written into {drive}/bundle, for the operator." in section(viewer)
    viewer.post("0/reply", text="hello")
    assert "Take the stick back to the operator." in section(viewer)
    assert len(replies(drive / "bundle")) == 1
    assert not (tmp_path / "copy/replies").exists()


def test_a_folder_that_takes_no_replies_is_refused_before_anything_is_typed(
    review, reviewer, amina, tmp_path
):
    (path,) = write_bundle(tmp_path / "copy", [amina])
    words = ["--replies", tmp_path, "--no-browser", "--here", "--key", "no.key"]
    result = review("view", path, *words)
    assert (result.code, f"{tmp_path} is not a bundle" in result.err) == (1, True)


def test_looking_at_the_page_again_seals_nothing_again(view, amina, tmp_path):
    viewer = view(amina)
    assert viewer.post("0/reply", text="once").status == 303
    for _ in range(3):
        viewer.ask("0/")
    assert len(replies(tmp_path / "stick")) == 1
    viewer.post("0/reply", text="twice")
    assert len(replies(tmp_path / "stick")) == 2


def number_of_form(viewer) -> str:
    page = parse(viewer.ask("0/").body)
    (number,) = [found.get("value") for found in page.iter("input") if found.get("name") == "once"]
    return number


def test_a_form_that_is_sent_twice_seals_one_reply(view, amina, tmp_path):
    viewer = view(amina)
    once = number_of_form(viewer)
    form = {"text": TEXT, "once": once}
    both = [threading.Thread(target=viewer.post, args=["0/reply"], kwargs=form) for _ in range(2)]
    for sending in both:
        sending.start()
    for sending in both:
        sending.join()
    assert len(replies(tmp_path / "stick")) == 1
    assert "Sealed a message into" in viewer.ask("0/").text
    assert number_of_form(viewer) != once
    viewer.post("0/reply", text=TEXT, once=number_of_form(viewer))
    assert len(replies(tmp_path / "stick")) == 2


def test_a_form_that_sealed_nothing_can_be_sent_again(view, amina, tmp_path):
    viewer = view(amina)
    once = number_of_form(viewer)
    (tmp_path / "stick").rename(tmp_path / "pulled out")
    viewer.post("0/reply", text=TEXT, once=once)
    (tmp_path / "pulled out").rename(tmp_path / "stick")
    viewer.post("0/reply", text=TEXT, once=once)
    assert len(replies(tmp_path / "stick")) == 1


@pytest.mark.parametrize("act", ["keep", "mark", "new", "note", "look", "stop", "extract"])
def test_no_other_button_loses_what_was_typed(view, amina, tmp_path, act):
    viewer = view(amina, words=("-o", tmp_path / "out"))
    more = {"marked": "yes"} if act == "mark" else {}
    viewer.post(f"0/{act}", note="a note\r\nof two lines", text=TEXT, **more)
    assert typed(viewer) == TEXT
    assert typed(viewer, field="note") == "a note\nof two lines"
    assert ("This is not kept yet." in viewer.ask("0/").text) == (act != "note")
    assert replies(tmp_path / "stick") == []


@pytest.mark.parametrize("more", [{}, {"received": "yes"}], ids=["seal", "put in"])
def test_sealing_does_not_lose_the_note_that_was_typed(view, amina, more):
    viewer = view(amina)
    viewer.post("0/reply", note="a note", text="hello", **more)
    assert typed(viewer, field="note") == "a note"


def test_the_longest_note_and_the_longest_reply_go_together(view, amina):
    viewer = view(amina)
    assert viewer.post("0/keep", note="字" * MAX_NOTE, text="字" * MAX_TEXT).status == 303
    assert typed(viewer, field="note") == "字" * MAX_NOTE


def test_received_is_put_behind_what_was_typed_and_sealed_only_then(view, amina, tmp_path):
    viewer = view(amina)
    viewer.post("0/reply", text="", received="yes")
    assert typed(viewer) == RECEIVED
    viewer.post("0/reply", text="Dear you,\n", received="yes")
    assert typed(viewer) == f"Dear you,\n\n{RECEIVED}"
    assert replies(tmp_path / "stick") == []
    viewer.post("0/reply", text=typed(viewer))
    (path,) = replies(tmp_path / "stick")
    assert open_envelope(io.BytesIO(path.read_bytes()), [AMINA.key_pair]).index.message.endswith(RECEIVED)


def test_a_template_that_has_no_room_is_told_and_loses_no_text(view, amina):
    viewer = view(amina)
    viewer.post("0/reply", text="a" * MAX_TEXT, received="yes")
    assert "has no room behind so long a text" in viewer.ask("0/").text
    assert typed(viewer) == "a" * MAX_TEXT


@pytest.mark.parametrize("text", ["", " \r\n\t "])
def test_nothing_is_no_reply(view, amina, tmp_path, text):
    viewer = view(amina)
    viewer.post("0/reply", text=text)
    assert "There is nothing to say: write something" in viewer.ask("0/").text
    assert replies(tmp_path / "stick") == []


def test_the_longest_text_is_taken_in_any_script_and_a_longer_one_refused(view, amina, tmp_path):
    viewer = view(amina)
    assert viewer.post("0/reply", text="字" * MAX_TEXT).status == 303
    assert len(replies(tmp_path / "stick")) == 1
    assert viewer.post("0/reply", text="a" * (MAX_TEXT + 1)).status == 413
    assert f'maxlength="{MAX_TEXT}"' in viewer.ask("0/").body.decode()
    assert len(replies(tmp_path / "stick")) == 1


def test_a_source_without_words_cannot_be_answered(view, reviewer, tmp_path):
    viewer = view(seal_bytes([reviewer.public], "m"))
    assert "This source left no way to reply." in viewer.ask("0/").text
    assert "Seal the reply" not in viewer.ask("0/").text
    viewer.post("0/reply", text="hello?")
    assert "does not say where replies go" in viewer.ask("0/").text
    assert replies(tmp_path / "stick") == []


def test_an_envelope_in_no_bundle_says_how_to_reply(start_viewer, amina, tmp_path):
    (tmp_path / "alone.envelope").write_bytes(amina)
    viewer = start_viewer(tmp_path / "alone.envelope")
    assert "lies in no bundle" in viewer.ask("0/").text
    viewer.post("0/reply", text="hello?")
    assert "`leakdrop-review reply -o` says which bundle" in viewer.ask("0/").text
    assert list_tree(tmp_path / "alone.envelope") == []


def test_one_envelope_of_a_bundle_is_answered_into_that_bundle(start_viewer, amina, tmp_path):
    (path,) = write_bundle(tmp_path / "stick", [amina])
    viewer = start_viewer(path)
    viewer.post("0/reply", text="hello")
    assert len(replies(tmp_path / "stick")) == 1


def test_a_stick_that_is_pulled_out_loses_no_text(view, amina, tmp_path):
    viewer = view(amina)
    (tmp_path / "stick").rename(tmp_path / "pulled out")
    viewer.post("0/reply", text=TEXT)
    got = viewer.ask("0/")
    assert got.status == 200
    assert "It was not sealed. " in got.text
    assert "This envelope does not open any more" in got.text
    assert "If the stick was pulled out, put it in again." in got.text
    assert typed(viewer) == TEXT
    assert not (tmp_path / "stick").exists()
    (tmp_path / "pulled out").rename(tmp_path / "stick")
    assert typed(viewer) == TEXT
    viewer.post("0/reply", text=typed(viewer))
    assert len(replies(tmp_path / "stick")) == 1
    assert "It was not sealed" not in viewer.ask("0/").text


def test_a_bundle_that_is_gone_while_its_envelope_is_there_loses_no_text(view, amina, tmp_path):
    viewer = view(amina)
    (tmp_path / "stick/bundle.json").unlink()
    viewer.post("0/reply", text=TEXT)
    assert "It was not sealed." in viewer.ask("0/").text
    assert "is not a bundle: it holds no bundle.json" in viewer.ask("0/").text
    assert typed(viewer) == TEXT


def test_a_submission_that_is_damaged_meanwhile_is_told_and_loses_no_text(view, amina, tmp_path):
    viewer = view(amina)
    (path,) = (tmp_path / "stick").glob("*.envelope")
    path.write_bytes(flip(amina, 1200))
    viewer.post("0/reply", text=TEXT)
    assert "It was not sealed. This envelope" in viewer.ask("0/").text
    assert typed(viewer) == TEXT
    assert replies(tmp_path / "stick") == []


def test_only_the_submission_that_was_read_is_answered(view, amina, reviewer, tmp_path):
    """Whoever lays another envelope onto the stick meanwhile gets no reply that is meant for its source."""
    viewer = view(amina)
    (path,) = (tmp_path / "stick").glob("*.envelope")
    path.write_bytes(seal_bytes([reviewer.public], "from ben", reply_to=BEN.reply_to))
    viewer.post("0/reply", text=TEXT)
    assert "is not what it was: start the viewer again" in viewer.ask("0/").text
    assert typed(viewer) == TEXT
    assert replies(tmp_path / "stick") == []


@pytest.mark.parametrize("size", ["4m", "300k"], ids=["read-only", "full"])
def test_a_stick_that_takes_nothing_is_told_and_loses_no_text(start_viewer, amina, tmp_path, size):
    stick = tmp_path / "mount/stick"
    if not temporary_mount(tmp_path / "mount", size):
        pytest.skip("to run it: be root")
    try:
        write_bundle(stick, [amina])
        if size == "4m":
            assert run("mount", "-o", "remount,ro", tmp_path / "mount").returncode == 0
        viewer = start_viewer(stick)
        viewer.post("0/reply", text=TEXT)
        sentence = "is read-only: unlock the stick" if size == "4m" else "KiB free"
        assert sentence in viewer.ask("0/").text
        assert typed(viewer) == TEXT
        assert replies(stick) == []
        viewer.stop()
    finally:
        run("umount", tmp_path / "mount")


def test_the_custody_log_tells_of_a_reply(view, amina, reviewer, tmp_path):
    viewer = view(amina, words=("--case", tmp_path / "case"))
    viewer.post("0/reply", text="hello")
    (path,) = replies(tmp_path / "stick")
    (act,) = (json.loads(line) for line in (tmp_path / "case/custody.jsonl").read_text().splitlines())
    (envelope,) = (tmp_path / "stick").glob("*.envelope")
    assert (act["did"], act["envelope"]["name"]) == ("reply", envelope.name)
    assert act["opened_with"] == reviewer.public.fingerprint
    assert act["wrote"] == [{"file": str(path), "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}]


def test_a_log_that_cannot_be_written_is_told_beside_the_reply(view, amina, tmp_path):
    viewer = view(amina, words=("--case", tmp_path / "case"))
    (tmp_path / "case").write_text("a file, and no folder")
    viewer.post("0/reply", text="hello")
    text = viewer.ask("0/").text
    assert "Sealed a message into" in text
    assert "The custody log does not tell of it." in text
    assert len(replies(tmp_path / "stick")) == 1


@pytest.mark.parametrize("whole", [True, False], ids=["the bundle", "one envelope of it"])
def test_a_forgery_is_told_to_who_answers(start_viewer, amina, reviewer, tmp_path, whole):
    half = ReplyTo(AMINA.mailbox, BEN.key_pair.public)
    forged = seal_bytes([reviewer.public], "forged", reply_to=half)
    true, false = write_bundle(tmp_path / "stick", [amina, forged])
    viewer = start_viewer(tmp_path / "stick" if whole else true)
    number = number_of(viewer, true) if whole else "0"
    if whole:
        assert "One of these is forged" in section(viewer, number)
    viewer.post(f"{number}/reply", text="hello", anyway="")
    text = section(viewer, number)
    names = ", ".join(sorted([true.name[:8], false.name[:8]]))
    assert (
        f"It was not sealed. {names} have the same mailbox and different keys: one of them is forged" in text
    )
    assert "Seal it all the same: the forger may read it" in text
    assert (typed(viewer, number), replies(tmp_path / "stick")) == ("hello", [])
    viewer.post(f"{number}/reply", text="hello", anyway="yes")
    text = section(viewer, number)
    assert "Whoever made this submission can open it, and that may be the forger." in text
    assert f"{names} have the same mailbox and different keys" in text
    assert "twelve words" not in text
    assert len(replies(tmp_path / "stick")) == 1


def test_a_submission_without_a_forged_one_needs_no_confirming(view, amina):
    assert "all the same" not in section(view(amina))


@pytest.mark.parametrize("fields", [{}, {"Origin": "null"}, {"Origin": "http://127.0.0.1:1"}])
def test_another_page_seals_nothing(view, amina, tmp_path, fields):
    viewer = view(amina)
    assert viewer.ask("0/reply", "POST", b"text=hello", **fields).status == 403
    assert replies(tmp_path / "stick") == []
