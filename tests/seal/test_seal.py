"""`leakdrop-seal`: what goes in comes out, and nothing is lost, overwritten or half written."""

import datetime
import errno
import io
import os
import random
import re
import shlex
import socket
import stat
import sys
import time
from collections.abc import Callable

import pytest

from leakdrop.envelope.index import FileEntry
from leakdrop.envelope.keyfile import encode_public_key
from leakdrop.envelope.opening import Envelope, open_envelope
from leakdrop.errors import SubmissionError
from leakdrop.seal.behind import WriteBehind
from leakdrop.seal.cli import EXAMPLES, main, make_parser
from leakdrop.seal.offline import draft, guess_type, seal_draft
from leakdrop.terminal import group_fingerprint, human_size
from tests.keys import label_key_pair, public_key_file
from tests.media import ARABIC
from tests.review.inboxes import measure_memory
from tests.site import BIN, run, temporary_mount


@pytest.fixture
def seal(capsys, monkeypatch, tmp_path) -> Callable[..., tuple[int, str, str]]:
    """Runs `leakdrop-seal` in this process, in tmp_path with alice.pub; gives code, output and errors."""
    (tmp_path / "alice.pub").write_text(encode_public_key(public_key_file("alice")))
    monkeypatch.chdir(tmp_path)

    def run_main(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["leakdrop-seal", *map(str, arguments)])
        capsys.readouterr()
        return main(), *capsys.readouterr()

    return run_main


def open_sealed(path, label: str = "alice") -> tuple[Envelope, list[bytes]]:
    with path.open("rb") as source:
        envelope = open_envelope(source, [label_key_pair(label)])
        envelope.check()
        return envelope, [envelope.read_file(number) for number in range(len(envelope.index.files))]


def test_what_goes_in_comes_out(seal, tmp_path):
    talk = random.Random(1).randbytes(1_000_000)
    (tmp_path / "تسجيل.m4a").write_bytes(talk)
    (tmp_path / "empty").touch()
    (tmp_path / "note.txt").write_text(ARABIC)
    code, out, err = seal(
        "--to", "alice.pub", "--message", "note.txt", "--kind", "WRAP training", "-o", "x.envelope",
        "تسجيل.m4a", "empty",
    )  # fmt: skip
    assert (code, err) == (0, "")
    envelope, contents = open_sealed(tmp_path / "x.envelope")
    assert contents == [talk, b""]
    index = envelope.index
    assert (index.sealed, index.kind, index.message) == ("offline", "WRAP training", ARABIC)
    assert index.files == (FileEntry("تسجيل.m4a", "audio/mp4", 1_000_000), FileEntry("empty", "", 0))
    size = human_size((tmp_path / "x.envelope").stat().st_size)
    assert out == (
        f"Sealed a message and 2 files into x.envelope ({size}).\n"
        "It opens with this key and with no other:\n"
        "  alice\n"
        f"    {group_fingerprint(label_key_pair('alice').public.fingerprint)}\n"
    )
    assert stat.S_IMODE((tmp_path / "x.envelope").stat().st_mode) == 0o600


def test_it_is_sealed_to_every_key_of_every_file(seal, tmp_path):
    both = [encode_public_key(public_key_file(label)) for label in ("bob", "carol")]
    (tmp_path / "both.pub").write_text("".join(both))
    (tmp_path / "talk").touch()
    code, out, _ = seal("--to", "alice.pub", "--to", "both.pub", "--to", "both.pub", "-o", "x", "talk")
    assert code == 0
    assert "It opens with any of these 3 keys" in out
    for label in ("alice", "bob", "carol"):
        assert open_sealed(tmp_path / "x", label)[1] == [b""]


def test_an_expired_key_is_left_out_and_told(seal, tmp_path):
    today = datetime.datetime.now(datetime.UTC).date()
    yesterday = today - datetime.timedelta(1)
    files = [public_key_file("bob", yesterday), public_key_file("carol", today)]
    (tmp_path / "all.pub").write_text("".join(map(encode_public_key, files)))
    (tmp_path / "talk").touch()
    code, _, err = seal("--to", "all.pub", "-o", "x", "talk")
    assert (code, err) == (0, f"Note: The key “bob” expired on {yesterday} and is left out.\n")
    assert open_sealed(tmp_path / "x", "carol")[0].header.key_ids == (label_key_pair("carol").public.key_id,)


