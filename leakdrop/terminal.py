"""What leakdrop's commands have in common: safe text, notes, progress, and the one place for errors.

Names, texts and paths may come from someone who wants to deceive the person at the terminal, or to steer
it. All that a command writes goes through `say` and `note`, which show what hides or moves text. Colours
and interactive screens are left out.
"""

import argparse
import json
import os
import re
import shutil
import signal
import sys
import time
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, NoReturn, Self

from leakdrop.errors import LeakdropError, UsageError

# Control, format, surrogate, line separator, paragraph separator.
_HIDING = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
# Joiners, which Urdu and Persian spelling needs, and the format characters that are drawn: the
# year sign, the end of a verse and their like (Prepended_Concatenation_Mark in Unicode's PropList).
_KEPT = frozenset(
    "\u200c\u200d\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd"
)
# Letters and marks that are drawn as nothing or as a blank (Default_Ignorable_Code_Point; Braille's blank).
_BLANK = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")

INTERRUPTED = 130
REDRAW_AFTER = 0.1  # seconds


def is_deceptive(character: str) -> bool:
    """Whether a character hides itself or other text, moves it, or steers the terminal."""
    if character in _KEPT:
        return False
    return unicodedata.category(character) in _HIDING or character in _BLANK


def visible(text: str, *, newlines: bool = False) -> str:
    """The text, safe to print: deceptive characters are spelled like ‹U+202E›.

    Letters of every script stay as they are. Tabs and line ends stay only with `newlines`.
    """
    return "".join(
        f"‹U+{ord(character):04X}›"
        if is_deceptive(character) and not (newlines and character in "\t\n")
        else character
        for character in text
    )


def encode_json(value: object, *, ascii_only: bool = True) -> str:
    """JSON that no terminal and no editor is deceived by: deceptive characters are escaped.

    For programs, in ASCII; for people, with the letters of every script.
    """
    encoded = json.dumps(value, ensure_ascii=ascii_only, indent=1)
    return "".join(
        _escape(character) if is_deceptive(character) and character != "\n" else character
        for character in encoded
    )


