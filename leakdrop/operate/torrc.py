"""A torrc, read as tor reads it. Nothing of it is tried out.

Source: tor's src/lib/encoding/confline.c (lines, quotes, comments, continuation), src/lib/confmgt/confmgt.c
(names of options, and their beginnings), tor(1). Left out: Debian's defaults, and tor's command line.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from leakdrop.errors import LeakdropError

MOST_INCLUDES = 32  # within one another: tor's MAX_INCLUDE_RECURSION_LEVEL is 31
# A name, blanks, and a value in quotation marks or up to the end of the line. A backslash before a line end
# goes on with the next line, and from then on a comment ends with its line, not with the value.
_NAME = re.compile(r"(?:[^\s#\\]|\\(?!\n))+")
_QUOTED = re.compile(r'"((?:[^"\\\n]|\\[^\n])*)"[ \t]*\r?(?=#|\n|\Z)')
_ESCAPE = re.compile(r"\\(x[0-9A-Fa-f]{2}|[0-7]{1,3}|.)", re.DOTALL)
_LETTERS = {"n": "\n", "t": "\t", "r": "\r"}
# Options that a HiddenServiceDir begins, by the beginning of their names; but these are of the whole tor.
_OF_A_SERVICE = "hiddenservice"
_OF_ALL_SERVICES = ("hiddenservicesinglehopmode", "hiddenservicenonanonymousmode", "hiddenservicestatistics")
# Those that `check` looks for: they are found by the beginnings of their names, too.
DANGEROUS = ("log", "safelogging", "vanguardsliteenabled", *_OF_ALL_SERVICES[:2])


class TorrcError(LeakdropError):
    """tor cannot read its torrc: tor --verify-config tells where."""


@dataclass
class Service:
    """An onion service in a torrc: its folder, its ports, its options by their lower-case names."""

    folder: str
    ports: list[str] = field(default_factory=list)
    options: dict[str, str] = field(default_factory=dict)


@dataclass
class Torrc:
    """A torrc: options by their lower-case names (the last of each name counts), the lines that say what is
    logged, which all count, and its onion services."""

    options: dict[str, str] = field(default_factory=dict)
    logs: list[str] = field(default_factory=list)
    services: list[Service] = field(default_factory=list)


def read_torrc(path: Path, root: Path = Path("/")) -> Torrc:
    """What a torrc says, with the files that it includes, below `root`. Raises OSError and TorrcError."""
    torrc = Torrc()
    for name, value in _read_lines(path, root, 0):
        _add(torrc, name, value)
    return torrc


def _read_lines(path: Path, root: Path, depth: int) -> Iterator[tuple[str, str]]:
    for name, value in split_lines(path.read_text(errors="surrogateescape")):
        if name.lower() != "%include":
            yield name, value
        elif depth < MOST_INCLUDES:
            for file in _included(value, root):
                yield from _read_lines(file, root, depth + 1)


def _included(pattern: str, root: Path) -> list[Path]:
    """The files that an %include names: a pattern of files, or of folders, whose files are meant."""
    found = sorted(root.glob(pattern.lstrip("/"))) if pattern.strip("/") else []
    files = [file for path in found for file in (sorted(path.iterdir()) if path.is_dir() else [path])]
    return [file for file in files if file.is_file() and not file.name.startswith(".")]


def split_lines(text: str) -> Iterator[tuple[str, str]]:
    """The names and values in a torrc. Raises TorrcError."""
    at = 0
    while True:
        at = _skip(text, at, r"(?:\s|#[^\n]*)*")
        if at == len(text):
            return
        name = _NAME.match(text, at)
        at = _skip(text, name.end() if name else at, r"[ \t]*")
        quoted = _QUOTED.match(text, at)
        if quoted:
            value, at = _unescape(quoted[1]), quoted.end()
        elif text[at : at + 1] == '"':
            raise TorrcError
        else:
            value, at = _read_plain(text, at)
        yield name[0] if name else "", value


def _skip(text: str, at: int, pattern: str) -> int:
    found = re.compile(pattern).match(text, at)
    return found.end() if found else at


def _unescape(text: str) -> str:
    def character(escape: re.Match[str]) -> str:
        code = escape[1]
        if code[0] == "x" and len(code) == 3:
            return chr(int(code[1:], 16))
        return chr(int(code, 8) & 0xFF) if code[0] in "01234567" else _LETTERS.get(code, code)

    return _ESCAPE.sub(character, text)


def _read_plain(text: str, at: int) -> tuple[str, int]:
    """A value without quotation marks, and where it ends."""
    value, goes_on = "", False
    while at < len(text) and text[at] != "\n":
        if text.startswith("\\\n", at):
            goes_on, at = True, at + 2
        elif text[at] == "#":
            at = _skip(text, at, r"[^\n]*")
            if not goes_on:
                break
            at += 1  # the line after the comment belongs to the value, too
        else:
            value, at = value + text[at], at + 1
    return value.strip(), at


def _add(torrc: Torrc, name: str, value: str) -> None:
    """Note a line. "+" before a name adds to a list; "/" takes what was said of it before away."""
    is_taken_away, name = name.startswith("/"), expand(name.lower().lstrip("+/"))
    if name == "hiddenservicedir":
        torrc.services.append(Service(value.rstrip("/")))
    elif name == "hiddenserviceport" and torrc.services:
        torrc.services[-1].ports.append(value)
    elif name.startswith(_OF_A_SERVICE) and name not in _OF_ALL_SERVICES and torrc.services:
        torrc.services[-1].options[name] = value
    elif name == "log":
        torrc.logs = [] if is_taken_away else [*torrc.logs, value]
    elif is_taken_away:
        torrc.options.pop(name, None)
    elif name:
        torrc.options[name] = value


def expand(name: str) -> str:
    """The option that a name is for: tor takes a beginning for the first option that begins so."""
    is_beginning = len(name) > len(_OF_A_SERVICE) or not _OF_A_SERVICE.startswith(name)
    return next((one for one in DANGEROUS if is_beginning and name and one.startswith(name)), name)


def severities(log: str) -> list[str]:
    """The least severities of a Log line: "[handshake]debug [~net]info-notice notice stdout" has three."""
    words = re.sub(r"\[[^]]*\]", " ", log).lower().split()
    sinks = [number for number, word in enumerate(words) if word in ("file", "stdout", "stderr", "syslog")]
    return [word.partition("-")[0] for word in words[: sinks[0] if sinks else None]]