def test_without_a_key_that_can_be_used_nothing_is_sealed(seal, tmp_path):
    yesterday = datetime.datetime.now(datetime.UTC).date() - datetime.timedelta(1)
    (tmp_path / "old.pub").write_text(encode_public_key(public_key_file("bob", yesterday)))
    (tmp_path / "talk").touch()
    code, _, err = seal("--to", "old.pub", "-o", "x", "talk")
    assert code == 1
    assert err.endswith(
        "leakdrop-seal: Every one of these keys has expired: ask for the reviewers' new key.\n"
    )
    assert not (tmp_path / "x").exists()


def test_too_many_keys_are_refused(seal, tmp_path):
    files = [public_key_file(f"reviewer {number}") for number in range(17)]
    (tmp_path / "all.pub").write_text("".join(map(encode_public_key, files)))
    (tmp_path / "talk").touch()
    code, _, err = seal("--to", "all.pub", "-o", "x", "talk")
    assert (code, err) == (1, "leakdrop-seal: An envelope is sealed to 1 to 16 keys, not 17.\n")
    assert not (tmp_path / "x").exists()


def test_a_file_that_is_no_key_is_named(seal, tmp_path):
    (tmp_path / "talk").write_text("hello")
    code, _, err = seal("--to", "talk", "-o", "x", "talk")
    assert code == 1
    assert err.startswith("leakdrop-seal: talk: This is not a public key file")


MESSAGES = {
    "line ends of Windows": (b"a\r\nb\rc\n", "a\nb\nc\n"),
    "byte order mark": (b"\xef\xbb\xbfa", "a"),
    "U+0000": (b"a\0b", "a\ufffdb"),
    "a mebibyte of lines": (b"\r\n" * 1_048_576, "\n" * 1_048_576),
}


@pytest.mark.parametrize(("written", "expected"), MESSAGES.values(), ids=MESSAGES)
def test_a_message_is_cleaned(seal, tmp_path, written, expected):
    (tmp_path / "note").write_bytes(written)
    assert seal("--to", "alice.pub", "-o", "x", "--message", "note")[0] == 0
    assert open_sealed(tmp_path / "x")[0].index.message == expected


