"""`leakdrop manifest`: the list of all that a site serves, for the reviewers to sign. docs/manifest.md.

The same release, configuration and keys give the same bytes on the same day, on any machine: so reviewers can
make it themselves and compare, before they sign.
"""

import datetime
import hashlib
from importlib.metadata import version
from pathlib import Path

from leakdrop.config import Config
from leakdrop.errors import ManifestError, UsageError
from leakdrop.intake.pages import Page, Pages
from leakdrop.keyring import Keyring, load_keyring
from leakdrop.manifest import Manifest, ManifestDay, ManifestPage, encode_manifest, parse_manifest

DAY = datetime.timedelta(days=1)


def make_manifest(config: Config, today: datetime.date) -> Manifest:
    """The manifest of a site from this day (UTC) on. Raises ConfigError and KeyFileError."""
    keyring = load_keyring(config.keys_dir, today, demo=config.demo)
    pages = Pages(config, keyring)
    days = tuple(ManifestDay(day, describe(pages.all(day))) for day in days_of_change(keyring, today))
    return Manifest(version("leakdrop"), days)


def write_manifest(manifest: Manifest, path: Path) -> None:
    """Raises UsageError if something lies there: a manifest that was signed must not change."""
    try:
        with path.open("xb") as file:
            file.write(encode_manifest(manifest))
    except FileExistsError:
        raise UsageError(
            f"{path} is there already: remove it, with its signatures, to make it anew."
        ) from None


def days_of_change(keyring: Keyring, today: datetime.date) -> list[datetime.date]:
    """This day, and each later one on which a key is used no more."""
    ends = {key.not_after + DAY for key in keyring.usable(today) if key.not_after}
    return [today, *sorted(ends)]


def describe(pages: dict[str, Page]) -> tuple[ManifestPage, ...]:
    return tuple(
        ManifestPage(path, page.media_type, hashlib.sha256(page.body).hexdigest())
        for path, page in sorted(pages.items())
    )


def is_up_to_date(config: Config, keyring: Keyring, today: datetime.date) -> bool:
    """Whether the manifest that a site serves lists what it serves today. Raises ConfigError."""
    if config.manifest is None:
        return True
    try:
        listed = parse_manifest(config.manifest.read_bytes()).on(today)
    except ManifestError:
        return False
    return listed == describe(Pages(config, keyring).all(today))
