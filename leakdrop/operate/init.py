"""`leakdrop init`: makes the folder of a new site, with what tor and systemd need to run it.

DIR/config.toml     the configuration, with its comments
DIR/keys/           the reviewers' public keys
DIR/data/           what comes in
DIR/system/         lines for tor and AppArmor, units for systemd: to be read, then copied
"""

import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import leakdrop
from leakdrop.envelope.keyfile import PublicKeyFile, parse_public_keys
from leakdrop.errors import LeakdropError, UsageError
from leakdrop.operate.tor import TorError, ask_tor, onion_options, write_options
from leakdrop.store.drops import Drops
from leakdrop.store.owner import as_owner

_PACKAGE = Path(leakdrop.__file__).parent
_TEMPLATES = Path(__file__).parent / "templates"
ORGANISATION = "Our organisation"
# Debian's tor keeps its onion services there.
ONION_FOLDER = "/var/lib/tor/leakdrop"
SOCKET = "/run/leakdrop/socket"
# The units hide these from the service: ProtectHome= (systemd.exec(5)), and memory in place of the last two.
HIDDEN = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")  # noqa: S108 - nothing is written there

TORRC = """\
# leakdrop's onion service, made by “leakdrop init”: add it to /etc/tor/torrc.
"""
WITHOUT_PROOF_OF_WORK = """\
# This machine's tor was built without proof of work, which slows a flood down. Debian's tor has it; then add:
# HiddenServicePoWDefensesEnabled 1
"""
APPARMOR = f"""\
# AppArmor lets tor connect to no other sockets than its own. Made by “leakdrop init”: add it to
# /etc/apparmor.d/local/system_tor.
{SOCKET} rw,
"""


@dataclass(frozen=True)
class Wishes:
    """What the operator wants of a new site."""

    organisation: str = ORGANISATION
    no_script_sealing: bool = True
    demo: bool = False


@dataclass(frozen=True)
class Site:
    """A new site: its folder, and the keys that were copied into it."""

    folder: Path
    keys: tuple[PublicKeyFile, ...]

    @property
    def config(self) -> Path:
        return self.folder / "config.toml"

    @property
    def system(self) -> Path:
        return self.folder / "system"


def example_config() -> str:
    """config.example.toml, in an installed package or at the top of the source tree."""
    shipped = _PACKAGE / "config.example.toml"
    path = shipped if shipped.exists() else _PACKAGE.parent / "config.example.toml"
    return path.read_text()


def make_config(wishes: Wishes) -> str:
    """A configuration file with its comments."""
    text = example_config()
    for key, before, after in (
        ("organisation", f'"{ORGANISATION}"', toml_string(wishes.organisation)),
        ("no_script_sealing", "true", str(wishes.no_script_sealing).lower()),
        ("demo", "false", str(wishes.demo).lower()),
    ):
        text = text.replace(f"\n{key} = {before}\n", f"\n{key} = {after}\n")
    return text


