"""A site that is there already, as the operator's verbs open it."""

from leakdrop.config import Config
from leakdrop.store.layout import as_owner
from leakdrop.store.places import DropPlace, open_drops


def open_site(config: Config) -> DropPlace:
    """The drops; what is missing in the data folder is made as its owner."""
    with as_owner(config.data_dir):
        return open_drops(config)
