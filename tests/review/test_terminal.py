"""What a terminal is shown, whatever an envelope says; and what is said when something goes wrong."""

import errno
import json
import os
import pty
import signal
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leakdrop.errors import NoRoomError, UsageError
from leakdrop.terminal import (
    CommandParser,
    Progress,
    count,
    describe_contents,
    encode_json,
    group_fingerprint,
    human_size,
    is_deceptive,
    run_command,
    say,
    visible,
)
from tests.media import ARABIC
from tests.site import PATIENCE, run

DECEPTIVE = {
    "escape": ("\x1b[2J", "‹U+001B›[2J"),
    "one-byte escape": ("\x9b2J", "‹U+009B›2J"),
    "delete": ("\x7f", "‹U+007F›"),
    "carriage return": ("a\rb", "a‹U+000D›b"),
    "line end": ("a\nb", "a‹U+000A›b"),
    "tab": ("a\tb", "a‹U+0009›b"),
    "next line": ("\x85", "‹U+0085›"),
    "line separator": ("\u2028", "‹U+2028›"),
    "paragraph separator": ("\u2029", "‹U+2029›"),
    "override": ("\u202e", "‹U+202E›"),
    "isolate": ("\u2067", "‹U+2067›"),
    "Arabic mark": ("\u061c", "‹U+061C›"),
    "zero-width space": ("\u200b", "‹U+200B›"),
    "byte order mark": ("\ufeff", "‹U+FEFF›"),
    "soft hyphen": ("\u00ad", "‹U+00AD›"),
    "tag": ("\U000e0041", "‹U+E0041›"),
    "half of a pair": ("\udc80", "‹U+DC80›"),
    "blank letter": ("\u3164", "‹U+3164›"),
}
HONEST = {
    "Arabic and Urdu": ARABIC.replace("\n", " "),
    "Urdu joiner": "می‌خواہم",
    "end of a verse": "\u06dd٢",
    "Arabic year": "\u0601٢٠٢٦",
    "Hindi": "हिन्दी क्ष",
    "Chinese": "会议",
    "emoji family": "👩‍👩‍👧",
    "combining accent": "e\u0301",
}


@pytest.mark.parametrize(("text", "expected"), DECEPTIVE.values(), ids=DECEPTIVE)
def test_a_deceptive_character_is_spelled_out(text, expected):
    assert visible(text) == expected


@pytest.mark.parametrize("text", HONEST.values(), ids=HONEST)
def test_honest_text_stays(text):
    assert visible(text) == text


def test_every_letter_stays_but_those_that_are_blank():
    letters = (chr(point) for point in range(sys.maxunicode + 1))
    changed = {letter for letter in letters if letter.isalnum() and visible(letter) != letter}
    assert changed == set("\u115f\u1160\u3164\uffa0")


def test_of_a_message_tabs_and_line_ends_stay_and_nothing_else():
    assert visible("a\tb\nc\r\x0b", newlines=True) == "a\tb\nc‹U+000D›‹U+000B›"


@given(st.text(st.characters()))
def test_any_text_becomes_harmless(text):
    assert not any(map(is_deceptive, visible(text)))


@given(
    st.recursive(
        st.text(st.characters()), lambda values: st.lists(values) | st.dictionaries(st.text(), values)
    )
)
@pytest.mark.parametrize("ascii_only", [True, False])
def test_any_json_is_harmless_and_says_the_same(ascii_only, value):
    encoded = encode_json(value, ascii_only=ascii_only)
    assert json.loads(encoded) == value
    assert not any(map(is_deceptive, encoded.replace("\n", "")))


def test_json_for_people_keeps_their_letters():
    assert encode_json("شهادة\u202e", ascii_only=False) == '"شهادة\\u202e"'


def test_a_tag_is_escaped_as_a_pair():
    assert encode_json("\U000e0041", ascii_only=False) == '"\\udb40\\udc41"'


def test_what_is_said_is_harmless_even_if_nobody_thought_of_it(capsys):
    say("\x1b[31m")
    assert capsys.readouterr().out == "‹U+001B›[31m\n"


SIZES = {
    0: "0 bytes",
    1: "1 byte",
    1023: "1023 bytes",
    1024: "1.0 KiB",
    263_472: "257.3 KiB",
    1_048_575: "1.0 MiB",
    4_227_858_432: "3.9 GiB",
    5 * 2**40: "5.0 TiB",
}


@pytest.mark.parametrize(("size", "expected"), SIZES.items())
def test_a_size_is_told_as_people_say_it(size, expected):
    assert human_size(size) == expected


def test_things_are_counted():
    assert [count(1, "file"), count(0, "file"), count(10_000, "file")] == [
        "1 file",
        "0 files",
        "10,000 files",
    ]
    assert [count(3, "key"), count(1, "key"), count(3, "reply")] == ["3 keys", "1 key", "3 replies"]


CONTENTS = {
    (0, False): "nothing",
    (0, True): "a message",
    (1, False): "1 file",
    (2, True): "a message and 2 files",
}


@pytest.mark.parametrize(("contents", "expected"), CONTENTS.items())
def test_contents_are_described(contents, expected):
    assert describe_contents(*contents) == expected


