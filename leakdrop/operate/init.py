"""`leakdrop init`: makes the folder of a new site, and says what comes next."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import leakdrop
from leakdrop.envelope.keyfile import PublicKeyFile, parse_public_keys
from leakdrop.errors import LeakdropError, UsageError
from leakdrop.store.drops import Drops

_PACKAGE = Path(leakdrop.__file__).parent
ORGANISATION = "Our organisation"


@dataclass(frozen=True)
class Site:
    """A new site: its folder, and the keys that were copied into it."""

    folder: Path
    keys: tuple[PublicKeyFile, ...]

    @property
    def config(self) -> Path:
        return self.folder / "config.toml"


def example_config() -> str:
    """config.example.toml, in an installed package or at the top of the source tree."""
    shipped = _PACKAGE / "config.example.toml"
    path = shipped if shipped.exists() else _PACKAGE.parent / "config.example.toml"
    return path.read_text()


def make_config(organisation: str, *, demo: bool = False) -> str:
    """A configuration file with its comments, for this organisation."""
    text = example_config()
    text = text.replace(f'organisation = "{ORGANISATION}"', f"organisation = {toml_string(organisation)}")
    return text.replace("demo = false", "demo = true") if demo else text


def toml_string(text: str) -> str:
    """A text as a TOML basic string, which JSON's escapes are a part of (TOML 1.0.0, "String")."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def make_site(folder: Path, organisation: str, key_files: list[Path], *, demo: bool = False) -> Site:
    """Make the folder, with a configuration, `keys/` and `data/`.

    Raises UsageError if a site is there already or the name is not right, and KeyFileError if a key file
    is not; then nothing was made.
    """
    if not organisation.strip() or not organisation.isprintable():
        raise UsageError("The organisation's name must be one line of text.")
    if (folder / "config.toml").exists():
        raise UsageError(f"{folder} holds a site already: {folder / 'config.toml'} is there.")
    keys = tuple(key for path in key_files for key in read_public_keys(path))
    names = [path.name for path in key_files]
    taken = [name for name in names if names.count(name) > 1 or (folder / "keys" / name).exists()]
    if taken:
        raise UsageError(f"There would be two keys in {folder / 'keys' / taken[0]}: rename one.")
    for path in (folder, folder / "keys", folder / "data"):
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    for path in key_files:
        shutil.copyfile(path, folder / "keys" / path.name)
    site = Site(folder, keys)
    with site.config.open("x") as file:
        file.write(make_config(organisation, demo=demo))
    Drops(folder / "data").close()  # makes the database
    return site


def read_public_keys(path: Path) -> tuple[PublicKeyFile, ...]:
    """The keys of a .pub file. Raises UsageError, KeyFileError, which name the path, and OSError."""
    if path.suffix != ".pub":
        raise UsageError(f"{path} is not a .pub file.")
    try:
        return parse_public_keys(path.read_bytes())
    except LeakdropError as error:
        raise type(error)(f"{path}: {error}") from None
