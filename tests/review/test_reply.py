"""`reply`, and what `list` tells of receipts."""

import hashlib
import io
import json
import os
import subprocess
from pathlib import Path

import pytest

from leakdrop.bundle import MAX_REPLY, MAX_REPLY_FILES, compare, load_bundle, parse_reply_name
from leakdrop.envelope.header import read_header
from leakdrop.envelope.index import MAX_MESSAGE, ReplyTo
from leakdrop.envelope.opening import Envelope, open_envelope
from leakdrop.review.custody import LOG_NAME, check_log
from leakdrop.review.replying import RECEIVED
from tests.keys import label_key_pair
from tests.replies import label_receipt
from tests.review.inboxes import flip, list_tree, seal_bytes, write_bundle
from tests.site import BIN, run, temporary_mount

AMINA, BEN = label_receipt("amina"), label_receipt("ben")


@pytest.fixture
def stick(reviewer, tmp_path):
    """A bundle with three envelopes: from Amina, from Ben, and from somebody without a receipt."""
    write_bundle(tmp_path / "stick", submissions(reviewer))
    return tmp_path / "stick"


def submissions(reviewer) -> list[bytes]:
    return [
        seal_bytes([reviewer.public], "amina", reply_to=AMINA.reply_to),
        seal_bytes([reviewer.public], "ben", reply_to=BEN.reply_to),
        seal_bytes([reviewer.public], "nobody"),
    ]


@pytest.fixture
def answering(review, reviewer):
    return lambda *arguments: review("reply", *arguments, *reviewer.arguments)


def find(stick: Path, reviewer, message: str) -> Path:
    """The envelope of a bundle that says this."""
    for path in sorted(stick.glob("*.envelope")):
        with path.open("rb") as file:
            if open_envelope(file, [label_key_pair(reviewer.label)]).index.message == message:
                return path
    raise AssertionError(message)


def only_reply(stick: Path) -> Path:
    (path,) = (stick / "replies").iterdir()
    return path


def open_reply(path: Path, receipt=AMINA) -> Envelope:
    envelope = open_envelope(io.BytesIO(path.read_bytes()), [receipt.key_pair])
    envelope.check()
    return envelope


def test_a_text_is_sealed_to_the_source_and_lies_in_replies_under_its_own_name(answering, stick, reviewer):
    path = find(stick, reviewer, "amina")
    result = answering(stick, "--name", path.name[:8], "--text", "Thank you.\r\nWhen was it?")
    assert (result.code, result.err) == (0, "")
    reply = only_reply(stick)
    assert parse_reply_name(reply.name) == (
        AMINA.mailbox,
        hashlib.sha256(reply.read_bytes()).hexdigest()[:32],
    )
    opened = open_reply(reply)
    index = opened.index
    assert (index.sealed, index.kind, index.message) == ("review", "", "Thank you.\nWhen was it?")
    assert (index.files, index.reply_to) == ((), None)
    assert opened.header.key_ids == (AMINA.key_pair.public.key_id,)
    assert str(reply) in result.out
    assert "who watches" not in result.out


def test_the_operator_can_read_a_reply_although_another_user_wrote_it(answering, stick, reviewer, tmp_path):
    readable = tmp_path / "readable"
    readable.touch(0o644)
    assert answering(find(stick, reviewer, "amina"), "--received").code == 0
    assert only_reply(stick).stat().st_mode == readable.stat().st_mode


def test_received_is_one_flag(answering, stick, reviewer):
    assert answering(find(stick, reviewer, "amina"), "--received").code == 0
    assert open_reply(only_reply(stick)).index.message == RECEIVED


def test_a_text_comes_from_a_file_or_from_standard_input(answering, stick, reviewer, tmp_path):
    (tmp_path / "text").write_bytes("\ufeffشكرا\r\n".encode())
    path = find(stick, reviewer, "amina")
    assert answering(path, "--message", tmp_path / "text").code == 0
    assert open_reply(only_reply(stick)).index.message == "شكرا\n"
    only_reply(stick).unlink()
    done = run(BIN / "leakdrop-review", "reply", path, *reviewer.arguments, "--message", "-", input="piped")
    assert done.returncode == 0, done.stderr
    assert open_reply(only_reply(stick)).index.message == "piped"


def test_files_come_along(answering, stick, reviewer, tmp_path):
    (tmp_path / "plan.pdf").write_bytes(os.urandom(300_000))
    (tmp_path / "b.txt").write_bytes(b"b")
    files = ("--file", tmp_path / "plan.pdf", "--file", tmp_path / "b.txt")
    assert answering(find(stick, reviewer, "ben"), *files, "--text", "see").code == 0
    opened = open_reply(only_reply(stick), BEN)
    assert [(file.name, file.type) for file in opened.index.files] == [
        ("plan.pdf", "application/pdf"),
        ("b.txt", "text/plain"),
    ]
    assert opened.read_file(0) == (tmp_path / "plan.pdf").read_bytes()


