"""Notes and marks: sealed, whole after every end, and never in the stick's way."""

import io
import json
import random
import signal
import subprocess
import sys
import time

import pytest

from leakdrop.envelope.opening import open_envelope
from leakdrop.errors import EnvelopeError, UsageError
from leakdrop.review.keys import KeySet
from leakdrop.review.viewer.notes import (
    MAX_NOTE,
    Note,
    NotesError,
    decode_notes,
    default_path,
    encode_notes,
    open_notebook,
)
from tests.keys import label_key_pair
from tests.media import ARABIC
from tests.review.inboxes import flip, seal_bytes, write_bundle
from tests.review.viewing import MARK, number_of

SUM, OTHER = "a" * 64, "b" * 64


def keys(*labels: str) -> KeySet:
    return KeySet(tuple(label_key_pair(label) for label in labels), {})


def open_and_close(path, label: str) -> None:
    with open_notebook(path, keys(label)):
        pass


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state" / "notes.envelope"


def test_what_is_noted_is_there_again(path):
    note = Note(read=True, marked=True, note=ARABIC + "\n\u200f end")
    with open_notebook(path, keys("alice")) as book:
        assert book.find(SUM) == Note()
        book.write(SUM, note)
        book.write(OTHER, Note(read=True))
        book.write(OTHER, Note())
        assert book.find(SUM) == note
    with open_notebook(path, keys("alice")) as book:
        assert (book.find(SUM), book.find(OTHER)) == (note, Note())


def test_nothing_is_written_before_something_is_noted(path):
    with open_notebook(path, keys("alice")) as book:
        book.write(SUM, Note())
    assert not path.exists()


def test_notes_are_sealed_and_for_this_user_alone(path):
    with open_notebook(path, keys("alice")) as book:
        book.write(SUM, Note(note=MARK.decode()))
    assert MARK not in path.read_bytes()
    assert SUM.encode() not in path.read_bytes()
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    with pytest.raises(EnvelopeError):
        open_envelope(io.BytesIO(path.read_bytes()), [label_key_pair("bob")])


def test_notes_go_on_under_a_new_key_while_the_old_one_is_there(path):
    with open_notebook(path, keys("old")) as book:
        book.write(SUM, Note(read=True))
    with pytest.raises(NotesError, match=r"sealed to another key: name that key too with --key"):
        open_and_close(path, "new")
    with open_notebook(path, keys("new", "old")) as book:
        book.write(OTHER, Note(read=True))
    with open_notebook(path, keys("new")) as book:
        assert book.find(SUM).read


def test_notes_are_held_by_one_viewer(path):
    refusal = r"^Another viewer has the notes in .* open: close it first"
    with open_notebook(path, keys("alice")), pytest.raises(UsageError, match=refusal):
        open_and_close(path, "alice")
    open_and_close(path, "alice")


def seal_notes(content: bytes, name: str = "notes.json") -> bytes:
    return seal_bytes([label_key_pair("alice").public], files=[(name, content)])


DAMAGED = {
    "empty": b"",
    "cut off": seal_notes(encode_notes({}))[:-1],
    "a changed byte": flip(seal_notes(encode_notes({})), 100_000),
    "another envelope": seal_notes(encode_notes({}), "other.json"),
    "no JSON": seal_notes(b"{"),
    "deep JSON": seal_notes(b"[" * 100_000),
    "no UTF-8": seal_notes(b'"\xff"'),
    "another format": seal_notes(b'{"format":"leakdrop notes 2","submissions":{}}'),
    "a field more": seal_notes(b'{"format":"leakdrop notes 1","submissions":{},"x":1}'),
    "a list": seal_notes(b"[]"),
    "no submissions": seal_notes(b'{"format":"leakdrop notes 1","submissions":[]}'),
    "a sum that is none": seal_notes(encode_notes({"A" * 64: Note()})),
    "a wrong type": seal_notes(encode_notes({SUM: Note(read=1)})),
    "a note that is no text": seal_notes(encode_notes({SUM: Note(note=None)})),
    "a note too few": seal_notes(
        json.dumps({"format": "leakdrop notes 1", "submissions": {SUM: {"read": True}}}).encode()
    ),
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_damaged_notes_are_told_and_left_as_they_are(path, content):
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(NotesError, match=rf"^The notes in {path} are damaged: put a copy of them there"):
        open_and_close(path, "alice")
    assert path.read_bytes() == content


def test_notes_are_read_strictly():
    assert decode_notes(encode_notes({SUM: Note(True, True, ARABIC)})) == {SUM: Note(True, True, ARABIC)}


def test_a_full_disk_changes_nothing(path):
    with open_notebook(path, keys("alice")) as book:
        book.write(SUM, Note(read=True))
        before = path.read_bytes()
        # A limit that the system itself enforces, in a process that is ours.
        source = f"""
import resource, signal, sys
from pathlib import Path
from tests.review.viewer.test_notes import keys
from leakdrop.review.viewer.notes import Note, Notebook
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
book = Notebook(Path({str(path)!r}), keys("alice"), {{}})
try:
    book.write("{SUM}", Note(note="x"))
except OSError as error:
    print(error.strerror, book.find("{SUM}") == Note())
"""
        done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True)
    assert done.stdout == "File too large True\n"
    assert path.read_bytes() == before
    assert sorted(found.name for found in path.parent.iterdir()) == [".notes.envelope.lock", "notes.envelope"]


