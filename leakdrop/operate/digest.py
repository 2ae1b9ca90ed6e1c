"""`leakdrop digest`: a text for the operator's own timer and mailer. Why so: docs/adr/0020.

In the clear it says nothing that depends on what came: whoever reads the mail, or watches it, learns nothing.
Sealed to reviewers' keys it says how many drops lie there; the envelope has one size for a number of keys.
Nothing here holds a credential or opens a connection.
"""

import base64
import datetime
import io
import textwrap
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from leakdrop.config import Config
from leakdrop.envelope.keyfile import parse_public_keys
from leakdrop.envelope.keys import PublicKey
from leakdrop.envelope.sealing import seal
from leakdrop.errors import LeakdropError
from leakdrop.keyring import Keyring, load_keyring
from leakdrop.store.drop import Drop, iso_week
from leakdrop.store.layout import free_bytes
from leakdrop.terminal import count, human_size

SIZE = 2048  # bytes of the text in the clear
KIND = "leakdrop digest"
LINE = 76


def make_digest(config: Config, today: datetime.date) -> str:
    """The text in the clear: always SIZE bytes, and the same whether or not anything came."""
    keyring = load_keyring(config.keys_dir, today, demo=config.demo, seals=False)
    lines = [
        f"leakdrop digest, {today.isoformat()}",
        "",
        "This text is the same whether or not anything came. To see, go to the machine:",
        "",
        "  leakdrop status",
        "  leakdrop export /media/stick/bundle",
        "",
        _describe_keys(keyring, today),
    ]
    text = "\n".join(lines)
    return text + "\n" * (SIZE - len(text.encode()))


def _describe_keys(keyring: Keyring, today: datetime.date) -> str:
    usable = keyring.usable(today)
    days = [key.not_after for key in usable if key.not_after]
    first = f", the first one until {min(days).isoformat()}" if days else ""
    if not usable:
        return "No key is in use: all have expired, and nothing can be sent. Ask the reviewers for a new one."
    return f"{count(len(usable), 'key')} in use{first}."


def seal_digest(
    config: Config, drops: Sequence[Drop], today: datetime.date, recipients: list[PublicKey]
) -> bytes:
    """An envelope that says how many drops came in which week. Its size depends on the number of keys."""
    numbers, sizes = Counter[str](), Counter[str]()
    for drop in drops:
        numbers[drop.week] += 1
        sizes[drop.week] += drop.size
    weeks = [
        f"  {week}: {count(numbers[week], 'drop')} ({human_size(sizes[week])})" for week in sorted(numbers)
    ]
    message = "\n".join(
        [
            f"{config.organisation}, {today.isoformat()} ({iso_week(today)})",
            f"{count(len(drops), 'drop')} on the server, {human_size(free_bytes(config.data_dir))} free.",
            *weeks,
        ]
    )
    sink = io.BytesIO()
    seal(recipients, sink, sealed="server", kind=KIND, message=message)
    return sink.getvalue()


def read_recipients(paths: list[Path]) -> list[PublicKey]:
    """The keys in .pub files, each once. Raises KeyFileError, or OSError if a file cannot be read."""
    keys: dict[str, PublicKey] = {}
    for path in paths:
        try:
            for file in parse_public_keys(path.read_bytes()):
                keys[file.key.fingerprint] = file.key
        except LeakdropError as error:
            raise type(error)(f"{path}: {error}") from None
    return list(keys.values())


def armour(envelope: bytes) -> str:
    """An envelope as lines for a mail: `base64 -d > digest.envelope` gives it back."""
    return "\n".join(textwrap.wrap(base64.b64encode(envelope).decode(), LINE))
