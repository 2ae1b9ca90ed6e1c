"""The verbs `view` and `play`."""

import sys
from contextlib import ExitStack, suppress
from pathlib import Path

from leakdrop.errors import UsageError
from leakdrop.review.custody import open_log
from leakdrop.review.inbox import Inbox, open_inbox
from leakdrop.review.keys import KeyOptions
from leakdrop.review.places import refuse_file_system_of, refuse_stick
from leakdrop.review.viewer.desk import Desk
from leakdrop.review.viewer.notes import default_path, open_notebook
from leakdrop.review.viewer.programs import HANDS_OVER, browse, find_player, running, write_playlist
from leakdrop.review.viewer.server import Server
from leakdrop.review.viewer.site import Site
from leakdrop.terminal import human_size, note, say, visible, warn


def view(
    path: Path,
    options: KeyOptions,
    *,
    notes: Path | None = None,
    output: Path | None = None,
    case: Path | None = None,
    here: bool = False,
    browser: bool = True,
) -> int:
    """Show a bundle, or one envelope, in the browser, until it is closed or Ctrl-C is pressed.

    `output` is where the page extracts to, and `case` the folder of a custody log that tells of it.

    Raises UsageError (a folder to write into is the stick's; another viewer holds the notes), NotesError,
    BundleError, KeyFileError, PassphraseError and OSError.
    """
    inbox, notes = open_inbox(path), notes or default_path()
    if not here:
        refuse_stick(notes, "--notes")
        if output and inbox.bundle:
            refuse_file_system_of(inbox.bundle, output)
    if inbox.unlisted:
        warn(inbox.unlisted)
    log = open_log(case, inbox.bundle, here=here) if case else None
    keys = options.open()
    with ExitStack() as kept:
        desk = Desk(inbox, keys, kept.enter_context(open_notebook(notes, keys)), output, log)
        kept.callback(desk.close)
        server = Server()
        site = Site(desk, server.door)
        with suppress(KeyboardInterrupt):
            say(f"The inbox is at {server.door.address}")
            say("Whoever on this machine knows this address can read it. Ctrl-C ends it.")
            sys.stdout.flush()
            if browser:
                server.is_over = kept.enter_context(browse(server.door.make_ticket()))
            server.serve(site.answer)
    return 0


def play(path: Path, options: KeyOptions, *, number: int | None = None) -> int:
    """Play an envelope's recordings, or the one with this number, until the player ends.

    Raises UsageError (there is nothing to play), BundleError, EnvelopeError, KeyFileError, PassphraseError
    and OSError.
    """
    inbox, keys = open_inbox(path), options.open()
    _check_one(inbox)
    desk = Desk(inbox, keys)
    chosen = _choose(desk, number)
    server = Server()
    site = Site(desk, server.door, pages=False)
    addresses = [f"{server.door.address}0/{file}/bytes" for file in chosen]
    otherwise = f"Open this in another player, and press Ctrl-C at the end: {' '.join(addresses)}"
    with ExitStack() as kept, suppress(KeyboardInterrupt):
        if found := find_player():
            name, command = found
            say(f"Playing with {name}. Ctrl-C ends it.")
            playlist = kept.enter_context(write_playlist(addresses))
            is_over = kept.enter_context(running([word.format(playlist) for word in command], otherwise))
            # Of some players nobody can tell when they end.
            server.is_over = lambda: is_over() and name not in HANDS_OVER
        else:
            note(f"No player was found (mpv, VLC). {otherwise}")
        sys.stdout.flush()
        server.serve(site.answer)
    return 0


def _check_one(inbox: Inbox) -> None:
    if len(inbox.items) != 1:
        raise UsageError(f"{inbox.path} holds {len(inbox.items):,} envelopes: name one of them.")


def _choose(desk: Desk, number: int | None) -> list[int]:
    """The numbers, from 0, of what is played; what there is, is printed. Raises UsageError."""
    (line,) = desk.lines
    if line.refusal:
        raise line.refusal
    with desk.open(0) as envelope:
        files = envelope.index.files
        kinds = [desk.find_kind(0, envelope, file) for file in range(len(files))]
    if number is not None and not 1 <= number <= len(files):
        raise UsageError(f"There is no file {number}: the envelope holds {len(files):,}.")
    recordings = [file for file, kind in enumerate(kinds) if kind.is_recording]
    if number is not None and number - 1 not in recordings:
        raise UsageError(f"File {number} is not played: {kinds[number - 1].words}.")
    if not recordings:
        raise UsageError("This envelope holds no recording that is played here.")
    chosen = recordings if number is None else [number - 1]
    for file in chosen:
        size = human_size(files[file].size)
        say(f"{file + 1:>5}  {kinds[file].words}  {size:>10}  {visible(files[file].name)}")
    return chosen