def test_the_largest_reply_fits_and_a_byte_more_is_refused(answering, stick, reviewer, tmp_path):
    (tmp_path / "large").write_bytes(bytes(MAX_REPLY_FILES))
    (tmp_path / "text").write_bytes(b"a" * MAX_MESSAGE)
    path = find(stick, reviewer, "amina")
    words = ("--file", tmp_path / "large", "--message", tmp_path / "text")
    result = answering(path, *words)
    assert result.code == 0
    assert "who watches their connection may see that" in result.out
    reply = only_reply(stick)
    assert reply.stat().st_size <= MAX_REPLY
    with reply.open("rb") as file:
        read_header(file, reply.stat().st_size)
    (tmp_path / "one more").write_bytes(b"x")
    result = answering(path, *words, "--file", tmp_path / "one more")
    assert (result.code, only_reply(stick)) == (2, reply)
    assert "have 10,485,761 bytes together; a reply takes 10,485,760" in result.err


def test_a_reply_in_a_copy_on_this_machine_is_to_be_carried_over(
    answering, stick, reviewer, monkeypatch, tmp_path
):
    monkeypatch.setenv("HOME", str(tmp_path))
    result = answering(find(stick, reviewer, "amina"), "--received")
    assert result.code == 0
    assert "on this machine's own disk, and not on the stick: copy the file into the folder" in result.out
    assert "Take the stick back" not in result.out
    assert str(only_reply(stick)) in result.out


def test_a_reply_is_written_onto_the_stick_by_who_reads_from_a_copy(answering, stick, reviewer, drive):
    write_bundle(drive / "bundle", [b"as it came"])
    path = find(stick, reviewer, "amina")
    result = answering(stick, "--name", path.name, "--received", "-o", drive / "bundle")
    assert (result.code, result.err) == (0, "")
    assert result.out.endswith(
        "Only whoever has the source's twelve words can open it. Take the stick back to the operator.\n"
    )
    assert open_reply(only_reply(drive / "bundle")).index.message == RECEIVED
    assert not (stick / "replies").exists()


def test_two_replies_lie_side_by_side_and_the_bundle_is_as_it_was(answering, stick, reviewer):
    path = find(stick, reviewer, "amina")
    before = list_tree(stick)
    for _ in range(2):
        assert answering(path, "--received").code == 0
    assert len(list((stick / "replies").iterdir())) == 2
    assert set(before) <= set(list_tree(stick))
    comparison = compare(stick, load_bundle(stick), sums=True)
    assert (comparison.missing, comparison.changed, comparison.extra) == ((), (), ())


def test_nothing_of_the_reviewer_and_of_the_submission_stands_in_a_reply(answering, stick, reviewer):
    path = find(stick, reviewer, "amina")
    answering(path, "--received")
    reply = only_reply(stick)
    assert path.stem not in reply.name
    assert reviewer.public.key_id not in reply.read_bytes()
    with pytest.raises(Exception, match="not sealed to any of these keys"):
        open_envelope(io.BytesIO(reply.read_bytes()), [label_key_pair(reviewer.label)])


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        ((), 2, "There is nothing to say"),
        (("--text", ""), 2, "There is nothing to say"),
        (("--text", " \n\t "), 2, "There is nothing to say"),
        (("--text", "a", "--received"), 2, "not allowed with"),
        (("--text", "a", "--name", "zzz"), 2, "No envelope in"),
        (("--file", "nowhere.pdf"), 1, "nowhere.pdf"),
    ],
    ids=["nothing", "empty text", "blank text", "two texts", "no such name", "no such file"],
)
def test_wrong_use_is_one_clear_line(answering, stick, words, code, sentence):
    name = () if "--name" in words else ("--name", sorted(stick.glob("*.envelope"))[0].name)
    result = answering(stick, *words, *name)
    assert (result.code, result.out, result.err.count("\n")) == (code, "", 1)
    assert sentence in result.err
    assert not (stick / "replies").exists()


