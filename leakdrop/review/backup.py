"""The verbs `shares` and `restore`: a secret key on paper, and back.

A share is a sheet of text:

    # Share 1 of 3 of the key “Reviewers 2026”; any 2 restore it.
    # fingerprint: <64 hex digits>
     1 academic   2 acid …                      33 words of SLIP-39, numbered

Whoever has as many shares as are needed has the key: no passphrase protects them.
"""

import os
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from leakdrop.envelope.keyfile import close_root, encode_secret_key
from leakdrop.envelope.keys import derive_key_pair
from leakdrop.errors import KeyFileError, UsageError
from leakdrop.folders import sync_folder
from leakdrop.review.keygen import check_name
from leakdrop.review.keys import load_public_keys, load_secret_key, open_secret_key
from leakdrop.review.names import safe_name_with
from leakdrop.review.passphrases import choose_passphrase, gather_passphrases
from leakdrop.review.places import refuse_stick
from leakdrop.review.shares import (
    WORDS,
    Share,
    check_fits,
    check_numbers,
    combine_shares,
    parse_share,
    split_root,
)
from leakdrop.seal.files import PRIVATE_FOLDER, create_file, create_whole_file
from leakdrop.terminal import group_fingerprint, note, say, warn

MAX_SHEET = 65_536  # bytes
PER_LINE = 4  # words
WIDTH = 16  # characters


def make_shares(
    path: Path,
    *,
    need: int,
    number: int,
    folder: Path | None = None,
    passphrase_file: Path | None = None,
    here: bool = False,
) -> int:
    """Print a key's shares, or write each into a file.

    Raises UsageError, KeyFileError, PassphraseError and OSError; then no share was written.
    """
    check_numbers(need, number)
    if folder and not here:
        refuse_stick(folder)
    closed = load_secret_key(path)
    sheet_names = [
        safe_name_with(f"{closed.name}.txt", f" share {one + 1} of {number}") if folder else ""
        for one in range(number)
    ]
    if folder:
        _refuse_existing([folder / name for name in sheet_names])
    (passphrase,) = gather_passphrases([closed.name], [passphrase_file] if passphrase_file else [])
    shares = split_root(open_secret_key(path, closed, passphrase), need, number)
    sheets = [write_sheet(share, closed.name, number, closed.fingerprint) for share in shares]
    if folder:
        folder.mkdir(PRIVATE_FOLDER, parents=True, exist_ok=True)
        _write_sheets([folder / name for name in sheet_names], sheets)
    for sheet, name in zip(sheets, sheet_names, strict=True):
        say(f"Made {folder / name}" if folder else sheet)
    say(f"Keep each in another place: any {need} of these {number} give the key, without a passphrase.")
    say("Try them now, with “leakdrop-review restore”: what was copied wrongly is found out today.")
    return 0


def _refuse_existing(paths: Sequence[Path]) -> None:
    for path in paths:
        if os.path.lexists(path):
            raise UsageError(
                f"{path} exists already, and nothing is overwritten: choose another place with -o."
            )


def _write_sheets(paths: Sequence[Path], sheets: Sequence[str]) -> None:
    """All sheets, or none."""
    made: list[Path] = []
    try:
        for path, sheet in zip(paths, sheets, strict=True):
            with create_file(path) as file:
                made.append(path)
                file.write(sheet.encode())
        sync_folder(paths[0].parent)
    except BaseException:
        for path in made:
            path.unlink(missing_ok=True)
        raise


def write_sheet(share: Share, name: str, number: int, fingerprint: str) -> str:
    """The text of a share, as it is printed or copied by hand."""
    cells = [f"{place:2} {word}".ljust(WIDTH) for place, word in enumerate(share.words, 1)]
    lines = ["".join(cells[start : start + PER_LINE]).rstrip() for start in range(0, len(cells), PER_LINE)]
    title = f"# Share {share.number} of {number} of the key “{name}”; any {share.need} restore it."
    return "\n".join([title, f"# fingerprint: {fingerprint}", *lines]) + "\n"


def read_sheet(text: str) -> Share:
    """The share on a sheet; the words' numbers may be missing. Raises UsageError."""
    return parse_share(" ".join(_list_words(text)))


def _list_words(text: str) -> list[str]:
    """What a sheet's text says without its first lines and its numbers."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    return [word for line in lines for word in re.sub(r"\b[0-9]+[.):]?(?=\s|$)", " ", line).split()]


def restore_key(
    name: str,
    folder: Path,
    *,
    sheets: Sequence[Path] = (),
    public: Path | None = None,
    passphrase_file: Path | None = None,
    here: bool = False,
) -> int:
    """Make NAME.key of shares that are in files, typed, or piped a line each.

    Raises UsageError, KeyFileError (they give no key, or another than `public` names) and OSError.
    """
    check_name(name)
    if not here:
        refuse_stick(folder)
    path = folder / f"{name}.key"
    _refuse_existing([path])
    expected = {file.key.fingerprint for file in load_public_keys(public)} if public else set()
    root = combine_shares(list(_read_sheets(sheets) if sheets else _ask_shares()))
    fingerprint = derive_key_pair(root).public.fingerprint
    if public and fingerprint not in expected:
        raise KeyFileError(f"These shares restore another key than {public} names: {fingerprint}.")
    passphrase = choose_passphrase(passphrase_file)
    folder.mkdir(PRIVATE_FOLDER, parents=True, exist_ok=True)
    with create_whole_file(path) as file:
        file.write(encode_secret_key(close_root(root, name, passphrase)).encode())
    say(f"Made {path}. The fingerprint is\n\n  {group_fingerprint(fingerprint)}\n")
    say(
        f"It is the key that {public} names."
        if public
        else "Compare it with that on a sheet, or of the .pub."
    )
    return 0


def _read_sheets(paths: Sequence[Path]) -> Iterator[Share]:
    for path in paths:
        with path.open("rb") as file:
            text = file.read(MAX_SHEET)
        try:
            yield read_sheet(text.decode())
        except UnicodeDecodeError:
            raise UsageError(f"{path}: This is not a share: it is not text.") from None
        except UsageError as error:
            raise UsageError(f"{path}: {error}") from None


def _ask_shares() -> Iterator[Share]:
    """Shares from standard input until there are enough. At a terminal, what is wrong is asked for again."""
    found: list[Share] = []
    is_typed = sys.stdin.isatty()
    while not found or len(found) < found[0].need:
        words = _type_words(len(found) + 1) if is_typed else _read_line()
        try:
            share = read_sheet(words)
            check_fits(share, found)
        except UsageError as error:
            if not is_typed:
                raise
            warn(str(error))
            continue
        found.append(share)
        if is_typed:
            note(f"Share {share.number}: right. {found[0].need - len(found)} more to go.")
        yield share


def _type_words(which: int) -> str:
    """A share as it is typed, on one line or on several, with its first lines and numbers or without them.

    It ends with its last word, or with an empty line, of which there may be some before it.
    """
    sys.stderr.write(f"Type the {WORDS} words of a share ({which} of those needed):\n")
    sheet = ""
    while len(_list_words(sheet)) < WORDS and ((line := _read_line()).strip() or not sheet.strip()):
        sheet += line
    return sheet


def _read_line() -> str:
    """A line of standard input. Raises UsageError at its end."""
    line = sys.stdin.buffer.readline(MAX_SHEET)
    if not line:
        raise UsageError(
            "That is not enough: name each share's file with --share, or type or pipe the words."
        )
    return line.decode("ascii", "replace")
