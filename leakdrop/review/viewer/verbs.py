"""The verbs `view` and `play`."""

import sys
from contextlib import ExitStack, suppress
from pathlib import Path

from leakdrop.errors import LeakdropError, UsageError
from leakdrop.review.custody import open_log
from leakdrop.review.inbox import Inbox, open_inbox
from leakdrop.review.keys import KeyOptions
from leakdrop.review.places import refuse_stick
from leakdrop.review.replying import find_bundle
from leakdrop.review.viewer.desk import Desk
from leakdrop.review.viewer.notes import default_path, open_notebook
from leakdrop.review.viewer.programs import (
    HANDS_OVER,
    browse,
    command_player,
    find_player,
    running,
    write_playlist,
)
from leakdrop.review.viewer.server import Server
from leakdrop.review.viewer.site import Site
from leakdrop.terminal import human_size, note, say, visible, warn

NO_PLAYER = (
    "mpv was not found, the one player that can be kept from fetching what a file names. If this machine has "
    "no network at all, use --any-player, or open this in a player yourself, and press Ctrl-C at the end:"
)
UNBOUND = (
    "{} cannot be kept from fetching what a hostile file names, which would tell its sender that somebody "
    "listens: go on only if this machine has no network at all."
)
NOT_PLAYED = (
    "{} could not play this, or not all of it: it may be damaged, or not be what it looks like. "
    "Do not hand it to another player on a machine that has any network."
)


def view(
    path: Path,
    options: KeyOptions,
    *,
    notes: Path | None = None,
    output: Path | None = None,
    case: Path | None = None,
    replies: Path | None = None,
    here: bool = False,
    browser: bool = True,
) -> int:
    """Show a bundle, or one envelope, in the browser, until it is closed or Ctrl-C is pressed.

    `output` is where the page extracts to, `case` the folder of a custody log that tells of it, and `replies`
    the bundle that takes replies, if that is another one.

    Raises UsageError (a folder to write into is a stick's; another viewer holds the notes), NotesError,
    BundleError, KeyFileError, PassphraseError and OSError.
    """
    inbox, notes = open_inbox(path), notes or default_path()
    if not here:
        refuse_stick(notes, "--notes")
        if output:
            refuse_stick(output, bundle=inbox.bundle)
    if replies:
        find_bundle(inbox, replies)
    if inbox.unlisted:
        warn(inbox.unlisted)
    log = open_log(case, inbox.bundle, here=here) if case else None
    keys = options.open()
    with ExitStack() as kept:
        desk = Desk(inbox, keys, kept.enter_context(open_notebook(notes, keys)), output, log, replies)
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


def play(path: Path, options: KeyOptions, *, number: int | None = None, any_player: bool = False) -> int:
    """Play an envelope's recordings, or the one with this number, until the player ends.

    The player is mpv, or without it, if `any_player` will do, VLC or the desktop's own.

    Raises UsageError (there is nothing to play), LeakdropError (the player could not), BundleError,
    EnvelopeError, KeyFileError, PassphraseError and OSError.
    """
    inbox, keys = open_inbox(path), options.open()
    _check_one(inbox)
    desk = Desk(inbox, keys)
    chosen, readers = _choose(desk, number)
    server = Server()
    site = Site(desk, server.door, pages=False)
    addresses = [f"{server.door.address}0/{file}/bytes" for file in chosen]
    with ExitStack() as kept, suppress(KeyboardInterrupt):
        if player := find_player(any_player=any_player):
            if player != "mpv":
                warn(UNBOUND.format(player))
            say(f"Playing with {player}. Ctrl-C ends it.")
            playlist = kept.enter_context(write_playlist(addresses))
            ask_code = kept.enter_context(running(command_player(player, playlist, readers)))
            if player == HANDS_OVER:
                server.is_over = lambda: bool(ask_code())
            else:
                server.is_over = lambda: ask_code() is not None
        else:
            note(f"{NO_PLAYER} {' '.join(addresses)}")
        sys.stdout.flush()
        server.serve(site.answer)
        if player and ask_code():
            raise LeakdropError(NOT_PLAYED.format(player))
    return 0


def _check_one(inbox: Inbox) -> None:
    if len(inbox.items) != 1:
        raise UsageError(f"{inbox.path} holds {len(inbox.items):,} envelopes: name one of them.")


def _choose(desk: Desk, number: int | None) -> tuple[list[int], set[str]]:
    """The numbers, from 0, of what is played, and its readers. It is printed. Raises UsageError."""
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
    return chosen, {kinds[file].reader for file in chosen}
