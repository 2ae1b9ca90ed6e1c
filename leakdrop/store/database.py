"""The connection to the database, and its migrations.

SQLite is set up to forget: no write-ahead log, in which deleted rows would stay; freed bytes are
overwritten; and what a transaction needs aside is held in memory.
"""

from pathlib import Path
from typing import Any

import alembic.command
from alembic.config import Config as AlembicConfig
from alembic.util.exc import CommandError
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.exc import DatabaseError
from sqlalchemy.pool import NullPool

import leakdrop
from leakdrop.errors import StoreError

_PACKAGE = Path(leakdrop.__file__).parent


def migrations_folder() -> Path:
    """`migrations/` in an installed package, or at the top of the source tree."""
    shipped = _PACKAGE / "migrations"
    return shipped if shipped.is_dir() else _PACKAGE.parent / "migrations"


def connect(path: Path) -> Engine:
    """An engine for a SQLite file. A connection is opened for each use: there are few, and none is kept."""
    engine = create_engine(f"sqlite:///{path}", poolclass=NullPool, connect_args={"timeout": 30})
    event.listen(engine, "connect", _set_up)
    return engine


def _set_up(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    for pragma in ("journal_mode=DELETE", "secure_delete=ON", "synchronous=FULL", "temp_store=MEMORY"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def migrate(engine: Engine) -> None:
    """Bring the database to this version's schema.

    Raises StoreError if it was made by a newer leakdrop, or cannot be read or written.
    """
    config = AlembicConfig()
    config.set_main_option("script_location", str(migrations_folder()))
    # Migrations are named here, not read from a path of the operator's.
    config.set_main_option("path_separator", "os")
    path = engine.url.database
    try:
        with engine.begin() as connection:
            config.attributes["connection"] = connection
            alembic.command.upgrade(config, "head")
    except CommandError:
        raise StoreError(
            f"{path} was made by a newer leakdrop: install that version again, or a newer one."
        ) from None
    except DatabaseError as error:
        raise StoreError(f"The database {path} cannot be used: {error.orig}.") from None
