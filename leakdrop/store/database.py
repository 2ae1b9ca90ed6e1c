"""The connection to the database, and its migrations.

SQLite is set up to forget: no write-ahead log, in which deleted rows would stay; freed bytes are
overwritten; and what a transaction needs aside is held in memory. PostgreSQL cannot be: docs/scaling.md.
"""

from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, inspect, make_url, text
from sqlalchemy.exc import ArgumentError, DatabaseError
from sqlalchemy.pool import NullPool

import leakdrop
from leakdrop.errors import ConfigError, StoreError

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


def connect_postgresql(url: str) -> Engine:
    """An engine for a PostgreSQL database: postgresql://USER:PASSWORD@HOST/NAME. Raises ConfigError."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        parsed = None
    if parsed is None or parsed.drivername not in ("postgresql", "postgresql+psycopg"):
        raise ConfigError("database_url must look like postgresql://USER:PASSWORD@HOST/NAME.")
    try:
        return create_engine(_with_driver(parsed), poolclass=NullPool, connect_args={"connect_timeout": 10})
    except ModuleNotFoundError:
        raise ConfigError("database_url needs more packages: install leakdrop[server,scale].") from None


def _with_driver(url: URL) -> URL:
    return url.set(drivername="postgresql+psycopg")


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
        if _revision(engine) != newest_revision():
            _upgrade(engine)
    except DatabaseError as error:
        raise StoreError(f"The database {engine.url.database} cannot be used: {first_line(error)}.") from None


def first_line(error: DatabaseError) -> str:
    return str(error.orig).strip().partition("\n")[0].rstrip(".")


def _revision(engine: Engine) -> str | None:
    """The migration that the database is at."""
    with engine.connect() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return None
        return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def newest_revision() -> str:
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
            _wait_for_others(connection)
            config.attributes["connection"] = connection
            alembic.command.upgrade(config, "head")
    except CommandError:
        raise StoreError(
            f"{engine.url.database} was made by a newer leakdrop: install that version again, or a newer one."
        ) from None


# "leakdrop" in ASCII: any number will do that nobody else locks in this database.
MIGRATING = int.from_bytes(b"leakdrop")


def _wait_for_others(connection: Connection) -> None:
    """Of several machines that start at once, one migrates; the others find it done."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": MIGRATING})
