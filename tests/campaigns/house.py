"""What must be true of a site's folder at any moment at which nothing is under way."""

import hashlib
import io
import sqlite3
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from leakdrop.bundle import LIST_NAME, parse_bundle
from leakdrop.envelope.opening import open_envelope
from leakdrop.errors import EnvelopeError
from tests.campaigns.sources import Ledger, Sending
from tests.keys import label_key_pair
from tests.site import Site

KEY = label_key_pair("alice")


@dataclass
class House:
    """A site's folder, and what is known of its drops: name, SHA-256 and message of each that was opened."""

    site: Site
    ledger: Ledger
    sums: dict[str, str] = field(default_factory=dict)
    messages: dict[str, str] = field(default_factory=dict)
    removed: set[str] = field(default_factory=set)  # by us, after they were opened

    def check(self, under_way: list[Sending], *, is_full: bool = False) -> list[str]:
        """What is wrong with the folder; the server has started, and no request is under way.

        On a full disk the rows of drops may be missing until it starts with room.
        """
        wrong = [f"{path.name} lies in incoming/" for path in (self.site.data / "incoming").iterdir()]
        wrong += [f"{path.name} lies in tmp/" for path in self.site.temporary.iterdir() if _is_ours(path)]
        wrong += self._check_drops() + self._check_rows(is_full=is_full) + self._check_uploads(under_way)
        sums, messages = list(self.sums.values()), set(self.messages.values())
        wrong += [f"an envelope that had arrived is gone: {it}" for it in self.ledger.arrived - set(sums)]
        wrong += [f"a form that had arrived is gone: {it}" for it in self.ledger.heard - messages]
        wrong += [f"{it} lies there twice" for it in set(sums) if sums.count(it) > 1]
        return wrong

    def _check_drops(self) -> list[str]:
        """Every drop is one that was sent, has not changed, and opens."""
        wrong = []
        there = {path.name: path.read_bytes() for path in self.site.envelopes()}
        wrong += [f"{name} is gone" for name in self.sums.keys() - there.keys() - self.removed]
        for name, envelope in there.items():
            digest = hashlib.sha256(envelope).hexdigest()
            if self.sums.setdefault(name, digest) != digest:
                wrong.append(f"{name} has changed")
            elif name not in self.messages:
                wrong += self._open(name, envelope)
        return wrong

    def _open(self, name: str, envelope: bytes) -> list[str]:
        try:
            opened = open_envelope(io.BytesIO(envelope), [KEY])
            opened.check()
        except EnvelopeError as error:
            return [f"{name}: {error}"]
        self.messages[name] = opened.index.message
        is_known = self.sums[name] in self.ledger.sent or opened.index.message in self.ledger.said
        return [] if is_known else [f"{name} was never sent"]

    def _check_rows(self, *, is_full: bool) -> list[str]:
        """The database is whole, and has a row for each drop, and a part for each unfinished upload."""
        with closing(sqlite3.connect(self.site.data / "leakdrop.sqlite")) as database:
            (verdict,) = database.execute("PRAGMA integrity_check").fetchone()
            drops = {f"{name}.envelope" for (name,) in database.execute("SELECT name FROM drops")}
            uploads = {f"{name}.part" for (name,) in database.execute("SELECT id FROM uploads")}
        there = {path.name for path in self.site.envelopes()}
        parts = {path.name for path in (self.site.data / "uploads").iterdir()}
        wrong = [] if verdict == "ok" else [f"the database is damaged: {verdict}"]
        wrong += [] if is_full else [f"{name} has no row" for name in there - drops]
        wrong += [f"{name} has a row and no file" for name in drops - there]
        return wrong + [f"{name} has no row" for name in parts - uploads]

    def _check_uploads(self, under_way: list[Sending]) -> list[str]:
        """Every acknowledged byte of what is not finished is there."""
        wrong = []
        for sending in under_way:
            part = self.site.data / "uploads" / f"{sending.path.rpartition('/')[2]}.part"
            if not sending.acknowledged:
                continue
            if part.exists():
                if not part.read_bytes().startswith(sending.envelope[: sending.acknowledged]):
                    wrong.append(f"{part.name} lost acknowledged bytes")
            elif hashlib.sha256(sending.envelope).hexdigest() not in self.sums.values():
                wrong.append(f"{part.name} is gone")
        return wrong

    def make_room(self, most: int) -> None:
        """Remove drops that were opened, if there are more than `most`; the server must not run."""
        drops = self.site.envelopes()
        if len(drops) > most:
            for path in drops:
                if path.name in self.messages:
                    path.unlink()
                    self.removed.add(path.name)


def check_bundle(folder: Path, house: House) -> list[str]:
    """What is wrong with a bundle that an export may have been broken off at: no file may look whole and
    not be, and what is listed is there."""
    wrong = []
    known = house.sums | {path.name: _hash(path) for path in house.site.envelopes()}
    files = {path.name: _hash(path) for path in folder.glob("[0-9a-f]*.envelope")} if folder.is_dir() else {}
    wrong += [f"{name} is not whole in the bundle" for name in files if files[name] != known.get(name)]
    if (folder / LIST_NAME).exists():
        for entry in parse_bundle((folder / LIST_NAME).read_bytes()).entries:
            if files.get(entry.name) != entry.sha256:
                wrong.append(f"{entry.name} is listed and not there")
    return wrong


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _is_ours(path: Path) -> bool:
    """gunicorn keeps the sign of life of a worker there, in a file that has no name any more."""
    return not path.name.startswith("wgunicorn")