def toml_string(text: str) -> str:
    """A text as a TOML basic string, which JSON's escapes are a part of (TOML 1.0.0, "String")."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def make_site(folder: Path, wishes: Wishes, key_files: list[Path]) -> Site:
    """Make the folder, with a configuration, `keys/`, `data/` and `system/`.

    Raises UsageError if a site is there already or a name is not right, and KeyFileError if a key file is
    not; then nothing was made.
    """
    if not wishes.organisation.strip() or not wishes.organisation.isprintable():
        raise UsageError("The organisation's name must be one line of text.")
    if (folder / "config.toml").exists():
        raise UsageError(
            f"{folder} holds a site already: {folder / 'config.toml'} is there. "
            "With --system, what tor and systemd need is written anew."
        )
    keys = read_keys(key_files)
    names = [path.name for path in key_files]
    taken = [name for name in names if names.count(name) > 1 or (folder / "keys" / name).exists()]
    if taken:
        raise UsageError(f"There would be two keys in {folder / 'keys' / taken[0]}: rename one.")
    site = Site(folder, keys)
    files = make_system_files(folder.resolve())
    for path in (folder, folder / "keys", folder / "data", site.system):
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    for path in key_files:
        shutil.copyfile(path, folder / "keys" / path.name)
    _write_system_files(site.system, files)
    with site.config.open("x") as file:
        file.write(make_config(wishes))
    with as_owner(folder / "data"):
        Drops(folder / "data").close()  # makes the database
    return site


def renew_system(folder: Path) -> Path:
    """Write `system/` of a site anew, as this leakdrop needs it, and nothing else; its path.

    Raises UsageError if there is no site.
    """
    site = Site(folder, ())
    if not site.config.exists():
        raise UsageError(f"{folder} holds no site: there is no {site.config}.")
    files = make_system_files(folder.resolve())
    site.system.mkdir(mode=0o700, exist_ok=True)
    _write_system_files(site.system, files)
    return site.system


def _write_system_files(system: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (system / name).write_text(text)


def make_system_files(folder: Path) -> dict[str, str]:
    """What tor, AppArmor and systemd need: names of files and their texts. Raises UsageError."""
    values = {
        "folder": str(folder),
        "program": program(),
        # A virtual environment runs the Python that it was made with.
        "prefix": " ".join(sorted({sys.prefix, sys.base_prefix})),
        "hidden": "|".join(f"{path}/*" for path in HIDDEN),
    }
    for value in (str(folder), sys.prefix, sys.base_prefix):
        # A unit would need quotes, and a percent sign means something there.
        if not value.isprintable() or set(value) & set(" %\"'\\"):
            raise UsageError(f"{value} cannot stand in a unit of systemd: choose a name without blanks or %.")
    units = {path.name: path.read_text().format(**values) for path in sorted(_TEMPLATES.iterdir())}
    return {**units, "torrc": make_torrc(), "apparmor": APPARMOR}


def program() -> str:
    """This command's path: a virtual environment's commands are in nobody's PATH."""
    return str(Path(sys.prefix) / "bin" / "leakdrop")


def find_hidden(folder: Path) -> list[Path]:
    """Of a site's folder, this program and its Python, those that the units hide from the service."""
    places = [folder, Path(sys.prefix), Path(sys.base_prefix)]
    return [path for path in places if any(path.resolve().is_relative_to(hidden) for hidden in HIDDEN)]


def make_torrc() -> str:
    """Lines for the system's tor; with proof of work, unless the tor that is installed cannot do it."""
    try:
        proof_of_work = ask_tor().has_proof_of_work
    except TorError:
        proof_of_work = True
    lines = write_options(onion_options(f"{ONION_FOLDER}/", SOCKET, proof_of_work=proof_of_work))
    return TORRC + lines + ("" if proof_of_work else WITHOUT_PROOF_OF_WORK)


def read_keys(key_files: list[Path]) -> tuple[PublicKeyFile, ...]:
    """The keys in these .pub files. Raises UsageError and KeyFileError."""
    return tuple(key for path in key_files for key in _read_keys(path))


def _read_keys(path: Path) -> tuple[PublicKeyFile, ...]:
    if path.suffix != ".pub":
        raise UsageError(f"{path} is not a .pub file.")
    try:
        return parse_public_keys(path.read_bytes())
    except LeakdropError as error:
        raise type(error)(f"{path}: {error}") from None


def next_steps(site: Site) -> str:
    """What comes next, on a Debian machine."""
    folder, system = site.folder.resolve(), site.system.resolve()
    key = (
        ""
        if site.keys
        else f"First copy the reviewers' .pub file into {folder / 'keys'}, and compare it.\n\n"
    )
    return f"""{key}To try it at once, with a tor of its own:

  {program()} serve --onion --config {folder}/config.toml

For real use, as root, on a machine with Debian's tor; read the files in {system} first:

  sh {system}/install

Then: {program()} check --config {folder}/config.toml"""
