"""Passphrases: typed, piped, or in a file."""

import os
import pty
import subprocess
import sys
from collections.abc import Sequence

import pytest

from leakdrop.errors import UsageError
from leakdrop.review.passphrases import gather_passphrases
from tests.site import run

CHOOSE = "choose_passphrase(None)"
GATHER = "gather_passphrases(['Alice', 'باب'], [])"


def make_command(expression: str) -> list[str]:
    """A command that shows what an expression gives, as any of leakdrop's commands would."""
    source = (
        "import sys; from leakdrop.review.passphrases import *; from leakdrop.terminal import *\n"
        f"sys.exit(run_command(lambda: print(ascii({expression})), 'program'))"
    )
    return [sys.executable, "-c", source]


def pipe(expression: str, text: bytes) -> tuple[int, str, str]:
    result = subprocess.run(make_command(expression), input=text, capture_output=True, timeout=60)
    return result.returncode, result.stdout.decode(), result.stderr.decode()


def type_at_terminal(expression: str, answers: Sequence[str]) -> tuple[int, str]:
    """A command's exit code and what its terminal showed, when a line is typed at each question."""
    process, terminal = pty.fork()
    if process == 0:
        try:
            os.execv(sys.executable, make_command(expression))  # noqa: S606 - a terminal needs a fork
        finally:
            os._exit(127)  # or the tests would go on twice
    shown, answered = "", 0
    while piece := read_terminal(terminal):
        shown += piece
        if answered < len(answers) and shown.endswith(": "):
            os.write(terminal, f"{answers[answered]}\n".encode())
            answered += 1
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), shown


def read_terminal(terminal: int) -> str:
    try:
        return os.read(terminal, 4096).decode()
    except OSError:  # so Linux tells that everybody has left
        return ""


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_one_line_end_in_a_file_is_no_part_of_the_passphrase(tmp_path, end):
    (tmp_path / "passphrase").write_bytes(f" كلمة \n السر\n{end}".encode())
    expected = " كلمة \n السر\n" if end else " كلمة \n السر"
    assert gather_passphrases(["Alice"], [tmp_path / "passphrase"]) == [expected]


def test_one_file_is_for_all_keys(tmp_path):
    (tmp_path / "a").write_text("one")
    assert gather_passphrases(["Alice", "Bob"], [tmp_path / "a"]) == ["one", "one"]


def test_several_files_are_for_one_key_each(tmp_path):
    (tmp_path / "a").write_text("one")
    (tmp_path / "b").write_text("two")
    assert gather_passphrases(["Alice", "Bob"], [tmp_path / "a", tmp_path / "b"]) == ["one", "two"]


def test_another_number_of_files_is_refused(tmp_path):
    with pytest.raises(UsageError, match="3 --key and 2 --passphrase-file"):
        gather_passphrases(["Alice", "Bob", "Eve"], [tmp_path / "a", tmp_path / "b"])


PIPED = {
    "one line for all": (b"one\n", ["one", "one"]),
    "a line each": (b"one\r\ntwo", ["one", "two"]),
    "more lines than keys": (b"one\ntwo\nthree\n", ["one", "two"]),
}


@pytest.mark.parametrize(("text", "expected"), PIPED.values(), ids=PIPED)
def test_a_pipe_gives_lines(text, expected):
    assert pipe(GATHER, text) == (0, f"{expected}\n", "")


def test_of_a_pipe_a_new_key_takes_one_line():
    assert pipe(CHOOSE, "كلمة السر الطويلة\nother\n".encode()) == (0, ascii("كلمة السر الطويلة") + "\n", "")


def test_a_short_new_passphrase_is_told():
    told = "Note: The passphrase has only 9 characters; six random words are a good one.\n"
    assert pipe(CHOOSE, "كلمة السر\n".encode()) == (0, ascii("كلمة السر") + "\n", told)


EMPTY = "program: The passphrase on standard input is empty.\n"
WRONG_PIPES = {
    "nothing": (b"", "program: No passphrase was given: type one, pipe one, or name a --passphrase-file.\n"),
    "an empty line": (b"\n", EMPTY),
    "an empty second line": (b"one\n\n", EMPTY),
    "no UTF-8": (b"\xff\n", "program: The passphrase on standard input is not UTF-8 text.\n"),
    "no end": (b"x" * 70_000, "program: The passphrase on standard input is longer than 65,536 bytes.\n"),
}


@pytest.mark.parametrize(("text", "line"), WRONG_PIPES.values(), ids=WRONG_PIPES)
def test_a_wrong_pipe_is_refused(text, line):
    assert pipe(GATHER, text) == (2, "", line)


def test_a_named_pipe_is_a_file_too():
    command = make_command("gather_passphrases(['Alice'], [Path('/dev/stdin')])")
    assert run(*command, input="one\n").stdout == "['one']\n"


def test_at_a_terminal_each_passphrase_is_asked_for_and_not_shown():
    code, shown = type_at_terminal(GATHER, ["one", "two"])
    assert code == 0
    assert shown == "Passphrase of “Alice”: \r\nPassphrase of “باب”: \r\n['one', 'two']\r\n"


def test_at_a_terminal_a_new_passphrase_is_asked_for_twice():
    code, shown = type_at_terminal(CHOOSE, ["long as it is", "long as it is"])
    assert code == 0
    assert shown == "Passphrase of the new key: \r\nThe same once more: \r\n'long as it is'\r\n"


SLIPS = {
    "two that differ": (["one", "two"], 2, "The two passphrases differ."),
    "nothing": ([""], 2, "The passphrase is empty."),
    "the end": (["\x04"], 2, "No passphrase was given."),
    "an interruption": (["\x03"], 130, "Stopped."),
}


@pytest.mark.parametrize(("answers", "code", "sentence"), SLIPS.values(), ids=SLIPS)
def test_at_a_terminal_a_slip_is_told(answers, code, sentence):
    told = type_at_terminal(CHOOSE, answers)
    assert told[0] == code
    assert told[1].endswith(f"program: {sentence}\r\n")
