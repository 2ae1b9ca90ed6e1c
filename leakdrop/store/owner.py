"""Whose the data folder is, and who writes there.

What root makes there by hand the service could not read, and a server of root's own would hand the machine to
whoever breaks it. So root becomes the folder's owner: for as long as a verb has the folder open, with a way
back for what lies elsewhere, or, to serve, for good. A folder of root's own stays root's, as in a container;
and nobody but root becomes anybody.
"""

import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from leakdrop.errors import StoreError


@dataclass(frozen=True)
class Owner:
    """A user and a group, and all groups that the user is in."""

    user: int
    group: int
    groups: tuple[int, ...]


@contextmanager
def as_owner(root: Path) -> Iterator[None]:
    """Be the data folder's owner, if this is root and the folder is another user's. Raises StoreError."""
    owner = _find_other(root)
    if owner is None:
        yield
    else:
        with _acting(owner, root):
            yield


@contextmanager
def as_caller() -> Iterator[None]:
    """Within `as_owner`, be root again, if this is root's process: a stick may be root's alone."""
    if os.getuid() == os.geteuid():
        yield
    else:
        with _acting(Owner(os.getuid(), os.getgid(), (os.getgid(),)), Path()):
            yield


def become_owner(root: Path) -> None:
    """As `as_owner`, for good. Raises StoreError."""
    owner = _find_other(root)
    if owner is None:
        return
    try:
        os.setgroups(owner.groups)
        os.setresgid(owner.group, owner.group, owner.group)
        os.setresuid(owner.user, owner.user, owner.user)
    except OSError:
        raise _refuse(root, owner) from None
    # Python reads parts of itself when they are needed.
    for program in (__file__, os.__file__):
        if not os.access(program, os.R_OK):
            raise StoreError(
                f"The data folder {root} belongs to user {owner.user}, who cannot read {program}: "
                "install leakdrop where every user can read it, such as /opt/leakdrop."
            )


def give_to_owner(path: Path, root: Path) -> None:
    """Give a file or a folder that this process has made to whom `become_owner` would be. Raises OSError."""
    if owner := _find_other(root):
        os.chown(path, owner.user, owner.group)


def _find_other(root: Path) -> Owner | None:
    """The data folder's owner, if this is root and the owner is not."""
    if os.geteuid() != 0 or not root.is_dir():
        return None
    status = root.stat()
    if status.st_uid == 0:
        return None
    return Owner(status.st_uid, status.st_gid, tuple(_groups_of(status.st_uid, status.st_gid)))


def _groups_of(user: int, group: int) -> list[int]:
    try:
        return os.getgrouplist(pwd.getpwuid(user).pw_name, group)
    except KeyError:  # a number without a name, as in a container
        return [group]


@contextmanager
def _acting(owner: Owner, root: Path) -> Iterator[None]:
    before = Owner(os.geteuid(), os.getegid(), tuple(os.getgroups()))
    try:
        _act(owner)
    except OSError:
        raise _refuse(root, owner) from None
    try:
        yield
    finally:
        _act(before)


def _act(owner: Owner) -> None:
    os.seteuid(0)  # only root may choose its groups
    os.setgroups(owner.groups)
    os.setegid(owner.group)
    os.seteuid(owner.user)


def _refuse(root: Path, owner: Owner) -> StoreError:
    """For a root without root's rights, as in a container that has dropped them."""
    return StoreError(
        f"The data folder {root} belongs to user {owner.user}, whom this user cannot become: "
        "run leakdrop as that user."
    )