def test_a_fingerprint_is_grouped_by_four():
    assert group_fingerprint("0123456789abcdef") == "0123 4567 89ab cdef"


def fail(error: BaseException):
    def command() -> int:
        raise error

    return command


FAILURES = {
    "wrong use": (UsageError("Not like this."), 2, "program: Not like this.\n"),
    "failure": (NoRoomError(), 1, "program: There is not enough free space.\n"),
    "refusal by the system": (
        OSError(errno.ENOSPC, "No space left on device", "/stick/x"),
        1,
        "program: /stick/x: No space left on device.\n",
    ),
    "refusal without a path": (OSError(errno.EIO, "Input/output error"), 1, "program: Input/output error.\n"),
    "hostile path": (
        FileNotFoundError(errno.ENOENT, "No such file or directory", "a\n\x1b"),
        1,
        "program: a‹U+000A›‹U+001B›: No such file or directory.\n",
    ),
    "interruption": (KeyboardInterrupt(), 130, "program: Stopped.\n"),
    "memory": (MemoryError(), 1, "program: There is not enough memory.\n"),
}


@pytest.mark.parametrize(("error", "code", "line"), FAILURES.values(), ids=FAILURES)
def test_what_stops_a_command_is_one_line(capsys, error, code, line):
    assert run_command(fail(error), "program") == code
    assert capsys.readouterr() == ("", line)


def test_a_mistake_of_ours_is_told_without_what_a_source_said(capsys):
    assert run_command(lambda: visible(None, newlines="what the source said"), "program") == 1
    out, err = capsys.readouterr()
    assert err.startswith(
        "program: This is a mistake of leakdrop's, not yours: TypeError in leakdrop.terminal:"
    )
    assert err.count("\n") == 1
    assert "source said" not in out + err


def test_a_command_ends_with_its_own_code():
    assert [run_command(lambda: None, "p"), run_command(lambda: 1, "p")] == [0, 1]


def test_a_parser_complains_in_one_sentence():
    parser = CommandParser(prog="program")
    parser.add_argument("--known")
    with pytest.raises(UsageError, match=r"^unrecognized arguments: --kno x; see program --help\.$"):
        parser.parse_args(["--kno", "x"])


def python(source: str, **options) -> subprocess.CompletedProcess:
    return run(sys.executable, "-c", f"from leakdrop.terminal import *\n{source}", **options)


def test_a_reader_who_leaves_is_no_error():
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as nobody:
        source = "import sys\nsys.exit(run_command(lambda: say('a line'), 'program'))"
        result = subprocess.run(
            [sys.executable, "-c", f"from leakdrop.terminal import *\n{source}"],
            stdout=nobody,
            stderr=subprocess.PIPE,
            # Python complains at its end only of what it still holds.
            env={name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"},
            timeout=PATIENCE,
        )
    assert (result.returncode, result.stderr) == (1, b"")


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_signal_unwinds_the_command(name):
    result = python(
        f"""
import os, sys
def command():
    try:
        os.kill(os.getpid(), signal.{name})
        time.sleep({PATIENCE})
    finally:
        say("cleaned up")
sys.exit(run_command(command, "program"))
"""
    )
    assert (result.returncode, result.stdout) == (128 + getattr(signal, name), "cleaned up\n")


def test_a_signal_that_is_ignored_stays_ignored():
    result = python(
        """
import os, sys
signal.signal(signal.SIGHUP, signal.SIG_IGN)
sys.exit(run_command(lambda: os.kill(os.getpid(), signal.SIGHUP), "program"))
"""
    )
    assert result.returncode == 0


def test_a_terminal_without_the_letters_shows_escapes():
    result = python(
        "import sys\nsys.exit(run_command(lambda: say('é شهادة'), 'p'))",
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )
    assert (result.returncode, result.stdout) == (0, "\\xe9 \\u0634\\u0647\\u0627\\u062f\\u0629\n")


def draw(source: str) -> str:
    """What a terminal gets of a program."""
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "wb") as terminal:
        subprocess.run(
            [sys.executable, "-c", f"from leakdrop.terminal import *\n{source}"],
            stderr=terminal,
            env={**os.environ, "COLUMNS": "200"},
            timeout=PATIENCE,
            check=True,
        )
        drawn = os.read(ours, 4096).decode()
    os.close(ours)
    return drawn


def test_progress_is_drawn_on_a_terminal_and_wiped_away():
    drawn = draw("""
with Progress(2048, "Working\\x1b") as progress:
    progress(1024)
""")
    assert drawn.startswith("\rWorking‹U+001B›  [############............]  50%  1.0 KiB of 2.0 KiB")
    assert drawn.endswith("\r")
    assert drawn.split("\r")[-2].strip() == ""


def test_what_is_done_now_is_shown_at_once():
    """Even if it is silent for long: here to its end."""
    drawn = draw("progress = Progress(10, 'Checking')\nprogress(10)\nprogress.rename('File 2 of 3')")
    assert drawn.split("\r")[-1].startswith("File 2 of 3  [########################] 100%")


def test_progress_is_silent_elsewhere(capsys):
    with Progress(10, "Working") as progress:
        progress(5)
        progress.rename("Resting")
    assert capsys.readouterr() == ("", "")
