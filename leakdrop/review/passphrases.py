"""Passphrases: typed unseen at a terminal, piped a line each, or in a file."""

import getpass
import sys
from collections.abc import Sequence
from pathlib import Path

from leakdrop.errors import UsageError
from leakdrop.terminal import count, note

MAX_PASSPHRASE = 65_536  # bytes
SHORT = 12  # characters


def gather_passphrases(names: Sequence[str], files: Sequence[Path]) -> list[str]:
    """A passphrase for each of the keys with these names.

    One file, or one line of standard input if that is no terminal, is for all; several are for one key each.
    Raises UsageError and OSError.
    """
    if len(files) > 1 and len(files) != len(names):
        raise UsageError(
            f"{len(names)} --key and {len(files)} --passphrase-file: give one for all, or one each."
        )
    if files:
        found = [read_file(path) for path in files]
    elif sys.stdin.isatty():
        return [ask(f"Passphrase of “{name}”: ") for name in names]
    else:
        found = read_lines(len(names))
    return found + found[-1:] * (len(names) - len(found))


def choose_passphrase(file: Path | None, what: str = "Passphrase of the new key") -> str:
    """A new passphrase; typed twice at a terminal. A short one is told. Raises UsageError and OSError."""
    passphrase = _choose(file, what)
    if len(passphrase) < SHORT:
        note(
            f"The passphrase has only {count(len(passphrase), 'character')}; six random words are a good one."
        )
    return passphrase


def _choose(file: Path | None, what: str) -> str:
    if file:
        return read_file(file)
    if not sys.stdin.isatty():
        return read_lines(1)[0]
    passphrase = ask(f"{what}: ")
    if ask("The same once more: ") != passphrase:
        raise UsageError("The two passphrases differ.")
    return passphrase


def ask(prompt: str) -> str:
    """A passphrase, typed unseen. Raises UsageError if none is."""
    try:
        return _check(getpass.getpass(prompt), "The passphrase")
    except EOFError:
        raise UsageError("No passphrase was given.") from None
    except UnicodeDecodeError:
        raise UsageError("The passphrase is not UTF-8 text.") from None


def read_lines(most: int) -> list[str]:
    """One to `most` lines of standard input. Raises UsageError."""
    lines: list[str] = []
    while len(lines) < most and (line := sys.stdin.buffer.readline(MAX_PASSPHRASE + 1)):
        lines.append(_decode(line, "The passphrase on standard input"))
    if not lines:
        raise UsageError("No passphrase was given: type one, pipe one, or name a --passphrase-file.")
    return lines


def read_file(path: Path) -> str:
    """The text of a file, without one line end. Raises UsageError and OSError."""
    with path.open("rb") as file:
        return _decode(file.read(MAX_PASSPHRASE + 1), f"The passphrase in {path}")


def _decode(line: bytes, what: str) -> str:
    if len(line) > MAX_PASSPHRASE:
        raise UsageError(f"{what} is longer than {MAX_PASSPHRASE:,} bytes.")
    try:
        text = line.decode()
    except UnicodeDecodeError:
        raise UsageError(f"{what} is not UTF-8 text.") from None
    return _check(text[:-2] if text.endswith("\r\n") else text.removesuffix("\n"), what)


def _check(passphrase: str, what: str) -> str:
    if not passphrase:
        raise UsageError(f"{what} is empty.")
    try:
        passphrase.encode()
    except UnicodeEncodeError:
        raise UsageError(f"{what} is not UTF-8 text.") from None
    return passphrase
