"""A site that is there already, as the operator's verbs open it."""

from collections.abc import Iterator
from contextlib import contextmanager

from leakdrop.config import Config
from leakdrop.store.owner import as_owner
from leakdrop.store.places import DropPlace, open_drops


@contextmanager
def open_site(config: Config) -> Iterator[DropPlace]:
    """The drops. Meanwhile root is the data folder's owner; `as_caller` leads back to a stick of root's.

    Raises StoreError, and ConfigError if packages are missing.
    """
    with as_owner(config.data_dir), open_drops(config) as drops:
        yield drops