def test_the_custody_log_tells_of_a_reply(answering, stick, reviewer, tmp_path):
    path = find(stick, reviewer, "amina")
    case = tmp_path / "case"
    assert answering(path, "--received", "--case", case, "--here").code == 0
    assert answering(path, "--text", "", "--case", case, "--here").code == 2
    (act,) = (json.loads(line) for line in (case / LOG_NAME).read_text().splitlines())
    reply = only_reply(stick)
    assert (act["did"], act["envelope"]["name"]) == ("reply", path.name)
    assert act["opened_with"] == reviewer.public.fingerprint
    assert act["wrote"] == [{"file": str(reply), "sha256": hashlib.sha256(reply.read_bytes()).hexdigest()}]
    assert answering(path, "--received", "--case", case, "--here").code == 0
    assert check_log((case / LOG_NAME).read_bytes()) == []
    assert len((case / LOG_NAME).read_bytes().splitlines()) == 2


def test_a_custody_log_is_never_written_onto_the_stick(answering, stick, reviewer):
    """It says which reply answers which submission."""
    result = answering(find(stick, reviewer, "amina"), "--received", "--case", stick / "case")
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert "choose another place with --case, or add --here" in result.err
    assert not (stick / "case").exists()
    assert not (stick / "replies").exists()


def test_a_bundle_of_several_needs_a_name(answering, stick):
    result = answering(stick, "--received")
    assert result.code == 2
    assert "3 envelopes in" in result.err
    assert "--name" in result.err


def test_a_submission_without_a_receipt_cannot_be_answered(answering, stick, reviewer):
    result = answering(find(stick, reviewer, "nobody"), "--received")
    assert (result.code, result.err.count("\n")) == (1, 1)
    assert "does not say where replies go" in result.err
    assert not (stick / "replies").exists()


def test_a_damaged_submission_cannot_be_answered(answering, stick, reviewer):
    path = find(stick, reviewer, "amina")
    path.write_bytes(flip(path.read_bytes(), -1))
    result = answering(path, "--received")
    assert (result.code, result.err.count("\n")) == (1, 1)
    assert "damaged" in result.err
    assert not (stick / "replies").exists()


def test_an_envelope_alone_needs_a_bundle_to_write_to(answering, stick, reviewer, tmp_path):
    alone = tmp_path / "alone" / "mine.envelope"
    alone.parent.mkdir()
    find(stick, reviewer, "amina").rename(alone)
    result = answering(alone, "--received")
    assert (result.code, "`leakdrop-review reply -o` says which bundle" in result.err) == (2, True)
    assert answering(alone, "--received", "-o", alone.parent).code == 1
    assert answering(alone, "--received", "-o", stick).code == 0
    assert open_reply(only_reply(stick)).index.message == RECEIVED


@pytest.mark.parametrize("what", ["link", "file"])
def test_replies_go_nowhere_but_into_a_folder_of_the_bundle(answering, stick, reviewer, tmp_path, what):
    (tmp_path / "elsewhere").mkdir()
    if what == "link":
        (stick / "replies").symlink_to(tmp_path / "elsewhere")
    else:
        (stick / "replies").write_text("")
    result = answering(find(stick, reviewer, "amina"), "--received")
    assert (result.code, "is not a folder" in result.err) == (1, True)
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_read_only_stick_is_told(answering, reviewer, tmp_path):
    if not temporary_mount(tmp_path / "mount", "4m"):
        pytest.skip("to run it: be root")
    try:
        write_bundle(tmp_path / "mount" / "stick", submissions(reviewer)[:1])
        assert run("mount", "-o", "remount,ro", tmp_path / "mount").returncode == 0
        result = answering(tmp_path / "mount" / "stick", "--received")
        assert (result.code, result.err.count("\n")) == (1, 1)
        assert "is read-only" in result.err
    finally:
        run("umount", tmp_path / "mount")


def test_a_full_stick_is_told_and_keeps_no_half_of_a_reply(answering, reviewer, tmp_path):
    if not temporary_mount(tmp_path / "mount", "400k"):
        pytest.skip("to run it: be root")
    try:
        write_bundle(tmp_path / "mount" / "stick", submissions(reviewer)[:1])
        result = answering(tmp_path / "mount" / "stick", "--received")
        assert (result.code, "KiB free" in result.err) == (1, True)
        assert list_tree(tmp_path / "mount" / "stick" / "replies") == []
    finally:
        run("umount", tmp_path / "mount")


def test_a_reply_has_its_name_only_when_it_is_whole(stick, reviewer, tmp_path):
    (tmp_path / "large").write_bytes(bytes(MAX_REPLY_FILES))
    path = find(stick, reviewer, "amina")
    command = [BIN / "leakdrop-review", "reply", path, *reviewer.arguments, "--file", tmp_path / "large"]
    for delay in (0.3, 0.6, 0.9):
        process = subprocess.Popen([str(word) for word in command], stdout=subprocess.DEVNULL)
        try:
            process.wait(delay)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    for reply in (stick / "replies").glob("*.envelope"):
        open_reply(reply)


