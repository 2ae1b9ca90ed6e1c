"""The connection to the database, and its migrations.

SQLite is set up to forget: no write-ahead log, in which deleted rows would stay; freed bytes are
overwritten; and what a transaction needs aside is held in memory.
"""

from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event, inspect, text
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
    try:
        if _revision(engine) != _newest_revision():
            _upgrade(engine)
    except DatabaseError as error:
        raise StoreError(f"The database {engine.url.database} cannot be used: {error.orig}.") from None


def _revision(engine: Engine) -> str | None:
    """The migration that the database is at."""
    with engine.connect() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return None
        return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def _newest_revision() -> str:
    """The last migration: their files' names begin with their numbers."""
    return max(path.name.partition("_")[0] for path in (migrations_folder() / "versions").glob("*.py"))


def _upgrade(engine: Engine) -> None:
    # Here, since a server that has nothing to migrate need not hold Alembic in memory.
    import alembic.command
    from alembic.config import Config as AlembicConfig
    from alembic.util.exc import CommandError

    config = AlembicConfig()
    config.set_main_option("script_location", str(migrations_folder()))
    config.set_main_option("path_separator", "os")
    try:
        with engine.begin() as connection:
            config.attributes["connection"] = connection
            alembic.command.upgrade(config, "head")
    except CommandError:
        raise StoreError(
            f"{engine.url.database} was made by a newer leakdrop: install that version again, or a newer one."
        ) from None
