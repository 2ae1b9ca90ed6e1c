"""What a campaign found, as a table on the terminal and as a section of docs/proof.md."""

import argparse
import os
import platform
import re
from collections.abc import Sequence
from pathlib import Path

from leakdrop.terminal import say

PROOF = Path(__file__).parents[2] / "docs" / "proof.md"
Row = tuple[object, ...]


def make_parser(what: str | None) -> argparse.ArgumentParser:
    """The options that every campaign has; the first line of its docstring tells what it does."""
    parser = argparse.ArgumentParser(description=what, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="put the table into docs/proof.md")
    return parser


def report(title: str, text: str, head: Sequence[str], rows: Sequence[Row], *, write: bool) -> None:
    """Print a campaign's table, and put it into docs/proof.md under its title, if asked to."""
    table = "\n".join(_line(row) for row in (head, ["---"] * len(head), *rows))
    say(f"\n{table}\n")
    if write:
        section = f"## {title}\n\n{text.strip()}\n\n{table}\n\n{describe_machine()}\n"
        PROOF.write_text(put_section(PROOF.read_text(), title, section))


def _line(cells: Sequence[object]) -> str:
    return f"| {' | '.join(str(cell) for cell in cells)} |"


def describe_machine() -> str:
    python = platform.python_version()
    return f"*{os.cpu_count()} cores, {platform.machine()}, Python {python}, other work on the machine.*"


def put_section(document: str, title: str, section: str) -> str:
    """The document with this section in place of the one of that title, or at its end."""
    parts = re.split(r"(?m)^(?=## )", document)
    is_there = False
    for number, part in enumerate(parts):
        if part.startswith(f"## {title}\n"):
            parts[number], is_there = f"{section}\n", True
    if not is_there:
        parts.append(f"{section}\n")
    return "\n\n".join(part.strip() for part in parts) + "\n"