WRITER = """
import sys
from pathlib import Path
from tests.review.viewer.test_notes import keys
from leakdrop.review.viewer.notes import Note, open_notebook
with open_notebook(Path(sys.argv[1]), keys("alice")) as book:
    begin = int(book.find("a" * 64).note or 0)
    for number in range(begin + 1, begin + 100_000):
        book.write("a" * 64, Note(note=str(number)))
        print(number, flush=True)
"""


def test_what_was_noted_survives_kill_9_at_any_moment(path):
    chance, last = random.Random(3), 0
    for _ in range(8):
        command = [sys.executable, "-c", WRITER, path]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            lines = [writer.stdout.readline()]
            time.sleep(chance.random() / 10)
            writer.send_signal(signal.SIGKILL)
            lines += writer.stdout.read().splitlines()
        told = int(lines[-1])
        with open_notebook(path, keys("alice")) as book:
            found = int(book.find(SUM).note)
        assert found in (told, told + 1)
        assert found > last
        last = found
        assert not list(path.parent.glob("*.partial"))


def test_notes_lie_where_the_system_keeps_such_files(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", "relative")
    assert default_path() == tmp_path / ".local/state/leakdrop/notes.envelope"
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    assert default_path() == tmp_path / "state/leakdrop/notes.envelope"


def test_notes_are_not_written_onto_the_stick(review, reviewer, tmp_path):
    write_bundle(tmp_path / "stick", [seal_bytes([reviewer.public], "m")])
    notes = tmp_path / "stick" / "notes.envelope"
    result = review("view", tmp_path / "stick", *reviewer.arguments, "--notes", notes)
    assert result.code == 2
    assert "goes back to the server: choose another place with --notes, or add --here." in result.err
    assert not notes.exists()


def test_read_marked_and_noted_are_shown_and_kept(view, reviewer, start_viewer, tmp_path):
    viewer = view(*(seal_bytes([reviewer.public], f"message {number}") for number in range(3)))
    first, second, _ = (tmp_path / "stick").glob("*.envelope")
    assert "3 envelopes, 3 new" in viewer.ask().text
    number = number_of(viewer, first)
    assert viewer.ask(f"{number}/").status == 200
    assert viewer.post(f"{number}/mark", marked="yes").status == 303
    note = "Ask <b>Amina</b>\r\n\u200fغدا\u200f"
    assert viewer.post(f"{number}/note", note=note).status == 303
    assert "3 envelopes, 2 new" in viewer.ask().text
    assert first.name[:8] not in viewer.ask("?show=new").text
    assert first.name[:8] in viewer.ask("?show=marked").text
    assert second.name[:8] not in viewer.ask("?show=marked").text
    viewer.stop()
    again = start_viewer(tmp_path / "stick", "--notes", viewer.notes)
    assert "3 envelopes, 2 new" in again.ask().text
    assert "Ask <b>Amina</b>\n\u200fغدا\u200f" in again.ask(f"{number}/").text
    assert again.post(f"{number}/new").status == 303
    again.post(f"{number}/mark", marked="no")
    assert "3 envelopes, 3 new" in again.ask().text
    assert first.name[:8] not in again.ask("?show=marked").text


def test_a_note_that_is_too_long_is_refused_and_the_old_one_stays(view, reviewer):
    viewer = view(seal_bytes([reviewer.public], "m"))
    viewer.post("0/note", note="old")
    got = viewer.post("0/note", note="x" * (MAX_NOTE + 1))
    assert (got.status, f"A note has at most {MAX_NOTE:,} characters." in got.text) == (413, True)
    assert "old" in viewer.ask("0/").text


def test_that_reading_could_not_be_noted_hides_nothing(view, reviewer):
    viewer = view(seal_bytes([reviewer.public], "the message"))
    viewer.notes.mkdir()  # what is written anew cannot take its place
    text = viewer.ask("0/").text
    assert "the message" in text
    assert "That you read this could not be noted" in text
    got = viewer.post("0/note", note="x")
    assert (got.status, str(viewer.notes) in got.text) == (500, True)


def test_a_viewer_that_is_killed_gives_the_notes_free(view, reviewer, start_viewer, tmp_path):
    viewer = view(seal_bytes([reviewer.public], "m"))
    viewer.ask("0/")
    viewer.stop(signal.SIGKILL)
    assert "1 envelope, 0 new" in start_viewer(tmp_path / "stick", "--notes", viewer.notes).ask().text
