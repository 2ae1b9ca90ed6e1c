"""The operator's configuration: one TOML file, parsed once into one frozen dataclass.

`config.example.toml` shows every key. An unknown key is an error, so that a slip of the pen cannot
silently switch a protection off.
"""

import re
import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from leakdrop.envelope.header import MAX_STANZAS, envelope_length
from leakdrop.envelope.index import MAX_KIND
from leakdrop.errors import ConfigError

MIB = 1024 * 1024


@dataclass(frozen=True)
class Config:
    """What the operator decided. Paths are absolute; sizes are in bytes, times in seconds."""

    organisation: str
    keys_dir: Path
    data_dir: Path
    database_url: str = ""  # PostgreSQL; empty is SQLite in data_dir
    object_store_url: str = ""  # S3-compatible; empty is a folder in data_dir
    object_store_bucket: str = ""
    object_store_region: str = "us-east-1"
    object_store_key: str = ""
    object_store_secret: str = ""
    bind: str = "127.0.0.1:8000"
    kinds: tuple[str, ...] = ("WRAP training", "Other Prevent training", "Something else")
    safety_text: Path | None = None  # Markdown; None is the text that leakdrop ships
    manifest: Path | None = None  # with its signatures beside it; None: the site serves none
    no_script_sealing: bool = True
    no_script_replies: bool = False
    reply_weeks: int = 8
    largest_plaintext_bytes: int = 63 * 2**26  # its envelope still fits on a FAT32 stick
    disk_reserve_bytes: int = 512 * MIB
    unfinished_bytes: int = 16 * 1024 * MIB
    threads: int = 320
    submissions_at_once: int = 256
    silence_seconds: int = 120
    slow_seconds: int = 60
    onion_address: str = ""
    socket_group: str = ""  # who may connect to the unix socket, beside this user
    requests_per_circuit: str = "300 per minute"
    requests_in_all: str = "150000 per minute"
    submissions_per_circuit: str = "60 per hour"
    submissions_in_all: str = "3000 per minute"
    replies_per_circuit: str = "30 per minute"
    replies_in_all: str = "15000 per minute"
    at_once_per_circuit: int = 8
    limits_storage: str = "memory://"
    keep_acknowledged_weeks: int = 4
    keep_at_most_weeks: int = 26
    leave_within_days: int = 7
    demo: bool = False

    @property
    def largest_envelope_bytes(self) -> int:
        return envelope_length(MAX_STANZAS, self.largest_plaintext_bytes)

    @property
    def forms_at_once(self) -> int:
        """How many submissions at once may be forms, which cannot go on after a break: half of all."""
        return max(self.submissions_at_once // 2, 1)

    @property
    def answers_at_once(self) -> int:
        """How many answers with replies go out at once: half of the threads that no submission takes."""
        return max((self.threads - self.submissions_at_once) // 2, 1)

    @property
    def questions_at_once(self) -> int:
        """How many questions for replies are read at once: half of the threads that are left."""
        return max((self.threads - self.submissions_at_once - self.answers_at_once) // 2, 1)


# Each key's type, and what its values are called when one is wrong.
_WHAT: dict[type, str] = {str: "a text in quotation marks", bool: "true or false", int: "a whole number"}
_BOUNDS = {
    "largest_plaintext_bytes": (MIB, 2**40),
    "disk_reserve_bytes": (0, 2**50),
    "unfinished_bytes": (MIB, 2**50),
    "threads": (2, 1024),
    "submissions_at_once": (1, 1023),
    "silence_seconds": (1, 3600),
    "slow_seconds": (1, 3600),
    "reply_weeks": (1, 520),
    "at_once_per_circuit": (1, 1023),
    "keep_acknowledged_weeks": (0, 520),
    "keep_at_most_weeks": (1, 520),
    "leave_within_days": (0, 28),
}
_MAY_BE_EMPTY = frozenset(
    {
        "safety_text",
        "database_url",
        "object_store_url",
        "object_store_bucket",
        "object_store_key",
        "object_store_secret",
        "onion_address",
        "socket_group",
        "requests_per_circuit",
        "requests_in_all",
        "submissions_per_circuit",
        "submissions_in_all",
        "replies_per_circuit",
        "replies_in_all",
    }
)
# What else is wrong with it the database's own library tells.
_POSTGRESQL = re.compile(r"postgresql(\+psycopg)?://")
ONION_ADDRESS = re.compile(r"[a-z2-7]{56}\.onion")


def load_config(path: Path) -> Config:
    """The configuration in a file; its relative paths are taken from the file's folder.

    Raises ConfigError, which names the file and the key.
    """
    try:
        table = tomllib.loads(path.read_bytes().decode())
    except FileNotFoundError:
        raise ConfigError(f"There is no configuration file {path}: make one with “leakdrop init”.") from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path} is not a TOML file: {error}.") from None
    try:
        return parse_config(table, path.parent.resolve())
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def parse_config(table: dict[str, Any], folder: Path) -> Config:
    """The configuration in a TOML table; relative paths are taken from `folder`. Raises ConfigError."""
    known = {field.name: field for field in fields(Config)}
    for key in table:
        if key not in known:
            raise ConfigError(f"the key “{key}” is unknown; see config.example.toml.")
    values = {key: _parse(key, value, known[key].type, folder) for key, value in table.items()}
    for key in ("organisation", "keys_dir", "data_dir"):
        if key not in values:
            raise ConfigError(f"the key “{key}” is missing.")
    config = Config(**values)
    if config.unfinished_bytes < config.largest_envelope_bytes:
        raise ConfigError(
            f"unfinished_bytes must be at least {config.largest_envelope_bytes}: as much as the largest "
            "envelope takes, which could not come in otherwise."
        )
    if config.database_url and not _POSTGRESQL.match(config.database_url):
        raise ConfigError("the value of “database_url” must be like postgresql://USER:PASSWORD@HOST/NAME.")
    if config.submissions_at_once >= config.threads:
        raise ConfigError("submissions_at_once must be less than threads, or pages could not be served.")
    _check_shared_places(config)
    if config.onion_address and not ONION_ADDRESS.fullmatch(config.onion_address):
        raise ConfigError("the value of “onion_address” must be 56 letters and digits, and “.onion”.")
    if config.keep_acknowledged_weeks > config.keep_at_most_weeks:
        raise ConfigError("keep_acknowledged_weeks must not be more than keep_at_most_weeks.")
    return config


def _check_shared_places(config: Config) -> None:
    """Raises ConfigError if what several machines share is half told. Names no value: some are secret."""
    named = {
        "object_store_url": config.object_store_url,
        "object_store_bucket": config.object_store_bucket,
        "object_store_key": config.object_store_key,
        "object_store_secret": config.object_store_secret,
    }
    missing = [key for key, value in named.items() if not value]
    if missing and len(missing) < len(named):
        raise ConfigError(f"the key “{missing[0]}” is missing: an object store needs all of them.")
    if not missing and not config.database_url:
        raise ConfigError("an object store needs a database that is shared, too: set “database_url”.")
    if not missing and not config.object_store_url.startswith(("https://", "http://")):
        raise ConfigError("the value of “object_store_url” must begin with https:// (or http://).")


def _parse(key: str, value: object, kind: Any, folder: Path) -> Any:
    if key == "kinds":
        return _parse_kinds(value)
    if key in ("safety_text", "manifest") and value == "":
        return None
    is_path = kind in (Path, Path | None)
    expected = str if is_path else kind
    if value == "" and expected is str and key not in _MAY_BE_EMPTY:
        raise ConfigError(f"the value of “{key}” is empty: write one between the quotation marks.")
    if type(value) is not expected:
        raise ConfigError(f"the value of “{key}” must be {_WHAT[expected]}.")
    if key == "organisation" and not (str(value).isprintable() and str(value).strip()):
        raise ConfigError("the value of “organisation” must be one line of text.")
    if is_path:
        return folder / str(value)
    if isinstance(value, int) and key in _BOUNDS:
        least, most = _BOUNDS[key]
        if not least <= value <= most:
            raise ConfigError(f"the value of “{key}” must be {least} to {most}.")
    return value


def _parse_kinds(value: object) -> tuple[str, ...]:
    if (
        not isinstance(value, list)
        or not value
        or not all(
            isinstance(kind, str) and 0 < len(kind.encode()) <= MAX_KIND and kind.isprintable()
            for kind in value
        )
    ):
        raise ConfigError(
            f"the value of “kinds” must be a list of texts, one or more, of 1 to {MAX_KIND} bytes."
        )
    return tuple(value)