# Receipts in `list`.


@pytest.fixture
def listing(review, reviewer):
    return lambda *arguments: review("list", *arguments, *reviewer.arguments)


def test_submissions_of_one_receipt_are_told_together(listing, reviewer, tmp_path):
    again = seal_bytes([reviewer.public], "amina again", reply_to=AMINA.reply_to)
    first, _, _, second = write_bundle(tmp_path / "stick", [*submissions(reviewer), again])
    result = listing(tmp_path / "stick")
    assert (result.code, result.err) == (0, "")
    names = ", ".join(sorted([first.name[:8], second.name[:8]]))
    assert f"From the same receipt: {names}" in result.out.splitlines()
    records = json.loads(listing(tmp_path / "stick", "--json").out)["envelopes"]
    numbers = {record["name"]: record["receipt"] for record in records}
    assert numbers[first.name] == numbers[second.name] == 1
    assert sorted(numbers.values(), key=str) == [1, 1, None, None]


def test_submissions_of_different_sources_are_not_told_together(listing, stick):
    assert "same receipt" not in listing(stick).out


@pytest.mark.parametrize("forged", ["key", "mailbox"])
def test_what_has_only_half_of_a_receipt_is_not_told_together(listing, reviewer, tmp_path, forged):
    half = (
        ReplyTo(AMINA.mailbox, BEN.key_pair.public)
        if forged == "key"
        else ReplyTo(BEN.mailbox, AMINA.key_pair.public)
    )
    envelopes = [submissions(reviewer)[0], seal_bytes([reviewer.public], "forged", reply_to=half)]
    first, second = write_bundle(tmp_path / "stick", envelopes)
    result = listing(tmp_path / "stick")
    assert "same receipt" not in result.out
    if forged == "key":
        names = ", ".join(sorted([first.name[:8], second.name[:8]]))
        assert (
            f"WARNING: {names} have the same mailbox and different keys: one of them is forged." in result.err
        )
    else:
        assert result.err == ""
    records = json.loads(listing(tmp_path / "stick", "--json").out)["envelopes"]
    assert [record["receipt"] for record in records] == [None, None]


@pytest.fixture
def forgery(reviewer, tmp_path):
    """Amina's envelope, and another one with her mailbox and Ben's key."""
    half = ReplyTo(AMINA.mailbox, BEN.key_pair.public)
    envelopes = [submissions(reviewer)[0], seal_bytes([reviewer.public], "forged", reply_to=half)]
    return write_bundle(tmp_path / "stick", envelopes)


def test_a_forgery_is_told_when_somebody_is_about_to_answer_it(answering, forgery, tmp_path):
    names = ", ".join(sorted(path.name[:8] for path in forgery))
    for path in forgery:
        result = answering(path, "--received", "--case", tmp_path / "case", "--here")
        assert (result.code, result.out) == (1, "")
        assert result.err == (
            f"leakdrop-review: {names} have the same mailbox and different keys: one of them is forged, "
            "perhaps this one. Whoever forged it could read the reply. "
            "Nothing was sealed; with --anyway it is.\n"
        )
    assert not (tmp_path / "stick/replies").exists()
    assert not (tmp_path / "case").exists()


def test_what_may_be_forged_is_answered_if_the_reviewer_says_so(answering, forgery, tmp_path):
    _, forged = forgery
    result = answering(forged, "--received", "--anyway")
    assert (result.code, result.err.startswith("WARNING: ")) == (0, True)
    assert "one of them is forged, perhaps this one" in result.err
    assert "Whoever made this submission can open it, and that may be the forger." in result.out
    assert "twelve words" not in result.out
    assert open_reply(only_reply(tmp_path / "stick"), BEN).index.message == RECEIVED


def test_a_real_and_a_forged_pair_are_kept_apart(listing, reviewer, tmp_path):
    half = ReplyTo(AMINA.mailbox, BEN.key_pair.public)
    texts = [("1", AMINA.reply_to), ("2", AMINA.reply_to), ("3", half), ("4", half)]
    paths = write_bundle(
        tmp_path / "stick", [seal_bytes([reviewer.public], text, reply_to=to) for text, to in texts]
    )
    told = [line for line in listing(tmp_path / "stick").out.splitlines() if "same receipt" in line]
    pairs = [", ".join(sorted(path.name[:8] for path in pair)) for pair in (paths[:2], paths[2:])]
    assert sorted(told) == sorted(f"From the same receipt: {pair}" for pair in pairs)
