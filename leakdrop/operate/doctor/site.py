"""The site: permissions, keys, room."""

import datetime
import os
import re
import stat
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path

from leakdrop.envelope.keyfile import SECRET_TITLE
from leakdrop.errors import ConfigError, KeyFileError, LeakdropError, StoreError
from leakdrop.keyring import load_keyring
from leakdrop.operate.doctor.findings import Finding, Patient, right, unseen, wrong
from leakdrop.operate.server import read_site
from leakdrop.store.layout import free_bytes
from leakdrop.store.owner import as_owner
from leakdrop.terminal import count, describe_os_error, human_size

REFUSED = "mend what it says; the server does not start so"
SOON = datetime.timedelta(weeks=4)
MOST_FILES = 200_000
# A key file has some hundred bytes; it may stand in a mail, or have gone through an editor.
LONGEST_KEY = 64 * 1024
SECRET_KEY = re.compile(SECRET_TITLE.encode() + rb"\s+name:[^\n]*\s+fingerprint: ?[0-9a-f]{64}\s")


def look_at_permissions(patient: Patient) -> Iterator[Finding]:
    data = patient.config.data_dir
    # What is named wrong must not be long: a drop's folder is closed to others by its parents, too.
    private = [data, *(path for path in sorted(data.iterdir()))]
    open_paths = [path for path in private if path.stat().st_mode & 0o077]
    if open_paths:
        yield wrong(
            "permissions",
            f"others can look into {open_paths[0]}",
            _mend(data, "! -type l -perm /077", "chmod go="),
        )
    else:
        yield right("permissions", f"{data} is for its user alone")
    changeable = [
        path
        for path in (patient.config_path, patient.config.keys_dir, *patient.config.keys_dir.glob("*.pub"))
        if path.stat().st_mode & 0o022
    ]
    if changeable:
        yield wrong("configuration", f"others can change {changeable[0]}", f"chmod go-w {changeable[0]}")
    else:
        yield right("configuration", "nobody else can change the configuration or the keys")
    yield from _look_at_passwords(patient)


def _look_at_passwords(patient: Patient) -> Iterator[Finding]:
    config = patient.config
    has_some = config.database_url or config.object_store_secret or "@" in config.limits_storage
    if has_some and patient.config_path.stat().st_mode & 0o007:
        yield wrong(
            "passwords",
            f"others can read {patient.config_path}, and it holds those of what machines share",
            f"chmod o= {patient.config_path}, and change the passwords",
        )


def look_at_owner(patient: Patient) -> Iterator[Finding]:
    data = patient.config.data_dir
    owner, group = data.stat().st_uid, data.stat().st_gid
    other = next((path for path in data.rglob("*") if path.lstat().st_uid != owner), None)
    if owner == 0:
        yield wrong(
            "owner",
            f"{data} belongs to root: what breaks the server would own the machine",
            "adduser --system --group leakdrop; once leakdrop settle; then "
            + _mend(data, "! -user leakdrop", "chown -h leakdrop:"),
        )
    elif other:
        mend = _mend(data, f"! -user {owner}", f"chown -h {owner}:{group}")
        yield wrong("owner", f"{other} belongs to somebody else", mend)
    else:
        yield right("owner", f"{data} belongs to one user, and not to root")


def _mend(data: Path, wrong: str, command: str) -> str:
    """A command line that changes only what is wrong: a drop that it changed would look settled.

    Nor may it follow a link, which whoever broke the server could have put there.
    """
    return f"find {data} {wrong} -exec {command} {{}} +"


def look_at_secret_keys(patient: Patient) -> Iterator[Finding]:
    for folder in (patient.config_path.parent, Path.home()):
        paths = list(islice(folder.rglob("*"), MOST_FILES + 1))
        found = next(filter(_is_secret_key, paths), None)
        if found:
            yield wrong(
                "secret keys",
                f"{found} is a secret key",
                "remove it from this machine, tell the reviewers, and ask them for a new key",
            )
        elif len(paths) > MOST_FILES:
            yield unseen(
                "secret keys", f"{folder} holds very many files; of the first {MOST_FILES:,} none is one"
            )
        else:
            yield right("secret keys", f"none in {folder}")