def test_a_message_can_be_piped(seal, tmp_path):
    command = [BIN / "leakdrop-seal", "--to", "alice.pub", "--message", "-", "-o", "x"]
    result = run(*command, input=ARABIC, cwd=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    assert open_sealed(tmp_path / "x")[0].index.message == ARABIC


REFUSED_MESSAGES = {
    "another encoding": (
        "é".encode("latin-1"),
        "is not UTF-8 text: save it as UTF-8, or attach it as a file.",
    ),
    "too much": (b"x" * 1_048_577, "The message is longer than 1 MiB: attach it as a file."),
    "far too much": (b"x" * 3_000_000, "is longer than 1 MiB: attach it as a file."),
}


@pytest.mark.parametrize(("written", "sentence"), REFUSED_MESSAGES.values(), ids=REFUSED_MESSAGES)
def test_a_message_that_cannot_be_one_is_refused(seal, tmp_path, written, sentence):
    (tmp_path / "note").write_bytes(written)
    code, _, err = seal("--to", "alice.pub", "-o", "x", "--message", "note")
    assert code == 1
    assert err.endswith(f"{sentence}\n")
    assert err.count("\n") == 1
    assert not (tmp_path / "x").exists()


NAMES = {
    "no UTF-8": (b"talk\xff.m4a", "talk\ufffd.m4a", "audio/mp4"),
    "line end": (b"a\nb.PDF", "a\nb.PDF", "application/pdf"),
    "an option": (b"-o", "-o", ""),
    "packed": (b"scans.tar.gz", "scans.tar.gz", ""),
    "no ending": (b"README", "README", ""),
}


@pytest.mark.parametrize(("name", "claimed", "type"), NAMES.values(), ids=NAMES)
def test_a_name_is_the_last_part_of_the_path(seal, tmp_path, name, claimed, type):
    folder = tmp_path / "somebody's home"
    folder.mkdir()
    path = os.path.join(os.fsencode(folder), name)  # noqa: PTH118 - Path takes no bytes
    with open(path, "wb"):  # noqa: PTH123
        pass
    assert seal("--to", "alice.pub", "-o", "x", "--", os.fsdecode(path))[0] == 0
    assert open_sealed(tmp_path / "x")[0].index.files == (FileEntry(claimed, type, 0),)


def test_types_do_not_depend_on_the_machine(tmp_path):
    source = (
        "import mimetypes; mimetypes.init(); from leakdrop.seal.offline import *; print(guess_type('a.m4a'))"
    )
    (tmp_path / "mimetypes.py").write_text("")
    assert run(sys.executable, "-c", source).stdout == "audio/mp4\n"
    assert guess_type("a.docx") == guess_type("a.unheard-of") == ""


@pytest.mark.parametrize("arguments", [[], ["--message", "empty"]], ids=["nothing", "an empty message"])
def test_without_anything_to_seal_nothing_is_sealed(seal, tmp_path, arguments):
    (tmp_path / "empty").touch()
    code, _, err = seal("--to", "alice.pub", "-o", "x", *arguments)
    assert (code, err) == (2, "leakdrop-seal: There is nothing to seal: name a file, or a --message.\n")


def test_an_empty_file_is_something_to_seal(seal, tmp_path):
    (tmp_path / "empty").touch()
    assert seal("--to", "alice.pub", "-o", "x", "empty")[0] == 0


NO_FILES = {
    "a folder": lambda path: path.mkdir(),
    "a pipe": os.mkfifo,
    "a socket": lambda path: socket.socket(socket.AF_UNIX).bind(path.name),
    "a device": lambda path: path.symlink_to("/dev/zero"),
}


@pytest.mark.parametrize("make", NO_FILES.values(), ids=NO_FILES)
@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
def test_what_is_no_file_is_refused(seal, tmp_path, make):
    make(tmp_path / "thing")
    code, _, err = seal("--to", "alice.pub", "-o", "x", "thing")
    assert code in (1, 2)
    assert err.startswith("leakdrop-seal: thing")
    assert err.count("\n") == 1
    assert not (tmp_path / "x").exists()


def test_a_link_to_a_file_is_that_file_under_the_links_name(seal, tmp_path):
    (tmp_path / "talk").write_bytes(b"hello")
    (tmp_path / "link.m4a").symlink_to("talk")
    assert seal("--to", "alice.pub", "-o", "x", "link.m4a")[0] == 0
    envelope, contents = open_sealed(tmp_path / "x")
    assert (envelope.index.files[0].name, contents) == ("link.m4a", [b"hello"])


def test_a_missing_file_is_named(seal):
    assert seal("--to", "alice.pub", "-o", "x", "no") == (
        1,
        "",
        "leakdrop-seal: no: No such file or directory.\n",
    )


@pytest.mark.parametrize("there", ["file", "folder", "link to nowhere"])
def test_nothing_is_overwritten(seal, tmp_path, there):
    (tmp_path / "talk").write_text("hello")
    target = tmp_path / "x"
    if there == "file":
        target.write_text("precious")
    elif there == "folder":
        target.mkdir()
    else:
        target.symlink_to("nowhere")
    before = sorted(path.name for path in tmp_path.iterdir())
    code, _, err = seal("--to", "alice.pub", "-o", "x", "talk")
    assert (code, err) == (
        2,
        "leakdrop-seal: x exists already, and nothing is overwritten: choose another name with -o.\n",
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    assert there != "file" or target.read_text() == "precious"


def test_the_envelope_is_none_of_the_files(seal, tmp_path):
    (tmp_path / "talk").write_text("hello")
    code, _, err = seal("--to", "alice.pub", "-o", "../" + tmp_path.name + "/talk", "talk")
    assert code == 2
    assert "is one of the files to seal" in err
    assert (tmp_path / "talk").read_text() == "hello"


def seal_talk(tmp_path, progress) -> None:
    """Seal tmp_path/talk into tmp_path/x."""
    submission = draft("offline", "", "", [tmp_path / "talk"])
    seal_draft(submission, [label_key_pair("alice").public], tmp_path / "x", progress)


def test_a_file_that_appears_meanwhile_is_not_overwritten(tmp_path):
    (tmp_path / "talk").write_text("hello")
    with pytest.raises(FileExistsError):
        seal_talk(tmp_path, lambda size: (tmp_path / "x").write_text("precious"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["talk", "x"]
    assert (tmp_path / "x").read_text() == "precious"


WRITER = """
import sys
from pathlib import Path
from leakdrop.seal.files import create_whole_file
with create_whole_file(Path(sys.argv[1])) as file:
    file.write(b"whole")
"""


@pytest.mark.needs("strace")
def test_where_no_links_are_known_a_file_gets_its_name_in_one_step_too(tmp_path):
    """As on FAT, which most sticks have. The name never belongs to an empty file, and is never taken away."""
    path, trace = tmp_path / "x", tmp_path / "trace"
    watch = (
        "strace",
        "-f",
        "-qq",
        "-y",
        "-o",
        trace,
        "-e",
        "trace=openat,link,linkat,rename,renameat,renameat2",
    )
    command = (*watch, "-e", "inject=link,linkat:error=EPERM", sys.executable, "-c", WRITER, path)
    assert run(*command).returncode == 0
    assert path.read_bytes() == b"whole"
    calls = trace.read_text()
    assert "(INJECTED)" in calls
    assert [line for line in calls.splitlines() if f'"{path}"' in line and "openat" in line] == []
    path.write_bytes(b"precious")
    done = run(*command)
    assert "FileExistsError" in done.stderr
    assert path.read_bytes() == b"precious"
    assert sorted(found.name for found in tmp_path.iterdir()) == ["trace", "x"]


@pytest.mark.parametrize("change", [b"longer than before", b"cut"], ids=["longer", "shorter"])
def test_a_file_that_changes_meanwhile_is_told(tmp_path, change):
    (tmp_path / "talk").write_text("hello there")
    submission = draft("offline", "", "", [tmp_path / "talk"])
    (tmp_path / "talk").write_bytes(change)
    with pytest.raises(SubmissionError, match="talk has changed while it was sealed"):
        seal_draft(submission, [label_key_pair("alice").public], tmp_path / "x")
    assert [path.name for path in tmp_path.iterdir()] == ["talk"]


def test_an_interruption_leaves_nothing(tmp_path):
    (tmp_path / "talk").write_text("hello")
    names = []

    def interrupt(size: int) -> None:
        names.extend(path.name for path in tmp_path.iterdir())
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        seal_talk(tmp_path, interrupt)
    assert len(names) == 2
    assert "x" not in names
    assert [path.name for path in tmp_path.iterdir()] == ["talk"]


def test_a_folder_that_is_not_there_is_named(seal, tmp_path):
    (tmp_path / "talk").touch()
    code, _, err = seal("--to", "alice.pub", "-o", "no/x", "talk")
    assert (code, err) == (1, "leakdrop-seal: no/x: No such file or directory.\n")


@pytest.fixture
def small_disk(tmp_path):
    """Mounts a small disk: small_disk("1M") is its folder."""
    if os.geteuid() != 0:
        pytest.skip("to run it: be root, who can mount a small disk")
    folder = tmp_path / "disk"

    def mount(options: str):
        if not temporary_mount(folder, options):
            pytest.skip("to run it: be allowed to mount a small disk")
        return folder

    yield mount
    run("umount", folder)


def test_too_little_room_is_told_before_anything_is_written(seal, tmp_path, small_disk):
    (tmp_path / "talk").write_bytes(bytes(2_000_000))
    disk = small_disk("1M")
    code, _, err = seal("--to", "alice.pub", "-o", disk / "x", "talk")
    assert (code, err) == (1, f"leakdrop-seal: The envelope takes 1.9 MiB, and {disk} has 1.0 MiB free.\n")
    assert list(disk.iterdir()) == []


def test_a_disk_that_fills_up_meanwhile_is_named_and_left_clean(tmp_path, small_disk):
    (tmp_path / "talk").write_bytes(bytes(2_000_000))
    disk = small_disk("3M")
    submission = draft("offline", "", "", [tmp_path / "talk"])

    def fill(size: int) -> None:
        (disk / "other").write_bytes(bytes(2_500_000))

    with pytest.raises(OSError, match="No space left on device") as caught:
        seal_draft(submission, [label_key_pair("alice").public], disk / "x", fill)
    assert caught.value.filename == str(disk / "x")
    assert [path.name for path in disk.iterdir()] == ["other"]


def test_memory_does_not_grow_with_the_file(seal, tmp_path):
    with (tmp_path / "talk").open("wb") as file:
        file.truncate(160 * 2**20)
    assert measure_memory("seal", "--to", "alice.pub", "-o", "x", "talk") < 80 * 2**20


def test_too_many_files_are_refused_before_any_is_sealed(tmp_path):
    (tmp_path / "talk").touch()
    submission = draft("offline", "", "", [tmp_path / "talk"] * 10_001)
    with pytest.raises(SubmissionError, match="more than 10,000 files"):
        seal_draft(submission, [label_key_pair("alice").public], tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_a_kind_has_its_bound(seal, tmp_path):
    (tmp_path / "talk").touch()
    assert seal("--to", "alice.pub", "-o", "x", "--kind", "ش" * 32, "talk")[0] == 0
    code, _, err = seal("--to", "alice.pub", "-o", "y", "--kind", "ش" * 33, "talk")
    assert (code, err) == (2, "leakdrop-seal: --kind takes at most 64 bytes.\n")


def test_options_may_stand_between_files(seal, tmp_path):
    for name in ("a", "b", "c"):
        (tmp_path / name).touch()
    assert seal("a", "--to", "alice.pub", "b", "-o", "x", "--kind", "k", "c")[0] == 0
    assert [file.name for file in open_sealed(tmp_path / "x")[0].index.files] == ["a", "b", "c"]


@pytest.mark.parametrize("arguments", [[], ["talk"], ["--to", "alice.pub", "talk"]])
def test_wrong_use_is_one_line(seal, arguments):
    code, out, err = seal(*arguments)
    assert (code, out) == (2, "")
    assert re.fullmatch(r"leakdrop-seal: .*; see leakdrop-seal --help\.\n", err)


def test_help_has_examples_that_parse():
    result = run(BIN / "leakdrop-seal", "--help")
    assert result.returncode == 0
    assert EXAMPLES in result.stdout
    for example in re.findall("^  leakdrop-seal (.*)$", EXAMPLES, re.MULTILINE):
        assert make_parser().parse_intermixed_args(shlex.split(example)).files


class Stubborn(io.BytesIO):
    """A file that takes a few bytes at once, slowly, and is full at some time."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self._room = room

    def write(self, data) -> int:
        if self.tell() + len(data) > self._room:
            raise OSError(errno.ENOSPC, "full")
        time.sleep(0.001)
        return super().write(bytes(data[:50_000]))


def test_writing_behind_gives_the_file_every_byte_in_order():
    file, expected = Stubborn(10**9), io.BytesIO()
    with WriteBehind(file) as sink:
        for number in range(40):
            piece = bytes([number]) * (number * 4_001)
            expected.write(piece)
            assert sink.write(piece) == len(piece)
    assert file.getvalue() == expected.getvalue()


def test_an_error_behind_is_raised_by_the_next_write_or_at_the_end():
    with WriteBehind(Stubborn(10)) as sink:
        sink.write(bytes(100))
        with pytest.raises(OSError, match="full"):
            sink.write(bytes(100))
    with pytest.raises(OSError, match="full"), WriteBehind(Stubborn(10)) as sink:
        sink.write(bytes(100))