def _escape(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass").hex()
    return re.sub("....", r"\\u\g<0>", units)


def say(text: str = "") -> None:
    """A line, or several, on standard output."""
    sys.stdout.write(visible(text, newlines=True) + "\n")


def note(sentence: str) -> None:
    """A line on standard error about something that does not stop the work."""
    sys.stderr.write(f"Note: {visible(sentence)}\n")


def warn(sentence: str) -> None:
    """A line on standard error that nobody should overlook."""
    sys.stderr.write(f"WARNING: {visible(sentence)}\n")


def human_size(size: int) -> str:
    """A size as people say it: 1 byte, 812 bytes, 257.3 KiB, 3.9 GiB."""
    if size < 1024:
        return "1 byte" if size == 1 else f"{size} bytes"
    scaled = float(size)
    for unit in ("KiB", "MiB", "GiB"):
        scaled /= 1024
        # What would be rounded to 1024.0 is told in the next unit.
        if scaled < 1023.95:
            return f"{scaled:.1f} {unit}"
    return f"{scaled / 1024:.1f} TiB"


def show_number(number: int) -> str:
    """A number as people write it: 10,000."""
    return f"{number:,}"


def count(number: int, noun: str) -> str:
    """A number with its noun: 1 file, 2 files, 3 keys, 10,000 replies."""
    plural = f"{noun[:-1]}ies" if re.search("[^aeiou]y$", noun) else f"{noun}s"
    return f"1 {noun}" if number == 1 else f"{number:,} {plural}"


def describe_contents(files: int, has_message: bool) -> str:
    """What is in a submission: a message and 2 files."""
    parts = ["a message"] * has_message + [count(files, "file")] * (files > 0)
    return " and ".join(parts) or "nothing"


def group_fingerprint(fingerprint: str) -> str:
    """64 hex digits in groups of four, as they are read aloud."""
    return " ".join(fingerprint[start : start + 4] for start in range(0, len(fingerprint), 4))


class Progress:
    """A bar on standard error, if that is a terminal; otherwise nothing.

        with Progress(total, "Extracting") as progress:
            progress(len(piece))

    `show` says how a count is written; counts are bytes unless it says otherwise. At the end the bar goes.
    """

    def __init__(self, total: int, label: str, show: Callable[[int], str] = human_size) -> None:
        self._total = total
        self._label = visible(label)
        self._show = show
        self._done = 0
        self._width = 0
        self._drawn_at = 0.0
        self._is_drawn = sys.stderr.isatty()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._draw("")

    def __call__(self, size: int) -> None:
        self._done = min(self._done + size, self._total)
        now = time.monotonic()
        if self._is_drawn and now - self._drawn_at >= REDRAW_AFTER:
            self._drawn_at = now
            self._draw(self._line())

    def rename(self, label: str) -> None:
        """Say what is done now. It is shown at once: what comes next may take long."""
        self._label = visible(label)
        if self._is_drawn:
            self._draw(self._line())

    def _line(self) -> str:
        share = self._done / self._total if self._total else 1.0
        bar = ("#" * int(share * 24)).ljust(24, ".")
        line = f"{self._label}  [{bar}] {share:4.0%}  {self._show(self._done)} of {self._show(self._total)}"
        return line[: shutil.get_terminal_size().columns - 1]

    def _draw(self, line: str) -> None:
        """Draw over what was drawn before. Blanks, since not every terminal can erase a line."""
        if self._is_drawn and (line or self._width):
            sys.stderr.write("\r" + line.ljust(self._width) + ("" if line else "\r"))
            sys.stderr.flush()
            self._width = len(line)


class CommandParser(argparse.ArgumentParser):
    """An argument parser whose complaint is one sentence, and that guesses nothing."""

    def __init__(self, **options: Any) -> None:
        options.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        options.setdefault("allow_abbrev", False)
        super().__init__(**options)

    def error(self, message: str) -> NoReturn:
        """Raises UsageError."""
        raise UsageError(f"{message}; see {self.prog} --help.")


def run_command(command: Callable[[], int | None], program: str) -> int:
    """Run a command and return its exit code; whatever stops it becomes one line on standard error.

    0 (or what the command returns), 1 for a failure, 2 for wrong use, 130 after an interruption.
    """
    _write_what_cannot_be_encoded()
    try:
        with _signals_unwind():
            code = command() or 0
            sys.stdout.flush()
            return code
    except BrokenPipeError:
        _forget_output()
        return 1
    except KeyboardInterrupt:
        return _fail(program, "Stopped.", INTERRUPTED)
    except LeakdropError as error:
        return _fail(program, str(error), error.exit_code)
    except OSError as error:
        return _fail(program, describe_os_error(error), 1)
    except MemoryError:
        return _fail(program, "There is not enough memory.", 1)
    except Exception as error:  # noqa: BLE001 - the one place; a message could carry a submission's bytes
        return _fail(program, f"This is a mistake of leakdrop's, not yours: {locate(error)}.", 1)


def describe_failure(error: LeakdropError | OSError) -> str:
    """What a person is told of it."""
    return describe_os_error(error) if isinstance(error, OSError) else str(error)


def describe_os_error(error: OSError) -> str:
    """What the system refused, as a sentence that names the path."""
    reason = error.strerror or type(error).__name__
    return f"{error.filename}: {reason}." if error.filename is not None else f"{reason}."


def _fail(program: str, sentence: str, code: int) -> int:
    sys.stderr.write(f"{program}: {visible(sentence)}\n")
    return code


def locate(error: Exception) -> str:
    """The type of an error and the line of leakdrop's that it passed last."""
    places = [f"{type(error).__name__} in {__name__}"]
    trace = error.__traceback__
    while trace:
        module = trace.tb_frame.f_globals.get("__name__", "")
        if module.partition(".")[0] == "leakdrop":
            places.append(f"{type(error).__name__} in {module}:{trace.tb_lineno}")
        trace = trace.tb_next
    return places[-1]


def _write_what_cannot_be_encoded() -> None:
    """A terminal without UTF-8 shows Arabic as \\u0628, and does not stop the command."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _forget_output() -> None:
    """Nobody reads any more; without this Python complains of it once more at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


@contextmanager
def _signals_unwind() -> Iterator[None]:
    """A closed window or a shutdown unwinds the command, so that it removes what is unfinished."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    ours = [number for number in numbers if signal.getsignal(number) is signal.SIG_DFL]
    for number in ours:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)