def _is_secret_key(path: Path) -> bool:
    """Whether a secret key stands anywhere in a file, in UTF-8 or in UTF-16."""
    try:
        status = path.lstat()
        if not stat.S_ISREG(status.st_mode) or status.st_size > LONGEST_KEY:
            return False
        return SECRET_KEY.search(path.read_bytes().replace(b"\0", b"")) is not None
    except OSError:
        return False  # what this user cannot read is not leakdrop's


def look_at_start(patient: Patient) -> Iterator[Finding]:
    """What `serve` reads, as the user that it runs as."""
    config = patient.config
    if os.geteuid() not in (0, config.data_dir.stat().st_uid):
        yield unseen("start", "the service is another user's; ask as root")
        return
    # Python reads parts of itself when they are first needed, and the owner may not be let into its folder.
    with suppress(LeakdropError, OSError):
        read_site(config, patient.today)
    try:
        with as_owner(config.data_dir):
            _, is_manifest_right = read_site(config, patient.today)
    except KeyFileError:
        return  # `look_at_keys` tells it
    except StoreError as error:
        yield unseen("start", str(error).rstrip("."))
    except ConfigError as error:
        yield wrong("start", str(error).rstrip("."), REFUSED)
    except OSError as error:
        yield wrong("start", describe_os_error(error).rstrip("."), REFUSED)
    else:
        if is_manifest_right:
            yield right("start", "the server reads all that it needs")
        else:
            yield wrong(
                "manifest",
                f"{config.manifest} is not that of today's pages",
                "make it anew with leakdrop manifest, and have it signed",
            )


def look_at_keys(patient: Patient) -> Iterator[Finding]:
    config = patient.config
    try:
        # A key that only root can read is none to the server.
        with as_owner(config.data_dir):
            keyring = load_keyring(config.keys_dir, patient.today, demo=config.demo)
    except KeyFileError as error:
        yield wrong("keys", str(error).rstrip("."), REFUSED)
        return
    except PermissionError as error:
        if os.geteuid() != 0:
            raise
        mend = f"chgrp -R leakdrop {config.keys_dir} && chmod -R u=rwX,g=rX,o= {config.keys_dir}"
        yield wrong("keys", f"the service cannot read {error.filename}", mend)
        return
    usable = keyring.usable(patient.today)
    last = max((key.not_after or datetime.date.max for key in usable), default=datetime.date.max)
    if last < patient.today + SOON:
        yield wrong(
            "keys",
            f"after {last} nothing can be sealed",
            "ask the reviewers for a new key now; sources need a page that works",
        )
        return
    soon = [key for key in usable if key.not_after and key.not_after < patient.today + SOON]
    if soon:
        yield wrong(
            "keys",
            f"“{soon[0].name}” is used until {soon[0].not_after}",
            "ask the reviewers for its follower",
        )
    else:
        yield right("keys", f"{count(len(usable), 'key')} in use, none to expire within four weeks")


def look_at_demo(patient: Patient) -> Iterator[Finding]:
    if patient.config.demo:
        yield wrong("demo", "this is a demonstration, and says so on every page", "demo = false")
    if not patient.config.onion_address:
        yield wrong(
            "onion address",
            "it is not configured, so every onion address is taken for ours",
            "onion_address = the text in tor's hostname file",
        )
    else:
        yield right("onion address", "a foreign name is refused")


def look_at_room(patient: Patient) -> Iterator[Finding]:
    free = free_bytes(patient.config.data_dir)
    needed = patient.config.disk_reserve_bytes + patient.config.largest_envelope_bytes
    if free < needed:
        yield wrong(
            "free space",
            f"{human_size(free)}: the largest submission would be refused (it takes {human_size(needed)})",
            "leakdrop export; when the reviewers have acknowledged it, "
            "leakdrop purge --acknowledged FILE --now; or a larger disk",
        )
    else:
        yield right("free space", human_size(free))


LOOKS = (
    look_at_permissions,
    look_at_owner,
    look_at_secret_keys,
    look_at_start,
    look_at_keys,
    look_at_demo,
    look_at_room,
)
