"""The command `leakdrop-seal`: its arguments and what it prints. Sealing itself is in `offline`."""

import datetime
import sys
from collections.abc import Sequence
from pathlib import Path

from leakdrop.envelope.index import MAX_KIND, clean_text
from leakdrop.envelope.keyfile import MAX_FILE, PublicKeyFile, parse_public_keys
from leakdrop.errors import KeyFileError, UsageError
from leakdrop.seal.offline import Draft, draft, read_message, seal_draft
from leakdrop.terminal import (
    CommandParser,
    Progress,
    describe_contents,
    group_fingerprint,
    human_size,
    note,
    run_command,
    say,
)

PROGRAM = "leakdrop-seal"
EXAMPLES = """\
examples:
  leakdrop-seal --to all.pub -o talk.envelope talk.m4a
  leakdrop-seal --to all.pub --message note.txt --kind "WRAP training" -o talk.envelope talk.m4a slides/*.jpg

The page /key of a leakdrop server gives all.pub. Compare the fingerprints that this command prints with those
that you were told. The envelope can be handed over on the server's first page, as the only file.
"""


def main() -> int:
    return run_command(lambda: seal_command(sys.argv[1:]), PROGRAM)


def seal_command(arguments: Sequence[str]) -> None:
    """Seal what the arguments name. Raises LeakdropError and OSError."""
    args = make_parser().parse_intermixed_args(arguments)
    keys = load_recipients(args.to, datetime.datetime.now(datetime.UTC).date())
    message = read_message(args.message) if args.message else ""
    submission = draft("offline", _clean_kind(args.kind), message, args.files)
    _check(submission, args.output)
    with Progress(submission.size, "Sealing") as progress:
        seal_draft(submission, [file.key for file in keys], args.output, progress)
    _report(submission, keys, args.output)


def make_parser() -> CommandParser:
    parser = CommandParser(
        prog=PROGRAM,
        description="Seal a message and files, without a network, so that only the reviewers can open them.",
        epilog=EXAMPLES,
    )
    parser.add_argument(
        "--to",
        metavar="KEYS.pub",
        type=Path,
        action="append",
        required=True,
        help="seal to every key in this file that has not expired; may be given several times",
    )
    parser.add_argument(
        "--message", metavar="FILE", help="a text file (UTF-8) with the message; - for standard input"
    )
    parser.add_argument("--kind", metavar="TEXT", default="", help="what this is about, in a few words")
    parser.add_argument(
        "-o",
        "--output",
        metavar="OUT.envelope",
        type=Path,
        required=True,
        help="the file to write; a new one",
    )
    parser.add_argument("files", metavar="FILE", nargs="*", type=Path, help="a file to seal")
    return parser


def load_recipients(paths: Sequence[Path], today: datetime.date) -> list[PublicKeyFile]:
    """The keys in these files that can be used today, each once; those that have expired are told.

    Raises KeyFileError, if none is left too.
    """
    found = {file.key: file for path in paths for file in _load_public_keys(path)}
    expired = [file for file in found.values() if not file.is_usable(today)]
    for file in expired:
        note(f"The key “{file.name}” expired on {file.not_after} and is left out.")
    keys = [file for file in found.values() if file not in expired]
    if not keys:
        raise KeyFileError("Every one of these keys has expired: ask for the reviewers' new key.")
    return keys


def _load_public_keys(path: Path) -> tuple[PublicKeyFile, ...]:
    try:
        with path.open("rb") as file:
            return parse_public_keys(file.read(MAX_FILE + 1))
    except KeyFileError as error:
        raise KeyFileError(f"{path}: {error}") from None


def _clean_kind(kind: str) -> str:
    if len(clean_text(kind).encode()) > MAX_KIND:
        raise UsageError(f"--kind takes at most {MAX_KIND} bytes.")
    return clean_text(kind)


def _check(submission: Draft, output: Path) -> None:
    """Raises UsageError if there is nothing to seal, or if something stands where the envelope should."""
    if not submission.message and not submission.paths:
        raise UsageError("There is nothing to seal: name a file, or a --message.")
    if output.exists() and any(output.samefile(path) for path in submission.paths):
        raise UsageError(f"{output} is one of the files to seal: choose another name with -o.")
    if output.exists() or output.is_symlink():
        raise UsageError(f"{output} exists already, and nothing is overwritten: choose another name with -o.")


def _report(submission: Draft, keys: Sequence[PublicKeyFile], output: Path) -> None:
    what = describe_contents(len(submission.files), bool(submission.message))
    say(f"Sealed {what} into {output} ({human_size(output.stat().st_size)}).")
    which = "this key" if len(keys) == 1 else f"any of these {len(keys)} keys"
    say(f"It opens with {which} and with no other:")
    for file in keys:
        say(f"  {file.name}")
        say(f"    {group_fingerprint(file.key.fingerprint)}")
